import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import type { BaseLogger } from 'pino'

import { inTransaction, unlessLocked } from './database.js'

/** How long CDRs are kept, from the end of their month. */
export interface Retention {
  readonly unit: 'days' | 'months'
  readonly count: number
}

export interface RetentionOptions {
  readonly retention: Retention
  readonly now: Date
  readonly log: BaseLogger
  /** Between two tries to take a month away from whoever uses it, in ms. Default 1000. */
  readonly pauseMs?: number
  /** Stops between two steps; the next run goes on there. */
  readonly signal?: AbortSignal
}

/** Tries to take a month away in one run; the next one tries again. */
const tries = 30
/** How long commits may have to wait behind such a try, in ms: less than they wait for any row (src/server.ts). */
const lockMs = 250
/** Calls whose charges go at once. */
const portion = 2_000
/** What a month that is no part of `cdrs` any more is called, until its charges are gone, too. */
const takenAway = 'dropped_'

/**
 * Drops the CDRs of months that have been over for long enough: whole tables, and what of such months lies in
 * `cdrs_default`; their charges go with them. Their calls stay known, in `call_keys` and in the ledger, which may be
 * older than any journal is: no record that comes late is billed again. What they cost is kept by tenant, and
 * `npm run audit` holds it against the ledger.
 *
 * Call it daily. Several nodes may: one does it, the others do nothing. What it was interrupted in goes on the next time.
 *
 * @returns the months that are gone, `2025_11`
 * @throws when a month could not be taken away for those who read it; what PostgreSQL says
 */
export async function dropOldCdrs(pool: pg.Pool, options: RetentionOptions): Promise<string[]> {
  const dropped = await unlessLocked(pool, 'retention', async () => {
    const before = keptFrom(options.retention, options.now)
    const months = await monthsBefore(pool, before)
    for (const month of months) {
      if (options.signal?.aborted) break
      await takeAway(pool, month, options)
    }
    await dropStrays(pool, before, options)
    await finish(pool, options)
    return months.map(({ name }) => name.replace('cdrs_', ''))
  })
  return dropped ?? []
}

interface MonthTable {
  /** `cdrs_2025_11` */
  readonly name: string
  /** The first moment after it, RFC 3339. */
  readonly to: string
}

/** The first moment, UTC, of the first month of which something is kept; RFC 3339. */
function keptFrom({ unit, count }: Retention, now: Date): string {
  const day = new Date(now)
  if (unit === 'days') day.setUTCDate(day.getUTCDate() - count)
  const months = unit === 'months' ? count : 0
  return new Date(Date.UTC(day.getUTCFullYear(), day.getUTCMonth() - months)).toISOString()
}

async function monthsBefore(pool: pg.Pool, before: string): Promise<MonthTable[]> {
  const { rows } = await pool.query<{ name: string }>(
    `SELECT relname AS name FROM pg_inherits JOIN pg_class ON oid = inhrelid
    WHERE inhparent = 'cdrs'::regclass AND relname ~ '^cdrs_[0-9]{4}_[0-9]{2}$' ORDER BY relname`,
  )
  return rows
    .map(({ name }) => {
      const [, year, month] = name.split('_').map(Number)
      return { name, to: new Date(Date.UTC(year ?? NaN, month ?? NaN)).toISOString() }
    })
    .filter(({ to }) => to <= before)
}

/** In one transaction: the month is part of the CDRs, or what it came to is written down. */
async function takeAway(pool: pg.Pool, month: MonthTable, options: RetentionOptions): Promise<void> {
  const { log, pauseMs = 1_000, signal } = options
  for (let turn = 1; ; turn++) {
    try {
      const calls = await inTransaction(pool, (client) => detach(client, month))
      log.info({ month: month.name, calls }, 'the CDRs of an old month were dropped')
      return
    } catch (error) {
      // Somebody reads it. Whoever waits for a table makes all wait who come after: short tries, and pauses between.
      const isBusy = error instanceof pg.DatabaseError && error.code === '55P03'
      if (!isBusy || turn === tries) throw error
      await delay(pauseMs, undefined, { ...(signal && { signal }) })
    }
  }
}

