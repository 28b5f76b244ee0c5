import pg from 'pg'

import { formatMoney, parseMoney, type Money } from '../billing/money.js'
import { hasNul } from './database.js'
import { lowBalance, type LowBalance } from './low-balance.js'
import type { Db } from './within.js'

/** What somebody books by hand or by the API; debits are booked by the commit of a call (commit.ts). */
export interface Booking {
  readonly tenant: string
  readonly kind: 'topup' | 'refund' | 'adjustment'
  /** What the balance changes by: above 0, for an adjustment also below. */
  readonly amount: Money
  readonly description: string
  /** Chosen by whoever books, 1 to 200 characters: the same one a second time books nothing. */
  readonly idempotencyKey: string
  /** The call that a refund is for. */
  readonly callUuid?: string
}

/** Amounts are decimal strings. */
export interface LedgerLine {
  readonly id: string
  readonly tenant: string
  readonly kind: string
  readonly amount: string
  readonly balanceAfter: string
  readonly description: string
  readonly callUuid: string | null
  readonly createdAt: Date
}

export interface Booked {
  readonly line: LedgerLine
  /** False: it was booked before under the same key, and this is that line. */
  readonly isNew: boolean
  /** This took the balance below the tenant's threshold: news once it is committed. */
  readonly low?: LowBalance
}

/**
 * - `unknown_tenant`: there is none with this id.
 * - `key_reused`: the idempotency key stands for another kind or amount, or another call.
 * - `invalid`: an amount, a text or a key that no ledger line can have.
 */
export type LedgerErrorCode = 'unknown_tenant' | 'key_reused' | 'invalid'

/** Nothing was booked. */
export class LedgerError extends Error {
  override readonly name = 'LedgerError'
  readonly code: LedgerErrorCode

  constructor(code: LedgerErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

const line = 'id, kind, amount, balance_after, description, call_uuid, created_at'

const bookStatement = `
WITH known AS (
  SELECT ${line} FROM ledger WHERE tenant_id = $1 AND idempotency_key = $2
),
locked AS MATERIALIZED (
  SELECT b.tenant_id, b.balance + $4::numeric AS balance, b.is_low, t.low_balance, t.currency
  FROM balances b JOIN tenants t ON t.id = b.tenant_id
  WHERE b.tenant_id = $1 AND NOT EXISTS (SELECT FROM known)
  FOR NO KEY UPDATE OF b
),
booked AS (
  UPDATE balances b SET
    balance = locked.balance,
    -- Money that comes in does not take the balance below anything; what goes out next tells.
    is_low = coalesce(locked.balance < low_balance, false) AND (locked.is_low OR $4 < 0),
    updated_at = now()
  FROM locked WHERE b.tenant_id = locked.tenant_id
  RETURNING locked.low_balance, locked.currency, b.is_low AND NOT locked.is_low AS is_low_news,
    CASE WHEN b.is_low AND NOT locked.is_low
      THEN tell_low_balance(b.tenant_id, b.balance, locked.low_balance, locked.currency)::text
    END AS told
),
entered AS (
  INSERT INTO ledger (tenant_id, idempotency_key, kind, amount, balance_after, description, call_uuid)
  SELECT tenant_id, $2, $3, $4, balance, $5, $6 FROM locked
  RETURNING ${line}
)
SELECT true AS is_new, entered.*, booked.* FROM entered, booked
UNION ALL
SELECT false, known.*, NULL, NULL, false, NULL FROM known`

/** A row of the table as PostgreSQL gives it. */
export interface LedgerRow {
  readonly id: string
  readonly kind: string
  readonly amount: string
  readonly balance_after: string
  readonly description: string
  readonly call_uuid: string | null
  readonly created_at: Date
}

interface BookedRow extends LedgerRow {
  readonly is_new: boolean
  readonly low_balance: string
  readonly currency: string
  readonly is_low_news: boolean
}

/**
 * Books a top-up, a refund or an adjustment: the ledger's line and the balance, by one statement. A key that was
 * used before books nothing and answers the first line.
 *
 * @param onLowBalance called when this took the balance below the tenant's threshold
 * @throws LedgerError
 */
export async function book(
  pool: pg.Pool,
  booking: Booking,
  onLowBalance?: (low: LowBalance) => void,
): Promise<Booked> {
  const { low, ...booked } = await againIfBooked(() => bookWithin(pool, booking))
  if (low !== undefined) onLowBalance?.(low)
  return booked
}

/**
 * As `book`, as a part of a transaction. Nobody is told of a low balance; that is for after its end.
 *
 * @throws LedgerError, and what `againIfBooked` knows: then the transaction is lost, and must be made again
 */
export async function bookWithin(db: Db, booking: Booking): Promise<Booked> {
  checkBooking(booking)
  const { tenant, kind, amount, description, idempotencyKey, callUuid } = booking
  const values = [tenant, idempotencyKey, kind, formatMoney(amount), description, callUuid ?? null]
  const row = await bookOnce(db, values)
  if (!row) throw new LedgerError('unknown_tenant', `there is no tenant ${JSON.stringify(tenant)}`)
  const booked = parseMoney(row.amount)
  if (row.kind !== kind || booked !== amount || row.call_uuid !== (callUuid ?? null)) {
    const ofCall = row.call_uuid === null ? '' : ` for call ${JSON.stringify(row.call_uuid)}`
    throw new LedgerError(
      'key_reused',
      `the idempotency key ${JSON.stringify(idempotencyKey)} was used for a ${row.kind} of ${formatMoney(booked)}${ofCall}`,
    )
  }
  const low = row.is_low_news
    ? lowBalance({ ...row, tenant_id: tenant, balance: row.balance_after })
    : undefined
  return { line: ledgerLine(tenant, row), isNew: row.is_new, ...(low && { low }) }
}

/**
 * Does `work`, which books, and does it once more if somebody else booked under the same key while it waited for the
 * balance: now that line can be read.
 */
export async function againIfBooked<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof pg.DatabaseError && error.constraint === 'ledger_idempotency_key') return work()
    throw error
  }
}

async function bookOnce(db: Db, values: (string | null)[]): Promise<BookedRow | undefined> {
  try {
    const { rows } = await db.query<BookedRow>(bookStatement, values)
    return rows[0]
  } catch (error) {
    // Numeric value out of range.
    if (error instanceof pg.DatabaseError && error.code === '22003')
      throw new LedgerError('invalid', 'the balance would be longer than a balance can be', { cause: error })
    throw error
  }
}

function checkBooking({ tenant, kind, amount, description, idempotencyKey, callUuid }: Booking): void {
  if (amount === 0n || (amount < 0n && kind !== 'adjustment'))
    throw new LedgerError('invalid', `a ${kind} of ${formatMoney(amount)} cannot be booked`)
  if (idempotencyKey.length < 1 || idempotencyKey.length > 200)
    throw new LedgerError('invalid', 'an idempotency key has 1 to 200 characters')
  if ([tenant, description, idempotencyKey, callUuid].some(hasNul))
    throw new LedgerError('invalid', 'a text holds the character NUL')
}

export function ledgerLine(tenant: string, row: LedgerRow): LedgerLine {
  return {
    id: row.id,
    tenant,
    kind: row.kind,
    amount: formatMoney(parseMoney(row.amount)),
    balanceAfter: formatMoney(parseMoney(row.balance_after)),
    description: row.description,
    callUuid: row.call_uuid,
    createdAt: row.created_at,
  }
}
