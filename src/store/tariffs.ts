import type pg from 'pg'

import type { RateDeck } from '../billing/tariff.js'
import { inTransaction, oneMoment } from './database.js'
import { readVersion, type Part } from './follower.js'
import { readChanges, readDeck, readPrefixes, type ChangedDecks } from './rates.js'

/** A deck that changed in more places is built anew: each costs a look-up a little time. */
const mostChanges = 10_000

/**
 * The decks of rates that tenants have, in memory. A single new rate is read alone, whatever the size of its deck.
 * What has to be read as a whole, which takes seconds for a million rates, is read apart: meanwhile the deck
 * answers as before, and changes of single rates come into force, of this deck as of the others.
 */
export class Tariffs implements Part {
  readonly name = 'rates'
  readonly #pool: pg.Pool
  #version: string | undefined
  #decks: ReadonlyMap<string, RateDeck> = new Map()
  #needed: ReadonlySet<string> = new Set()
  /** Whatever sets decks has its turn: an older state must not overwrite a newer one. */
  #turn: Promise<unknown> = Promise.resolve()
  /** Whole decks that are being read; what changes meanwhile is for the same reading to notice. */
  readonly #reads = new Map<string, Promise<void>>()
  /** Decks that are out of date, and why they could not be read. */
  readonly #failures = new Map<string, unknown>()
  /** Decks that changed are read one after the other, over one connection. */
  #lane: Promise<unknown> = Promise.resolve()

  constructor(pool: pg.Pool) {
    this.#pool = pool
  }

  get version(): string | undefined {
    return this.#failures.size > 0 ? undefined : this.#version
  }

  deck(id: string): RateDeck | undefined {
    return this.#decks.get(id)
  }

  /** Reads single rates, and begins to read whole decks (`settled`). @throws also why one could not be read before */
  async refresh(): Promise<void> {
    const whole = await this.#inTurn(() => this.#catchUp())
    for (const id of [...whole, ...this.#failures.keys()]) {
      if (this.#reads.has(id)) continue
      const read = this.#readWhole(id, this.#lane)
      this.#lane = read.catch(() => undefined)
    }
    for (const failure of this.#failures.values()) throw failure
  }

  /** Resolves when the whole decks that are being read are in force. */
  async settled(): Promise<void> {
    await Promise.all(this.#reads.values())
  }

  /** Reads those of the decks that are not in memory yet. */
  async need(ids: Iterable<string>): Promise<void> {
    this.#needed = new Set([...this.#needed, ...ids])
    if (this.#version === undefined) await this.refresh()
    for (const id of ids)
      if (!this.#decks.has(id)) await (this.#reads.get(id) ?? this.#readWhole(id, Promise.resolve()))
  }

  /** Lets every other deck go. */
  keep(ids: ReadonlySet<string>): void {
    this.#needed = ids
    void this.#inTurn(() => {
      this.#decks = new Map([...this.#decks].filter(([id]) => this.#needed.has(id)))
      for (const id of this.#failures.keys()) if (!this.#needed.has(id)) this.#failures.delete(id)
      return Promise.resolve()
    })
  }

  /** @returns the decks that have to be read as a whole */
  async #catchUp(): Promise<readonly string[]> {
    const { version, decks, whole } = await inTransaction(
      this.#pool,
      async (client) => {
        const version = await readVersion(client, this.name)
        const changed =
          this.#version === undefined ? undefined : await readChanges(client, this.#version, version)
        const decks = new Map<string, RateDeck>()
        const whole: string[] = []
        for (const [id, known] of this.#decks) {
          const { deck, isWhole } = await deckNow(client, id, known, changed)
          decks.set(id, deck)
          if (isWhole) whole.push(id)
        }
        return { version, decks, whole }
      },
      oneMoment,
    )
    this.#version = version
    this.#decks = decks
    return whole
  }

  #readWhole(id: string, after: Promise<unknown>): Promise<void> {
    const read = after
      .then(async () => {
        while (!(await this.#readOnce(id)));
      })
      .catch((error: unknown) => {
        this.#reads.delete(id)
        // One that nobody has yet is asked for again by who needs it.
        if (this.#decks.has(id)) this.#failures.set(id, error)
        throw error
      })
    // Whoever waits for it hears of it, and so does the next `refresh`.
    read.catch(() => undefined)
    this.#reads.set(id, read)
    return read
  }

  /** @returns whether it is in force now; else it has changed as a whole meanwhile */
  async #readOnce(id: string): Promise<boolean> {
    const { version, deck } = await inTransaction(
      this.#pool,
      async (client) => ({
        version: await readVersion(client, this.name),
        deck: await readDeck(client, id),
      }),
      oneMoment,
    )
    // Single rates that changed meanwhile are in the old deck already; they must be in this one, too.
    return this.#inTurn(async () => {
      const now = await inTransaction(
        this.#pool,
        async (client) => {
          const changed = await readChanges(client, version, await readVersion(client, this.name))
          return deckNow(client, id, deck, changed)
        },
        oneMoment,
      )
      if (this.#needed.has(id)) this.#decks = new Map([...this.#decks, [id, now.deck]])
      if (now.isWhole) return false
      this.#failures.delete(id)
      this.#reads.delete(id)
      return true
    })
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work)
    this.#turn = done.catch(() => undefined)
    return done
  }
}

/** @param changed undefined: that is not known */
async function deckNow(
  client: pg.ClientBase,
  id: string,
  known: RateDeck,
  changed: ChangedDecks | undefined,
): Promise<{ readonly deck: RateDeck; readonly isWhole: boolean }> {
  const changes = changed === undefined ? 'whole' : changed.get(id)
  if (changes === undefined) return { deck: known, isWhole: false }
  if (changes === 'whole' || changes.size > mostChanges) return { deck: known, isWhole: true }
  const deck = known.withChanges(await readPrefixes(client, id, changes))
  return { deck, isWhole: deck.changed > mostChanges }
}
