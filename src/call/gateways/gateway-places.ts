import type { CallLimits } from '../../billing/limits.js'
import type { Catalog } from '../../store/catalog.js'
import type { TalkingLeg } from '../legs/talking-leg.js'

export interface GatewayPlacesOptions {
  readonly catalog: Pick<Catalog, 'gateways'>
  /** Of gateways. */
  readonly limits: CallLimits
}

interface Kept {
  readonly name: string
  readonly attemptId: string
  readonly keepers: Set<object>
}

/**
 * The places, among the calls of their gateways, of legs that talk on when the session that dialled them has nothing more
 * to do with them: who meters such a leg, or serves it as a call of its own, keeps its place. When one of them gets it
 * from another they may both have it for a moment.
 */
export class GatewayPlaces {
  readonly #catalog: Pick<Catalog, 'gateways'>
  readonly #limits: CallLimits
  /** By the leg. */
  readonly #kept = new Map<string, Kept>()

  constructor({ catalog, limits }: GatewayPlacesOptions) {
    this.#catalog = catalog
    this.#limits = limits
  }

  /** Its gateway may be full by now: a leg that talks has a place all the same. */
  take({ uuid, tenant, attempt: { id, gateway, number } }: TalkingLeg, keeper: object): void {
    if (gateway === undefined) return
    const { name } = gateway
    const maxCalls = this.#catalog.gateways(tenant, number).find((each) => each.name === name)?.maxCalls
    if (maxCalls === undefined) return
    this.#limits.adopt({ id: name, maxCalls }, id)
    const kept = this.#kept.get(uuid) ?? { name, attemptId: id, keepers: new Set() }
    this.#kept.set(uuid, kept)
    kept.keepers.add(keeper)
  }

  /** Whether somebody here has the leg of an attempt. */
  keeps(attemptId: string): boolean {
    return [...this.#kept.values()].some((kept) => kept.attemptId === attemptId)
  }

  /** The leg is over. */
  free(legUuid: string): void {
    const kept = this.#kept.get(legUuid)
    this.#kept.delete(legUuid)
    if (kept !== undefined) this.#limits.end(kept.name, kept.attemptId)
  }

  /** The keeper has nothing more to do with the leg: its place lapses unless somebody else has it, or takes it. */
  leave(legUuid: string, keeper: object): void {
    const kept = this.#kept.get(legUuid)
    if (kept?.keepers.delete(keeper) !== true || kept.keepers.size > 0) return
    this.#kept.delete(legUuid)
    this.#limits.forget(kept.name, kept.attemptId)
  }
}
