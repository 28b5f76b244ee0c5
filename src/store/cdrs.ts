import type pg from 'pg'

import { formatMoney, parseMoney } from '../billing/money.js'
import type { Rounding } from '../billing/rating.js'
import type { RateTerms } from './call-record.js'
import { anyText, pageOf, readCursor, type Page } from './cursor.js'
import { hasNul } from './database.js'

/**
 * A CDR as the HTTP API shows it: moments RFC 3339, UTC, with ms; durations ms; money decimal strings.
 */
export interface CdrView {
  readonly call_uuid: string
  readonly tenant: string | null
  readonly direction: 'inbound' | 'outbound' | 'internal'
  readonly caller: string
  readonly called: string
  readonly caller_raw: string
  readonly called_raw: string
  readonly caller_name: string
  readonly started_at: string
  readonly answered_at: string | null
  readonly bridged_at: string | null
  readonly ended_at: string
  readonly duration_ms: number
  readonly ring_ms: number
  readonly answered_ms: number
  readonly bridged_ms: number
  readonly billed_ms: number
  readonly hangup_cause: string
  readonly q850_cause: number | null
  readonly sip_status: number | null
  readonly hung_up_by: 'caller' | 'called' | 'server' | 'switch' | null
  readonly gateway: string | null
  readonly route: string | null
  readonly cost: string
  readonly carrier_cost: string | null
  readonly currency: string | null
  readonly source: string
  readonly is_vip: boolean
  readonly is_blacklisted: boolean
  readonly taken_over: boolean
  readonly refusal: string | null
  readonly a_leg_uuid: string
  readonly b_leg_uuid: string | null
  readonly sip_call_id: string | null
  readonly switch_name: string | null
  readonly codec: string | null
  readonly mos: string | null
  readonly recording_path: string | null
  readonly recording_url: string | null
  readonly variables: Readonly<Record<string, string>>
  readonly charges: readonly ChargeView[]
}

/** What of a rate is not as in plain terms. */
export interface TermsView {
  readonly connection_fee?: string
  readonly minimum_seconds?: number
  readonly increment_seconds?: number
  readonly grace_seconds?: number
  readonly minimum_cost?: string
  readonly maximum_cost?: string
  readonly rounding?: Rounding
}

/** One charged leg of a call, and the rate that it was charged at. */
export interface ChargeView {
  readonly leg_uuid: string
  /** Null: it went to an extension, at the inbound tariff. */
  readonly gateway: string | null
  readonly number: string
  /** Normal form, and as it was entered. */
  readonly prefix: string
  readonly prefix_entered: string
  readonly description: string
  readonly price_per_minute: string
  readonly terms: TermsView
  readonly answered_at: string
  readonly ended_at: string
  readonly billed_ms: number
  readonly charged_ms: number
  readonly cost: string
  readonly carrier_cost: string | null
}

export interface CdrQuery {
  /** CDRs a page. */
  readonly limit: number
  /** `next` of the page before. */
  readonly cursor?: string
  readonly callUuid?: string
  readonly tenant?: string
}

const rfc3339 = (column: string) =>
  `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS ${column}`
/** bigint comes as a string, because it may exceed a JS number; ms of a call do not. */
const asNumber = (column: string) => `${column}::float8 AS ${column}`

const cdrOutputs = `call_uuid, tenant_id AS tenant, direction, caller, called, caller_raw, called_raw, caller_name,
  ${['started_at', 'answered_at', 'bridged_at', 'ended_at'].map(rfc3339).join(', ')},
  ${['duration_ms', 'ring_ms', 'answered_ms', 'bridged_ms', 'billed_ms'].map(asNumber).join(', ')},
  hangup_cause, q850_cause, sip_status, hung_up_by, gateway, route, cost, carrier_cost, currency, source,
  is_vip, is_blacklisted, taken_over, refusal, a_leg_uuid, b_leg_uuid, sip_call_id, switch_name, codec, mos, recording_path,
  recording_url, variables`

const chargeOutputs = `leg_uuid, gateway, number, prefix, prefix_entered, description, price_per_minute,
  terms, ${['answered_at', 'ended_at'].map(rfc3339).join(', ')},
  ${['billed_ms', 'charged_ms'].map(asNumber).join(', ')}, cost, carrier_cost`

