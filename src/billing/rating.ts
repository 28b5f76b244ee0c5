import { moneyUnit, type Money } from './money.js'

/** `up` and `down` are away from and towards 0: no amount here is below it. */
export type RoundingMode = 'up' | 'down' | 'half_up' | 'half_even'

export interface Rounding {
  readonly mode: RoundingMode
  /** 0 to 6. */
  readonly decimals: number
}

/** How time and price become a cost. */
export interface Terms {
  /** Once a leg, beside its time. */
  readonly connectionFee: Money
  /** The least time that is charged: the 30 of 30/6. */
  readonly minimumSeconds: number
  /** What the time beyond the minimum is rounded up to: the 6 of 30/6. 0: by the millisecond. */
  readonly incrementSeconds: number
  /** A leg shorter than this is free. */
  readonly graceSeconds: number
  /** The bounds of what a leg outside of its grace costs; whole multiples of what is rounded to. */
  readonly minimumCost?: Money
  readonly maximumCost?: Money
  /** From this moment on, in µs since 1970; without it, always was. */
  readonly validFrom?: number
  /** Up to this moment and not in it, in µs since 1970; without it, until further notice. */
  readonly validTo?: number
  readonly rounding: Rounding
}

/** What a call to the numbers below a prefix costs. A value: a leg keeps the one that it was dialled at. */
export interface Rate extends Terms {
  /** Normal form: international digits. Empty: every number. */
  readonly prefix: string
  /** The spelling that was entered (`090` in Vietnam is `8490`). */
  readonly prefixEntered: string
  readonly description: string
  readonly pricePerMinute: Money
}

/** A price by the minute and nothing else: by the millisecond, half up, 2 decimals. */
export const plainTerms: Terms = {
  connectionFee: 0n,
  minimumSeconds: 0,
  incrementSeconds: 0,
  graceSeconds: 0,
  rounding: { mode: 'half_up', decimals: 2 },
}

/** Of a tenant that may call what has no price: the leg has its charge, of nothing. */
export const unrated: Rate = {
  ...plainTerms,
  prefix: '',
  prefixEntered: '',
  description: 'no rate',
  pricePerMinute: 0n,
}

export interface RatedLeg {
  /** The time that is paid for: at least the minimum, in whole increments. 0 for a leg that is free. */
  readonly chargedMs: number
  readonly cost: Money
}

type Priced = Terms & Pick<Rate, 'pricePerMinute'>

const msPerMinute = 60_000n
const mostDecimals = 6
/** What `longestMs` calls endless, in ms: some 285,000 years, the last number that counts exactly. */
const endless = BigInt(Number.MAX_SAFE_INTEGER)

/**
 * What a leg costs: `connection fee + charged time × price`, held between the minimum and the maximum cost, and
 * rounded ONCE, that total. Never below 0, and never less for a longer leg. A leg that lasted no time costs
 * nothing, whatever the rate.
 *
 * @param billedMs whole milliseconds from the leg's answer to its end, 0 or more
 * @throws RangeError for a time that is no such number, or a rate that contradicts itself
 */
export function rateLeg(rate: Priced, billedMs: number): RatedLeg {
  assertTime(billedMs)
  assertTerms(rate)
  const charged = chargedMs(rate, BigInt(billedMs))
  return { chargedMs: Number(charged), cost: costOfCharged(rate, charged) }
}

/**
 * A price by the minute on plain terms, such as a carrier's: 2,540 ms at 500 cost 21.17.
 *
 * @throws RangeError for a negative price or time, or one that is no whole number
 */
export function costOf(pricePerMinute: Money, billedMs: number): Money {
  return rateLeg({ ...plainTerms, pricePerMinute }, billedMs).cost
}

/**
 * The most that a leg of up to `ms` can cost, which is what one of exactly `ms` costs: what must be reserved
 * before it may last so long.
 */
export function costCeiling(rate: Priced, ms: number): Money {
  return rateLeg(rate, ms).cost
}

/**
 * The inverse of `costCeiling`: the longest time, in ms, that costs `amount` or less. One ms more costs more.
 *
 * @returns Infinity when no time costs more; 0 when there is no time at all for it
 */
export function longestMs(rate: Priced, amount: Money): number {
  assertTerms(rate)
  if (amount < 0n) return 0
  const longest = longestOf(rate, amount)
  return longest >= endless ? Infinity : Number(longest)
}

function longestOf(rate: Priced, amount: Money): bigint {
  const { minimumCost, maximumCost, pricePerMinute, connectionFee } = rate
  if (maximumCost !== undefined && maximumCost <= amount) return endless
  const grace = ms(rate.graceSeconds)
  const free = grace > 0n ? grace - 1n : 0n
  if (minimumCost !== undefined && minimumCost > amount) return free
  const forTime = largestTotal(amount, rate.rounding) - connectionFee * msPerMinute
  if (forTime < 0n) return free
  if (pricePerMinute === 0n) return endless
  const paid = longestCharged(rate, forTime / pricePerMinute)
  return paid > free ? paid : free
}

