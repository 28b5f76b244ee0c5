import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { callEvent } from '../src/events/call-event.js'
import { CallEvents } from '../src/events/call-events.js'
import type { Counted } from '../src/events/stats.js'
import { RabbitPublisher } from '../src/events/rabbit.js'
import { decodeRecord } from '../src/journal/entry.js'
import { Environment } from '../src/journal/environment.js'
import { Journal, type JournalOptions } from '../src/journal/journal.js'
import { eventsAre, eventsIn, snapshot } from './support/call-events.js'
import { paidCall, unansweredCall } from './support/call-records.js'
import { logLines } from './support/log-lines.js'
import { temporaryFolder } from './support/services.js'
import { until } from './support/wire.js'

const log = pino({ level: 'silent' })

async function testJournal(t: Pick<Test, 'teardown'>, options: Partial<JournalOptions> = {}) {
  const dir = options.dir ?? (await temporaryFolder(t))
  const journal = await Journal.open({ dir, log, reserveBytes: 2 ** 20, ...options })
  t.teardown(() => journal.close())
  return journal
}

const events = (journal: Journal, isPublished = true) =>
  new CallEvents({ journal, isPublished, timeZoneOf: () => 'Asia/Ho_Chi_Minh' })

t.test(
  'the events of a call wait in their order, its end with its record, also after a restart',
  async (t) => {
    const dir = await temporaryFolder(t)
    const journal = await testJournal(t, { dir })
    const out = events(journal)
    const record = paidCall(60_000)
    const call = { uuid: record.callUuid, startedAt: record.startedAt }
    for (const [count, status] of ['ringing', 'answered', 'bridged'].entries())
      out.publish(callEvent(snapshot({ ...call, status, count: count + 1 })))
    await out.append(record, { queueName: 'sales' })
    const nobodys = unansweredCall({ tenant: null })
    await out.append(nobodys)
    await journal.close()

    const later = await testJournal(t, { dir })
    const found = eventsIn(later.events)
    t.same(
      found.map(({ call_status, id }) => [call_status, id]),
      [
        ['ringing', `${record.callUuid}:1:ringing`],
        ['answered', `${record.callUuid}:2:answered`],
        ['bridged', `${record.callUuid}:3:bridged`],
        ['hangup', `${record.callUuid}:hangup`],
      ],
    )
    t.equal(found[3]?.queue_name, 'sales')
    t.same(
      later.read(10).map(({ text }) => decodeRecord(text)),
      [record, nobodys],
    )
  },
)

t.test('events are written along with what somebody waits for', async (t) => {
  const journal = await testJournal(t)
  journal.events.add('it rings')
  const kept = journal.append(paidCall(60_000), ['it is over'])
  t.same(journal.events.read(10), [], 'nothing is on the disk yet')
  await Promise.all([kept, eventsAre(journal.events, 2)])
  t.same(
    journal.events.read(10).map(({ text }) => text),
    ['it rings', 'it is over'],
  )
  journal.events.add('alone')
  await eventsAre(journal.events, 3)
})

t.test('an event is not seen before those that came earlier', async (t) => {
  const journal = await testJournal(t)
  const earlier = journal.events.changesFor(['first'])
  await journal.append(paidCall(60_000), ['second'])
  t.equal(journal.events.pending, 2)
  t.same(journal.events.read(10), [], 'nobody gets it, though it is on the disk')
  journal.events.settled(earlier)
  t.match(journal.events.read(10), [{ text: 'second' }])
})

t.test('a record that is refused takes its event along', async (t) => {
  const journal = await testJournal(t)
  const heard: unknown[] = []
  const stats = { add: (event: unknown) => heard.push(event) }
  const out = new CallEvents({ journal, isPublished: true, stats, timeZoneOf: () => 'UTC' })
  await journal.close()
  await t.rejects(out.append(paidCall(60_000)), { code: 'closed' })
  t.same(heard, [])
})

