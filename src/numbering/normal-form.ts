import { AsYouType, parsePhoneNumberFromString, type CountryCode } from 'libphonenumber-js'

/**
 * Numbers and prefixes in normal form: international digits without `+`, as a gateway is dialled
 * (`0901234567` in Vietnam is `84901234567`). What is no public number (an extension, a short code, a
 * SIP name) stays as it came, so that it can be looked up all the same.
 */

/** ISO 3166 alpha-2, `VN`. */
export type Country = CountryCode

const isDialable = /^\+?[0-9]{1,32}$/
/** Up to this many digits without a `+` is an extension or a short code, never a public number. */
const longestShortNumber = 6

/**
 * Digits without `+` and without a trunk prefix may be a national or an international number: the reading
 * that is a valid number counts, the national one if both are. So a normal form is its own normal form, but
 * for foreign numbers that look like national ones.
 * @param number as it came off the wire; visual separators are not removed, a SIP user part has none
 * @returns digits, or `number` unchanged when it is no number that could be dialled in `country`
 */
export function normalNumber(number: string, country: Country): string {
  if (!isDialable.test(number) || (number.length <= longestShortNumber && !number.startsWith('+')))
    return number
  const parsed = parsePhoneNumberFromString(number, country)
  if (parsed?.isValid()) return parsed.number.slice(1)
  if (parsed?.isPossible() && /^[+0]/.test(number)) return parsed.number.slice(1)
  return internationalDigits(number, country)
}

/**
 * A rate's or gateway's prefix, which is too short to be parsed as a number (`090` in Vietnam is `8490`).
 * Digits that carry neither `+`, nor an international nor a national trunk prefix, are taken as
 * international ones: `84` stays `84`.
 */
export function normalPrefix(prefix: string, country: Country): string {
  let normal = internationalDigits(prefix, country)
  // Of digits that no plan has (ten zeros in Vietnam) one more is stripped each time: the last form is the normal one.
  for (;;) {
    const again = internationalDigits(normal, country)
    if (again.length >= normal.length) return normal
    normal = again
  }
}

function internationalDigits(digits: string, country: Country): string {
  const typed = new AsYouType(country)
  typed.input(digits)
  const international = typed.getNumberValue()?.slice(1)
  if (international === undefined) return digits
  const hasTrunkPrefix = typed.getNationalNumber() !== digits
  // No country code begins with 0: where it is no trunk prefix (Italy) it is part of the national number.
  return typed.isInternational() || hasTrunkPrefix || digits.startsWith('0') ? international : digits
}
