import type { Event } from '../../esl/event.js'
import type { Catalog } from '../../store/catalog.js'
import { channelFacts, micros, type ChannelFacts } from '../facts.js'
import type { IdentifyOptions } from '../identify.js'
import type { Leg } from './legs.js'
import { legStateOf, type CallState, type LegState } from '../state.js'
import { dialedUser } from './taker.js'
import { extensionsOf } from './target.js'

/**
 * A leg that we dialled, and that somebody transferred since, runs a dialplan and opens a socket under its own uuid
 * (recording refer-by-caller-2). It is a call of its own from then on; for what it costs itself it stays a leg of the
 * call that dialled it.
 *
 * @param channel its data, or its final event
 * @returns what it was dialled as; undefined for every other channel
 */
export function transferredLeg(channel: Event): LegState | undefined {
  const direction = channel.peek('variable_direction') ?? channel.peek('Call-Direction')
  return direction === 'outbound' ? legStateOf(channel) : undefined
}

/**
 * The facts of a call, be it a caller's or a transferred leg's. Of that one whoever was dialled calls, from the transfer
 * on.
 *
 * @param channel its data, or its final event
 * @param state what a server knew of it: wherever it is transferred later, its beginning stays the same
 */
export function callFacts(channel: Event, state?: CallState): ChannelFacts {
  const bridgedBefore = state === undefined ? channel.peek('variable_bridge_uuid') : state.bridgedBefore
  const facts = { ...channelFacts(channel), ...(bridgedBefore !== undefined && { bridgedBefore }) }
  const dialled = transferredLeg(channel)
  if (dialled === undefined) return facts
  const { target, number } = dialled.attempt
  // Of several extensions that rang together the channel knows which one it is.
  const isGroup = extensionsOf(target).length > 1
  return {
    ...facts,
    callerNumber: isGroup ? (channel.peek(`variable_${dialedUser}`) ?? facts.callerNumber) : number,
    // FreeSWITCH's own `Outbound Call`.
    callerName: '',
    isAnonymous: false,
    createdAt: state?.startedAt ?? micros(channel, 'Caller-Profile-Created-Time') ?? facts.createdAt,
    transferredFrom: dialled.callUuid,
  }
}

/** Whose a transferred leg is: who had it dialled says so, not the channel's authentication. */
export function ownerOf(
  channel: Event,
  { callerNumber }: Pick<ChannelFacts, 'callerNumber'>,
  catalog: Pick<Catalog, 'tenant'>,
): IdentifyOptions['owner'] {
  const dialled = transferredLeg(channel)
  const tenant = dialled && catalog.tenant(dialled.tenant)
  if (dialled === undefined || tenant === undefined) return undefined
  const isExtension = extensionsOf(dialled.attempt.target).length > 0
  return { tenant, ...(isExtension && { extension: callerNumber }) }
}

/**
 * Who transferred a call to where it is now. That is an extension only where the channel proves it: it talked last to the
 * leg that was dialled for it, or that dialled it, and to no third one that it was connected with since.
 *
 * @returns its number; empty: a REFER by somebody else, which leaves its Refer-To there (recordings refer-by-*); undefined:
 *   nobody transferred it, or its own dialplan or a route did
 */
export function transferor(channel: Event, state: CallState | undefined): string | undefined {
  if (state !== undefined && state.destination === channel.peek('Caller-Destination-Number'))
    return state.transferredBy
  const partner = channel.peek('variable_last_bridge_to')
  const by = state === undefined ? dialler(channel, partner) : taker(channel, state.attempt, partner)
  if (by !== undefined) return by
  if (channel.peek('variable_sip_refer_to') !== undefined)
    return state?.attempt ? '' : (state?.transferredBy ?? '')
  return state?.transferredBy
}

/** The extension that had a leg dialled, if the leg talked to it last. */
function dialler(channel: Event, partner: string | undefined): string | undefined {
  const dialled = transferredLeg(channel)
  return dialled !== undefined && dialled.callUuid === partner ? dialled.extension : undefined
}

/** The extension that took what a caller dialled, if he talked to it last. */
function taker(
  channel: Event,
  attempt: CallState['attempt'],
  partner: string | undefined,
): string | undefined {
  if (attempt === undefined || partner === undefined) return undefined
  if (attempt.taker !== undefined)
    return attempt.taker.legUuid === partner ? attempt.taker.extension : undefined
  const [extension, ...others] = extensionsOf(attempt.target)
  const isOneOfHis = channel.peek('variable_originated_legs')?.includes(partner) === true
  return others.length === 0 && isOneOfHis ? extension : undefined
}

/**
 * The leg that a caller was dialling, or thought so, when he was transferred: a phone may connect another one of its
 * calls with a leg that still rings (mod_sofia's `Attended Transfer on originating session`), which then never talks to
 * who had it dialled.
 *
 * @param callers final event; @param legs that are known
 */
export function leftRinging(callers: Event | undefined, legs: readonly Leg[]): string | undefined {
  if (callers?.peek('variable_transfer_disposition') === undefined) return undefined
  const [uuid] = (callers.peek('variable_originated_legs') ?? '').split(';')
  return uuid === '' || legs.some((leg) => leg.uuid === uuid) ? undefined : uuid
}

/** Where a caller is after a transfer: a dialplan has him, or somebody whom he was connected with, and no dialplan. */
export type Moved = 'dialplan' | 'talk'

/**
 * Whether an event says that its caller was transferred, which breaks off what runs for him. A phone that was called and
 * connects its caller with somebody else has FreeSWITCH's switch_ivr_uuid_bridge write down the new partner before the
 * talk is torn apart; one that merely ended has its own partner there (recordings bridge-answered-*, refer-by-called-1).
 *
 * @param calledNumber what the caller's channel was for
 */
export function movedTo(
  event: Event,
  { calledNumber }: Pick<ChannelFacts, 'calledNumber'>,
): Moved | undefined {
  if (event.name !== 'CHANNEL_EXECUTE_COMPLETE' && event.name !== 'CHANNEL_UNBRIDGE') return undefined
  const destination = event.peek('Caller-Destination-Number')
  if (destination !== undefined && destination !== calledNumber) return 'dialplan'
  if (event.name !== 'CHANNEL_UNBRIDGE') return undefined
  const partner = event.peek('variable_bridge_uuid')
  const parted = [event.peek('Bridge-A-Unique-ID'), event.peek('Bridge-B-Unique-ID')]
  return partner === undefined || parted.includes(undefined) || parted.includes(partner) ? undefined : 'talk'
}
