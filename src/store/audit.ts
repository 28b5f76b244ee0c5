import type pg from 'pg'
import { oneMoment } from './database.js'

/** Something in the books of a tenant that does not add up. */
export interface Finding {
  /** Null: of calls that belong to no tenant. */
  readonly tenant: string | null
  readonly what: string
}

export interface Audit {
  readonly tenants: number
  readonly findings: readonly Finding[]
}

/** Up to here CDRs were dropped (retention.ts); a call that began before and has none was dropped with its month. */
const droppedBefore = `(SELECT coalesce(max(started_before), '-infinity') FROM dropped_cdrs)`
const dropped = `(
  SELECT k.call_uuid FROM call_keys k LEFT JOIN cdrs c USING (call_uuid, started_at)
  WHERE k.started_at < ${droppedBefore} AND c.call_uuid IS NULL
)`
/** A correction of a call has no idempotency key; what somebody books by hand has one, and is no call's cost. */
const isOfCall = `(kind = 'debit' OR rerating IS NOT NULL
  OR kind = 'adjustment' AND ledger.call_uuid IS NOT NULL AND idempotency_key IS NULL)`

/**
 * Each query answers what is wrong, `tenant_id` and `what`, and nothing when all is well. Money that is not there
 * counts as none: a NULL would make a difference disappear.
 */
const checks: readonly string[] = [
  `SELECT tenant_id, 'the balance is ' || balance || ', the ledger comes to ' || coalesce(total, 0) AS what
  FROM balances LEFT JOIN (SELECT tenant_id, sum(amount) AS total FROM ledger GROUP BY 1) l USING (tenant_id)
  WHERE balance <> coalesce(total, 0)`,

  `SELECT tenant_id, 'ledger line ' || id || ' ends at ' || balance_after || ', but the one before and its amount '
    || 'come to ' || balance_before + amount AS what
  FROM (
    SELECT tenant_id, id, amount, balance_after,
      lag(balance_after, 1, 0) OVER (PARTITION BY tenant_id ORDER BY id) AS balance_before
    FROM ledger
  ) l WHERE balance_after <> balance_before + amount`,

  `SELECT tenant_id, reserved || ' is reserved, the reservations come to ' || coalesce(total, 0) AS what
  FROM balances LEFT JOIN (SELECT tenant_id, sum(amount) AS total FROM reservations GROUP BY 1) r USING (tenant_id)
  WHERE reserved <> coalesce(total, 0)`,

  `SELECT tenant_id, 'call ' || call_uuid || ' is committed, but still holds ' || sum(amount) AS what
  FROM reservations JOIN call_keys USING (call_uuid)
  GROUP BY tenant_id, call_uuid`,

  `SELECT tenant_id, 'call ' || call_uuid || ' costs ' || coalesce(cost, 0) || ', its charges come to '
    || coalesce(total, 0) || CASE WHEN cost IS NULL THEN ', and it has no CDR' ELSE '' END AS what
  FROM cdrs FULL JOIN (SELECT call_uuid, sum(cost) AS total FROM charges GROUP BY 1) c USING (call_uuid)
  -- The charges of a month that was dropped go by and by.
  WHERE (coalesce(cost, 0) <> coalesce(total, 0) OR cost IS NULL)
    AND NOT (cost IS NULL AND call_uuid IN ${dropped})`,

  `SELECT tenant_id, 'call ' || coalesce(call_uuid, '(none)') || ' costs ' || coalesce(cost, 0)
    || ', the ledger has a debit of ' || coalesce(debit, 0) AS what
  FROM (SELECT tenant_id, call_uuid, cost FROM cdrs WHERE cost > 0) c
  FULL JOIN (
    SELECT tenant_id, ledger.call_uuid, -sum(amount) AS debit
    FROM ledger LEFT JOIN ${dropped} gone ON gone.call_uuid = ledger.call_uuid
    WHERE ${isOfCall} AND gone.call_uuid IS NULL
    GROUP BY 1, 2
  ) d USING (tenant_id, call_uuid)
  WHERE coalesce(cost, 0) <> coalesce(debit, 0)`,

  `SELECT tenant_id, 'call ' || call_uuid || ' has ' || count(*) || ' CDRs and '
    || CASE WHEN bool_and(is_known) THEN 'a' ELSE 'no' END || ' key' AS what
  FROM (
    SELECT c.tenant_id, c.call_uuid, k.call_uuid IS NOT NULL AS is_known
    FROM cdrs c LEFT JOIN call_keys k USING (call_uuid, started_at)
  ) c GROUP BY tenant_id, call_uuid HAVING count(*) > 1 OR NOT bool_and(is_known)`,

  `SELECT NULL AS tenant_id, 'call ' || call_uuid || ' is committed, but has no CDR' AS what
  FROM call_keys k LEFT JOIN cdrs USING (call_uuid)
  WHERE cdrs.call_uuid IS NULL AND k.started_at >= ${droppedBefore}`,

  `SELECT tenant_id, 'calls whose CDRs were dropped cost ' || coalesce(total, 0) || ', the ledger has debits of '
    || coalesce(debit, 0) AS what
  FROM (SELECT tenant_id, sum(cost) AS total FROM dropped_cdrs WHERE tenant_id IS NOT NULL GROUP BY 1) d
  FULL JOIN (
    SELECT tenant_id, -sum(amount) AS debit FROM ledger JOIN ${dropped} gone USING (call_uuid)
    WHERE ${isOfCall} GROUP BY 1
  ) l USING (tenant_id)
  WHERE coalesce(total, 0) <> coalesce(debit, 0)`,

  `SELECT NULL AS tenant_id, calls || ' calls have no CDR any more, but ' || noted || ' CDRs were dropped' AS what
  FROM (SELECT count(*) AS calls FROM ${dropped} gone) g,
    (SELECT coalesce(sum(calls), 0) AS noted FROM dropped_cdrs) d
  WHERE calls <> noted`,
]

/** Of each tenant by each check, at most: a fault that is everywhere need not be read a million times. */
const findingsPerCheck = 100

/**
 * Proves that the books add up, as they were at one moment: each balance is the sum of its ledger, each ledger
 * line follows from the one before, what is reserved is the sum of the reservations, each call's cost is the sum
 * of its charges and what was debited for it, corrections and reratings included; of calls whose CDRs are dropped, by
 * tenant. It reads every table from end to end, and
 * stops nobody.
 *
 * @param client in a transaction that sees one moment (`auditMode`)
 */
export async function auditBooks(client: pg.ClientBase): Promise<Audit> {
  const findings: Finding[] = []
  for (const check of checks) {
    const { rows } = await client.query<{ tenant_id: string | null; what: string }>(
      `SELECT tenant_id, what
      FROM (SELECT *, row_number() OVER (PARTITION BY tenant_id ORDER BY what) AS nth FROM (${check}) finding) f
      WHERE nth <= ${findingsPerCheck} ORDER BY 1, 2`,
    )
    findings.push(...rows.map(({ tenant_id, what }) => ({ tenant: tenant_id, what })))
  }
  const { rows } = await client.query<{ count: number }>('SELECT count(*)::integer AS count FROM tenants')
  return { tenants: rows[0]?.count ?? 0, findings }
}

export const auditMode = oneMoment
