import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'

import type pg from 'pg'

import { pageOf, readCursor, type Page } from './cursor.js'
import { inTransaction, lockFor } from './database.js'
import { brokenConstraint, ChangeRefused, noTenant } from './refusal.js'
import type { Db } from './within.js'

/** What a key may do; each may do all that those before it may. */
export const roles = ['read', 'operate', 'admin'] as const
export type Role = (typeof roles)[number]

export interface ApiKey {
  /** A UUID; says which key it was without saying the key. */
  readonly id: string
  readonly role: Role
  /** The only tenant that it may see; null: all. */
  readonly tenant: string | null
  /** In ms since 1970; null: never. */
  readonly expiresAt: number | null
  /** Null: what the server's setting says. */
  readonly requestsPerMinute: number | null
}

/** A key as it is listed: all but itself. */
export interface ListedKey {
  readonly id: string
  readonly role: Role
  readonly tenant: string | null
  readonly description: string
  readonly requestsPerMinute: number | null
  readonly createdAt: Date
  /** The key that made it; null: the server itself. */
  readonly createdBy: string | null
  readonly expiresAt: Date | null
  /** To the minute; null: never. */
  readonly lastUsedAt: Date | null
  /** Null: it is good. */
  readonly revokedAt: Date | null
}

export interface KeyDraft {
  readonly role: Role
  readonly tenant: string | null
  readonly description: string
  /** RFC 3339; null: never. */
  readonly expiresAt: string | null
  readonly requestsPerMinute: number | null
  readonly createdBy: string
}

const listed = `id, role, tenant_id AS tenant, description, requests_per_minute AS "requestsPerMinute",
  created_at AS "createdAt", created_by AS "createdBy", expires_at AS "expiresAt", last_used_at AS "lastUsedAt",
  revoked_at AS "revokedAt"`

/**
 * Makes sure that somebody can use the HTTP API.
 *
 * @param given a key that the operator chose: valid for everything from now on, even if it was revoked before
 * @returns the text of a key made now, because none was given and there was none; nobody can read it again
 */
export function ensureFirstKey(pool: pg.Pool, given?: string): Promise<string | undefined> {
  return inTransaction(pool, async (client) => {
    await lockFor(client, 'firstKey')
    if (given !== undefined) {
      await client.query(
        `INSERT INTO api_keys (hash, role, description) VALUES ($1, 'admin', 'ADMIN_KEY')
        ON CONFLICT (hash) DO UPDATE SET role = 'admin', tenant_id = NULL, revoked_at = NULL, expires_at = NULL`,
        [hashOf(given)],
      )
      return undefined
    }
    const { rowCount } = await client.query('SELECT FROM api_keys LIMIT 1')
    if (rowCount !== 0) return undefined
    const made = newKey()
    await client.query(`INSERT INTO api_keys (hash, role, description) VALUES ($1, 'admin', 'first start')`, [
      hashOf(made),
    ])
    return made
  })
}

/** @returns the ids of keys that operators chose before `given`, and that are still good, the oldest first */
export async function earlierGivenKeys(pool: pg.Pool, given: string): Promise<string[]> {
  const { rows } = await pool.query<{ id: string }>(
    `SELECT id FROM api_keys WHERE description = 'ADMIN_KEY' AND created_by IS NULL AND hash <> $1
      AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
    ORDER BY created_at, id`,
    [hashOf(given)],
  )
  return rows.map(({ id }) => id)
}

/**
 * Makes a key.
 *
 * @returns its text, which nobody can read again
 * @throws ChangeRefused `not_found`: there is no such tenant
 */
export async function makeKey(
  db: Db,
  draft: KeyDraft,
): Promise<{ readonly text: string; readonly key: ListedKey }> {
  const { role, tenant, description, expiresAt, requestsPerMinute, createdBy } = draft
  const text = newKey()
  try {
    const { rows } = await db.query<ListedKey>(
      `INSERT INTO api_keys (hash, role, tenant_id, description, expires_at, requests_per_minute, created_by)
      VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING ${listed}`,
      [hashOf(text), role, tenant, description, expiresAt, requestsPerMinute, createdBy],
    )
    const [key] = rows
    if (key === undefined) throw new Error('PostgreSQL did not say which key it has made')
    return { text, key }
  } catch (error) {
    if (tenant !== null && brokenConstraint(error)?.name === 'api_keys_tenant_id_fkey') throw noTenant(tenant)
    throw error
  }
}

