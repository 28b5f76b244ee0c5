import { readdirSync } from 'node:fs'

import t, { type Test } from 'tap'

import type { CallOptions } from './support/switch/call.js'
import { differencesOf, kindOf } from './support/switch/comparison.js'
import type { Action, Destination } from './support/switch/dialplan.js'
import type { FarEnd } from './support/switch/far-end.js'
import { readTranscript, type RecordedFrame, type RecordedStep } from './support/switch/recordings.js'
import { replay, ReplayServer } from './support/switch/replay.js'
import { SimulatedSwitch } from './support/switch/switch.js'

/** What the world around the switch did while a transcript was recorded. */
interface Scenario {
  readonly farEnd?: FarEnd
  readonly callerHangsUpAfterMs?: number
  /** Actions before `socket`. */
  readonly before?: readonly Action[]
  readonly path?: string
  /** Where a transfer leads to, given where the second server listens. */
  readonly transfer?: (second: Destination | undefined) => readonly Action[]
  /** The second server is the dialplan's next action. */
  readonly isTakenOver?: true
}

const keepsBridge: Action = { application: 'set', argument: 'hangup_after_bridge=false' }
const takeover: Scenario = { before: [keepsBridge], isTakenOver: true }
const toSecondServer = (second: Destination | undefined): readonly Action[] =>
  second === undefined ? [] : [{ socket: [second] }]
const answersAtOnce: FarEnd = { answersAfterMs: 0 }

/** By transcript; those that end in -1 and -2 are one call with two servers. */
const scenarios: Readonly<Record<string, Scenario>> = {
  'blind-transfer': {
    transfer: () => [
      { application: 'sleep', argument: '300' },
      { application: 'answer' },
      { application: 'sleep', argument: '1500' },
      { application: 'hangup', argument: 'NORMAL_CLEARING' },
    ],
  },
  'bridge-answered-called-hangs-up': { farEnd: { answersAfterMs: 0, hangsUpAfterMs: 1540 } },
  'bridge-answered-caller-hangs-up': {
    farEnd: { ringsAfterMs: 0, answersAfterMs: 1000, callerHangsUpAfterMs: 2560 },
  },
  'bridge-failover': { farEnd: { refusesWith: 503 } },
  'bridge-leg-timer': { farEnd: { ringsAfterMs: 0, answersAfterMs: 500 } },
  'bridge-no-answer': { farEnd: { ringsAfterMs: 0 } },
  'bridge-nobody-listens': { farEnd: { refusesWith: 503, refusesAfterMs: 0 } },
  'bridge-refused-404': { farEnd: { refusesWith: 404 } },
  'bridge-refused-480': { farEnd: { refusesWith: 480 } },
  'bridge-refused-486': { farEnd: { refusesWith: 486 } },
  'bridge-refused-503': { farEnd: { refusesWith: 503 } },
  'bridge-refused-603': { farEnd: { refusesWith: 603 } },
  'bridge-then-continue': { farEnd: { answersAfterMs: 0, hangsUpAfterMs: 1520 } },
  'callcenter-answered': { callerHangsUpAfterMs: 5040 },
  'callcenter-queue': { callerHangsUpAfterMs: 7040 },
  'caller-cancels-while-ringing': { farEnd: { ringsAfterMs: 0, callerCancelsAfterMs: 820 } },
  'caller-hangs-up-during-digits': { callerHangsUpAfterMs: 1540 },
  'commands-after-hangup': { callerHangsUpAfterMs: 840 },
  'commands-and-errors': {},
  'digits-entered': {},
  'digits-timeout': {},
  'filter-and-event-list': { callerHangsUpAfterMs: 1040 },
  'give-back': { path: 'checkphone' },
  'guard-cancelled': {
    before: [keepsBridge, { application: 'sched_hangup', argument: '+5 NORMAL_TEMPORARY_FAILURE' }],
    callerHangsUpAfterMs: 7040,
  },
  'hangup-timer-extended': {},
  'hangup-timer-twice': {},
  'json-answer-caller-hangs-up': { callerHangsUpAfterMs: 2040 },
  'linger-times-out': { callerHangsUpAfterMs: 1040 },
  'loops-and-body-argument': { callerHangsUpAfterMs: 2540 },
  'no-linger': { callerHangsUpAfterMs: 1040 },
  'one-write-handshake': { callerHangsUpAfterMs: 1860 },
  'pipelined-handshake': { callerHangsUpAfterMs: 1440 },
  'plain-answer-caller-hangs-up': { callerHangsUpAfterMs: 2040 },
  'record-session': { callerHangsUpAfterMs: 2040 },
  'refer-by-called': {
    farEnd: { ...answersAtOnce, refers: { by: 'called', afterMs: 1020, to: '0908888888' } },
    transfer: toSecondServer,
  },
  'refer-by-caller': {
    farEnd: {
      ringsAfterMs: 0,
      answersAfterMs: 120,
      refers: { by: 'caller', afterMs: 1040, to: '0908888888' },
    },
    transfer: toSecondServer,
  },
  'refuse-503': {},
  'reject-before-answer': {},
  'sched-hangup': {},
  'server-closes-while-bridged': { farEnd: answersAtOnce },
  'server-closes-while-ringing': { before: [keepsBridge], farEnd: { ringsAfterMs: 0 } },
  'server-closes-while-talking': {},
  'socket-path-checkphone': { path: 'checkphone', callerHangsUpAfterMs: 540 },
  'takeover-after-bridge': {
    ...takeover,
    farEnd: { answersAfterMs: 0, hangsUpAfterMs: 3020 },
    callerHangsUpAfterMs: 5060,
  },
  'takeover-while-talking': { ...takeover, callerHangsUpAfterMs: 3040 },
  'takeover-with-state': { ...takeover, callerHangsUpAfterMs: 2040 },
  'while-bridged': { farEnd: { ringsAfterMs: 0, answersAfterMs: 100 } },
  'xml-answer-caller-hangs-up': { callerHangsUpAfterMs: 1040 },
}

