import { Type, type Static, type TObject } from '@fastify/type-provider-typebox'
import {
  longestDescription,
  longestEntered,
  mostSeconds,
  plainTexts,
  rateFaults,
  roundingModes,
  type RateTexts,
} from '../billing/rate-fields.js'
import { formatMoment, parseMoment } from '../common/moment.js'
import type { Country } from '../numbering/normal-form.js'
import { isCountry } from '../numbering/prefix-reader.js'
import { parseRateId, type DeckRate, type RateKey } from '../store/deck-rates.js'
import { Problem, refuseInvalid } from './errors.js'
import { echo } from './field-errors.js'
import { moment, money, nullable } from './schemas.js'

/** What a rate looks like in JSON, and how it becomes the texts that are checked. */

const seconds = (description: string) =>
  Type.Integer({ minimum: 0, maximum: mostSeconds, description: `${description}, in s` })
/** As a client writes it: `rateFaults` says what it may be. */
const amount = (description: string) =>
  Type.String({ minLength: 1, maxLength: 30, description: `${description}: decimals, 6 at most` })
const text = (most: number, description: string) => Type.String({ maxLength: most, description })
const momentIn = (description: string) =>
  Type.String({ minLength: 1, maxLength: 40, description: `${description}; RFC 3339` })

const never = { description: 'Null: until further notice' }
const roundings = { description: 'How a cost is rounded, once, on its total' }

export const rateSchema = Type.Object(
  {
    id: Type.String({
      description: 'What it is addressed by: its prefix, and @ and valid_from if it has one',
    }),
    prefix: Type.String({ description: 'Normal form: international digits. Empty: every number' }),
    prefix_entered: Type.String({ description: 'The same as somebody typed it' }),
    description: Type.String(),
    price_per_minute: money('Price of a minute'),
    connection_fee: money('Once a leg, beside its time'),
    minimum_seconds: seconds('The least time that is paid for'),
    increment_seconds: Type.Integer({
      description: 'What longer times are rounded up to, in s; 0: they are paid for by the millisecond',
    }),
    grace_seconds: seconds('A shorter leg is free'),
    minimum_cost: nullable(money('The least that a leg costs')),
    maximum_cost: nullable(money('The most that a leg costs')),
    valid_from: nullable(moment('In force from then on'), { description: 'Null: it always was' }),
    valid_to: nullable(moment('Not in force any more then'), never),
    rounding_mode: Type.Enum([...roundingModes], roundings),
    rounding_decimals: Type.Integer({ description: 'To how many decimals' }),
    version: Type.Integer({ description: 'For If-Match; counts up' }),
  },
  {
    additionalProperties: false,
    description: 'A rate',
    examples: [
      {
        id: '8490@2025-01-31T08:00:00.000Z',
        prefix: '8490',
        prefix_entered: '090',
        description: 'Vietnam, mobile',
        price_per_minute: '500.00',
        connection_fee: '0.00',
        minimum_seconds: 6,
        increment_seconds: 1,
        grace_seconds: 0,
        minimum_cost: null,
        maximum_cost: null,
        valid_from: '2025-01-31T08:00:00.000Z',
        valid_to: null,
        rounding_mode: 'half_up',
        rounding_decimals: 2,
        version: 1,
      },
    ],
  },
)
export type RateJson = Static<typeof rateSchema>

/** What may be changed of a rate: all but what names it. */
export const changeableFields = {
  description: Type.Optional(text(longestDescription, 'For people')),
  price_per_minute: Type.Optional(amount('Price of a minute')),
  connection_fee: Type.Optional(amount('Once a leg, beside its time. Default 0')),
  minimum_seconds: Type.Optional(seconds('The least time that is paid for. Default 0')),
  increment_seconds: Type.Optional(
    seconds('What longer times are rounded up to. Default 0: paid for by the millisecond'),
  ),
  grace_seconds: Type.Optional(seconds('A shorter leg is free. Default 0')),
  minimum_cost: Type.Optional(nullable(amount('The least that a leg costs'))),
  maximum_cost: Type.Optional(nullable(amount('The most that a leg costs'))),
  valid_to: Type.Optional(nullable(momentIn('Not in force any more then'), never)),
  rounding_mode: Type.Optional(
    Type.Enum([...roundingModes], { description: `${roundings.description}. Default half_up` }),
  ),
  rounding_decimals: Type.Optional(Type.Integer({ minimum: 0, maximum: 6, description: 'Default 2' })),
}

