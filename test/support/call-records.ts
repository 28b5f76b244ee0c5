import { randomUUID } from 'node:crypto'

import type pg from 'pg'

import { formatMoney, parseMoney } from '../../src/billing/money.js'
import { costOf } from '../../src/billing/rating.js'
import type { CallRecord, Charge } from '../../src/store/commit.js'

/** An outbound call of the tenant `demo` that nobody answered: it costs nothing. */
export function unansweredCall(changes: Partial<CallRecord> = {}): CallRecord {
  const callUuid = changes.callUuid ?? randomUUID()
  const startedAt = changes.startedAt ?? Date.now() * 1000
  return {
    v: 1,
    callUuid,
    tenant: 'demo',
    currency: 'VND',
    direction: 'outbound',
    source: 'session',
    caller: '1000',
    called: '84901234567',
    callerRaw: '1000',
    calledRaw: '0901234567',
    callerName: 'Extension 1000',
    aLegUuid: callUuid,
    bLegUuid: null,
    startedAt,
    answeredAt: null,
    bridgedAt: null,
    endedAt: startedAt + 3_000_000,
    durationMs: 3_000,
    ringMs: 3_000,
    answeredMs: 0,
    bridgedMs: 0,
    billedMs: 0,
    hangupCause: 'NO_ANSWER',
    q850Cause: 19,
    sipStatus: 480,
    hungUpBy: 'server',
    route: 'dial',
    gateway: 'carrier1',
    isVip: false,
    isBlacklisted: false,
    refusal: null,
    sipCallId: `${callUuid}@192.0.2.1`,
    switchName: 'fs1',
    codec: 'PCMU',
    mos: null,
    recordingPath: null,
    cost: '0.00',
    carrierCost: null,
    variables: { read_codec: 'PCMU' },
    charges: [],
    ...changes,
  }
}

/** A call over `carrier1`, answered at once, charged for `billedMs` at 500 a minute. */
export function paidCall(billedMs: number, changes: Partial<CallRecord> = {}): CallRecord {
  const call = unansweredCall(changes)
  const cost = formatMoney(costOf(parseMoney('500'), billedMs))
  const legUuid = randomUUID()
  const endedAt = call.startedAt + billedMs * 1000
  const charge: Charge = {
    legUuid,
    gateway: 'carrier1',
    number: call.called,
    prefix: '8490',
    prefixEntered: '090',
    description: 'Mobile Viettel',
    pricePerMinute: '500.00',
    terms: {},
    answeredAt: call.startedAt,
    endedAt,
    billedMs,
    chargedMs: billedMs,
    cost,
    carrierCost: null,
  }
  return {
    ...call,
    bLegUuid: legUuid,
    answeredAt: call.startedAt,
    bridgedAt: call.startedAt,
    endedAt,
    durationMs: billedMs,
    ringMs: 0,
    answeredMs: billedMs,
    bridgedMs: billedMs,
    billedMs,
    hangupCause: 'NORMAL_CLEARING',
    q850Cause: 16,
    sipStatus: 200,
    hungUpBy: 'caller',
    cost,
    charges: [charge],
    ...changes,
  }
}

/** What becomes of a call of whose end nobody tells: billed for `billedMs`, to its last sign of life. */
export function incompleteCall(
  { callUuid, tenant, currency, startedAt }: CallRecord,
  billedMs: number,
  changes: Partial<CallRecord> = {},
): CallRecord {
  const call = { callUuid, tenant, currency, startedAt, source: 'incomplete' as const, ...changes }
  return billedMs === 0
    ? unansweredCall({ hangupCause: 'UNSPECIFIED', ...call })
    : paidCall(billedMs, { hangupCause: 'UNSPECIFIED', ...call })
}

/** Tenants `prefix1` … `prefixN` with nothing on their balance. */
export async function makeTenants(pool: pg.Pool, prefix: string, count: number): Promise<string[]> {
  const ids = Array.from({ length: count }, (_, i) => `${prefix}${i + 1}`)
  await pool.query(
    `INSERT INTO tenants (id, name, country, currency) SELECT id, id, 'VN', 'VND' FROM unnest($1::text[]) id`,
    [ids],
  )
  return ids
}

export interface Books {
  readonly balance: string
  /** Σ ledger. */
  readonly ledger: string
  readonly lines: number
  /** Lines whose `balance_after` is not the one before plus `amount`. */
  readonly breaks: number
  /** Σ cost of the CDRs. */
  readonly cdrs: string
  readonly calls: number
}

/** What the database says about a tenant's money, from every side. */
export async function booksOf(pool: pg.Pool, tenant: string): Promise<Books> {
  const { rows } = await pool.query<Books>(
    `WITH line AS (
      SELECT amount, balance_after, lag(balance_after, 1, 0) OVER (ORDER BY id) AS balance_before
      FROM ledger WHERE tenant_id = $1
    )
    SELECT
      (SELECT balance FROM balances WHERE tenant_id = $1) AS balance,
      (SELECT coalesce(sum(amount), 0)::numeric(24, 6) FROM line) AS ledger,
      (SELECT count(*)::integer FROM line) AS lines,
      (SELECT count(*)::integer FROM line WHERE balance_after <> balance_before + amount) AS breaks,
      (SELECT coalesce(sum(cost), 0)::numeric(24, 6) FROM cdrs WHERE tenant_id = $1) AS cdrs,
      (SELECT count(*)::integer FROM cdrs WHERE tenant_id = $1) AS calls`,
    [tenant],
  )
  return rows[0]!
}
