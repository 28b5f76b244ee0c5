import type { Change, Environment, Item } from './environment.js'
import type { KeySequence } from './entry.js'
import type { GiveWay } from './give-way.js'
import type { Writer } from './writer.js'

export interface EventShelfOptions {
  readonly env: Environment
  readonly writer: Writer
  readonly keys: KeySequence
  readonly giveWay: GiveWay
}

/**
 * Events for other programs that RabbitMQ has not confirmed, as texts, in the order in which they came. Nobody waits
 * for them: they are written along with what somebody does wait for, or a little later, and they are what is lost first
 * when space runs out.
 */
export class EventShelf {
  readonly #env: Environment
  readonly #writer: Writer
  readonly #keys: KeySequence
  readonly #giveWay: GiveWay
  readonly #listeners = new Set<() => void>()
  /** Keys that are not on the disk yet, in their order. */
  readonly #unwritten = new Set<string>()
  #telling: NodeJS.Immediate | undefined

  constructor({ env, writer, keys, giveWay }: EventShelfOptions) {
    this.#env = env
    this.#writer = writer
    this.#keys = keys
    this.#giveWay = giveWay
  }

  /** Takes it in. It is on the disk soon, unless space runs out: then it is counted as lost. */
  add(text: string): void {
    if (this.#writer.trouble !== undefined) {
      this.#giveWay.lost(1)
      return
    }
    const changes = this.changesFor([text])
    this.#writer
      .soon('event', changes)
      .catch(() => {
        this.#giveWay.lost(1)
      })
      .finally(() => {
        this.settled(changes)
      })
  }

  /** For the journal: what puts them there, with a record. `settled` must follow. */
  changesFor(texts: readonly string[]): Change[] {
    return texts.map((text) => {
      const key = this.#keys.next()
      this.#unwritten.add(key)
      return { on: 'events', key, text }
    })
  }

  /** For the journal: these are on the disk, or will never be. */
  settled(changes: readonly Change[]): void {
    for (const { key } of changes) this.#unwritten.delete(key)
    // Once for all that one transaction brought.
    this.#telling ??= setImmediate(() => {
      this.#telling = undefined
      for (const listener of this.#listeners) listener()
    })
  }

  /**
   * What waits, the oldest first, those after the key `after`. An event that is on the disk is not seen before those
   * that came earlier are: a later write may be done first.
   */
  read(limit: number, after?: string): Item[] {
    const [first] = this.#unwritten
    return this.#env.read('events', limit, after, first)
  }

  /** These are delivered. Not at once: with what is written next. */
  remove(keys: readonly string[]): Promise<void> {
    return this.#writer.soon(
      'removal',
      keys.map((key) => ({ on: 'events', key })),
    )
  }

  /** How many wait, on the disk or to get there. */
  get pending(): number {
    return this.#env.count('events') + this.#unwritten.size
  }

  /** How many were lost since the start, for want of space. */
  get dropped(): number {
    return this.#giveWay.dropped
  }

  /** @param listener is called when something may be there to be read; @returns what ends that */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Tells nobody any more. */
  close(): void {
    clearImmediate(this.#telling)
    this.#listeners.clear()
  }
}
