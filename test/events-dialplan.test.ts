import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import type { CallEvent } from '../src/events/call-event.js'
import type { EventChannel, Variables } from '../src/events/dialplan-event.js'
import { DialplanEvents } from '../src/events/dialplan-events.js'
import { connectRedis } from '../src/screening/redis.js'
import { logLines } from './support/log-lines.js'
import { Line } from './support/outage.js'
import { testRedis } from './support/services.js'

const { url } = await testRedis(t)
const startedAt = (Math.floor(Date.now() / 1000) - 90) * 1_000_000

function testDialplan(t: Pick<Test, 'teardown'>, redisUrl = url) {
  const { log, lines } = logLines()
  const redis = connectRedis(redisUrl, log)
  t.teardown(() => {
    redis.disconnect()
  })
  const published: CallEvent[] = []
  const events = {
    publish: (event: CallEvent | undefined) => {
      if (event !== undefined) published.push(event)
    },
  }
  const dialplan = new DialplanEvents({ events, redis, log, timeZoneOf: () => 'Asia/Ho_Chi_Minh' })
  const publish = (variables: Variables, channel: Partial<EventChannel> = {}) =>
    dialplan.publish(variables, { uuid: randomUUID(), startedAt, ...channel })
  return { redis, published, publish, lines }
}

async function ready(redis: Redis): Promise<void> {
  if (redis.status !== 'ready') await once(redis, 'ready')
}

t.test('what one channel of a call knows is in the events of the others', async (t) => {
  const { redis, published, publish } = testDialplan(t)
  await ready(redis)
  const call = { CALL_ID: randomUUID(), CUSTOMER_ID: 'acme', DIRECTION: 'INBOUND', PHONE_DIAL: '0901234567' }
  const answer = Math.floor(startedAt / 1_000_000) + 30
  await publish(
    { ...call, CALL_STATUS: 'ringing', TRUNK: 'carrier1', UNIQUE_ID: 'a', LINKED_ID: 'a' },
    { uuid: 'a', name: 'sofia/external/0901234567@carrier1' },
  )
  await publish(
    {
      ...call,
      CALL_STATUS: 'answered',
      ANSWER_TIME: String(answer),
      AGENT_EXTEN: '1000',
      AGENT_ACCOUNT: '1000@pbx',
      QUEUE_NAME: 'sales',
    },
    { uuid: 'b', startedAt: startedAt + 20_000_000 },
  )
  await publish({ ...call, CALL_STATUS: 'hangup', HANDLE_TIME: String(answer + 45) }, { uuid: 'a' })
  const [ringing, answered, hangup] = published
  t.match(ringing, {
    call_id: call.CALL_ID,
    customer_id: 'acme',
    direction: 'inbound',
    phone_number: '0901234567',
    trunk: 'carrier1',
    unique_id: 'a',
    linked_id: 'a',
    channel: 'sofia/external/0901234567@carrier1',
    agent_exten: '',
    answer_time: '',
    bill_sec: '0',
    metrics: { ring: 1, answer: 0, queue: 0, inbound: 1 },
    id: `${call.CALL_ID}:a:1`,
    sequence: 1,
  })
  t.match(answered, { unique_id: 'b', queue_name: 'sales', metrics: { queue: 1, answer: 1 }, sequence: 2 })
  t.equal(answered?.start_time, ringing?.start_time, 'the call is as old as its first channel')
  t.match(hangup, {
    agent_exten: '1000',
    agent_account: '1000@pbx',
    answer_time: answered?.answer_time,
    bill_sec: '45',
    duration: '75',
    end_time: /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/,
    sequence: 3,
  })
  const ttl = await redis.ttl(`linger:event:acme:${call.CALL_ID}`)
  t.ok(ttl > 86_000 && ttl <= 86_400)
})

t.test('two customers may have calls of the same id', async (t) => {
  const { redis, published, publish } = testDialplan(t)
  await ready(redis)
  const call = { CALL_ID: randomUUID(), CALL_STATUS: 'bridged' }
  await publish({ ...call, CUSTOMER_ID: 'acme', AGENT_EXTEN: '1000' })
  await publish({ ...call, CUSTOMER_ID: 'other' })
  t.match(published, [
    { customer_id: 'acme', agent_exten: '1000', sequence: 1 },
    { customer_id: 'other', agent_exten: '', sequence: 1 },
  ])
})

t.test("what a dialplan says of the channel's own call comes after what was told of it", async (t) => {
  const { redis, published, publish } = testDialplan(t)
  await ready(redis)
  const call = { CUSTOMER_ID: 'acme', CALL_STATUS: 'ivr' }
  const uuid = randomUUID()
  await publish(call, { uuid, sequence: 1_003 })
  await publish(call, { uuid, sequence: 1_004 })
  await publish({ ...call, CALL_ID: randomUUID() }, { uuid, sequence: 1_005 })
  t.same(
    published.map(({ sequence }) => sequence),
    [1_004, 1_005, 1],
  )
})

