import { setTimeout as delay } from 'node:timers/promises'

import pg from 'pg'
import type { BaseLogger } from 'pino'

import { commitRecords, type CallRecord, type CommitOptions } from '../store/commit.js'
import { isServerTrouble } from '../store/errors.js'
import type { LowBalance } from '../store/low-balance.js'
import { decodeRecord } from './entry.js'
import type { Item } from './environment.js'
import type { Journal } from './journal.js'
import { settleOthers } from './other-records.js'

export interface FeederOptions {
  readonly journal: Journal
  readonly pool: pg.Pool
  readonly log: BaseLogger
  /** Told of each tenant whose balance a commit of this node took below its threshold. */
  readonly onLowBalance?: (low: LowBalance) => void
  /** Records a statement. Default 500. */
  readonly maxBatch?: number
  /** Statements at the same time. Default 3: one is prepared, one is carried out, one waits for the disk. */
  readonly lanes?: number
}

interface Due extends Item {
  readonly record: CallRecord
}

const firstDelayMs = 100
const longestDelayMs = 5_000
/** How often it is looked for what another process put into the journal. */
const pollMs = 1_000
/** So many times the server fails at one record, having been well right before: then it is the record. */
const maxFailures = 5

/**
 * Delivers the journal to PostgreSQL, however long that is away. A record alone goes at once; under load,
 * batches grow by themselves. Never more than the batches that are under way are in memory.
 */
export class Feeder {
  readonly #journal: Journal
  readonly #pool: pg.Pool
  readonly #log: BaseLogger
  readonly #commitOptions: CommitOptions
  readonly #maxBatch: number
  readonly #abort = new AbortController()
  readonly #lanes: Promise<void>[]
  readonly #unsubscribe: () => void
  readonly #timer: NodeJS.Timeout
  /** Keys of what is under way. */
  readonly #taken = new Set<string>()
  /** Where to read on; nothing is due before, unless it was put there since. */
  #cursor: string | undefined
  #sleepers: (() => void)[] = []
  #drains: (() => void)[] = []
  #isAway = false
  /** Records that were alone in their statement when the server failed, and how often it had been well before. */
  readonly #suspects = new Map<string, number>()