export const country = Type.Optional(
  Type.String({
    minLength: 2,
    maxLength: 2,
    description: 'Whose dialling habits numbers and prefixes are typed in: ISO 3166. Default DEFAULT_COUNTRY',
  }),
)

export const draftFields = {
  prefix: Type.String({
    minLength: 1,
    maxLength: longestEntered,
    description: 'As somebody types it, 090 or +84 90; * for every number',
  }),
  country,
  ...changeableFields,
  price_per_minute: amount('Price of a minute'),
  valid_from: Type.Optional(
    nullable(momentIn('In force from then on'), { description: 'Null: it always was. Default' }),
  ),
}

type Change = Static<TObject<typeof changeableFields>> & { valid_from?: string | null }

/** The fields of a rate that a client gave, as texts. */
export function textsOf(change: Change): Partial<RateTexts> {
  const texts: Partial<RateTexts> = {}
  for (const field of [
    ...(Object.keys(changeableFields) as (keyof typeof changeableFields)[]),
    'valid_from',
  ] as const) {
    const value = change[field]
    if (value !== undefined) texts[field] = value === null ? null : String(value)
  }
  return texts
}

/** A rate that says nothing but what names it, and its price. */
export function newTexts(
  named: Pick<RateTexts, 'prefix' | 'prefix_entered'>,
  given: Partial<RateTexts>,
): RateTexts {
  return { ...plainTexts, price_per_minute: null, ...given, ...named }
}

/** @returns with its moments in UTC; @throws Problem with all that is wrong */
export function checkedTexts(rate: RateTexts): RateTexts {
  const faults = rateFaults(rate)
  if (faults.length > 0) refuseInvalid(faults.map(({ field, detail }) => ({ field, detail })))
  const inUtc = (text: string | null) => {
    const micros = text === null ? undefined : parseMoment(text)
    return micros === undefined ? null : formatMoment(micros)
  }
  return { ...rate, valid_from: inUtc(rate.valid_from), valid_to: inUtc(rate.valid_to) }
}

/** @throws Problem */
export function checkedCountry(given: string | undefined, otherwise: Country): Country {
  if (given === undefined) return otherwise
  if (isCountry(given)) return given
  return refuseInvalid([
    { field: 'country', detail: `is ${echo(given)}; allowed is a country of ISO 3166, such as VN` },
  ])
}

/** @throws the problem of a path with a rate that there cannot be */
export function checkedRateId(deckId: string, id: string): RateKey {
  const key = parseRateId(id)
  if (key) return key
  throw new Problem('not_found', `The deck ${echo(deckId)} has no rate ${echo(id)}.`)
}

export function shownRate(rate: DeckRate): RateJson {
  const { id, version, minimum_cost, maximum_cost, valid_from, valid_to } = rate
  return {
    id,
    prefix: rate.prefix ?? '',
    prefix_entered: rate.prefix_entered ?? '',
    description: rate.description ?? '',
    price_per_minute: rate.price_per_minute ?? '',
    connection_fee: rate.connection_fee ?? '',
    minimum_seconds: Number(rate.minimum_seconds),
    increment_seconds: Number(rate.increment_seconds),
    grace_seconds: Number(rate.grace_seconds),
    ...{ minimum_cost, maximum_cost, valid_from, valid_to },
    // The table's own check lets nothing else in.
    rounding_mode: rate.rounding_mode as RateJson['rounding_mode'],
    rounding_decimals: Number(rate.rounding_decimals),
    version,
  }
}