/** @returns how many calls it has */
async function detach(client: pg.ClientBase, { name, to }: MonthTable): Promise<number> {
  await client.query(`SET LOCAL lock_timeout = ${lockMs}; SET LOCAL statement_timeout = 0`)
  // Nobody adds to it while it is summed up, which stops only who has a record of this month.
  await client.query(`LOCK TABLE ${name} IN SHARE MODE`)
  const { rows } = await client.query<{ calls: number }>({
    text: `WITH gone AS (
      INSERT INTO dropped_cdrs (started_before, tenant_id, calls, cost)
      SELECT $1::timestamptz, tenant_id, count(*), sum(cost) FROM ${name} GROUP BY tenant_id
      UNION ALL SELECT $1, NULL, 0, 0
      RETURNING calls
    )
    SELECT sum(calls)::float8 AS calls FROM gone`,
    values: [to],
    ...slowly,
  })
  await client.query(`ALTER TABLE cdrs DETACH PARTITION ${name}`)
  await client.query(`ALTER TABLE ${name} RENAME TO ${takenAway}${name}`)
  return rows[0]?.calls ?? 0
}

/** A month's sum takes longer than other questions may. */
const slowly = { query_timeout: 600_000 }

/** Of months that never had a table, or came when it was gone. */
async function dropStrays(pool: pg.Pool, before: string, { log, signal }: RetentionOptions): Promise<void> {
  let calls = 0
  for (;;) {
    if (signal?.aborted) return
    const gone = await inTransaction(pool, async (client) => {
      const { rows } = await client.query<{ uuids: string[] | null }>(
        `WITH gone AS (
          DELETE FROM cdrs_default WHERE (call_uuid, started_at) IN (
            SELECT call_uuid, started_at FROM cdrs_default WHERE started_at < $1 ORDER BY started_at LIMIT ${portion}
          )
          RETURNING call_uuid, tenant_id, cost
        ),
        noted AS (
          INSERT INTO dropped_cdrs (started_before, tenant_id, calls, cost)
          SELECT $1::timestamptz, tenant_id, count(*), sum(cost) FROM gone GROUP BY tenant_id
        )
        SELECT array_agg(call_uuid) AS uuids FROM gone`,
        [before],
      )
      const uuids = rows[0]?.uuids ?? []
      await dropCharges(client, uuids)
      return uuids.length
    })
    calls += gone
    if (gone < portion) break
  }
  if (calls > 0) log.info({ calls }, 'old CDRs that were in no month were dropped')
}

/** Takes the charges of months that are taken away, and then the rest of them. */
async function finish(pool: pg.Pool, { signal }: RetentionOptions): Promise<void> {
  const { rows } = await pool.query<{ name: string }>(
    `SELECT relname AS name FROM pg_class WHERE relkind = 'r' AND relname ~ '^${takenAway}cdrs_[0-9]{4}_[0-9]{2}$'
      AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'cdrs'::regclass)
    ORDER BY relname`,
  )
  for (const { name } of rows) {
    let after = ''
    for (;;) {
      if (signal?.aborted) return
      const { rows: calls } = await pool.query<{ call_uuid: string }>(
        `SELECT call_uuid FROM ${name} WHERE call_uuid > $1 ORDER BY call_uuid LIMIT ${portion}`,
        [after],
      )
      const last = calls.at(-1)
      if (last === undefined) break
      await inTransaction(pool, (client) =>
        dropCharges(
          client,
          calls.map(({ call_uuid: callUuid }) => callUuid),
        ),
      )
      after = last.call_uuid
    }
    await pool.query(`DROP TABLE ${name}`)
  }
}

async function dropCharges(client: pg.ClientBase, callUuids: readonly string[]): Promise<void> {
  if (callUuids.length === 0) return
  await client.query('DELETE FROM charges WHERE call_uuid = ANY ($1)', [callUuids])
  await client.query('DELETE FROM reratings WHERE call_uuid = ANY ($1)', [callUuids])
}
