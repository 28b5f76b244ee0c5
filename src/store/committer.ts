import { setTimeout as delay } from 'node:timers/promises'

import type pg from 'pg'
import type { BaseLogger } from 'pino'

import { commitRecords, type CallRecord } from './commit.js'
import { CommitError, isServerTrouble } from './errors.js'

export interface CommitterOptions {
  readonly pool: pg.Pool
  readonly log: BaseLogger
  /** Records a statement. Default 500. */
  readonly maxBatch?: number
  /** Statements at the same time. Default 2: one is prepared while the other waits for the disk. */
  readonly concurrency?: number
}

/** `known`: the database had the call already, be it from an attempt whose answer was lost. */
export type Committed = 'new' | 'known'

interface Waiting {
  readonly record: CallRecord
  readonly resolve: (committed: Committed) => void
  readonly reject: (error: CommitError) => void
}

const firstDelayMs = 100
const longestDelayMs = 5_000

/**
 * Commits call records as they come. Those that arrive while statements run make up the next batch: alone, a
 * record goes at once; under load, batches grow by themselves.
 */
export class Committer {
  readonly #pool: pg.Pool
  readonly #log: BaseLogger
  readonly #maxBatch: number
  readonly #concurrency: number
  readonly #queue: Waiting[] = []
  readonly #unsettled = new Set<Waiting>()
  readonly #abort = new AbortController()
  readonly #drains: (() => void)[] = []
  #running = 0
  #isScheduled = false
  #isAway = false

  constructor({ pool, log, maxBatch = 500, concurrency = 2 }: CommitterOptions) {
    this.#pool = pool
    this.#log = log
    this.#maxBatch = maxBatch
    this.#concurrency = concurrency
  }

  /** Records whose `commit` has not settled yet. */
  get pending(): number {
    return this.#unsettled.size
  }

  /**
   * Settles when the record is durable, however long the database is away.
   *
   * @throws CommitError `refused`, the record itself is at fault; `aborted`, the drain gave up. Either way the
   *   caller still holds the record.
   */
  commit(record: CallRecord): Promise<Committed> {
    return new Promise((resolve, reject) => {
      if (this.#abort.signal.aborted) {
        reject(aborted(record))
        return
      }
      const waiting = { record, resolve, reject }
      this.#unsettled.add(waiting)
      this.#queue.push(waiting)
      this.#schedule()
    })
  }

  /**
   * Resolves when nothing is pending any more.
   *
   * @param signal gives up: what is pending then rejects with `aborted`, and so does every later `commit`
   */
  drain(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const giveUp = () => {
        this.#giveUp()
      }
      this.#drains.push(() => {
        signal?.removeEventListener('abort', giveUp)
        resolve()
      })
      if (signal?.aborted) giveUp()
      else signal?.addEventListener('abort', giveUp, { once: true })
      this.#notifyDrained()
    })
  }

  /** At the end of this turn, so that records which arrive together go together. */
  #schedule(): void {
    if (this.#isScheduled || this.#running >= this.#concurrency) return
    this.#isScheduled = true
    queueMicrotask(() => {
      this.#isScheduled = false
      if (this.#queue.length === 0 || this.#running >= this.#concurrency) return
      const batch = this.#queue.splice(0, this.#maxBatch)
      this.#running++
      void this.#commitBatch(batch).then(() => {
        this.#running--
        this.#schedule()
      })
      this.#schedule()
    })
  }

  async #commitBatch(batch: readonly Waiting[]): Promise<void> {
    for (let attempt = 0; !this.#abort.signal.aborted; attempt++) {
      try {
        const fresh = await commitRecords(
          this.#pool,
          batch.map(({ record }) => record),
        )
        this.#setAway(undefined)
        for (const waiting of batch) {
          // Of the same record twice in a batch only one was new.
          const isNew = fresh.delete(waiting.record.callUuid)
          this.#settle(waiting, () => {
            waiting.resolve(isNew ? 'new' : 'known')
          })
        }
        return
      } catch (error) {
        if (!isServerTrouble(error)) {
          await this.#isolate(batch, error)
          return
        }
        this.#setAway(error)
      }
      const delayMs = Math.min(firstDelayMs * 2 ** attempt, longestDelayMs) * (0.5 + Math.random() / 2)
      await delay(delayMs, undefined, { signal: this.#abort.signal }).catch(() => undefined)
    }
  }

  /** Halves a batch until the record that is at fault stands alone. */
  async #isolate(batch: readonly Waiting[], error: unknown): Promise<void> {
    const [first] = batch
    if (batch.length === 1 && first) {
      const why = error instanceof Error ? error.message : String(error)
      this.#settle(first, () => {
        first.reject(
          error instanceof CommitError
            ? error
            : new CommitError('refused', `call ${first.record.callUuid} is refused: ${why}`, {
                cause: error,
              }),
        )
      })
      return
    }
    const middle = batch.length >> 1
    await this.#commitBatch(batch.slice(0, middle))
    await this.#commitBatch(batch.slice(middle))
  }

  #settle(waiting: Waiting, tell: () => void): void {
    if (!this.#unsettled.delete(waiting)) return
    tell()
    this.#notifyDrained()
  }

  #notifyDrained(): void {
    if (this.#unsettled.size > 0) return
    for (const drained of this.#drains.splice(0)) drained()
  }

  #giveUp(): void {
    this.#abort.abort()
    this.#queue.length = 0
    for (const waiting of this.#unsettled) {
      this.#settle(waiting, () => {
        waiting.reject(aborted(waiting.record))
      })
    }
  }

  /** Once when the database goes, once when it is back. */
  #setAway(error: unknown): void {
    const isAway = error !== undefined
    if (isAway === this.#isAway) return
    this.#isAway = isAway
    if (isAway)
      this.#log.warn({ err: error, pending: this.pending }, 'PostgreSQL does not commit: call records wait')
    else this.#log.info({ pending: this.pending }, 'PostgreSQL commits again')
  }
}

function aborted(record: CallRecord): CommitError {
  return new CommitError('aborted', `call ${record.callUuid}: the wait for PostgreSQL was given up`)
}
