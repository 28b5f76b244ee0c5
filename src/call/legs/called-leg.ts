import type { Event } from '../../esl/event.js'
import { micros } from '../facts.js'
import type { Attempt, Leg } from './legs.js'
import { legStateOf } from '../state.js'

/**
 * A called leg as its own final event tells of it: to the microsecond, and with what it costs.
 *
 * @param attempt what was dialled, should the leg not say so itself
 * @returns undefined for a leg that nobody here dialled, or that never was answered
 */
export function calledLeg(event: Event, attempt?: Attempt): Leg | undefined {
  const dialled = legStateOf(event)?.attempt ?? attempt
  const uuid = event.peek('Unique-ID')
  const answeredAt = micros(event, 'variable_answer_uepoch')
  const endedAt = micros(event, 'variable_end_uepoch')
  if (dialled === undefined || uuid === undefined || answeredAt === undefined || endedAt === undefined)
    return undefined
  const bridgedAt = micros(event, 'variable_bridge_uepoch') ?? answeredAt
  return { uuid, attempt: dialled, answeredAt, bridgedAt, endedAt, endIsExact: true }
}
