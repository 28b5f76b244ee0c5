import type pg from 'pg'

import { checkRecord, type CallRecord, type Charge } from './call-record.js'
import { jsonText, rowParameters, selectRows, type Column } from './columns.js'
import { CommitError } from './errors.js'

export type { CallRecord, Charge } from './call-record.js'

/** The table `cdrs`; `tenant_id` and the like are named as there. */
const recordColumns: readonly Column<CallRecord>[] = [
  { name: 'call_uuid', type: 'text', value: (r) => r.callUuid },
  { name: 'started_at', type: 'time', value: (r) => r.startedAt },
  { name: 'tenant_id', type: 'text', value: (r) => r.tenant },
  { name: 'currency', type: 'text', value: (r) => r.currency },
  { name: 'direction', type: 'text', value: (r) => r.direction },
  { name: 'source', type: 'text', value: (r) => r.source },
  { name: 'caller', type: 'text', value: (r) => r.caller },
  { name: 'called', type: 'text', value: (r) => r.called },
  { name: 'caller_raw', type: 'text', value: (r) => r.callerRaw },
  { name: 'called_raw', type: 'text', value: (r) => r.calledRaw },
  { name: 'caller_name', type: 'text', value: (r) => r.callerName },
  { name: 'a_leg_uuid', type: 'text', value: (r) => r.aLegUuid },
  { name: 'b_leg_uuid', type: 'text', value: (r) => r.bLegUuid },
  { name: 'answered_at', type: 'time', value: (r) => r.answeredAt },
  { name: 'bridged_at', type: 'time', value: (r) => r.bridgedAt },
  { name: 'ended_at', type: 'time', value: (r) => r.endedAt },
  { name: 'duration_ms', type: 'bigint', value: (r) => r.durationMs },
  { name: 'ring_ms', type: 'bigint', value: (r) => r.ringMs },
  { name: 'answered_ms', type: 'bigint', value: (r) => r.answeredMs },
  { name: 'bridged_ms', type: 'bigint', value: (r) => r.bridgedMs },
  { name: 'billed_ms', type: 'bigint', value: (r) => r.billedMs },
  { name: 'hangup_cause', type: 'text', value: (r) => r.hangupCause },
  { name: 'q850_cause', type: 'integer', value: (r) => r.q850Cause },
  { name: 'sip_status', type: 'integer', value: (r) => r.sipStatus },
  { name: 'hung_up_by', type: 'text', value: (r) => r.hungUpBy },
  { name: 'route', type: 'text', value: (r) => r.route },
  { name: 'gateway', type: 'text', value: (r) => r.gateway },
  { name: 'is_vip', type: 'boolean', value: (r) => r.isVip },
  { name: 'is_blacklisted', type: 'boolean', value: (r) => r.isBlacklisted },
  { name: 'refusal', type: 'text', value: (r) => r.refusal },
  { name: 'sip_call_id', type: 'text', value: (r) => r.sipCallId },
  { name: 'switch_name', type: 'text', value: (r) => r.switchName },
  { name: 'codec', type: 'text', value: (r) => r.codec },
  { name: 'mos', type: 'numeric', value: (r) => (r.mos !== null && isMos.test(r.mos) ? r.mos : null) },
  { name: 'recording_path', type: 'text', value: (r) => r.recordingPath },
  { name: 'cost', type: 'numeric', value: (r) => r.cost },
  { name: 'carrier_cost', type: 'numeric', value: (r) => r.carrierCost },
  { name: 'variables', type: 'jsonb', value: (r) => jsonText(r.variables) },
]

const isMos = /^[0-9](?:\.[0-9]{1,6})?$/

type ChargeOfCall = Charge & { readonly callUuid: string }

/** The table `charges`. */
const chargeColumns: readonly Column<ChargeOfCall>[] = [
  { name: 'call_uuid', type: 'text', value: (c) => c.callUuid },
  { name: 'leg_uuid', type: 'text', value: (c) => c.legUuid },
  { name: 'gateway', type: 'text', value: (c) => c.gateway },
  { name: 'number', type: 'text', value: (c) => c.number },
  { name: 'prefix', type: 'text', value: (c) => c.prefix },
  { name: 'prefix_entered', type: 'text', value: (c) => c.prefixEntered },
  { name: 'description', type: 'text', value: (c) => c.description },
  { name: 'price_per_minute', type: 'numeric', value: (c) => c.pricePerMinute },
  { name: 'answered_at', type: 'time', value: (c) => c.answeredAt },
  { name: 'ended_at', type: 'time', value: (c) => c.endedAt },
  { name: 'billed_ms', type: 'bigint', value: (c) => c.billedMs },
  { name: 'cost', type: 'numeric', value: (c) => c.cost },
  { name: 'carrier_cost', type: 'numeric', value: (c) => c.carrierCost },
]

