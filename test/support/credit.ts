import { randomUUID } from 'node:crypto'

import type pg from 'pg'
import { pino } from 'pino'

import { Credit, type CreditOptions, type Leg, type Payer } from '../../src/billing/credit.js'
import { formatMoney, parseMoney, type Money } from '../../src/billing/money.js'
import { plainTerms, rateLeg, type Rate } from '../../src/billing/rating.js'
import type { CallRecord } from '../../src/store/commit.js'
import { book } from '../../src/store/ledger.js'
import { reserveCredit } from '../../src/store/reservations.js'
import { paidCall, unansweredCall } from './call-records.js'

/** Columns of `tenants` that say what it may spend; money as decimal strings. */
export interface Terms {
  readonly billing?: 'prepaid' | 'postpaid'
  readonly credit_limit?: string
  readonly low_balance?: string
  readonly daily_spend_cap?: string
  readonly maximum_call_cost?: string
  readonly time_zone?: string
}

/** A tenant with money on its balance, as a ledger line. */
export async function makePayer(
  pool: pg.Pool,
  id: string,
  balance: string,
  terms: Terms = {},
): Promise<Payer> {
  await pool.query(
    `INSERT INTO tenants (id, name, country, currency, billing, credit_limit, low_balance, daily_spend_cap,
      maximum_call_cost, time_zone)
    VALUES ($1, $1, 'VN', 'VND', $2, $3, $4, $5, $6, $7)`,
    [
      id,
      terms.billing ?? 'prepaid',
      terms.credit_limit,
      terms.low_balance,
      terms.daily_spend_cap,
      terms.maximum_call_cost,
      terms.time_zone ?? 'UTC',
    ],
  )
  if (parseMoney(balance) !== 0n) await topUp(pool, id, balance)
  return { id, billing: terms.billing ?? 'prepaid' }
}

export function topUp(pool: pg.Pool, tenant: string, amount: string) {
  return book(pool, {
    tenant,
    kind: 'topup',
    amount: parseMoney(amount),
    description: 'Paid in',
    idempotencyKey: randomUUID(),
  })
}

/** A node's credit, on its own connections. */
export function creditOn(pool: pg.Pool, options: Partial<CreditOptions> = {}): Credit {
  return new Credit({
    reserve: (tenantId, requests) => reserveCredit(pool, tenantId, requests),
    log: pino({ level: 'silent' }),
    timeoutMs: 20_000,
    ...options,
  })
}

/** By the millisecond: 500 a minute, 300 s cost 2,500. */
export const perMillisecond: Rate = {
  ...plainTerms,
  prefix: '8490',
  prefixEntered: '090',
  description: 'Mobile Viettel',
  pricePerMinute: parseMoney('500'),
}

/** The first attempt of a new call, for an hour at most. */
export function legOf(tenant: Payer, changes: Partial<Leg> = {}): Leg {
  return {
    tenant,
    callUuid: randomUUID(),
    attemptId: '1',
    rate: perMillisecond,
    maxSeconds: 3_600,
    ...changes,
  }
}

/** The record of a call whose one leg talked for `talkedMs`; undefined: it was not answered. */
export function recordOf({ tenant, callUuid, rate }: Leg, talkedMs?: number): CallRecord {
  if (talkedMs === undefined || rate === undefined) return unansweredCall({ tenant: tenant.id, callUuid })
  const call = paidCall(talkedMs, { tenant: tenant.id, callUuid })
  const cost = formatMoney(rateLeg(rate, talkedMs).cost)
  return { ...call, cost, charges: call.charges.map((charge) => ({ ...charge, cost })) }
}

export interface Held {
  readonly balance: Money
  readonly reserved: Money
  /** Σ amount of its reservations. */
  readonly held: Money
}

/** Of one moment. */
export async function heldBy(pool: pg.Pool, { id }: Payer): Promise<Held> {
  const { rows } = await pool.query<{ balance: string; reserved: string; held: string }>(
    `SELECT balance, reserved, (SELECT coalesce(sum(amount), 0)::numeric(24, 6) FROM reservations r
      WHERE r.tenant_id = b.tenant_id) AS held
    FROM balances b WHERE tenant_id = $1`,
    [id],
  )
  const [{ balance, reserved, held } = { balance: '', reserved: '', held: '' }] = rows
  return { balance: parseMoney(balance), reserved: parseMoney(reserved), held: parseMoney(held) }
}

/** Resolves when so many of this database's statements wait for a lock. */
export async function untilWaiting(pool: pg.Pool, count: number): Promise<void> {
  for (;;) {
    const { rows } = await pool.query<{ waiting: number }>(
      `SELECT count(*)::integer AS waiting FROM pg_stat_activity
      WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    )
    if (rows[0]?.waiting === count) return
  }
}
