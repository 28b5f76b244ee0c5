import { parseMoney, type Money } from '../billing/money.js'
import { PrefixTable } from '../billing/prefix-table.js'
import type { CallerIdHeader, CallerIdRules } from '../numbering/caller-id.js'
import type { NumberRules } from '../numbering/gateway-number.js'

export interface Gateway {
  readonly id: number
  /** As the switch knows it. */
  readonly name: string
  /** Normal form; empty: every number. */
  readonly prefix: string
  /** Lowest first. */
  readonly priority: number
  readonly carrierCostPerMinute?: Money
  /**
   * Calls at once, and that begin in a second, over all nodes; without it, as many as there are. They are of the
   * switch's gateway: of several rows with its name, whosever, the smallest counts.
   */
  readonly maxCalls?: number
  readonly maxCallsPerSecond?: number
  readonly number: NumberRules
  readonly callerId: CallerIdRules
  /** What it is offered and nothing else; empty: as its SIP profile has it. */
  readonly codecs: readonly string[]
  /**
   * Without a sign of the far end so long after it was dialled, the next one is tried. At most, and without it: one second
   * before the end of the tenant's ring time, if that is 12 s or more.
   */
  readonly progressSeconds?: number
}

/** How a tenant's gateways for a number are ordered: by their priority, or by what the carrier takes and then by that. */
export type GatewayOrder = 'priority' | 'cost'

/** A row of `gateways`. */
export interface GatewayRow {
  tenant_id: string
  id: number
  name: string
  prefix: string
  prefix_entered: string
  priority: number
  carrier_cost_per_minute: string | null
  max_calls: number | null
  max_calls_per_second: number | null
  number_format: NumberRules['format']
  strip_digits: number
  prepend: string
  caller_id: CallerIdRules['policy']
  caller_id_number: string | null
  caller_id_name: string | null
  caller_id_header: CallerIdHeader | null
  codecs: string[]
  progress_seconds: number | null
}

export const selectGateways = `SELECT tenant_id, id, name, prefix, prefix_entered, priority, carrier_cost_per_minute,
    min(max_calls) OVER of_name AS max_calls, min(max_calls_per_second) OVER of_name AS max_calls_per_second,
    number_format, strip_digits, prepend, caller_id, caller_id_number, caller_id_name, caller_id_header, codecs,
    progress_seconds
  FROM gateways WINDOW of_name AS (PARTITION BY name) ORDER BY priority, id`

/**
 * @param rows of one tenant, by priority
 * @returns by prefix, in the order in which they are tried
 */
export function gatewayTable(
  rows: readonly GatewayRow[],
  order: GatewayOrder,
): PrefixTable<readonly Gateway[]> {
  const byPrefix = new Map<string, Gateway[]>()
  for (const row of rows) {
    const gateways = byPrefix.get(row.prefix)
    if (gateways) gateways.push(gatewayOf(row))
    else byPrefix.set(row.prefix, [gatewayOf(row)])
  }
  // Sorting is stable.
  if (order === 'cost') for (const gateways of byPrefix.values()) gateways.sort(byCost)
  return new PrefixTable(byPrefix)
}

/** What is not known to be cheap comes last. */
function byCost({ carrierCostPerMinute: one }: Gateway, { carrierCostPerMinute: other }: Gateway): number {
  if (one === other) return 0
  if (one === undefined || other === undefined) return one === undefined ? 1 : -1
  return one < other ? -1 : 1
}

function gatewayOf(row: GatewayRow): Gateway {
  const { id, name, prefix, priority, carrier_cost_per_minute: carrierCost } = row
  return {
    id,
    name,
    prefix,
    priority,
    ...(carrierCost !== null && { carrierCostPerMinute: parseMoney(carrierCost) }),
    ...limitsOf(row),
    number: { format: row.number_format, stripDigits: row.strip_digits, prepend: row.prepend },
    callerId: {
      policy: row.caller_id,
      ...(row.caller_id_number !== null && { number: row.caller_id_number }),
      ...(row.caller_id_name !== null && { name: row.caller_id_name }),
      ...(row.caller_id_header !== null && { header: row.caller_id_header }),
    },
    codecs: row.codecs,
    ...(row.progress_seconds !== null && { progressSeconds: row.progress_seconds }),
  }
}

function limitsOf(row: GatewayRow): Pick<Gateway, 'maxCalls' | 'maxCallsPerSecond'> {
  return {
    ...(row.max_calls !== null && { maxCalls: row.max_calls }),
    ...(row.max_calls_per_second !== null && { maxCallsPerSecond: row.max_calls_per_second }),
  }
}
