import type { Redis } from 'ioredis'
import type { BaseLogger } from 'pino'

import type { CallEvent } from './call-event.js'

export interface CallStatsOptions {
  readonly redis: Pick<Redis, 'pipeline'>
  readonly log: BaseLogger
  /** Ids that are kept while Redis is away. Default 100,000. */
  readonly maxPending?: number
}

/** What of an event is counted. */
export type Counted = Pick<CallEvent, 'customer_id' | 'call_status' | 'call_id'>

/** How long calls are collected, and how long it takes to try again, in ms. */
const collectMs = 100
const retryMs = 1_000
const keptSeconds = 86_400
/** Ids of one command. */
const maxIds = 5_000

/**
 * The sets `stats:calls:{customer_id}:{call_status}` of call ids in Redis, for other programs. A set goes a day after
 * its first call: one that is never left alone would otherwise grow for ever.
 */
export class CallStats {
  readonly #redis: CallStatsOptions['redis']
  readonly #log: BaseLogger
  readonly #maxPending: number
  /** Ids by set. */
  #pending = new Map<string, Set<string>>()
  #count = 0
  #dropped = 0
  /** How many had been when Redis took some last. */
  #droppedBefore = 0
  #isAway = false
  /** `EXPIRE … NX` is there since Redis 7. */
  #knowsNx = true
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> | undefined
  #isClosed = false

  constructor({ redis, log, maxPending = 100_000 }: CallStatsOptions) {
    this.#redis = redis
    this.#log = log
    this.#maxPending = maxPending
  }

  /** How many were lost since the start, because Redis was away for long. */
  get dropped(): number {
    return this.#dropped
  }

  add({ customer_id: customer, call_status: status, call_id: call }: Counted): void {
    if (this.#isClosed) return
    if (this.#count >= this.#maxPending) {
      if (this.#dropped++ === this.#droppedBefore)
        this.#log.warn({ pending: this.#count }, 'Redis is away for long: statistics of calls are lost')
      return
    }
    const key = `stats:calls:${customer}:${status}`
    const known = this.#pending.get(key)
    if (known === undefined) this.#pending.set(key, new Set([call]))
    else known.add(call)
    this.#count++
    this.#writeIn(collectMs)
  }

  /** Writes what there is, if Redis takes it. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    await this.#writing
    if (this.#count > 0) await this.#write()
  }

  #writeIn(ms: number): void {
    if (this.#writing === undefined)
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined
        this.#writing = this.#write().finally(() => {
          this.#writing = undefined
          if (this.#count > 0 && !this.#isClosed) this.#writeIn(this.#isAway ? retryMs : collectMs)
        })
      }, ms).unref()
  }

  async #write(): Promise<void> {
    const sets = this.#pending
    const count = this.#count
    this.#pending = new Map()
    this.#count = 0
    const commands = this.#redis.pipeline()
    for (const [key, ids] of sets) {
      const all = [...ids]
      for (let i = 0; i < all.length; i += maxIds) commands.sadd(key, ...all.slice(i, i + maxIds))
      // A set that has its end keeps it.
      if (this.#knowsNx) commands.expire(key, keptSeconds, 'NX')
      else commands.expire(key, keptSeconds)
    }
    try {
      const results = await commands.exec()
      for (const [error] of results ?? []) if (error) throw error
      this.#isAway = false
      this.#tellDropped()
    } catch (error) {
      if (error instanceof Error && error.message.includes('wrong number of arguments')) this.#knowsNx = false
      // Its client says so. A set takes the same id twice.
      this.#isAway = true
      for (const [key, ids] of this.#pending) for (const id of ids) (sets.get(key) ?? put(sets, key)).add(id)
      this.#pending = sets
      this.#count += count
    }
  }

  /** Once it is over, how much it was; the next time is another one. */
  #tellDropped(): void {
    const lost = this.#dropped - this.#droppedBefore
    this.#droppedBefore = this.#dropped
    if (lost > 0) this.#log.warn({ lost }, 'Redis takes statistics of calls again')
  }
}

function put(sets: Map<string, Set<string>>, key: string): Set<string> {
  const ids = new Set<string>()
  sets.set(key, ids)
  return ids
}