/**
 * From now on it is good for nothing; again does nothing.
 *
 * @returns the key before and after
 * @throws ChangeRefused `not_found`; `in_use`: no other key could make keys any more
 */
export async function revokeKey(
  client: pg.ClientBase,
  id: string,
): Promise<{ readonly before: ListedKey; readonly after: ListedKey }> {
  // Two who each revoke the other's would else leave none.
  await lockFor(client, 'firstKey')
  const { rows } = await client.query<ListedKey>(`SELECT ${listed} FROM api_keys WHERE id = $1 FOR UPDATE`, [
    id,
  ])
  const [before] = rows
  if (before === undefined) throw new ChangeRefused('not_found', `there is no API key ${id}`)
  if (before.revokedAt !== null) return { before, after: before }
  const { rowCount: others } = await client.query(
    `SELECT FROM api_keys WHERE id <> $1 AND role = 'admin' AND tenant_id IS NULL AND revoked_at IS NULL
      AND (expires_at IS NULL OR expires_at > now()) LIMIT 1`,
    [id],
  )
  if (others === 0)
    throw new ChangeRefused(
      'in_use',
      'it is the last admin key that is bound to no tenant; make another first',
    )
  const { rows: revoked } = await client.query<ListedKey>(
    `UPDATE api_keys SET revoked_at = now() WHERE id = $1 RETURNING ${listed}`,
    [id],
  )
  return { before, after: revoked[0] ?? before }
}

export async function getKey(pool: pg.Pool, id: string): Promise<ListedKey | undefined> {
  const { rows } = await pool.query<ListedKey>(`SELECT ${listed} FROM api_keys WHERE id = $1`, [id])
  return rows[0]
}

export interface KeyQuery {
  /** Keys a page. */
  readonly limit: number
  /** `next` of the page before. */
  readonly cursor?: string
  readonly tenant?: string
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const moment = /^[0-9]{1,17}$/

/** In the order in which they were made, revoked ones too. @throws CursorError */
export async function listKeys(pool: pg.Pool, { limit, cursor, tenant }: KeyQuery): Promise<Page<ListedKey>> {
  const [madeUs, after] = cursor === undefined ? [null, null] : readCursor(cursor, [moment, uuid])
  const { rows } = await pool.query<ListedKey & { us: string }>(
    `SELECT ${listed}, (extract(epoch FROM created_at) * 1000000)::bigint AS us FROM api_keys
    WHERE ($1::float8 IS NULL OR (created_at, id) > (to_timestamp($1 / 1e6), $2::uuid))
      AND ($3::text IS NULL OR tenant_id = $3)
    ORDER BY created_at, id LIMIT $4`,
    [madeUs, after, tenant ?? null, limit + 1],
  )
  const placed = rows.map(({ us, ...key }) => ({ key, us }))
  return pageOf(
    placed,
    limit,
    ({ key }) => key,
    ({ key, us }) => [us, key.id],
  )
}

/** @returns undefined when there is no such key, or it was revoked, or it has expired */
export async function findKey(pool: pg.Pool, keyText: string): Promise<ApiKey | undefined> {
  const hash = hashOf(keyText)
  const { rows } = await pool.query<ApiKey & { hash: Buffer; isUnused: boolean }>(
    `SELECT id, hash, role, tenant_id AS tenant, (extract(epoch FROM expires_at) * 1000)::float8 AS "expiresAt",
      requests_per_minute AS "requestsPerMinute",
      last_used_at IS NULL OR last_used_at < now() - interval '1 minute' AS "isUnused"
    FROM api_keys WHERE hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())`,
    [hash],
  )
  const [row] = rows
  // The index compares hashes, whose bytes nobody can choose; how long this takes says nothing at all.
  if (row === undefined || !timingSafeEqual(row.hash, hash)) return undefined
  const { id, role, tenant, expiresAt, requestsPerMinute, isUnused } = row
  // When it was used last is no reason to wait for whoever has the row, nor to refuse a key that is good.
  if (isUnused)
    await pool
      .query(
        `UPDATE api_keys SET last_used_at = now()
        WHERE id = (SELECT id FROM api_keys WHERE id = $1 FOR UPDATE SKIP LOCKED)`,
        [id],
      )
      .catch(() => undefined)
  return { id, role, tenant, expiresAt, requestsPerMinute }
}

function newKey(): string {
  return `linger_${randomBytes(32).toString('base64url')}`
}

function hashOf(keyText: string): Buffer {
  return createHash('sha256').update(keyText).digest()
}
