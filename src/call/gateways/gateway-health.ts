import type { BaseLogger } from 'pino'
import type { Event } from '../../esl/event.js'
import { gatewayOutcome, type BridgeEnding } from '../../numbering/gateway-outcome.js'

export interface GatewayHealthOptions {
  readonly log: BaseLogger
  /** How long a gateway is rested that has failed, in ms; doubled at each further failure, 20 times as long at most. Default 15,000. */
  readonly restMs?: number
  /** Milliseconds since 1970. Default the system's clock. */
  readonly now?: () => number
}

/** What is known of one gateway at this node. */
export interface GatewayState {
  /** `trial`: its rest is over, and one call finds out whether it works again. */
  readonly state: 'up' | 'resting' | 'trial'
  /** In a row, up to now. */
  readonly failures: number
  /** Milliseconds since 1970; undefined: it does not rest. */
  readonly restsUntil: number | undefined
  readonly lastCause: string | undefined
  /** Switches that say themselves that it is down. */
  readonly downOn: readonly string[]
  /** Calls over it, of this node. */
  readonly calls: number
}

/** One call over a gateway. */
export interface GatewayUse {
  /** Its far end gives a sign: the gateway works. May be called again. */
  works(): void
  /**
   * It is over; a second time is none.
   * @param result undefined: the caller went, or it was not dialled after all, so that nobody knows whether it works
   */
  ended(result?: BridgeEnding): void
}

/** How many failures in a row it takes. */
const mostFailures = 3
/** How many times as long as at first a gateway is rested at most. */
const longestRest = 20

interface Circuit {
  failures: number
  /** 0: it has not been rested since it worked last. */
  restsUntil: number
  lastCause: string | undefined
  /** A call is under way that finds out whether it works again. */
  isTried: boolean
  calls: number
  /** By the switch that says so, until when that is believed: the word that it is up again may have been missed. */
  readonly downUntil: Map<string, number>
}

/** Causes that come as well where nobody has answered the INVITE. */
const mutes: ReadonlySet<string> = new Set(['NO_ANSWER', 'ORIGINATOR_CANCEL', 'ALLOTTED_TIMEOUT'])

/** Of `Ping-Status`: FreeSWITCH refuses calls over such a gateway itself, with GATEWAY_DOWN. */
const seenDown = 'DOWN'

/**
 * Which gateways work, as this node's calls over them and the links to the switches tell. One that fails several times
 * in a row, by its own fault, is rested; then one call tries it, and when that fails too it is rested for longer. Kept
 * in memory and by each node for itself: nothing is asked over the network for a call, and a node that is cut off
 * from a carrier does not take it from the others.
 */
export class GatewayHealth {
  readonly #log: BaseLogger
  readonly #restMs: number
  readonly #longestRestMs: number
  readonly #now: () => number
  /** By name; of each that was dialled here, or that a switch has told of. */
  readonly #circuits = new Map<string, Circuit>()

  constructor({ log, restMs = 15_000, now = Date.now }: GatewayHealthOptions) {
    this.#log = log
    this.#restMs = restMs
    this.#longestRestMs = longestRest * restMs
    this.#now = now
  }

