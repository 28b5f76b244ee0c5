import type { Redis } from 'ioredis'
import type { BaseLogger } from 'pino'
import { inTime } from '../common/in-time.js'

export interface SharedFieldsOptions {
  readonly redis: Pick<Redis, 'multi'>
  readonly log: BaseLogger
}

/** How long an event waits for Redis, in ms. */
const timeoutMs = 200

/** What all channels of a call know when one of them does. */
export const sharedNames = ['ANSWER_TIME', 'AGENT_EXTEN', 'AGENT_ACCOUNT'] as const
export type SharedName = (typeof sharedNames)[number]
export type SharedFields = Readonly<Partial<Record<SharedName, string>>>

/** Whose call it is, and which: the ids of two customers have nothing to do with each other. */
export interface CallKey {
  /** A-Z a-z 0-9 _ - */
  readonly customer: string
  /** Printable ASCII. */
  readonly callId: string
}

/** What is known of a call at one of its events. */
export interface Shared {
  readonly fields: SharedFields
  /** When its first channel began, µs since 1970. */
  readonly startedAt: number
  /** 1, 2, … over all channels and nodes; undefined: Redis could not be asked. */
  readonly sequence: number | undefined
}

const start = 'START'
const sequence = 'SEQUENCE'
const keptSeconds = 86_400

/**
 * What the channels of one call, which may be on different nodes, tell each other: a Redis hash for each CALL_ID of a
 * customer, `linger:event:{customer_id}:{CALL_ID}`. Redis away or slow, each has what it knows itself.
 */
export class CallFields {
  readonly #redis: SharedFieldsOptions['redis']
  readonly #log: BaseLogger
  #isAway = false

  constructor({ redis, log }: SharedFieldsOptions) {
    this.#redis = redis
    this.#log = log
  }

  /**
   * Writes what a channel knows and reads what it does not, in one round trip.
   *
   * @param startedAt of the channel, µs since 1970
   */
  async exchange({ customer, callId }: CallKey, own: SharedFields, startedAt: number): Promise<Shared> {
    const key = `linger:event:${customer}:${callId}`
    const known = sharedNames.flatMap((name) => (own[name] ? [name, own[name]] : []))
    const commands = this.#redis.multi()
    commands.hincrby(key, sequence, 1).hsetnx(key, start, startedAt)
    if (known.length > 0) commands.hset(key, ...known)
    commands.expire(key, keptSeconds).hmget(key, start, ...sharedNames)
    try {
      const tooLate = () => new Error(`no answer within ${timeoutMs} ms`)
      const results = await inTime(commands.exec(), timeoutMs, tooLate)
      if (results === null) throw new Error('Redis discarded the transaction')
      for (const [error] of results) if (error) throw error
      this.#setAway(undefined)
      const [began, ...values] = (results.at(-1)?.[1] ?? []) as (string | null)[]
      return {
        fields: Object.fromEntries(sharedNames.map((name, i) => [name, values[i] ?? own[name]])),
        startedAt: Number(began) || startedAt,
        sequence: Number(results[0]?.[1]) || undefined,
      }
    } catch (error) {
      this.#setAway(error)
      return { fields: own, startedAt, sequence: undefined }
    }
  }

  /** Once when it goes; when it is back its client says so. */
  #setAway(error: unknown): void {
    const isAway = error !== undefined
    if (isAway && !this.#isAway) {
      const reason = error instanceof Error ? error.message : 'unknown'
      this.#log.warn({ reason }, 'Redis does not answer: events go without what other channels know')
    }
    this.#isAway = isAway
  }
}
