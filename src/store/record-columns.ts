import { checkRecord, type CallRecord, type Charge } from './call-record.js'
import { jsonText, rowParameters, type Column } from './columns.js'
import { CommitError } from './errors.js'

/** Of the table `cdrs`, what decides whether a record is new and whose money it is. */
export const keyColumns: readonly Column<CallRecord>[] = [
  { name: 'call_uuid', type: 'text', value: (r) => r.callUuid },
  { name: 'started_at', type: 'time', value: (r) => r.startedAt },
  { name: 'tenant_id', type: 'text', value: (r) => r.tenant },
  { name: 'cost', type: 'numeric', value: (r) => r.cost },
]

/** The table `cdrs`; `tenant_id` and the like are named as there. */
export const recordColumns: readonly Column<CallRecord>[] = [
  ...keyColumns,
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
  { name: 'taken_over', type: 'boolean', value: (r) => r.isTakenOver === true },
  { name: 'refusal', type: 'text', value: (r) => r.refusal },
  { name: 'sip_call_id', type: 'text', value: (r) => r.sipCallId },
  { name: 'switch_name', type: 'text', value: (r) => r.switchName },
  { name: 'codec', type: 'text', value: (r) => r.codec },
  { name: 'mos', type: 'numeric', value: (r) => (r.mos !== null && isMos.test(r.mos) ? r.mos : null) },
  { name: 'recording_path', type: 'text', value: (r) => r.recordingPath },
  { name: 'recording_url', type: 'text', value: (r) => r.recordingUrl },
  { name: 'carrier_cost', type: 'numeric', value: (r) => r.carrierCost },
  { name: 'variables', type: 'jsonb', value: (r) => jsonText(r.variables) },
]

const isMos = /^[0-9](?:\.[0-9]{1,6})?$/

type ChargeOfCall = Charge & { readonly callUuid: string }

/** The table `charges`. */
export const chargeColumns: readonly Column<ChargeOfCall>[] = [
  { name: 'call_uuid', type: 'text', value: (c) => c.callUuid },
  { name: 'leg_uuid', type: 'text', value: (c) => c.legUuid },
  { name: 'gateway', type: 'text', value: (c) => c.gateway },
  { name: 'number', type: 'text', value: (c) => c.number },
  { name: 'prefix', type: 'text', value: (c) => c.prefix },
  { name: 'prefix_entered', type: 'text', value: (c) => c.prefixEntered },
  { name: 'description', type: 'text', value: (c) => c.description },
  { name: 'price_per_minute', type: 'numeric', value: (c) => c.pricePerMinute },
  { name: 'terms', type: 'jsonb', value: (c) => JSON.stringify(c.terms) },
  { name: 'answered_at', type: 'time', value: (c) => c.answeredAt },
  { name: 'ended_at', type: 'time', value: (c) => c.endedAt },
  { name: 'billed_ms', type: 'bigint', value: (c) => c.billedMs },
  { name: 'charged_ms', type: 'bigint', value: (c) => c.chargedMs },
  { name: 'cost', type: 'numeric', value: (c) => c.cost },
  { name: 'carrier_cost', type: 'numeric', value: (c) => c.carrierCost },
]

export const cdrNames = recordColumns.map(({ name }) => name).join(', ')
export const chargeNames = chargeColumns.map(({ name }) => name).join(', ')

/**
 * The parameters of `selectRows` for `recordColumns` and, behind them, `chargeColumns`; of several records with the
 * same `callUuid` the first one's.
 *
 * @throws CommitError `refused`
 */
export function parametersOf(records: readonly CallRecord[]): string[] {
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
