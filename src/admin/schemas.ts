import { Type, type TNull, type TSchema, type TUnion } from 'typebox'
import { problemType } from './errors.js'

/** What several resources have in common. */

export const problem = Type.Object(
  {
    type: Type.String({ description: 'Names the error, for programs: urn:linger:problem:invalid' }),
    title: Type.String({ description: 'Names the error, for people' }),
    status: Type.Integer({ description: 'The HTTP status' }),
    detail: Type.String({ description: 'What went wrong this time' }),
    errors: Type.Optional(
      Type.Array(
        Type.Object({ field: Type.String(), detail: Type.String() }, { additionalProperties: false }),
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
  409: 'The idempotency key was used for another booking',
  413: 'The body is too large',
  415: 'The body is not JSON',
  503: 'Redis or PostgreSQL is away',
} as const

/** The error answers of an operation under /v1, those that every one has included. */
export function problems(...statuses: (keyof typeof reasons)[]): object {
  const all = [...new Set<keyof typeof reasons>([400, 401, 403, 503, ...statuses])]
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

/** Of what is under a tenant. */
export const tenantParams = Type.Object({
  id: Type.String({ minLength: 1, maxLength: 64, description: 'Id of the tenant', examples: ['demo'] }),
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
