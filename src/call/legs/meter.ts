import { randomBytes } from 'node:crypto'
import type { Logger } from 'pino'
import type { Credit, Granted, Leg as CreditLeg } from '../../billing/credit.js'
import { prompt } from '../../channel/prompt.js'
import { CallerGone } from '../../esl/errors.js'
import { longestTimerMs } from '../bound.js'
import type { LegControl } from './leg-control.js'

export interface MeterOptions {
  readonly credit: Credit
  readonly control: LegControl
  readonly log: Logger
  /** As it was authorised. */
  readonly leg: CreditLeg
  /** What it was authorised for, and dialled with. */
  readonly granted: Granted
  /** How long it may ring. */
  readonly ringSeconds: number
  /**
   * Of a leg that another server dialled: under which names its hangup may be scheduled. When it ends by them is not
   * known, so that its timer is moved at once.
   */
  readonly timers?: readonly string[]
  /** Under which name its hangup was scheduled beforehand; default the leg's own, as it schedules it itself. */
  readonly timer?: string
}

/** How long before its end the caller of a leg without further credit hears of it, in ms. */
const warningMs = 30_000
/** How long before its end a further slice is asked for, in ms; with short slices, half of one. */
const longestLeadMs = 60_000
/** How often it is asked for again once it was refused: money may come in. In ms; with short slices, less. */
const longestRetryMs = 5_000
/** How late the switch may end a leg, and tell of it, in ms. */
const lateMs = 3_000
const warningTone = prompt('tone_stream://%(200,0,900)')

type Slices = Pick<Credit, 'sliceMs'>

function leadMs({ sliceMs }: Slices): number {
  return Math.min(longestLeadMs, sliceMs / 2)
}

/**
 * For the hangup timer of a leg: another one each time.
 * @param at when it fires, in s since 1970, if that is known: whoever finds the name knows then until when is reserved
 */
export function timerName(legUuid: string, at?: number): string {
  const moment = at === undefined ? '' : `${at}-`
  return `linger-${legUuid}-${moment}${randomBytes(4).toString('hex')}`
}

/**
 * How long after its answer a leg may talk by what was granted before, in ms.
 * @param answeredAt µs by the switch's clock
 * @param grantedMs with which it was dialled
 * @param timers under which its hangup was scheduled since: a name is remembered once it is paid for
 */
export function reservedMs(answeredAt: number, grantedMs: number, timers: readonly string[]): number {
  const answered = Math.floor(answeredAt / 1e6)
  const moved = timers.flatMap((name) => /^linger-.*-([0-9]{10})-[0-9a-f]{8}$/.exec(name)?.[1] ?? [])
  return Math.max(grantedMs, ...moved.map((at) => (Number(at) - answered) * 1000))
}

/** How soon to ask again for a further slice, in ms. */
export function retryMs(credit: Slices): number {
  return Math.min(longestRetryMs, leadMs(credit) / 4)
}

/**
 * Keeps the hangup timer of a leg that talks in step with its tenant's credit: a slice is reserved before the last
 * one ends, then the timer is moved. The new one is set before the old one is taken off, each by its name: a
 * second `sched_hangup` replaces nothing (recordings hangup-timer-twice, hangup-timer-extended). Should this
 * server die anywhere on the way, the earlier one fires, or whoever takes the leg over takes both off by their names.
 */
export class Meter {
  readonly #options: MeterOptions
  readonly #leadMs: number
  readonly #retryMs: number
  #untilMs: number
  /** The same, or what its timer may already have been moved to. */
  #mostMs: number
  #legUuid = ''
  /** When it was answered: µs by the switch's clock, and ms by the monotonic one here. */
  #answeredAt = 0
  #answeredHere = 0
  /** What the timer is found by: at first the leg, whose `sched_hangup` it is. Several while it is moved. */
  #timers: readonly string[] = []
  #nextAsk: NodeJS.Timeout | undefined
  #warning: NodeJS.Timeout | undefined
  #state: 'metered' | 'over' | 'abandoned' = 'metered'

  constructor(options: MeterOptions) {
    this.#options = options
    this.#untilMs = this.#mostMs = options.granted.untilMs
    this.#leadMs = leadMs(options.credit)
    this.#retryMs = retryMs(options.credit)
  }

  /** After this long, in ms, the leg is over, whether or not anybody tells of it. */
  get longestMs(): number {
    const fromNowMs =
      this.#legUuid === ''
        ? this.#options.ringSeconds * 1000 + this.#mostMs
        : this.#answeredHere + this.#mostMs - performance.now()
    return Math.max(0, fromNowMs) + lateMs
  }

