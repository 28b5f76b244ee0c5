import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fc from 'fast-check'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { decodeRecord, documentKey, KeySequence } from '../src/journal/entry.js'
import { Environment } from '../src/journal/environment.js'
import { Journal } from '../src/journal/journal.js'
import { paidCall, unansweredCall } from './support/call-records.js'
import { logLines } from './support/log-lines.js'
import { temporaryFolder } from './support/services.js'

const log = pino({ level: 'silent' })
const reserveBytes = 2 ** 20

async function testJournal(t: Pick<Test, 'teardown'>, dir?: string): Promise<Journal> {
  const journal = await Journal.open({ dir: dir ?? (await temporaryFolder(t)), log, reserveBytes })
  t.teardown(() => journal.close())
  return journal
}

function records(journal: Journal) {
  return journal.read(1_000).map(({ text }) => decodeRecord(text))
}

t.test('what was appended is there after a restart, in the order in which it came', async (t) => {
  const dir = await temporaryFolder(t)
  const calls = Array.from({ length: 300 }, () => paidCall(60_000))
  for (const part of [calls.slice(0, 100), calls.slice(100, 200), calls.slice(200)]) {
    const journal = await testJournal(t, dir)
    await Promise.all(part.map((call) => journal.append(call)))
    await journal.close()
  }
  const journal = await testJournal(t, dir)
  t.equal(journal.pending, 300)
  t.same(records(journal), calls)
  t.same(
    journal.read(10, journal.read(250).at(-1)?.key).map(({ text }) => decodeRecord(text)),
    calls.slice(250, 260),
  )
  await journal.remove(journal.read(299).map(({ key }) => key))
  t.same(records(journal), calls.slice(299))
})

t.test('a call is open until its record is there, or another node has it', async (t) => {
  const dir = await temporaryFolder(t)
  const journal = await testJournal(t, dir)
  const data = { tenant: 'demo', legs: [{ leg: 'b', rate: { pricePerMinute: '500.00' } }] }
  await Promise.all(['over', 'elsewhere', 'cut off'].map((uuid) => journal.openCall(uuid, { legs: [] })))
  await journal.openCall('cut off', data)
  t.same(journal.openCalls().length, 3)
  await Promise.all([journal.append(unansweredCall({ callUuid: 'over' })), journal.dropCall('elsewhere')])
  await journal.close()
  t.same((await testJournal(t, dir)).openCalls(), [{ uuid: 'cut off', data }])
})

t.test('what is remembered of calls changes at once, for those that are open', async (t) => {
  const journal = await testJournal(t)
  const uuids = ['staying', 'over', 'ending', 'a\0b']
  await Promise.all(uuids.map((uuid) => journal.openCall(uuid, { legs: 0 })))
  await journal.append(unansweredCall({ callUuid: 'over' }))
  const changed = [...uuids, 'unknown'].map((uuid) => ({ uuid, data: { legs: 1 } }))
  await Promise.all([
    // In one transaction with it, and before it.
    journal.append(unansweredCall({ callUuid: 'ending' })),
    journal.rememberCalls(changed),
    journal.rememberCalls([]),
  ])
  t.same(
    journal.openCalls().sort((a, b) => (a.uuid < b.uuid ? -1 : 1)),
    [
      { uuid: 'a\0b', data: { legs: 1 } },
      { uuid: 'staying', data: { legs: 1 } },
    ],
  )
  // A transaction that began before the record was asked for.
  const remembered = journal.rememberCalls(changed)
  await new Promise(setImmediate)
  await Promise.all([remembered, journal.append(unansweredCall({ callUuid: 'staying' }))])
  t.same(journal.openCalls(), [{ uuid: 'a\0b', data: { legs: 1 } }])
})

t.test('what was told of legs is kept until the record of their call is there', async (t) => {
  const dir = await temporaryFolder(t)
  const journal = await testJournal(t, dir)
  // Ids of which one begins with another, and such as no switch makes.
  const calls = ['a', 'a b', 'a\n', 'a\nleg', '', 'ü'.repeat(300), 'over']
  const legs = ['leg', 'leg b', '', '\0']
  const told = calls.flatMap((callUuid) => legs.map((legUuid) => ({ callUuid, legUuid })))
  const textOf = (callUuid: string, legUuid: string) =>
    JSON.stringify({ callUuid, legUuid, name: '"\u2028<\0' })
  await Promise.all(
    told.map(({ callUuid, legUuid }) => journal.keepDocument(callUuid, legUuid, 'what was told first')),
  )
  await Promise.all(
    told.map(({ callUuid, legUuid }) => journal.keepDocument(callUuid, legUuid, textOf(callUuid, legUuid))),
  )
  await journal.openCall('over', {})
  // One of them is on its way only.
  const last = journal.keepDocument('over', 'late', '')
  await Promise.all([last, journal.append(unansweredCall({ callUuid: 'over' }))])
  await Promise.all([journal.keepDocument('a b', 'late', ''), journal.dropCall('a b')])
  await journal.close()

  const next = await testJournal(t, dir)
  const left = calls.filter((call) => call !== 'over' && call !== 'a b')
  t.equal([...next.documents()].length, left.length * legs.length)
  for (const callUuid of calls)
    t.same(
      new Set(next.documentsOf(callUuid).map((document) => JSON.stringify(document))),
      new Set(
        left.includes(callUuid)
          ? legs.map((legUuid) => JSON.stringify({ callUuid, legUuid, text: textOf(callUuid, legUuid) }))
          : [],
      ),
    )
  // After a start they go with the record as well.
  await Promise.all(left.map((callUuid) => next.append(unansweredCall({ callUuid }))))
  t.same([...next.documents()], [])
  t.same(next.openCalls(), [])
})

