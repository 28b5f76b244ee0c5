import { Type } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Problem, refuseInvalid } from './errors.js'
import { echo } from './field-errors.js'

/** Nobody's change is lost: whoever changes something says which version of it was read. */

const allowed = 'the ETag of what was read, such as "3", or * for whatever there is'

const ifMatch = Type.Optional(
  Type.String({ minLength: 1, maxLength: 40, description: `The version: ${allowed}`, examples: ['"3"'] }),
)
/** Of a PATCH, which needs it. */
export const changeHeaders = Type.Object({ 'if-match': ifMatch })
/** Of a DELETE, which does without. */
export const deleteHeaders = Type.Object({ 'if-match': ifMatch })

/**
 * The version that must be there; undefined: any.
 *
 * @throws Problem `version_missing` of a PATCH without If-Match; `invalid` of one that is no version
 */
export function expectedVersion(request: FastifyRequest): number | undefined {
  const text = request.headers['if-match']
  if (text === undefined) {
    if (request.method !== 'PATCH' && request.method !== 'PUT') return undefined
    throw new Problem('version_missing', `Send the header If-Match with ${allowed}.`)
  }
  if (text === '*') return undefined
  const [, digits] = /^(?:W\/)?"?([1-9][0-9]{0,8})"?$/.exec(text) ?? []
  if (digits === undefined)
    return refuseInvalid([{ field: 'if-match', detail: `is ${echo(text)}; allowed is ${allowed}` }])
  return Number(digits)
}

/** Says the version in the header ETag, too. */
export function withVersion<T extends { version: number }>(reply: FastifyReply, body: T): T {
  void reply.header('etag', `"${body.version}"`)
  return body
}
