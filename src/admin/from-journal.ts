import { JournalError } from '../journal/errors.js'
import { Problem, sentence } from './errors.js'

/**
 * Waits for an answer of the journal.
 *
 * @throws Problem when it cannot be written, or when this release cannot read what is to be delivered
 */
export async function fromJournal<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer
  } catch (error) {
    if (!(error instanceof JournalError)) throw error
    const code = error.code === 'unreadable' ? 'unreadable' : 'journal_away'
    throw new Problem(code, sentence(error.message), { cause: error })
  }
}
