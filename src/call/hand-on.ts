import { CallerGone } from '../esl/errors.js'
import type { Story } from './story.js'

/** So often may its routes transfer a call: contexts that lead back to us may go round in circles, too. */
export const mostTransfers = 10

/**
 * Hands a call on to its dialplan: what is dialled from then on, and talks, is that one's, and is not charged.
 *
 * @param send tells the switch, and the channel how it is handed on
 */
export async function handOn(
  story: Story,
  how: 'isGivenBack' | 'isTransferred',
  send: () => Promise<void>,
): Promise<void> {
  story.legs.dialling(undefined)
  story[how] = true
  try {
    await send()
  } catch (error) {
    // What the switch has not taken is its route's still.
    if (!(error instanceof CallerGone)) story[how] = false
    throw error
  }
}
