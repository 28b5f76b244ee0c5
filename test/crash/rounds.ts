import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises'
import { bringers } from './bring.js'
import type { Killer } from './killer.js'
import { anyPlan, longTalk } from './plans.js'
import type { Random } from './random.js'
import type { Component, State } from './states.js'
import { helpPoor, poorTenants } from './tenants.js'
import { sliceSeconds, type World } from './world.js'

export interface Round {
  /** Undefined: nothing dies. */
  readonly component: Component | undefined
  readonly state: State
  /** Dies while the first is being started again. */
  readonly second: Component | undefined
}

/** In how many rounds two die. */
const secondShare = 0.25
/** Ordinary calls that come with each round. */
const otherCalls = 3

/** Rounds for so many kills: each component dies in each state equally often, in an order of the seed's. */
export function schedule(
  kills: number,
  components: readonly (Component | undefined)[],
  aims: readonly State[],
  random: Random,
): Round[] {
  const rounds: Round[] = []
  for (let missing = kills; missing > 0;) {
    const cells = components.flatMap((component) => aims.map((state) => ({ component, state })))
    for (const cell of random.shuffled(cells)) {
      if (missing <= 0) break
      const second = random.chance(secondShare) ? random.pick(components) : undefined
      rounds.push({ ...cell, second })
      missing -= second === undefined ? 1 : 2
    }
  }
  // At the beginning nobody has talked for so long.
  const isTooEarly = (round: Round, index: number) => index < 10 && round.state === 'talking past a slice'
  const late = rounds.filter(isTooEarly)
  const others = rounds.filter((round, index) => !isTooEarly(round, index))
  return [...others.slice(0, 10), ...late, ...others.slice(10)]
}

export async function playRound(
  world: World,
  killer: Killer,
  { component, state, second }: Round,
  random: Random,
): Promise<void> {
  await bringOthers(world, random)
  const bring = bringers[state]
  let brought = await bring(world, random)
  if (brought.count === 0) {
    brought.release()
    brought = await bring(world, random)
  }
  const { withinMs, release } = brought
  await pauseFor(random, withinMs)
  if (component === undefined) {
    release()
    return
  }
  const revive = await killer.kill(component, state, random)
  release()
  const reviving = revive()
  if (second !== undefined) {
    await delay(random.whole(0, 1_500))
    await revived(world, second, (await killer.kill(second, undefined, random))())
  }
  // With another server there, calls go on while this one is started again.
  if (component === 'server' && world.servers.length > 1) world.inBackground(reviving)
  else await revived(world, component, reviving)
}

/** RabbitMQ takes its time, and nobody waits for it: others may die meanwhile. */
async function revived(world: World, component: Component, reviving: Promise<void>): Promise<void> {
  if (component === 'RabbitMQ') world.inBackground(reviving)
  else await reviving
}

/** Up to so long; often not at all, which is before anything else is read from a socket. */
async function pauseFor(random: Random, withinMs: number): Promise<void> {
  const ms = random.chance(0.25) ? 0 : random.next() * withinMs
  if (ms >= 1) await delay(ms)
  else if (random.chance(0.5)) await nextTurn()
}

async function bringOthers(world: World, random: Random): Promise<void> {
  for (let call = 0; call < otherCalls; call++) world.dial(anyPlan(random))
  if (random.chance(0.6)) world.dial(longTalk(random, sliceSeconds * 1000))
  // PostgreSQL may be about to come back.
  if (random.chance(0.3)) await helpPoor(world.pool, random.pick(poorTenants).id).catch(() => undefined)
}
