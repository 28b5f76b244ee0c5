import { Type, type Static } from '@fastify/type-provider-typebox'
import type { Entry } from '../screening/entry.js'
import type { Listed, NumberList } from '../screening/number-list.js'
import { moment, nullable } from './schemas.js'

/** What the lists of numbers have in common. */

export const defaultTtlSeconds = 86_400
export const longestTtlSeconds = 10 * 365 * 86_400
export const longestReason = 200

/** One of the two lists, as a resource. */
export interface ListResource {
  list: NumberList
  path: string
  tag: string
  /** As in "is not on the blacklist". */
  phrase: string
  allowed: string
  /** Its entries go away by themselves. */
  expires: boolean
  /** What else there is to say of a number that is not in the list. */
  remark: (entry: Entry) => Promise<string>
}

export const entrySchema = Type.Object(
  {
    number: Type.String({ description: 'As it was entered, or as another program wrote it' }),
    normal_form: Type.String({ description: 'International digits; entries with the same one are the same' }),
    kind: Type.Enum(['number', 'prefix', 'anonymous']),
    reason: nullable(Type.String()),
    added_by: nullable(Type.String(), { description: 'Id of the API key; null: another program added it' }),
    added_at: nullable(moment('When it was added'), { description: 'Null: another program added it' }),
    ttl_seconds: nullable(Type.Integer({ minimum: 0 }), {
      description: 'Until it expires, rounded up; null: it stays',
    }),
    expires_at: nullable(moment('To the second'), { description: 'Null: it stays' }),
  },
  {
    additionalProperties: false,
    description: 'An entry',
    examples: [
      {
        number: '0901234567',
        normal_form: '84901234567',
        kind: 'number',
        reason: 'spam',
        added_by: '0b7e7f4e-2f0a-4c5b-9f3e-8a3f0f9d2a10',
        added_at: '2025-01-31T08:00:00.000Z',
        ttl_seconds: 86400,
        expires_at: '2025-02-01T08:00:00.000Z',
      },
    ],
  },
)

export function shown(listed: Listed): Static<typeof entrySchema> {
  return {
    number: listed.number,
    normal_form: listed.normalForm,
    kind: listed.kind,
    reason: listed.reason,
    added_by: listed.addedBy,
    added_at: listed.addedAt,
    ttl_seconds: listed.ttlSeconds,
    expires_at: listed.expiresAt,
  }
}

/** The name of an operation, and what else all of them say. */
export function operationOf({ tag }: ListResource, id: string, summary: string) {
  const operationId = `${id}${tag.charAt(0).toUpperCase()}${tag.slice(1)}`
  return { operationId, tags: [tag], summary, security: [{ bearer: [] }] }
}
