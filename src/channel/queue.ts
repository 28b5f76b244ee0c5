import { UnsafeArgument } from '../esl/errors.js'
import type { Line } from './line.js'
import type { Prompt } from './prompt.js'
import { soundOf } from './sounds.js'
import { stateVariable } from './variables.js'

export interface QueueOptions {
  /** For how long, in s, the caller counts as having waited before: who has more is served first. */
  readonly score?: number
  /** Plays while the caller waits; without it, what the queue has. */
  readonly music?: Prompt
}

export interface QueueResult {
  /** An agent has talked to the caller. */
  readonly isConnected: boolean
  /**
   * `answered`, or why the caller left: mod_callcenter's `cc_cancel_reason` (`TIMEOUT`, `NO_AGENT_TIMEOUT`,
   * `EXIT_WITH_KEY`, `BREAK_OUT`); `failed` when there is no such queue.
   */
  readonly why: string
}

/** A queue as mod_callcenter names it. */
export const queuePattern = /^[0-9A-Za-z_.-]{1,64}(?:@[0-9A-Za-z_.-]{1,64})?$/

/** See `Channel.queue`. Held to mod_callcenter's source: no recording shows an agent who answers. */
export async function queue(
  line: Line,
  name: string,
  { score, music }: QueueOptions,
  state: string | undefined,
): Promise<QueueResult> {
  if (!queuePattern.test(name))
    throw new UnsafeArgument(`no queue's name: ${JSON.stringify(name.slice(0, 80))}`)
  if (score !== undefined && (!Number.isInteger(score) || score < 0 || score > 2 ** 31 - 1))
    throw new UnsafeArgument(`a queue's score: ${score}`)
  const sound = music === undefined ? undefined : await soundOf(line, [music])
  const talked = line.next('CHANNEL_UNBRIDGE')
  try {
    const complete = await line.execute('callcenter', name, [
      ...(state === undefined ? [] : [line.set(stateVariable, state)]),
      ...(score === undefined ? [] : [line.set('cc_base_score', String(score))]),
      ...(sound === undefined ? [] : [line.set('cc_moh_override', sound)]),
      // After the talk the channel would run the dialplan's next action, out of this socket's hands.
      line.set('hangup_after_bridge', 'true'),
      // Another queue may have left its own there; one that is not found leaves nothing.
      line.set('cc_cause'),
      line.set('cc_cancel_reason'),
    ])
    if (complete.peek('variable_cc_cause') === 'answered') {
      // The application ends when the talk begins, which is no application's any more (switch_ivr_uuid_bridge).
      await talked.event
      return { isConnected: true, why: 'answered' }
    }
    await line.sendAll([
      line.set('hangup_after_bridge', 'false'),
      ...(sound === undefined ? [] : [line.set('cc_moh_override')]),
    ])
    return { isConnected: false, why: complete.peek('variable_cc_cancel_reason') ?? 'failed' }
  } finally {
    talked.forget()
  }
}
