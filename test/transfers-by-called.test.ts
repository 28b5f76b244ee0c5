import t from 'tap'
import { transferAttendedByCalled } from './support/switch/attended-transfer.js'
import type { Call, CallOptions, CallOutcome } from './support/switch/call.js'
import type { Action } from './support/switch/dialplan.js'
import { farEnds, type FarEndChoice } from './support/switch/far-end.js'
import { booksAddUp, costOf, dial, noOtherCdrs, talkedMs, world } from './support/transfers.js'

/**
 * Transfers by whom a caller was connected to, and by those who are nobody's phone here: what becomes of the caller, what
 * it costs, and where it may go. All on one server, at once: each story has numbers of its own.
 */

t.jobs = 16

const here = await world(t, 'link', {
  settings: { LOG_LEVEL: 'info' },
  sql: `INSERT INTO numbers (number, tenant_id, extension)
    VALUES ('842812345678', 'demo', '1001'), ('842812345679', 'demo', '1001')`,
})
const outside = { caller: '0987654321', profile: 'external', called: '02812345678' }
let calls = 0

function begin(options: Partial<CallOptions>): Call {
  calls++
  return dial(here, options)
}

/** The phone that a caller talks to calls a mobile, and connects the two. @param talkMs of the mobile, from its answer */
async function connected(first: Call, by: string, talkMs: number): Promise<[CallOutcome, CallOutcome]> {
  await first.until('CHANNEL_BRIDGE')
  const second = begin({ caller: by, farEnd: farEnds.answers(talkMs) })
  await second.until('CHANNEL_BRIDGE')
  transferAttendedByCalled(first, second)
  return Promise.all([first.ended, second.ended])
}

const left: Action = { application: 'set', argument: 'linger_left_1=${strmicroepoch()}' }
const socket: Action = { socket: [here.linger.esl], guardSeconds: 15 }
const answers: FarEndChoice = farEnds.answers()

const ways: Readonly<Record<string, Partial<CallOptions>>> = {
  'whom he dialled': { farEnd: answers },
  'whom he dialled, after which the dialplan brings him back': {
    farEnd: answers,
    dialplan: [socket, left, socket],
  },
  'who answered for a group': { to: [{ ...here.linger.esl, path: 'ring/1001' }], farEnd: answers },
  'the agent of a queue': {
    to: [{ ...here.linger.esl, path: 'queue/support' }],
    queue: { agentAfterMs: 100, agent: {} },
  },
}

const stories = Object.entries(ways).map(([who, options]) =>
  t.test(`a caller is connected to a mobile by ${who}: the two talk to their end`, async (t) => {
    const [caller, phone] = await connected(begin({ ...outside, ...options }), '1001', 2_500)
    const [mobileLeg] = phone.legs
    t.match(mobileLeg, { number: '84901234567', cause: 'NORMAL_CLEARING' })
    const ms = talkedMs(mobileLeg!)
    t.equal(ms, 2_500, 'it was not cut off')
    t.equal(caller.legs.length, 1, 'nobody was dialled again')
    t.match(await here.linger.cdr(caller.uuid), {
      source: 'session',
      hangup_cause: 'NORMAL_CLEARING',
      refusal: null,
      cost: '0.00',
      charges: [],
      b_leg_uuid: caller.legs[0]!.uuid,
    })
    t.match(await here.linger.cdr(phone.uuid), {
      caller: '1001',
      called: '84901234567',
      cost: costOf(ms),
      charges: [{ leg_uuid: mobileLeg!.uuid, billed_ms: ms }],
    })
  }),
)

await Promise.all(stories)
t.test('nothing is left of them but a CDR of each', async (t) => {
  await noOtherCdrs(t, here.linger, calls)
  await booksAddUp(t, here.linger)
})
