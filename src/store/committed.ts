import type pg from 'pg'

import { parseMoney } from '../billing/money.js'
import type { CallRecord } from './call-record.js'
import { storedText } from './columns.js'

/** What of a committed call tells whether a further record is the same one. */
export interface CommittedCall {
  readonly tenant: string | null
  readonly source: CallRecord['source']
  /** µs since 1970. */
  readonly startedAt: number
  /** Decimal. */
  readonly cost: string
  /** The legs that were charged, in the order of their answers. */
  readonly charges: readonly CommittedCharge[]
}

export interface CommittedCharge {
  readonly legUuid: string
  /** µs since 1970. */
  readonly endedAt: number
  /** Decimal. */
  readonly pricePerMinute: string
}

const micros = (column: string) => `(extract(epoch FROM ${column}) * 1000000)::float8`

/** Calls that are committed, by their uuids: as their records were, whatever was rated anew since. */
export async function readCommitted(
  pool: pg.Pool,
  callUuids: readonly string[],
): Promise<ReadonlyMap<string, CommittedCall>> {
  const given = new Map(callUuids.map((callUuid) => [storedText(callUuid), callUuid]))
  const { rows } = await pool.query<CommittedCall & { callUuid: string }>(
    `SELECT call_uuid AS "callUuid", tenant_id AS tenant, source, ${micros('started_at')} AS "startedAt",
      coalesce(first.cost_before, cost) AS cost,
      ARRAY(
        SELECT json_build_object('legUuid', leg_uuid, 'endedAt', ${micros('ended_at')},
          'pricePerMinute', price_per_minute::text)
        FROM (
          SELECT leg_uuid, answered_at, ended_at, price_per_minute FROM charges
          WHERE charges.call_uuid = call_keys.call_uuid AND first.charges_before IS NULL
          UNION ALL
          SELECT * FROM jsonb_to_recordset(first.charges_before)
            AS was (leg_uuid text, answered_at timestamptz, ended_at timestamptz, price_per_minute numeric)
        ) charge ORDER BY answered_at, leg_uuid
      ) AS charges
    FROM call_keys JOIN cdrs USING (call_uuid, started_at)
      -- What it was rated anew at since is no difference between two records of it.
      LEFT JOIN LATERAL (
        SELECT cost_before, charges_before FROM reratings
        WHERE reratings.call_uuid = call_keys.call_uuid AND reratings.committed_at = cdrs.committed_at
        ORDER BY number LIMIT 1
      ) first ON true
    WHERE call_uuid = ANY($1)`,
    [[...given.keys()]],
  )
  return new Map(rows.map(({ callUuid, ...call }) => [given.get(callUuid) ?? callUuid, call]))
}

/**
 * So much may a source be wrong about the end of a leg of which it has not the leg's own word, in µs: the caller's
 * events tell it a frame late, or when a tone was over.
 */
export const endTolerance = 1_000_000

/**
 * Why a record is not the one that is committed; undefined: it is, or says the same of time and money, as nearly as
 * its source can. A guess which of two counts would be somebody's money.
 */
export function difference(record: CallRecord, committed: CommittedCall | undefined): string | undefined {
  const because = (what: string) => `call ${record.callUuid} has a record already, ${what}`
  if (committed === undefined) return because('whose CDR is gone')
  const { tenant, startedAt, cost, charges } = committed
  if (tenant !== record.tenant)
    return because(`of tenant ${tenant ?? 'none'}; this one is of ${record.tenant ?? 'none'}`)
  if (startedAt !== record.startedAt)
    return because(`of a call that began at ${startedAt}; this one began at ${record.startedAt} (µs)`)
  if (parseMoney(cost) !== parseMoney(record.cost) && !areNearlySame(record.charges, charges))
    return because(`which costs ${cost}; this one costs ${record.cost}`)
  return undefined
}

/** The same legs at the same prices, but not all to the same microsecond. */
function areNearlySame(some: readonly CommittedCharge[], others: readonly CommittedCharge[]): boolean {
  const apart = some.map(({ legUuid, endedAt, pricePerMinute }) => {
    const other = others.find((each) => each.legUuid === legUuid)
    const isSamePrice = other !== undefined && parseMoney(other.pricePerMinute) === parseMoney(pricePerMinute)
    return isSamePrice ? Math.abs(other.endedAt - endedAt) : Infinity
  })
  const most = Math.max(0, ...apart)
  return some.length === others.length && most > 0 && most <= endTolerance
}
