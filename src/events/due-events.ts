import { setImmediate as nextTurn } from 'node:timers/promises'

import type { BaseLogger } from 'pino'

import type { Item } from '../journal/environment.js'
import type { EventShelf } from '../journal/event-shelf.js'
import { decodeEvent, type Message } from './entry.js'

export interface DueEventsOptions {
  readonly events: Pick<EventShelf, 'read' | 'remove' | 'pending'>
  readonly log: BaseLogger
  /** Messages that are not confirmed, at once. */
  readonly window: number
  /** Whether a customer's events are left where they are for the time being. */
  readonly isResting: (customer: string) => boolean
  /** Is called when there may be more to take. */
  readonly onMore: () => void
}

export interface Due {
  readonly key: string
  readonly message: Message
}

/**
 * What of the journal is to be published, is under way, and is done: never more than a few windows of it are in memory.
 * Of one call a single event is under way: RabbitMQ may refuse one and take the next, and the next is not to be first.
 */
export class DueEvents {
  readonly #options: DueEventsOptions
  /** Keys of what is under way or done, and still in the journal. */
  readonly #taken = new Set<string>()
  /** Of them those that are not confirmed, with the call that each is of. */
  readonly #unconfirmed = new Map<string, string>()
  /** What was read of the calls that have an event under way, and waits for that. */
  readonly #held = new Map<string, Due[]>()
  /** What does not any more, and is under way itself as soon as it is taken. */
  #released: Due[] = []
  #confirmed: string[] = []
  #removing: Promise<void> | undefined
  /** Where to read on; nothing is due before, unless it was put there since. */
  #cursor: string | undefined
  /** What was left where it is since it was last read from the start. */
  #skipped = 0
  /** The window did not let anything more be taken. */
  #isFull = false
  readonly #unreadable = new Set<string>()

  constructor(options: DueEventsOptions) {
    this.#options = options
  }

  /** How many are published and not confirmed. */
  get unconfirmed(): number {
    return this.#unconfirmed.size
  }

  /** What is due, oldest first, as far as the window is open: it is under way from now on. */
  async take(): Promise<readonly Due[]> {
    const { events, window } = this.#options
    // Not for each confirmation anew. Confirmed ones that the disk does not let go are in memory, too.
    const free = Math.min(window - this.#unconfirmed.size, 4 * window - this.#taken.size)
    this.#isFull = free * 2 < window
    if (this.#isFull) return this.#released.splice(0)
    for (;;) {
      const items = events.read(free, this.#cursor)
      this.#cursor = items.at(-1)?.key ?? this.#cursor
      const due = [...this.#released.splice(0), ...items.flatMap((item) => this.#dueOf(item))]
      if (items.length === 0 || due.length > 0) return due
      // Of those that rest there may be millions.
      await nextTurn()
    }
  }

  #dueOf({ key, text }: Item): Due[] {
    if (this.#taken.has(key)) return []
    const message = decodeEvent(text)
    if (message === undefined && !this.#unreadable.has(key)) {
      this.#unreadable.add(key)
      this.#options.log.warn({ key }, 'an event in the journal cannot be read; it stays there')
    }
    if (message === undefined || this.#options.isResting(message.customer)) {
      this.#skipped++
      return []
    }
    this.#taken.add(key)
    const held = this.#held.get(message.call)
    if (held !== undefined) {
      held.push({ key, message })
      return []
    }
    this.#held.set(message.call, [])
    this.#unconfirmed.set(key, message.call)
    return [{ key, message }]
  }

  /** It goes from the journal, with others that are done. */
  done(key: string): void {
    const call = this.#unconfirmed.get(key) ?? ''
    this.#unconfirmed.delete(key)
    this.#confirmed.push(key)
    this.#removing ??= this.#remove()
    const next = this.#held.get(call)?.shift()
    if (next === undefined) this.#held.delete(call)
    else {
      this.#unconfirmed.set(next.key, call)
      this.#released.push(next)
    }
    const { size } = this.#unconfirmed
    if (next !== undefined || size === 0 || (this.#isFull && size * 2 <= this.#options.window))
      this.#options.onMore()
  }

  /** It is not under way any more, and is due again when it is read from the start; its call's later ones after it. */
  leave(key: string): void {
    const call = this.#unconfirmed.get(key) ?? ''
    const held = this.#held.get(call) ?? []
    this.#held.delete(call)
    this.#unconfirmed.delete(key)
    for (const each of [key, ...held.map((due) => due.key)]) {
      this.#taken.delete(each)
      this.#skipped++
    }
  }

  /** What is under way never came to its end: it is due again. */
  leaveAll(): void {
    for (const key of [...this.#unconfirmed.keys()]) this.leave(key)
    this.#released = []
    this.rewind()
  }

  /** Reads from the start: something there may be due. */
  rewind(): void {
    this.#cursor = undefined
    this.#skipped = 0
    this.#options.onMore()
  }

  /** Looks whether another process has put something into the journal. */
  look(): void {
    if (this.#options.events.pending > this.#taken.size + this.#skipped) this.rewind()
  }

  /** Ends when what is done is out of the journal. */
  async close(): Promise<void> {
    await this.#removing
  }

  /** All that has come together while the last ones were taken away. */
  async #remove(): Promise<void> {
    while (this.#confirmed.length > 0) {
      const keys = this.#confirmed.splice(0)
      // When the journal is closed they stay, and go out once more.
      await this.#options.events.remove(keys).catch(() => undefined)
      for (const key of keys) this.#taken.delete(key)
      this.#options.onMore()
    }
    this.#removing = undefined
  }
}
