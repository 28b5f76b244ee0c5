import fc from 'fast-check'

import type { Money } from '../../src/billing/money.js'
import { plainTerms, type Rate, type RoundingMode } from '../../src/billing/rating.js'

/** Up to 10¹² units of the currency. */
export const anyAmount = fc.oneof(
  fc.bigInt({ min: 0n, max: 10n ** 18n }),
  fc.bigInt({ min: 0n, max: 10n ** 9n }),
  fc.constant(0n),
)
/** Up to 10⁶ s, in ms. */
export const anyTime = fc.oneof(
  fc.integer({ min: 0, max: 1_000_000_000 }),
  fc.integer({ min: 0, max: 130_000 }),
)
const anySeconds = fc.oneof(
  fc.constantFrom(0, 1, 6, 30, 60),
  fc.integer({ min: 0, max: 1_000 }),
  fc.integer({ min: 0, max: 1_000_000 }),
)
const anyMode = fc.constantFrom<RoundingMode>('up', 'down', 'half_up', 'half_even')
const anyPrefix = fc.stringMatching(/^[0-9]{0,12}$/)
const anyMoment = fc.integer({ min: 0, max: 4_000_000_000_000_000 })

/** Every field of a rate, over its whole range. */
export const anyRate: fc.Arbitrary<Rate> = fc
  .record({
    prefix: anyPrefix,
    prefixEntered: fc.string({ unit: 'binary', maxLength: 8 }),
    description: fc.string({ unit: 'binary', maxLength: 20 }),
    pricePerMinute: anyAmount,
    connectionFee: anyAmount,
    minimumSeconds: anySeconds,
    incrementSeconds: anySeconds,
    graceSeconds: anySeconds,
    mode: anyMode,
    decimals: fc.integer({ min: 0, max: 6 }),
    bounds: fc.tuple(fc.option(anyAmount), fc.option(anyAmount)),
    validity: fc.tuple(fc.option(anyMoment), fc.option(anyMoment)),
  })
  .map(({ mode, decimals, bounds, validity, ...rest }) => {
    const unit = 10n ** BigInt(6 - decimals)
    const [least, most] = ordered(bounds.map((bound) => (bound === null ? null : bound - (bound % unit))))
    const [from, to] = ordered(validity)
    const isNever = typeof from === 'number' && from === to
    return {
      ...rest,
      rounding: { mode, decimals },
      ...(typeof least === 'bigint' && { minimumCost: least }),
      ...(typeof most === 'bigint' && { maximumCost: most }),
      ...(typeof from === 'number' && { validFrom: from }),
      ...(typeof to === 'number' && !isNever && { validTo: to }),
    }
  })

function ordered<T extends bigint | number>(pair: readonly (T | null)[]): (T | null | undefined)[] {
  const [a, b] = pair
  return typeof a === typeof b && a !== null && b !== null && a !== undefined && b !== undefined && a > b
    ? [b, a]
    : [...pair]
}

/** A rate on plain terms. */
export function plainRate(prefix: string, pricePerMinute: Money, terms: Partial<Rate> = {}): Rate {
  return { ...plainTerms, prefix, prefixEntered: prefix, description: '', pricePerMinute, ...terms }
}

interface Fraction {
  readonly n: bigint
  /** Above 0. */
  readonly d: bigint
}

/**
 * What a leg costs, step by step in exact fractions of the currency's unit and in seconds, as a contract would
 * say it: no step is shared with the code under test.
 */
export function exactCost(rate: Rate, billedMs: number): Money {
  const seconds: Fraction = { n: BigInt(billedMs), d: 1_000n }
  if (isZero(seconds) || isLess(seconds, whole(rate.graceSeconds))) return 0n
  let charged = seconds
  const minimum = whole(rate.minimumSeconds)
  if (isLess(charged, minimum)) charged = minimum
  else if (rate.incrementSeconds > 0) {
    const beyond = minus(charged, minimum)
    const increment = whole(rate.incrementSeconds)
    const steps = floor({ n: beyond.n * increment.d, d: beyond.d * increment.n })
    charged = plus(minimum, times(increment, { n: steps, d: 1n }))
    if (isLess(charged, seconds)) charged = plus(charged, increment)
  }
  const perSecond: Fraction = { n: rate.pricePerMinute, d: 1_000_000n * 60n }
  let total = plus(units(rate.connectionFee), times(perSecond, charged))
  if (rate.minimumCost !== undefined && isLess(total, units(rate.minimumCost)))
    total = units(rate.minimumCost)
  if (rate.maximumCost !== undefined && isLess(units(rate.maximumCost), total))
    total = units(rate.maximumCost)
  const { mode, decimals } = rate.rounding
  const scaled = times(total, { n: 10n ** BigInt(decimals), d: 1n })
  const below = floor(scaled)
  const rest = minus(scaled, { n: below, d: 1n })
  const half: Fraction = { n: 1n, d: 2n }
  const isHalf = isZero(minus(rest, half))
  const goesUp =
    mode === 'up'
      ? !isZero(rest)
      : mode === 'half_up'
        ? isHalf || isLess(half, rest)
        : mode === 'half_even'
          ? isLess(half, rest) || (isHalf && below % 2n !== 0n)
          : false
  return (goesUp ? below + 1n : below) * 10n ** BigInt(6 - decimals)
}

function whole(value: number): Fraction {
  return { n: BigInt(value), d: 1n }
}

function units(amount: Money): Fraction {
  return { n: amount, d: 1_000_000n }
}

function plus(a: Fraction, b: Fraction): Fraction {
  return { n: a.n * b.d + b.n * a.d, d: a.d * b.d }
}

function minus(a: Fraction, b: Fraction): Fraction {
  return plus(a, { n: -b.n, d: b.d })
}

function times(a: Fraction, b: Fraction): Fraction {
  return { n: a.n * b.n, d: a.d * b.d }
}

function isLess(a: Fraction, b: Fraction): boolean {
  return a.n * b.d < b.n * a.d
}

function isZero({ n }: Fraction): boolean {
  return n === 0n
}

/** Of a fraction that is not below 0. */
function floor({ n, d }: Fraction): bigint {
  return n / d
}
