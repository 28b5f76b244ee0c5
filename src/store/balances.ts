import type pg from 'pg'

import { formatMoney, parseMoney } from '../billing/money.js'
import { hasNul } from './database.js'

/** Decimal strings in the tenant's currency. */
export interface Balance {
  readonly balance: string
  /** Held for calls in progress. */
  readonly reserved: string
  /** What may still be spent: `balance + creditLimit - reserved`, without a limit `balance - reserved`. */
  readonly available: string
  readonly billing: 'prepaid' | 'postpaid'
  /** How far below 0 the balance may go; null: a postpaid tenant without a limit. */
  readonly creditLimit: string | null
  /** ISO 4217. */
  readonly currency: string
}

/** @returns undefined when there is no such tenant */
export async function readBalance(pool: pg.Pool, tenantId: string): Promise<Balance | undefined> {
  if (hasNul(tenantId)) return undefined
  const { rows } = await pool.query<{
    balance: string
    reserved: string
    billing: Balance['billing']
    credit_limit: string | null
    currency: string
  }>(
    `SELECT balance, reserved, billing, currency,
      CASE billing WHEN 'prepaid' THEN coalesce(credit_limit, 0) ELSE credit_limit END AS credit_limit
    FROM balances JOIN tenants ON id = tenant_id WHERE tenant_id = $1`,
    [tenantId],
  )
  const [row] = rows
  if (!row) return undefined
  const balance = parseMoney(row.balance)
  const reserved = parseMoney(row.reserved)
  const limit = row.credit_limit === null ? null : parseMoney(row.credit_limit)
  return {
    balance: formatMoney(balance),
    reserved: formatMoney(reserved),
    available: formatMoney(balance + (limit ?? 0n) - reserved),
    billing: row.billing,
    creditLimit: limit === null ? null : formatMoney(limit),
    currency: row.currency,
  }
}
