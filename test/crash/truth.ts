import type pg from 'pg'

/** What the database says of a call. */
export interface CommittedCall {
  readonly callUuid: string
  readonly tenant: string | null
  readonly source: string
  readonly cost: string
  readonly cdrs: number
  readonly charges: readonly CommittedCharge[]
  /** The most that it ever had reserved; undefined: nothing. */
  readonly mostReserved: string | undefined
}

export interface CommittedCharge {
  readonly legUuid: string
  /** µs */
  readonly answeredAt: number
  readonly endedAt: number
  readonly billedMs: number
  readonly cost: string
}

export async function committedCalls(pool: pg.Pool): Promise<Map<string, CommittedCall>> {
  const { rows } = await pool.query<CommittedCall>(`
    SELECT c.call_uuid AS "callUuid", min(c.tenant_id) AS tenant, min(c.source) AS source, max(c.cost)::text AS cost,
      count(*)::integer AS cdrs, max(r.most)::text AS "mostReserved",
      (SELECT coalesce(json_agg(json_build_object('legUuid', leg_uuid,
        'answeredAt', (extract(epoch FROM answered_at) * 1000000)::bigint,
        'endedAt', (extract(epoch FROM ended_at) * 1000000)::bigint,
        'billedMs', billed_ms, 'cost', cost::text)), '[]')
        FROM charges h WHERE h.call_uuid = c.call_uuid) AS charges
    FROM cdrs c LEFT JOIN crash_reserved r USING (call_uuid)
    GROUP BY c.call_uuid`)
  return new Map(rows.map((row) => [row.callUuid, row]))
}

/** What should be nothing at the end. */
export interface LeftOver {
  readonly reservations: number
  readonly reserved: string
  readonly overdrawn: number
  readonly ledger: string
  readonly balances: string
}

export async function leftOver(pool: pg.Pool): Promise<LeftOver> {
  const { rows } = await pool.query<LeftOver>(`
    SELECT (SELECT count(*)::integer FROM reservations) AS reservations,
      (SELECT sum(reserved)::text FROM balances) AS reserved,
      (SELECT count(*)::integer FROM crash_overdrawn) AS overdrawn,
      (SELECT sum(amount)::text FROM ledger) AS ledger,
      (SELECT sum(balance)::text FROM balances) AS balances`)
  const [row] = rows
  if (row === undefined) throw new Error('PostgreSQL answers nothing')
  return row
}
