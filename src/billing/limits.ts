import type { Redis } from 'ioredis'
import type { BaseLogger } from 'pino'

import { inTime } from '../common/in-time.js'

/** What a tenant may do at once, or a gateway can, over all nodes; undefined: as much as there is. */
export interface Limited {
  /** The tenant's, or the gateway's name. */
  readonly id: string
  readonly maxCalls?: number | undefined
  readonly maxCallsPerSecond?: number | undefined
}

export type LimitReached = 'max_calls' | 'max_calls_per_second'

/** For the CDR and the log, of a tenant. */
export const limitMessages: Readonly<Record<LimitReached, string>> = {
  max_calls: 'the tenant has as many calls as it may (max_calls)',
  max_calls_per_second: 'the tenant has begun as many calls in a second as it may (max_calls_per_second)',
}

export interface CallLimitsOptions {
  readonly redis: Redis
  readonly log: BaseLogger
  /** Whose calls these are. Default `tenants`. */
  readonly of?: 'tenants' | 'gateways'
  /** How long the place of a call whose node is dead stays taken, in ms. Default 30,000. */
  readonly leaseMs?: number
  /** How often this node says that its calls are still there, in ms. Default 10,000. */
  readonly heartbeatMs?: number
  /** How long a call waits for Redis, in ms. Default 200. */
  readonly timeoutMs?: number
}

/*
 * The clock is Redis' own: no two nodes' need agree.
 *
 * KEYS: the owner's calls, a sorted set scored by when their lease lapses; the moments of its last calls, a list.
 * ARGV: lease, call, calls at once, calls per second ('' for none). All times in ms.
 */
const clock = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)`
const beginScript = `${clock}
local most, perSecond = tonumber(ARGV[3]), tonumber(ARGV[4])
local isKnown = redis.call('ZSCORE', KEYS[1], ARGV[2])
if not isKnown then
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
  if most and redis.call('ZCARD', KEYS[1]) >= most then return 'max_calls' end
  if perSecond then
    local nth = redis.call('LINDEX', KEYS[2], -perSecond)
    if perSecond == 0 or (nth and now - nth < 1000) then return 'max_calls_per_second' end
    redis.call('RPUSH', KEYS[2], now)
    redis.call('LTRIM', KEYS[2], -perSecond, -1)
    redis.call('PEXPIRE', KEYS[2], 1000)
  end