t.test('without AMQP_URL nothing is written, and calls are counted all the same', async (t) => {
  const dir = await temporaryFolder(t)
  const journal = await testJournal(t, { dir })
  const heard: string[] = []
  const stats = { add: ({ call_status }: Counted) => heard.push(call_status) }
  const out = new CallEvents({ journal, isPublished: false, stats, timeZoneOf: () => undefined })
  out.publish(callEvent(snapshot({ status: 'ringing' })))
  out.publish(undefined)
  const record = paidCall(60_000)
  await out.append(record)
  t.same(heard, ['ringing', 'hangup'])
  await journal.close()
  const env = Environment.open(dir)
  t.equal(env.count('events'), 0)
  t.equal(env.count('records'), 1)
  await env.close()
})

t.test('events that take more than their share lose the oldest, which is said', async (t) => {
  const { log, lines } = logLines()
  const dir = await temporaryFolder(t)
  const journal = await testJournal(t, { dir, log, maxEventBytes: 2 ** 20 })
  const total = 6_000
  for (let n = 0; n < total; n++) {
    journal.events.add(`${n} ${'x'.repeat(700)}`)
    if (n % 500 === 0) await journal.append(paidCall(60_000))
  }
  await journal.close()
  const { dropped } = journal.events
  const found = (await testJournal(t, { dir })).events.read(total).map(({ text }) => Number.parseInt(text))
  t.ok(dropped > 0 && found.length < 2_000, `${found.length} are left`)
  t.equal(found.length + dropped, total)
  t.same(
    found,
    Array.from({ length: found.length }, (_, i) => dropped + i),
    'the newest ones, without a gap',
  )
  t.match(
    lines.filter(({ msg }) => msg === 'the journal has no space for events: the oldest are lost'),
    [{ level: 50 }],
    'once, though they went by and by',
  )
})

t.test('a full disk: events give way, no call is refused and no record lost', async (t) => {
  const dir = await temporaryFolder(t)
  const script = fileURLToPath(new URL('support/events-process.js', import.meta.url))
  // 3 MiB, of which the journal sets one aside; the events of 200 calls would take as much again.
  const command = `unset NODE_OPTIONS; ulimit -f 6144 && exec "$@"`
  const child = spawn('sh', ['-c', command, 'sh', process.execPath, script, dir, '200'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  for await (const text of child.stdout.setEncoding('utf8')) output += String(text)
  const said = output
    .trimEnd()
    .split('\n')
    .map((line) => line.split(' '))
  const about = (word: string) => said.filter(([first]) => first === word).map(([, rest]) => rest)
  t.same(about('failed'), [])
  t.equal(about('kept').length, 200)
  t.ok(Number(about('dropped')[0]) > 1_000, `${about('dropped')[0]} events were dropped`)
  const journal = await testJournal(t, { dir })
  const uuids = journal.read(1_000).map(({ text }) => decodeRecord(text).callUuid)
  t.same(uuids, about('kept').slice(100), 'half of them were delivered')
  const left = journal.events.read(100_000).map(({ text }) => text.split(' ')[0])
  t.ok(left.length > 500, `${left.length} events are left`)
  t.equal(left.at(-1), '199:hangup')
})

t.test('a RabbitMQ that is not there: events wait, and it is said once why', async (t) => {
  const journal = await testJournal(t)
  const out = events(journal)
  const { log, lines, warnings } = logLines()
  const publisher = new RabbitPublisher({
    url: 'amqp://linger:secret@127.0.0.1:1/x',
    events: journal.events,
    log,
  })
  t.teardown(() => publisher.close())
  t.match(publisher.state, { isUp: false, pending: 0 })
  const uuid = randomUUID()
  for (let count = 1; count <= 50; count++) out.publish(callEvent(snapshot({ uuid, count })))
  await eventsAre(journal.events, 50)
  await until(() => publisher.state.trouble?.includes('ECONNREFUSED') === true)
  t.match(publisher.state, { isUp: false, pending: 50, trouble: /^RabbitMQ is away: .*\(127\.0\.0\.1:1\)$/ })
  t.notOk(await publisher.drain(AbortSignal.timeout(600)), 'it has tried again by then')
  t.same(warnings(), ['RabbitMQ is away: events wait, trying again for ever'])
  t.notMatch(JSON.stringify(lines), 'secret')
  await publisher.close()
  t.equal(journal.events.pending, 50)
})
