import { parsePhoneNumberFromString } from 'libphonenumber-js'

import { UnsafeArgument } from '../esl/errors.js'
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

export const plainNumberRules: NumberRules = { format: 'international', stripDigits: 0, prepend: '' }

/**
 * A number as a gateway is to dial it. An emergency number or a short code is dialled as it is: it is in no
 * international form that anything could be taken off.
 *
 * @param number in normal form
 * @param place of the tenant
 * @throws UnsafeArgument when nothing is left of it
 */
export function gatewayNumber(
  number: string,
  { format, stripDigits, prepend }: NumberRules,
  place: { readonly country: Country; readonly emergencyNumbers: ReadonlySet<string> },
): string {
  if (place.emergencyNumbers.has(number) || isShortNumber(number)) return number
  const digits = format === 'national' ? nationalDigits(number, place.country) : number
  if (stripDigits >= digits.length)
    throw new UnsafeArgument(`nothing is left of ${JSON.stringify(number)} without ${stripDigits} digits`)
  return prepend + digits.slice(stripDigits)
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
