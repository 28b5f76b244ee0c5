import type { Redis } from 'ioredis'
import type pg from 'pg'
import { pino } from 'pino'
import type { Test } from 'tap'
import type { Credit, Leg as CreditLeg, Payer } from '../../src/billing/credit.js'
import { channelFacts, type ChannelFacts } from '../../src/call/facts.js'
import { Legs, type Attempt, type Leg } from '../../src/call/legs/legs.js'
import { decodeLegState, encodeCallState, encodeLegState, type CallState } from '../../src/call/state.js'
import { Channel } from '../../src/channel/channel.js'
import { Link } from '../../src/esl/link.js'
import type { IncomingCall } from '../../src/esl/listener.js'
import { gatewayDialString } from '../../src/numbering/dial-string.js'
import { checkRedis, connectRedis } from '../../src/screening/redis.js'
import { Catalog } from '../../src/store/catalog.js'
import { creditOn, legOf, makePayer, perMillisecond, type Terms } from './credit.js'
import { listen } from './served.js'
import { testDatabase, testRedis } from './services.js'
import type { Call, CallOptions } from './switch/call.js'
import { farEnds } from './switch/far-end.js'
import { SimulatedSwitch } from './switch/switch.js'
import { until } from './wire.js'

const silent = pino({ level: 'silent' })
const password = 'ClueCon'

/** The slices of these servers, in s. */
export const sliceSeconds = 3
/** What a slice and the guard of two seconds cost at 500 a minute; and two slices. */
export const oneSlice = '41.67'
export const twoSlices = '66.67'

/** A switch with its event socket open, and a link to it. */
export async function linkedSwitch(t: Pick<Test, 'teardown'>) {
  const sw = new SimulatedSwitch()
  t.teardown(() => {
    sw.destroy()
  })
  const { port } = await sw.listenInbound({ password })
  const link = await linkTo(t, port)
  return { sw, link, port }
}

/** A link that knows what it was asked. */
export class CountedLink extends Link {
  /** API commands. */
  readonly asked: string[] = []

  override api(name: string, args: readonly string[] = []): Promise<string> {
    this.asked.push(name)
    return super.api(name, args)
  }
}

/** A link that is up. */
export async function linkTo(t: Pick<Test, 'teardown'>, port: number): Promise<CountedLink> {
  const link = new CountedLink({
    host: '127.0.0.1',
    port,
    password,
    log: silent,
    firstDelayMs: 1,
    longestDelayMs: 1,
  })
  t.teardown(() => link.close())
  await until(() => link.isUp)
  return link
}

/** What the nodes of a test share. */
export interface Shared {
  readonly pool: pg.Pool
  readonly redisUrl: string
}

export async function shared(t: Test): Promise<Shared> {
  const { pool } = await testDatabase(t)
  const { url: redisUrl } = await testRedis(t)
  return { pool, redisUrl }
}

export async function redisOf(t: Pick<Test, 'teardown'>, { redisUrl }: Shared): Promise<Redis> {
  const redis = connectRedis(redisUrl, silent)
  t.teardown(() => {
    redis.disconnect()
  })
  await checkRedis(redis, 20_000)
  return redis
}

export async function catalogOf(t: Pick<Test, 'teardown'>, { pool }: Shared): Promise<Catalog> {
  const catalog = await Catalog.load(pool, { log: silent })
  t.teardown(() => catalog.close())
  return catalog
}

export interface DeadServerOptions {
  /** What is on the balance. Default 1,000. */
  readonly balance?: string
  readonly terms?: Terms
  /** Default `dead`. */
  readonly node?: string
  /** How much more it reserves before it dies, without moving the timer, in slices. Default 0. */
  readonly unmovedSlices?: number
  /** When the leg's own timer ends it, in s. Default as it was granted. */
  readonly maxSeconds?: number
  /** When it dies. Default when the two talk. */
  readonly diesWhile?: 'talking' | 'ringing'
  /** Another leg talked before, and is over. Then it is this number that was dialled. */
  readonly earlierNumber?: string
  readonly call?: Partial<CallOptions>
}

/** A call that a server dialled which is dead now. */
export interface DeadServersCall {
  readonly call: Call
  readonly leg: CreditLeg
  readonly payer: Payer
  readonly attempt: Attempt
  readonly state: CallState
  readonly facts: ChannelFacts
  /** As it knew them. */
  readonly legs: readonly Leg[]
}

type Dialled = Pick<DeadServersCall, 'leg' | 'state' | 'facts'>

