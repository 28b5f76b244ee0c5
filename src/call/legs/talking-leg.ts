import { stateVariable, timersVariable, timerSeparator } from '../../channel/channel.js'
import { Event } from '../../esl/event.js'
import type { Link } from '../../esl/link.js'
import { legVariable } from '../../numbering/dial-string.js'
import { micros } from '../facts.js'
import { isNoChannel } from './leg-control.js'
import { isOwn, type Attempt } from './legs.js'
import { callStateOf, decodeCallState, decodeLegState, type CallState } from '../state.js'
import { transferredLeg } from './transferred-leg.js'

/** A channel as the switch tells of it. */
export interface ChannelOnSwitch {
  /** What it remembers of the call that it is; undefined: it is nobody's. */
  readonly state: CallState | undefined
  /** Of that call: what talks now, if it is something that costs: the caller's own leg, the one dialled last. */
  readonly talking: readonly TalkingLeg[]
  /** The channel as a leg that was dialled and talks, if it costs something. */
  readonly itself: TalkingLeg | undefined
  /** It is being handed to a server, or is a server's. */
  readonly isServed: boolean
}

export interface TalkingLeg {
  readonly uuid: string
  /** The call that pays for it, and its tenant. */
  readonly callUuid: string
  readonly tenant: string
  readonly attempt: Attempt
  /** µs by the switch's clock, as is the next. */
  readonly answeredAt: number
  readonly now: number
  /** Under which names its hangup may be scheduled. */
  readonly timers: readonly string[]
  /** How long after its answer it may talk by what was granted before, in ms, where something else might end it sooner. */
  readonly reservedMs?: number
}

const timerName = /^[A-Za-z0-9-]{1,128}$/

/** All that a switch knows of a channel. @throws as `askSwitch` does */
export async function dumpOf(link: Pick<Link, 'api'>, uuid: string): Promise<Event> {
  // Its values are percent-encoded unless told otherwise: none of them can look like a further header.
  return Event.fromPlain(await link.api('uuid_dump', [uuid]))
}

/** @throws what the link throws; CommandRefused when the switch has no such channel */
export async function askSwitch(link: Pick<Link, 'api'>, uuid: string): Promise<ChannelOnSwitch> {
  const channel = await dumpOf(link, uuid)
  const state = callStateOf(channel)
  const own = state && ownLeg(uuid, state, channel)
  const dialled = state && (await dialledLeg(link, uuid, state, channel))
  return {
    state,
    talking: [own, dialled].filter((leg) => leg !== undefined),
    itself: itself(uuid, channel),
    isServed: channel.peek('variable_current_application') === 'socket',
  }
}

/** Whose call it is that a channel is; undefined: nobody's. @throws as `askSwitch` does */
export async function askNode(link: Pick<Link, 'api'>, uuid: string): Promise<string | undefined> {
  return decodeCallState(await link.api('uuid_getvar', [uuid, stateVariable]))?.node
}

/** The call for which one of our servers dialled a channel; undefined: none did. @throws as `askSwitch` does */
export async function askCall(link: Pick<Link, 'api'>, uuid: string): Promise<string | undefined> {
  return decodeLegState(await link.api('uuid_getvar', [uuid, legVariable]))?.callUuid
}

/** What a leg's hangup is scheduled by: what it scheduled for itself is under its own name, whatever else is remembered. */
export function timersOf(uuid: string, remembered = ''): string[] {
  return [...new Set([uuid, ...remembered.split(timerSeparator).filter((name) => timerName.test(name))])]
}

function ownLeg(uuid: string, { legs, tenant }: CallState, channel: Event): TalkingLeg | undefined {
  const own = legs.find(isOwn)
  const answeredAt = own?.answeredAt ?? micros(channel, 'Caller-Channel-Answered-Time')
  if (own?.attempt.rate === undefined || answeredAt === undefined) return undefined
  return legOf(uuid, channel, { callUuid: uuid, tenant, attempt: own.attempt, answeredAt })
}

async function dialledLeg(
  link: Pick<Link, 'api'>,
  callUuid: string,
  { attempt, tenant }: CallState,
  channel: Event,
): Promise<TalkingLeg | undefined> {
  const uuid = channel.peek('Other-Leg-Unique-ID')
  const answeredAt =
    micros(channel, 'Other-Leg-Channel-Answered-Time') ??
    // On early media its answer was passed on to the caller, at whose answer it is.
    micros(channel, 'Caller-Channel-Answered-Time')
  if (attempt?.rate === undefined || uuid === undefined || answeredAt === undefined) return undefined
  // A leg is named there long after it is over (recording bridge-then-continue), while another one rings.
  if (!(await isLegOf(link, uuid, attempt))) return undefined
  const timers = await link.api('uuid_getvar', [uuid, timersVariable]).catch((error: unknown) => {
    if (isNoChannel(error)) return ''
    throw error
  })
  return {
    ...legOf(uuid, channel, { callUuid, tenant, attempt, answeredAt }),
    timers: timersOf(uuid, timers),
  }
}

function itself(uuid: string, channel: Event): TalkingLeg | undefined {
  const dialled = transferredLeg(channel)
  const answeredAt = micros(channel, 'Caller-Channel-Answered-Time')
  if (dialled?.attempt.rate === undefined || answeredAt === undefined) return undefined
  return legOf(uuid, channel, { ...dialled, answeredAt })
}

function legOf(
  uuid: string,
  channel: Event,
  about: Pick<TalkingLeg, 'callUuid' | 'tenant' | 'attempt' | 'answeredAt'>,
): TalkingLeg {
  return {
    ...about,
    uuid,
    now: micros(channel, 'Event-Date-Timestamp') ?? Date.now() * 1000,
    timers: timersOf(uuid, channel.peek(`variable_${timersVariable}`)),
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
