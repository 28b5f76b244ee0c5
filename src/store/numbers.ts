import type pg from 'pg'

import { normalNumber, normalPrefix, type Country } from '../numbering/normal-form.js'
import { anyText, pageOf, readCursor, type Page } from './cursor.js'
import { hasNul } from './database.js'
import { checkVersion, lockTenant } from './locking.js'
import type { NumberChange, NumberRecord } from './number-schemas.js'
import { ChangeRefused, quoted } from './refusal.js'
import { within, type Db } from './within.js'
import { writing, type Refusals } from './written.js'

/** DIDs as an admin reads and changes them; what calls look up is in called-numbers.ts. */

const columns = 'number, tenant_id AS tenant, extension, version'

export interface NumberQuery {
  /** Numbers a page. */
  readonly limit: number
  /** `next` of the page before. */
  readonly cursor?: string
  readonly tenant?: string
  readonly extension?: string
  /** Those that begin so, in normal form or as it is dialled in `country`. */
  readonly beginning?: string
  readonly country: Country
}

/** DIDs, in their order. @throws CursorError */
export async function listNumbers(db: Db, query: NumberQuery): Promise<Page<NumberRecord>> {
  const { limit, cursor, tenant, extension, beginning, country } = query
  const parameters: (string | number | readonly string[])[] = []
  const parameter = (value: (typeof parameters)[number]) => `$${parameters.push(value)}`
  const conditions = ['true']
  if (cursor !== undefined) {
    const [number] = readCursor(cursor, [anyText])
    conditions.push(`number COLLATE "C" > ${parameter(number)}`)
  }
  if (hasNul(tenant) || hasNul(extension) || hasNul(beginning)) return { items: [], next: null }
  if (tenant !== undefined) conditions.push(`tenant_id = ${parameter(tenant)}`)
  if (extension !== undefined) conditions.push(`extension = ${parameter(extension)}`)
  if (beginning !== undefined) {
    // As spans of the index; `~` comes after every character that a number may have.
    const spans = [...new Set([beginning, normalPrefix(beginning, country)])].map((begin) => {
      const from = parameter(begin)
      return `number COLLATE "C" BETWEEN ${from} AND ${from} || '~'`
    })
    conditions.push(`(${spans.join(' OR ')})`)
  }
  const { rows } = await db.query<NumberRecord>(
    `SELECT ${columns} FROM numbers WHERE ${conditions.join(' AND ')}
    ORDER BY number COLLATE "C" LIMIT ${parameter(limit + 1)}`,
    parameters,
  )
  return pageOf(
    rows,
    limit,
    (row) => row,
    (row) => [row.number],
  )
}

/** @param number in normal form, or as it is dialled in `country` */
export async function getNumber(db: Db, number: string, country: Country): Promise<NumberRecord | undefined> {
  if (hasNul(number)) return undefined
  const forms = [number, normalNumber(number, country)]
  const { rows } = await db.query<NumberRecord>(
    `SELECT ${columns} FROM numbers WHERE number = ANY ($1) ORDER BY number = $2 DESC LIMIT 1`,
    [forms, number],
  )
  return rows[0]
}

export interface NumbersDraft {
  readonly tenant: string
  /** As they are dialled in the tenant's country. */
  readonly numbers: readonly string[]
  readonly extension: string | null
  /** Which field a number of the draft stands in, for errors. */
  readonly fieldOf: (place: number) => string
}

/**
 * All of them, or none.
 *
 * @param db a pool, or a transaction of the caller's; one that was refused must be rolled back
 * @throws ChangeRefused `invalid`, `not_found` (the tenant), `missing` (the extension), `taken`
 */
export function createNumbers(db: Db, draft: NumbersDraft): Promise<NumberRecord[]> {
  return within(db, async (client) => {
    const { tenant, extension, fieldOf } = draft
    // It stays that country while they are written.
    const { country } = await lockTenant(client, tenant, 'SHARE')
    await checkExtension(client, tenant, extension)
    const places = new Map<string, number>()
    for (const [place, typed] of draft.numbers.entries()) {
      const number = normalNumber(typed, country)
      const earlier = places.get(number)
      if (earlier !== undefined)
        throw new ChangeRefused('invalid', `is ${quoted(typed)}, the same as ${fieldOf(earlier)}`, {
          field: fieldOf(place),
        })
      places.set(number, place)
    }
    // In one order, so that no two who write the same ones wait for each other.
    const { rows } = await writing(
      'numbers',
      refusals,
      client.query<NumberRecord>(
        `INSERT INTO numbers (number, tenant_id, extension)
        SELECT number, $2, $3 FROM unnest($1::text[]) AS given (number) ORDER BY number COLLATE "C"
        ON CONFLICT (number) DO NOTHING RETURNING ${columns}`,
        [[...places.keys()], tenant, extension],
      ),
    )
    const written = new Map(rows.map((row) => [row.number, row]))
    await refuseTaken(
      client,
      [...places.keys()].filter((number) => !written.has(number)),
    )
    return [...places.keys()].flatMap((number) => written.get(number) ?? [])
  })
}

