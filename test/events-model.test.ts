import fc from 'fast-check'
import t from 'tap'
import { callEvent, clean, hangupEvent, type CallDetails } from '../src/events/call-event.js'
import { decodeEvent, encodeEvent } from '../src/events/entry.js'
import { localTime } from '../src/common/local-time.js'
import type { CallRecord } from '../src/store/call-record.js'
import { snapshot } from './support/call-events.js'
import { paidCall, unansweredCall } from './support/call-records.js'

const uuid = '8ba94022-b0be-489f-ad60-e9636d9b071e'

t.test('what a consumer reads of a call that talks', async (t) => {
  const startedAt = Date.UTC(2026, 10, 21, 18, 2, 31, 900) * 1000
  const event = callEvent(
    snapshot({
      uuid,
      status: 'bridged',
      startedAt,
      answeredAt: startedAt + 3_200_000,
      at: startedAt + 65_123_456,
      takeovers: 2,
      count: 4,
      queueName: 'sales',
      agentExtension: '1000',
      agentAccount: '1000@pbx.example.com',
      channel: 'sofia/internal/1000@pbx.example.com',
      stations: { ivr: true, ring: true, queue: false, answer: true },
    }),
  )
  t.same(JSON.parse(JSON.stringify(event)), {
    timestamp: '2026-11-21T18:03:37.023Z',
    call_id: uuid,
    direction: 'outbound',
    customer_id: 'demo',
    trunk: 'carrier1',
    unique_id: uuid,
    phone_number: '84901234567',
    linked_id: uuid,
    call_status: 'bridged',
    queue_name: 'sales',
    bill_sec: '61',
    duration: '65',
    start_time: '2026-11-22 01:02:31',
    answer_time: '2026-11-22 01:02:35',
    end_time: '',
    agent_exten: '1000',
    agent_account: '1000@pbx.example.com',
    dial_mode: '',
    channel: 'sofia/internal/1000@pbx.example.com',
    metrics: { ivr: 1, ring: 1, queue: 0, answer: 1, inbound: 0, outbound: 1, internal: 0 },
    id: `${uuid}:2004:bridged`,
    sequence: 2004,
  })
})

t.test('whoever has a record tells of the same end, by the same id', async (t) => {
  const startedAt = Date.UTC(2026, 2, 29, 0, 59, 30) * 1000
  const record = paidCall(61_500, { callUuid: uuid, startedAt })
  const details: CallDetails = { queueName: 'sales', agentAccount: '1000@pbx', agentExtension: undefined }
  const told = hangupEvent(record, 'Europe/London', details)
  const alone = hangupEvent({ ...record, source: 'json_cdr' }, 'Europe/London')
  t.match(alone, {
    timestamp: '2026-03-29T01:00:31.500Z',
    call_id: uuid,
    call_status: 'hangup',
    trunk: 'carrier1',
    bill_sec: '61',
    duration: '61',
    // The clocks go forward in between.
    start_time: '2026-03-29 00:59:30',
    end_time: '2026-03-29 02:00:31',
    agent_exten: '1000',
    queue_name: '',
    metrics: { ring: 1, answer: 1, ivr: 0, queue: 0, outbound: 1 },
    id: `${uuid}:hangup`,
    sequence: 999_999_999,
  })
  t.same({ ...told, queue_name: '', agent_account: '' }, alone)
  t.match(told, { queue_name: 'sales', agent_account: '1000@pbx', agent_exten: '1000' })
})

const ends: Record<string, [Partial<CallRecord>, object | undefined]> = {
  'nobody answered': [
    {},
    { bill_sec: '0', duration: '3', answer_time: '', metrics: { ring: 1, answer: 0 }, agent_exten: '1000' },
  ],
  'it never rang': [{ ringMs: 0 }, { metrics: { ring: 0, answer: 0 } }],
  'an inbound one': [
    { direction: 'inbound', caller: '84912345678', called: '842873000000' },
    { phone_number: '84912345678', agent_exten: '', metrics: { inbound: 1, outbound: 0 } },
  ],
  'an internal one': [
    { direction: 'internal', called: '1001', gateway: null },
    { phone_number: '1001', trunk: '', agent_exten: '1000', metrics: { internal: 1 } },
  ],
  'a menu': [{ route: 'menu' }, { metrics: { ivr: 1, queue: 0 } }],
  'a queue': [{ route: 'queue' }, { metrics: { ivr: 0, queue: 1 } }],
  'a call of nobody': [{ tenant: null }, undefined],
}
t.test('the end as a record alone tells it', async (t) => {
  for (const [name, [changes, expected]] of Object.entries(ends)) {
    const event = hangupEvent(unansweredCall(changes), 'Asia/Ho_Chi_Minh')
    if (expected === undefined) t.equal(event, undefined, name)
    else t.match(event, expected, name)
  }
})

