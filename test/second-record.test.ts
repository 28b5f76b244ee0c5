import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { parseMoney } from '../src/billing/money.js'
import { plainTerms } from '../src/billing/rating.js'
import { channelFacts } from '../src/call/facts.js'
import { identify, type Identity } from '../src/call/identify.js'
import { fromJsonCdr } from '../src/call/watch/json-cdr-document.js'
import { callsOf, fromHangupComplete, type LegDocument } from '../src/call/legs/leg-document.js'
import type { Attempt } from '../src/call/legs/legs.js'
import { readOpenRecord, type OpenRecord } from '../src/call/open-record.js'
import { secondRecord, type Told } from '../src/call/watch/second-record.js'
import { encodeCallState, encodeLegState, type CallState } from '../src/call/state.js'
import { Story } from '../src/call/story.js'
import { resume } from '../src/call/takeover.js'
import { callFacts, ownerOf } from '../src/call/legs/transferred-leg.js'
import { Event } from '../src/esl/event.js'
import type { CallRecord } from '../src/store/call-record.js'
import { Catalog } from '../src/store/catalog.js'
import { documentIn } from '../src/switch/cdr-text.js'
import { calledLegCdr, cdrOf, recordedCdr } from './support/cdr-documents.js'
import { logLines } from './support/log-lines.js'
import { outboundRecordings, recorded } from './support/recorded.js'
import { testDatabase } from './support/services.js'

/** Both sources of a call's record give the same one. */

const database = await testDatabase(t)
const catalog = await Catalog.load(database.pool, { log: logLines().log })
t.teardown(() => catalog.close())
const options = { catalog, trustedProfiles: new Set(['internal']), defaultCountry: 'VN' as const }

const attempt: Attempt = {
  id: 'attempt1',
  target: 'gateway:carrier1',
  gateway: { name: 'carrier1', carrierCostPerMinute: parseMoney('300') },
  number: '84901234567',
  rate: {
    ...plainTerms,
    prefix: '8490',
    prefixEntered: '090',
    description: 'Mobile Viettel',
    pricePerMinute: parseMoney('500'),
  },
}
const identity: Identity = {
  tenant: catalog.tenant('demo'),
  direction: 'outbound',
  caller: '84912406496',
  called: '84901234567',
  callerExtension: undefined,
  calledExtension: undefined,
  isEmergency: false,
}
const state: CallState = {
  node: 'node1',
  takeovers: 0,
  tenant: 'demo',
  direction: 'outbound',
  caller: identity.caller,
  called: identity.called,
  destination: '0901234567',
  route: 'dial',
  args: {},
  isVip: true,
  startedAt: 1,
  legs: [],
  results: [],
  steps: [],
  isGivenBack: false,
  attempt,
}

/** As the journal has it of a call of which nothing has been heard but its first packet. */
function openOf(uuid: string): OpenRecord {
  const { channel } = recorded('server-closes-while-bridged')
  const story = new Story({ ...channelFacts(channel), uuid }, identity)
  return readOpenRecord(JSON.parse(JSON.stringify(story.openRecord())))!
}

interface Heard {
  readonly channel: Event
  readonly events: readonly Event[]
}

/**
 * The same call at other times: each moment of it another one, in the same order. The events are the same ones each
 * time, because to copy all of their headers takes longer than all that is done with them.
 */
function atTimes({ channel, events }: Heard): (gaps: readonly number[], start: number) => void {
  const timed = [channel, ...events].flatMap((event) =>
    [...event].flatMap(([name, values]) => (values.some(isMoment) ? [{ event, name, values }] : [])),
  )
  const moments = [...new Set(timed.flatMap(({ values }) => values.filter(isMoment)))].sort()
  return (gaps, start) => {
    const moved = new Map<string, string>()
    let at = start
    moments.forEach((moment, i) => {
      at += gaps[i % gaps.length]!
      moved.set(moment, String(at))
    })
    for (const { event, name, values } of timed)
      event.set(
        name,
        values.map((value) => moved.get(value) ?? value),
      )
  }
}

