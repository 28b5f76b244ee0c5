import type pg from 'pg'
import type { Logger } from 'pino'
import { ensurePartitions } from './store/partitions.js'
import { dropOldCdrs, type Retention } from './store/retention.js'

export interface CdrMonthsOptions {
  readonly pool: pg.Pool
  /** Undefined: CDRs are kept for ever. */
  readonly retention: Retention | undefined
  readonly log: Logger
}

const everyMs = 6 * 60 * 60 * 1000

/** Makes the tables of months to come, and drops those of months that are old enough. */
export class CdrMonths {
  readonly #options: CdrMonthsOptions
  readonly #stop = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #running: Promise<unknown> = Promise.resolve()

  private constructor(options: CdrMonthsOptions) {
    this.#options = options
  }

  /** @throws when the months to come cannot be made: CDRs would have no place of their own */
  static async start(options: CdrMonthsOptions): Promise<CdrMonths> {
    await ensurePartitions(options.pool, new Date())
    const months = new CdrMonths(options)
    months.#timer = setInterval(() => {
      months.#running = months.#running.then(async () => {
        await months.#make()
        await months.#drop()
      })
    }, everyMs).unref()
    // Nobody waits for it: it may take a while.
    months.#running = months.#drop()
    return months
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    this.#stop.abort()
    await this.#running
  }

  async #make(): Promise<void> {
    const { pool, log } = this.#options
    try {
      await ensurePartitions(pool, new Date())
    } catch (error) {
      log.error({ err: error }, 'the CDR partitions of the months to come could not be made')
    }
  }

  async #drop(): Promise<void> {
    const { pool, retention, log } = this.#options
    if (retention === undefined) return
    try {
      await dropOldCdrs(pool, { retention, now: new Date(), log, signal: this.#stop.signal })
    } catch (error) {
      if (!this.#stop.signal.aborted)
        log.warn({ err: error }, 'old CDRs could not be dropped; trying again later')
    }
  }
}
