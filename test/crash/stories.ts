import { setTimeout as delay } from 'node:timers/promises'
import type { CrashCall } from './crash-call.js'
import type { Killer } from './killer.js'
import { Line } from './line.js'
import { anyPlan, longTalk, talk, type TalkWish } from './plans.js'
import { lastingPort } from './ports.js'
import type { Random } from './random.js'
import { sliceSeconds, type World } from './world.js'

/** Something that goes wrong in a way of its own. @returns its calls */
type Story = (world: World, killer: Killer, random: Random) => Promise<readonly CrashCall[]>

const dayMs = 24 * 60 * 60 * 1000
const patienceMs = 8_000

function dial(world: World, random: Random, count: number, wish: TalkWish): CrashCall[] {
  return Array.from({ length: count }, () => world.dial(talk(random, wish)))
}

function allTalk(world: World, calls: readonly CrashCall[]): Promise<boolean> {
  return world.signals.when(() => calls.every(({ isTalking }) => isTalking), patienceMs)
}

function allEnd(world: World, calls: readonly CrashCall[]): Promise<boolean> {
  return world.signals.when(() => calls.every(({ hasEnded }) => hasEnded), 3 * patienceMs)
}

function allCommitted(world: World, calls: readonly CrashCall[]): Promise<boolean> {
  return world.signals.when(() => calls.every(({ isCommitted }) => isCommitted), 3 * patienceMs)
}

/** Two servers run, and in the order in which they stand here. */
export const stories: Readonly<Record<string, Story>> = {
  'the event socket is cut without a close': async (world, _, random) => {
    const [node, other] = world.nodes
    const port = await lastingPort(random.next)
    const line = await Line.to(node.esl, port)
    world.atEnd(() => {
      line.close()
    })
    const to = [{ host: '127.0.0.1', port }, other.esl]
    const wishes = [1_500, 2_500, 4_000, 4_500].map((talkMs) => ({ ringsMs: 50, talkMs }))
    const calls = wishes.map((wish) => world.dial(talk(random, wish), to))
    const ringing = world.dial(talk(random, { ringsMs: 1_000, talkMs: 1_000 }), to)
    await allTalk(world, calls)
    line.loseAll()
    // The switch notices before some of them end; the server, which waits for them to speak, does not.
    await delay(3_500)
    line.dropClients()
    await world.signals.when(() => [...calls, ringing].every(({ isTalking }) => !isTalking), patienceMs)
    return [...calls, ringing]
  },

  'the link is silent, and a server dies': async (world, killer, random) => {
    world.outages.begin('link')
    world.sw.silenceLinks(true)
    const calls = dial(world, random, 4, { ringsMs: 100, talkMs: random.whole(2_000, 3_000) })
    await allTalk(world, calls)
    const revive = await killer.kill('server', undefined, random)
    await revive()
    await delay(random.whole(500, 2_500))
    world.sw.silenceLinks(false)
    world.outages.end('link')
    return calls
  },

  'PostgreSQL answers after 5 s, and a server dies meanwhile': async (world, killer, random) => {
    const talking = dial(world, random, 4, { ringsMs: 50, talkMs: random.whole(3_000, 5_000) })
    const long = world.dial(longTalk(random, sliceSeconds * 1000))
    await allTalk(world, [...talking, long])
    world.outages.begin('PostgreSQL is slow')
    world.postgresLine.delayAnswers(5_000)
    const meanwhile = Array.from({ length: 6 }, () => world.dial(anyPlan(random)))
    await delay(random.whole(500, 3_000))
    const revive = await killer.kill('server', undefined, random)
    const reviving = revive()
    await delay(6_000)
    world.postgresLine.delayAnswers(0)
    world.outages.end('PostgreSQL is slow')
    await reviving
    return [...talking, long, ...meanwhile]
  },

  'both nodes hear of the same calls from both sources at once': async (world, killer, random) => {
    // The caller hangs up: its leg comes to no further server, and only the switch can tell of it.
    const wish = { ringsMs: 50, talkMs: 5_000, endedBy: 'caller' } as const
    const calls = dial(world, random, 10, wish)
    await allTalk(world, calls)
    const revive = await killer.kill('server', undefined, random)
    await revive()
    world.outages.begin('PostgreSQL held')
    world.postgresLine.hold('requests')
    await allEnd(world, calls)
    // Both begin to wait for the session's own record when PostgreSQL answers.
    world.postgresLine.release()
    world.outages.end('PostgreSQL held')
    return calls
  },

  'a journal comes back a day later': async (world, _, random) => {
    const [node, other] = world.nodes
    const calls = Array.from({ length: 6 }, () =>
      world.dial(talk(random, { ringsMs: 50, talkMs: random.whole(500, 1_500) }), [node.esl, other.esl]),
    )
    const talking = world.dial(talk(random, { ringsMs: 50, talkMs: 4_000 }), [node.esl, other.esl])
    await allTalk(world, [...calls, talking])
    world.outages.begin('PostgreSQL held')
    world.postgresLine.hold('requests')
    await world.signals.when(() => calls.every(({ state }) => state === 'in the journal'), patienceMs)
    node.kill()
    world.outages.begin(node.name)
    world.postgresLine.release()
    world.outages.end('PostgreSQL held')
    // Nobody knows of those records: the other node makes its own, of what the switch tells.
    await allCommitted(world, [...calls, talking])
    node.clockShiftMs = dayMs
    await node.start()
    world.outages.end(node.name)
    return [...calls, talking]
  },
}
