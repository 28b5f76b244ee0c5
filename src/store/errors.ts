import pg from 'pg'

/**
 * - `refused`: the database, or a check before it, found fault with the record itself; trying again is useless.
 * - `aborted`: the wait for the database was given up; whether the record is committed is not known, and
 *   committing it again is harmless.
 */
export type CommitErrorCode = 'refused' | 'aborted'

/** A call record that is not known to be in the database. */
export class CommitError extends Error {
  override readonly name = 'CommitError'
  readonly code: CommitErrorCode

  constructor(code: CommitErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** A page's cursor that this server did not make. */
export class CursorError extends Error {
  override readonly name = 'CursorError'
}

/** PostgreSQL was asked for more than it could find in the time that it was given. */
export class TooMuchError extends Error {
  override readonly name = 'TooMuchError'
}

/**
 * SQLSTATE classes that speak of the server or of the way to it, not of what was sent: connection (08),
 * feature of a pooler in between (0A), read-only after a failover (25), authorization (28), database gone (3D),
 * serialization and deadlock (40), schema not migrated or rights missing (42), resources and a full disk (53),
 * lock not available (55), shutdown and cancellation (57), input/output of the machine (58); a prepared statement
 * that a pooler in between does not have (26), and an error inside of PostgreSQL (XX).
 */
const serverTroubles = new Set(['08', '0A', '25', '26', '28', '3D', '40', '42', '53', '55', '57', '58', 'XX'])

/**
 * Whether `error` says that the same statement may succeed later. Everything that PostgreSQL did not say
 * itself (a socket that broke, a time-out) may.
 */
export function isServerTrouble(error: unknown): boolean {
  if (error instanceof CommitError || error instanceof TooMuchError) return false
  if (!(error instanceof pg.DatabaseError) || error.code === undefined) return true
  // The month's table was made while the row was on its way to the default one: next time it finds it.
  if (error.code === '23514' && error.table === 'cdrs_default' && error.constraint === undefined) return true
  return serverTroubles.has(error.code.slice(0, 2))
}
