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

/** Keeps a part up to date: at a notice, and from time to time without one. */
export class Follower {
  readonly #part: Part
  readonly #options: FollowerOptions
  #isNoticed = false
  #isClosed = false
  #goOn: () => void = () => undefined
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
    await this.#following
    await this.#running
    await this.#part.settled?.().catch(() => undefined)
  }

  async #follow(): Promise<void> {
    for (;;) {
      await this.#pause()
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
    this.#isNoticed = false
  }

  async #ask(): Promise<void> {
    const version = await readVersion(this.#options.pool, this.#part.name)
    if (version !== this.#part.version) await this.#part.refresh()
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
