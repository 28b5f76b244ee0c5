import { join } from 'node:path'

import type { BaseLogger } from 'pino'

import type { CallRecord } from '../store/call-record.js'
import { AsideShelf } from './aside-shelf.js'
import { DocumentIndex } from './document-index.js'
import * as entries from './entry.js'
import type { Change, Environment, Item } from './environment.js'
import { JournalError } from './errors.js'
import { EventShelf } from './event-shelf.js'
import { GiveWay } from './give-way.js'
import { hold, letGo } from './holder.js'
import { Writer } from './writer.js'

export type { AsideEntry, KeptDocument, OpenCall } from './entry.js'

export interface JournalOptions {
  /** A folder of its own; made if need be. */
  readonly dir: string
  readonly log: BaseLogger
  /**
   * Space on the disk that is set aside for the records of calls in progress, should no other be left. Default
   * 16 MiB, good for some 4,000 calls.
   */
  readonly reserveBytes?: number
  /** A write that takes longer counts as a disk that does not work, in ms. Default 10,000. */
  readonly stallMs?: number
  /** What of the disk events may take while RabbitMQ is away. Default 8 GiB, some ten million. */
  readonly maxEventBytes?: number
}

/** Where the journal of a server is. */
export function journalFolder(dataDir: string): string {
  return join(dataDir, 'journal')
}

/**
 * What this node must not forget, on its own disk: call records that are not in PostgreSQL yet, calls in progress,
 * and what the switch told of their legs beside their sessions. What is asked for at the same time is written
 * together, with one flush to the disk.
 */
export class Journal {
  readonly #env: Environment
  readonly #writer: Writer
  readonly #log: BaseLogger
  readonly #keys: entries.KeySequence
  readonly #documents = new DocumentIndex()
  readonly events: EventShelf
  /** Records that cannot be delivered. */
  readonly asideShelf: AsideShelf
  readonly #listeners = new Set<() => void>()
  #closing: Promise<void> | undefined