/** The inverse of `chargedMs`, without its time of grace: the longest time for which no more than `charged` is paid. */
function longestCharged(terms: Terms, charged: bigint): bigint {
  const minimum = ms(terms.minimumSeconds)
  if (charged < minimum) return 0n
  const increment = ms(terms.incrementSeconds)
  return increment === 0n ? charged : charged - ((charged - minimum) % increment)
}

/** The inverse of the rounding: the most, in sixty thousandths, that is rounded to `amount` or less. */
function largestTotal(amount: Money, rounding: Rounding): bigint {
  const unit = roundingUnit(rounding)
  const denominator = msPerMinute * unit
  const quotient = amount / unit
  const exact = quotient * denominator
  switch (rounding.mode) {
    case 'up':
      return exact
    case 'down':
      return exact + denominator - 1n
    case 'half_up':
      return exact + denominator / 2n - 1n
    case 'half_even':
      // Half way it goes down to an even one, and away from an odd one.
      return exact + denominator / 2n - (quotient % 2n)
  }
}

/** Whether the rate is in force at a moment, in µs since 1970. */
export function isValidAt({ validFrom, validTo }: Terms, at: number): boolean {
  return (validFrom === undefined || validFrom <= at) && (validTo === undefined || at < validTo)
}

function chargedMs(terms: Terms, billed: bigint): bigint {
  if (billed === 0n || billed < ms(terms.graceSeconds)) return 0n
  const minimum = ms(terms.minimumSeconds)
  if (billed <= minimum) return minimum
  const increment = ms(terms.incrementSeconds)
  return increment === 0n ? billed : minimum + ceilDivide(billed - minimum, increment) * increment
}

/** @param charged 0: free */
function costOfCharged(rate: Priced, charged: bigint): Money {
  if (charged === 0n) return 0n
  const { minimumCost, maximumCost, rounding } = rate
  // Sixty thousandths of a unit, so that nothing is lost before the rounding.
  let total = rate.connectionFee * msPerMinute + rate.pricePerMinute * charged
  if (minimumCost !== undefined && total < minimumCost * msPerMinute) total = minimumCost * msPerMinute
  if (maximumCost !== undefined && total > maximumCost * msPerMinute) total = maximumCost * msPerMinute
  const unit = roundingUnit(rounding)
  return divide(total, msPerMinute * unit, rounding.mode) * unit
}

function divide(numerator: bigint, denominator: bigint, mode: RoundingMode): bigint {
  const quotient = numerator / denominator
  const twiceTheRest = 2n * (numerator % denominator)
  switch (mode) {
    case 'down':
      return quotient
    case 'up':
      return ceilDivide(numerator, denominator)
    case 'half_up':
      return twiceTheRest >= denominator ? quotient + 1n : quotient
    case 'half_even':
      return twiceTheRest > denominator || (twiceTheRest === denominator && quotient % 2n === 1n)
        ? quotient + 1n
        : quotient
  }
}

function ceilDivide(numerator: bigint, denominator: bigint): bigint {
  return (numerator + denominator - 1n) / denominator
}

function ms(seconds: number): bigint {
  return BigInt(seconds) * 1_000n
}

function roundingUnit({ decimals }: Rounding): Money {
  return moneyUnit / 10n ** BigInt(decimals)
}

function assertTime(billedMs: number): void {
  if (!Number.isSafeInteger(billedMs) || billedMs < 0)
    throw new RangeError(`${billedMs} is no billable time in ms`)
}

/** @throws RangeError that names what makes no sense */
export function assertTerms(rate: Priced): void {
  const { minimumCost, maximumCost, validFrom, validTo, rounding } = rate
  if (rate.pricePerMinute < 0n) throw new RangeError(`${rate.pricePerMinute} is no price: it is below 0`)
  if (rate.connectionFee < 0n) throw new RangeError(`${rate.connectionFee} is no fee: it is below 0`)
  for (const seconds of [rate.minimumSeconds, rate.incrementSeconds, rate.graceSeconds])
    if (!Number.isSafeInteger(seconds) || seconds < 0)
      throw new RangeError(`${seconds} is no number of whole seconds`)
  if (!Number.isInteger(rounding.decimals) || rounding.decimals < 0 || rounding.decimals > mostDecimals)
    throw new RangeError(`${rounding.decimals} is no number of decimals: 0 to ${mostDecimals}`)
  for (const bound of [minimumCost, maximumCost])
    // A bound between two roundings could be kept or the rounding, not both.
    if (bound !== undefined && (bound < 0n || bound % roundingUnit(rounding) !== 0n))
      throw new RangeError(`${bound} is no bound of a cost of ${rounding.decimals} decimals`)
  if (minimumCost !== undefined && maximumCost !== undefined && minimumCost > maximumCost)
    throw new RangeError(`a minimum cost of ${minimumCost} is above the maximum of ${maximumCost}`)
  if (validFrom !== undefined && validTo !== undefined && validFrom >= validTo)
    throw new RangeError(`valid from ${validFrom} to ${validTo} is never`)
}
