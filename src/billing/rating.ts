import { moneyUnit, type Money } from './money.js'

/** What a minute to the numbers below a prefix costs. */
export interface Rate {
  /** Normal form: international digits. Empty: every number. */
  readonly prefix: string
  /** The spelling that was entered (`090` in Vietnam is `8490`). */
  readonly prefixEntered: string
  readonly description: string
  readonly pricePerMinute: Money
}

const msPerMinute = 60_000n
/** What an amount is rounded to: 2 decimals. */
const roundingUnit = moneyUnit / 100n

/**
 * The default rating: `billedMs / 60,000 × pricePerMinute`, by the millisecond, rounded half up ONCE, on the
 * total, to 2 decimals. 2,540 ms at 500 cost 21.17.
 *
 * @param billedMs whole milliseconds, 0 or more
 * @throws RangeError for a negative price or time, or one that is no whole number
 */
export function costOf(pricePerMinute: Money, billedMs: number): Money {
  if (!Number.isSafeInteger(billedMs) || billedMs < 0)
    throw new RangeError(`${billedMs} is no billable time in ms`)
  if (pricePerMinute < 0n) throw new RangeError(`${pricePerMinute} is no price: it is below 0`)
  return roundHalfUp(pricePerMinute * BigInt(billedMs), msPerMinute * roundingUnit) * roundingUnit
}

/** `numerator / denominator` to the nearest whole, a half upwards. Neither may be negative. */
function roundHalfUp(numerator: bigint, denominator: bigint): bigint {
  return (2n * numerator + denominator) / (2n * denominator)
}