function isMoment(text: string): boolean {
  return /^1[0-9]{15}$/.test(text)
}

function finalOf(events: readonly Event[]): Event | undefined {
  return events.find(({ name }) => name === 'CHANNEL_HANGUP_COMPLETE')
}

/** As a session makes it that heard all of it, or took it over, and of the called leg its own end. */
function bySession(
  { channel, events }: Heard,
  called: LegDocument | undefined,
): { story: Story; record: CallRecord } {
  const story = new Story(channelFacts(channel), identity)
  story.route = 'dial'
  story.gateway = 'carrier1'
  story.isVip = true
  story.legs.adopt(resume(state, channel).legs)
  story.legs.dialling(attempt)
  for (const event of events) story.observe(event)
  if (called !== undefined) story.hear(called)
  return { story, record: story.record(finalOf(events)) }
}

/** The called leg's own document: it may outlive the caller, and end before him. */
function calledDocument(heard: Heard, outlivesUs: number): LegDocument | undefined {
  const { story } = bySession(heard, undefined)
  const [leg] = story.legs.all
  if (leg?.answeredAt === undefined || leg.endedAt === undefined) return undefined
  const { uuid, answeredAt, bridgedAt } = leg
  const endedAt = Math.max(leg.endedAt + outlivesUs, bridgedAt, answeredAt)
  const callUuid = story.facts.uuid
  return fromJsonCdr(
    calledLegCdr({ uuid, callUuid, tenant: 'demo', attempt, answeredAt, bridgedAt, endedAt }),
  )
}

/** mod_json_cdr's document of a leg that was dialled for one number, and transferred to another. */
function transferredCdr(final: Event): Record<string, unknown> {
  const json = cdrOf(final) as { callflow: Record<string, Record<string, string>>[] }
  const [last] = json.callflow
  const first = {
    caller_profile: { caller_id_number: '1000', destination_number: '84901234567', ani: '1000' },
    times: { ...last?.times, profile_created_time: last?.times?.created_time ?? '' },
  }
  return { ...json, callflow: [last, first] }
}

/** What the two may differ in: who tells, and what only the session knows. */
function comparable({ source, hungUpBy, ...record }: CallRecord): unknown {
  return [record, source === 'incomplete' || hungUpBy === null]
}

t.test('the switch’s own documents give the same money as the session, at any time', async (t) => {
  // That of a called leg which got a socket of its own is told of below.
  const names = outboundRecordings().filter(
    (name) => finalOf(recorded(name).events)?.get('Call-Direction') === 'inbound',
  )
  t.ok(names.length > 40)
  let charged = 0
  for (const name of names) {
    const heard = recorded(name)
    const final = finalOf(heard.events)!
    const move = atTimes(heard)
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.integer({ min: 0, max: 2_000 }), fc.integer({ min: 0, max: 2e9 })), {
          minLength: 1,
          maxLength: 30,
        }),
        fc.integer({ min: 1e15, max: 1.8e15 }),
        fc.integer({ min: -5_000_000, max: 5_000_000 }),
        (gaps, start, outlivesUs) => {
          move(gaps, start)
          const callUuid = channelFacts(heard.channel).uuid
          const called = calledDocument(heard, outlivesUs)
          const { story, record } = bySession(heard, called)
          if (record.charges.length > 0) charged++
          const legs = called === undefined ? [] : [called]
          final.set('variable_linger_call', encodeCallState(state))
          const tellings: Told[] = [
            { callUuid, documents: [fromHangupComplete(final)!, ...legs], open: undefined },
            { callUuid, documents: [...legs, fromJsonCdr(cdrOf(final))], open: undefined },
          ]
          final.delete('variable_linger_call')
          const open = readOpenRecord(JSON.parse(JSON.stringify(story.openRecord())))
          assert(open)
          tellings.push({ callUuid, documents: [...legs, fromJsonCdr(cdrOf(final))], open })
          for (const told of tellings) {
            const other = secondRecord(told, options)!
            assert.equal(other.source, told.documents.find(({ uuid }) => uuid === callUuid)?.source)
            // A transferred call says in the event what it was for last.
            const expected = { ...record, calledRaw: other.calledRaw }
            if (called === undefined) Object.assign(expected, { gateway: other.gateway })
            assert.deepEqual(comparable(other), comparable(expected), name)
          }
        },
      ),
      { numRuns: 15 },
    )
  }
  t.ok(charged > 100)
})

