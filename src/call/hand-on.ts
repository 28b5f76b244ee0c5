import type { Channel } from '../channel/channel.js'
import { CallerGone } from '../esl/errors.js'
import type { Announcer } from './announcer.js'
import type { Story } from './story.js'

/** So often may its routes transfer a call: contexts that lead back to us may go round in circles, too. */
export const mostTransfers = 10

export interface HandedOn {
  readonly story: Story
  readonly channel: Pick<Channel, 'remember'>
  readonly announcer: Pick<Announcer, 'stays'>
  readonly node: string
}

/**
 * Hands a call on to its dialplan: what is dialled from then on, and talks, is that one's, and is not charged.
 *
 * @param send tells the switch, and the channel how it is handed on
 */
export async function handOn(
  { story, channel, announcer, node }: HandedOn,
  how: 'isGivenBack' | 'isTransferred',
  send: () => Promise<void>,
): Promise<void> {
  const { transfers } = story
  story.legs.dialling(undefined)
  story[how] = true
  if (how === 'isTransferred') story.transfers++
  try {
    await send()
  } catch (error) {
    if (error instanceof CallerGone) throw error
    // What the switch has not taken is its route's still.
    story[how] = false
    story.transfers = transfers
    announcer.stays()
    await channel.remember(story.state(node))
    throw error
  }
}
