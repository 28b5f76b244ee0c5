import type pg from 'pg'

import { formatMoney, parseMoney, type Money } from '../billing/money.js'
import { unrated, type Rate } from '../billing/rating.js'
import { deckOf } from '../billing/tariff.js'
import { rowParameters, selectRows, storedText } from './columns.js'
import { hasNul } from './database.js'
import { lowBalance, type LowBalance } from './low-balance.js'
import { isSame, ratedAgain, ratedColumns, type RatedAgain, type RatedLeg } from './rated-again.js'
import { readPrefixes } from './rates.js'
import { ChangeRefused, quoted } from './refusal.js'

/** Money is decimal strings. */
export interface Rerating {
  readonly tenant: string | null
  readonly currency: string | null
  readonly costBefore: string
  readonly cost: string
  readonly charges: readonly RatedAgain[]
  /** False: each leg costs what it cost, at the same rate, and nothing was written. */
  readonly isChange: boolean
  /** The balance fell below its threshold by it. */
  readonly low?: LowBalance
}

export interface RerateOptions {
  readonly reason: string
  /** Only tells what would become of it. */
  readonly isDry: boolean
}

/** What of its tenant's prices a call is rated by. */
interface RatedCall {
  readonly tenant_id: string | null
  readonly currency: string | null
  readonly cost: string
  readonly called: string
  readonly committed_at: string
  /** Null: there is no such tenant any more. */
  readonly tenant_currency: string | null
  readonly deck_id: string | null
  readonly inbound_deck_id: string | null
  readonly allows_unrated: boolean
  readonly is_extension: boolean
}

/**
 * Rates a call's legs anew, by what the decks of its tenant say today of the moment at which each was answered, with
 * the arithmetic of every call. The old cost comes back as a refund, the new one is debited, both as lines of the
 * ledger; charges and CDR follow, and what they were is kept. With the same rates again nothing is written. What the
 * carriers ask stays as it was.
 *
 * A record that takes the place of an incomplete one later (replace-incomplete.ts) brings the rates that it was dialled
 * at: it corrects what the call costs by then, and may be rated anew itself.
 *
 * @param client in a transaction, to be rolled back when this throws
 * @throws ChangeRefused `not_found`; `unratable` when a leg has no rate any more, or the tenant pays in other money now
 */
export async function rerateCall(
  client: pg.ClientBase,
  callUuid: string,
  { reason, isDry }: RerateOptions,
): Promise<Rerating> {
  // Whoever changes a committed call holds its key: one after the other.
  if (!isDry && !hasNul(callUuid))
    await client.query('SELECT FROM call_keys WHERE call_uuid = $1 FOR UPDATE', [callUuid])
  const call = await readCall(client, callUuid)
  const legs = await readLegs(client, callUuid)
  const charges: RatedAgain[] = []
  for (const leg of legs) charges.push(ratedAgain(leg, await rateNow(client, call, leg)))
  const before = parseMoney(call.cost)
  const now = charges.reduce((sum, { cost }) => sum + parseMoney(cost), 0n)
  const rerating: Rerating = {
    tenant: call.tenant_id,
    currency: call.currency,
    costBefore: formatMoney(before),
    cost: formatMoney(now),
    charges,
    isChange: charges.some((charge, i) => !isSame(charge, legs[i])),
  }
  if (isDry || !rerating.isChange || call.tenant_id === null) return rerating
  const number = await writeCall(client, callUuid, rerating, reason)
  const low = before === now ? undefined : await book(client, { callUuid, call, before, now, number, reason })
  return low === undefined ? rerating : { ...rerating, low }
}

async function readCall(client: pg.ClientBase, callUuid: string): Promise<RatedCall> {
  const { rows } = hasNul(callUuid)
    ? { rows: [] }
    : await client.query<RatedCall>(
        `SELECT tenant_id, cdrs.currency, cost, called, committed_at::text, t.currency AS tenant_currency, deck_id,
          inbound_deck_id, coalesce(allows_unrated, false) AS allows_unrated,
          EXISTS (SELECT FROM extensions e WHERE e.tenant_id = t.id AND e.number = called) AS is_extension
        FROM call_keys JOIN cdrs USING (call_uuid, started_at) LEFT JOIN tenants t ON t.id = tenant_id
        WHERE call_uuid = $1`,
        [callUuid],
      )
  const [call] = rows
  if (call === undefined) throw new ChangeRefused('not_found', `there is no CDR of call ${quoted(callUuid)}`)
  return call
}

async function readLegs(client: pg.ClientBase, callUuid: string): Promise<RatedLeg[]> {
  const { rows } = await client.query<RatedLeg>(
    `SELECT leg_uuid, gateway, number, prefix, prefix_entered, description, price_per_minute, terms,
      (extract(epoch FROM answered_at) * 1000000)::float8 AS answered_at, billed_ms::float8 AS billed_ms,
      charged_ms::float8 AS charged_ms, cost
    FROM charges WHERE call_uuid = $1 ORDER BY charges.answered_at, leg_uuid`,
    [callUuid],
  )
  return rows
}