end
if most then
  redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return ''`
/** KEYS: the owner's calls. ARGV: lease, the calls of this node. */
const renewScript = `${clock}
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[i]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return ''`
/** KEYS: the owner's calls. */
const countScript = `${clock}
return redis.call('ZCOUNT', KEYS[1], '(' .. now, '+inf')`

/** Calls that one script renews: Redis does nothing else meanwhile. */
const renewBatch = 500

/**
 * How many calls a tenant, or a gateway, may have at once, and begin in any second, over all nodes.
 *
 * The places are leases in Redis, named by the call: a node that takes a call over takes its place over, those of
 * a dead node's other calls lapse. Redis, not PostgreSQL: it costs a call one short round trip and no commit,
 * limits go on while PostgreSQL is away, and a place that is lost with Redis costs nobody money; it is back with
 * the next heartbeat. Redis away: each node counts its own calls.
 */
export class CallLimits {
  readonly #redis: Redis
  readonly #log: BaseLogger
  readonly #of: 'tenants' | 'gateways'
  readonly #leaseMs: number
  readonly #timeoutMs: number
  readonly #heartbeat: NodeJS.Timeout
  /** Calls of this node by their owner: they have a lease, or had one that comes back with the next heartbeat. */
  readonly #calls = new Map<string, Set<string>>()
  /** When the calls of the last second began here. */
  readonly #begun = new Map<string, readonly number[]>()
  #isAway = false

  constructor(options: CallLimitsOptions) {
    const { redis, log, of = 'tenants', leaseMs = 30_000, heartbeatMs = 10_000, timeoutMs = 200 } = options
    this.#redis = redis
    this.#log = log
    this.#of = of
    this.#leaseMs = leaseMs
    this.#timeoutMs = timeoutMs
    this.#heartbeat = setInterval(() => {
      void this.#beat()
    }, heartbeatMs).unref()
  }

  /** Gives a call its place, until `end`. @returns the limit that is reached: the call has no place then */
  async begin(owner: Limited, callUuid: string): Promise<LimitReached | undefined> {
    const { id, maxCalls, maxCallsPerSecond } = owner
    if (maxCalls === undefined && maxCallsPerSecond === undefined) return undefined
    const reached = await this.#inTime(
      this.#redis.eval(
        beginScript,
        2,
        this.#key(id, 'calls'),
        this.#key(id, 'begun'),
        this.#leaseMs,
        callUuid,
        maxCalls ?? '',
        maxCallsPerSecond ?? '',
      ) as Promise<LimitReached | ''>,
    )
    const limit = reached ?? this.#limitHere(owner)
    if (limit === '') this.#keep(owner, callUuid)
    // Redis may have given it a place after all, too late.
    else if (reached === undefined) this.#free(id, callUuid)
    return limit === '' ? undefined : limit
  }

  /** Takes over the place of a call that another node had, or lost; it is refused to nobody. */
  adopt(owner: Limited, callUuid: string): void {
    if (owner.maxCalls === undefined) return
    this.#callsOf(owner.id).add(callUuid)
    void this.#renew(owner.id, [callUuid])
  }

  /** The call is over: its place is free at once. */
  end(ownerId: string, callUuid: string): void {
    if (this.forget(ownerId, callUuid)) this.#free(ownerId, callUuid)
  }

  /** The call goes on at another node: its place lapses unless that one adopts it. @returns whether it had one */
  forget(ownerId: string, callUuid: string): boolean {
    const calls = this.#calls.get(ownerId)
    const hadPlace = calls?.delete(callUuid) === true
    if (calls?.size === 0) this.#calls.delete(ownerId)
    return hadPlace
  }

  /** How many calls each has now, over all nodes; undefined: Redis is away. */
  async counts(ownerIds: readonly string[]): Promise<readonly number[] | undefined> {
    if (ownerIds.length === 0) return []
    const counts = ownerIds.map((id) => this.#redis.eval(countScript, 1, this.#key(id, 'calls')))
    return this.#inTime(Promise.all(counts as Promise<number>[]))
  }

  /** No more heartbeats: the places of calls that are left lapse. */
  close(): void {
    clearInterval(this.#heartbeat)
  }

  #keep({ id, maxCalls, maxCallsPerSecond }: Limited, callUuid: string): void {
    if (maxCalls !== undefined) this.#callsOf(id).add(callUuid)
    if (maxCallsPerSecond !== undefined) this.#begun.set(id, [...this.#begunLately(id), performance.now()])
  }

  #limitHere({ id, maxCalls = Infinity, maxCallsPerSecond = Infinity }: Limited): LimitReached | '' {
    if ((this.#calls.get(id)?.size ?? 0) >= maxCalls) return 'max_calls'
    return this.#begunLately(id).length >= maxCallsPerSecond ? 'max_calls_per_second' : ''
  }

  #callsOf(ownerId: string): Set<string> {
    const calls = this.#calls.get(ownerId) ?? new Set()
    this.#calls.set(ownerId, calls)
    return calls
  }

  #begunLately(ownerId: string): readonly number[] {
    const since = performance.now() - 1000
    return this.#begun.get(ownerId)?.filter((moment) => moment > since) ?? []
  }

  #free(ownerId: string, callUuid: string): void {
    // If it fails, the place lapses.
    this.#redis.zrem(this.#key(ownerId, 'calls'), callUuid).catch(() => undefined)
  }

  async #beat(): Promise<void> {
    for (const [ownerId, calls] of [...this.#calls]) {
      const uuids = [...calls]
      for (let from = 0; from < uuids.length; from += renewBatch)
        // Not those that ended while an earlier batch was under way.
        await this.#renew(
          ownerId,
          uuids.slice(from, from + renewBatch).filter((uuid) => calls.has(uuid)),
        )
    }
  }

  async #renew(ownerId: string, uuids: readonly string[]): Promise<void> {
    await this.#inTime(this.#redis.eval(renewScript, 1, this.#key(ownerId, 'calls'), this.#leaseMs, ...uuids))
  }

  /** @returns undefined when Redis does not answer in time; said once an outage */
  async #inTime<T>(reply: Promise<T>): Promise<T | undefined> {
    try {
      const answer = await inTime(
        reply,
        this.#timeoutMs,
        () => new Error(`no answer within ${this.#timeoutMs} ms`),
      )
      if (this.#isAway) this.#log.info(`the limits of ${this.#of} hold over all nodes again`)
      this.#isAway = false
      return answer
    } catch (error) {
      // The message only: a refused AUTH carries its arguments, and so the password.
      const reason = error instanceof Error ? error.message : String(error)
      if (!this.#isAway)
        this.#log.warn({ reason }, `Redis is away: the limits of ${this.#of} hold for each node alone`)
      this.#isAway = true
      return undefined
    }
  }

  /** All keys of an owner share a hash slot. */
  #key(id: string, what: 'calls' | 'begun'): string {
    return this.#of === 'tenants' ? `linger:{${id}}:${what}` : `linger:gateway:{${id}}:${what}`
  }
}
