import type pg from 'pg'

import { formatMoney, parseMoney } from '../billing/money.js'
import { storedText } from './columns.js'
import { commitRecords } from './commit.js'
import { countedId, pageOf, readCursor, type Page } from './cursor.js'
import { hasNul } from './database.js'
import { isServerTrouble } from './errors.js'
import { recordWithoutCost, type RecordParts } from './record-parts.js'

/**
 * What became of the call of a record that was thrown away:
 * - `closed`: it has a CDR that costs nothing, of the source `incomplete`;
 * - `had_cdr`: it had one of another record, which stands;
 * - `unknown`: nobody can tell which call it was, or PostgreSQL cannot hold it.
 */
export const callFates = ['closed', 'had_cdr', 'unknown'] as const
export type CallFate = (typeof callFates)[number]

/** A call record that is not to be delivered. */
export interface DiscardedRecord {
  /** Its key in the journal. */
  readonly id: string
  /** In whose journal it was. */
  readonly node: string
  /** As it was on the journal's shelf. */
  readonly entry: string
  /** Null: the journal could not read it. */
  readonly setAsideReason: string | null
  readonly setAsideAt: Date | null
  readonly callUuid: string | null
  readonly tenant: string | null
  readonly reason: string
  readonly discardedBy: string
  readonly discardedAt: Date
  readonly callBecame: CallFate
  /** What the call held of its tenant's money, decimal. */
  readonly released: string
  /** Since when it is in a journal again. */
  readonly restoredBy: string | null
  readonly restoredAt: Date | null
}

export interface Discard {
  readonly id: string
  readonly node: string
  readonly entry: string
  readonly setAsideReason: string | null
  /** RFC 3339 */
  readonly setAsideAt: string | null
  readonly parts: RecordParts
  readonly reason: string
  readonly by: string
}

const outputs = `number, id, node, entry, set_aside_reason AS "setAsideReason", set_aside_at AS "setAsideAt",
  call_uuid AS "callUuid", tenant_id AS tenant, reason, discarded_by AS "discardedBy", discarded_at AS "discardedAt",
  call_became AS "callBecame", released, restored_by AS "restoredBy", restored_at AS "restoredAt"`

type DiscardedRow = DiscardedRecord & { readonly number: string }

/**
 * Keeps a record that the journal is to forget, and closes its call, which nothing else will: what the call holds of
 * its tenant's money is released by the commit of a CDR without cost, as by that of any other. The same record a
 * second time changes nothing.
 *
 * @param client in a transaction
 */
export async function keepDiscarded(
  client: pg.ClientBase,
  discard: Discard,
): Promise<{ readonly record: DiscardedRecord; readonly isNew: boolean }> {
  const known = await findDiscarded(client, discard.id)
  if (known !== undefined) return { record: known, isNew: false }
  const { parts } = discard
  const { callBecame, released } = await closeCall(client, parts)
  const { rows } = await client.query<DiscardedRow>(
    `INSERT INTO discarded_records (id, node, entry, set_aside_reason, set_aside_at, call_uuid, tenant_id, reason,
      discarded_by, call_became, released)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING ${outputs}`,
    [
      discard.id,
      discard.node,
      storedText(discard.entry),
      discard.setAsideReason === null ? null : storedText(discard.setAsideReason),
      discard.setAsideAt,
      parts.callUuid === null ? null : storedText(parts.callUuid),
      parts.tenant === null ? null : storedText(parts.tenant),
      discard.reason,
      discard.by,
      callBecame,
      released,
    ],
  )
  const [row] = rows
  if (row === undefined) throw new Error('PostgreSQL kept a record and does not answer it')
  return { record: shown(row), isNew: true }
}

/** @returns what the call held is a decimal of six places */
async function closeCall(
  client: pg.ClientBase,
  parts: RecordParts,
): Promise<{ callBecame: CallFate; released: string }> {
  const record = recordWithoutCost(parts, Date.now() * 1000)
  if (record === undefined) return { callBecame: 'unknown', released: '0' }
  await client.query('SAVEPOINT close_call')
  try {
    // It holds no more and no less from now on: the call is over.
    const { rows } = await client.query<{ held: string }>(
      `SELECT coalesce(sum(amount), 0)::numeric(24, 6) AS held FROM reservations
      WHERE tenant_id = $1 AND call_uuid = $2`,
      [record.tenant === null ? null : storedText(record.tenant), storedText(record.callUuid)],
    )
    const isFirst = (await commitRecords(client, [record])).size > 0
    await client.query('RELEASE SAVEPOINT close_call')
    if (!isFirst) return { callBecame: 'had_cdr', released: '0' }
    return { callBecame: 'closed', released: rows[0]?.held ?? '0' }
  } catch (error) {
    if (isServerTrouble(error)) throw error
    // A call_uuid that no index can hold: then nothing could be reserved for it either.
    await client.query('ROLLBACK TO SAVEPOINT close_call')
    return { callBecame: 'unknown', released: '0' }
  }
}

/** @returns undefined when none of this id was ever discarded */
export async function findDiscarded(
  db: pg.Pool | pg.ClientBase,
  id: string,
): Promise<DiscardedRecord | undefined> {
  if (hasNul(id)) return undefined
  const { rows } = await db.query<DiscardedRow>(`SELECT ${outputs} FROM discarded_records WHERE id = $1`, [
    id,
  ])
  return rows[0] && shown(rows[0])
}

/**
 * Says that a record is in a journal again, since now. It stays among those that were discarded.
 *
 * @returns undefined when none of this id was ever discarded
 */
export async function markRestored(
  client: pg.ClientBase,
  id: string,
  by: string,
): Promise<DiscardedRecord | undefined> {
  if (hasNul(id)) return undefined
  const { rows } = await client.query<DiscardedRow>(
    `UPDATE discarded_records SET restored_by = $2, restored_at = now() WHERE id = $1 RETURNING ${outputs}`,
    [id, by],
  )
  return rows[0] && shown(rows[0])
}

/** Of all nodes, the latest first. @throws CursorError */
export async function listDiscarded(
  pool: pg.Pool,
  query: { readonly limit: number; readonly cursor?: string; readonly callUuid?: string },
): Promise<Page<DiscardedRecord>> {
  const [before] = query.cursor === undefined ? [null] : readCursor(query.cursor, [countedId])
  if (hasNul(query.callUuid)) return { items: [], next: null }
  const { rows } = await pool.query<DiscardedRow>(
    `SELECT ${outputs} FROM discarded_records
    WHERE ($1::bigint IS NULL OR number < $1) AND ($2::text IS NULL OR call_uuid = $2)
    ORDER BY discarded_records.number DESC LIMIT $3`,
    [before, query.callUuid ?? null, query.limit + 1],
  )
  return pageOf(rows, query.limit, shown, ({ number }) => [number])
}

function shown(row: DiscardedRow): DiscardedRecord {
  return { ...row, released: formatMoney(parseMoney(row.released)) }
}
