import type { Redis } from 'ioredis'

export interface LocksOptions {
  readonly redis: Redis
  /** Who holds them: this node. */
  readonly owner: string
  /** Of their keys in Redis. */
  readonly prefix: string
  /** How long a lock outlives its holder, in ms. Default 90,000. */
  readonly leaseMs?: number
  /** How often a holder says that it still needs them, in ms. Default 30,000. */
  readonly renewMs?: number
  /** Is told of a lock that somebody else holds now. */
  readonly onLost: (name: string) => void
}

/** KEYS: a lock. ARGV: who wants it, for how long in ms. Answers 1 to its holder. */
const takeScript = `
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1`
const releaseScript = `
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`

/**
 * Leases in Redis: of several nodes one does a thing. For what is better done twice than not at all: while Redis is
 * away whoever asks has the lock.
 */
export class Locks {
  readonly #options: LocksOptions
  readonly #leaseMs: number
  readonly #held = new Set<string>()
  readonly #renewal: NodeJS.Timeout

  constructor(options: LocksOptions) {
    const { leaseMs = 90_000, renewMs = 30_000 } = options
    this.#options = options
    this.#leaseMs = leaseMs
    this.#renewal = setInterval(() => void this.renew(), renewMs).unref()
  }

  /** @returns false when another one has it */
  async take(name: string): Promise<boolean> {
    this.#held.add(name)
    const isMine = await this.#ask(name)
    if (!isMine) this.#held.delete(name)
    return isMine
  }

  /** Does nothing for one that is not held. */
  release(name: string): void {
    void this.#release(name)
  }

  /** What happens at each renewal. */
  async renew(): Promise<void> {
    await Promise.all(
      [...this.#held].map(async (name) => {
        if ((await this.#ask(name)) || !this.#held.delete(name)) return
        this.#options.onLost(name)
      }),
    )
  }

  /** Releases all. */
  async close(): Promise<void> {
    clearInterval(this.#renewal)
    await Promise.all([...this.#held].map((name) => this.#release(name)))
  }

  async #ask(name: string): Promise<boolean> {
    const { redis, owner, prefix } = this.#options
    try {
      return (await redis.eval(takeScript, 1, prefix + name, owner, this.#leaseMs)) === 1
    } catch {
      // Redis' own client says so, once an outage.
      return true
    }
  }

  async #release(name: string): Promise<void> {
    const { redis, owner, prefix } = this.#options
    // If it fails, it lapses.
    if (this.#held.delete(name))
      await redis.eval(releaseScript, 1, prefix + name, owner).catch(() => undefined)
  }
}
