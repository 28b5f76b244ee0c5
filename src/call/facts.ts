import { stateVariable } from '../channel/channel.js'
import type { Event } from '../esl/event.js'
import { HeaderList } from '../esl/header-list.js'
import { legVariable } from '../numbering/dial-string.js'

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
  /** FreeSWITCH's name of the channel, `sofia/internal/1000@example.com`. */
  readonly channelName: string | undefined
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
  /** The dialplan has set what a bridge needs here: see Dialler. */
  readonly isReadyToBridge: boolean
  /** This or another node had it before. */
  readonly isKnown: boolean
  /** The call that dialled this leg, which was transferred to a dialplan since: it is a call of its own. */
  readonly transferredFrom: string | undefined
  /** The leg that the channel talked to last before the call came here: none of the call's. */
  readonly bridgedBefore: string | undefined
  readonly sipCallId: string | undefined
  readonly switchName: string | undefined
  /** µs since 1970, by the switch's clock. */
  readonly createdAt: number
  readonly answeredAt: number | undefined
  /** When it came here; undefined: its first packet has no date. */
  readonly arrivedAt: number | undefined
}

const anonymousNames = new Set([
  ...['', 'anonymous', 'restricted', 'unavailable', 'unknown', 'private', 'withheld', 'blocked'],
])
/** What FreeSWITCH presents for a caller without a number, 0000000000, and other switches with fewer zeros. */
const noNumber = /^\+?0{6,}$/

/** They tell of a call that was ours before, or of a leg of one. */
const knownVariables = [stateVariable, legVariable] as const

/** What is read of a channel. */
export const factHeaders = new HeaderList([
  'Unique-ID',
  'FreeSWITCH-Switchname',
  'Channel-Name',
  'Event-Date-Timestamp',
  'Caller-ANI',
  'Caller-Caller-ID-Name',
  'Caller-Caller-ID-Number',
  'Caller-Channel-Answered-Time',
  'Caller-Channel-Created-Time',
  'Caller-Destination-Number',
  'Caller-Privacy-Hide-Number',
  'variable_accountcode',
  'variable_continue_on_fail',
  'variable_domain_name',
  'variable_hangup_after_bridge',
  `variable_${stateVariable}`,
  `variable_${legVariable}`,
  'variable_sip_auth_realm',
  'variable_sip_auth_username',
  'variable_sip_authorized',
  'variable_sip_call_id',
  'variable_socket_path',
  'variable_sofia_profile_name',
])

/** @param channel the reply to `connect` */
export function channelFacts(channel: Event): ChannelFacts {
  const has = channel.pick(factHeaders)
  const callerNumber = has['Caller-Caller-ID-Number'] ?? has['Caller-ANI'] ?? ''
  return {
    uuid: has['Unique-ID'] ?? '',
    callerNumber,
    callerName: has['Caller-Caller-ID-Name'] ?? '',
    isAnonymous:
      anonymousNames.has(callerNumber.toLowerCase()) ||
      noNumber.test(callerNumber) ||
      has['Caller-Privacy-Hide-Number'] === 'true',
    calledNumber: has['Caller-Destination-Number'] ?? '',
    couldForge: /[\r\n]/.test(has['Channel-Name'] ?? ''),
    channelName: has['Channel-Name'],
    accountCode: has.variable_accountcode,
    authUser: has.variable_sip_auth_username,
    authRealm: has.variable_sip_auth_realm,
    isAuthorized: has.variable_sip_authorized === 'true',
    profile: has.variable_sofia_profile_name,
    domain: has.variable_domain_name,
    socketPath: has.variable_socket_path,
    isReadyToBridge: has.variable_continue_on_fail === 'true' && has.variable_hangup_after_bridge === 'false',
    isKnown: knownVariables.some((name) => has[`variable_${name}`] !== undefined),
    sipCallId: has.variable_sip_call_id,
    switchName: has['FreeSWITCH-Switchname'],
    createdAt: microsOf(has['Caller-Channel-Created-Time']) ?? microsOf(has['Event-Date-Timestamp']) ?? 0,
    answeredAt: microsOf(has['Caller-Channel-Answered-Time']),
    transferredFrom: undefined,
    bridgedBefore: undefined,
    arrivedAt: microsOf(has['Event-Date-Timestamp']),
  }
}

/**
 * A call that this or another node had before, or a leg of one, which was transferred: never refused for capacity.
 */
export function isKnownCall(channel: Event): boolean {
  return knownVariables.some((name) => channel.peek(`variable_${name}`) !== undefined)
}

/** A time in µs since 1970; undefined when it is absent or 0, FreeSWITCH's "not yet". */
export function micros(event: Event, name: string): number | undefined {
  return microsOf(event.peek(name))
}

/** The same of a header's text. */
export function microsOf(text: string | undefined): number | undefined {
  const value = Number(text)
  return Number.isSafeInteger(value) && value > 0 ? value : undefined
}

/**
 * Between two times in µs, in ms. Each is cut to its millisecond first, as FreeSWITCH's own `billmsec`
 * and `mduration` are: so both sources of a leg's length give the same money.
 */
export function millisBetween(from: number, to: number): number {
  return Math.max(0, Math.floor(to / 1000) - Math.floor(from / 1000))
}