  constructor({ journal, pool, log, onLowBalance, maxBatch = 500, lanes = 3 }: FeederOptions) {
    this.#journal = journal
    this.#pool = pool
    this.#log = log
    this.#commitOptions = onLowBalance === undefined ? {} : { onLowBalance }
    this.#maxBatch = maxBatch
    this.#unsubscribe = journal.subscribe(() => {
      this.#wake()
    })
    this.#timer = setInterval(() => {
      this.#wake()
    }, pollMs).unref()
    this.#lanes = Array.from({ length: lanes }, () => this.#lane())
  }

  /** Whether PostgreSQL took what was last offered to it. */
  get isAway(): boolean {
    return this.#isAway
  }

  /**
   * Waits until nothing in the journal is due any more, or until `signal` says that it is enough.
   *
   * @returns whether all is delivered or set aside
   */
  async drain(signal?: AbortSignal): Promise<boolean> {
    while (this.#journal.pending > 0 && !signal?.aborted && !this.#abort.signal.aborted)
      await new Promise<void>((resolve) => {
        this.#drains.push(resolve)
        signal?.addEventListener(
          'abort',
          () => {
            resolve()
          },
          { once: true },
        )
      })
    return this.#journal.pending === 0
  }

  /** Ends when the statements under way have. What is left stays in the journal, which must be open until then. */
  async close(): Promise<void> {
    this.#abort.abort()
    clearInterval(this.#timer)
    this.#unsubscribe()
    this.#wake()
    await Promise.all(this.#lanes)
  }

  async #lane(): Promise<void> {
    let size = this.#maxBatch
    let attempt = 0
    while (!this.#abort.signal.aborted) {
      const batch = this.#take(size)
      if (batch.length === 0) {
        this.#notifyDrained()
        await new Promise<void>((resolve) => this.#sleepers.push(resolve))
        continue
      }
      const isSuspect = batch.length === 1 && this.#suspects.has(batch[0]?.key ?? '')
      const wasWell = isSuspect && (await this.#isWell())
      try {
        await this.#deliver(batch)
        this.#setAway(undefined)
        size = Math.min(size * 2, this.#maxBatch)
        attempt = 0
      } catch (error) {
        this.#setAway(error)
        await this.#suspect(batch, error, wasWell)
        // Smaller ones, down to one: if a record is what the server fails at, the others get by it.
        size = Math.max(1, batch.length >> 1)
        await this.#pause(wasWell ? 0 : attempt++)
      } finally {
        for (const { key } of batch) this.#taken.delete(key)
      }
    }
    this.#notifyDrained()
  }

  /** What is due and not under way, oldest first, at most `size`: it is under way from now on. */
  #take(size: number): Item[] {
    const batch: Item[] = []
    // Once more from the start where nothing is left behind the cursor: another process may have put something
    // there, and what failed is there too.
    for (const from of this.#cursor === undefined ? [undefined] : [this.#cursor, undefined]) {
      let last = from
      while (batch.length < size) {
        const items = this.#journal.read(this.#maxBatch, last)
        last = items.at(-1)?.key
        if (last === undefined) break
        batch.push(...items.filter(({ key }) => !this.#taken.has(key)).slice(0, size - batch.length))
      }
      if (batch.length > 0) break
    }
    for (const { key } of batch) this.#taken.add(key)
    this.#cursor = batch.at(-1)?.key
    return batch
  }

  /** @throws when the server is in trouble; what has not been delivered by then is still in the journal */
  async #deliver(batch: readonly Item[]): Promise<void> {
    const due: Due[] = []
    for (const item of batch)
      try {
        due.push({ ...item, record: decodeRecord(item.text) })
      } catch (error) {
        await this.#setAside(item, error)
      }
    await this.#commit(due)
  }

  /** Halves a batch that PostgreSQL refuses until the record that is at fault stands alone. */
  async #commit(due: readonly Due[]): Promise<void> {
    const [first] = due
    if (first === undefined || this.#abort.signal.aborted) return
    let fresh: ReadonlySet<string>
    try {
      fresh = await commitRecords(
        this.#pool,
        due.map(({ record }) => record),
        this.#commitOptions,
      )
    } catch (error) {
      if (isServerTrouble(error)) throw error
      if (due.length === 1) await this.#setAside(first, error)
      else {
        const middle = due.length >> 1
        await this.#commit(due.slice(0, middle))
        await this.#commit(due.slice(middle))
      }
      return
    }
    const doubtful = await settleOthers(this.#pool, due, fresh, this.#commitOptions)
    const done = due.filter((item) => !doubtful.has(item))
    await this.#unlessClosed(this.#journal.remove(done.map(({ key }) => key)))
    for (const [item, reason] of doubtful) await this.#setAside(item, new Error(reason))
  }

  async #setAside(item: Item, error: unknown): Promise<void> {
    const reason = error instanceof Error ? error.message : String(error)
    this.#log.error({ err: error, entry: item.text }, 'a call record cannot be delivered: it is set aside')
    await this.#unlessClosed(this.#journal.setAside(item, reason))
  }

  /** Finds out whether it is one record that the server fails at: a time-out, a crash. */
  async #suspect([item, ...others]: readonly Item[], error: unknown, wasWell: boolean): Promise<void> {
    if (item === undefined || others.length > 0) {
      // Its first part comes next. After a single one, the next one does.
      this.#cursor = undefined
      return
    }
    // What else the server says is about itself: a full disk, a lock, a restart.
    const mayBeItsFault = !(error instanceof pg.DatabaseError) || /^(57014|XX)/.test(error.code ?? '')
    const failures = (this.#suspects.get(item.key) ?? 0) + (wasWell && mayBeItsFault ? 1 : 0)
    // During an outage every record is alone some time.
    if (this.#suspects.size >= 1_000) this.#suspects.clear()
    this.#suspects.set(item.key, failures)
    if (failures < maxFailures) return
    await this.#setAside(item, error)
    this.#suspects.delete(item.key)
    this.#setAway(undefined)
  }

  async #isWell(): Promise<boolean> {
    return this.#pool.query('SELECT').then(
      () => true,
      () => false,
    )
  }

  async #pause(attempt: number): Promise<void> {
    const ms = Math.min(firstDelayMs * 2 ** attempt, longestDelayMs) * (0.5 + Math.random() / 2)
    await delay(ms, undefined, { signal: this.#abort.signal }).catch(() => undefined)
  }

  /** A journal that cannot write must not hold up the end: what is delivered twice is known. */
  async #unlessClosed(written: Promise<void>): Promise<void> {
    const { signal } = this.#abort
    let end = (): void => undefined
    const ended = new Promise<void>((resolve) => {
      end = resolve
    })
    signal.addEventListener('abort', end)
    if (signal.aborted) end()
    try {
      await Promise.race([written, ended])
    } finally {
      signal.removeEventListener('abort', end)
    }
  }

  #wake(): void {
    for (const wake of this.#sleepers.splice(0)) wake()
  }

  #notifyDrained(): void {
    for (const drained of this.#drains.splice(0)) drained()
  }

  /** Once when the database goes, once when it is back. */
  #setAway(error: unknown): void {
    const isAway = error !== undefined
    if (isAway === this.#isAway) return
    this.#isAway = isAway
    const { pending } = this.#journal
    if (isAway) this.#log.warn({ err: error, pending }, 'PostgreSQL does not commit: call records wait')
    else this.#log.info({ pending }, 'PostgreSQL commits again')
  }
}
