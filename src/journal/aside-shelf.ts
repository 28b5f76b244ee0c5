import { decodeAside, encodeAside, type AsideEntry, type KeySequence } from './entry.js'
import type { Environment, Item } from './environment.js'
import { JournalError } from './errors.js'
import type { Writer } from './writer.js'

/** A record that is set aside. */
export interface ShelvedRecord {
  /** No other record has it, on any node. */
  readonly id: string
  /** As it is on the shelf. */
  readonly text: string
  /** What is read of that; undefined: it is damaged, or a newer release set it aside. */
  readonly aside: AsideEntry | undefined
}

export interface AsideShelfOptions {
  readonly env: Environment
  readonly writer: Writer
  readonly keys: KeySequence
  /** Called when something is due again. */
  readonly onDue: () => void
}

/** Records that cannot be delivered, until somebody makes them due again or throws them away. */
export class AsideShelf {
  readonly #env: Environment
  readonly #writer: Writer
  readonly #keys: KeySequence
  readonly #onDue: () => void
  /** What takes records away goes one after the other: none shall be due and thrown away at once. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor({ env, writer, keys, onDue }: AsideShelfOptions) {
    this.#env = env
    this.#writer = writer
    this.#keys = keys
    this.#onDue = onDue
  }

  get count(): number {
    return this.#env.count('aside')
  }

  /** In the order of their ids, the oldest record first; those after the id `after`. */
  read(limit: number, after?: string): ShelvedRecord[] {
    return this.#env.read('aside', limit, after).map(shelved)
  }

  find(id: string): ShelvedRecord | undefined {
    return this.#env.readOne('aside', id).map(shelved)[0]
  }

  /**
   * Makes a record due again.
   *
   * @returns whether there was one
   * @throws JournalError `unreadable`: what is on the shelf names no record
   */
  retry(id: string): Promise<boolean> {
    return this.#inTurn(async () => {
      const record = this.find(id)
      if (record === undefined) return false
      if (record.aside === undefined)
        throw new JournalError('unreadable', 'the entry does not say what was set aside')
      await this.#makeDue([{ id, entry: record.aside.entry }])
      this.#onDue()
      return true
    })
  }

  /** Makes all of them due again that can be read. @returns how many */
  retryAll(): Promise<number> {
    return this.#inTurn(async () => {
      let count = 0
      let last: string | undefined
      for (;;) {
        const records = this.read(500, last)
        last = records.at(-1)?.id
        if (last === undefined) break
        const due = records.flatMap(({ id, aside }) => (aside ? [{ id, entry: aside.entry }] : []))
        await this.#makeDue(due)
        count += due.length
      }
      if (count > 0) this.#onDue()
      return count
    })
  }

  /**
   * Throws a record away, once it is kept elsewhere.
   *
   * @param keep called with it; if it rejects, the record stays
   * @returns what `keep` did; undefined: there is no such record
   */
  discard<T>(id: string, keep: (record: ShelvedRecord) => Promise<T>): Promise<T | undefined> {
    return this.#inTurn(async () => {
      const record = this.find(id)
      if (record === undefined) return undefined
      const kept = await keep(record)
      await this.#writer.write('removal', [{ on: 'aside', key: id }])
      return kept
    })
  }

  /**
   * Sets aside what was thrown away, as it was on the shelf, under a new id.
   *
   * @throws JournalError `full`
   */
  async putBack(text: string): Promise<ShelvedRecord> {
    const key = this.#keys.next()
    await this.#writer.write('open', [{ on: 'aside', key, text }])
    return shelved({ key, text })
  }

  /** For the feeder: this one cannot be delivered. */
  put({ key, text }: Item, reason: string): Promise<void> {
    const aside = { reason, at: new Date().toISOString(), entry: text }
    return this.#writer.write('removal', [
      { on: 'aside', key, text: encodeAside(aside) },
      { on: 'records', key },
    ])
  }

  #makeDue(records: readonly { readonly id: string; readonly entry: string }[]): Promise<void> {
    const changes = records.flatMap(({ id, entry }) => [
      { on: 'records' as const, key: id, text: entry },
      { on: 'aside' as const, key: id },
    ])
    return this.#writer.write('removal', changes)
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work)
    this.#turn = done.catch(() => undefined)
    return done
  }
}

function shelved({ key, text }: Item): ShelvedRecord {
  try {
    return { id: key, text, aside: decodeAside(text) }
  } catch (error) {
    if (error instanceof JournalError) return { id: key, text, aside: undefined }
    throw error
  }
}
