import t from 'tap'
import { parseMoney } from '../src/billing/money.js'
import { plainTerms, type Rate } from '../src/billing/rating.js'
import { channelFacts, micros } from '../src/call/facts.js'
import type { Identity } from '../src/call/identify.js'
import { Legs } from '../src/call/legs/legs.js'
import { callRecord, type CallStory } from '../src/call/record.js'
import type { CallRecord } from '../src/store/call-record.js'
import type { Tenant } from '../src/store/catalog.js'
import { outboundRecordings, recorded } from './support/recorded.js'

const demo: Tenant = {
  id: 'demo',
  name: 'Demo',
  country: 'VN',
  currency: 'VND',
  maxCallSeconds: 14_400,
  ringSeconds: 60,
  emergencyNumbers: new Set(),
  localPrefixes: [],
  timeZone: 'Asia/Ho_Chi_Minh',
  allowsUnrated: false,
  billing: 'prepaid',
  recordDirections: new Set(),
}
const rate: Rate = {
  ...plainTerms,
  prefix: '8490',
  prefixEntered: '090',
  description: 'Mobile Viettel',
  pricePerMinute: parseMoney('500'),
}
const attempt = {
  id: 'attempt1',
  target: 'gateway:carrier1',
  gateway: { name: 'carrier1', carrierCostPerMinute: parseMoney('300') },
  number: '84901234567',
  rate,
}
const identity: Identity = {
  tenant: demo,
  direction: 'outbound',
  caller: '84912406496',
  called: '84901234567',
  callerExtension: undefined,
  calledExtension: undefined,
  isEmergency: false,
}

function recordOf(name: string, story: Partial<CallStory> = {}): CallRecord {
  const { channel, events } = recorded(name)
  const legs = new Legs()
  legs.dialling(attempt)
  let lastHeardAt = 0
  for (const event of events) {
    legs.observe(event)
    lastHeardAt = micros(event, 'Event-Date-Timestamp') ?? lastHeardAt
  }
  const finalEvent = events.find((event) => event.name === 'CHANNEL_HANGUP_COMPLETE')
  if (finalEvent === undefined) legs.close(lastHeardAt)
  return callRecord({
    source: finalEvent ? 'session' : 'incomplete',
    isTakenOver: false,
    facts: channelFacts(channel),
    identity,
    legs: legs.all,
    route: 'dial',
    gateway: 'carrier1',
    isVip: false,
    isBlacklisted: false,
    refusal: undefined,
    recordingPath: undefined,
    earlierRecordings: [],
    ending: undefined,
    finalEvent,
    lastHeardAt,
    ...story,
  })
}

t.test(
  'a caller hangs up after a talk: the carrier leg is charged from its own answer to its own end',
  async (t) => {
    const record = recordOf('bridge-answered-caller-hangs-up')
    t.match(record, {
      source: 'session',
      callUuid: '1231c353-654e-4a12-8cc5-2f8a458b5d81',
      bLegUuid: '785d37b1-e0ca-46c1-bf30-55a9a12cc78e',
      callerRaw: '0912406496',
      calledRaw: '0901234567',
      startedAt: 1795206883388740,
      answeredAt: 1795206884428739,
      endedAt: 1795206886968733,
      durationMs: 3580,
      ringMs: 1020,
      answeredMs: 2540,
      bridgedMs: 2540,
      // The carrier answered one packet before the caller heard it.
      billedMs: 2560,
      hangupCause: 'NORMAL_CLEARING',
      q850Cause: 16,
      sipStatus: 200,
      hungUpBy: 'caller',
      gateway: 'carrier1',
      sipCallId: '1-31750@127.0.0.1',
      switchName: 'vm',
      codec: 'PCMU',
      mos: '4.50',
      cost: '21.33',
      carrierCost: '12.80',
    })
    t.same(record.charges, [
      {
        legUuid: '785d37b1-e0ca-46c1-bf30-55a9a12cc78e',
        gateway: 'carrier1',
        number: '84901234567',
        prefix: '8490',
        prefixEntered: '090',
        description: 'Mobile Viettel',
        pricePerMinute: '500.00',
        terms: {},
        answeredAt: 1795206884408737,
        endedAt: 1795206886968733,
        billedMs: 2_560,
        chargedMs: 2_560,
        cost: '21.33',
        carrierCost: '12.80',
      },
    ])
  },
)

