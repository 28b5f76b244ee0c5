/**
 * - `full`: nothing more is taken in; what was asked for has not happened.
 * - `held`: another process has the journal.
 * - `closed`: it was closed before this was durable.
 * - `unreadable`: an entry or an export that is damaged, or that a newer release wrote.
 */
export type JournalErrorCode = 'full' | 'held' | 'closed' | 'unreadable'

/** The message is one line for the operator. */
export class JournalError extends Error {
  override readonly name = 'JournalError'
  readonly code: JournalErrorCode

  constructor(code: JournalErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
