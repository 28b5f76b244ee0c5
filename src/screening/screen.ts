import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import { anonymousTag, blacklistKeys, prefixesOf, prefixTag, vipSet } from './names.js'
import { writeTogether } from './redis.js'

/** Who calls, as screening knows him. */
export interface Caller {
  /** The number as it came off the wire; may be empty. */
  raw: string
  /** The number in normal form; equal to `raw` when it has none. */
  normal: string
  /** The caller hides his number, which may be known all the same (RFC 3323 privacy). */
  isAnonymous: boolean
}

export interface Verdict {
  isBlacklisted: boolean
  isVip: boolean
  /** Redis did not (fully) answer: what it did not answer is as `failOpen` says. */
  isDegraded: boolean
}

export interface ScreeningOptions {
  redis: Redis
  log: Logger
  /** How long a call waits for Redis, in ms. Default 200. */
  timeoutMs?: number
  /** Without an answer a caller counts as not blacklisted (true, the default) or as blacklisted (false). */
  failOpen?: boolean
  /** Monotonic clock in ms. */
  now?: () => number
}

type Reply = PromiseSettledResult<number>

/** Times as the Screening's clock gives them. */
interface Outage {
  since: number
  lastFailure: number
  failuresBefore: number
}

/**
 * An outage is over with the first answer that comes this long after the last failure: a Redis that
 * answers every other time is one outage, not a line in the log with every call.
 */
const calmMs = 1000

/** Looks callers up in the blacklist and among the VIPs, one Redis round trip a call. */
export class Screening {
  /** Calls that were not, or not fully, screened, since the start. */
  failures = 0

  readonly #redis: Redis
  readonly #log: Logger
  readonly #timeoutMs: number
  readonly #failOpen: boolean
  readonly #now: () => number
  /** Questions whose calls stopped waiting and which Redis has not answered yet. */
  #overdue = 0
  #outage: Outage | undefined

  constructor({ redis, log, timeoutMs = 200, failOpen = true, now }: ScreeningOptions) {
    this.#redis = redis
    this.#log = log
    this.#timeoutMs = timeoutMs
    this.#failOpen = failOpen
    this.#now = now ?? (() => performance.now())
  }

  /** Never rejects, and takes at most `timeoutMs`. */
  async screen(caller: Caller): Promise<Verdict> {
    const [listed, ...vip] = await this.#ask(caller)
    const failed = [listed, ...vip].find((reply) => reply?.status === 'rejected')
    if (failed) this.#noteFailure(failed.reason)
    else if (this.#outage) this.#noteAnswer(this.#outage)
    return {
      isBlacklisted: listed?.status === 'fulfilled' ? listed.value > 0 : !this.#failOpen,
      isVip: vip.some((reply) => reply.status === 'fulfilled' && reply.value === 1),
      isDegraded: failed !== undefined,
    }
  }

  /** @returns the blacklist's answer, then the VIP set's one or two */
  #ask(caller: Caller): Promise<Reply[]> {
    if (this.#redis.status !== 'ready') return noReply('Redis is not connected')
    // Redis answers in order, so this call would wait behind the one that gave up; and while Redis
    // stands still, nothing piles up in memory.
    if (this.#overdue > 0) return noReply('Redis has not answered an earlier call')
    writeTogether(this.#redis)
    return this.#inTime(Promise.allSettled(this.#questions(caller)))
  }

  // EXISTS answers one integer for any number of keys; SISMEMBER, unlike SMISMEMBER, is in every Redis.
  #questions({ raw, normal, isAnonymous }: Caller): Promise<number>[] {
    const questions = [
      this.#redis.exists(keysOf({ raw, normal, isAnonymous })),
      this.#redis.sismember(vipSet, normal),
    ]
    if (raw !== normal) questions.push(this.#redis.sismember(vipSet, raw))
    return questions
  }

  #inTime(replies: Promise<Reply[]>): Promise<Reply[]> {
    return new Promise((resolve) => {
      let isOverdue = false
      const giveUp = () => {
        isOverdue = true
        this.#overdue++
        resolve(noReply(`Redis has not answered within ${this.#timeoutMs} ms`))
      }
      // A timer that fires late because this process was busy must not blame Redis: what has arrived
      // meanwhile is read between the timers and the immediates.
      let last: NodeJS.Immediate | undefined
      const timer = setTimeout(() => (last = setImmediate(giveUp)), this.#timeoutMs)
      void replies.then((answered) => {
        clearTimeout(timer)
        clearImmediate(last)
        if (isOverdue) this.#overdue--
        resolve(answered)
      })
    })
  }

  #noteFailure(reason: unknown): void {
    const now = this.#now()
    this.failures++
    if (this.#outage) {
      this.#outage.lastFailure = now
      return
    }
    this.#outage = { since: now, lastFailure: now, failuresBefore: this.failures - 1 }
    this.#log.warn(
      { reason: reason instanceof Error ? reason.message : String(reason) },
      `screening is out: callers ${this.#failOpen ? 'pass unscreened' : 'are refused'} until Redis answers`,
    )
  }

  #noteAnswer({ since, lastFailure, failuresBefore }: Outage): void {
    if (this.#now() - lastFailure < calmMs) return
    this.#outage = undefined
    this.#log.info(
      { unscreened: this.failures - failuresBefore, outageMs: Math.round(lastFailure - since) },
      'screening works again',
    )
  }
}

function noReply(reason: string): Promise<Reply[]> {
  return Promise.resolve([{ status: 'rejected', reason }])
}

function keysOf({ raw, normal, isAnonymous }: Caller): string[] {
  const keys = [blacklistKeys + normal]
  if (raw !== normal) keys.push(blacklistKeys + raw)
  // Who sends no number at all hides it.
  if (isAnonymous || raw === '') keys.push(blacklistKeys + anonymousTag)
  pushPrefixKeys(keys, normal)
  // `+84…` has the same prefixes as its normal form.
  if (raw !== normal && raw !== `+${normal}`) pushPrefixKeys(keys, raw)
  return keys
}

function pushPrefixKeys(keys: string[], number: string): void {
  for (const prefix of prefixesOf(number)) keys.push(blacklistKeys + prefixTag + prefix)
}
