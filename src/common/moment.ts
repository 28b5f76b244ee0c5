/** Moments as PostgreSQL counts them, in µs since 1970, and as RFC 3339 writes them. */

const rfc3339 =
  /^([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,6}))?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))$/
const microsPerMilli = 1_000n
/** The years 1 to 9999: what RFC 3339 can write. */
const first = BigInt(Date.parse('0001-01-01T00:00:00Z')) * microsPerMilli
const end = BigInt(Date.UTC(10_000, 0)) * microsPerMilli

/**
 * @param text RFC 3339 with up to six decimals of a second, in whatever zone
 * @returns µs since 1970; undefined: it is no such moment, or none of the years 1 to 9999
 */
export function parseMoment(text: string): bigint | undefined {
  const match = rfc3339.exec(text)
  if (!match) return undefined
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match.slice(1, 7).map(Number)
  const [fraction = '', sign, offsetHours = '0', offsetMinutes = '0'] = match.slice(7)
  if (hour > 23 || minute > 59 || second > 59 || Number(offsetHours) > 23 || Number(offsetMinutes) > 59)
    return undefined
  const date = new Date(0)
  date.setUTCFullYear(year, month - 1, day)
  // The 30th of February would become the 2nd of March.
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined
  date.setUTCHours(hour, minute, second)
  const offset = (Number(offsetHours) * 60 + Number(offsetMinutes)) * (sign === '-' ? -1 : 1)
  const ms = BigInt(date.getTime()) - BigInt(offset * 60_000)
  const micros = ms * microsPerMilli + BigInt(fraction.padEnd(6, '0'))
  return micros >= first && micros < end ? micros : undefined
}

/** @returns `2025-01-31T08:00:00.000Z`; with six decimals where there is something in the last three */
export function formatMoment(micros: bigint): string {
  const rest = ((micros % microsPerMilli) + microsPerMilli) % microsPerMilli
  const text = new Date(Number((micros - rest) / microsPerMilli)).toISOString()
  return rest === 0n ? text : text.replace('Z', `${String(rest).padStart(3, '0')}Z`)
}

/** @param text `2025-01-31`; @returns whether the calendar has it: Date takes the 30th of February for the 2nd of March */
export function isDay(text: string): boolean {
  const ms = Date.parse(`${text}T00:00:00Z`)
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(text)
}

/**
 * @param text as Date reads it, with its day as RFC 3339 has it at the beginning
 * @returns `2025-01-31T08:00:00.000Z`; undefined: there is no such moment, or not in the years 1 to 9999 of UTC, which
 *   is what PostgreSQL and RFC 3339 have in common
 */
export function utcMoment(text: string): string | undefined {
  const ms = Date.parse(text)
  if (Number.isNaN(ms) || !isDay(text.slice(0, '2025-01-31'.length))) return undefined
  const utc = new Date(ms).toISOString()
  // Years below 0 and above 9999 have a sign, which sorts before the digits.
  return utc < '0001' ? undefined : utc
}
