import type pg from 'pg'

import { formatMoney, type Money } from '../billing/money.js'
import { countedId, pageOf, readCursor, type Page } from './cursor.js'
import { hasNul } from './database.js'
import { ledgerLine, type LedgerLine, type LedgerRow } from './ledger.js'

/** What a ledger line may be; `debit` is the cost of a call. */
export const transactionKinds = ['topup', 'debit', 'refund', 'adjustment'] as const
export type TransactionKind = (typeof transactionKinds)[number]

/** A ledger line and the key that it was booked under; null: it came without one, as debits do. */
export interface Transaction extends LedgerLine {
  readonly kind: TransactionKind
  readonly idempotencyKey: string | null
}

/** Which lines; each field that is there must hold. */
export interface TransactionFilter {
  readonly kind?: TransactionKind
  readonly callUuid?: string
  readonly idempotencyKey?: string
  /** Booked at this moment or later: RFC 3339. */
  readonly from?: string
  /** Booked before this moment: RFC 3339. */
  readonly to?: string
  /** The line's amount, which is below 0 when money left. */
  readonly minAmount?: Money
  readonly maxAmount?: Money
  /** Somewhere in the description, in capitals or not. Then no debit is a match: they all say the same. */
  readonly description?: string
}

export interface TransactionQuery extends TransactionFilter {
  /** Lines a page. */
  readonly limit: number
  /** `next` of the page before. */
  readonly cursor?: string
}

interface TransactionRow extends LedgerRow {
  readonly kind: TransactionKind
  readonly idempotency_key: string | null
}

const outputs = 'id, kind, amount, balance_after, description, call_uuid, idempotency_key, created_at'
/** Of an export, in memory. */
const linesAtOnce = 1_000

/**
 * Ledger lines of a tenant, the latest first. A line that is booked while somebody turns pages is before the
 * first of them: none is told twice or left out.
 *
 * @returns undefined when there is no such tenant
 * @throws CursorError
 */
export async function listTransactions(
  pool: pg.Pool,
  tenant: string,
  query: TransactionQuery,
): Promise<Page<Transaction> | undefined> {
  const [before] = query.cursor === undefined ? [] : readCursor(query.cursor, [countedId])
  if (hasNul(tenant)) return undefined
  // One more than asked for says whether there is a next page.
  const rows = await readLines(pool, tenant, query, { limit: query.limit + 1, before })
  if (rows.length === 0 && !(await isTenant(pool, tenant))) return undefined
  return pageOf(
    rows,
    query.limit,
    (row) => transaction(tenant, row),
    ({ id }) => [id],
  )
}

/**
 * All lines of a tenant that match, the latest first, as they were when it began: read as they are asked for, and
 * never more than a few of them in memory.
 *
 * @returns undefined when there is no such tenant
 */
export async function streamTransactions(
  pool: pg.Pool,
  tenant: string,
  filter: TransactionFilter,
): Promise<AsyncIterable<readonly Transaction[]> | undefined> {
  if (hasNul(tenant) || !(await isTenant(pool, tenant))) return undefined
  const first = await readLines(pool, tenant, filter, { limit: linesAtOnce })
  return pagesFrom(pool, tenant, filter, first)
}

async function* pagesFrom(
  pool: pg.Pool,
  tenant: string,
  filter: TransactionFilter,
  first: readonly TransactionRow[],
): AsyncGenerator<readonly Transaction[]> {
  let rows = first
  while (rows.length > 0) {
    yield rows.map((row) => transaction(tenant, row))
    if (rows.length < linesAtOnce) return
    rows = await readLines(pool, tenant, filter, { limit: linesAtOnce, before: rows.at(-1)?.id })
  }
}

async function readLines(
  pool: pg.Pool,
  tenant: string,
  filter: TransactionFilter,
  { limit, before }: { limit: number; before?: string | undefined },
): Promise<TransactionRow[]> {
  const { callUuid, idempotencyKey, description } = filter
  if ([callUuid, idempotencyKey, description].some(hasNul)) return []
  const parameters: (string | number)[] = []
  const parameter = (value: string | number) => `$${parameters.push(value)}`
  const conditions = [`tenant_id = ${parameter(tenant)}`]
  const only = (condition: (place: string) => string, value: string | undefined) => {
    if (value !== undefined) conditions.push(condition(parameter(value)))
  }
  const amount = (money: Money | undefined) => (money === undefined ? undefined : formatMoney(money))
  only((place) => `id < ${place}`, before)
  only((place) => `kind = ${place}`, filter.kind)
  // Debits are nearly all lines: said so, PostgreSQL can use an index of the others alone.
  if ((filter.kind !== undefined && filter.kind !== 'debit') || description !== undefined)
    conditions.push(`kind <> 'debit'`)
  only(isOfCall, callUuid)
  only((place) => `idempotency_key = ${place}`, idempotencyKey)
  only((place) => `created_at >= ${place}::timestamptz`, filter.from)
  only((place) => `created_at < ${place}::timestamptz`, filter.to)
  only((place) => `amount >= ${place}::numeric`, amount(filter.minAmount))
  only((place) => `amount <= ${place}::numeric`, amount(filter.maxAmount))
  // Not LIKE: a text has no wildcards.
  only((place) => `position(lower(${place}) IN lower(description)) > 0`, description)
  const { rows } = await pool.query<TransactionRow>(
    `SELECT ${outputs} FROM ledger
    WHERE ${conditions.join(' AND ')} ORDER BY id DESC LIMIT ${parameter(limit)}`,
    parameters,
  )
  return rows
}

/** Told apart because each kind of line of a call has an index of its own. */
function isOfCall(callUuid: string): string {
  return `(kind = 'debit' AND rerating IS NULL AND call_uuid = ${callUuid}
    OR kind = 'debit' AND rerating IS NOT NULL AND call_uuid = ${callUuid}
    OR kind <> 'debit' AND call_uuid = ${callUuid})`
}

/** All lines of a call, of whichever tenants, the first one first. */
export async function transactionsOfCall(
  db: pg.Pool | pg.ClientBase,
  callUuid: string,
): Promise<Transaction[]> {
  if (hasNul(callUuid)) return []
  const { rows } = await db.query<TransactionRow & { readonly tenant_id: string }>(
    `SELECT tenant_id, ${outputs} FROM ledger WHERE ${isOfCall('$1')} ORDER BY id`,
    [callUuid],
  )
  return rows.map((row) => transaction(row.tenant_id, row))
}

function transaction(tenant: string, row: TransactionRow): Transaction {
  return { ...ledgerLine(tenant, row), kind: row.kind, idempotencyKey: row.idempotency_key }
}

async function isTenant(pool: pg.Pool, id: string): Promise<boolean> {
  const { rowCount } = await pool.query('SELECT FROM tenants WHERE id = $1', [id])
  return rowCount === 1
}
