import type pg from 'pg'

import { formatMoney, parseMoney } from '../billing/money.js'
import { rateFields, type RateTexts } from '../billing/rate-fields.js'
import { formatMoment, parseMoment } from '../common/moment.js'
import { anyText, pageOf, readCursor, type Page } from './cursor.js'
import { hasNul } from './database.js'
import { noDeck } from './decks.js'
import { rateAsText } from './rates.js'
import { ChangeRefused, quoted } from './refusal.js'
import type { Db } from './within.js'

/** A rate of a deck, as an admin sees it; it always was in force where `valid_from` is null. */
export interface DeckRate extends RateTexts {
  readonly id: string
  readonly version: number
}

/** What names a rate in its deck. */
export interface RateKey {
  /** Normal form. */
  readonly prefix: string
  /** RFC 3339; null: always was. */
  readonly validFrom: string | null
}

/** `8490`, `8490@2025-01-31T08:00:00.000Z`, `*` for every number. */
export function rateId({ prefix, validFrom }: RateKey): string {
  return `${prefix === '' ? '*' : prefix}${validFrom === null ? '' : `@${validFrom}`}`
}

/** @returns undefined: no rate has such an id */
export function parseRateId(id: string): RateKey | undefined {
  const [, prefix, from] = /^(\*|[0-9]{1,32})(?:@(.+))?$/.exec(id) ?? []
  if (prefix === undefined) return undefined
  const moment = from === undefined ? undefined : parseMoment(from)
  if (from !== undefined && moment === undefined) return undefined
  return {
    prefix: prefix === '*' ? '' : prefix,
    validFrom: moment === undefined ? null : formatMoment(moment),
  }
}

export interface RateQuery {
  /** Rates a page. */
  readonly limit: number
  /** `next` of the page before. */
  readonly cursor?: string | undefined
  /** Only those whose prefix begins so. */
  readonly prefix?: string | undefined
  /** Only those that a number, in normal form, begins with. */
  readonly number?: string | undefined
  /** RFC 3339: only those in force then. */
  readonly validAt?: string | undefined
}

const isMicros = /^(?:-?[0-9]{1,18})?$/
type Row = [...(string | null)[], number]

/** By their prefixes and then by when they came into force. @throws CursorError */
export async function listRates(
  db: Db,
  deckId: string,
  { limit, cursor, prefix, number, validAt }: RateQuery,
): Promise<Page<DeckRate>> {
  const values: unknown[] = [deckId]
  const conditions = ['deck_id = $1']
  const add = (condition: string, ...parameters: unknown[]): void => {
    conditions.push(condition.replace(/\?/g, () => `$${values.push(parameters.shift())}`))
  }
  if (cursor !== undefined) {
    const [after, micros] = readCursor(cursor, [anyText, isMicros])
    add('(prefix, valid_from) > (?, ?)', after, dbMoment(micros === '' ? null : formatMoment(BigInt(micros))))
  }
  // What begins so is before what ends with the character after 9; so the key's index serves.
  if (prefix !== undefined) add('prefix >= ? AND prefix < ?', prefix, `${prefix}:`)
  if (number !== undefined) add('prefix = ANY (?)', beginnings(number))
  if (validAt !== undefined) add('valid_from <= ? AND (valid_to IS NULL OR valid_to > ?)', validAt, validAt)
  const { rows } = await db.query<Row>({
    rowMode: 'array',
    text: `SELECT ${rateAsText}, version FROM rates WHERE ${conditions.join(' AND ')}
      ORDER BY prefix, valid_from LIMIT $${values.push(limit + 1)}`,
    values,
  })
  return pageOf(rows, limit, shown, (row) => [row[0] as string, (row[fromAt] as string | null) ?? ''])
}

const fromAt = rateFields.indexOf('valid_from')

/** What a prefix of the number can be. */
export function beginnings(number: string): string[] {
  return Array.from({ length: Math.min(number.length, 32) + 1 }, (_, length) => number.slice(0, length))
}

export async function findRate(db: Db, deckId: string, key: RateKey): Promise<DeckRate | undefined> {
  return hasNul(deckId) ? undefined : read(db, deckId, key, '')
}

async function read(db: Db, deckId: string, key: RateKey, lock: string): Promise<DeckRate | undefined> {
  const { rows } = await db.query<Row>({
    rowMode: 'array',
    text: `SELECT ${rateAsText}, version FROM rates
      WHERE deck_id = $1 AND prefix = $2 AND valid_from = $3 ${lock}`,
    values: [deckId, key.prefix, dbMoment(key.validFrom)],
  })
  return rows[0] && shown(rows[0])
}

