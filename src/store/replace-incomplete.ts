import type pg from 'pg'

import { selectRows, storedText } from './columns.js'
import type { CallRecord, CommitOptions } from './commit.js'
import { inTransaction } from './database.js'
import { lowBalance } from './low-balance.js'
import { cdrNames, chargeColumns, chargeNames, parametersOf, recordColumns } from './record-columns.js'

/** A CDR that a real record takes the place of, as PostgreSQL gives it. */
interface Replaced {
  readonly tenant_id: string | null
  readonly cost: string
  readonly committed_at: string
}

/** Answers nothing when the CDR is no incomplete one, or not any more. */
const takeAway = `
DELETE FROM cdrs USING call_keys key
WHERE key.call_uuid = $1 AND cdrs.call_uuid = key.call_uuid AND cdrs.started_at = key.started_at
  AND cdrs.source = 'incomplete'
RETURNING cdrs.tenant_id, cdrs.cost, cdrs.committed_at::text`

/** Behind those of the record. */
const [ofTenant, ofCost, ofMoment] = [1, 2, 3].map(
  (place) => `$${recordColumns.length + chargeColumns.length + place}`,
)

/*
 * As in the commit (commit.ts): everything is written before the first balance is locked, balances are locked by
 * tenant and read where they are locked, reservations come last. `owed` is what a tenant owes more than it was
 * debited: the two records need not name the same one. None is NULL, and must not owe anything: the ledger refuses
 * its line.
 *
 * What was counted on a day that is over for the daily cap takes nothing off today's.
 */
const putInPlace = `
WITH cdr AS MATERIALIZED (${selectRows(recordColumns, 1)}),
charge AS (${selectRows(chargeColumns, 1 + recordColumns.length)}),
moved AS (
  UPDATE call_keys SET started_at = cdr.started_at FROM cdr
  WHERE call_keys.call_uuid = cdr.call_uuid AND call_keys.started_at <> cdr.started_at
),
written AS (INSERT INTO cdrs (${cdrNames}) SELECT ${cdrNames} FROM cdr RETURNING true),
charged AS (INSERT INTO charges (${chargeNames}) SELECT ${chargeNames} FROM charge RETURNING true),
owed AS (
  SELECT tenant_id, sum(amount) AS owes
  FROM (
    SELECT tenant_id, cost AS amount FROM cdr
    UNION ALL SELECT ${ofTenant}::text, -${ofCost}::numeric
  ) part
  WHERE (SELECT count(*) FROM written) + (SELECT count(*) FROM charged) >= 0
  GROUP BY tenant_id
),
locked AS MATERIALIZED (
  SELECT b.tenant_id, b.balance, b.reserved, b.spent, b.spent_on, b.is_low, owed.owes,
    (now() AT TIME ZONE t.time_zone)::date AS today,
    (${ofMoment}::timestamptz AT TIME ZONE t.time_zone)::date AS debited_on, t.low_balance, t.currency
  FROM owed JOIN balances b USING (tenant_id) JOIN tenants t ON t.id = b.tenant_id
  ORDER BY b.tenant_id COLLATE "C"
  FOR NO KEY UPDATE OF b
),
released AS MATERIALIZED (
  SELECT freed.*
  FROM (
    SELECT array_agg(owed.tenant_id) AS tenant_ids, array_agg(cdr.call_uuid) AS call_uuids
    FROM owed, cdr WHERE owed.tenant_id IS NOT NULL
  ) call,
    release_reservations(call.tenant_ids, call.call_uuids, (SELECT count(*) FROM locked)) freed
),
settled AS MATERIALIZED (
  SELECT locked.*, coalesce(released.released, 0) AS released
  FROM locked LEFT JOIN released USING (tenant_id)
),
booked AS (
  UPDATE balances b SET
    balance = settled.balance - owes,
    reserved = settled.reserved - released,
    spent = greatest(0, CASE WHEN settled.spent_on >= today THEN settled.spent ELSE 0 END
      + CASE WHEN owes > 0 OR debited_on >= today THEN owes ELSE 0 END),
    spent_on = greatest(settled.spent_on, today),
    -- Money that comes back cannot have taken it there.
    is_low = coalesce(settled.balance - owes < low_balance AND (settled.is_low OR owes > 0), false),
    updated_at = now()
  FROM settled
  WHERE b.tenant_id = settled.tenant_id AND (owes <> 0 OR released > 0)
  RETURNING b.tenant_id, b.balance, low_balance, currency, b.is_low AND NOT settled.is_low AS is_news
),
entered AS (
  INSERT INTO ledger (tenant_id, kind, amount, balance_after, description, call_uuid)
  SELECT owed.tenant_id, 'adjustment', -owed.owes, locked.balance - owed.owes,
    'Call cost, corrected by a later record', cdr.call_uuid
  FROM cdr, owed LEFT JOIN locked USING (tenant_id)
  WHERE owed.owes <> 0
)
SELECT tenant_id, balance, low_balance, currency,
  tell_low_balance(tenant_id, balance, low_balance, currency)::text AS told
FROM booked WHERE is_news`

/**
 * Puts a record in the place of an `incomplete` one of its call: CDR and charges, and the difference in money as a
 * line of the ledger. Once, whoever else does it at the same time, and all of it or nothing.
 *
 * @returns whether it did; not when the call's CDR is no incomplete one, or this record is another
 * @throws CommitError `refused` when the record contradicts itself; else what PostgreSQL says
 */
export async function replaceIncomplete(
  pool: pg.Pool,
  record: CallRecord,
  { onLowBalance }: CommitOptions = {},
): Promise<boolean> {
  if (record.source === 'incomplete') return false
  const values = parametersOf([record])
  const callUuid = storedText(record.callUuid)
  const lows = await inTransaction(pool, async (client) => {
    // Before the question, which sees what whoever held it has left.
    await client.query('SELECT FROM call_keys WHERE call_uuid = $1 FOR UPDATE', [callUuid])
    const { rows } = await client.query<Replaced>(takeAway, [callUuid])
    const [replaced] = rows
    if (replaced === undefined) return undefined
    await client.query('DELETE FROM charges WHERE call_uuid = $1', [callUuid])
    const { tenant_id: tenant, cost, committed_at: committedAt } = replaced
    const { rows: lows } = await client.query<Parameters<typeof lowBalance>[0]>(putInPlace, [
      ...values,
      tenant,
      cost,
      committedAt,
    ])
    return lows
  })
  for (const low of lows ?? []) onLowBalance?.(lowBalance(low))
  return lows !== undefined
}
