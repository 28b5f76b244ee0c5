import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Channel } from '../channel/channel.js'
import { saysOver } from './ended.js'
import { millisBetween, type ChannelFacts } from './facts.js'

export interface Bound {
  /** How long the call may last, from its creation on, in s. Whoever has it, and whether or not it talks. */
  readonly maxSeconds: number
  readonly facts: Pick<ChannelFacts, 'createdAt' | 'arrivedAt'>
  readonly tooLong: () => Promise<void>
  readonly log: Logger
}

/** Of setTimeout, which takes a longer one for none. */
export const longestTimerMs = 2 ** 31 - 1

/**
 * Ends with a call's route, or when nothing more can be done with the call: one that waits for something else than its
 * call must not keep the call's record waiting.
 */
export async function bounded(
  running: Promise<void>,
  channel: Pick<Channel, 'gone'>,
  bound: Bound,
): Promise<void> {
  let isLate = false
  const route = running.catch((error: unknown) => {
    if (!isLate) throw error
    if (!saysOver(error)) bound.log.error({ err: error }, 'the route failed after its call was over')
  })
  try {
    await Promise.race([route, goneOrTooLong(channel, bound)])
  } finally {
    isLate = true
  }
}

/** Ends when nothing more can be done with a call here. One that lasts too long is told so. */
async function goneOrTooLong(
  channel: Pick<Channel, 'gone'>,
  { maxSeconds, facts: { createdAt, arrivedAt = createdAt }, tooLong, log }: Bound,
): Promise<void> {
  // What it has lasted already is the switch's to say, by its own clock.
  const endsAt = performance.now() + maxSeconds * 1000 - millisBetween(createdAt, arrivedAt)
  let timer: NodeJS.Timeout | undefined
  const wait = (): void => {
    const leftMs = endsAt - performance.now()
    if (leftMs > 0) {
      timer = setTimeout(wait, Math.min(Math.ceil(leftMs), longestTimerMs))
      return
    }
    tooLong().catch((error: unknown) => {
      if (!saysOver(error)) log.error({ err: error }, 'a call that lasts too long was not ended')
    })
  }
  wait()
  try {
    await channel.gone()
    // The verb that ran has rejected first.
    await nextTurn()
  } finally {
    clearTimeout(timer)
  }
}