let tenants = 0

/** A call is authorised, dialled and, once the two talk, left alone by its server. */
export async function deadServersCall(
  t: Test,
  sw: SimulatedSwitch,
  { pool }: Shared,
  options: DeadServerOptions = {},
): Promise<DeadServersCall> {
  const { balance = '1000', terms, node = 'dead', unmovedSlices = 0, diesWhile = 'talking' } = options
  const payer = await makePayer(pool, `tenant${++tenants}`, balance, terms)
  const credit = creditOn(pool, { sliceSeconds })
  const attempt: Attempt = {
    id: 'attempt',
    target: 'gateway:carrier1',
    gateway: { name: 'carrier1' },
    number: '84901234567',
    rate: perMillisecond,
  }
  let dialled: ((done: Dialled) => void) | undefined
  const isDialled = new Promise<Dialled>((resolve) => {
    dialled = resolve
  })
  const serving: IncomingCall[] = []
  const legs = new Legs()
  legs.dialling(attempt)
  const served = await listen(t, {
    onCall: async (incoming) => {
      serving.push(incoming)
      const leg = legOf(payer, { callUuid: incoming.channel.get('Unique-ID') ?? '', attemptId: attempt.id })
      const maxSeconds = options.maxSeconds ?? (await reserve(credit, leg, unmovedSlices))
      const state = stateOf(node, payer, attempt)
      const { earlierNumber: number } = options
      if (number !== undefined) {
        const earlier = { ...attempt, id: 'earlier', number }
        const before = stateOf(node, payer, earlier)
        await dial(incoming, legs, { payer, attempt: earlier, state: before, maxSeconds: 60 })
      }
      const dialling = dial(incoming, legs, { payer, attempt, state, maxSeconds })
      dialled?.({ leg, state, facts: channelFacts(incoming.channel) })
      await Promise.race([dialling, incoming.connection.closed()])
    },
  })
  const { address, port } = served.listener.address
  const call = sw.call({
    to: [{ host: address, port }],
    caller: '1000',
    called: '0901234567',
    farEnd: farEnds.answers(),
    speed: 1,
    ...options.call,
  })
  const isThere = (): boolean =>
    diesWhile === 'talking'
      ? legs.talking !== undefined
      : [...sw.legs.values()].some((leg) => legOfAttempt(leg.variable('linger_leg')) === attempt.id)
  await until(isThere)
  const done = await isDialled
  for (const { connection } of serving) connection.close()
  await served.listener.close({ deadlineMs: 0 })
  return { call, payer, attempt, legs: legs.all, ...done }
}

function legOfAttempt(state = ''): string | undefined {
  return decodeLegState(state)?.attempt.id
}

async function reserve(credit: Credit, leg: CreditLeg, unmovedSlices: number): Promise<number> {
  const first = await credit.authorise(leg)
  if (first.kind === 'refused') throw new Error(first.message)
  for (let i = 0, untilMs = first.untilMs; i < unmovedSlices; i++) {
    const more = await credit.extend(leg, untilMs)
    if (more.kind === 'refused') throw new Error(more.message)
    untilMs = more.untilMs
  }
  return first.untilMs / 1000
}

function stateOf(node: string, payer: Payer, attempt: Attempt): CallState {
  return {
    node,
    takeovers: 0,
    tenant: payer.id,
    direction: 'outbound',
    caller: '1000',
    called: attempt.number,
    destination: '0901234567',
    route: 'dial',
    args: {},
    isVip: false,
    startedAt: 0,
    legs: [],
    results: [],
    steps: [],
    isGivenBack: false,
    attempt,
  }
}

async function dial(
  { connection, channel }: IncomingCall,
  legs: Legs,
  about: { payer: Payer; attempt: Attempt; state: CallState; maxSeconds: number },
): Promise<void> {
  const { payer, attempt, state, maxSeconds } = about
  const callUuid = channel.get('Unique-ID') ?? ''
  const caller = new Channel(connection, callUuid, (event) => {
    legs.observe(event)
  })
  const to = gatewayDialString('carrier1', attempt.number, {
    callerNumber: '1000',
    ringSeconds: 60,
    maxSeconds,
    legState: encodeLegState({ callUuid, tenant: payer.id, attempt }),
  })
  const variables = { continue_on_fail: 'true', hangup_after_bridge: 'false' }
  await caller.bridge(to, variables, encodeCallState(state)).catch(() => undefined)
}
