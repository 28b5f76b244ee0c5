import { createHash, randomBytes } from 'node:crypto'

import type pg from 'pg'

import { inTransaction, lockFor } from './database.js'

export interface ApiKey {
  /** A UUID; says which key it was without saying the key. */
  readonly id: string
  /** `admin` may do everything. */
  readonly role: string
  /** The only tenant that it may see; null: all. */
  readonly tenant: string | null
}

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
        ON CONFLICT (hash) DO UPDATE SET role = 'admin', tenant_id = NULL, revoked_at = NULL`,
        [hashOf(given)],
      )
      return undefined
    }
    const { rowCount } = await client.query('SELECT FROM api_keys LIMIT 1')
    if (rowCount !== 0) return undefined
    const made = `linger_${randomBytes(24).toString('base64url')}`
    await client.query(`INSERT INTO api_keys (hash, role, description) VALUES ($1, 'admin', 'first start')`, [
      hashOf(made),
    ])
    return made
  })
}

/** @returns undefined when there is no such key, or it was revoked */
export async function findKey(pool: pg.Pool, keyText: string): Promise<ApiKey | undefined> {
  // By its hash: how long the index takes tells nothing about a key.
  const { rows } = await pool.query<ApiKey>(
    'SELECT id, role, tenant_id AS tenant FROM api_keys WHERE hash = $1 AND revoked_at IS NULL',
    [hashOf(keyText)],
  )
  return rows[0]
}

function hashOf(keyText: string): Buffer {
  return createHash('sha256').update(keyText).digest()
}
