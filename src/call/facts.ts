import { stateVariable } from '../channel/channel.js'
import type { Event } from '../esl/event.js'

/**
 * What a channel's headers and variables mean, in one place.
 * Every text in here is as the wire had it: checked where it is used, not here.
 */
export interface ChannelFacts {
  readonly uuid: string
  /** ANI as it came; empty when there is none. */
  readonly callerNumber: string
  readonly callerName: string
  /** The caller hides its number, or has none. */
  readonly isAnonymous: boolean
  /** DNIS as it came. */
  readonly calledNumber: string
  /**
   * The channel's name holds line breaks (a SIP user part may, percent-encoded): FreeSWITCH writes it raw
   * into its linger notice, where it could forge further frames, the final event among them.
   */
  readonly couldForge: boolean
  readonly accountCode: string | undefined
  readonly authUser: string | undefined
  readonly authRealm: string | undefined
  /** The phone has proved who it is by SIP authentication or the profile's ACL. */
  readonly isAuthorized: boolean
  readonly profile: string | undefined
  /** Set by FreeSWITCH's directory, not by the caller. */
  readonly domain: string | undefined
  /** The path of `socket host:port/PATH`: the route that the dialplan names. */
  readonly socketPath: string | undefined
  /** The dialplan has set what a bridge needs here: see Session. */
  readonly isReadyToBridge: boolean
  /** This or another node had it before. */
  readonly isKnown: boolean
  readonly sipCallId: string | undefined
  readonly switchName: string | undefined
  /** µs since 1970, by the switch's clock. */
  readonly createdAt: number
  readonly answeredAt: number | undefined
}

const anonymousNames = new Set(['', 'anonymous', 'restricted', 'unavailable', 'unknown', 'private'])

/** @param channel the reply to `connect` */
export function channelFacts(channel: Event): ChannelFacts {
  const callerNumber = channel.peek('Caller-Caller-ID-Number') ?? channel.peek('Caller-ANI') ?? ''
  return {
    uuid: channel.peek('Unique-ID') ?? '',
    callerNumber,
    callerName: channel.peek('Caller-Caller-ID-Name') ?? '',
    isAnonymous:
      anonymousNames.has(callerNumber.toLowerCase()) || channel.peek('Caller-Privacy-Hide-Number') === 'true',
    calledNumber: channel.peek('Caller-Destination-Number') ?? '',
    couldForge: /[\r\n]/.test(channel.peek('Channel-Name') ?? ''),
    accountCode: channel.peek('variable_accountcode'),
    authUser: channel.peek('variable_sip_auth_username'),
    authRealm: channel.peek('variable_sip_auth_realm'),
    isAuthorized: channel.peek('variable_sip_authorized') === 'true',
    profile: channel.peek('variable_sofia_profile_name'),
    domain: channel.peek('variable_domain_name'),
    socketPath: channel.peek('variable_socket_path'),
    isReadyToBridge:
      channel.peek('variable_continue_on_fail') === 'true' &&
      channel.peek('variable_hangup_after_bridge') === 'false',
    isKnown: isKnownCall(channel),
    sipCallId: channel.peek('variable_sip_call_id'),
    switchName: channel.peek('FreeSWITCH-Switchname'),
    createdAt: micros(channel, 'Caller-Channel-Created-Time') ?? micros(channel, 'Event-Date-Timestamp') ?? 0,
    answeredAt: micros(channel, 'Caller-Channel-Answered-Time'),
  }
}

/** A call that this or another node had before: never refused for capacity. */
export function isKnownCall(channel: Event): boolean {
  return channel.peek(`variable_${stateVariable}`) !== undefined
}

/** A time in µs since 1970; undefined when it is absent or 0, FreeSWITCH's "not yet". */
export function micros(event: Event, name: string): number | undefined {
  const value = Number(event.peek(name))
  return Number.isSafeInteger(value) && value > 0 ? value : undefined
}

/**
 * Between two times in µs, in ms. Each is cut to its millisecond first, as FreeSWITCH's own `billmsec`
 * and `mduration` are: so both sources of a leg's length give the same money.
 */
export function millisBetween(from: number, to: number): number {
  return Math.max(0, Math.floor(to / 1000) - Math.floor(from / 1000))
}
