import { stateVariable, timersVariable, timerSeparator } from '../../channel/channel.js'
import { Event } from '../../esl/event.js'
import type { Link } from '../../esl/link.js'
import { legVariable } from '../../numbering/dial-string.js'
import { micros } from '../facts.js'
import { isNoChannel } from './leg-control.js'
import type { Attempt } from './legs.js'
import { callStateOf, decodeCallState, decodeLegState, type CallState } from '../state.js'

/** A call as its channel tells of it. */
export interface CallOnSwitch {
  readonly state: CallState
  /** What was dialled last and talks now, if it is something that costs. */
  readonly talking: TalkingLeg | undefined
}

export interface TalkingLeg {
  readonly uuid: string
  readonly attempt: Attempt
  /** µs by the switch's clock, as is the next. */
  readonly answeredAt: number
  readonly now: number
  /** Under which names its hangup may be scheduled. */
  readonly timers: readonly string[]
}

const timerName = /^[A-Za-z0-9-]{1,128}$/

/**
 * @returns undefined for a call that is nobody's
 * @throws what the link throws; CommandRefused when the switch has no such channel
 */
export async function askSwitch(link: Pick<Link, 'api'>, uuid: string): Promise<CallOnSwitch | undefined> {
  // Its values are percent-encoded unless told otherwise: none of them can look like a further header.
  const channel = Event.fromPlain(await link.api('uuid_dump', [uuid]))
  const state = callStateOf(channel)
  return state && { state, talking: await talkingLeg(link, channel, state.attempt) }
}

/** Whose call it is that a channel is; undefined: nobody's. @throws as `askSwitch` does */
export async function askNode(link: Pick<Link, 'api'>, uuid: string): Promise<string | undefined> {
  return decodeCallState(await link.api('uuid_getvar', [uuid, stateVariable]))?.node
}

async function talkingLeg(
  link: Pick<Link, 'api'>,
  channel: Event,
  attempt: Attempt | undefined,
): Promise<TalkingLeg | undefined> {
  const uuid = channel.peek('Other-Leg-Unique-ID')
  const answeredAt =
    micros(channel, 'Other-Leg-Channel-Answered-Time') ??
    // On early media its answer was passed on to the caller, at whose answer it is.
    micros(channel, 'Caller-Channel-Answered-Time')
  if (attempt?.rate === undefined || uuid === undefined || answeredAt === undefined) return undefined
  // A leg is named there long after it is over (recording bridge-then-continue), while another one rings.
  if (!(await isLegOf(link, uuid, attempt))) return undefined
  const timers = (channel.peek(`variable_${timersVariable}`) ?? '').split(timerSeparator)
  return {
    uuid,
    attempt,
    answeredAt,
    now: micros(channel, 'Event-Date-Timestamp') ?? Date.now() * 1000,
    // What the leg scheduled for itself is under its own name, whatever else is remembered.
    timers: [...new Set([uuid, ...timers.filter((name) => timerName.test(name))])],
  }
}

/** Whether the switch has this leg, and it is what was dialled at this attempt. */
async function isLegOf(link: Pick<Link, 'api'>, legUuid: string, attempt: Attempt): Promise<boolean> {
  try {
    const state = decodeLegState(await link.api('uuid_getvar', [legUuid, legVariable]))
    return state?.attempt.id === attempt.id
  } catch (error) {
    if (isNoChannel(error)) return false
    throw error
  }
}
