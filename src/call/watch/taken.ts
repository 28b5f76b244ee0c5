import type { Redis } from 'ioredis'
import type { LostCall } from './verdict.js'

/**
 * Which node took a call over last, in Redis: a server that lost one, and has no link to its switch, so learns that it
 * goes on.
 */
export class TakenCalls {
  readonly #redis: Redis
  readonly #node: string

  /** @param node this one */
  constructor(redis: Redis, node: string) {
    this.#redis = redis
    this.#node = node
  }

  /** This node has it now. @param maxSeconds how long that is worth knowing */
  note(callUuid: string, maxSeconds: number): void {
    // Redis away, the other node waits for as long as the call can last.
    this.#redis.set(takenKey(callUuid), this.#node, 'EX', maxSeconds).catch(() => undefined)
  }

  /** By whom each of these calls was taken over, seen from here. */
  async of(callUuids: readonly string[]): Promise<(callUuid: string) => LostCall['taken']> {
    if (callUuids.length === 0) return () => 'unknown'
    try {
      const nodes = await this.#redis.mget(callUuids.map(takenKey))
      const takers = new Map(callUuids.map((uuid, i) => [uuid, nodes[i] ?? this.#node]))
      return (uuid) => {
        const taker = takers.get(uuid)
        return taker === undefined ? 'unknown' : taker === this.#node ? 'by nobody' : 'by another'
      }
    } catch {
      // Redis' own client says so, once an outage.
      return () => 'unknown'
    }
  }
}

function takenKey(callUuid: string): string {
  return `linger:taken:${callUuid}`
}