t.test(
  'a leg that was transferred here is a call of its own: both sources tell the same, at any time',
  async () => {
    const dialled = { ...attempt, id: 'first' }
    const heard = recorded('refer-by-caller-2')
    const { channel, events } = heard
    const final = finalOf(events)!
    const move = atTimes(heard)
    const linger_leg = encodeLegState({ callUuid: randomUUID(), tenant: 'demo', attempt: dialled })
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 2e9 }), { minLength: 1, maxLength: 30 }),
        fc.integer({ min: 1e15, max: 1.8e15 }),
        (gaps, start) => {
          move(gaps, start)
          final.delete('variable_linger_call')
          for (const event of [channel, final]) event.set('variable_linger_leg', linger_leg)
          const facts = callFacts(channel)
          const owner = ownerOf(channel, facts, catalog)
          const story = new Story(facts, identify(facts, catalog, { ...options, owner }))
          story.route = 'dial'
          for (const event of events) story.observe(event)
          const record = story.record(final)
          assert.equal(record.callUuid, channel.get('Unique-ID'))
          assert.equal(record.startedAt, Number(channel.get('Caller-Profile-Created-Time')))
          assert.deepEqual(
            [record.caller, record.called, record.direction, record.charges, record.cost, record.ringMs],
            ['84901234567', '84908888888', 'outbound', [], '0.00', 0],
          )
          const unserved = callsOf(fromHangupComplete(final)).at(-1)!
          final.set('variable_linger_call', story.state('node1', attempt))
          const tellings: Told[] = [
            {
              callUuid: facts.uuid,
              documents: [callsOf(fromHangupComplete(final)).at(-1)!],
              open: undefined,
            },
            {
              callUuid: facts.uuid,
              documents: callsOf(fromJsonCdr(transferredCdr(final))).slice(1),
              open: undefined,
            },
            {
              callUuid: facts.uuid,
              documents: [unserved],
              open: readOpenRecord(JSON.parse(JSON.stringify(story.openRecord()))),
            },
          ]
          for (const told of tellings) {
            const other = secondRecord(told, options)!
            assert.deepEqual(comparable({ ...other, gateway: record.gateway }), comparable(record))
          }
          // No server lived to write anything.
          const nobodys = secondRecord(
            { callUuid: facts.uuid, documents: [unserved], open: undefined },
            options,
          )!
          assert.deepEqual(comparable({ ...nobodys, route: record.route }), comparable(record))
        },
      ),
      { numRuns: 30 },
    )
  },
)

