import type { Event } from '../../esl/event.js'
import { micros } from '../facts.js'
import type { Attempt, Leg } from './legs.js'
import { legStateOf } from '../state.js'

/**
 * A called leg as its own final event tells of it: to the microsecond, and with what it costs.
 *
 * @param attempt what was dialled, should the leg not say so itself
 * @returns undefined for a leg that nobody here dialled, that never was answered, or that answered too late: of several
 *   phones another one had the call by then, and this one talked to nobody
 */
export function calledLeg(event: Event, attempt?: Attempt): Leg | undefined {
  const dialled = legStateOf(event)?.attempt ?? attempt
  const uuid = event.peek('Unique-ID')
  const answeredAt = micros(event, 'variable_answer_uepoch')
  const endedAt = micros(event, 'variable_end_uepoch')
  if (dialled === undefined || uuid === undefined || answeredAt === undefined || endedAt === undefined)
    return undefined
  if (event.peek('variable_hangup_cause') === 'LOSE_RACE' && dialled.gateway === undefined) return undefined
  const bridgedAt = micros(event, 'variable_bridge_uepoch') ?? answeredAt
  return { uuid, attempt: dialled, answeredAt, bridgedAt, endedAt, endIsExact: true }
}