/** µs since 1970. */
const moment = /^-?[0-9]{1,16}$/

/**
 * CDRs, the latest first (by their start, then by call_uuid). Pages by keyset: what is committed meanwhile neither
 * repeats nor hides an entry.
 *
 * @throws CursorError
 */
export async function listCdrs(pool: pg.Pool, query: CdrQuery): Promise<Page<CdrView>> {
  if (hasNul(query.callUuid) || hasNul(query.tenant)) return { items: [], next: null }
  const conditions: string[] = []
  const parameters: unknown[] = []
  const parameter = (value: unknown) => `$${parameters.push(value)}`
  if (query.callUuid !== undefined) conditions.push(`call_uuid = ${parameter(query.callUuid)}`)
  if (query.tenant !== undefined) conditions.push(`tenant_id = ${parameter(query.tenant)}`)
  if (query.cursor !== undefined) {
    const [startedAtUs, callUuid] = readCursor(query.cursor, [moment, anyText])
    const startedAt = `to_timestamp(${parameter(startedAtUs)}::float8 / 1e6)`
    conditions.push(`(cdrs.started_at, call_uuid) < (${startedAt}, ${parameter(callUuid)})`)
  }
  // One more than asked for says whether there is a next page.
  const { rows } = await pool.query<Omit<CdrView, 'charges'> & { started_us: string }>(
    `SELECT ${cdrOutputs}, (extract(epoch FROM cdrs.started_at) * 1000000)::bigint AS started_us FROM cdrs
    ${conditions.length > 0 ? `WHERE ${conditions.join(' AND ')}` : ''}
    ORDER BY cdrs.started_at DESC, call_uuid DESC LIMIT ${parameter(query.limit + 1)}`,
    parameters,
  )
  const charges = await chargesOf(
    pool,
    rows.slice(0, query.limit).map((row) => row.call_uuid),
  )
  const placed = rows.map(({ started_us: startedAtUs, ...row }) => ({
    row,
    place: [startedAtUs, row.call_uuid],
  }))
  return pageOf(
    placed,
    query.limit,
    ({ row }) => ({
      ...row,
      cost: decimal(row.cost),
      carrier_cost: row.carrier_cost === null ? null : decimal(row.carrier_cost),
      charges: charges.get(row.call_uuid) ?? [],
    }),
    ({ place }) => place,
  )
}

async function chargesOf(pool: pg.Pool, callUuids: readonly string[]): Promise<Map<string, ChargeView[]>> {
  const byCall = new Map<string, ChargeView[]>()
  if (callUuids.length === 0) return byCall
  const { rows } = await pool.query<Omit<ChargeView, 'terms'> & { call_uuid: string; terms: RateTerms }>(
    `SELECT call_uuid, ${chargeOutputs} FROM charges WHERE call_uuid = ANY($1)
    ORDER BY call_uuid, charges.answered_at, leg_uuid`,
    [callUuids],
  )
  for (const { call_uuid: callUuid, ...charge } of rows) {
    const charges = byCall.get(callUuid) ?? []
    byCall.set(callUuid, charges)
    charges.push({
      ...charge,
      price_per_minute: decimal(charge.price_per_minute),
      terms: termsView(charge.terms),
      cost: decimal(charge.cost),
      carrier_cost: charge.carrier_cost === null ? null : decimal(charge.carrier_cost),
    })
  }
  return byCall
}

function termsView(terms: RateTerms): TermsView {
  return {
    ...(terms.connectionFee !== undefined && { connection_fee: terms.connectionFee }),
    ...(terms.minimumSeconds !== undefined && { minimum_seconds: terms.minimumSeconds }),
    ...(terms.incrementSeconds !== undefined && { increment_seconds: terms.incrementSeconds }),
    ...(terms.graceSeconds !== undefined && { grace_seconds: terms.graceSeconds }),
    ...(terms.minimumCost !== undefined && { minimum_cost: terms.minimumCost }),
    ...(terms.maximumCost !== undefined && { maximum_cost: terms.maximumCost }),
    ...(terms.rounding !== undefined && { rounding: terms.rounding }),
  }
}

/** PostgreSQL writes all six decimals. */
function decimal(numeric: string): string {
  return formatMoney(parseMoney(numeric))
}
