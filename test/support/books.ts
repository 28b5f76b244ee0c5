import type { Test } from 'tap'
import { auditBooks, auditMode } from '../../src/store/audit.js'
import { inTransaction } from '../../src/store/database.js'
import type { TestLinger } from './linger.js'
import type { CallOutcome } from './switch/call.js'

/** What calls cost, and what must be true of a tenant's books when they are over. */

/** How long somebody talked, cut to milliseconds as the switch does. */
export function talkedMs({
  answeredAt,
  endedAt,
}: Pick<CallOutcome['legs'][number], 'answeredAt' | 'endedAt'>) {
  return Math.floor((endedAt ?? NaN) / 1000) - Math.floor((answeredAt ?? NaN) / 1000)
}

/** @param perMinute Default what a mobile costs at the demo rates */
export function costOf(ms: number, perMinute = 500): string {
  return (Math.round((ms * perMinute) / 600) / 100).toFixed(2)
}

/** Nothing is held for the tenant, and every ledger says what its balance does. */
export async function booksAddUp(
  t: Pick<Test, 'equal' | 'same'>,
  { pool, server }: Pick<TestLinger, 'pool' | 'server'>,
  tenant = 'demo',
): Promise<void> {
  await server.delivered()
  const { rows } = await pool.query('SELECT FROM reservations WHERE tenant_id = $1', [tenant])
  t.equal(rows.length, 0, 'nothing is reserved')
  t.same((await inTransaction(pool, auditBooks, auditMode)).findings, [])
}

/** So many calls the tenant has had, and none is nobody's. */
export async function noOtherCdrs(
  t: Pick<Test, 'equal'>,
  { pool }: Pick<TestLinger, 'pool'>,
  count: number,
  tenant = 'demo',
): Promise<void> {
  const { rows } = await pool.query('SELECT FROM cdrs WHERE tenant_id = $1 OR tenant_id IS NULL', [tenant])
  t.equal(rows.length, count)
}