const times: Record<string, [Variables, Partial<CallEvent>]> = {
  'seconds since 1970': [{ ANSWER_TIME: '1795284151' }, { answer_time: '2026-11-22 01:02:31' }],
  milliseconds: [{ ANSWER_TIME: '1795284151999' }, { answer_time: '2026-11-22 01:02:31' }],
  microseconds: [{ ANSWER_TIME: '1795284151999999' }, { answer_time: '2026-11-22 01:02:31' }],
  'local time': [
    { ANSWER_TIME: '2026-11-22 01:02:31', HANDLE_TIME: '2026-11-22 01:03:01' },
    { answer_time: '2026-11-22 01:02:31', bill_sec: '30' },
  ],
  'seconds that were talked': [{ HANDLE_TIME: '0042' }, { bill_sec: '42', answer_time: '' }],
  'no time at all': [
    { ANSWER_TIME: 'soon', HANDLE_TIME: '-1' },
    { bill_sec: '0', answer_time: '' },
  ],
}
t.test('times are understood as dialplans write them', async (t) => {
  const { redis, published, publish } = testDialplan(t)
  await ready(redis)
  for (const [name, [variables, expected]] of Object.entries(times)) {
    await publish({ CALL_ID: randomUUID(), CUSTOMER_ID: 'acme', CALL_STATUS: 'bridged', ...variables })
    t.match(published.at(-1), expected, name)
  }
})

t.test('a dialplan that says little publishes its own channel, for its tenant', async (t) => {
  const { redis, published, publish } = testDialplan(t)
  await ready(redis)
  await publish({ CALL_STATUS: 'ivr' }, { uuid: 'lonely', tenant: 'demo' })
  t.match(published, [
    { call_id: 'lonely', unique_id: 'lonely', linked_id: 'lonely', customer_id: 'demo', metrics: { ivr: 1 } },
  ])
})

const wrong: Record<string, [Variables, RegExp]> = {
  'no customer': [{ CALL_STATUS: 'ringing' }, /CUSTOMER_ID is not set/],
  'a customer that fits no queue': [{ CUSTOMER_ID: 'a.#', CALL_STATUS: 'ringing' }, /CUSTOMER_ID is "a\.#"/],
  'a customer of two lines': [{ CUSTOMER_ID: 'a\nb', CALL_STATUS: 'ringing' }, /CUSTOMER_ID is "a\\nb"/],
  'no status': [{ CUSTOMER_ID: 'acme' }, /CALL_STATUS is not set/],
  'a status that is none': [{ CUSTOMER_ID: 'acme', CALL_STATUS: 'it rings' }, /CALL_STATUS is "it rings"/],
  'an id that is none': [
    { CUSTOMER_ID: 'acme', CALL_STATUS: 'ringing', CALL_ID: 'x'.repeat(129) },
    /CALL_ID is "x{100}"/,
  ],
}
t.test('what cannot be published is logged, and nothing else', async (t) => {
  const { published, publish, lines } = testDialplan(t)
  for (const [name, [variables, reason]] of Object.entries(wrong)) {
    await publish(variables)
    t.match(lines.at(-1), { level: 40, msg: 'an event of the dialplan is not published', reason }, name)
  }
  t.same(published, [])
})

t.test('values longer than anybody means are cut, and make one line', async (t) => {
  const { redis, published, publish } = testDialplan(t)
  await ready(redis)
  const long = `\r\n${'x'.repeat(5_000)}`
  const uuid = 'ü'.repeat(300)
  await publish(
    {
      CALL_ID: 'x'.repeat(128),
      CUSTOMER_ID: 'acme',
      CALL_STATUS: 'ringing',
      ...Object.fromEntries(
        ['TRUNK', 'UNIQUE_ID', 'PHONE_DIAL', 'LINKED_ID', 'QUEUE_NAME', 'AGENT_EXTEN', 'AGENT_ACCOUNT'].map(
          (name) => [name, long],
        ),
      ),
    },
    { uuid },
  )
  const [event] = published
  t.ok(Buffer.byteLength(event!.id) <= 255)
  for (const value of Object.values(event!))
    if (typeof value === 'string') {
      t.ok(value.length <= 256)
      t.notMatch(value, /[\r\n]/)
    }
})

t.test('Redis away: the event goes out in time, with what its channel knows', async (t) => {
  const line = await Line.to(t, url)
  const { redis, published, publish, lines } = testDialplan(t, line.url(url))
  await ready(redis)
  const call = { CALL_ID: randomUUID(), CUSTOMER_ID: 'acme', CALL_STATUS: 'bridged' }
  await publish({ ...call, AGENT_EXTEN: '1000' }, { uuid: 'b' })
  await line.cut()
  await publish(call, { uuid: 'a' })
  await publish({ ...call, CALL_STATUS: 'hangup', AGENT_EXTEN: '1001' }, { uuid: 'a' })
  t.match(published, [
    { agent_exten: '1000', sequence: 1 },
    { agent_exten: '', call_status: 'bridged' },
    { agent_exten: '1001', call_status: 'hangup' },
  ])
  const [, second, third] = published
  t.ok(second!.sequence > 1_000_000 && third!.sequence >= second!.sequence)
  const told = lines.filter(({ msg }) => msg.startsWith('Redis does not answer: events go without'))
  t.equal(told.length, 1)
})

t.test('Redis slow: the event does not wait for it for long', async (t) => {
  const { redis, published, publish, lines } = testDialplan(t)
  await ready(redis)
  // Its answers are not heard.
  redis.stream.pause()
  await publish({ CUSTOMER_ID: 'acme', CALL_STATUS: 'bridged', AGENT_EXTEN: '1000' })
  redis.stream.resume()
  t.match(published, [{ agent_exten: '1000' }])
  t.match(lines.at(-1), { reason: 'no answer within 200 ms' })
})
