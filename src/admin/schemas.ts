import { Type, type TNull, type TSchema, type TUnion } from 'typebox'
import { utcMoment } from '../common/moment.js'
import { problemType, refuseInvalid } from './errors.js'
import { echo, type FieldError } from './field-errors.js'

/** What several resources have in common. */

export const problem = Type.Object(
  {
    type: Type.String({ description: 'Names the error, for programs: urn:linger:problem:invalid' }),
    title: Type.String({ description: 'Names the error, for people' }),
    status: Type.Integer({ description: 'The HTTP status' }),
    detail: Type.String({ description: 'What went wrong this time' }),
    errors: Type.Optional(
      Type.Array(
        Type.Object(
          {
            field: Type.String(),
            detail: Type.String(),
            line: Type.Optional(Type.Integer({ description: 'Of a file: its first line is 1' })),
          },
          { additionalProperties: false },
        ),
        {
          description: 'The fields at fault, each with what is allowed',
        },
      ),
    ),
  },
  {
    $id: 'Problem',
    additionalProperties: false,
    description: 'An error, as RFC 9457 writes it',
    examples: [
      {
        type: 'urn:linger:problem:invalid',
        title: 'The request is not valid',
        status: 400,
        detail: 'Not valid: ttl_seconds.',
        errors: [{ field: 'ttl_seconds', detail: 'is 0; allowed is a whole number of 1 to 315360000' }],
      },
    ],
  },
)

const reasons = {
  400: 'A parameter or field is wrong: `errors` says which, and what is allowed',
  401: 'No API key, or not a valid one',
  403: 'The API key does not allow this',
  404: 'There is no such thing',
  408: 'Nothing came of the body for too long',
  409: 'There is one already, something depends on it, the idempotency key was used for another booking, the call is not in the state for it, or this release cannot read it',
  412: 'It was changed since the version that If-Match names',
  413: 'The body is too large',
  415: 'The body is of another kind than is needed',
  422: 'It cannot be done: `detail` says why',
  428: 'If-Match is missing',
  429: 'There were too many requests, or too many wrong keys: Retry-After says how many seconds to wait',
  503: 'Redis, PostgreSQL or the server that has the call is away',
} as const

/** The error answers of an operation under /v1, with those that every one has; who may use it adds others. */
export function problems(...statuses: (keyof typeof reasons)[]): object {
  const all = [...new Set<keyof typeof reasons>([400, 401, 429, 503, ...statuses])]
  return Object.fromEntries(
    all.map((status) => [
      status,
      { description: reasons[status], content: { [problemType]: { schema: Type.Ref('Problem') } } },
    ]),
  )
}

export const security = [{ bearer: [] }]

export function nullable<T extends TSchema>(
  schema: T,
  options: { description?: string } = {},
): TUnion<[T, TNull]> {
  return Type.Union([schema, Type.Null()], options)
}

/** A decimal string, exact. */
export const money = (description: string) => Type.String({ pattern: '^-?[0-9]+\\.[0-9]{2,6}$', description })
/** RFC 3339, UTC. */
export const moment = (description: string) => Type.String({ format: 'date-time', description })
export const milliseconds = (description: string) => Type.Integer({ minimum: 0, description })

export const limit = (most: number) =>
  Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: most,
      default: 100,
      description: 'Items a page, at most. Default 100',
    }),
  )
export const cursor = Type.Optional(
  Type.String({ minLength: 1, maxLength: 4096, description: 'The "next" of the page before' }),
)
export const defaultLimit = 100

/** Of a list that may be one tenant's alone. */
export const queryTenant = Type.Optional(
  Type.String({ minLength: 1, maxLength: 64, description: 'Only what is of this tenant' }),
)

const rfc3339 = 'RFC 3339, such as 2025-01-31T08:00:00Z or 2025-01-31T15:00:00+07:00'
/** A moment as a client writes it; `readMoments` reads it. */
export const momentText = (description: string) =>
  Type.Optional(Type.String({ minLength: 1, maxLength: 40, description: `${description}; ${rfc3339}` }))

const isMoment = /^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:[Zz]|[+-]\d{2}:\d{2})$/

/**
 * Reads the moments among the fields of a request: `from`, `to`, `at` and what ends in `_at`.
 *
 * @returns those, in UTC; a `+` that a URL has made a blank is one again
 * @throws Problem that names every one that is none
 */
export function readMoments<T extends object>(fields: T): Partial<Record<keyof T, string>> {
  const errors: FieldError[] = []
  const moments: Partial<Record<keyof T, string>> = {}
  for (const [field, value] of Object.entries(fields)) {
    if (typeof value !== 'string' || !/^(?:from|to|at|.*_at)$/.test(field)) continue
    const text = value.replace(/ (?=\d{2}:\d{2}$)/, '+')
    const read = isMoment.test(text) ? utcMoment(text) : undefined
    if (read !== undefined) moments[field as keyof T] = read
    else errors.push({ field, detail: `is ${echo(value)}; allowed is a moment of ${rfc3339}` })
  }
  if (errors.length > 0) refuseInvalid(errors)
  return moments
}

/** Of what is under a tenant. */
export const tenantParams = Type.Object({
  tenant: Type.String({ minLength: 1, maxLength: 64, description: 'Id of the tenant', examples: ['demo'] }),
})

/** Of a resource that takes no parameters there. */
export const noQuery = Type.Object({}, { additionalProperties: false })

export function page<T extends TSchema>(item: T) {
  return Type.Object(
    {
      items: Type.Array(item),
      next: nullable(Type.String(), {
        description: 'The cursor of the next page; null: this is the last one',
      }),
    },
    { additionalProperties: false, description: 'A page' },
  )
}
