// With what kind of number each is, which the smaller metadata leave out.
import { getCountryCallingCode, isSupportedCountry, parsePhoneNumberFromString } from 'libphonenumber-js/max'

import type { Country } from './normal-form.js'

/** As in `toll_allow` of FreeSWITCH's directory, and the two that money and lives hang on. */
export type NumberClass = 'emergency' | 'local' | 'domestic' | 'international' | 'premium'

/** What a number is to its caller: the tenant's place. */
export interface Place {
  readonly country: Country
  /** Normal form: numbers that begin so are local. */
  readonly localPrefixes: readonly string[]
  /** As they are dialled. */
  readonly emergencyNumbers: ReadonlySet<string>
}

/**
 * - `premium`: its called party is paid for the call, in whatever country;
 * - `local`: below one of the caller's local prefixes, or free for its caller;
 * - `domestic`: every other number of the caller's country, short codes included;
 * - `international`: the rest.
 *
 * @param number in normal form
 */
export function numberClass(
  number: string,
  { country, localPrefixes, emergencyNumbers }: Place,
): NumberClass {
  if (emergencyNumbers.has(number)) return 'emergency'
  const parsed = parsePhoneNumberFromString(`+${number}`)
  const type = parsed?.getType()
  if (type === 'PREMIUM_RATE') return 'premium'
  if (localPrefixes.some((prefix) => number.startsWith(prefix))) return 'local'
  if (!parsed?.isValid()) return isOfCountry(number, country) ? 'domestic' : 'international'
  if (parsed.country !== country) return 'international'
  return type === 'TOLL_FREE' ? 'local' : 'domestic'
}

/**
 * Whether an extension may call numbers of this class; an emergency number always.
 *
 * @param tollAllow undefined: it may call everything
 */
export function isTollAllowed(
  numberClass: NumberClass,
  tollAllow: ReadonlySet<NumberClass> | undefined,
): boolean {
  return numberClass === 'emergency' || tollAllow === undefined || tollAllow.has(numberClass)
}

/** No public number: by its calling code, unless it is too short to have one. */
function isOfCountry(number: string, country: Country): boolean {
  if (number.length <= longestShortCode) return true
  return isSupportedCountry(country) && number.startsWith(getCountryCallingCode(country))
}

/** Up to this many digits it is an extension or a service of the country's network, 1080. */
const longestShortCode = 6