/** As a call would find it (src/store/catalog.ts), but read here: what was changed a moment ago counts. */
async function rateNow(client: pg.ClientBase, call: RatedCall, leg: RatedLeg): Promise<Rate> {
  const { tenant_currency: currency } = call
  if (call.tenant_id === null || currency === null)
    throw new ChangeRefused('unratable', `the call's tenant is gone, and its rates with it`)
  if (currency !== call.currency)
    throw new ChangeRefused(
      'unratable',
      `the call was charged in ${call.currency ?? 'no currency'}, and its tenant pays in ${currency} now`,
    )
  const isInbound = leg.gateway === null
  const number = isInbound ? call.called : leg.number
  const deckId = isInbound ? call.inbound_deck_id : call.deck_id
  const prefixes = Array.from({ length: number.length + 1 }, (_, length) => number.slice(0, length))
  const changes = deckId === null ? [] : [...(await readPrefixes(client, deckId, prefixes)).values()]
  const rate = deckOf(changes.flat()).find(number, leg.answered_at)
  // An extension's rate is for exactly its number.
  if (rate !== undefined && !(isInbound && call.is_extension && rate.prefix !== number)) return rate
  if (!isInbound && call.allows_unrated) return unrated
  const when = new Date(leg.answered_at / 1000).toISOString()
  const where =
    deckId === null ? `its tenant has no ${isInbound ? 'inbound ' : ''}deck` : `in ${quoted(deckId)}`
  throw new ChangeRefused(
    'unratable',
    `leg ${quoted(leg.leg_uuid)} to ${quoted(number)}, answered at ${when}, has no rate: ${where}`,
  )
}

const [, ...newNames] = ratedColumns.map(({ name }) => name)

/** @returns which rerating of the call this is */
async function writeCall(
  client: pg.ClientBase,
  callUuid: string,
  { costBefore, cost, charges }: Rerating,
  reason: string,
): Promise<number> {
  const { rows } = await client.query<{ number: number }>(
    `INSERT INTO reratings (call_uuid, number, committed_at, reason, cost_before, cost, charges_before)
    SELECT call_uuid, 1 + coalesce((SELECT max(number) FROM reratings r WHERE r.call_uuid = $1), 0), committed_at,
      $2, $3, $4, (SELECT jsonb_agg(to_jsonb(charges) ORDER BY answered_at, leg_uuid) FROM charges WHERE call_uuid = $1)
    FROM call_keys JOIN cdrs USING (call_uuid, started_at) WHERE call_uuid = $1
    RETURNING number`,
    [callUuid, storedText(reason), costBefore, cost],
  )
  await client.query(
    `UPDATE charges SET ${newNames.map((name) => `${name} = rated.${name}`).join(', ')}
    FROM (${selectRows(ratedColumns, 2)}) rated
    WHERE charges.call_uuid = $1 AND charges.leg_uuid = rated.leg_uuid`,
    [callUuid, ...rowParameters(ratedColumns, charges)],
  )
  await client.query(
    `UPDATE cdrs SET cost = $2 FROM call_keys key
    WHERE key.call_uuid = $1 AND cdrs.call_uuid = key.call_uuid AND cdrs.started_at = key.started_at`,
    [callUuid, cost],
  )
  return rows[0]?.number ?? 0
}

/*
 * As where an incomplete record is replaced: what was counted on a day that is over for the daily cap takes nothing off
 * today's, and money that comes back cannot have taken the balance below its threshold.
 */
const bookStatement = `
WITH locked AS MATERIALIZED (
  SELECT b.tenant_id, b.balance, b.spent, b.spent_on, b.is_low, t.low_balance, t.currency,
    $4::numeric - $3::numeric AS owes,
    (now() AT TIME ZONE t.time_zone)::date AS today, ($6::timestamptz AT TIME ZONE t.time_zone)::date AS debited_on
  FROM balances b JOIN tenants t ON t.id = b.tenant_id
  WHERE b.tenant_id = $1
  FOR NO KEY UPDATE OF b
),
booked AS (
  UPDATE balances b SET
    balance = locked.balance - owes,
    spent = greatest(0, CASE WHEN locked.spent_on >= today THEN locked.spent ELSE 0 END
      + CASE WHEN owes > 0 OR debited_on >= today THEN owes ELSE 0 END),
    spent_on = greatest(locked.spent_on, today),
    is_low = coalesce(locked.balance - owes < low_balance AND (locked.is_low OR owes > 0), false),
    updated_at = now()
  FROM locked WHERE b.tenant_id = locked.tenant_id
  RETURNING b.tenant_id, b.balance, low_balance, currency, b.is_low AND NOT locked.is_low AS is_news
),
entered AS (
  INSERT INTO ledger (tenant_id, kind, amount, balance_after, description, call_uuid, rerating)
  SELECT tenant_id, kind, amount, balance + change, $7, $2, $5
  FROM locked, (
    VALUES (1, 'refund', $3::numeric, $3::numeric), (2, 'debit', -$4::numeric, $3::numeric - $4::numeric)
  ) AS line (nth, kind, amount, change)
  WHERE amount <> 0
  ORDER BY nth
)
SELECT tenant_id, balance, low_balance, currency,
  tell_low_balance(tenant_id, balance, low_balance, currency)::text AS told
FROM booked WHERE is_news`

interface Difference {
  readonly callUuid: string
  readonly call: RatedCall
  readonly before: Money
  readonly now: Money
  readonly number: number
  readonly reason: string
}

/** @returns that the balance fell below its threshold */
async function book(
  client: pg.ClientBase,
  { callUuid, call, before, now, number, reason }: Difference,
): Promise<LowBalance | undefined> {
  const { rows } = await client.query<Parameters<typeof lowBalance>[0]>(bookStatement, [
    ...[call.tenant_id, callUuid, formatMoney(before), formatMoney(now), number, call.committed_at],
    storedText(`Call cost, rated anew: ${reason}`),
  ])
  return rows[0] && lowBalance(rows[0])
}
