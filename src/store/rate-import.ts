import type pg from 'pg'

import { rateFields } from '../billing/rate-fields.js'
import { formatMoment } from '../common/moment.js'
import { copyIn, copyLine } from './copy.js'
import { hasNul } from './database.js'
import { rateId } from './deck-rates.js'
import { noDeck } from './decks.js'
import { microsOf } from './rates.js'

/** `replace`: what comes is the whole deck; `add`: what is there already and does not come stays. */
export type ImportMode = 'replace' | 'add'

export interface ImportCounts {
  /** Of the file. */
  readonly rows: number
  readonly inserted: number
  /** There before, under the same prefix and `valid_from`, with other terms. */
  readonly changed: number
  readonly unchanged: number
  readonly removed: number
}

/** Rates of one file with the same prefix and `valid_from`. */
export interface Duplicate {
  readonly line: number
  /** The first line that has it. */
  readonly firstLine: number
  readonly id: string
}

export interface Duplicates {
  readonly total: number
  /** The first ones. */
  readonly first: readonly Duplicate[]
}

/** A line of the file, as COPY takes it. @param row values of the table's columns but the deck's */
export function importLine(line: number, row: readonly (string | null)[]): string {
  return copyLine([String(line), ...row])
}

const columns = rateFields.join(', ')
const key = 'rates.prefix = imported_rates.prefix AND rates.valid_from = imported_rates.valid_from'
/** A million rows take longer than other queries may, in ms. */
const timeoutMs = 600_000

/**
 * Takes the lines of a file, any number of them, into a table of its own, which goes with the transaction.
 *
 * @param portions lines as `importLine` makes them, several at a time, a newline between them
 * @throws what `portions` throws, what PostgreSQL says of a line
 */
export async function stageRates(client: pg.ClientBase, portions: AsyncIterable<string>): Promise<void> {
  await client.query(
    `CREATE TEMPORARY TABLE imported_rates ON COMMIT DROP AS SELECT 0 AS line, ${columns} FROM rates WITH NO DATA`,
  )
  await copyIn(client, `imported_rates (line, ${columns})`, portions, (portion) => portion)
  // Without it nothing is known of a table that was made just now; and what is known of the rates may be of
  // yesterday, when there were none: two tables of a million must never be joined row by row.
  await client.query('ANALYZE imported_rates')
  await client.query(`SET LOCAL enable_nestloop = off; SET LOCAL work_mem = '64MB'`)
}

/** What stands more than once in what was staged. */
export async function duplicateRates(client: pg.ClientBase, most: number): Promise<Duplicates> {
  const { rows } = await work<{
    line: number
    first_line: number
    prefix: string
    valid_from: string | null
    total: number
  }>(
    client,
    `WITH twice AS (
      SELECT prefix, valid_from, min(line) AS first_line FROM imported_rates GROUP BY 1, 2 HAVING count(*) > 1
    )
    SELECT line, first_line, prefix, ${microsOf('valid_from')} AS valid_from, count(*) OVER ()::integer AS total
    FROM imported_rates JOIN twice USING (prefix, valid_from) WHERE line > first_line ORDER BY line LIMIT $1`,
    [most],
  )
  return {
    total: rows[0]?.total ?? 0,
    first: rows.map((row) => ({
      line: row.line,
      firstLine: row.first_line,
      id: rateId({
        prefix: row.prefix,
        validFrom: row.valid_from === null ? null : formatMoment(BigInt(row.valid_from)),
      }),
    })),
  }
}

/**
 * Makes what was staged rates of the deck. Rates that are as they were are not touched: of a price list that comes every
 * month, nodes read what is new in it.
 *
 * @throws ChangeRefused `not_found`
 */
export async function mergeRates(
  client: pg.ClientBase,
  deckId: string,
  mode: ImportMode,
): Promise<ImportCounts> {
  if (hasNul(deckId)) throw noDeck(deckId)
  // Whoever changes single rates waits, and so does another import.
  const { rowCount } = await client.query('SELECT FROM decks WHERE id = $1 FOR NO KEY UPDATE', [deckId])
  if (rowCount === 0) throw noDeck(deckId)
  const count = async (sql: string) => (await work(client, sql, [deckId])).rowCount ?? 0
  const known = await client.query('SELECT FROM rates WHERE deck_id = $1 LIMIT 1', [deckId])
  const isEmpty = known.rowCount === 0
  const removed =
    mode === 'add' || isEmpty
      ? 0
      : await count(
          `DELETE FROM rates WHERE deck_id = $1 AND NOT EXISTS (SELECT FROM imported_rates WHERE ${key})`,
        )
  const others = rateFields.filter((field) => field !== 'prefix' && field !== 'valid_from')
  const tuple = (table: string) => `(${others.map((field) => `${table}.${field}`).join(', ')})`
  const changed = isEmpty
    ? 0
    : await count(
        `UPDATE rates SET (${others.join(', ')}) = ROW ${tuple('imported_rates')} FROM imported_rates
        WHERE deck_id = $1 AND ${key} AND ${tuple('rates')} IS DISTINCT FROM ${tuple('imported_rates')}`,
      )
  const inserted = await count(
    // In the order of the key's index, which then is written from one end to the other.
    `INSERT INTO rates (deck_id, ${columns}) SELECT $1, ${columns} FROM imported_rates
    ${isEmpty ? '' : `WHERE NOT EXISTS (SELECT FROM rates WHERE deck_id = $1 AND ${key})`}
    ORDER BY prefix, valid_from`,
  )
  const { rows } = await work<{ rows: number }>(
    client,
    'SELECT count(*)::integer AS rows FROM imported_rates',
  )
  const total = rows[0]?.rows ?? 0
  return { rows: total, inserted, changed, unchanged: total - inserted - changed, removed }
}

function work<R extends pg.QueryResultRow>(
  client: pg.ClientBase,
  text: string,
  values: unknown[] = [],
): Promise<pg.QueryResult<R>> {
  const query: pg.QueryConfig & { query_timeout: number } = { text, values, query_timeout: timeoutMs }
  return client.query<R>(query)
}