  /**
   * The leg was answered. May be called again.
   *
   * @param answeredAt µs by the switch's clock
   * @param now the same, as the switch's latest event tells it
   */
  start(legUuid: string, answeredAt: number, now: number): void {
    if (this.#legUuid !== '' || this.#state !== 'metered') return
    this.#legUuid = legUuid
    const { timer = legUuid, timers = [timer] } = this.#options
    this.#timers = timers
    this.#answeredAt = answeredAt
    this.#answeredHere = performance.now() - Math.max(0, now - answeredAt) / 1000
    if (this.#options.timers === undefined) this.#askInTime()
    else void this.#adopt()
  }

  /** The leg is over, or never was. */
  stop(): void {
    this.#end('over')
    // FreeSWITCH takes off by itself only what is named after the leg.
    for (const name of this.#timers)
      if (name !== this.#legUuid) this.#options.control.unschedule(name).catch(ignoreGone)
  }

  /** The leg may talk on where nobody here hears of it: its timer stays. */
  abandon(): void {
    this.#end('abandoned')
  }

  #end(state: 'over' | 'abandoned'): void {
    this.#state = state
    clearTimeout(this.#nextAsk)
    clearTimeout(this.#warning)
  }

  #askInTime(): void {
    if (this.#untilMs >= this.#options.leg.maxSeconds * 1000) return
    this.#askIn(this.#leftMs - this.#leadMs)
  }

  #askIn(ms: number): void {
    // Too early does no harm; longer, setTimeout would not wait at all.
    this.#nextAsk = setTimeout(() => void this.#ask(), Math.min(Math.max(0, ms), longestTimerMs))
  }

  get #leftMs(): number {
    return this.#answeredHere + this.#untilMs - performance.now()
  }

  async #adopt(): Promise<void> {
    try {
      await this.#moveTimer(this.#untilMs)
    } catch (error) {
      if (error instanceof CallerGone) return
      this.#options.log.error(
        { err: error, leg: this.#legUuid },
        'the timer of a leg was not moved; trying again',
      )
      this.#askIn(this.#retryMs)
    }
  }

  async #ask(): Promise<void> {
    const { credit, leg, log } = this.#options
    try {
      const answer = await credit.extend(leg, this.#untilMs)
      if (this.#state !== 'metered') return
      if (answer.kind === 'granted' && answer.untilMs > this.#untilMs) {
        await this.#moveTimer(answer.untilMs)
        return
      }
      this.#warnInTime(answer.kind === 'refused' ? answer.message : 'all that there is was granted')
    } catch (error) {
      if (error instanceof CallerGone) return
      log.error({ err: error, leg: this.#legUuid }, 'the time of a leg was not extended; trying again')
    }
    // What is there can be had up to the end, and a second before it nothing can be moved any more.
    if (this.#state === 'metered' && this.#leftMs > this.#retryMs) this.#askIn(this.#retryMs)
  }

  /** @throws what the control throws; the timer is then where it was, or at both places */
  async #moveTimer(untilMs: number): Promise<void> {
    const { control } = this.#options
    const before = this.#timers
    // A moment of the switch's own clock, so that nothing between here and there makes it later; cut to
    // whole seconds, as its `sched_hangup +N` is.
    const at = Math.floor((this.#answeredAt + untilMs * 1000) / 1e6)
    const next = timerName(this.#legUuid, at)
    this.#mostMs = untilMs
    this.#timers = [...before, next]
    await Promise.all([
      control.rememberTimers(this.#legUuid, this.#timers),
      control.hangupLegAt(at, this.#legUuid, next, 'ALLOTTED_TIMEOUT'),
    ])
    this.#untilMs = untilMs
    clearTimeout(this.#warning)
    this.#warning = undefined
    await Promise.all(before.map((name) => control.unschedule(name)))
    // It ended meanwhile, when the new timer was not known to be there.
    if (this.#state === 'over') await control.unschedule(next)
    else this.#timers = [next]
    if (this.#state === 'metered') this.#askInTime()
  }

  #warnInTime(why: string): void {
    if (this.#warning !== undefined) return
    const { control, log } = this.#options
    this.#warning = setTimeout(
      () => {
        log.info({ leg: this.#legUuid, why }, 'the leg ends soon, for there is no credit for more')
        control.playBeside(warningTone).catch(ignoreGone)
      },
      Math.max(0, this.#leftMs - warningMs),
    )
  }
}

/** What was asked for a caller who has gone need not be done any more. */
function ignoreGone(): void {
  // Nothing is left to do.
}
