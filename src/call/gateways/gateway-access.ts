import type { CallLimits, Limited } from '../../billing/limits.js'
import type { Gateway } from '../../store/catalog.js'
import type { GatewayPlaces } from './gateway-places.js'
import type { GatewayHealth, GatewayState, GatewayUse } from './gateway-health.js'

export interface GatewayAccessOptions {
  readonly health: GatewayHealth
  /** Of gateways. */
  readonly limits: CallLimits
  readonly places: Pick<GatewayPlaces, 'keeps'>
}

export interface Asking {
  /** The attempt's name: its place among the gateway's calls is found by it. */
  readonly attemptId: string
  /** Of the FreeSWITCH that would dial. */
  readonly switchName: string | undefined
  /** It is dialled though it rests. */
  readonly evenIfResting: boolean
  /** It is dialled though it rests and whatever its limits say. */
  readonly isEmergency: boolean
}

/** A gateway as an admin sees it, beside what is configured. */
export interface GatewayStatus extends GatewayState {
  /** Calls over it, over all nodes; undefined: it has no limit, so that nobody counts them, or Redis is away. */
  readonly callsEverywhere: number | undefined
}

/** A call's place at a gateway. */
export interface GatewayPlace extends GatewayUse {
  /** Its leg talks on, and nobody here hears of its end: whoever has the leg keeps the place, else it lapses. */
  left(): void
}

/** What stands between a call and a gateway: how many calls it takes, and its rest when it fails. */
export class GatewayAccess {
  readonly #health: GatewayHealth
  readonly #limits: CallLimits
  readonly #places: GatewayAccessOptions['places']

  constructor({ health, limits, places }: GatewayAccessOptions) {
    this.#health = health
    this.#limits = limits
    this.#places = places
  }

  /** In the order in which they are to be tried: those that rest come last. */
  order(gateways: readonly Gateway[], switchName: string | undefined): readonly Gateway[] {
    return this.#health.order(gateways, switchName)
  }

  /**
   * A place among the gateway's calls, until `ended`.
   * @returns why there is none
   */
  async begin(gateway: Gateway, asking: Asking): Promise<GatewayPlace | 'resting' | 'full'> {
    const { attemptId, switchName, evenIfResting, isEmergency } = asking
    const { name, maxCalls, maxCallsPerSecond } = gateway
    if (!evenIfResting && !isEmergency && this.#health.isResting(name, switchName)) return 'resting'
    // Before anything is awaited: of two calls one alone tries a gateway that has rested.
    const use = this.#health.begin(name)
    const limited: Limited = { id: name, maxCalls, maxCallsPerSecond }
    if (isEmergency) this.#limits.adopt(limited, attemptId)
    else if ((await this.#limits.begin(limited, attemptId)) !== undefined) {
      use.ended()
      return 'full'
    }
    return {
      works: () => {
        use.works()
      },
      ended: (result) => {
        use.ended(result)
        this.#limits.end(name, attemptId)
      },
      left: () => {
        use.ended()
        if (!this.#places.keeps(attemptId)) this.#limits.forget(name, attemptId)
      },
    }
  }

  /** @returns one for each */
  async status(gateways: readonly Pick<Gateway, 'name' | 'maxCalls'>[]): Promise<readonly GatewayStatus[]> {
    const counted = [
      ...new Set(gateways.filter(({ maxCalls }) => maxCalls !== undefined).map(({ name }) => name)),
    ]
    const counts = await this.#limits.counts(counted)
    const everywhere = new Map(counted.map((name, index) => [name, counts?.[index]]))
    return gateways.map(({ name }) => ({
      ...this.#health.state(name),
      callsEverywhere: everywhere.get(name),
    }))
  }
}
