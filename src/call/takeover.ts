import { sipStatusIn } from '../channel/bridge.js'
import { causeIn } from '../channel/channel.js'
import type { Event } from '../esl/event.js'
import { micros } from './facts.js'
import { isOwn, tellsOfItsEnd, type Leg } from './legs/legs.js'
import { queueTarget } from './legs/target.js'
import type { AttemptResult, CallState } from './state.js'

/** What became of a call's attempts while no server had it. */
export interface Resumed {
  readonly legs: readonly Leg[]
  readonly results: readonly AttemptResult[]
}

/**
 * Reads off a channel that comes back how what its last server dialled has ended: it only comes back when that is
 * over (recordings takeover-after-bridge-1 and -2).
 *
 * @param channel the reply to `connect`
 */
export function resume(state: CallState, channel: Event): Resumed {
  const { legs, results } = whatWasDialled(state, channel)
  // Its answer may not have been told any more.
  const answeredAt = micros(channel, 'Caller-Channel-Answered-Time')
  return {
    legs: legs.map((leg) => (isOwn(leg) ? { ...leg, answeredAt: leg.answeredAt ?? answeredAt } : leg)),
    results,
  }
}

function whatWasDialled({ legs, results, attempt, bridgedBefore }: CallState, channel: Event): Resumed {
  if (attempt === undefined) return { legs, results }
  const { target } = attempt
  const uuid = channel.peek('variable_bridge_uuid')
  if (uuid !== undefined && uuid !== bridgedBefore && !legs.some((leg) => leg.uuid === uuid)) {
    const cause =
      causeIn(channel, 'variable_last_bridge_hangup_cause') ??
      causeIn(channel, 'variable_bridge_hangup_cause') ??
      'NORMAL_CLEARING'
    const isSaid = channel.peek('Other-Leg-Unique-ID') === uuid
    const answeredAt =
      (isSaid ? micros(channel, 'Other-Leg-Channel-Answered-Time') : undefined) ??
      // On early media its answer was passed on to the caller, at whose answer it is.
      micros(channel, 'Caller-Channel-Answered-Time')
    const bridgedAt = micros(channel, 'Caller-Channel-Bridged-Time') ?? answeredAt ?? 0
    const now = Math.max(micros(channel, 'Event-Date-Timestamp') ?? 0, bridgedAt)
    const leg: Leg = {
      uuid,
      attempt,
      answeredAt,
      bridgedAt,
      // By another dialplan than ours the latest that it can have been.
      endedAt: Math.min(leftAt(channel, bridgedAt) ?? Infinity, now),
      endIsExact: false,
      ...(!tellsOfItsEnd(channel) && { hasLeft: true }),
    }
    return { legs: [...legs, leg], results: [...results, { target, isConnected: true, cause }] }
  }
  const left = target === queueTarget(channel.peek('variable_cc_queue') ?? '') && leftQueue(channel)
  if (left) return { legs, results: [...results, { target, ...left }] }
  const cause = causeIn(channel, 'variable_originate_disposition')
  // None, or that of an earlier leg: this one was not dialled any more.
  if (cause === undefined || cause === 'SUCCESS') return { legs, results }
  return {
    legs,
    results: [...results, { target, isConnected: false, cause, ...sipStatusIn(channel, cause) }],
  }
}

/** How the caller left the queue that it was in when its server died; undefined: it is not known to have left. */
function leftQueue(channel: Event): Omit<AttemptResult, 'target'> | undefined {
  const isConnected = channel.peek('variable_cc_cause') === 'answered'
  const cause = isConnected ? 'answered' : causeIn(channel, 'variable_cc_cancel_reason')
  return cause === undefined ? undefined : { isConnected, cause }
}

/**
 * When a bridge gave its caller back to the dialplan: ours (dialplan/linger.xml) notes it after each `socket`, before it
 * pauses for a server that restarts.
 * @returns µs; undefined: nobody noted it
 */
export function leftAt(channel: Event, bridgedAt: number): number | undefined {
  const notes = leftVariables.flatMap((name) => micros(channel, `variable_${name}`) ?? [])
  const after = notes.filter((left) => left > bridgedAt)
  return after.length === 0 ? undefined : Math.min(...after)
}

export const leftVariables = ['linger_left_1', 'linger_left_2'] as const