const cdrNames = recordColumns.map(({ name }) => name).join(', ')
const chargeNames = chargeColumns.map(({ name }) => name).join(', ')

/*
 * Locks are taken in one order by everybody, so that batches never deadlock: first all keys, by call_uuid
 * (an insert waits for another transaction that holds the same key), then all balances, by tenant. `debtor`
 * groups what `fresh` returns, so that the last key is in before the first balance is locked.
 *
 * A statement sees the database as it was when it began, except that a row lock gives the row as it is now:
 * `locked` is where balances are read.
 *
 * A debit whose tenant has no balance meets NULL in balance_after, which the ledger refuses: no money is
 * lost without a word.
 */
const commitStatement = `
WITH record AS MATERIALIZED (${selectRows(recordColumns, 1)}),
charge AS (${selectRows(chargeColumns, 1 + recordColumns.length)}),
fresh AS (
  INSERT INTO call_keys (call_uuid, started_at)
  SELECT call_uuid, started_at FROM record ORDER BY call_uuid COLLATE "C"
  ON CONFLICT (call_uuid) DO NOTHING
  RETURNING call_uuid
),
new_record AS MATERIALIZED (SELECT record.* FROM record JOIN fresh USING (call_uuid)),
written AS (INSERT INTO cdrs (${cdrNames}) SELECT ${cdrNames} FROM new_record),
charged AS (INSERT INTO charges (${chargeNames}) SELECT ${chargeNames} FROM charge JOIN fresh USING (call_uuid)),
debtor AS (
  SELECT tenant_id, sum(cost) AS total FROM new_record WHERE cost > 0 GROUP BY tenant_id
),
locked AS MATERIALIZED (
  SELECT b.tenant_id, b.balance, debtor.total
  FROM balances b JOIN debtor USING (tenant_id)
  ORDER BY b.tenant_id COLLATE "C"
  FOR NO KEY UPDATE OF b
),
lowered AS (
  UPDATE balances b SET balance = locked.balance - locked.total, updated_at = now()
  FROM locked WHERE b.tenant_id = locked.tenant_id
),
entered AS (
  INSERT INTO ledger (tenant_id, kind, amount, balance_after, description, call_uuid)
  SELECT r.tenant_id, 'debit', -r.cost,
    locked.balance - sum(r.cost) OVER (PARTITION BY r.tenant_id ORDER BY r.ord ROWS UNBOUNDED PRECEDING),
    'Call cost', r.call_uuid
  FROM new_record r LEFT JOIN locked ON locked.tenant_id = r.tenant_id
  WHERE r.cost > 0
  ORDER BY r.tenant_id, r.ord
)
SELECT call_uuid FROM fresh`

/**
 * Commits calls, each exactly once: its CDR, its charges, a debit in the ledger when it costs anything, the
 * tenant's balance. One statement and one round trip, all records or none. A record whose `callUuid` is known
 * already changes nothing; of several with the same `callUuid` the first one counts.
 *
 * @returns the `callUuid`s that were new
 * @throws CommitError `refused` when a record contradicts itself; else what PostgreSQL says
 *   (`isServerTrouble` in errors.ts tells what may be tried again)
 */
export async function commitRecords(
  db: pg.Pool | pg.ClientBase,
  records: readonly CallRecord[],
): Promise<Set<string>> {
  if (records.length === 0) return new Set()
  const { rows } = await db.query<{ call_uuid: string }>({
    name: 'commit_records_1',
    text: commitStatement,
    values: parametersOf(records),
  })
  return new Set(rows.map((row) => row.call_uuid))
}

function parametersOf(records: readonly CallRecord[]): string[] {
  try {
    const byUuid = new Map<string, CallRecord>()
    for (const record of records) if (!byUuid.has(record.callUuid)) byUuid.set(record.callUuid, record)
    const unique = [...byUuid.values()]
    unique.forEach(checkRecord)
    const charges = unique.flatMap(({ callUuid, charges }) =>
      charges.map((charge) => ({ ...charge, callUuid })),
    )
    return [...rowParameters(recordColumns, unique), ...rowParameters(chargeColumns, charges)]
  } catch (error) {
    if (error instanceof CommitError) throw error
    // What was read back from JSON need not have the shape that its type promises.
    throw new CommitError('refused', `no call record: ${String(error)}`, { cause: error })
  }
}
