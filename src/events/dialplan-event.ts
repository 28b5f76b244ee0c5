import type { Direction } from '../numbering/direction.js'
import {
  clean,
  eventId,
  isCallStatus,
  isCustomerId,
  metricsOf,
  shortId,
  type CallEvent,
  type Stations,
} from './call-event.js'
import { offsetMs, textOf } from '../common/local-time.js'
import type { Shared } from './shared-fields.js'

/** What of a channel goes into its event. */
export const eventVariables = [
  'CALL_ID',
  'DIRECTION',
  'CUSTOMER_ID',
  'TRUNK',
  'UNIQUE_ID',
  'PHONE_DIAL',
  'LINKED_ID',
  'CALL_STATUS',
  'QUEUE_NAME',
  'HANDLE_TIME',
  'ANSWER_TIME',
  'AGENT_EXTEN',
  'AGENT_ACCOUNT',
] as const

/** Variables of a channel by their names, as its dialplan has set them. */
export type Variables = Readonly<Partial<Record<(typeof eventVariables)[number], string>>>

/** The channel that runs the route. */
export interface EventChannel {
  readonly uuid: string
  /** FreeSWITCH's name of it. */
  readonly name?: string | undefined
  /** Whose call it is, if it is anybody's: for a dialplan that sets no CUSTOMER_ID. */
  readonly tenant?: string | undefined
  /** µs since 1970. */
  readonly startedAt: number
  /** Of the latest event of the channel's own call. */
  readonly sequence?: number
}

/** What an event of a dialplan is about, checked. */
export interface About {
  readonly callId: string
  readonly customer: string
  readonly status: string
}

/** @returns in one line why it cannot be published, when it is a text */
export function aboutOf(variables: Variables, channel: EventChannel): About | string {
  const callId = variables.CALL_ID || channel.uuid
  const customer = variables.CUSTOMER_ID || channel.tenant || ''
  const status = variables.CALL_STATUS ?? ''
  if (!/^[\x21-\x7e]{1,128}$/.test(callId)) return `CALL_ID is ${shown(callId)}`
  if (!isCustomerId(customer)) return `CUSTOMER_ID is ${shown(customer)}`
  if (!isCallStatus(status)) return `CALL_STATUS is ${shown(status)}`
  return { callId, customer, status }
}

/**
 * The event that a dialplan of the operator's own makes of its channel's variables. ANSWER_TIME is a moment: seconds,
 * milliseconds or microseconds since 1970, or local time as `2026-11-21 09:05:00`. HANDLE_TIME is the moment of the
 * change, or, where it is a number too small for one, how many seconds the call was talked in.
 *
 * @param shared what the call's other channels know
 * @param timeZone of its customer, IANA
 * @param now ms since 1970
 */
export function dialplanEvent(
  variables: Variables,
  { callId, customer, status }: About,
  channel: EventChannel,
  shared: Shared,
  timeZone: string,
  now: number,
): CallEvent {
  const direction = directionOf(variables.DIRECTION)
  const started = localMs(shared.startedAt / 1000, timeZone)
  const handled = moment(variables.HANDLE_TIME, timeZone)
  const answered = moment(shared.fields.ANSWER_TIME, timeZone)
  const at = handled ?? localMs(now, timeZone)
  const handledSeconds = /^\d{1,9}$/.exec(variables.HANDLE_TIME ?? '')?.[0]
  const talkedSeconds = answered === undefined ? '0' : seconds(answered, at)
  const uuid = clean(channel.uuid, 256)
  const ownSequence = callId === channel.uuid ? (channel.sequence ?? 0) : 0
  const sequence = Math.max(shared.sequence ?? lateSequence(channel.startedAt, now), ownSequence + 1)
  return {
    timestamp: new Date(now).toISOString(),
    call_id: callId,
    direction,
    customer_id: customer,
    trunk: clean(variables.TRUNK),
    unique_id: clean(variables.UNIQUE_ID) || uuid,
    phone_number: clean(variables.PHONE_DIAL),
    linked_id: clean(variables.LINKED_ID) || callId,
    call_status: status,
    queue_name: clean(variables.QUEUE_NAME),
    bill_sec: handledSeconds === undefined ? talkedSeconds : String(Number(handledSeconds)),
    duration: seconds(started, at),
    start_time: textOf(started),
    answer_time: answered === undefined ? '' : textOf(answered),
    end_time: status === 'hangup' ? textOf(at) : '',
    agent_exten: clean(shared.fields.AGENT_EXTEN),
    agent_account: clean(shared.fields.AGENT_ACCOUNT),
    dial_mode: '',
    channel: clean(channel.name, 256),
    metrics: metricsOf(direction, stationsOf(status, answered !== undefined, !!variables.QUEUE_NAME)),
    id: eventId(callId, `${shortId(channel.uuid, 100)}:${sequence}`),
    sequence,
  }
}

/** In the order of time after those that were counted. Of another channel's no more is known while Redis is away. */
function lateSequence(startedAt: number, now: number): number {
  return 1_000_000 + Math.min(Math.max(0, Math.floor(now - startedAt / 1000)), 900_000_000)
}

function directionOf(text = ''): Direction | '' {
  const found = (['inbound', 'outbound', 'internal'] as const).find((each) => each === text.toLowerCase())
  return found ?? ''
}

function stationsOf(status: string, isAnswered: boolean, hasQueue: boolean): Stations {
  return {
    ivr: status === 'ivr' || status === 'menu',
    ring: status === 'ringing',
    queue: hasQueue || status === 'queued',
    answer: isAnswered || status === 'answered' || status === 'bridged',
  }
}

/** @returns in ms, counted as if local time were UTC; undefined for what is no moment of this century */
function moment(text: string | undefined, timeZone: string): number | undefined {
  if (text === undefined) return undefined
  if (/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/.test(text)) {
    const ms = Date.parse(`${text.replace(' ', 'T')}Z`)
    return Number.isNaN(ms) ? undefined : ms
  }
  if (!/^\d{10}(?:\d{3}){0,2}$/.test(text)) return undefined
  // Up to the year 2286 each of the three has its own length.
  return localMs(Number(text.slice(0, 13).padEnd(13, '0')), timeZone)
}

function localMs(ms: number, timeZone: string): number {
  return Math.floor(ms + offsetMs(ms, timeZone))
}

function seconds(from: number, to: number): string {
  return String(Math.max(0, Math.floor((to - from) / 1000)))
}

function shown(text: string): string {
  return text === '' ? 'not set' : JSON.stringify(text.slice(0, 100))
}
