import type pg from 'pg'

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

export interface TransactionQuery {
  /** Lines a page. */
  readonly limit: number
  /** `next` of the page before. */
  readonly cursor?: string
  readonly kind?: TransactionKind
  readonly callUuid?: string
}

interface TransactionRow extends LedgerRow {
  readonly kind: TransactionKind
  readonly idempotency_key: string | null
}

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
  const parameters: (string | number)[] = []
  const parameter = (value: string | number) => `$${parameters.push(value)}`
  const [before] = query.cursor === undefined ? [] : readCursor(query.cursor, [countedId])
  if (hasNul(tenant)) return undefined
  const conditions = [`tenant_id = ${parameter(tenant)}`]
  if (before !== undefined) conditions.push(`id < ${parameter(before)}`)
  if (query.kind !== undefined) {
    conditions.push(`kind = ${parameter(query.kind)}`)
    // Debits are nearly all lines: said so, PostgreSQL can use an index of the others alone.
    if (query.kind !== 'debit') conditions.push(`kind <> 'debit'`)
  }
  if (hasNul(query.callUuid)) conditions.push('false')
  else if (query.callUuid !== undefined) {
    const callUuid = parameter(query.callUuid)
    // Told apart because the index of calls' debits (ledger_debit_of_call) has no line of another kind.
    conditions.push(
      `(kind = 'debit' AND call_uuid = ${callUuid} OR kind <> 'debit' AND call_uuid = ${callUuid})`,
    )
  }
  // One more than asked for says whether there is a next page.
  const { rows } = await pool.query<TransactionRow>(
    `SELECT id, kind, amount, balance_after, description, call_uuid, idempotency_key, created_at FROM ledger
    WHERE ${conditions.join(' AND ')} ORDER BY id DESC LIMIT ${parameter(query.limit + 1)}`,
    parameters,
  )
  if (rows.length === 0 && !(await isTenant(pool, tenant))) return undefined
  return pageOf(
    rows,
    query.limit,
    (row) => ({ ...ledgerLine(tenant, row), kind: row.kind, idempotencyKey: row.idempotency_key }),
    ({ id }) => [id],
  )
}

async function isTenant(pool: pg.Pool, id: string): Promise<boolean> {
  const { rowCount } = await pool.query('SELECT FROM tenants WHERE id = $1', [id])
  return rowCount === 1
}
