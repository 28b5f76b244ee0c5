import type { FastifyRequest } from 'fastify'
import type pg from 'pg'
import { writeAuditLine, writeAuditLines, type Act, type Change } from '../store/audit-lines.js'
import { inTransaction } from '../store/database.js'
import { keyIdOf } from './auth.js'
import { fromStore } from './errors.js'

/**
 * Changes something in PostgreSQL, and writes who did it: both or neither.
 *
 * @param work in a transaction; `note` says what it changed, once a thing. What is noted nowhere changed nothing
 * @throws Problem, ChangeRefused
 */
export function audited<T>(
  request: FastifyRequest,
  pool: pg.Pool,
  work: (client: pg.ClientBase, note: (change: Change) => void) => Promise<T>,
): Promise<T> {
  const act = actOf(request)
  return fromStore(
    inTransaction(pool, async (client) => {
      const changes: Change[] = []
      const result = await work(client, (change) => changes.push(change))
      await writeAuditLines(client, act, changes)
      return result
    }),
  )
}

/**
 * Changes something that is not in PostgreSQL. Who does it is written first: a change without a line cannot be. A
 * line whose change failed is followed by another one that says so.
 *
 * @throws Problem, and what `work` throws
 */
export async function announced<T>(
  request: FastifyRequest,
  pool: pg.Pool,
  change: Change,
  work: () => Promise<T>,
): Promise<T> {
  const act = actOf(request)
  await fromStore(writeAuditLine(pool, act, change))
  try {
    return await work()
  } catch (error) {
    const failure = error instanceof Error ? error.message : String(error)
    await writeAuditLine(pool, act, { tenant: change.tenant, target: change.target, failure }).catch(
      (away: unknown) => {
        request.log.warn({ err: away, target: change.target }, 'that a change failed could not be written')
      },
    )
    throw error
  }
}

function actOf(request: FastifyRequest): Act {
  const action = request.routeOptions.schema?.operationId
  if (action === undefined) throw new Error('a route that changes something has no operationId')
  return { keyId: keyIdOf(request), address: request.ip, action }
}
