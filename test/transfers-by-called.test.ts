import { randomUUID } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { plainTerms } from '../src/billing/rating.js'
import { answeredTarget } from '../src/call/legs/target.js'
import { decodeCallState, encodeCallState } from '../src/call/state.js'
import { booksAddUp, costOf, noOtherCdrs, talkedMs } from './support/books.js'
import { temporaryFolder } from './support/services.js'
import { transferAttendedByCalled } from './support/switch/attended-transfer.js'
import type { Call, CallOptions, CallOutcome } from './support/switch/call.js'
import type { Action } from './support/switch/dialplan.js'
import { farEnds, type FarEnd, type FarEndChoice } from './support/switch/far-end.js'
import { dial, otherMobile, world } from './support/transfers.js'

/**
 * Transfers by whom a caller was connected to, and by those who are nobody's phone here: what becomes of the caller, what
 * it costs, and where it may go. All on one server, at once: each story has numbers of its own.
 */

t.jobs = 16

const ownRoutes = await temporaryFolder(t)
await writeFile(
  join(ownRoutes, 'twice.mjs'),
  `export default { name: 'twice', summary: 'For the test', run: async (call) => {
    await Promise.all([call.answer(), call.answer()])
    await call.play('announcement.wav')
  } }`,
)

const here = await world(t, 'link', {
  settings: { CREDIT_SLICE_SECONDS: '30', ROUTES_DIR: ownRoutes },
  sql: `INSERT INTO numbers (number, tenant_id, extension)
    VALUES ('842812345678', 'demo', '1001');
    INSERT INTO decks (id, name, currency) VALUES ('in', 'Inbound', 'VND');
    INSERT INTO rates (deck_id, prefix, prefix_entered, price_per_minute, connection_fee)
    VALUES ('in', '842812345679', '02812345679', 120, 10);
    UPDATE tenants SET inbound_deck_id = 'in' WHERE id = 'demo';
    INSERT INTO numbers (number, tenant_id, extension) VALUES ('842812345679', 'demo', '1001');
    INSERT INTO rates (deck_id, prefix, prefix_entered, price_per_minute) VALUES ('demo', '1', '+1', 500);
    INSERT INTO extensions (tenant_id, number, toll_allow) VALUES ('demo', '1002', '{local,domestic}');
    INSERT INTO accounts (code, tenant_id, extension) VALUES ('1002', 'demo', '1002')`,
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

/** Who is asked at an extension, and at everything else. */
function atExtension(extension: FarEnd, other: FarEnd = farEnds.answers(300)): FarEndChoice {
  return (dialString) => (dialString.startsWith('user/') ? extension : other)
}

const barred = 'only an extension may transfer a call to the outside, and none is known to have done it'
const tollBarred = 'the extension may not call international numbers (toll_allow)'
const abroad = '0012125550123'
type Taken = (variable: (name: string) => string | undefined) => boolean
const refers = (by: 'caller' | 'called', to: string, once: Taken = () => true): FarEnd => ({
  answersAfterMs: 0,
  refers: { by, afterMs: 600, to, once },
})
/** Until whose phone has the call is noted on it, it is nobody's; on a busy machine that takes a while. */
const isTaken: Taken = (variable) => decodeCallState(variable('linger_call'))?.attempt?.taker !== undefined
const group = (numbers: string) => ({ to: [{ ...here.linger.esl, path: `ring/${numbers}` }] })
/** Of two phones that ring together, 1002 takes the call. */
const takenBy1002 =
  (to: string): FarEndChoice =>
  (dialString) => {
    if (!dialString.startsWith('user/')) return farEnds.answers(300)
    return dialString.includes('1002') ? refers('called', to, isTaken) : {}
  }
const agent1002 = (to: string) => ({
  to: [{ ...here.linger.esl, path: 'queue/support' }],
  queue: {
    agentAfterMs: 100,
    agent: { name: '1002@default', refers: { by: 'called', afterMs: 600, to, once: isTaken } as const },
  },
  farEnd: farEnds.answers(300),
})

interface Transfer {
  readonly call: Partial<CallOptions>
  /** Whose the transferred channel is: the caller's, or the called leg's, which is a call of its own then. */
  readonly moves: 'caller' | 'called'
  /** Undefined: it is dialled. */
  readonly refusal?: string
  /** Dialled since. */
  readonly dialled?: string
}

const transfers: Readonly<Record<string, Transfer>> = {
  'an outsider transfers the phone that he called to the outside': {
    call: { ...outside, farEnd: atExtension(refers('caller', otherMobile)) },
    moves: 'called',
    refusal: barred,
  },
  'an outsider transfers the phone that he called to another phone': {
    call: {
      ...outside,
      farEnd: (to) => (to.includes('1001') ? refers('caller', '1000') : farEnds.answers(300)),
    },
    moves: 'called',
    dialled: '1000',
  },
  'whom a phone called outside transfers it to the outside': {
    call: {
      farEnd: (to) => (to.includes('901234567') ? refers('called', otherMobile) : farEnds.answers(300)),
    },
    moves: 'caller',
    refusal: barred,
  },
  'whom a phone called outside transfers it to a phone': {
    call: { farEnd: (to) => (to.includes('901234567') ? refers('called', '1001') : farEnds.answers(300)) },
    moves: 'caller',
    dialled: '1001',
  },
  'the one who answered for a group transfers to where he may not call': {
    call: { ...outside, ...group('1001,1002'), farEnd: takenBy1002(abroad) },
    moves: 'caller',
    refusal: tollBarred,
  },
  'the one who answered for a group transfers to where he may call': {
    call: { ...outside, ...group('1001,1002'), farEnd: takenBy1002(otherMobile) },
    moves: 'caller',
    dialled: '84907654321',
  },
  'an agent transfers to where he may not call': {
    call: { ...outside, ...agent1002(abroad) },
    moves: 'caller',
    refusal: tollBarred,
  },
  'an agent transfers to where he may call': {
    call: { ...outside, ...agent1002(otherMobile) },
    moves: 'caller',
    dialled: '84907654321',
  },
  'a phone transfers the phone that it called to where only that one may call': {
    call: { caller: '1002', called: '1001', farEnd: atExtension(refers('caller', abroad)) },
    moves: 'called',
    refusal: tollBarred,
  },
  'an extension that may call everywhere transfers abroad': {
    call: { ...outside, farEnd: atExtension(refers('called', abroad)) },
    moves: 'caller',
    dialled: '12125550123',
  },
}

const movers = Object.entries(transfers).map(([what, { call: options, moves, refusal, dialled }]) =>
  t.test(`${what}: ${refusal === undefined ? 'it goes there' : 'it is refused'}`, async (t) => {
    const call = begin({ ...options, transferDialplan: () => [socket] })
    if (moves === 'called') calls++
    const { uuid, legs } = await call.ended
    const [first, ...others] = legs.filter((leg) => leg.answeredAt !== undefined)
    const cdr = await here.linger.cdr(moves === 'caller' ? uuid : first!.uuid)
    t.match(cdr, {
      refusal: refusal ?? null,
      ...(refusal !== undefined && { hangup_cause: 'OUTGOING_CALL_BARRED' }),
    })
    t.same(
      others.map(({ number }) => number),
      dialled === undefined ? [] : [dialled],
    )
  }),
)

t.test('whom a caller was connected with transfers him on to the outside: it is refused', async (t) => {
  const first = begin({ ...outside, farEnd: answers, transferDialplan: () => [socket] })
  await first.until('CHANNEL_BRIDGE')
  const second = begin({
    caller: '1001',
    farEnd: { answersAfterMs: 0, refers: { by: 'called', afterMs: 1_500, to: otherMobile } },
  })
  await second.until('CHANNEL_BRIDGE')
  transferAttendedByCalled(first, second)
  const [caller] = await Promise.all([first.ended, second.ended])
  t.match(await here.linger.cdr(caller.uuid), { refusal: barred, hangup_cause: 'OUTGOING_CALL_BARRED' })
  t.equal(caller.legs.length, 1)
})

const race = t.test('of two phones that answer at once the one that loses costs nothing', async (t) => {
  const call = begin({
    ...outside,
    ...group('1000,1001'),
    called: '02812345679',
    farEnd: farEnds.answers(1_000, 200),
  })
  const { uuid, legs } = await call.ended
  const [winner, loser] = legs
  t.match(loser, { cause: 'LOSE_RACE', answeredAt: Number })
  const { charges, ...cdr } = await here.linger.cdr(uuid)
  t.match(cdr, { b_leg_uuid: winner!.uuid, billed_ms: 1_000 })
  t.equal(cdr.cost, '12.00')
  t.same(
    charges.map((charge) => charge.leg_uuid),
    [winner!.uuid],
  )
})

const twice = t.test('a call that its route answers twice at once has one hangup timer', async (t) => {
  const called = '02812345679'
  const to = [{ ...here.linger.esl, path: 'twice' }]
  const { uuid, connections } = await begin({ ...outside, called, to }).ended
  const lines = connections.flatMap(({ commands }) => commands.map(({ line }) => line))
  t.equal(lines.filter((line) => line.includes('sched_api') && line.includes(uuid)).length, 1)
  t.match(await here.linger.cdr(uuid), { charges: [{ leg_uuid: uuid }] })
})

const takenOver = t.test(
  'a server dies when it has set its timer, before its answer: the next one takes that off',
  async (t) => {
    const called = '02812345679'
    const rate = { ...plainTerms, prefix: '', prefixEntered: '', description: '', pricePerMinute: 0n }
    const attempt = { id: randomUUID(), target: answeredTarget, gateway: undefined, number: called, rate }
    const timer = `linger-${randomUUID()}`
    const call = begin({
      ...outside,
      called,
      variables: {
        linger_timers: timer,
        linger_call: encodeCallState({
          ...{ node: 'dead', takeovers: 0, tenant: 'demo', direction: 'inbound' },
          ...{ caller: '84987654321', called: '842812345679', destination: called },
          ...{ route: 'twice', args: {}, isVip: false, startedAt: Date.now() * 1000 },
          legs: [
            {
              ...{ uuid: randomUUID(), attempt, answeredAt: undefined },
              ...{ bridgedAt: 0, endedAt: undefined, endIsExact: false },
            },
          ],
          ...{ results: [], steps: [], isGivenBack: false, attempt: undefined },
        }),
      },
    })
    const { connections } = await call.ended
    const lines = connections.flatMap(({ commands }) => commands.map(({ line }) => line))
    const [answer = NaN, off = NaN] = ['linger_timers', `sched_del ${timer}`].map((text) =>
      lines.findIndex((line) => line.includes(text) && line.includes(timer)),
    )
    t.ok(answer >= 0 && off > answer, 'and remembers it until then')
    await here.linger.cdr(call.uuid)
  },
)

await Promise.all([...stories, ...movers, race, twice, takenOver])
t.test('nothing is left of them but a CDR of each', async (t) => {
  await here.linger.cdrs(calls)
  await noOtherCdrs(t, here.linger, calls)
  await booksAddUp(t, here.linger)
})
