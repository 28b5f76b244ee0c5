import pg from 'pg'
import type { BaseLogger } from 'pino'

const retryMs = 1_000

/**
 * Listens on a channel of PostgreSQL, over a connection of its own, and opens that again when it breaks. A notice
 * may be missed: what it tells of must be found without it, too.
 */
export class Notices {
  readonly #pool: pg.Pool
  readonly #channel: string
  readonly #log: BaseLogger
  /** @param payload undefined: anything may have been told while nobody listened */
  readonly #onNotice: (payload: string | undefined) => void
  #client: pg.Client | undefined
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  /** @param pool whose database it is; none of its connections is taken */
  constructor(
    pool: pg.Pool,
    channel: string,
    log: BaseLogger,
    onNotice: (payload: string | undefined) => void,
  ) {
    this.#pool = pool
    this.#channel = channel
    this.#log = log
    this.#onNotice = onNotice
    void this.#listen()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    await this.#client?.end().catch(() => undefined)
  }

  async #listen(): Promise<void> {
    const client = new pg.Client(this.#pool.options)
    this.#client = client
    client.on('notification', ({ payload }) => {
      this.#onNotice(payload)
    })
    // What is asked of it rejects; the event that comes besides must not end the process.
    client.on('error', () => undefined)
    client.once('end', () => {
      this.#listenLater()
    })
    try {
      await client.connect()
      await client.query(`LISTEN ${pg.escapeIdentifier(this.#channel)}`)
      this.#onNotice(undefined)
    } catch (error) {
      this.#log.debug({ err: error, channel: this.#channel }, 'nobody listens to PostgreSQL for now')
      await client.end().catch(() => undefined)
      this.#listenLater()
    }
  }

  #listenLater(): void {
    if (this.#isClosed) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#listen(), retryMs).unref()
  }
}