t.test('whatever a caller sends as a name or as the id of the call comes back unchanged', async (t) => {
  const journal = await testJournal(t)
  const text = fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: 'grapheme', minLength: 300 }))
  await fc.assert(
    fc.asyncProperty(text, text, async (callUuid, callerName) => {
      await journal.openCall(callUuid, { callerName })
      t.same(journal.openCalls(), [{ uuid: callUuid, data: { callerName } }])
      const call = unansweredCall({ callUuid, callerName })
      await journal.append(call)
      t.same(records(journal), [call])
      t.same(journal.openCalls(), [])
      await journal.remove(journal.read(1).map(({ key }) => key))
    }),
    { numRuns: 100 },
  )
  const lone = unansweredCall({ callUuid: '\0\ud800', callerName: '\udc00\n' })
  await journal.append(lone)
  t.same(records(journal), [lone])
})

t.test('keys rise, even when the clock was set back, and no two processes make the same', async (t) => {
  const future = `${String((Date.now() + 86_400_000) * 1000)}-ffffffffffff`
  const keys = new KeySequence(future)
  const made = [future, ...Array.from({ length: 1_000 }, () => keys.next())]
  t.same(made, [...new Set(made)].sort())
  const other = new KeySequence(future)
  t.not(other.next(), made[1])
})

t.test('what a newer release left is not touched', async (t) => {
  const dir = await temporaryFolder(t)
  await (await testJournal(t, dir)).close()
  const env = Environment.open(dir)
  await env.write([
    { on: 'open', key: 'newer', text: '{"v":2,"call":"newer"}' },
    { on: 'aside', key: '0000000000000001-newer', text: '{"v":2}' },
    { on: 'documents', key: documentKey('known', 'newer'), text: '{"v":2}' },
    { on: 'documents', key: documentKey('known', 'damaged'), text: '{"v":1,"text":"<' },
    { on: 'documents', key: documentKey('known', 'other'), text: '{"v":1,"text":"<cdr/>"}' },
  ])
  await env.close()
  const { log, warnings } = logLines()
  const journal = await Journal.open({ dir, log, reserveBytes })
  await journal.openCall('known', null)
  t.same(journal.openCalls(), [{ uuid: 'known', data: null }])
  t.equal(await journal.retryAside(), 0)
  t.equal(journal.aside, 1)
  t.ok(warnings().length > 0)
  await journal.keepDocument('known', 'whole', '<cdr/>')
  const before = warnings().length
  t.same([...journal.documents()], [{ callUuid: 'known', legUuid: 'whole', text: '<cdr/>' }])
  t.equal(warnings().length, before + 3)
  t.same(journal.documentsOf('known'), [{ callUuid: 'known', legUuid: 'whole', text: '<cdr/>' }])
  await journal.close()
  const after = Environment.open(dir)
  t.equal(after.count('documents'), 4, 'they stay there')
  await after.close()
})

t.test('a disk that does not answer: new calls are refused, records wait and are kept', async (t) => {
  const dir = await temporaryFolder(t)
  const journal = await Journal.open({ dir, log, reserveBytes, stallMs: 50 })
  t.teardown(() => journal.close())
  await journal.openCall('in hand', {})
  await journal.keepDocument('not let in', 'leg', '<cdr/>')
  // Another process holds the lock for writing until its input ends.
  const script = `
    import { readFileSync } from 'node:fs'
    import { Environment } from ${JSON.stringify(new URL('../src/journal/environment.js', import.meta.url).href)}
    Environment.open(${JSON.stringify(dir)}).exclusively(() => {
      console.log('locked')
      readFileSync(0)
    })
    process.exit()`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  t.notOk(journal.isFull, 'nothing is asked of it yet')
  const record = unansweredCall({ callUuid: 'in hand' })
  const kept = journal.append(record)
  await t.rejects(
    (async () => {
      // Before it is noticed, a call may be asked for, too; it waits behind the record.
      for (;;) await Promise.race([journal.openCall('new', {}), new Promise(setImmediate)])
    })(),
    { name: 'JournalError', code: 'full', message: 'the disk of the journal does not answer' },
  )
  t.ok(journal.isFull)
  t.equal(journal.pending, 0)
  const isRefused = { name: 'JournalError', code: 'full' }
  await t.rejects(journal.keepDocument('in hand', 'leg', '<cdr/>'), isRefused)
  await t.rejects(journal.rememberCalls([{ uuid: 'in hand', data: { legs: 1 } }]), isRefused)
  const refusal = unansweredCall({ callUuid: 'not let in', refusal: 'the disk does not answer' })
  await t.rejects(journal.append(refusal), isRefused)
  t.same([...journal.documents()], [{ callUuid: 'not let in', legUuid: 'leg', text: '<cdr/>' }])
  child.stdin.end()
  await kept
  t.same(records(journal), [record])
  t.notOk(journal.isFull)
  await journal.openCall('next', {})
  await journal.append(refusal)
  t.same(
    [...journal.documents()],
    [],
    'a document outlives a record that was not taken, and not the one that was',
  )
})

t.test('a journal that is closed says so', async (t) => {
  const journal = await testJournal(t)
  const kept = journal.append(paidCall(60_000))
  await journal.close()
  await kept
  await t.rejects(journal.append(paidCall(60_000)), { code: 'closed' })
  await t.rejects(journal.openCall('late', {}), { code: 'closed' })
  await journal.close()
})