const transcripts = readdirSync(new URL('../../test/recordings/transcripts', import.meta.url))
  .map((file) => file.replace('.jsonl', ''))
  .filter((name) => !name.startsWith('inbound-'))

t.test('every outbound transcript is replayed', (t) => {
  const recorded = new Set(transcripts.map((name) => name.replace(/-[12]$/, '')))
  t.same(Object.keys(scenarios), [...recorded].sort())
  t.end()
})

for (const [name, scenario] of Object.entries(scenarios))
  t.test(`the switch says what FreeSWITCH said: ${name}`, async (t) => {
    const names = transcripts.filter((transcript) => transcript.replace(/-[12]$/, '') === name)
    const recordings = names.map(readTranscript)
    const uuids = new Map<string, string>()
    const servers = recordings.map((steps) => new ReplayServer(steps, uuids))
    const sw = new SimulatedSwitch({ noticeOrder: 'recorded' })
    t.teardown(() => {
      sw.destroy()
      for (const server of servers) server.close()
    })
    const destinations = await Promise.all(servers.map((server) => server.listen()))
    const call = sw.call(callOptions(scenario, recordings[0] ?? [], destinations))
    try {
      await replay(call, servers)
    } catch (error) {
      t.fail((error as Error).message)
    }
    for (const [index, server] of servers.entries())
      compare(t, names[index] ?? '', framesIn(recordings[index] ?? []), server.frames)
  })

function callOptions(
  scenario: Scenario,
  steps: readonly RecordedStep[],
  [first, second]: readonly Destination[],
): CallOptions {
  const data = framesIn(steps)[0]?.event
  const { farEnd, callerHangsUpAfterMs, before = [], path, transfer, isTakenOver } = scenario
  if (first === undefined) throw new Error('no server')
  const to = path === undefined ? first : { ...first, path }
  const next = isTakenOver === undefined ? [] : toSecondServer(second)
  return {
    caller: String(data?.get('Caller-Caller-ID-Number')),
    called: String(data?.get('Caller-Destination-Number')),
    dialplan: [...before, { socket: [to] }, ...next],
    speed: 'manual',
    ...(farEnd === undefined ? {} : { farEnd }),
    ...(callerHangsUpAfterMs === undefined ? {} : { callerHangsUpAfterMs }),
    ...(transfer === undefined ? {} : { transferDialplan: () => transfer(second) }),
  }
}

function framesIn(steps: readonly RecordedStep[]): RecordedFrame[] {
  return steps.flatMap((step) => (step.from === 'switch' ? [step.frame] : []))
}

const lingerNotice = 'text/disconnect-notice linger'
const goodbye = 'text/disconnect-notice disconnect'

/**
 * All frames in their order, but for the two notices: the one that the channel lingers comes anywhere
 * among the events of its end, and the goodbye can be missing.
 */
function compare(t: Test, name: string, recorded: RecordedFrame[], actual: RecordedFrame[]): void {
  const inOrder = (frames: readonly RecordedFrame[]): RecordedFrame[] => [
    ...frames.filter((frame) => kindOf(frame) !== lingerNotice && kindOf(frame) !== goodbye),
    ...frames.filter((frame) => kindOf(frame) === lingerNotice),
    ...frames.filter((frame) => kindOf(frame) === goodbye),
  ]
  const expected = inOrder(recorded)
  const came = inOrder(actual)
  if (kindOf(expected.at(-1) ?? { head: new Map(), body: '' }) !== goodbye) {
    const last = came.at(-1)
    if (last !== undefined && kindOf(last) === goodbye) came.pop()
  }
  t.same(came.map(kindOf), expected.map(kindOf), `${name}: the same frames in the same order`)
  const differences = expected.flatMap((frame, index) => {
    const other = came[index]
    return other === undefined ? [] : differencesOf(frame, other).map((line) => `${index}. ${line}`)
  })
  t.same(differences, [], `${name}: every frame has the same headers in the same form`)
}