t.test('a caller who is charged himself is so from our answer to his end, whoever tells', async (t) => {
  const { channel, events } = recorded('json-answer-caller-hangs-up')
  const own: Attempt = {
    ...attempt,
    id: 'own',
    target: 'answered',
    gateway: undefined,
    number: '842812345678',
  }
  const story = new Story(channelFacts(channel), identity)
  story.route = 'play'
  story.legs.answering(story.facts.uuid, own, undefined)
  const text = story.state('node1')
  const before = readOpenRecord(JSON.parse(JSON.stringify(story.openRecord())))
  for (const event of events) story.observe(event)
  const final = finalOf(events)!
  const record = story.record(final)
  const [answeredAt, endedAt] = ['answer', 'end'].map((name) => Number(final.get(`variable_${name}_uepoch`)))
  t.match(record, {
    bLegUuid: null,
    bridgedAt: null,
    bridgedMs: 0,
    gateway: null,
    charges: [{ legUuid: story.facts.uuid, gateway: null, number: '842812345678', answeredAt, endedAt }],
  })
  t.equal(record.billedMs, record.answeredMs)
  const callUuid = story.facts.uuid
  final.set('variable_linger_call', text)
  for (const told of [
    { documents: [fromHangupComplete(final)!], open: undefined },
    { documents: [fromJsonCdr(cdrOf(final))], open: before },
  ])
    t.same(
      comparable({ ...secondRecord({ callUuid, ...told }, options)!, isVip: false }),
      comparable({ ...record, isVip: false }),
    )
  const known = readOpenRecord(JSON.parse(JSON.stringify(story.openRecord())))!
  const lost = secondRecord({ callUuid, documents: [], open: before, seenAt: known.lastHeardAt }, options)!
  t.match(lost, { source: 'incomplete', charges: [] }, 'that it was answered was not known')
})

t.test('a caller and a carrier whose ends are seconds apart: the carrier’s counts', async (t) => {
  const caller = JSON.parse(recordedCdr('after-takeover-caller-leg')) as { variables: object }
  const called = JSON.parse(recordedCdr('after-takeover-called-leg')) as { variables: object }
  const documents = [
    fromJsonCdr({ ...caller, variables: { ...caller.variables, linger_call: encodeCallState(state) } }),
    fromJsonCdr(called),
  ]
  const record = secondRecord({ callUuid: documents[0]!.callUuid, documents, open: undefined }, options)!
  t.match(record, {
    source: 'json_cdr',
    tenant: 'demo',
    callUuid: 'd8a2a3af-85de-4bc3-b469-f286d0465ee8',
    bLegUuid: '3c8c77a3-b5e4-4538-8ebd-de0bcf65c911',
    answeredMs: 5_020,
    billedMs: 3_020,
    cost: '25.17',
    gateway: 'carrier1',
    calledRaw: '770901234567',
    hungUpBy: 'caller',
    charges: [{ answeredAt: 1795207538148748, endedAt: 1795207541168752 }],
  })
})

t.test('a call that was recorded more than once, and whose server died, names each file', (t) => {
  const recording = { path: '/rec/x-3.wav', isOver: true, earlier: ['/rec/x.wav', '/rec/x-2.wav'] }
  const linger_call = encodeCallState({ ...state, recording })
  const recordOf = (name: string) => {
    const json = JSON.parse(recordedCdr(name)) as { variables: object }
    const told = fromJsonCdr({ ...json, variables: { ...json.variables, linger_call } })
    return secondRecord({ callUuid: told.uuid, documents: [told], open: undefined }, options)!
  }
  t.match(recordOf('after-takeover-caller-leg'), {
    recordingPath: '/rec/x-3.wav',
    variables: { earlier_recordings: '/rec/x.wav /rec/x-2.wav' },
  })
  t.end()
})

