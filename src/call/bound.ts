import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Channel } from '../channel/channel.js'

export interface Bound {
  /** How long it may last from now on, in s. */
  readonly maxSeconds: number
  /** A leg that talks has its own timer. */
  readonly isTalking: () => boolean
  readonly tooLong: () => Promise<void>
}

/** Ends when nothing more can be done with a call here. One that lasts too long is told so. */
export async function goneOrTooLong(
  channel: Pick<Channel, 'gone'>,
  { maxSeconds, isTalking, tooLong }: Bound,
): Promise<void> {
  const timer = setTimeout(() => {
    if (isTalking()) timer.refresh()
    // Gone meanwhile, it is as short as it may be.
    else tooLong().catch(() => undefined)
  }, maxSeconds * 1000)
  try {
    await channel.gone()
    // The verb that ran has rejected first.
    await nextTurn()
  } finally {
    clearTimeout(timer)
  }
}
