import pg from 'pg'

/**
 * - `invalid`: it is not as it must be;
 * - `not_found`: there is no such tenant, or no such thing of it;
 * - `conflict`: somebody changed it since it was read;
 * - `taken`: another entry has the number, or another tenant;
 * - `missing`: it refers to something that there is not;
 * - `in_use`: something refers to it;
 * - `unratable`: a call cannot be rated anew.
 */
export type RefusalCode = 'invalid' | 'not_found' | 'conflict' | 'taken' | 'missing' | 'in_use' | 'unratable'

/**
 * A change that was not made; the message says why, in words for who asked for it. A transaction that it was to be
 * part of must be rolled back.
 */
export class ChangeRefused extends Error {
  override readonly name = 'ChangeRefused'
  readonly code: RefusalCode
  /** The field at fault, of what was sent; the message then says of it what it is and may be. */
  readonly field: string | undefined

  constructor(code: RefusalCode, message: string, options?: ErrorOptions & { readonly field?: string }) {
    super(message, options)
    this.code = code
    this.field = options?.field
  }
}

/** Texts in an error are as somebody typed them. */
export function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 80))
}

export function noTenant(id: string): ChangeRefused {
  return new ChangeRefused('not_found', `there is no tenant ${quoted(id)}`)
}

/** The constraint that PostgreSQL says was broken. */
export function brokenConstraint(
  error: unknown,
): { readonly name: string; readonly message: string } | undefined {
  return error instanceof pg.DatabaseError && error.constraint !== undefined
    ? { name: error.constraint, message: error.message }
    : undefined
}
