import {
  AsYouType,
  isSupportedCountry,
  Metadata,
  parsePhoneNumberFromString,
  type CountryCode,
} from 'libphonenumber-js'

/**
 * Numbers and prefixes in normal form: international digits without `+`, as a gateway is dialled
 * (`0901234567` in Vietnam is `84901234567`). What is no public number (an extension, a short code, a
 * SIP name) stays as it came, so that it can be looked up all the same.
 */

/** ISO 3166 alpha-2, `VN`. */
export type Country = CountryCode

/** Whether there are numbers of it. */
export function isCountry(text: string): text is Country {
  return isSupportedCountry(text)
}

/** Nothing but zeros is nobody's number: FreeSWITCH presents 0000000000 for a caller that has none. */
const isDialable = /^(?!\+?0+$)\+?[0-9]{1,32}$/
const isPrefix = /^\+?[0-9]*$/
/** Up to this many digits without a `+` is an extension or a short code, never a public number. */
const longestShortNumber = 6

/** An extension or a short code (1080), by its length. */
export function isShortNumber(number: string): boolean {
  return number.length <= longestShortNumber && !number.startsWith('+')
}

/**
 * Digits without `+` and without a trunk prefix may be a national or an international number: the reading
 * that is a valid number counts. If both are, it is the country's own one that is written with its calling code, where
 * nobody dials a national number without the trunk prefix (4915112345678 in Germany, which is no 04915 112345678);
 * else the national one. So a normal form is its own normal form, but for foreign numbers that look like national ones.
 * @param number as it came off the wire; visual separators are not removed, a SIP user part has none
 * @returns digits, or `number` unchanged when it is no number that could be dialled in `country`
 */
export function normalNumber(number: string, country: Country): string {
  if (!isDialable.test(number) || isShortNumber(number)) return number
  const ownCode = callingCodeBesideTrunkPrefix(country)
  if (ownCode !== undefined && number.startsWith(ownCode)) {
    const own = parsePhoneNumberFromString(`+${number}`)
    if (own?.isValid()) return own.number.slice(1)
  }
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
  // *98 and #31# are codes of a switch, no prefixes of public numbers.
  if (!isPrefix.test(prefix)) return prefix
  let normal = internationalDigits(prefix, country)
  // Of digits that no plan has (ten zeros in Vietnam) one more is stripped each time: the last form is the normal one.
  for (;;) {
    const again = internationalDigits(normal, country)
    if (again.length >= normal.length) return normal
    normal = again
  }
}

function internationalDigits(digits: string, country: Country): string {
  // No area code of North America begins with 1: what does is no trunk prefix after +1, and +112 is not 12.
  if (digits.startsWith('+1')) return digits.slice(1)
  const typed = new AsYouType(country)
  try {
    typed.input(digits)
  } catch {
    // The library fails at what looks like an international prefix and no country's number behind it: 02 in Samoa.
    return digits
  }
  const international = typed.getNumberValue()?.slice(1)
  if (international === undefined) return digits
  const hasTrunkPrefix = typed.getNationalNumber() !== digits
  // No country code begins with 0: where it is no trunk prefix (Italy) it is part of the national number.
  return typed.isInternational() || hasTrunkPrefix || digits.startsWith('0') ? international : digits
}

const ownCodes = new Map<Country, string | undefined>()

/** Of a country whose national numbers are dialled with a trunk prefix, which is not the calling code itself (the 1). */
function callingCodeBesideTrunkPrefix(country: Country): string | undefined {
  if (!ownCodes.has(country)) ownCodes.set(country, readOwnCode(country))
  return ownCodes.get(country)
}

function readOwnCode(country: Country): string | undefined {
  if (!isSupportedCountry(country)) return undefined
  const metadata = new Metadata()
  metadata.selectNumberingPlan(country)
  // nationalPrefix() is missing from the library's declarations.
  const { numberingPlan } = metadata as unknown as {
    numberingPlan: { callingCode(): string; nationalPrefix(): string | undefined }
  }
  const callingCode = numberingPlan.callingCode()
  const trunkPrefix = numberingPlan.nationalPrefix() ?? ''
  return trunkPrefix === '' || trunkPrefix === callingCode ? undefined : callingCode
}
