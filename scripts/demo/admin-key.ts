import { createHash, randomBytes } from 'node:crypto'
import type pg from 'pg'

const description = 'npm run demo'

/**
 * Runs `work` with an admin key: ADMIN_KEY where it is set, else one that is made for this run and revoked
 * after it.
 *
 * Making one takes write access to the database, which whoever can read its password has anyway. Only the
 * key's hash is stored; its text lives in this process alone, so that not even a demo that was killed leaves
 * a key that anybody could use. The next demo clears its hash away.
 */
export async function withAdminKey<T>(
  pool: pg.Pool,
  given: string | undefined,
  work: (key: string) => Promise<T>,
): Promise<T> {
  if (given !== undefined) return work(given)
  const key = randomBytes(32).toString('base64url')
  const hash = createHash('sha256').update(key).digest()
  await pool.query(`DELETE FROM api_keys WHERE description = $1 AND created_at < now() - interval '1 hour'`, [
    description,
  ])
  await pool.query(`INSERT INTO api_keys (hash, role, description) VALUES ($1, 'admin', $2)`, [
    hash,
    description,
  ])
  try {
    return await work(key)
  } finally {
    // Where the database has gone the key is as good as revoked: its text ends with this process.
    await pool.query('DELETE FROM api_keys WHERE hash = $1', [hash]).catch(() => undefined)
  }
}
