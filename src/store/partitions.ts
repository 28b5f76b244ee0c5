import type pg from 'pg'

import { inTransaction, lockFor } from './database.js'

interface Month {
  /** `cdrs_2025_11` */
  readonly table: string
  /** Its first moment, UTC, RFC 3339. */
  readonly from: string
  /** The next month's. */
  readonly to: string
}

/**
 * Makes the tables for CDRs that start in the month before `now`, in its own and in the two after it (UTC). Call
 * it at the start and daily. Harmless when they are there, and when several nodes do it at once. Records of such
 * a month that came before its table, and so lie in `cdrs_default`, are moved into it.
 *
 * @throws when another transaction keeps `cdrs_default` from it for 5 s; nothing has changed for that month then
 */
export async function ensurePartitions(pool: pg.Pool, now: Date): Promise<void> {
  for (const offset of [-1, 0, 1, 2]) {
    const month = monthOf(now, offset)
    if (!(await hasTable(pool, month))) await inTransaction(pool, (client) => makePartition(client, month))
  }
}

function monthOf(now: Date, offset: number): Month {
  const first = (months: number) =>
    new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + months)).toISOString()
  const from = first(offset)
  return { table: `cdrs_${from.slice(0, 4)}_${from.slice(5, 7)}`, from, to: first(offset + 1) }
}

async function hasTable(db: pg.Pool | pg.ClientBase, { table }: Month): Promise<boolean> {
  // Not to_regclass: inside a transaction it remembers that there was none, and misses what was made meanwhile.
  const { rowCount } = await db.query(
    `SELECT FROM pg_class WHERE relname = $1
      AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'cdrs'::regclass)`,
    [table],
  )
  return rowCount === 1
}

/**
 * Attached rather than created as a partition: that would stop every reader and writer of `cdrs`. Even so
 * `cdrs_default` has to be still for a moment, because PostgreSQL checks that no row of the month is in it.
 */
async function makePartition(client: pg.ClientBase, month: Month): Promise<void> {
  const { table, from, to } = month
  await lockFor(client, 'partitions')
  // Another node was faster.
  if (await hasTable(client, month)) return
  // Who waits for this lock makes everybody behind wait too: better to fail and be called again.
  await client.query(`SET LOCAL lock_timeout = '5s'`)
  // The parent before its child, as VACUUM and ANALYZE do.
  await client.query('LOCK TABLE ONLY cdrs IN SHARE UPDATE EXCLUSIVE MODE')
  await client.query('LOCK TABLE cdrs_default IN ACCESS EXCLUSIVE MODE')
  await client.query(`CREATE TABLE ${table} (LIKE cdrs INCLUDING DEFAULTS INCLUDING CONSTRAINTS)`)
  await client.query(
    `WITH moved AS (
      DELETE FROM cdrs_default WHERE started_at >= '${from}' AND started_at < '${to}' RETURNING *
    )
    INSERT INTO ${table} SELECT * FROM moved`,
  )
  await client.query(`ALTER TABLE cdrs ATTACH PARTITION ${table} FOR VALUES FROM ('${from}') TO ('${to}')`)
}
