import {
  Type,
  type Static,
  type TNull,
  type TObject,
  type TProperties,
  type TSchema,
  type TUnion,
} from 'typebox'

/**
 * Fields as an admin sends them, as strict as the tables are. `x-allowed` says in words what a field may be, for who got
 * it wrong: a pattern says it to programs alone.
 */

export const closed = { additionalProperties: false }
const mostInteger = 2_147_483_647

interface TextOptions {
  readonly description?: string
  readonly examples?: readonly string[]
}

/** @param allowed as it goes on after "allowed is" */
export const text = (pattern: string, allowed: string, { description, examples }: TextOptions = {}) =>
  Type.String({
    pattern,
    'x-allowed': allowed,
    ...(description !== undefined && { description }),
    ...(examples !== undefined && { examples: [...examples] }),
  })

/** @param most characters */
export const plainText = (most: number, description: string, least = 1) =>
  text(
    `^[^\\x00-\\x1f\\x7f]{${least},${most}}$`,
    `a text of ${least} to ${most} characters without control characters`,
    { description },
  )

/** Not below 0; a decimal string, so that nothing is lost on the way. */
export const amount = (description: string) =>
  text(
    '^[0-9]{1,18}(\\.[0-9]{1,6})?$',
    'a decimal number as a text, 0 or more, at most 18 digits before the point and 6 behind it',
    { description, examples: ['500.00'] },
  )

export const count = (description: string, { minimum = 0, maximum = mostInteger } = {}) =>
  Type.Integer({ minimum, maximum, description })

export function orNull<T extends TSchema>(schema: T, description: string): TUnion<[T, TNull]> {
  return Type.Union([schema, Type.Null()], { description })
}

export const tenantId = text(
  '^[a-z0-9][a-z0-9_-]{0,62}$',
  '1 to 63 lower-case letters, digits, _ and -, a letter or digit first',
  { description: 'Id of the tenant', examples: ['demo'] },
)

/** Both: as the caller id of a dial string takes them. */
export const callerIdNumber = text('^\\+?[0-9]{2,32}$', '2 to 32 digits, with + before them or without')
export const callerIdName = text(
  '^(?=.{1,64}$)[\\p{L}\\p{M}\\p{N}._-]+( [\\p{L}\\p{M}\\p{N}._-]+)*$',
  '1 to 64 letters, digits, ., _ and -, with single blanks between words',
)

/** A prefix as it is dialled in the tenant's country, or in normal form. */
export const typedPrefix = (description: string, least = 0) =>
  text(
    `^(\\+?[0-9]{${Math.max(least, 1)},28}${least === 0 ? '|' : ''})$`,
    `${least === 0 ? 'empty, for every number, or ' : ''}1 to 28 digits, with + before them or without`,
    { description },
  )

export const accountCodes = (most: number, description: string) =>
  Type.Array(plainText(128, 'accountcode of a channel'), { maxItems: most, uniqueItems: true, description })

/** All of them may be left out. */
export function optional<T extends TProperties>(properties: T) {
  return Type.Partial(Type.Object(properties)).properties
}

/** What a thing has of them. */
export type FieldsOf<T extends TProperties> = Static<TObject<T>>