  /**
   * Those that do not rest, as they come, then those that do: who has rested enough soonest, first.
   * @param switchName of the FreeSWITCH that would dial
   */
  order<G extends { readonly name: string }>(
    gateways: readonly G[],
    switchName: string | undefined,
  ): readonly G[] {
    const rests = gateways.map(({ name }) => this.#restsUntil(name, switchName))
    if (rests.every((until) => until === 0)) return gateways
    const until = new Map(gateways.map((gateway, index) => [gateway, rests[index] ?? 0]))
    // Sorting is stable.
    return [...gateways].sort((one, other) => (until.get(one) ?? 0) - (until.get(other) ?? 0))
  }

  /** Whether calls are kept from it for now. */
  isResting(name: string, switchName: string | undefined): boolean {
    return this.#restsUntil(name, switchName) > 0
  }

  /** A call is about to dial it. */
  begin(name: string): GatewayUse {
    const circuit = this.#circuit(name)
    const isTrial = circuit.restsUntil > 0 && circuit.restsUntil <= this.#now()
    circuit.calls++
    if (isTrial) circuit.isTried = true
    let isOver = false
    return {
      works: () => {
        this.#works(name, circuit)
      },
      ended: (result) => {
        if (isOver) return
        isOver = true
        circuit.calls--
        if (isTrial) circuit.isTried = false
        if (result !== undefined) this.#learn(name, circuit, result)
      },
    }
  }

  /** Hears of `sofia::gateway_state` what a switch says of its gateways (mod_sofia's OPTIONS pings and registrations). */
  observe(event: Event): void {
    if (event.name !== 'CUSTOM' || event.peek('Event-Subclass') !== 'sofia::gateway_state') return
    const name = event.peek('Gateway')
    const status = event.peek('Ping-Status')
    if (name === undefined || status === undefined) return
    const switchName = event.peek('FreeSWITCH-Switchname') ?? ''
    const circuit = this.#circuit(name)
    const wasDown = circuit.downUntil.has(switchName)
    if (status === seenDown) circuit.downUntil.set(switchName, this.#now() + this.#longestRestMs)
    else {
      circuit.downUntil.delete(switchName)
      // It was not merely up all the time: what failed before it went down tells nothing any more.
      if (wasDown) circuit.failures = circuit.restsUntil = 0
    }
    if (wasDown !== circuit.downUntil.has(switchName))
      this.#log.warn({ gateway: name, switch: switchName, status }, 'the switch tells of a gateway')
  }

  state(name: string): GatewayState {
    const circuit = this.#circuits.get(name)
    const now = this.#now()
    const downOn = [...(circuit?.downUntil ?? [])].filter(([, until]) => until > now)
    const restsUntil = Math.max(circuit?.restsUntil ?? 0, ...downOn.map(([, until]) => until))
    const rested = restsUntil > now ? 'resting' : 'trial'
    return {
      state: restsUntil === 0 ? 'up' : rested,
      failures: circuit?.failures ?? 0,
      restsUntil: restsUntil === 0 ? undefined : restsUntil,
      lastCause: circuit?.lastCause,
      downOn: downOn.map(([switchName]) => switchName),
      calls: circuit?.calls ?? 0,
    }
  }

  /** Of a talk that has ended nothing is learnt: it began when it began. */
  #learn(name: string, circuit: Circuit, result: BridgeEnding): void {
    if (result.isConnected) return
    circuit.lastCause = result.cause
    if (gatewayOutcome(result) === 'failed') this.#failed(name, circuit)
    else if (!mutes.has(result.cause)) this.#works(name, circuit)
  }

  #works(name: string, circuit: Circuit): void {
    if (circuit.restsUntil > 0) this.#log.info({ gateway: name }, 'the gateway works again')
    circuit.failures = circuit.restsUntil = 0
  }

  #failed(name: string, circuit: Circuit): void {
    const now = this.#now()
    // What was under way when it was rested says nothing new.
    if (circuit.restsUntil > now) return
    circuit.failures++
    const rests = circuit.failures - mostFailures
    if (rests < 0) return
    const restMs = Math.min(this.#longestRestMs, this.#restMs * 2 ** Math.min(rests, 30))
    circuit.restsUntil = now + restMs
    this.#log.warn(
      { gateway: name, failures: circuit.failures, cause: circuit.lastCause, restMs },
      'the gateway is rested',
    )
  }

  /** 0: it does not rest. While a call tries it the others wait. */
  #restsUntil(name: string, switchName: string | undefined): number {
    const circuit = this.#circuits.get(name)
    if (circuit === undefined) return 0
    const now = this.#now()
    const until = Math.max(
      circuit.restsUntil,
      (switchName === undefined ? undefined : circuit.downUntil.get(switchName)) ?? 0,
    )
    return until > now || circuit.isTried ? until : 0
  }

  #circuit(name: string): Circuit {
    let circuit = this.#circuits.get(name)
    if (circuit === undefined) {
      circuit = {
        failures: 0,
        restsUntil: 0,
        lastCause: undefined,
        isTried: false,
        calls: 0,
        downUntil: new Map(),
      }
      this.#circuits.set(name, circuit)
    }
    return circuit
  }
}
