import type { Redis } from 'ioredis'
import type { BaseLogger } from 'pino'
import { replies } from '../../screening/redis.js'

export interface NodesOptions {
  /** This node's own name. */
  readonly id: string
  readonly redis: Redis
  readonly log: BaseLogger
  /** How often this node says that it lives, and looks whether others do, in ms. Default 5,000. */
  readonly heartbeatMs?: number
  /** How long Redis keeps what a node said last, in ms. Default 15,000. */
  readonly leaseMs?: number
  /** How long another node must not have been there, at each look, to count as dead, in ms. Default 20,000. */
  readonly deadAfterMs?: number
  /** A monotonic clock, in ms. */
  readonly now?: () => number
}

interface Watched {
  /** When it was missing first; undefined: it was there at the last look, or nobody could look. */
  missingSince: number | undefined
  isDead: boolean
  /** Nobody has asked for it since so many looks. */
  unasked: number
}

/** A node that nobody has asked for at so many looks is not looked for any more: some ten minutes. */
const forgetAfterLooks = 120

/**
 * Which nodes live. Each says so in Redis; one that is missing long enough there, as seen from here, is dead. While
 * Redis cannot be asked nobody is: better a call that no one extends for a while than two that meddle with it.
 */
export class Nodes {
  readonly id: string
  readonly #redis: Redis
  readonly #log: BaseLogger
  readonly #heartbeatMs: number
  readonly #leaseMs: number
  readonly #deadAfterMs: number
  readonly #now: () => number
  readonly #others = new Map<string, Watched>()
  readonly #listeners = new Set<(id: string) => void>()
  readonly #heartbeat: NodeJS.Timeout
  #beating: Promise<void> | undefined
  #lastLookAt = -Infinity
  #isClosed = false
  readonly #onTime = (): void => {
    void this.beat()
  }

  /** Begins at once to say that this node lives. */
  constructor(options: NodesOptions) {
    const { id, redis, log, heartbeatMs = 5_000, leaseMs = 15_000, deadAfterMs = 20_000 } = options
    this.id = id
    this.#redis = redis
    this.#log = log
    this.#heartbeatMs = heartbeatMs
    this.#leaseMs = leaseMs
    this.#deadAfterMs = deadAfterMs
    this.#now = options.now ?? (() => performance.now())
    this.#heartbeat = setInterval(this.#onTime, heartbeatMs).unref()
    redis.on('ready', this.#onTime)
    this.#onTime()
  }

  /** From the first time that it is asked for, a node is looked for. This one is never dead. */
  isDead(id: string): boolean {
    if (id === this.id) return false
    const node = this.#others.get(id) ?? { missingSince: undefined, isDead: false, unasked: 0 }
    node.unasked = 0
    this.#others.set(id, node)
    return node.isDead
  }

  /** Nobody serves its calls: it is dead, or it is this one, which knows those that it serves. */
  servesNoMore(id: string): boolean {
    return id === this.id || this.isDead(id)
  }

  /** @param listener is told of each node that has just been found dead; @returns what ends that */
  onDead(listener: (id: string) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** What happens at each heartbeat. Resolves when Redis has answered, or could not be asked. */
  beat(): Promise<void> {
    if (this.#isClosed) return Promise.resolve()
    this.#beating ??= this.#beat().finally(() => {
      this.#beating = undefined
    })
    return this.#beating
  }

  /** This node is gone at once for the others, should Redis be there to say so. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#heartbeat)
    this.#redis.off('ready', this.#onTime)
    await this.#beating
    // If it fails, what it said lapses.
    await this.#redis.del(nodeKey(this.id)).catch(() => undefined)
  }

  async #beat(): Promise<void> {
    const ids = [...this.#others.keys()]
    const commands = this.#redis.pipeline().set(nodeKey(this.id), '1', 'PX', this.#leaseMs)
    if (ids.length > 0) commands.mget(ids.map(nodeKey))
    try {
      const [, found] = (await replies(commands)) as [unknown, (string | null)[] | undefined]
      this.#look(ids, found ?? [])
    } catch {
      // Said by Redis' own client, once an outage.
      for (const node of this.#others.values()) {
        node.missingSince = undefined
        node.isDead = false
      }
      this.#lastLookAt = -Infinity
    }
  }

  #look(ids: readonly string[], found: readonly (string | null)[]): void {
    const now = this.#now()
    // This process, or the whole machine, stood still: the others may have as well.
    const isLate = now - this.#lastLookAt > 3 * this.#heartbeatMs
    this.#lastLookAt = now
    ids.forEach((id, i) => {
      const node = this.#others.get(id)
      if (node === undefined) return
      if (++node.unasked > forgetAfterLooks) {
        this.#others.delete(id)
        return
      }
      if (found[i] !== null) node.missingSince = undefined
      else if (isLate || node.missingSince === undefined) node.missingSince = now
      const isDead = node.missingSince !== undefined && now - node.missingSince >= this.#deadAfterMs
      const wasDead = node.isDead
      node.isDead = isDead
      if (isDead !== wasDead) this.#tell(id, isDead)
    })
  }

  #tell(id: string, isDead: boolean): void {
    if (!isDead) {
      this.#log.info({ node: id }, 'a node that was dead lives again')
      return
    }
    this.#log.warn({ node: id }, 'a node is dead: its calls are looked after from here')
    for (const listener of this.#listeners) listener(id)
  }
}

function nodeKey(id: string): string {
  return `linger:node:${id}`
}
