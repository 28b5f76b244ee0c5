import type pg from 'pg'

/** What is read again when its version, a row of `catalog_version`, is another one. */
export interface Part {
  readonly name: 'directory' | 'rates' | 'numbers' | 'flows'
  /** That was read last. */
  readonly version: string | undefined
  /** Reads what there is now. */
  refresh(): Promise<void>
  /** Resolves when what `refresh` has begun to read apart is in force. */
  settled?(): Promise<void>
}

export interface FollowerOptions {
  readonly pool: pg.Pool
  /** How often the version is asked for without a notice, in ms. */
  readonly pollMs: number
  /** Told how each question of its own went; undefined: well. */
  readonly onAsked: (part: Part, error: unknown) => void
}

/** After a reading, the next one that a notice asks for waits this many times as long as it took, and at most so long. */
const restTimes = 4
const longestRestMs = 1_500

/** Keeps a part up to date: at a notice, and from time to time without one. */
export class Follower {
  readonly #part: Part
  readonly #options: FollowerOptions
  #isNoticed = false
  #isClosed = false
  #goOn: () => void = () => undefined
  #stopResting: () => void = () => undefined
  /** Until when, by the monotonic clock in ms, notices are gathered: reading must not take up all of a node's time. */
  #restsUntil = 0
  readonly #following: Promise<void>
  /** Never rejects. */
  #running: Promise<unknown> = Promise.resolve()
  #next: Promise<void> | undefined

  constructor(part: Part, options: FollowerOptions) {
    this.#part = part
    this.#options = options
    this.#following = this.#follow()
  }

  /** @param part that changed; undefined: any may have */
  notice(part?: string): void {
    if (part !== undefined && part !== this.#part.name) return
    this.#isNoticed = true
    this.#goOn()
  }

  /** When it resolves, everything that was committed before the call is in force. */
  async reload(): Promise<void> {
    await this.#askNext()
    await this.#part.settled?.()
  }

  #askNext(): Promise<void> {
    // The one that runs may have looked before that commit; the next one serves all who ask until it begins.
    this.#next ??= this.#running.then(() => {
      this.#next = undefined
      const run = this.#ask()
      this.#running = run.catch(() => undefined)
      return run
    })
    return this.#next
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#goOn()
    this.#stopResting()
    await this.#following
    await this.#running
    await this.#part.settled?.().catch(() => undefined)
  }

  async #follow(): Promise<void> {
    for (;;) {
      await this.#pause()
      await this.#rest()
      if (this.#isClosed) return
      const error: unknown = await this.#askNext().then(
        () => undefined,
        (error: unknown) => error,
      )
      this.#options.onAsked(this.#part, error)
    }
  }

  async #pause(): Promise<void> {
    if (!this.#isNoticed && !this.#isClosed)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, this.#options.pollMs).unref()
        this.#goOn = () => {
          clearTimeout(timer)
          resolve()
        }
      })
  }

  /** What is noticed meanwhile is read with the rest. */
  async #rest(): Promise<void> {
    const restMs = this.#restsUntil - performance.now()
    if (restMs > 0 && !this.#isClosed)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, restMs).unref()
        this.#stopResting = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    this.#isNoticed = false
  }

  async #ask(): Promise<void> {
    const version = await readVersion(this.#options.pool, this.#part.name)
    if (version === this.#part.version) return
    const begun = performance.now()
    try {
      await this.#part.refresh()
    } finally {
      const now = performance.now()
      this.#restsUntil = now + Math.min(longestRestMs, restTimes * (now - begun))
    }
  }
}

export async function readVersion(db: pg.Pool | pg.ClientBase, part: Part['name']): Promise<string> {
  const { rows } = await db.query<{ version: string }>(
    'SELECT version FROM catalog_version WHERE part = $1',
    [part],
  )
  const [row] = rows
  if (!row) throw new Error(`catalog_version has no row of ${part}`)
  return row.version
}
