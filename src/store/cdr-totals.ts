import type pg from 'pg'

import { formatMoney, parseMoney } from '../billing/money.js'
import {
  conditionsOf,
  matchesNothing,
  numberConditions,
  Parameters,
  timeConditions,
  type CdrFilters,
} from './cdr-filters.js'
import { withinTime } from './database.js'

/** What calls come to. */
export interface CdrTotals {
  readonly calls: number
  /** Their callers were answered. */
  readonly answered: number
  readonly durationMs: number
  /** From bridge to end. */
  readonly talkMs: number
  /** Charged time of all legs. */
  readonly billedMs: number
  /** One for each currency that calls were charged in, by its code. */
  readonly money: readonly {
    readonly currency: string
    readonly cost: string
    readonly carrierCost: string
  }[]
}

interface TotalsRow {
  readonly currency: string | null
  readonly calls: number
  readonly answered: number
  readonly duration_ms: number
  readonly talk_ms: number
  readonly billed_ms: number
  readonly cost: string
  readonly carrier_cost: string
}

/**
 * @param timeoutMs how long PostgreSQL may add up
 * @throws TooMuchError when that is too short
 */
export async function cdrTotals(pool: pg.Pool, filters: CdrFilters, timeoutMs: number): Promise<CdrTotals> {
  const rows = matchesNothing(filters) ? [] : await readTotals(pool, filters, timeoutMs)
  const sum = (of: (row: TotalsRow) => number) => rows.reduce((total, row) => total + of(row), 0)
  return {
    calls: sum((row) => row.calls),
    answered: sum((row) => row.answered),
    durationMs: sum((row) => row.duration_ms),
    talkMs: sum((row) => row.talk_ms),
    billedMs: sum((row) => row.billed_ms),
    money: rows.flatMap(({ currency, cost, carrier_cost: carrierCost }) =>
      currency === null
        ? []
        : [
            {
              currency,
              cost: formatMoney(parseMoney(cost)),
              carrierCost: formatMoney(parseMoney(carrierCost)),
            },
          ],
    ),
  }
}

function readTotals(pool: pg.Pool, filters: CdrFilters, timeoutMs: number): Promise<TotalsRow[]> {
  const parameters = new Parameters()
  const conditions = [...timeConditions(filters, parameters), ...conditionsOf(filters, parameters)]
  // A number's forms exclude each other: nothing is counted twice.
  const numbers = numberConditions(filters, parameters).map((all) => all.join(' AND '))
  if (numbers[0] !== '') conditions.push(`(${numbers.map((one) => `(${one})`).join(' OR ')})`)
  return withinTime(pool, timeoutMs, async (client) => {
    const { rows } = await client.query<TotalsRow>(
      `SELECT currency, count(*)::float8 AS calls, count(answered_at)::float8 AS answered,
        coalesce(sum(duration_ms), 0)::float8 AS duration_ms, coalesce(sum(bridged_ms), 0)::float8 AS talk_ms,
        coalesce(sum(billed_ms), 0)::float8 AS billed_ms, coalesce(sum(cost), 0)::numeric(30, 6) AS cost,
        coalesce(sum(carrier_cost), 0)::numeric(30, 6) AS carrier_cost
      FROM cdrs ${conditions.length > 0 ? `WHERE ${conditions.join(' AND ')}` : ''}
      GROUP BY currency ORDER BY currency`,
      parameters.values,
    )
    return rows
  })
}
