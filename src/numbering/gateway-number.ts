import { parsePhoneNumberFromString } from 'libphonenumber-js'

import { isShortNumber, type Country } from './normal-form.js'

/** How a gateway wants to be told a number; applied from top to bottom. */
export interface NumberRules {
  /** In normal form (84901234567), or as it is dialled in the tenant's country (0901234567, 0012125550123). */
  readonly format: 'international' | 'national'
  /** So many leading digits go. */
  readonly stripDigits: number
  /** Put before what is left: `+`, `00`, a carrier's prefix `9931#`. */
  readonly prepend: string
}

/**
 * A number as a gateway is to dial it. An emergency number or a short code is dialled as it is: it is in no
 * international form that anything could be taken off.
 *
 * @param number in normal form
 * @param place of the tenant
 * @returns undefined: nothing is left of it
 */
export function gatewayNumber(
  number: string,
  { format, stripDigits, prepend }: NumberRules,
  place: { readonly country: Country; readonly emergencyNumbers: ReadonlySet<string> },
): string | undefined {
  if (place.emergencyNumbers.has(number) || isShortNumber(number)) return number
  const digits = format === 'national' ? nationalDigits(number, place.country) : number
  return stripDigits >= digits.length ? undefined : prepend + digits.slice(stripDigits)
}

/** What no plan knows stays in normal form. */
function nationalDigits(number: string, country: Country): string {
  const parsed = /^[0-9]+$/.test(number) ? parsePhoneNumberFromString(`+${number}`) : undefined
  if (parsed === undefined) return number
  const dialled =
    parsed.country === country ? parsed.format('NATIONAL') : parsed.format('IDD', { fromCountry: country })
  const digits = dialled.replace(/[^0-9]/g, '')
  return digits === '' ? number : digits
}
