import pg from 'pg'

import { rateFields } from '../billing/rate-fields.js'
import { streamRows } from './copy-stream.js'
import { shownField } from './deck-rates.js'
import { rateAsText } from './rates.js'

/**
 * All rates of a deck as they are at one moment, by their prefixes: for each the values of `rateFields`, empty for what
 * is not set. In portions, over a connection of its own (`copyRows`).
 */
export async function* exportRates(pool: pg.Pool, deckId: string): AsyncGenerator<string[][], void> {
  const query = `SELECT ${rateAsText} FROM rates WHERE deck_id = ${pg.escapeLiteral(deckId)} ORDER BY prefix, valid_from`
  for await (const rows of streamRows(pool, query))
    yield rows.map((row) =>
      rateFields.map((field, i) => {
        const text = row[i] ?? ''
        return text === '' ? '' : (shownField(field, text) ?? '')
      }),
    )
}
