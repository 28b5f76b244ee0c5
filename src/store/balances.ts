import type pg from 'pg'

import { formatMoney, parseMoney } from '../billing/money.js'
import { hasNul } from './database.js'

/** Decimal strings in the tenant's currency. */
export interface Balance {
  readonly balance: string
  /** Held for calls in progress. */
  readonly reserved: string
  /** What may still be spent: `balance - reserved`. */
  readonly available: string
  /** ISO 4217. */
  readonly currency: string
}

/** @returns undefined when there is no such tenant */
export async function readBalance(pool: pg.Pool, tenantId: string): Promise<Balance | undefined> {
  if (hasNul(tenantId)) return undefined
  const { rows } = await pool.query<{ balance: string; reserved: string; currency: string }>(
    'SELECT balance, reserved, currency FROM balances JOIN tenants ON id = tenant_id WHERE tenant_id = $1',
    [tenantId],
  )
  const [row] = rows
  if (!row) return undefined
  const balance = parseMoney(row.balance)
  const reserved = parseMoney(row.reserved)
  return {
    balance: formatMoney(balance),
    reserved: formatMoney(reserved),
    available: formatMoney(balance - reserved),
    currency: row.currency,
  }
}
