import type { LiveCallView } from '../../common/live-call.js'
import type { LiveCalls } from '../live.js'

/** A call that a node has handed on, and whose end it only waits for. */
interface HandedOn {
  readonly uuid: string
  readonly tenant: string | null
  readonly route: string | null
}

/** Which calls of a node another one may count, too; an older release does not tell. */
export interface Moved {
  readonly handedOn?: readonly HandedOn[] | undefined
  /** The uuids of those that it serves, and that a server had before. */
  readonly continued?: readonly string[] | undefined
}

/** Of each kind: an answer has its bounds, and a count that is too high is better than none. */
const mostTold = 10_000

/** Of one node's calls. */
export class Movements {
  readonly #live: LiveCalls
  readonly #handedOn: HandedOn[] = []
  readonly #continued: string[] = []

  constructor(live: LiveCalls) {
    this.#live = live
  }

  add({ uuid, state, tenant, route }: Pick<LiveCallView, 'uuid' | 'state' | 'tenant' | 'route'>): void {
    if (state === 'handed_on') this.#handedOn.push({ uuid, tenant, route })
    else if (!this.#live.isNew(uuid)) this.#continued.push(uuid)
  }

  get told(): Moved {
    return { handedOn: this.#handedOn.slice(0, mostTold), continued: this.#continued.slice(0, mostTold) }
  }
}

/**
 * A call that went from node to node has a session on each of them until its end.
 * @returns one for each time that a call was counted too often: it is one where somebody serves it, else anywhere
 */
export function countedTwice(nodes: readonly Moved[]): HandedOn[] {
  const counted = new Set(nodes.flatMap(({ continued = [] }) => continued))
  return nodes
    .flatMap(({ handedOn = [] }) => handedOn)
    .filter(({ uuid }) => {
      const isCounted = counted.has(uuid)
      counted.add(uuid)
      return isCounted
    })
}
