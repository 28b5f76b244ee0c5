import type pg from 'pg'
import { formatMoney, parseMoney, type Money } from '../billing/money.js'
import { PrefixTable } from '../billing/prefix-table.js'
import type { CallerIdHeader, CallerIdRules } from '../numbering/caller-id.js'
import type { NumberRules } from '../numbering/gateway-number.js'
import { pageOf, readCursor, type Page } from './cursor.js'
import { hasNul } from './database.js'

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

/** A gateway as it is configured, for an admin. */
export interface ListedGateway {
  readonly id: number
  readonly tenant: string
  readonly name: string
  /** Normal form, and as it was entered. */
  readonly prefix: string
  readonly prefixEntered: string
  readonly priority: number
  /** A decimal string in the tenant's currency. */
  readonly carrierCostPerMinute: string | null
  /** As Gateway has them: the smallest of its name. */
  readonly maxCalls?: number
  readonly maxCallsPerSecond?: number
}

const gatewayId = /^[1-9][0-9]{0,8}$/

export interface GatewayQuery {
  /** Gateways a page. */
  readonly limit: number
  /** `next` of the page before. */
  readonly cursor?: string
  readonly tenant?: string
}

/**
 * All gateways, in the order in which they were made.
 *
 * @throws CursorError
 */
export async function listGateways(
  pool: pg.Pool,
  { limit, cursor, tenant }: GatewayQuery,
): Promise<Page<ListedGateway>> {
  const [after] = cursor === undefined ? ['0'] : readCursor(cursor, [gatewayId])
  if (hasNul(tenant)) return { items: [], next: null }
  const { rows } = await pool.query<GatewayRow>(
    `SELECT * FROM (${selectGateways}) AS gateways WHERE id > $1 AND ($2::text IS NULL OR tenant_id = $2) ORDER BY id LIMIT $3`,
    [after, tenant ?? null, limit + 1],
  )
  const shown = (row: GatewayRow): ListedGateway => ({
    id: row.id,
    tenant: row.tenant_id,
    name: row.name,
    prefix: row.prefix,
    prefixEntered: row.prefix_entered,
    priority: row.priority,
    carrierCostPerMinute:
      row.carrier_cost_per_minute === null ? null : formatMoney(parseMoney(row.carrier_cost_per_minute)),
    ...limitsOf(row),
  })
  return pageOf(rows, limit, shown, ({ id }) => [String(id)])
}

function limitsOf(row: GatewayRow): Pick<Gateway, 'maxCalls' | 'maxCallsPerSecond'> {
  return {
    ...(row.max_calls !== null && { maxCalls: row.max_calls }),
    ...(row.max_calls_per_second !== null && { maxCallsPerSecond: row.max_calls_per_second }),
  }
}
