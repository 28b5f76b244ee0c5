import type pg from 'pg'
import { inTransaction } from './database.js'

export interface TotalsWanted {
  /** Without it, of all. */
  readonly tenant?: string
  /** Calls that ended so long ago at most, in s: of those that began then, only the short ones are over. */
  readonly windowSeconds: number
  /** How long may be counted, in ms: CDRs may be many, and whoever asks need not wait longer. Default 5,000. */
  readonly withinMs?: number
}

/** Of calls that are over, and recorded. */
export interface CallTotals {
  /** RFC 3339. */
  readonly from: string
  readonly calls: number
  /** Of those, the ones whose caller was answered. */
  readonly answered: number
  /** Of those, from the answer to the end; null: there are none. In ms. */
  readonly averageMs: number | null
  /** Those with most calls. */
  readonly byTenant: Readonly<Record<string, number>>
  readonly byRoute: Readonly<Record<string, number>>
  readonly byCause: Readonly<Record<string, number>>
}

/** Names of one kind. */
const mostNames = 100

interface Row {
  readonly kind: number
  readonly name: string | null
  readonly calls: string
  readonly answered: string
  readonly average_ms: string | null
  readonly from: Date
}

/** By GROUPING(tenant_id, route, hangup_cause): the bit of what a row is about is not set. */
const kinds = { tenant: 0b011, route: 0b101, cause: 0b110, all: 0b111 } as const

/**
 * Adds up the CDRs of a window; they are found by the index of the tenant's, or of all CDRs' beginnings, as far back as
 * the longest call may have begun.
 *
 * @throws pg.DatabaseError with the code 57014 when it takes too long
 */
export async function callTotals(
  pool: pg.Pool,
  { tenant, windowSeconds, withinMs = 5_000 }: TotalsWanted,
): Promise<CallTotals> {
  const ofTenant = tenant === undefined ? '' : 'AND tenant_id = $2'
  const { rows } = await inTransaction(
    pool,
    async (client) => {
      await client.query(`SET LOCAL statement_timeout = ${Math.floor(withinMs)}`)
      return client.query<Row>(
        `SELECT GROUPING(tenant_id, route, hangup_cause) AS kind, coalesce(tenant_id, route, hangup_cause) AS name,
           count(*) AS calls, count(answered_at) AS answered,
           round(avg(answered_ms) FILTER (WHERE answered_at IS NOT NULL)) AS average_ms,
           now() - make_interval(secs => $1) AS "from"
         FROM cdrs WHERE ended_at >= now() - make_interval(secs => $1) ${ofTenant}
           AND started_at >= now() - make_interval(secs => $1 + (SELECT coalesce(max(max_call_seconds), 0) FROM tenants))
         GROUP BY GROUPING SETS ((), (tenant_id), (route), (hangup_cause))`,
        [windowSeconds, ...(tenant === undefined ? [] : [tenant])],
      )
    },
    'READ ONLY',
  )
  const all = rows.find(({ kind }) => kind === kinds.all)
  const average = all?.average_ms ?? null
  return {
    from: (all?.from ?? new Date()).toISOString(),
    calls: Number(all?.calls ?? 0),
    answered: Number(all?.answered ?? 0),
    averageMs: average === null ? null : Number(average),
    byTenant: most(rows, kinds.tenant),
    byRoute: most(rows, kinds.route),
    byCause: most(rows, kinds.cause),
  }
}

function most(rows: readonly Row[], wanted: number): Readonly<Record<string, number>> {
  const named = rows.flatMap(({ kind, name, calls }): [string, number][] =>
    kind === wanted && name !== null ? [[name, Number(calls)]] : [],
  )
  return Object.fromEntries(named.sort(([, a], [, b]) => b - a).slice(0, mostNames))
}
