import type { Event } from '../../esl/event.js'
import type { Rate } from '../../billing/rating.js'
import type { Gateway } from '../../store/catalog.js'
import { micros } from '../facts.js'

/** What was dialled, with what it will cost: frozen before the leg is dialled. */
export interface Attempt {
  /** Its name among the call's attempts: what is reserved for it is found by it. */
  readonly id: string
  /** `gateway:carrier1`, `extension:1001`. */
  readonly target: string
  /** Undefined for an extension. */
  readonly gateway: Pick<Gateway, 'name' | 'carrierCostPerMinute'> | undefined
  readonly number: string
  /** Undefined: nothing is charged (an extension without an inbound tariff, an emergency number). */
  readonly rate: Rate | undefined
}

/** A called leg that was connected to the caller. */
export interface Leg {
  readonly uuid: string
  readonly attempt: Attempt
  /** When the far end answered, in µs; undefined while it only sends early media. */
  answeredAt: number | undefined
  readonly bridgedAt: number
  endedAt: number | undefined
  /** The leg's own word (its HANGUP_COMPLETE, its mod_json_cdr document), not what its caller's events tell. */
  endIsExact: boolean
}

/**
 * The called legs of a call, as the caller's own events tell of them: B-leg events do not come here.
 */
export class Legs {
  readonly #legs: Leg[] = []
  #attempt: Attempt | undefined

  get all(): readonly Leg[] {
    return this.#legs
  }

  /** What was dialled last, and has not been answered: it may be by now. */
  get attempt(): Attempt | undefined {
    const attempt = this.#attempt
    return this.#legs.some((leg) => leg.attempt === attempt) ? undefined : attempt
  }

  /** The one that talks to the caller, answered or on early media. */
  get talking(): Leg | undefined {
    return this.#open()
  }

  /** Whether of each leg that costs anything its own word is there. */
  get areExact(): boolean {
    return this.#legs.every(({ endIsExact, answeredAt, attempt }) => {
      return endIsExact || answeredAt === undefined || attempt.rate === undefined
    })
  }

  /** Those that another server had. */
  adopt(legs: readonly Leg[]): void {
    this.#legs.push(...legs.map((leg) => ({ ...leg })))
  }

  /** A leg's own word of itself, which is exact: about one that its caller's events told of, or one that they did not. */
  hear(told: Leg): void {
    const known = this.#legs.find(({ uuid }) => uuid === told.uuid)
    if (known === undefined) this.#legs.push({ ...told })
    else {
      known.answeredAt = told.answeredAt
      known.endedAt = told.endedAt
      known.endIsExact = true
    }
  }

  /** What is dialled from here on; undefined: whatever it is, it is not ours. */
  dialling(attempt: Attempt | undefined): void {
    this.#attempt = attempt
  }

  observe(event: Event): void {
    switch (event.name) {
      case 'CHANNEL_BRIDGE':
        this.#bridged(event)
        return
      case 'CHANNEL_ANSWER':
        // A bridge on early media: its leg's answer is passed on to the caller, at whose answer it is.
        this.#answered(micros(event, 'Caller-Channel-Answered-Time') ?? micros(event, 'Event-Date-Timestamp'))
        return
      case 'CHANNEL_UNBRIDGE':
        this.#ended(event)
        return
      case 'CHANNEL_EXECUTE_COMPLETE':
        if (this.#open() && event.peek('Application') === 'bridge') this.#ended(event)
        return
      case 'CHANNEL_HANGUP_COMPLETE':
        this.#ended(event, micros(event, 'variable_end_uepoch'))
        return
      default:
    }
  }

  /** Nothing more is heard of the call: what still talks is closed at the last sign of life. */
  close(lastHeardAt: number): void {
    for (const leg of this.#legs) leg.endedAt ??= Math.max(lastHeardAt, leg.bridgedAt)
  }

  #bridged(event: Event): void {
    const uuid = event.peek('Other-Leg-Unique-ID')
    const bridgedAt = micros(event, 'Event-Date-Timestamp')
    if (uuid === undefined || bridgedAt === undefined || this.#attempt === undefined) return
    if (this.#legs.some((leg) => leg.uuid === uuid)) return
    this.#legs.push({
      uuid,
      attempt: this.#attempt,
      answeredAt: micros(event, 'Other-Leg-Channel-Answered-Time'),
      bridgedAt,
      endedAt: undefined,
      endIsExact: false,
    })
  }

  #answered(at: number | undefined): void {
    const leg = this.#open()
    if (leg) leg.answeredAt ??= at
  }

  /** Its end reads 0 on the caller's events; the bridge's end is the leg's (test/recordings/README.md, "Ending"). */
  #ended(event: Event, at = micros(event, 'Event-Date-Timestamp')): void {
    const leg = this.#open()
    if (leg) leg.endedAt = at ?? leg.bridgedAt
  }

  #open(): Leg | undefined {
    return this.#legs.find((leg) => leg.endedAt === undefined)
  }
}
