import pg from 'pg'
import type { BaseLogger } from 'pino'

import { TooMuchError } from './errors.js'

export interface PoolOptions {
  /** Connections at most. */
  readonly max: number
  /**
   * How long a statement waits for a row that another one has locked, in ms. Default: as long as it takes. One that
   * waits holds what it has locked already; one that gives up can ask again, in smaller parts.
   */
  readonly lockTimeoutMs?: number
  readonly log?: BaseLogger
}

const connectTimeoutMs = 5_000
/** A server that stopped answering without closing its sockets is noticed after this. */
const queryTimeoutMs = 30_000
const oldestServer = 14

/** @param url `postgres://user:password@host:port/database` */
export function openPool(url: string, { max, lockTimeoutMs, log }: PoolOptions): pg.Pool {
  const pool = new pg.Pool({
    connectionString: url,
    max,
    application_name: 'linger',
    connectionTimeoutMillis: connectTimeoutMs,
    query_timeout: queryTimeoutMs,
    ...(lockTimeoutMs !== undefined && { lock_timeout: lockTimeoutMs }),
    keepAlive: true,
  })
  // A connection that breaks while nobody uses it is taken out of the pool; the next query opens another.
  // Its reason only: the error carries the whole client.
  pool.on('error', (error) => log?.warn({ reason: error.message }, 'an idle PostgreSQL connection broke'))
  // One that breaks in the hands of its user rejects what is asked of it; without a listener its event, which
  // comes besides, would end the process.
  pool.on('connect', (client) => client.on('error', () => undefined))
  return pool
}

/**
 * Makes sure that the database can be reached and used.
 *
 * @throws Error whose message is one line for the operator: which database, and what is wrong with it. It
 *   never holds the password.
 */
export async function checkDatabase(pool: pg.Pool): Promise<void> {
  const where = describeDatabase(pool)
  let version: number, encoding: string, isReadOnly: boolean
  try {
    const { rows } = await pool.query<{ version: number; encoding: string; is_read_only: boolean }>(
      `SELECT current_setting('server_version_num')::integer / 10000 AS version,
        current_setting('server_encoding') AS encoding,
        current_setting('transaction_read_only')::boolean AS is_read_only`,
    )
    const [row] = rows
    if (!row) throw new Error('it answers nothing')
    ;({ version, encoding, is_read_only: isReadOnly } = row)
  } catch (error) {
    throw new Error(`${where}: ${reasonOf(error)}`, { cause: error })
  }
  if (version < oldestServer)
    throw new Error(`${where}: version ${version}, but ${oldestServer} or later is needed`)
  if (encoding !== 'UTF8') throw new Error(`${where}: its encoding is ${encoding}, but UTF8 is needed`)
  if (isReadOnly) throw new Error(`${where}: it is read-only (a standby?)`)
}

function describeDatabase(pool: pg.Pool): string {
  try {
    const { host, port, database, user } = new pg.Client(pool.options)
    return `PostgreSQL at ${host}:${port}, database ${database ?? ''}, user ${user ?? ''}`
  } catch {
    return 'PostgreSQL: the URL'
  }
}

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'its host name is unknown',
  EAI_AGAIN: 'its host name cannot be looked up now',
  ERR_INVALID_URL: 'it is not valid',
  '28P01': 'the password is refused',
  '3D000': 'this database does not exist',
  '53300': 'it has no connection left',
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const code = 'code' in error ? String(error.code) : ''
  // Several addresses of one name: the first one's failure, for the group has no message.
  const [first] = error instanceof AggregateError ? (error.errors as unknown[]) : []
  const text = error.message || (first === undefined ? code : reasonOf(first))
  return reasons[code] ?? text.replace(/\s+/g, ' ')
}

/** Reads everything as it is at the first look. */
export const oneMoment = 'ISOLATION LEVEL REPEATABLE READ READ ONLY'

/**
 * Runs `work` in a transaction: committed when it resolves, rolled back when it rejects.
 *
 * @param mode of the transaction, such as `oneMoment`
 */
export async function inTransaction<T>(
  pool: pg.Pool,
  work: (client: pg.ClientBase) => Promise<T>,
  mode = '',
): Promise<T> {
  const client = await pool.connect()
  let isBroken = true
  try {
    await client.query(`BEGIN ${mode}`)
    try {
      const result = await work(client)
      await client.query('COMMIT')
      isBroken = false
      return result
    } catch (error) {
      // Over a broken connection there is nothing to roll back, and `error` says why.
      await client.query('ROLLBACK').then(
        () => (isBroken = false),
        () => undefined,
      )
      throw error
    }
  } finally {
    client.release(isBroken)
  }
}

const statementGivenUp = '57014'

/**
 * Runs questions whose answers may be long in coming, and gives each up after `timeoutMs`.
 *
 * @throws TooMuchError
 */
export async function withinTime<T>(
  pool: pg.Pool,
  timeoutMs: number,
  work: (client: pg.ClientBase) => Promise<T>,
): Promise<T> {
  try {
    // In one go with BEGIN. Compiled first, a question of a second would take two.
    const mode = `READ ONLY; SET LOCAL statement_timeout = ${timeoutMs}; SET LOCAL jit = off`
    return await inTransaction(pool, work, mode)
  } catch (error) {
    if (error instanceof pg.DatabaseError && error.code === statementGivenUp)
      throw new TooMuchError(`there was no answer within ${timeoutMs} ms`, { cause: error })
    throw error
  }
}

/** PostgreSQL's texts hold no NUL, and a parameter with one is an error: nothing in there can equal such a text. */
export function hasNul(text: string | undefined): boolean {
  return text?.includes('\0') === true
}

/** What only one node may do at a time. */
const locks = { partitions: 1, seed: 2, firstKey: 3, retention: 4 } as const
/** Keeps these locks apart from those of other programs on the same database: "LING". */
const lockSpace = 0x4c494e47

/** Waits for the lock and holds it to the end of the transaction. */
export async function lockFor(client: pg.ClientBase, purpose: keyof typeof locks): Promise<void> {
  await client.query('SELECT pg_advisory_xact_lock($1, $2)', [lockSpace, locks[purpose]])
}

/**
 * Does what takes several transactions, unless somebody else is at it.
 *
 * @returns undefined: somebody is
 */
export async function unlessLocked<T>(
  pool: pg.Pool,
  purpose: keyof typeof locks,
  work: () => Promise<T>,
): Promise<T | undefined> {
  const client = await pool.connect()
  const lock = [lockSpace, locks[purpose]]
  let isBroken = true
  try {
    const { rows } = await client.query<{ is_ours: boolean }>(
      'SELECT pg_try_advisory_lock($1, $2) AS is_ours',
      lock,
    )
    const isOurs = rows[0]?.is_ours === true
    const result = isOurs ? await work() : undefined
    if (isOurs) await client.query('SELECT pg_advisory_unlock($1, $2)', lock)
    isBroken = false
    return result
  } finally {
    // The lock goes with its connection.
    client.release(isBroken)
  }
}
