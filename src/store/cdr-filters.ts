import { hasNul } from './database.js'

/** Which CDRs are meant: those to which all of it applies. Nothing: every one. */
export interface CdrFilters {
  readonly tenant?: string
  readonly callUuid?: string
  /** They started at this moment, RFC 3339, or later. */
  readonly from?: string
  /** They started before this moment. */
  readonly to?: string
  readonly direction?: string
  readonly source?: string
  /** FreeSWITCH's name of the hangup cause. */
  readonly cause?: string
  readonly route?: string
  readonly gateway?: string
  readonly isVip?: boolean
  readonly isBlacklisted?: boolean
  /** Decimals. */
  readonly minCost?: string
  readonly maxCost?: string
  readonly minDurationMs?: number
  readonly maxDurationMs?: number
  /** Forms of one number: any of them. */
  readonly caller?: readonly string[]
  readonly called?: readonly string[]
  /** The number begins with any of these. */
  readonly callerPrefix?: readonly string[]
  readonly calledPrefix?: readonly string[]
}

/** What the indexes have of a number (sql/017_cdr_search.sql), in characters. */
const indexedLength = 40

/** Values of a statement, and their places in it. */
export class Parameters {
  readonly values: unknown[] = []

  add(value: unknown): string {
    return `$${this.values.push(value)}`
  }
}

/** Whether nothing can match: PostgreSQL's texts hold no NUL, and a parameter with one is an error. */
export function matchesNothing(filters: CdrFilters): boolean {
  return Object.values(filters)
    .flat()
    .some((value) => typeof value === 'string' && hasNul(value))
}

/** Of `from` and `to`, on the table `cdrs`. */
export function timeConditions({ from, to }: CdrFilters, parameters: Parameters): string[] {
  return [
    ...(from === undefined ? [] : [`cdrs.started_at >= ${parameters.add(from)}::timestamptz`]),
    ...(to === undefined ? [] : [`cdrs.started_at < ${parameters.add(to)}::timestamptz`]),
  ]
}

/** By what an index has in the order of time (sql/017_cdr_search.sql). */
const indexed: ReadonlySet<string> = new Set<keyof CdrFilters>([
  ...(['tenant', 'from', 'to', 'callUuid', 'caller', 'called'] as const),
])

/** Whether an index leads to the calls that are meant, and past no others. */
export function isFoundByIndex(filters: CdrFilters): boolean {
  return Object.keys(filters).every((name) => indexed.has(name))
}

/** The conditions of all other filters but `caller` and `called`. */
export function conditionsOf(filters: CdrFilters, parameters: Parameters): string[] {
  const conditions: string[] = []
  const when = (value: unknown, condition: (place: string) => string) => {
    if (value !== undefined) conditions.push(condition(parameters.add(value)))
  }
  when(filters.tenant, (place) => `tenant_id = ${place}`)
  when(filters.callUuid, (place) => `call_uuid = ${place}`)
  when(filters.direction, (place) => `direction = ${place}`)
  when(filters.source, (place) => `source = ${place}`)
  when(filters.cause, (place) => `hangup_cause = ${place}`)
  when(filters.route, (place) => `route = ${place}`)
  when(filters.gateway, (place) => `gateway = ${place}`)
  when(filters.isVip, (place) => `is_vip = ${place}`)
  when(filters.isBlacklisted, (place) => `is_blacklisted = ${place}`)
  when(filters.minCost, (place) => `cost >= ${place}::numeric`)
  when(filters.maxCost, (place) => `cost <= ${place}::numeric`)
  when(filters.minDurationMs, (place) => `duration_ms >= ${place}`)
  when(filters.maxDurationMs, (place) => `duration_ms <= ${place}`)
  for (const [column, prefixes] of [
    ['caller', filters.callerPrefix],
    ['called', filters.calledPrefix],
  ] as const)
    if (prefixes !== undefined)
      conditions.push(
        `(${prefixes.map((prefix) => `left(${column}, ${indexedLength}) ^@ ${parameters.add(prefix)}`).join(' OR ')})`,
      )
  return conditions
}

/**
 * The conditions of `caller` and `called`, for each pair of forms in turn: in the index each form alone is in the order
 * of time, several are not. One empty list: neither is asked for.
 */
export function numberConditions({ caller, called }: CdrFilters, parameters: Parameters): string[][] {
  const forms = (column: string, numbers: readonly string[] | undefined): string[][] =>
    numbers?.map((number) => [isNumber(column, number, parameters)]) ?? [[]]
  const callers = forms('caller', caller)
  const calleds = forms('called', called)
  return callers.flatMap((one) => calleds.map((other) => [...one, ...other]))
}

function isNumber(column: string, number: string, parameters: Parameters): string {
  const characters = Array.from(number)
  const beginning = parameters.add(characters.slice(0, indexedLength).join(''))
  const isBeginning = `left(${column}, ${indexedLength}) = ${beginning}`
  return characters.length < indexedLength
    ? isBeginning
    : `${isBeginning} AND ${column} = ${parameters.add(number)}`
}
