import { setTimeout as delay } from 'node:timers/promises'
import type { LingerNode } from './linger-node.js'
import type { Random } from './random.js'
import type { AnyState, Component } from './states.js'
import type { World } from './world.js'

/** One component that died, and the calls that were in progress. */
export interface Kill {
  readonly number: number
  readonly component: Component
  /** What it was aimed at; undefined: it died while another was started again. */
  readonly aim: AnyState | undefined
  /** Calls in each state. */
  readonly hit: ReadonlyMap<AnyState, number>
}

/** A link is up again after this long at the most, ms (src/esl/link.ts: the first try comes within 1 s). */
const linkMs = 1_500

/** Kills, and starts again. */
export class Killer {
  readonly kills: Kill[] = []
  readonly #world: World

  constructor(world: World) {
    this.#world = world
  }

  /** @returns what starts it again */
  async kill(component: Component, aim: AnyState | undefined, random: Random): Promise<() => Promise<void>> {
    const { outages, postgres, redis, rabbit, servers, sw } = this.#world
    // What the calls are in is read in the same turn as the kill.
    this.#note(component, aim)
    switch (component) {
      case 'server': {
        const up = servers.filter((node) => node.isUp)
        const node = random.pick(up.length > 0 ? up : servers)
        node.kill()
        outages.begin(node.name)
        return () => this.#startServer(node, random)
      }
      case 'PostgreSQL':
        outages.begin(component)
        // Signalled before anything else can happen, unless it is just starting.
        await postgres.kill()
        // It may have been started again until then.
        outages.begin(component)
        return async () => {
          await delay(random.whole(0, 700))
          await postgres.start()
          outages.end(component)
        }
      case 'Redis':
        await redis.kill()
        return async () => {
          await delay(random.whole(0, 700))
          await redis.start()
        }
      case 'RabbitMQ':
        await rabbit?.kill()
        return async () => {
          await delay(random.whole(0, 700))
          await rabbit?.start()
        }
      case 'link':
        outages.note(performance.now(), linkMs)
        sw.cutLinks()
        return () => delay(random.whole(0, 300))
    }
  }

  async #startServer(node: LingerNode, random: Random): Promise<void> {
    await delay(random.whole(0, 150))
    if (await node.start()) this.#world.outages.end(node.name)
  }

  #note(component: Component, aim: AnyState | undefined): void {
    const number = this.kills.length + 1
    this.#world.note(`kill ${number}: ${component}, ${aim ?? 'meanwhile'}`)
    const hit = new Map<AnyState, number>()
    for (const call of this.#world.calls) {
      const { state } = call
      if (state === undefined) continue
      hit.set(state, (hit.get(state) ?? 0) + 1)
      call.hits.push({ kill: number, component, state })
    }
    this.kills.push({ number, component, aim, hit })
  }
}