t.test('a leg that says nothing itself ends where its caller went on, or with him', async (t) => {
  const json = JSON.parse(recordedCdr('after-takeover-caller-leg')) as { variables: object; app_log: object }
  const variables = { ...json.variables, linger_call: encodeCallState(state) }
  const recordOf = (document: unknown) => {
    const told = fromJsonCdr(document)
    return secondRecord({ callUuid: told.uuid, documents: [told], open: undefined }, options)!
  }
  const leg = { legUuid: '3c8c77a3-b5e4-4538-8ebd-de0bcf65c911', answeredAt: 1795207538188779 }
  t.match(recordOf({ ...json, variables }).charges, [{ ...leg, endedAt: 1795207541207436 }])
  t.match(recordOf({ ...json, variables, app_log: undefined }).charges, [
    { ...leg, endedAt: 1795207543188772 },
  ])
  // The tone that warns of the end of the money is played into the talk: that goes on.
  const { applications } = json.app_log as { applications: object[] }
  const tone = { app_name: 'playback', app_data: 'tone_stream://%(200,0,900)', app_stamp: '1795207540000000' }
  t.match(
    recordOf({ ...json, variables, app_log: { applications: applications.toSpliced(3, 0, tone) } }).charges,
    [{ ...leg, endedAt: 1795207541207436 }],
  )
  const left = { ...variables, linger_left_1: '1795207541190000' }
  t.match(recordOf({ ...json, variables: left }).charges, [{ ...leg, endedAt: 1795207541190000 }])
  // It is told of by the state: what was known of it then is not better than what it says itself, but than nothing.
  const known = { uuid: leg.legUuid, attempt, answeredAt: 1795207538148748, bridgedAt: 1795207538188779 }
  for (const [endedAt, expected] of [
    [undefined, 1795207541207436],
    [1795207540000000, 1795207540000000],
  ] as const) {
    const linger_call = encodeCallState({
      ...state,
      legs: [{ ...known, endedAt, endIsExact: false }],
      attempt: undefined,
    })
    t.match(recordOf({ ...json, variables: { ...variables, linger_call } }).charges, [
      { legUuid: leg.legUuid, answeredAt: known.answeredAt, endedAt: expected },
    ])
  }
})

t.test(
  'a leg that rang, or was refused, costs nothing, and names the gateway that was tried last',
  async (t) => {
    const json = JSON.parse(recordedCdr('cancelled-caller-leg')) as { variables: object }
    const called = JSON.parse(recordedCdr('cancelled-called-leg')) as { variables: object }
    const documents = [
      fromJsonCdr({ ...json, variables: { ...json.variables, linger_call: encodeCallState(state) } }),
      fromJsonCdr(called),
    ]
    t.match(secondRecord({ callUuid: documents[0]!.uuid, documents, open: undefined }, options), {
      charges: [],
      cost: '0.00',
      ringMs: 840,
      gateway: 'carrier1',
      bLegUuid: null,
      hangupCause: 'ORIGINATOR_CANCEL',
    })
  },
)

t.test(
  'a call that was given back is not charged for what the journal thought it was dialling',
  async (t) => {
    const callUuid = randomUUID()
    const at = 1795207538000000
    const open = { ...openOf(callUuid), isBlacklisted: true, attempt }
    const told = (state: CallState | undefined) => {
      const caller = cdrOf(new Event('CHANNEL_HANGUP_COMPLETE'), {
        uuid: callUuid,
        direction: 'inbound',
        ...(state && { linger_call: encodeCallState(state) }),
        start_uepoch: String(at),
        answer_uepoch: String(at + 1e6),
        end_uepoch: String(at + 20e6),
        bridge_uuid: 'theirs',
        hangup_cause: 'NORMAL_CLEARING',
      })
      return secondRecord({ callUuid, documents: [fromJsonCdr(caller)], open }, options)!
    }
    const givenBack = { ...state, attempt: undefined, isGivenBack: true } as const
    t.match(told({ ...givenBack, isBlacklisted: true }), {
      gateway: null,
      bLegUuid: null,
      isBlacklisted: true,
      cost: '0.00',
    })
    t.same(told(givenBack).charges, [])
    t.match(
      told(undefined),
      { gateway: 'carrier1', bLegUuid: 'theirs', isBlacklisted: true },
      'the journal alone knows',
    )
    t.match(told(state).charges, [{ legUuid: 'theirs', gateway: 'carrier1' }])
  },
)

