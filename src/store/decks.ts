import type pg from 'pg'

import { anyText, pageOf, readCursor, type Page } from './cursor.js'
import { hasNul } from './database.js'
import { ChangeRefused, quoted } from './refusal.js'
import type { Db } from './within.js'

/** A deck of rates, which any number of tenants share. */
export interface Deck {
  readonly id: string
  readonly name: string
  /** ISO 4217. */
  readonly currency: string
  /** Counts up with each change of what is here; rates have versions of their own. */
  readonly version: number
  readonly createdAt: Date
}

/** Whose rates they are. */
export interface DeckUse {
  /** Tenants, each once. */
  readonly count: number
  /** The first ones. */
  readonly tenants: readonly {
    readonly id: string
    /** What it pays for calls to the outside; what it pays for being called. */
    readonly asDeck: boolean
    readonly asInboundDeck: boolean
  }[]
}

const columns = 'id, name, currency, version, created_at AS "createdAt"'

/** Of what uses a deck these many are named: who has more need not read them all to know what to do. */
export const mostNamed = 10

/** By their ids. @throws CursorError */
export async function listDecks(
  db: Db,
  { limit, cursor }: { readonly limit: number; readonly cursor?: string | undefined },
): Promise<Page<Deck>> {
  const [after] = cursor === undefined ? [''] : readCursor(cursor, [anyText])
  const { rows } = await db.query<Deck>(
    `SELECT ${columns} FROM decks WHERE id COLLATE "C" > $1 ORDER BY id COLLATE "C" LIMIT $2`,
    [after, limit + 1],
  )
  return pageOf(
    rows,
    limit,
    (deck) => deck,
    ({ id }) => [id],
  )
}

export async function findDeck(db: Db, id: string): Promise<Deck | undefined> {
  if (hasNul(id)) return undefined
  const { rows } = await db.query<Deck>(`SELECT ${columns} FROM decks WHERE id = $1`, [id])
  return rows[0]
}

export async function deckUse(db: Db, id: string): Promise<DeckUse> {
  const { rows } = await db.query<{ id: string; as_deck: boolean; as_inbound_deck: boolean; count: number }>(
    `SELECT id, deck_id IS NOT DISTINCT FROM $1 AS as_deck,
      inbound_deck_id IS NOT DISTINCT FROM $1 AS as_inbound_deck, count(*) OVER ()::integer AS count
    FROM tenants WHERE deck_id = $1 OR inbound_deck_id = $1 ORDER BY id LIMIT ${mostNamed}`,
    [id],
  )
  return {
    count: rows[0]?.count ?? 0,
    tenants: rows.map((row) => ({
      id: row.id,
      asDeck: row.as_deck,
      asInboundDeck: row.as_inbound_deck,
    })),
  }
}

/** Rates are counted up to here: a million would take as long as an export of them. */
export const mostCounted = 10_000

/** @returns one more than `mostCounted` for any number above it */
export async function countRates(db: Db, id: string): Promise<number> {
  if (hasNul(id)) return 0
  const { rows } = await db.query<{ count: number }>(
    `SELECT count(*)::integer AS count FROM (SELECT FROM rates WHERE deck_id = $1 LIMIT ${mostCounted + 1}) AS first_rates`,
    [id],
  )
  return rows[0]?.count ?? 0
}

export type DeckDraft = Pick<Deck, 'id' | 'name' | 'currency'>

/** @throws ChangeRefused `taken` */
export async function addDeck(client: pg.ClientBase, { id, name, currency }: DeckDraft): Promise<Deck> {
  const { rows } = await client.query<Deck>(
    `INSERT INTO decks (id, name, currency) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING ${columns}`,
    [id, name, currency],
  )
  const [deck] = rows
  if (!deck) throw new ChangeRefused('taken', `there is a deck ${quoted(id)} already`)
  return deck
}

export interface DeckChange {
  readonly name?: string | undefined
  readonly currency?: string | undefined
}

/**
 * @param expected version that there must be; undefined: any
 * @throws ChangeRefused `not_found`, `conflict`; `in_use` when the currency is that of tenants who have the deck
 */
export async function changeDeck(
  client: pg.ClientBase,
  id: string,
  change: DeckChange,
  expected: number | undefined,
): Promise<{ readonly before: Deck; readonly after: Deck }> {
  const before = await lockDeck(client, id, expected)
  const { name = before.name, currency = before.currency } = change
  if (name === before.name && currency === before.currency) return { before, after: before }
  if (currency !== before.currency)
    await refuseIfUsed(client, id, `the currency of the deck ${quoted(id)} cannot be changed`)
  const { rows } = await client.query<Deck>(
    `UPDATE decks SET name = $2, currency = $3 WHERE id = $1 RETURNING ${columns}`,
    [id, name, currency],
  )
  const [after] = rows
  if (!after) throw noDeck(id)
  return { before, after }
}

/** With all of its rates. @throws ChangeRefused `not_found`, `conflict`, `in_use` */
export async function deleteDeck(
  client: pg.ClientBase,
  id: string,
  expected: number | undefined,
): Promise<Deck> {
  const before = await lockDeck(client, id, expected)
  await refuseIfUsed(client, id, `the deck ${quoted(id)} cannot be deleted`)
  // Its trigger deletes the rates, a million perhaps.
  const work = { text: 'DELETE FROM decks WHERE id = $1', values: [id], query_timeout: 600_000 }
  await client.query(work)
  return before
}

export function noDeck(id: string): ChangeRefused {
  return new ChangeRefused('not_found', `there is no deck ${quoted(id)}`)
}

/** Until the transaction ends nobody changes it, gives it to a tenant, or changes its rates by the API. */
async function lockDeck(client: pg.ClientBase, id: string, expected: number | undefined): Promise<Deck> {
  if (hasNul(id)) throw noDeck(id)
  const { rows } = await client.query<Deck>(`SELECT ${columns} FROM decks WHERE id = $1 FOR UPDATE`, [id])
  const [deck] = rows
  if (!deck) throw noDeck(id)
  if (expected !== undefined && deck.version !== expected)
    throw new ChangeRefused(
      'conflict',
      `the deck ${quoted(id)} is at version ${deck.version}, not ${expected}`,
    )
  return deck
}

async function refuseIfUsed(client: pg.ClientBase, id: string, cannot: string): Promise<void> {
  const { count, tenants } = await deckUse(client, id)
  if (count === 0) return
  const names = tenants.map((tenant) => quoted(tenant.id)).join(', ')
  const more = count > tenants.length ? ` and ${count - tenants.length} more` : ''
  const [isOne, as] = [count === 1, tenants.every(({ asDeck }) => !asDeck) ? 'inbound deck' : 'deck']
  throw new ChangeRefused(
    'in_use',
    `${cannot}: ${isOne ? 'the tenant' : 'the tenants'} ${names}${more} ${isOne ? 'has' : 'have'} it as ${as}`,
  )
}
