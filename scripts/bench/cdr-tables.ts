import type pg from 'pg'
import { copyIn } from '../../src/store/copy.js'
import { inTransaction } from '../../src/store/database.js'
import { ensurePartitions } from '../../src/store/partitions.js'
import { makeTenants } from '../../test/support/call-records.js'
import {
  cdrTarget,
  chargeTarget,
  keyTarget,
  monthsUpTo,
  rowsOf,
  tenantCount,
  type Month,
} from './cdr-rows.js'

/** Calls a transaction. */
const portion = 20_000
/** What runs over everything takes its time. */
const longMs = 3_600_000

const tables = ['call_keys', 'cdrs', 'charges', 'ledger'] as const

/**
 * Fills a migrated database with calls by COPY, and then with the debits and balances that come of them: its books add
 * up. Its indexes are made anew when all rows are there, which takes a fraction of the time.
 *
 * @returns the months that the calls are in
 */
export async function fillTables(
  pool: pg.Pool,
  rows: number,
  progress: (text: string) => void,
): Promise<Month[]> {
  const months = monthsUpTo(new Date())
  for (const { from } of months) await ensurePartitions(pool, new Date(from))
  await makeTenants(pool, 'c', tenantCount)
  const indexes = await dropIndexes(pool)
  const began = performance.now()
  let done = 0
  const portions = portionsOf(rows, months)
  const lane = async (): Promise<void> => {
    for (const calls of portions) {
      await inTransaction(pool, (client) => copyCalls(client, calls))
      done += calls.length
      const seconds = (performance.now() - began) / 1000
      progress(`cdrs: ${done} of ${rows} rows, ${(done / seconds).toFixed(0)} a second`)
    }
  }
  await Promise.all([lane(), lane()])
  progress('cdrs: debits and balances')
  await slowly(
    pool,
    `INSERT INTO ledger (tenant_id, kind, amount, balance_after, description, call_uuid)
    SELECT tenant_id, 'debit', -cost, -sum(cost) OVER (PARTITION BY tenant_id ORDER BY started_at, call_uuid
      ROWS UNBOUNDED PRECEDING), 'Call cost', call_uuid
    FROM cdrs WHERE cost > 0 ORDER BY tenant_id, started_at, call_uuid`,
  )
  await slowly(
    pool,
    `UPDATE balances b SET balance = l.total
    FROM (SELECT tenant_id, sum(amount) AS total FROM ledger GROUP BY 1) l WHERE b.tenant_id = l.tenant_id`,
  )
  for (const { name, create } of indexes) {
    progress(`cdrs: index ${name}`)
    await slowly(pool, `SET maintenance_work_mem = '512MB'; ${create}`)
  }
  // As autovacuum does, by and by.
  for (const table of tables) {
    progress(`cdrs: vacuum of ${table}`)
    await slowly(pool, `VACUUM (ANALYZE) ${table}`)
  }
  return months
}

interface PlacedCall {
  readonly call: number
  /** ms since 1970. */
  readonly startedAt: number
}

function* portionsOf(rows: number, months: readonly Month[]): Generator<PlacedCall[]> {
  const from = months[0]?.from ?? 0
  const span = (months.at(-1)?.to ?? 0) - from
  for (let first = 0; first < rows; first += portion)
    yield Array.from({ length: Math.min(portion, rows - first) }, (_, i) => ({
      call: first + i,
      startedAt: startOf(first + i, rows, from, span),
    }))
}

function startOf(call: number, rows: number, from: number, span: number): number {
  return Math.floor(from + (span * call) / rows)
}

async function copyCalls(client: pg.ClientBase, calls: readonly PlacedCall[]): Promise<void> {
  const rows = calls.map(({ call, startedAt }) => rowsOf(call, startedAt))
  const line = (text: string) => text
  await copyIn(
    client,
    keyTarget,
    rows.map(({ key }) => key),
    line,
  )
  await copyIn(
    client,
    cdrTarget,
    rows.map(({ cdr }) => cdr),
    line,
  )
  await copyIn(
    client,
    chargeTarget,
    rows.flatMap(({ charge }) => charge ?? []),
    line,
  )
}

interface Index {
  readonly name: string
  /** The statement that makes it again. */
  readonly create: string
}

async function dropIndexes(pool: pg.Pool): Promise<Index[]> {
  const { rows } = await pool.query<Index & { drop: string }>(
    `SELECT relname AS name,
      CASE WHEN con.oid IS NULL THEN pg_get_indexdef(indexrelid)
        ELSE format('ALTER TABLE %s ADD CONSTRAINT %I %s', indrelid::regclass, conname, pg_get_constraintdef(con.oid))
      END AS create,
      CASE WHEN con.oid IS NULL THEN format('DROP INDEX %I', relname)
        ELSE format('ALTER TABLE %s DROP CONSTRAINT %I', indrelid::regclass, conname)
      END AS drop
    FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
      LEFT JOIN pg_constraint con ON con.conindid = indexrelid AND contype = 'p'
    WHERE indrelid = ANY ($1::regclass[]) ORDER BY con.oid NULLS LAST`,
    [[...tables]],
  )
  for (const { drop } of rows) await pool.query(drop)
  return rows
}

async function slowly(pool: pg.Pool, text: string): Promise<void> {
  const query: pg.QueryConfig & { query_timeout: number } = { text, query_timeout: longMs }
  await pool.query(query)
}
