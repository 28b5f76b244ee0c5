import type { Money } from './money.js'
import { costCeiling, longestMs, type Rate } from './rating.js'

/** How a leg's time is cut; all in ms. */
export interface SliceTimes {
  /** What is reserved at a time. */
  readonly sliceMs: number
  /** Less than this more is not worth a reservation. */
  readonly leastMs: number
  /** The switch may end the leg this much later than its timer says; reserved besides. */
  readonly guardMs: number
}

/** What a leg is to hold, in all. */
export interface Holding {
  /** For a whole slice more. */
  readonly want: Money
  /** For as little more as makes sense. */
  readonly least: Money
}

/**
 * What a leg must hold to go on for a slice longer than `fromMs` after its answer, but not longer than `maxMs`.
 * Its guard is in it, and the rate's increment rounds it up. Where `want` is above 0 so is `least`: on a rate with
 * a time of grace, who has no money gets no short free legs either.
 */
export function holdingFor(rate: Rate, fromMs: number, maxMs: number, times: SliceTimes): Holding {
  const cost = (moreMs: number) => costCeiling(rate, Math.min(fromMs + moreMs, maxMs) + times.guardMs)
  const want = cost(times.sliceMs)
  const least = cost(Math.min(times.leastMs, times.sliceMs))
  return { want, least: least > 0n || want === 0n ? least : costCeiling(rate, longestMs(rate, 0n) + 1) }
}

/**
 * How long after its answer the hangup timer of a leg that holds `held` may fire: whole seconds, in ms, as the
 * switch's scheduler has no finer ones. Whatever it is late by within the guard is paid for.
 */
export function untilMs(rate: Rate, held: Money, maxMs: number, { guardMs }: SliceTimes): number {
  const paidMs = longestMs(rate, held) - guardMs
  return paidMs >= maxMs ? maxMs : Math.max(0, Math.floor(paidMs / 1000) * 1000)
}

/** Whether a leg costs nothing however long it lasts. */
export function isFree(rate: Rate, maxMs: number, { guardMs }: SliceTimes): boolean {
  return costCeiling(rate, maxMs + guardMs) === 0n
}
