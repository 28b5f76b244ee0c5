import pg from 'pg'

import { formatMoney, type Money } from '../billing/money.js'
import { rateFields } from '../billing/rate-fields.js'
import { plainTerms, type Rate, type Rounding, type RoundingMode } from '../billing/rating.js'
import { DeckBuilder, type RateChanges, type RateDeck } from '../billing/tariff.js'
import { copiedValues, copyIn, copyLine, copyOut } from './copy.js'
import { inTransaction } from './database.js'

/**
 * A row of the table as it is read: every value as text, amounts as decimals, moments in µs since 1970; what is
 * not set is NULL or, from COPY, empty.
 */
type RateRow = readonly (string | null | undefined)[]

/** In its columns' order; moments in µs since 1970. */
export const rateAsText = rateFields
  .map((column) => (column.startsWith('valid_') ? microsOf(column) : `${column}::text`))
  .join(', ')

/** Of a moment; NULL for the ends of time. */
export function microsOf(column: string): string {
  return `(extract(epoch FROM nullif(nullif(${column}, '-infinity'), 'infinity')) * 1000000)::bigint::text`
}

/** @param client in a transaction that sees one moment (REPEATABLE READ) */
export async function readDeck(client: pg.ClientBase, deckId: string): Promise<RateDeck> {
  const builder = new DeckBuilder()
  await copyOut(
    client,
    // The column's order is that of bytes, as the builder wants it.
    `SELECT ${rateAsText} FROM rates WHERE deck_id = ${pg.escapeLiteral(deckId)} ORDER BY prefix, valid_from`,
    (line) => {
      builder.add(rateOf(copiedValues(line)))
    },
  )
  return builder.build()
}

/** What these prefixes of a deck are now: an empty list for one that has no rate any more. */
export async function readPrefixes(
  client: pg.ClientBase,
  deckId: string,
  prefixes: Iterable<string>,
): Promise<RateChanges> {
  const changes = new Map<string, Rate[]>()
  for (const prefix of prefixes) changes.set(prefix, [])
  const { rows } = await client.query<(string | null)[]>({
    rowMode: 'array',
    text: `SELECT ${rateAsText} FROM rates WHERE deck_id = $1 AND prefix = ANY($2)`,
    values: [deckId, [...changes.keys()]],
  })
  for (const row of rows) {
    const rate = rateOf(row)
    changes.get(rate.prefix)?.push(rate)
  }
  return changes
}

/** What changed in the decks: prefixes, or a deck as a whole. */
export type ChangedDecks = ReadonlyMap<string, 'whole' | ReadonlySet<string>>

/** How many versions are kept of what changed (sql/006_rating.sql). */
const keptVersions = 1000n

/**
 * @param since version that was read last
 * @param now version that `client`'s transaction sees
 * @returns undefined when that is not known: any deck may have changed
 */
export async function readChanges(
  client: pg.ClientBase,
  since: string,
  now: string,
): Promise<ChangedDecks | undefined> {
  const behind = BigInt(now) - BigInt(since)
  // Below 0: the database was put back to an earlier day.
  if (behind < 0n || behind >= keptVersions) return undefined
  const { rows } = await client.query<{ deck_id: string | null; prefix: string | null }>(
    'SELECT DISTINCT deck_id, prefix FROM rate_changes WHERE version > $1',
    [since],
  )
  const decks = new Map<string, 'whole' | Set<string>>()
  for (const { deck_id: deckId, prefix } of rows) {
    if (deckId === null) return undefined
    const deck = decks.get(deckId)
    if (deck === 'whole') continue
    if (prefix === null) decks.set(deckId, 'whole')
    else if (deck) deck.add(prefix)
    else decks.set(deckId, new Set([prefix]))
  }
  return decks
}

/**
 * Adds rates to a deck, any number of them, all or none.
 *
 * @param isWhole whether they are the whole deck: what it had before is gone
 * @throws RangeError for a moment that PostgreSQL cannot hold; else what PostgreSQL says of the row
 */
export function importRates(
  pool: pg.Pool,
  deckId: string,
  rates: Iterable<Rate> | AsyncIterable<Rate>,
  { isWhole = false }: { readonly isWhole?: boolean } = {},
): Promise<void> {
  return inTransaction(pool, async (client) => {
    if (isWhole) await client.query(deleteDeck(deckId))
    await copyIn(client, `rates (${rateColumns})`, rates, (rate) => rateLine(deckId, rate))
  })
}

function deleteDeck(deckId: string): pg.QueryConfig & { query_timeout: number } {
  return { text: 'DELETE FROM rates WHERE deck_id = $1', values: [deckId], query_timeout: 600_000 }
}

/** What `rateLine` fills, in its order. */
export const rateColumns = `deck_id, ${rateFields.join(', ')}`

/** A rate as COPY takes it. @throws RangeError for a moment that PostgreSQL cannot hold */
export function rateLine(deckId: string, rate: Rate): string {
  const { minimumCost, maximumCost, validFrom, validTo } = rate
  return copyLine([
    deckId,
    rate.prefix,
    rate.prefixEntered,
    rate.description,
    formatMoney(rate.pricePerMinute),
    formatMoney(rate.connectionFee),
    String(rate.minimumSeconds),
    String(rate.incrementSeconds),
    String(rate.graceSeconds),
    minimumCost === undefined ? null : formatMoney(minimumCost),
    maximumCost === undefined ? null : formatMoney(maximumCost),
    validFrom === undefined ? '-infinity' : timestamp(validFrom),
    validTo === undefined ? null : timestamp(validTo),
    rate.rounding.mode,
    String(rate.rounding.decimals),
  ])
}

const microsPerSecond = 1_000_000

function timestamp(micros: number): string {
  const rest = ((micros % microsPerSecond) + microsPerSecond) % microsPerSecond
  const seconds = new Date(((micros - rest) / microsPerSecond) * 1000).toISOString().replace(/\.000Z$/, '')
  return `${seconds}.${String(rest).padStart(6, '0')}Z`
}

function rateOf(row: RateRow): Rate {
  const [prefix, entered, description, price, fee, minimum, increment, grace] = row
  const [minimumCost, maximumCost, validFrom, validTo, mode, decimals] = row.slice(8)
  return {
    prefix: prefix ?? '',
    prefixEntered: entered ?? '',
    description: description ?? '',
    pricePerMinute: amount(price),
    connectionFee: amount(fee),
    minimumSeconds: Number(minimum),
    incrementSeconds: Number(increment),
    graceSeconds: Number(grace),
    ...(minimumCost && { minimumCost: amount(minimumCost) }),
    ...(maximumCost && { maximumCost: amount(maximumCost) }),
    ...(validFrom && { validFrom: moment(validFrom) }),
    ...(validTo && { validTo: moment(validTo) }),
    rounding: roundingOf(mode, Number(decimals)),
  }
}

/** 9999-12-31 and its like mean never: a number counts µs exactly up to the year 2255. */
function moment(text: string): number {
  return Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, Number(text)))
}

/** Of a NUMERIC(24, 6), which always comes with its six decimals. */
function amount(text: string | null | undefined): Money {
  return text === '0.000000' ? 0n : BigInt((text ?? '').replace('.', ''))
}

function roundingOf(mode: string | null | undefined, decimals: number): Rounding {
  const plain = plainTerms.rounding
  // The table's own check lets nothing else in.
  return mode === plain.mode && decimals === plain.decimals ? plain : { mode: mode as RoundingMode, decimals }
}
