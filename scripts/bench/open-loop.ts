import { setTimeout as delay } from 'node:timers/promises'
import { quantile } from './summary.js'

/** How long the answers took. */
export interface Latency {
  readonly asked: number
  /** ms. */
  readonly p50: number
  readonly p95: number
  readonly p99: number
  readonly longest: number
  /** p99 of how much later than it should was asked, in ms: what this process was too busy for. */
  readonly lateP99: number
}

export interface Timings {
  readonly answered: number[]
  readonly late: number[]
}

export const newTimings = (): Timings => ({ answered: [], late: [] })

/**
 * Asks at an even rate, whether or not what was asked before is answered: what waits for its turn is part of the
 * answer's time.
 */
export async function openLoop(
  { perSecond, seconds }: { readonly perSecond: number; readonly seconds: number },
  timings: Timings,
  ask: (i: number) => Promise<void>,
): Promise<void> {
  const began = performance.now()
  const asked: Promise<void>[] = []
  const count = perSecond * seconds
  for (let i = 0; i < count;) {
    const now = performance.now()
    const lateMs = now - began - (i * 1000) / perSecond
    // A timer fires up to a millisecond late, never early.
    if (lateMs < 0) await delay(Math.max(0, -lateMs - 0.5))
    else {
      timings.late.push(lateMs)
      asked.push(ask(i++).then(() => void timings.answered.push(performance.now() - now)))
    }
  }
  await Promise.all(asked)
}

export function latency({ answered, late }: Timings): Latency {
  return {
    asked: answered.length,
    p50: quantile(answered, 0.5),
    p95: quantile(answered, 0.95),
    p99: quantile(answered, 0.99),
    longest: quantile(answered, 1),
    lateP99: quantile(late, 0.99),
  }
}