t.test('the called side hangs up', async (t) => {
  const ending = { cause: 'NORMAL_CLEARING', by: 'called' } as const
  const record = recordOf('bridge-then-continue', { ending })
  t.match(record, { hungUpBy: 'called', hangupCause: 'NORMAL_CLEARING', billedMs: 1540, answeredMs: 1840 })
  t.equal(
    record.charges[0]?.endedAt,
    micros(
      recorded('bridge-then-continue').events.find((e) => e.name === 'CHANNEL_UNBRIDGE')!,
      'Event-Date-Timestamp',
    ),
  )
})

for (const [name, cause, q850] of [
  ['bridge-refused-404', 'UNALLOCATED_NUMBER', 1],
  ['bridge-refused-486', 'USER_BUSY', 17],
  ['bridge-refused-503', 'NORMAL_TEMPORARY_FAILURE', 41],
  ['bridge-no-answer', 'NO_ANSWER', 19],
] as const) {
  t.test(`${name}: nothing is charged, whatever the cause (${cause}, ${q850})`, async (t) => {
    t.match(recordOf(name), {
      cost: '0.00',
      carrierCost: null,
      billedMs: 0,
      answeredAt: null,
      bLegUuid: null,
      charges: [],
    })
  })
}

t.test('a refused caller has a record with the cause that he heard', async (t) => {
  const record = recordOf('reject-before-answer', {
    ending: { cause: 'CALL_REJECTED', by: 'server' },
    refusal: 'the caller is blacklisted',
    isBlacklisted: true,
  })
  t.match(record, {
    hangupCause: 'CALL_REJECTED',
    q850Cause: 21,
    hungUpBy: 'server',
    answeredAt: null,
    durationMs: 20,
  })
})

t.test('a caller who cancels while it rings', async (t) => {
  t.match(recordOf('caller-cancels-while-ringing'), {
    hangupCause: 'ORIGINATOR_CANCEL',
    sipStatus: 487,
    hungUpBy: 'caller',
    ringMs: 840,
    cost: '0.00',
  })
})

t.test('a leg that its timer ended was ended by us', async (t) => {
  const ending = { cause: 'ALLOTTED_TIMEOUT', by: 'called' } as const
  t.match(recordOf('bridge-leg-timer', { ending }), { hungUpBy: 'server', billedMs: 2020, cost: '16.83' })
})

t.test('without a final event a call is billed to the last sign of life, and says so', async (t) => {
  const record = recordOf('server-closes-while-bridged')
  t.match(record, { source: 'incomplete', hangupCause: 'UNSPECIFIED', q850Cause: null, hungUpBy: null })
  t.equal(record.charges.length, 1)
  t.equal(record.endedAt, record.charges[0]?.endedAt)
})

t.test('the three event formats give the same record', async (t) => {
  const shape = (name: string) => {
    const { hangupCause, q850Cause, hungUpBy, direction, codec, mos, sipStatus } = recordOf(name)
    return { hangupCause, q850Cause, hungUpBy, direction, codec, mos, sipStatus }
  }
  t.same(shape('plain-answer-caller-hangs-up'), shape('json-answer-caller-hangs-up'))
  t.same(shape('xml-answer-caller-hangs-up'), shape('json-answer-caller-hangs-up'))
})

t.test("every recorded call makes a record whose times agree with FreeSWITCH's own", async (t) => {
  for (const name of outboundRecordings()) {
    const final = recorded(name).events.find((event) => event.name === 'CHANNEL_HANGUP_COMPLETE')
    const record = recordOf(name)
    if (!final) continue
    t.equal(String(record.durationMs), final.get('variable_mduration'), `${name}: duration`)
    t.equal(String(record.answeredMs), final.get('variable_billmsec'), `${name}: answered`)
    t.ok(
      record.bridgedMs <= record.durationMs && record.ringMs <= record.durationMs,
      `${name}: parts within the whole`,
    )
  }
})
