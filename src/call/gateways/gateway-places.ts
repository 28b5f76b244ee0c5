import type { CallLimits } from '../../billing/limits.js'
import type { Catalog } from '../../store/catalog.js'
import type { TalkingLeg } from '../legs/talking-leg.js'

export interface GatewayPlacesOptions {
  readonly catalog: Pick<Catalog, 'gateways'>
  /** Of gateways. */
  readonly limits: CallLimits
}

/**
 * The places, among the calls of their gateways, of legs that talk on when the session that dialled them has nothing more
 * to do with them: who meters such a leg keeps its place.
 */
export class GatewayPlaces {
  readonly #catalog: Pick<Catalog, 'gateways'>
  readonly #limits: CallLimits
  /** By the leg. */
  readonly #kept = new Map<string, { readonly name: string; readonly attemptId: string }>()

  constructor({ catalog, limits }: GatewayPlacesOptions) {
    this.#catalog = catalog
    this.#limits = limits
  }

  /** Its gateway may be full by now: a leg that talks has a place all the same. */
  take({ uuid, tenant, attempt: { id, gateway, number } }: TalkingLeg): void {
    if (gateway === undefined) return
    const { name } = gateway
    const maxCalls = this.#catalog.gateways(tenant, number).find((each) => each.name === name)?.maxCalls
    if (maxCalls === undefined) return
    this.#limits.adopt({ id: name, maxCalls }, id)
    this.#kept.set(uuid, { name, attemptId: id })
  }

  /** The leg is over. */
  free(legUuid: string): void {
    const kept = this.#let(legUuid)
    if (kept !== undefined) this.#limits.end(kept.name, kept.attemptId)
  }

  /** Somebody else has the leg: its place lapses unless that one takes it. */
  leave(legUuid: string): void {
    const kept = this.#let(legUuid)
    if (kept !== undefined) this.#limits.forget(kept.name, kept.attemptId)
  }

  #let(legUuid: string) {
    const kept = this.#kept.get(legUuid)
    this.#kept.delete(legUuid)
    return kept
  }
}
