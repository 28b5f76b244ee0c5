import { parseMoment } from '../common/moment.js'
import { parseMoney } from './money.js'
import type { RoundingMode } from './rating.js'

/** What a rate of a deck consists of, as texts: columns of its table, of a CSV file, fields of its JSON. */
export const rateFields = [
  'prefix',
  'prefix_entered',
  'description',
  'price_per_minute',
  'connection_fee',
  'minimum_seconds',
  'increment_seconds',
  'grace_seconds',
  'minimum_cost',
  'maximum_cost',
  'valid_from',
  'valid_to',
  'rounding_mode',
  'rounding_decimals',
] as const
export type RateField = (typeof rateFields)[number]

/**
 * Money as decimals, moments as RFC 3339, numbers as digits. Null: not set, which only the bounds of cost and of
 * validity may be.
 */
export type RateTexts = Record<RateField, string | null>

/** What is said of a rate that says nothing else. A price has to be said. */
export const plainTexts: Readonly<Omit<RateTexts, 'prefix' | 'prefix_entered' | 'price_per_minute'>> = {
  description: '',
  connection_fee: '0',
  minimum_seconds: '0',
  increment_seconds: '0',
  grace_seconds: '0',
  minimum_cost: null,
  maximum_cost: null,
  valid_from: null,
  valid_to: null,
  rounding_mode: 'half_up',
  rounding_decimals: '2',
}

export interface RateFault {
  readonly field: RateField
  /** What it is and what is allowed, to follow the field's name. */
  readonly detail: string
}

export const roundingModes: readonly RoundingMode[] = ['up', 'down', 'half_up', 'half_even']
export const mostSeconds = 1_000_000
export const longestDescription = 1_000
export const longestEntered = 100

const isPrefix = /^[0-9]{0,32}$/
const isPrice = /^[0-9]{1,18}(?:\.[0-9]{1,6})?$/
const isCount = /^[0-9]{1,9}$/
const isDecimals = /^[0-6]$/
// PostgreSQL holds neither.
const unstorable = /\0|\p{Surrogate}/u

export const prefixAllowed =
  'digits with an optional leading + (spaces, dots, hyphens and parentheses are ignored), 32 at most, ' +
  'or * for every number'
const priceAllowed =
  'an amount of 0 or more, such as 12.5, with 18 digits before the point and 6 behind it at most'
const secondsAllowed = `a whole number of 0 to ${mostSeconds}`
export const momentAllowed = 'a moment of RFC 3339, such as 2025-01-31T08:00:00Z'

/**
 * Everything that is wrong with a rate: what the checks of its table would say, in words. A rate without faults is one
 * that the table takes.
 *
 * @param rate its prefix in normal form; of one that has none, as it was typed
 */
export function rateFaults(rate: Readonly<RateTexts>): RateFault[] {
  const faults: RateFault[] = []
  const fault = (field: RateField, allowed: string): void => {
    faults.push({ field, detail: `${isOrMissing(rate[field])}; allowed is ${allowed}` })
  }
  if (!isPrefix.test(rate.prefix ?? 'null')) fault('prefix', prefixAllowed)
  checkText(rate, 'prefix_entered', longestEntered, fault)
  checkText(rate, 'description', longestDescription, fault)
  if (!isPrice.test(rate.price_per_minute ?? '')) fault('price_per_minute', priceAllowed)
  if (!isPrice.test(rate.connection_fee ?? '')) fault('connection_fee', priceAllowed)
  for (const field of ['minimum_seconds', 'increment_seconds', 'grace_seconds'] as const) {
    const text = rate[field]
    if (text !== '0' && !(isCount.test(text ?? '') && Number(text) <= mostSeconds))
      fault(field, secondsAllowed)
  }
  if (!roundingModes.includes(rate.rounding_mode as RoundingMode))
    fault('rounding_mode', `one of ${roundingModes.join(', ')}`)
  if (!isDecimals.test(rate.rounding_decimals ?? '')) fault('rounding_decimals', 'a whole number of 0 to 6')
  if (rate.minimum_cost !== null || rate.maximum_cost !== null) checkBounds(rate, fault, faults)
  if (rate.valid_from !== null || rate.valid_to !== null) checkValidity(rate, fault, faults)
  return faults
}

type Fault = (field: RateField, allowed: string) => void

function checkText(
  rate: Readonly<RateTexts>,
  field: 'prefix_entered' | 'description',
  longest: number,
  fault: Fault,
): void {
  const text = rate[field]
  if (text === null || text.length > longest || unstorable.test(text))
    fault(field, `a text of ${longest} characters at most, without the character NUL`)
}

function checkBounds(rate: Readonly<RateTexts>, fault: Fault, faults: RateFault[]): void {
  const bounds = (['minimum_cost', 'maximum_cost'] as const).map((field) => {
    const text = rate[field]
    if (text === null) return undefined
    if (!isPrice.test(text)) {
      fault(field, priceAllowed)
      return undefined
    }
    const decimals = rate.rounding_decimals ?? ''
    if (isDecimals.test(decimals) && decimalsOf(text) > Number(decimals))
      // Either the bound could be kept or the rounding.
      fault(field, `an amount of ${decimals} decimals at most, as costs are rounded to (rounding_decimals)`)
    return parseMoney(text)
  })
  const [least, most] = bounds
  if (least !== undefined && most !== undefined && least > most)
    faults.push({
      field: 'minimum_cost',
      detail: `is ${shown(rate.minimum_cost)}; allowed is maximum_cost, ${shown(rate.maximum_cost)}, or less`,
    })
}

function decimalsOf(amount: string): number {
  return (amount.split('.')[1] ?? '').replace(/0+$/, '').length
}

function checkValidity(rate: Readonly<RateTexts>, fault: Fault, faults: RateFault[]): void {
  const [from, to] = (['valid_from', 'valid_to'] as const).map((field) => {
    const text = rate[field]
    if (text === null) return undefined
    const moment = parseMoment(text)
    if (moment === undefined) fault(field, momentAllowed)
    return moment
  })
  if (from !== undefined && to !== undefined && from >= to)
    faults.push({
      field: 'valid_to',
      detail: `is ${shown(rate.valid_to)}; allowed is a moment after valid_from, ${shown(rate.valid_from)}`,
    })
}

const longestShown = 60

function shown(text: string | null): string {
  return JSON.stringify(
    text !== null && text.length > longestShown ? `${text.slice(0, longestShown)}…` : text,
  )
}

function isOrMissing(text: string | null): string {
  return text === null || text === '' ? 'is missing' : `is ${shown(text)}`
}