t.test('three legs, one of them of a server before: each is charged once, in their order', async (t) => {
  const callUuid = randomUUID()
  const at = 1795207538000000
  const leg = (uuid: string, fromSecond: number, toSecond: number) => ({
    uuid,
    callUuid,
    tenant: 'demo',
    attempt: { ...attempt, id: uuid },
    answeredAt: at + fromSecond * 1e6,
    bridgedAt: at + fromSecond * 1e6,
    endedAt: at + toSecond * 1e6,
  })
  const first = { ...leg('leg1', 1, 5), endIsExact: false }
  const linger_call = encodeCallState({
    ...state,
    takeovers: 1,
    legs: [first],
    attempt: leg('leg3', 0, 0).attempt,
  })
  const final = new Event('CHANNEL_HANGUP_COMPLETE')
  const caller = cdrOf(final, {
    uuid: callUuid,
    direction: 'inbound',
    linger_call,
    start_uepoch: String(at),
    answer_uepoch: String(at + 1e6),
    end_uepoch: String(at + 20e6),
    bridge_uuid: 'leg3',
    hangup_cause: 'NORMAL_CLEARING',
  })
  const documents = [calledLegCdr(leg('leg3', 10, 19)), caller, calledLegCdr(leg('leg2', 6, 8))].map(
    fromJsonCdr,
  )
  const record = secondRecord({ callUuid, documents, open: undefined }, options)!
  t.same(
    record.charges.map(({ legUuid, billedMs }) => [legUuid, billedMs]),
    [
      ['leg1', 4_000],
      ['leg2', 2_000],
      ['leg3', 9_000],
    ],
  )
  t.match(record, { isTakenOver: true, cost: '125.00', bLegUuid: 'leg3', bridgedMs: 15_000 })
  // The same, were all documents there.
  const all = [...documents, fromJsonCdr(calledLegCdr(leg('leg1', 1, 4)))]
  t.equal(secondRecord({ callUuid, documents: all, open: undefined }, options)!.charges[0]?.billedMs, 3_000)
})

t.test(
  'without a word of the caller it is incomplete: each leg to its own end, or to the last sign of life',
  async (t) => {
    const { channel, events } = recorded('server-closes-while-bridged')
    const story = new Story(channelFacts(channel), identity)
    story.legs.dialling(attempt)
    for (const event of events) story.observe(event)
    const open = readOpenRecord(JSON.parse(JSON.stringify(story.openRecord())))!
    const { uuid, answeredAt, bridgedAt } = story.legs.talking!
    const callUuid = open.facts.uuid
    t.match(secondRecord({ callUuid, documents: [], open }, options), {
      source: 'incomplete',
      tenant: 'demo',
      answeredAt,
      charges: [{ legUuid: uuid, answeredAt, endedAt: open.lastHeardAt }],
    })
    const seenAt = open.lastHeardAt + 7_000_000
    t.match(secondRecord({ callUuid, documents: [], open, seenAt }, options)!.charges, [{ endedAt: seenAt }])
    const endedAt = bridgedAt + 60_000_000
    const told = calledLegCdr({
      uuid,
      callUuid,
      tenant: 'demo',
      attempt,
      answeredAt: answeredAt!,
      bridgedAt,
      endedAt,
    })
    const documents = [fromJsonCdr(told)]
    const exact = {
      charges: [{ legUuid: uuid, answeredAt, endedAt }],
      endedAt,
      source: 'incomplete',
      tenant: 'demo',
    }
    t.match(secondRecord({ callUuid, documents, open }, options), {
      ...exact,
      callerRaw: open.facts.callerNumber,
    })
    // Another node's: nothing is known but what the leg says.
    t.match(secondRecord({ callUuid, documents, open: undefined }, options), {
      ...exact,
      callUuid,
      calledRaw: '0901234567',
      caller: '84912406496',
    })
    t.equal(secondRecord({ callUuid, documents: [], open: undefined }, options), undefined)
  },
)

t.test('a call that no server knows is told of by its caller’s leg alone', async (t) => {
  const document = documentIn(recordedCdr('answered-caller-leg'))
  t.match(secondRecord({ callUuid: document.uuid, documents: [document], open: undefined }, options), {
    source: 'json_cdr',
    tenant: null,
    callerRaw: '0912406496',
    answeredMs: 1_520,
    durationMs: 1_860,
    cost: '0.00',
  })
})
