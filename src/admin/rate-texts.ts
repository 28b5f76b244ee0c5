import type { RateTexts } from '../billing/rate-fields.js'

const separators = /[ .()-]/g
/** For every number. */
export const everyNumber = '*'

/**
 * A prefix as somebody types it: 090, +84 90, 0084 90.
 *
 * @param normal its normal form
 * @returns a prefix that is none, as it is; null for one that is missing
 */
export function typedPrefix(
  typed: string,
  normal: (prefix: string) => string,
): Pick<RateTexts, 'prefix' | 'prefix_entered'> {
  const bare = typed.replace(separators, '')
  if (bare === everyNumber) return { prefix: '', prefix_entered: everyNumber }
  if (bare === '') return { prefix: null, prefix_entered: typed }
  const prefix = normal(bare)
  // Of 00 nothing is left, and what begins with nothing is every number.
  return { prefix: prefix === '' ? bare : prefix, prefix_entered: typed }
}