/**
 * @param number in normal form
 * @param expectedVersion that was read; undefined: whatever there is
 * @throws ChangeRefused `not_found` (also the tenant), `conflict`, `invalid` (given to another tenant without saying
 *   what it rings there), `missing` (the extension), `taken` (by another tenant's number plan)
 */
export function changeNumber(
  db: Db,
  number: string,
  change: NumberChange,
  expectedVersion?: number,
): Promise<{ readonly before: NumberRecord; readonly after: NumberRecord }> {
  return within(db, async (client) => {
    if (change.tenant !== undefined) await lockTenant(client, change.tenant, 'KEY SHARE')
    const before = await lockNumber(client, number, expectedVersion)
    const next = { ...before, ...change }
    // Another tenant may have an extension of the same number.
    if (next.tenant !== before.tenant && before.extension !== null && change.extension === undefined)
      throw new ChangeRefused(
        'invalid',
        `is missing; the extension is the tenant ${quoted(before.tenant)}'s, and does not go with the number; ` +
          'allowed is one of the new tenant, or null',
        { field: 'extension' },
      )
    await checkExtension(client, next.tenant, next.extension)
    const { rows } = await writing(
      'numbers',
      refusals,
      client.query<NumberRecord>(
        `UPDATE numbers SET tenant_id = $2, extension = $3 WHERE number = $1 RETURNING ${columns}`,
        [number, next.tenant, next.extension],
      ),
    )
    const [after] = rows
    if (after === undefined) throw noNumber(number)
    return { before, after }
  })
}

/** @param number in normal form; @returns it as it was; @throws ChangeRefused `not_found`, `conflict` */
export function deleteNumber(db: Db, number: string, expectedVersion?: number): Promise<NumberRecord> {
  return within(db, async (client) => {
    const before = await lockNumber(client, number, expectedVersion)
    await client.query('DELETE FROM numbers WHERE number = $1', [number])
    return before
  })
}

const refusals: Refusals = {
  numbers_extension_fkey: {
    code: 'missing',
    field: 'extension',
    detail: 'the tenant has no such extension',
  },
  // The trigger says which number it is.
  numbers_claim: { code: 'taken' },
}

async function lockNumber(
  client: pg.ClientBase,
  number: string,
  expectedVersion: number | undefined,
): Promise<NumberRecord> {
  const { rows } = hasNul(number)
    ? { rows: [] }
    : await client.query<NumberRecord>(`SELECT ${columns} FROM numbers WHERE number = $1 FOR UPDATE`, [
        number,
      ])
  const [row] = rows
  if (row === undefined) throw noNumber(number)
  checkVersion(`the number ${quoted(number)}`, row.version, expectedVersion)
  return row
}

/** It stays until the transaction ends. @throws ChangeRefused `missing` */
async function checkExtension(
  client: pg.ClientBase,
  tenantId: string,
  extension: string | null,
): Promise<void> {
  if (extension === null) return
  const { rowCount } = await client.query(
    'SELECT FROM extensions WHERE tenant_id = $1 AND number = $2 FOR KEY SHARE',
    [tenantId, extension],
  )
  if (rowCount === 0)
    throw new ChangeRefused(
      'missing',
      `is ${quoted(extension)}; the tenant ${quoted(tenantId)} has no such extension`,
      { field: 'extension' },
    )
}

/** Numbers that are named in an error. */
const mostNamed = 10

/** @throws ChangeRefused `taken`, saying whose they are: whoever gives numbers away may know that */
async function refuseTaken(client: pg.ClientBase, numbers: readonly string[]): Promise<void> {
  if (numbers.length === 0) return
  const { rows } = await client.query<{ number: string; tenant_id: string }>(
    `SELECT number, tenant_id FROM numbers WHERE number = ANY ($1) ORDER BY number COLLATE "C" LIMIT ${mostNamed}`,
    [numbers],
  )
  const list = rows.map(({ number, tenant_id: owner }) => `${number} is the tenant ${quoted(owner)}'s`)
  const more = numbers.length > rows.length ? ` and ${numbers.length - rows.length} more` : ''
  throw new ChangeRefused('taken', `there are such numbers already: ${list.join(', ')}${more}`)
}

function noNumber(number: string): ChangeRefused {
  return new ChangeRefused('not_found', `there is no number ${quoted(number)}`)
}
