import { formatMoney, parseMoney } from '../billing/money.js'
import type { Rounding } from '../billing/rating.js'
import type { RateTerms } from './call-record.js'

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

/** `column` as RFC 3339, UTC, with ms. */
export const rfc3339 = (column: string) =>
  `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS ${column}`
/** bigint comes as a string, because it may exceed a JS number; ms of a call do not. */
const asNumber = (column: string) => `${column}::float8 AS ${column}`

/** A CDR without its charges. */
export const cdrOutputs = `call_uuid, tenant_id AS tenant, direction, caller, called, caller_raw, called_raw, caller_name,
  ${['started_at', 'answered_at', 'bridged_at', 'ended_at'].map(rfc3339).join(', ')},
  ${['duration_ms', 'ring_ms', 'answered_ms', 'bridged_ms', 'billed_ms'].map(asNumber).join(', ')},
  hangup_cause, q850_cause, sip_status, hung_up_by, gateway, route, cost, carrier_cost, currency, source,
  is_vip, is_blacklisted, taken_over, refusal, a_leg_uuid, b_leg_uuid, sip_call_id, switch_name, codec, mos, recording_path,
  recording_url, variables`

export const chargeOutputs = `leg_uuid, gateway, number, prefix, prefix_entered, description, price_per_minute,
  terms, ${['answered_at', 'ended_at'].map(rfc3339).join(', ')},
  ${['billed_ms', 'charged_ms'].map(asNumber).join(', ')}, cost, carrier_cost`

/** What `cdrOutputs` answers. */
export type CdrRow = Omit<CdrView, 'charges'>
/** What `chargeOutputs` answers. */
export type ChargeRow = Omit<ChargeView, 'terms'> & { readonly terms: RateTerms }

export function cdrView(row: CdrRow, charges: readonly ChargeView[]): CdrView {
  return { ...row, cost: decimal(row.cost), carrier_cost: optionalDecimal(row.carrier_cost), charges }
}

export function chargeView(row: ChargeRow): ChargeView {
  return {
    ...row,
    price_per_minute: decimal(row.price_per_minute),
    terms: termsView(row.terms),
    cost: decimal(row.cost),
    carrier_cost: optionalDecimal(row.carrier_cost),
  }
}

export function termsView(terms: RateTerms): TermsView {
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
export function decimal(numeric: string): string {
  return formatMoney(parseMoney(numeric))
}

/** For a tenant, whom it does not concern what the carriers take. */
export function withoutCarrierCosts(cdr: CdrView): CdrView {
  return {
    ...cdr,
    carrier_cost: null,
    charges: cdr.charges.map((charge) => ({ ...charge, carrier_cost: null })),
  }
}

function optionalDecimal(numeric: string | null): string | null {
  return numeric === null ? null : decimal(numeric)
}
