import type pg from 'pg'

import { formatMoney, parseMoney } from '../billing/money.js'
import { hasNul } from './database.js'

/** That a call was rated anew; money is decimal strings. */
export interface KeptRerating {
  /** Counts up. */
  readonly number: number
  readonly reason: string
  readonly costBefore: string
  readonly cost: string
  readonly createdAt: Date
}

/** Of one call, the first one first. */
export async function readReratings(pool: pg.Pool, callUuid: string): Promise<KeptRerating[]> {
  if (hasNul(callUuid)) return []
  const { rows } = await pool.query<KeptRerating>(
    `SELECT number, reason, cost_before AS "costBefore", cost, created_at AS "createdAt" FROM reratings
    WHERE call_uuid = $1 ORDER BY number`,
    [callUuid],
  )
  return rows.map((row) => ({
    ...row,
    costBefore: formatMoney(parseMoney(row.costBefore)),
    cost: formatMoney(parseMoney(row.cost)),
  }))
}