/** @param rate without faults; @throws ChangeRefused `not_found`, `taken` */
export async function addRate(
  client: pg.ClientBase,
  deckId: string,
  rate: Readonly<RateTexts>,
): Promise<DeckRate> {
  await holdDeck(client, deckId)
  const { rows } = await client.query<Row>({
    rowMode: 'array',
    text: `INSERT INTO rates (deck_id, ${rateFields.join(', ')})
      VALUES ($1, ${rateFields.map((_, i) => `$${i + 2}`).join(', ')})
      ON CONFLICT DO NOTHING RETURNING ${rateAsText}, version`,
    values: [deckId, ...rowOf(rate)],
  })
  if (rows[0]) return shown(rows[0])
  const id = rateId({ prefix: rate.prefix ?? '', validFrom: rate.valid_from })
  throw new ChangeRefused('taken', `the deck ${quoted(deckId)} has a rate ${quoted(id)} already`)
}

/**
 * @param change what the rate shall be; whatever names it stays
 * @throws ChangeRefused `not_found`, `conflict`; what `change` throws
 */
export async function changeRate(
  client: pg.ClientBase,
  deckId: string,
  key: RateKey,
  expected: number | undefined,
  change: (before: DeckRate) => Readonly<RateTexts>,
): Promise<{ readonly before: DeckRate; readonly after: DeckRate }> {
  const before = await lockRate(client, deckId, key, expected)
  const wanted = change(before)
  const isSame = rateFields.every((field) => wanted[field] === before[field])
  if (isSame) return { before, after: before }
  const changeable = rateFields.filter((field) => field !== 'prefix' && field !== 'valid_from')
  const { rows } = await client.query<Row>({
    rowMode: 'array',
    text: `UPDATE rates SET ${changeable.map((field, i) => `${field} = $${i + 4}`).join(', ')}
      WHERE deck_id = $1 AND prefix = $2 AND valid_from = $3 RETURNING ${rateAsText}, version`,
    values: [deckId, key.prefix, dbMoment(key.validFrom), ...changeable.map((field) => wanted[field])],
  })
  if (!rows[0]) throw noRate(deckId, key)
  return { before, after: shown(rows[0]) }
}

/** @throws ChangeRefused `not_found`, `conflict` */
export async function deleteRate(
  client: pg.ClientBase,
  deckId: string,
  key: RateKey,
  expected: number | undefined,
): Promise<DeckRate> {
  const before = await lockRate(client, deckId, key, expected)
  await client.query('DELETE FROM rates WHERE deck_id = $1 AND prefix = $2 AND valid_from = $3', [
    deckId,
    key.prefix,
    dbMoment(key.validFrom),
  ])
  return before
}

export function noRate(deckId: string, key: RateKey): ChangeRefused {
  return new ChangeRefused('not_found', `the deck ${quoted(deckId)} has no rate ${quoted(rateId(key))}`)
}

async function lockRate(
  client: pg.ClientBase,
  deckId: string,
  key: RateKey,
  expected: number | undefined,
): Promise<DeckRate> {
  await holdDeck(client, deckId)
  const rate = await read(client, deckId, key, 'FOR UPDATE')
  if (!rate) throw noRate(deckId, key)
  if (expected !== undefined && rate.version !== expected)
    throw new ChangeRefused(
      'conflict',
      `the rate ${quoted(rate.id)} is at version ${rate.version}, not ${expected}`,
    )
  return rate
}

/** The deck stays, and no import changes it (rate-import.ts), until the transaction ends. */
async function holdDeck(client: pg.ClientBase, id: string): Promise<void> {
  if (hasNul(id)) throw noDeck(id)
  const { rowCount } = await client.query('SELECT FROM decks WHERE id = $1 FOR SHARE', [id])
  if (rowCount === 0) throw noDeck(id)
}

/** As the table has it. */
export function dbMoment(validFrom: string | null): string {
  return validFrom ?? '-infinity'
}

/** The values of a row of the table. */
export function rowOf(rate: Readonly<RateTexts>): (string | null)[] {
  return rateFields.map((field) => (field === 'valid_from' ? dbMoment(rate.valid_from) : rate[field]))
}

function shown(row: Row): DeckRate {
  const texts = Object.fromEntries(
    rateFields.map((field, i) => [field, shownField(field, row[i] as string | null)]),
  ) as RateTexts
  const id = rateId({ prefix: texts.prefix ?? '', validFrom: texts.valid_from })
  return { id, ...texts, version: row[rateFields.length] as number }
}

const isMoney: ReadonlySet<string> = new Set([
  'price_per_minute',
  'connection_fee',
  'minimum_cost',
  'maximum_cost',
])

/** As an admin sees what was read as `rateAsText`. */
export function shownField(field: (typeof rateFields)[number], text: string | null): string | null {
  if (text === null) return null
  if (isMoney.has(field)) return formatMoney(parseMoney(text))
  return field === 'valid_from' || field === 'valid_to' ? formatMoment(BigInt(text)) : text
}
