import type { CrashCall } from './crash-call.js'
import { inMenu, talk, type TalkWish } from './plans.js'
import type { Random } from './random.js'
import type { State } from './states.js'
import { sliceSeconds, type World } from './world.js'

/** Calls are in the state that was wanted: it is time to kill. */
export interface Brought {
  /** How many of them are. */
  readonly count: number
  /** How long after this moment to kill, at most, in ms. */
  readonly withinMs: number
  /** To be called after the kill: what was held back to have them there goes on. */
  readonly release: () => void
}

/** @returns undefined when there is no way to have a call there */
type Bring = (world: World, random: Random) => Promise<Brought>

/** Calls that are made for one kill. */
const perKill = 3
/** How long to wait for them, in ms. */
const patienceMs = 4_000
/** A server, or a service, that others wait for is not held longer than they wait. */
const shortlyMs = 150

function nothing(): void {
  // Nothing was held back.
}

function dialSome(world: World, random: Random, wish: TalkWish): CrashCall[] {
  return Array.from({ length: perKill }, () => world.dial(talk(random, wish)))
}

async function until(
  world: World,
  calls: readonly CrashCall[],
  state: State,
  ms = patienceMs,
): Promise<number> {
  const there = () => calls.filter((call) => call.state === state).length
  await world.signals.when(() => there() === calls.length, ms)
  return there()
}

async function untilAny(world: World, calls: readonly CrashCall[], state: State): Promise<number> {
  const there = () => calls.filter((call) => call.state === state).length
  await world.signals.when(() => there() > 0, patienceMs)
  return there()
}

const shortTalk = (random: Random): TalkWish => ({ ringsMs: 20, talkMs: random.whole(300, 500) })

/** How calls come into each state. */
export const bringers: Readonly<Record<State, Bring>> = {
  'before connect': async (world, random) => {
    for (const node of world.servers) {
      world.outages.begin(`${node.name} paused`)
      node.pause()
    }
    const calls = dialSome(world, random, { ringsMs: 50, talkMs: 1_500 })
    const count = await until(world, calls, 'before connect', 1_000)
    const release = () => {
      for (const node of world.servers) {
        world.outages.end(`${node.name} paused`)
        node.resume()
      }
    }
    return { count, withinMs: shortlyMs, release }
  },

  'being screened': async (world, random) => {
    world.redisLine.hold(random.chance(0.5) ? 'requests' : 'answers')
    const calls = dialSome(world, random, { ringsMs: 50, talkMs: 1_500 })
    await world.signals.when(() => calls.every(({ isScreened }) => isScreened), shortlyMs)
    return {
      count: calls.filter(({ state }) => state === 'being screened').length,
      withinMs: shortlyMs,
      release: () => {
        world.redisLine.release()
      },
    }
  },

  'being authorised': async (world, random) => {
    const release = holdPostgres(world, random.chance(0.5) ? 'requests' : 'answers')
    const calls = dialSome(world, random, { ringsMs: 50, talkMs: 1_500 })
    return { count: await until(world, calls, 'being authorised', 600), withinMs: shortlyMs, release }
  },

  ringing: async (world, random) => {
    const calls = dialSome(world, random, { ringsMs: 1_500, talkMs: random.whole(500, 3_000) })
    return { count: await until(world, calls, 'ringing'), withinMs: 800, release: nothing }
  },

  talking: async (world, random) => {
    const calls = dialSome(world, random, { ringsMs: 50, talkMs: random.whole(2_500, 7_500) })
    return { count: await until(world, calls, 'talking'), withinMs: 2_000, release: nothing }
  },

  'talking past a slice': async (world, random) => {
    const there = () => world.calls.filter(({ state }) => state === 'talking past a slice').length
    await world.signals.when(() => there() > 0, sliceSeconds * 1_500)
    if (random.chance(0.5)) return { count: there(), withinMs: 500, release: nothing }
    // At the worst moment: just when more is reserved, or its timer is moved.
    const since = performance.now()
    const isAsked = () => world.calls.some(({ extendedAt, isTalking }) => isTalking && extendedAt > since)
    await world.signals.when(() => isAsked() && there() > 0, sliceSeconds * 500)
    return { count: there(), withinMs: 6, release: nothing }
  },

  'in a menu': async (world, random) => {
    const calls = Array.from({ length: perKill }, () => world.dial(inMenu(random)))
    return { count: await until(world, calls, 'in a menu'), withinMs: 2_000, release: nothing }
  },

  'hanging up': async (world, random) => {
    const finalEventDelayMs = random.whole(100, 400)
    const calls = dialSome(world, random, { ...shortTalk(random), finalEventDelayMs })
    return { count: await untilAny(world, calls, 'hanging up'), withinMs: 100, release: nothing }
  },

  lingering: async (world, random) => {
    const calls = dialSome(world, random, shortTalk(random))
    return { count: await untilAny(world, calls, 'lingering'), withinMs: 3, release: nothing }
  },

  'in the journal': async (world, random) => {
    const calls = dialSome(world, random, shortTalk(random))
    await untilAny(world, calls, 'hanging up')
    const release = holdPostgres(world, 'requests')
    return { count: await untilAny(world, calls, 'in the journal'), withinMs: 50, release }
  },

  'in the commit': async (world, random) => {
    const calls = dialSome(world, random, shortTalk(random))
    const isHeld = random.chance(0.5)
    await untilAny(world, calls, 'hanging up')
    const release = isHeld ? holdPostgres(world, 'answers') : nothing
    return { count: await untilAny(world, calls, 'in the commit'), withinMs: isHeld ? 50 : 3, release }
  },
}

function holdPostgres(world: World, direction: 'requests' | 'answers'): () => void {
  world.outages.begin('PostgreSQL held')
  world.postgresLine.hold(direction)
  return () => {
    world.postgresLine.release()
    world.outages.end('PostgreSQL held')
  }
}
