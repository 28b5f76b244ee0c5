import type { Event } from '../../esl/event.js'
import type { Rate } from '../../billing/rating.js'
import type { Gateway } from '../../store/catalog.js'
import { micros } from '../facts.js'
import { answeredTarget } from './target.js'

/** What was dialled, with what it will cost: frozen before the leg is dialled. */
export interface Attempt {
  /** Its name among the call's attempts: what is reserved for it is found by it. */
  readonly id: string
  /** See target.ts. */
  readonly target: string
  /** Undefined for an extension. */
  readonly gateway: Pick<Gateway, 'name' | 'carrierCostPerMinute'> | undefined
  readonly number: string
  /** Undefined: nothing is charged (an extension without an inbound tariff, an emergency number). */
  readonly rate: Rate | undefined
  /** Whose phone has the call, where several might: learnt when the talk begins. */
  taker?: Taker
}

/** Of a group of extensions, or the agents of a queue, the one who talks. */
export interface Taker {
  readonly legUuid: string
  readonly extension: string
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
  /**
   * Its talk with the caller ended, at `endedAt`, and nothing says that the leg did: it was transferred, or somebody
   * else has it now.
   */
  hasLeft?: boolean
}

/** Whether it is the caller's own leg, which is charged from our answer on; no called one. */
export function isOwn({ attempt }: Pick<Leg, 'attempt'>): boolean {
  return attempt.target === answeredTarget
}

/** Whether the caller talked to somebody: on early media alone nobody has. */
export function hasTalk(legs: readonly Leg[]): boolean {
  return legs.some((leg) => leg.answeredAt !== undefined && !isOwn(leg))
}

/**
 * The legs of a call that may cost something, as the caller's own events tell of them: B-leg events do not come here.
 * They are those that it dialled, and perhaps the caller's own.
 */
export class Legs {
  readonly #legs: Leg[] = []
  #attempt: Attempt | undefined
  /** The cause of an earlier talk's end, when the present one began: it stays on the channel. */
  #causeBefore: string | undefined

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

  /** The caller's own leg, if it is charged. */
  get own(): Leg | undefined {
    return this.#legs.find(isOwn)
  }

  /** Those that cost something, and whose own word is not there. */
  get awaited(): readonly Leg[] {
    return this.#legs.filter(isAwaited)
  }

  /** Of those, the ones that may talk on without the caller. */
  get left(): readonly Leg[] {
    return this.awaited.filter((leg) => leg.hasLeft)
  }

  /** Whether of each leg that costs anything its own word is there. */
  get areExact(): boolean {
    return !this.#legs.some(isAwaited)
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

  /** The caller's leg is charged itself. @param answeredAt in µs; undefined: it is about to be answered */
  answering(uuid: string, attempt: Attempt, answeredAt: number | undefined): void {
    const bridgedAt = answeredAt ?? 0
    this.#legs.push({ uuid, attempt, answeredAt, bridgedAt, endedAt: undefined, endIsExact: false })
  }

  /** What the caller's leg says of its own end, should its final event not come here. */
  hearCaller(answeredAt: number | undefined, endedAt: number | undefined): void {
    const { own } = this
    if (own === undefined || own.endIsExact || endedAt === undefined) return
    own.answeredAt ??= answeredAt
    own.endedAt = endedAt
    own.endIsExact = true
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
      case 'CHANNEL_HANGUP_COMPLETE': {
        const endedAt = micros(event, 'variable_end_uepoch')
        this.#ended(event, endedAt)
        this.hearCaller(micros(event, 'variable_answer_uepoch'), endedAt)
        return
      }
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
    this.#causeBefore = event.peek(bridgeCause)
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
    const { own } = this
    const leg = own !== undefined && own.answeredAt === undefined ? own : this.#open()
    if (leg) leg.answeredAt ??= at
  }

  /** Its end reads 0 on the caller's events; the bridge's end is the leg's (test/recordings/README.md, "Ending"). */
  #ended(event: Event, at = micros(event, 'Event-Date-Timestamp')): void {
    const leg = this.#open()
    if (leg === undefined) return
    leg.endedAt = at ?? leg.bridgedAt
    if (!tellsOfItsEnd(event, this.#causeBefore)) leg.hasLeft = true
  }

  #open(): Leg | undefined {
    return this.#legs.find((leg) => leg.endedAt === undefined && !isOwn(leg))
  }
}

const bridgeCause = 'variable_bridge_hangup_cause'

/**
 * Whether the caller's channel says that the leg which it talked to last is over: a bridge that ended because one of
 * its two was hung up leaves the cause there (recordings bridge-answered-*, refer-by-called-1), one that was torn
 * apart does not (refer-by-caller-1). FreeSWITCH's switch_ivr_multi_threaded_bridge.
 *
 * @param causeBefore what stood there already
 */
export function tellsOfItsEnd(event: Event, causeBefore?: string): boolean {
  const cause = event.peek(bridgeCause)
  return cause !== undefined && cause !== causeBefore
}

/** Whether a leg costs something, and has not said itself from when to when. */
export function isAwaited({ endIsExact, answeredAt, attempt }: Leg): boolean {
  return !endIsExact && answeredAt !== undefined && attempt.rate !== undefined
}
