import { formatMoney, parseMoney, type Money } from './money.js'
import { assertTerms, plainTerms, type Rate, type Rounding, type RoundingMode } from './rating.js'

/**
 * A rate as JSON: on the channel, in the journal, beside a charge. Money is decimal strings; what is as in
 * `plainTerms` is left out.
 */
export interface RateSnapshot {
  readonly prefix: string
  readonly prefixEntered: string
  readonly description: string
  readonly pricePerMinute: string
  readonly connectionFee?: string
  readonly minimumSeconds?: number
  readonly incrementSeconds?: number
  readonly graceSeconds?: number
  readonly minimumCost?: string
  readonly maximumCost?: string
  /** µs since 1970. */
  readonly validFrom?: number
  readonly validTo?: number
  readonly rounding?: Rounding
}

const modes: readonly RoundingMode[] = ['up', 'down', 'half_up', 'half_even']

export function rateSnapshot(rate: Rate): RateSnapshot {
  const { minimumCost, maximumCost, validFrom, validTo, rounding } = rate
  const isPlainlyRounded =
    rounding.mode === plainTerms.rounding.mode && rounding.decimals === plainTerms.rounding.decimals
  return {
    prefix: rate.prefix,
    prefixEntered: rate.prefixEntered,
    description: rate.description,
    pricePerMinute: formatMoney(rate.pricePerMinute),
    ...(rate.connectionFee !== 0n && { connectionFee: formatMoney(rate.connectionFee) }),
    ...(rate.minimumSeconds !== 0 && { minimumSeconds: rate.minimumSeconds }),
    ...(rate.incrementSeconds !== 0 && { incrementSeconds: rate.incrementSeconds }),
    ...(rate.graceSeconds !== 0 && { graceSeconds: rate.graceSeconds }),
    ...(minimumCost !== undefined && { minimumCost: formatMoney(minimumCost) }),
    ...(maximumCost !== undefined && { maximumCost: formatMoney(maximumCost) }),
    ...(validFrom !== undefined && { validFrom }),
    ...(validTo !== undefined && { validTo }),
    ...(!isPlainlyRounded && { rounding: { mode: rounding.mode, decimals: rounding.decimals } }),
  }
}

/**
 * @param json what `rateSnapshot` made, read back from wherever it was
 * @throws RangeError when it is no rate
 */
export function rateFromSnapshot(json: unknown): Rate {
  if (!isRecord(json)) throw new RangeError('no rate: not an object')
  const minimumCost = optional(json, 'minimumCost', money)
  const maximumCost = optional(json, 'maximumCost', money)
  const validFrom = optional(json, 'validFrom', whole)
  const validTo = optional(json, 'validTo', whole)
  const rate: Rate = {
    prefix: text(json.prefix, 'prefix'),
    prefixEntered: text(json.prefixEntered, 'prefixEntered'),
    description: text(json.description, 'description'),
    pricePerMinute: money(json.pricePerMinute, 'pricePerMinute'),
    connectionFee: optional(json, 'connectionFee', money) ?? plainTerms.connectionFee,
    minimumSeconds: optional(json, 'minimumSeconds', whole) ?? plainTerms.minimumSeconds,
    incrementSeconds: optional(json, 'incrementSeconds', whole) ?? plainTerms.incrementSeconds,
    graceSeconds: optional(json, 'graceSeconds', whole) ?? plainTerms.graceSeconds,
    ...(minimumCost !== undefined && { minimumCost }),
    ...(maximumCost !== undefined && { maximumCost }),
    ...(validFrom !== undefined && { validFrom }),
    ...(validTo !== undefined && { validTo }),
    rounding: optional(json, 'rounding', roundingOf) ?? plainTerms.rounding,
  }
  assertTerms(rate)
  return rate
}

type Json = Readonly<Record<string, unknown>>

function isRecord(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function optional<T>(json: Json, name: string, read: (value: unknown, name: string) => T): T | undefined {
  return json[name] === undefined ? undefined : read(json[name], name)
}

function text(value: unknown, name: string): string {
  if (typeof value !== 'string') throw new RangeError(`no rate: ${name} is no text`)
  return value
}

function money(value: unknown, name: string): Money {
  return parseMoney(text(value, name))
}

function whole(value: unknown, name: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value))
    throw new RangeError(`no rate: ${name} is no whole number`)
  return value
}

function roundingOf(value: unknown, name: string): Rounding {
  if (!isRecord(value)) throw new RangeError(`no rate: ${name} is not an object`)
  const mode = modes.find((mode) => mode === value.mode)
  if (mode === undefined) throw new RangeError(`no rate: ${String(value.mode)} is no way to round`)
  return { mode, decimals: whole(value.decimals, 'decimals') }
}