t.test('what cannot be published is no event', async (t) => {
  t.ok(callEvent(snapshot({ count: 999 })))
  t.equal(callEvent(snapshot({ count: 1_000 })), undefined, 'it would have the number of another node')
  for (const tenant of ['', 'a.b', 'a b', '*', 'ü', 'x'.repeat(65)])
    t.equal(callEvent(snapshot({ tenant })), undefined, JSON.stringify(tenant))
  t.equal(callEvent(snapshot({ status: 'talks\r\n' })), undefined)
})

t.test('each change has an id of its own, and later ones have greater numbers', (t) => {
  const change = fc.record({ takeovers: fc.nat(50), count: fc.integer({ min: 1, max: 999 }) })
  fc.assert(
    fc.property(change, change, (one, other) => {
      const [a, b] = [one, other].map((at) => callEvent(snapshot({ uuid, ...at }))!)
      const order = one.takeovers - other.takeovers || one.count - other.count
      return (
        Math.sign(a!.sequence - b!.sequence) === Math.sign(order) &&
        (a!.id === b!.id) === (order === 0) &&
        a!.sequence < 999_999_999
      )
    }),
  )
  t.end()
})

t.test('whatever a switch or a caller sends becomes one line of sound text', (t) => {
  const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 400 }), fc.string({ unit: 'grapheme' }))
  fc.assert(
    fc.property(text, text, text, (uuid, called, channel) => {
      const event = callEvent(snapshot({ uuid, called, channel }))!
      const read = decodeEvent(encodeEvent(event))!
      t.same(JSON.parse(read.json), event)
      const { id, customer, status } = read
      t.same({ id, customer, status }, { id: event.id, customer: 'demo', status: 'ringing' })
      // A message's properties hold no more.
      t.ok(Buffer.byteLength(id) <= 255)
      t.match(id, /^[\x20-\x7e]+:1:ringing$/)
      for (const field of [event.call_id, event.phone_number, event.channel]) {
        t.ok(field.length <= 256)
        t.notMatch(field, /[\0-\x1f\x7f\u2028]/)
        t.equal(Buffer.from(field).toString(), field, 'no half characters')
      }
    }),
    { numRuns: 50 },
  )
  t.equal(clean(`${'x'.repeat(127)}😀`), `${'x'.repeat(127)} `)
  t.equal(clean('Đặng 😀'), 'Đặng 😀')
  t.end()
})

t.test('an entry that is damaged, or of a newer release, is none', async (t) => {
  const text = encodeEvent(callEvent(snapshot())!)
  for (const entry of [
    '',
    '{}',
    text.slice(0, 20),
    text.replace('"v":1', '"v":2'),
    text.replace('"id"', '"di"'),
  ])
    t.equal(decodeEvent(entry), undefined, entry.slice(0, 30))
})

t.test('local time is what a clock on the wall there shows', (t) => {
  const zones = ['Asia/Ho_Chi_Minh', 'America/New_York', 'Asia/Kathmandu', 'Australia/Lord_Howe', 'UTC']
  const moment = fc.date({ min: new Date('2000-01-01'), max: new Date('2040-01-01'), noInvalidDate: true })
  fc.assert(
    fc.property(moment, fc.constantFrom(...zones), (date, timeZone) => {
      const wall = new Intl.DateTimeFormat('sv-SE', { timeZone, dateStyle: 'short', timeStyle: 'medium' })
      t.equal(localTime(date.getTime() * 1000, timeZone), wall.format(date))
    }),
  )
  t.equal(localTime(0, 'No/Where'), '1970-01-01 00:00:00', 'a zone that is not known is UTC')
  t.end()
})
