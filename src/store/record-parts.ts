import type { CallRecord } from './call-record.js'

/**
 * What can be read of a call record that PostgreSQL refused, that is damaged, or that another release wrote: each
 * field that is as it must be, null for any other.
 */
export interface RecordParts {
  readonly callUuid: string | null
  readonly tenant: string | null
  readonly source: string | null
  readonly direction: CallRecord['direction'] | null
  readonly caller: string | null
  readonly called: string | null
  readonly callerRaw: string | null
  readonly calledRaw: string | null
  readonly callerName: string | null
  readonly aLegUuid: string | null
  /** µs since 1970, as all that ends in `At`. */
  readonly startedAt: number | null
  readonly answeredAt: number | null
  readonly bridgedAt: number | null
  readonly endedAt: number | null
  readonly durationMs: number | null
  readonly billedMs: number | null
  readonly hangupCause: string | null
  readonly route: string | null
  /** Decimal; what the record says, right or wrong. */
  readonly cost: string | null
  readonly currency: string | null
}

const directions = ['inbound', 'outbound', 'internal'] as const

/** @param record anything */
export function partsOf(record: unknown): RecordParts {
  const fields = (typeof record === 'object' && record !== null ? record : {}) as Record<string, unknown>
  const text = (name: string, like = /^/): string | null => {
    const value = fields[name]
    return typeof value === 'string' && like.test(value) ? value : null
  }
  const whole = (name: string): number | null => {
    const value = fields[name]
    return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : null
  }
  return {
    callUuid: text('callUuid', /^[^]/),
    tenant: text('tenant', /^[^]/),
    source: text('source'),
    direction: directions.find((direction) => direction === fields.direction) ?? null,
    caller: text('caller'),
    called: text('called'),
    callerRaw: text('callerRaw'),
    calledRaw: text('calledRaw'),
    callerName: text('callerName'),
    aLegUuid: text('aLegUuid'),
    startedAt: whole('startedAt'),
    answeredAt: whole('answeredAt'),
    bridgedAt: whole('bridgedAt'),
    endedAt: whole('endedAt'),
    durationMs: whole('durationMs'),
    billedMs: whole('billedMs'),
    hangupCause: text('hangupCause'),
    route: text('route'),
    cost: text('cost', /^-?[0-9]{1,18}(\.[0-9]{1,6})?$/),
    currency: text('currency', /^[A-Z]{3}$/),
  }
}

/** An index takes no longer ones. */
const longestText = 256

/**
 * The record of a call whose own was thrown away: it took place, and costs nothing. Of its source it is `incomplete`,
 * so that a real record of the call, should there ever be one, takes its place.
 *
 * @param at when there is no telling when it began: µs since 1970
 * @returns undefined when nobody knows which call it is
 */
export function recordWithoutCost(parts: RecordParts, at: number): CallRecord | undefined {
  const { callUuid, tenant, currency, answeredAt, bridgedAt } = parts
  if (callUuid === null) return undefined
  const text = (value: string | null) => (value ?? '').slice(0, longestText)
  const startedAt = parts.startedAt ?? at
  return {
    v: 1,
    callUuid,
    tenant,
    currency,
    direction: parts.direction ?? 'internal',
    source: 'incomplete',
    caller: text(parts.caller),
    called: text(parts.called),
    callerRaw: text(parts.callerRaw),
    calledRaw: text(parts.calledRaw),
    callerName: text(parts.callerName),
    aLegUuid: text(parts.aLegUuid ?? callUuid),
    bLegUuid: null,
    startedAt,
    answeredAt,
    bridgedAt,
    endedAt: parts.endedAt ?? startedAt,
    durationMs: parts.durationMs ?? 0,
    ringMs: 0,
    answeredMs: 0,
    bridgedMs: 0,
    // Nothing of it is paid for.
    billedMs: 0,
    hangupCause: text(parts.hangupCause),
    q850Cause: null,
    sipStatus: null,
    hungUpBy: null,
    route: parts.route === null ? null : text(parts.route),
    gateway: null,
    isVip: false,
    isBlacklisted: false,
    refusal: null,
    sipCallId: null,
    switchName: null,
    codec: null,
    mos: null,
    recordingPath: null,
    cost: '0',
    carrierCost: null,
    variables: {},
    charges: [],
  }
}