  private constructor(env: Environment, options: JournalOptions) {
    const { log, reserveBytes = 2 ** 24, stallMs = 10_000, maxEventBytes = 2 ** 33 } = options
    const giveWay = new GiveWay(env, log, maxEventBytes)
    this.#env = env
    this.#writer = new Writer(env, { log, reserveBytes, stallMs, giveWay })
    this.#log = log
    const newest = (['records', 'aside', 'events'] as const).map((shelf) => env.lastKey(shelf) ?? '').sort()
    this.#keys = new entries.KeySequence(newest.at(-1))
    this.events = new EventShelf({ env, writer: this.#writer, keys: this.#keys, giveWay })
    this.asideShelf = new AsideShelf({
      ...{ env, writer: this.#writer, keys: this.#keys },
      onDue: () => {
        this.#tell()
      },
    })
    for (const key of env.keys('documents')) this.#documents.add(entries.callOfDocument(key), key)
  }

  /**
   * What was set aside is due again: a newer release may know better, or somebody has mended the cause.
   *
   * @throws JournalError `held` when another process has it; Error when the folder cannot be used, in one line
   */
  static async open(options: JournalOptions): Promise<Journal> {
    const journal = new Journal(await hold(options.dir), options)
    if (!journal.isFull) await journal.retryAside()
    return journal
  }

  /**
   * Resolves when the record is on the disk, and with it what is to be published of the call's end; the call is no
   * longer open then, and what was told of its legs is forgotten. Waits for a disk that is full.
   *
   * @throws JournalError `full`, for a call that was refused before it was opened: the space is kept for others;
   *   `closed`. Either way the caller still holds the record.
   */
  async append(record: CallRecord, events: readonly string[] = []): Promise<void> {
    const openKey = entries.openKey(record.callUuid)
    // One that was opened counts as any other: something may be reserved for it, which its record releases.
    const isRefusal =
      record.refusal !== null && record.charges.length === 0 && !this.#env.has('open', openKey)
    const changes: Change[] = [
      { on: 'records', key: this.#keys.next(), text: entries.encodeRecord(record) },
      { on: 'open', key: openKey },
    ]
    const documents = this.#documents.take(openKey)
    for (const key of documents) changes.push({ on: 'documents', key })
    const published = this.events.changesFor(events)
    try {
      await this.#writer.write(isRefusal ? 'refusal' : 'record', [...changes, ...published])
    } catch (error) {
      this.#documents.add(openKey, ...documents)
      throw error
    } finally {
      if (published.length > 0) this.events.settled(published)
    }
    this.#tell()
  }

  /**
   * Remembers a call in progress, or changes what is remembered of it. Resolves when that is on the disk.
   *
   * @param data safe to be written as JSON and read back
   * @throws JournalError `full`: the call must be refused; `closed`
   */
  async openCall(uuid: string, data: unknown): Promise<void> {
    const text = entries.encodeOpenCall(uuid, data)
    await this.#writer.write('open', [{ on: 'open', key: entries.openKey(uuid), text }])
  }

  /**
   * Changes what is remembered of calls in progress, all of them by one write. A call that is not open any more,
   * because its record was appended meanwhile, stays as it is.
   *
   * @throws JournalError `full`: what was remembered before still is; `closed`
   */
  async rememberCalls(calls: readonly entries.OpenCall[]): Promise<void> {
    if (calls.length === 0) return
    await this.#writer.write(
      'open',
      calls.map(({ uuid, data }) => ({
        on: 'open',
        key: entries.openKey(uuid),
        text: entries.encodeOpenCall(uuid, data),
        mustExist: true,
      })),
    )
  }

  /**
   * Forgets a call, and what was told of its legs, that leaves no record here, because another node has its record.
   */
  dropCall(uuid: string): Promise<void> {
    const call = entries.openKey(uuid)
    // Those on the disk besides: another process may have put them there.
    const found = this.#env.keys('documents', entries.documentPrefix(uuid))
    const documents = new Set([...this.#documents.take(call), ...found])
    return this.#writer.write('removal', [
      { on: 'open', key: call },
      ...[...documents].map((key) => ({ on: 'documents' as const, key })),
    ])
  }

  /**
   * Keeps what the switch told of a leg that is over, until its call's record is appended or the call is dropped.
   * Resolves when it is on the disk. Told a second time of the same leg, it keeps the second.
   *
   * @throws JournalError `full`, `closed`: the switch must keep it itself
   */
  async keepDocument(callUuid: string, legUuid: string, text: string): Promise<void> {
    const call = entries.openKey(callUuid)
    const key = entries.documentKey(callUuid, legUuid)
    this.#documents.add(call, key)
    try {
      const entry = entries.encodeDocument({ callUuid, legUuid, text })
      await this.#writer.write('open', [{ on: 'documents', key, text: entry }])
    } catch (error) {
      // An earlier one of the leg is still there, unless there was none.
      if (isFull(error) && !this.#env.has('documents', key)) this.#documents.delete(call, key)
      throw error
    }
  }

  /** All that is kept of legs, by their calls. Without what cannot be read, which stays. */
  *documents(): Generator<entries.KeptDocument> {
    // After an outage there may be more of them than go into memory.
    let last: string | undefined
    for (;;) {
      const items = this.#env.read('documents', 100, last)
      last = items.at(-1)?.key
      if (last === undefined) return
      yield* this.#readable(items, entries.decodeDocument)
    }
  }

  /** What is kept of a call's legs: what is on the disk by now. */
  documentsOf(callUuid: string): entries.KeptDocument[] {
    const items = this.#env.readBelow('documents', entries.documentPrefix(callUuid))
    return this.#readable(items, entries.decodeDocument)
  }

  /** The calls that are open; after a start, those that a crash cut off. Without those of a newer release. */
  openCalls(): entries.OpenCall[] {
    return this.#readable(this.#env.read('open'), entries.decodeOpenCall)
  }

  /** What is remembered of a call in progress; undefined: it is not open, or a newer release has it open. */
  openCallOf(uuid: string): entries.OpenCall | undefined {
    return this.#readable(this.#env.readOne('open', entries.openKey(uuid)), entries.decodeOpenCall)[0]
  }

  /** Whether new calls must be refused. Those in progress go on: space is set aside for them. */
  get isFull(): boolean {
    return this.trouble !== undefined
  }

  /** Why new calls must be refused, in one line. */
  get trouble(): string | undefined {
    return this.#writer.trouble
  }

  /** Records that are not delivered yet. */
  get pending(): number {
    return this.#env.count('records')
  }

  /** When the oldest of them was appended, in ms since 1970. */
  get oldestPending(): number | undefined {
    const [key] = this.#env.firstKeys('records', 1)
    return key === undefined ? undefined : entries.madeAt(key)
  }

  /** Records that are set aside. */
  get aside(): number {
    return this.asideShelf.count
  }

  /** What was set aside and why, the oldest first. Without what a newer release set aside. */
  readAside(limit: number): entries.AsideEntry[] {
    return this.#readable(this.#env.read('aside', limit), entries.decodeAside)
  }

  /** Makes all that was set aside due again. @returns how many */
  retryAside(): Promise<number> {
    return this.asideShelf.retryAll()
  }

  /** For the feeder: what is due, the oldest first, those after the key `after`. */
  read(limit: number, after?: string): Item[] {
    return this.#env.read('records', limit, after)
  }

  /** For the feeder: these are delivered. */
  remove(keys: readonly string[]): Promise<void> {
    return this.#writer.write(
      'removal',
      keys.map((key) => ({ on: 'records', key })),
    )
  }

  /** For the feeder: this one cannot be delivered. */
  setAside(item: Item, reason: string): Promise<void> {
    return this.asideShelf.put(item, reason)
  }

  /** @param listener is called when something is due; @returns what ends that */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Writes what the disk still takes and lets another process have the journal. Its feeder must be closed. */
  close(): Promise<void> {
    this.#closing ??= (async () => {
      await this.#writer.close()
      this.events.close()
      // Of no weight if it fails: the next process sees that this one is gone.
      await this.#env.write([letGo]).catch(() => undefined)
      await this.#env.close()
    })()
    return this.#closing
  }

  #tell(): void {
    for (const listener of this.#listeners) listener()
  }

  #readable<T>(items: readonly Item[], decode: (text: string, key: string) => T): T[] {
    return items.flatMap(({ key, text }) => {
      try {
        return [decode(text, key)]
      } catch (error) {
        this.#log.warn({ err: error, key }, 'an entry of the journal cannot be read; it stays there')
        return []
      }
    })
  }
}

function isFull(error: unknown): boolean {
  return error instanceof JournalError && error.code === 'full'
}
