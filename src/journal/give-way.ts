import type { BaseLogger } from 'pino'

import type { Change, Environment } from './environment.js'

/** Events that are given up by one transaction. */
const atOnce = 1_000
/** How often it is said that events are lost, in ms. */
const reportMs = 60_000

/**
 * Events for other programs wait on the disk on which the records of calls do, and must never be why a call is refused:
 * when space runs out, or they take more than their share, the oldest go.
 */
export class GiveWay {
  readonly #env: Environment
  readonly #log: BaseLogger
  readonly #maxBytes: number
  #dropped = 0
  #reported = 0
  #reportedAt = -Infinity

  /** @param maxBytes their share */
  constructor(env: Environment, log: BaseLogger, maxBytes: number) {
    this.#env = env
    this.#log = log
    this.#maxBytes = maxBytes
  }

  /** How many were lost since the start. */
  get dropped(): number {
    return this.#dropped
  }

  /** Whether there are any that could. */
  get canGive(): boolean {
    return this.#env.count('events') > 0
  }

  /** What takes the oldest away. @param isTight the disk has no space */
  changes(isTight: boolean): Change[] {
    if (!isTight && this.#env.bytes('events') <= this.#maxBytes) return []
    return this.#env.firstKeys('events', atOnce).map((key) => ({ on: 'events', key }))
  }

  /** So many are lost. */
  lost(count: number): void {
    if (count === 0) return
    this.#dropped += count
    const now = performance.now()
    if (now < this.#reportedAt + reportMs) return
    const dropped = this.#dropped - this.#reported
    this.#reportedAt = now
    this.#reported = this.#dropped
    this.#log.error({ dropped }, 'the journal has no space for events: the oldest are lost')
  }
}
