import type { FastifyRequest } from 'fastify'
import { boundTenant } from './access.js'
import { Problem } from './errors.js'

const longestWords = 300

/**
 * Holds an admin who is a tenant's alone to leading calls to what is the tenant's own. What an admin of all has led
 * them to before may stay.
 *
 * @param reaches what it reaches beyond the tenant, in words, and did before
 * @throws Problem `forbidden`
 */
export function refuseBeyond(
  request: FastifyRequest,
  reaches: () => { readonly now: ReadonlySet<string>; readonly before: ReadonlySet<string> | undefined },
): void {
  if (boundTenant(request) === undefined) return
  const { now, before } = reaches()
  const added = [...now].filter((each) => before?.has(each) !== true)
  if (added.length > 0)
    throw new Problem(
      'forbidden',
      `It would lead calls beyond the tenant, to ${added.join(', ').slice(0, longestWords)}: ` +
        'a key is needed that is bound to no tenant.',
    )
}

/** RFC 7396 at the top level: what is left out stays, what is null goes. */
export function merged(document: object, patch: object): Record<string, unknown> {
  const fields = Object.entries({ ...document, ...patch })
  return Object.fromEntries(fields.filter(([, value]) => value !== null))
}
