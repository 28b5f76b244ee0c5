import { getCountries, getCountryCallingCode, isSupportedCountry, Metadata } from 'libphonenumber-js'

import { normalPrefix, type Country } from './normal-form.js'

const plain = /^\+?([1-9][0-9]{0,31})$/

/**
 * `normalPrefix`, for a million prefixes in a row: where no trunk and no international prefix stands before the number,
 * or behind its calling code, there is nothing to take away, and to see that takes a fraction of the time.
 */
export function prefixReader(country: Country): (prefix: string) => string {
  const isKnown = isSupportedCountry(country)
  const ownCode = isKnown ? getCountryCallingCode(country) : undefined
  const stripped = isKnown ? strippedBy(country, ['IDDPrefix', 'nationalPrefixForParsing']) : undefined
  return (prefix) => {
    const digits = plain.exec(prefix)?.[1]
    const isNormal =
      digits !== undefined &&
      isKnown &&
      !matches(stripped, digits) &&
      // A country's own numbers are known by its code with and without the plus.
      ((digits === prefix && !digits.startsWith(ownCode ?? '')) || hasNoTrunkPrefix(digits))
    return isNormal ? digits : normalPrefix(prefix, country)
  }
}

/** Whether numbers of this country can be read. */
export function isCountry(text: string): text is Country {
  return isSupportedCountry(text)
}

/** What is taken away behind a calling code, in any of its countries. */
const codes = new Map<string, RegExp[]>()

function hasNoTrunkPrefix(digits: string): boolean {
  // What follows this code is never read (normal-form.ts).
  if (digits.startsWith('1')) return true
  if (codes.size === 0) readCodes()
  for (let length = 1; length <= 3; length++) {
    const stripped = codes.get(digits.slice(0, length))
    if (stripped) return !stripped.some((each) => matches(each, digits.slice(length)))
  }
  return false
}

function readCodes(): void {
  for (const country of getCountries()) {
    const code = getCountryCallingCode(country)
    const stripped = strippedBy(country, ['nationalPrefixForParsing'])
    codes.set(code, [...(codes.get(code) ?? []), ...(stripped ? [stripped] : [])])
  }
}

function matches(stripped: RegExp | undefined, digits: string): boolean {
  return (stripped?.exec(digits)?.[0] ?? '') !== ''
}

type Rule = 'IDDPrefix' | 'nationalPrefixForParsing'

/** @returns undefined: a country where numbers are dialled as they are */
function strippedBy(country: Country, rules: readonly Rule[]): RegExp | undefined {
  const metadata = new Metadata()
  metadata.selectNumberingPlan(country)
  // They are missing from the library's declarations; a rule that there is not is no text.
  const { numberingPlan } = metadata as unknown as { numberingPlan: Record<Rule, () => unknown> }
  const patterns = rules.flatMap((rule) => {
    const pattern = numberingPlan[rule]()
    return typeof pattern === 'string' && pattern !== '' ? [pattern] : []
  })
  return patterns.length === 0 ? undefined : new RegExp(`^(?:${patterns.join('|')})`)
}
