/**
 * An amount of money, exact: units of the currency × 10⁶, so 1.50 is `1_500_000n`.
 * The same range as the database's NUMERIC(24, 6).
 */
export type Money = bigint

/** `Money` per unit of the currency. */
export const moneyUnit = 1_000_000n

const decimal = /^(-?)([0-9]{1,18})(?:\.([0-9]{1,6}))?$/

/**
 * @param text a decimal number as JSON, SQL and people write it, `500`, `-21.17`, `0.000001`: no sign but
 *   `-`, no exponent, no grouping, at most 18 digits before the point and 6 behind it
 * @throws RangeError that names `text`
 */
export function parseMoney(text: string): Money {
  const match = decimal.exec(text)
  if (!match)
    throw new RangeError(`${JSON.stringify(text)} is not an amount of money: digits, at most 6 decimals`)
  const [, sign, whole = '', fraction = ''] = match
  const amount = BigInt(whole) * moneyUnit + BigInt(fraction.padEnd(6, '0'))
  return sign ? -amount : amount
}

/** @returns a decimal string with at least 2 decimals and no trailing zero behind them: `500.00`, `0.125` */
export function formatMoney(amount: Money): string {
  const digits = (amount < 0n ? -amount : amount).toString().padStart(7, '0')
  let end = digits.length
  while (end > digits.length - 4 && digits[end - 1] === '0') end--
  return `${amount < 0n ? '-' : ''}${digits.slice(0, -6)}.${digits.slice(-6, end)}`
}
