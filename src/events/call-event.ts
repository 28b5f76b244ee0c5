import { createHash } from 'node:crypto'

import type { Direction } from '../numbering/direction.js'
import type { CallRecord } from '../store/call-record.js'
import { localTime } from '../common/local-time.js'

/**
 * What other programs are told of a call, as they see it: the names are theirs. Seconds are strings. Local times are
 * those of the tenant, `2026-11-21 09:05:00`, and empty for what has not come about.
 */
export interface CallEvent {
  /** When it came about: RFC 3339, UTC, with milliseconds. */
  readonly timestamp: string
  readonly call_id: string
  readonly direction: Direction | ''
  readonly customer_id: string
  /** The gateway. */
  readonly trunk: string
  /** Of the channel. */
  readonly unique_id: string
  /** Of who is neither the tenant nor its agent: the caller of an inbound call, else the called one. */
  readonly phone_number: string
  /** Of the channel that the call began with. */
  readonly linked_id: string
  readonly call_status: string
  readonly queue_name: string
  /** Since the answer. */
  readonly bill_sec: string
  /** Since the beginning. */
  readonly duration: string
  readonly start_time: string
  readonly answer_time: string
  readonly end_time: string
  readonly agent_exten: string
  readonly agent_account: string
  /** Always empty: consumers expect it to be there, and nothing of a call is meant by it. */
  readonly dial_mode: ''
  /** The channel's name. */
  readonly channel: string
  readonly metrics: Metrics
  /** The same for the same change, however often and by whom it is told. At most 255 bytes. */
  readonly id: string
  /** Within the call, later ones are greater. */
  readonly sequence: number
}

export interface Metrics {
  readonly ivr: Bit
  readonly ring: Bit
  readonly queue: Bit
  readonly answer: Bit
  readonly inbound: Bit
  readonly outbound: Bit
  readonly internal: Bit
}

type Bit = 0 | 1

/** What the call has been through up to now. */
export interface Stations {
  /** A menu. */
  readonly ivr: boolean
  /** Somebody's phone rang. */
  readonly ring: boolean
  readonly queue: boolean
  /** It was answered, by a person or by us. */
  readonly answer: boolean
}

/** What is not in every call, and in no call record. */
export interface CallDetails {
  /** The queue that the call is in, or was in last. */
  readonly queueName?: string | undefined
  /** The extension that talks or rings for the tenant. */
  readonly agentExtension?: string | undefined
  /** The SIP account that it is registered with. */
  readonly agentAccount?: string | undefined
  /** FreeSWITCH's name of the caller's channel, `sofia/internal/1000@example.com`. */
  readonly channel?: string | undefined
  readonly stations?: Stations | undefined
}

/** A call whose status has just changed. Moments are µs since 1970, by the switch's clock. */
export interface CallSnapshot extends CallDetails {
  readonly uuid: string
  /** The tenant's id. */
  readonly tenant: string
  /** The tenant's, IANA. */
  readonly timeZone: string
  readonly direction: Direction
  /** Normal form. */
  readonly caller: string
  readonly called: string
  readonly gateway: string | undefined
  /** `ringing`, `answered`, `bridged`, `queued`, …: A-Z a-z 0-9 _ -. The end, `hangup`, comes with the record. */
  readonly status: string
  readonly at: number
  readonly startedAt: number
  readonly answeredAt: number | undefined
  /** How many nodes had the call before this one. */
  readonly takeovers: number
  /** Counts the call's events on this node: 1, 2, …, on when the call comes back on another socket, or was given back. */
  readonly count: number
  readonly stations: Stations
}

/** Of the end: greater than any other of the call. */
export const lastSequence = 999_999_999
/** Of one node that had the call. */
export const mostEvents = 999

/** @param takeovers and @param count as in CallSnapshot */
export function sequenceOf(takeovers: number, count: number): number {
  return Math.min(takeovers, 900_000) * (mostEvents + 1) + count
}

/** What may be in the name of a queue. */
export function isCustomerId(text: string): boolean {
  return /^[A-Za-z0-9_-]{1,64}$/.test(text)
}

export function isCallStatus(text: string): boolean {
  return /^[A-Za-z0-9_-]{1,32}$/.test(text)
}

/** @returns undefined for what cannot be published: more changes than any call has, a name that fits no queue */
export function callEvent(call: CallSnapshot): CallEvent | undefined {
  const { uuid, tenant, status, count } = call
  if (count > mostEvents || !isCallStatus(status) || !isCustomerId(tenant)) return undefined
  const sequence = sequenceOf(call.takeovers, count)
  return eventOf(call, call, {
    uuid,
    customer: tenant,
    timeZone: call.timeZone,
    status,
    at: call.at,
    answeredAt: call.answeredAt,
    endedAt: undefined,
    gateway: call.gateway,
    stations: call.stations,
    agent: call.agentExtension,
    // With its status: a node that died may have told another change by the same number, and told nobody that it had.
    id: eventId(uuid, `${sequence}:${status}`),
    sequence,
  })
}

/**
 * The call's last event, the same by its id whoever makes it: the session, or those that tell of calls beside it.
 *
 * @param timeZone the tenant's, IANA
 * @param details what they do not say is taken from the record
 * @returns undefined for a call that is nobody's
 */
export function hangupEvent(
  record: CallRecord,
  timeZone: string,
  details: CallDetails = {},
): CallEvent | undefined {
  const { callUuid: uuid, tenant: customer, direction } = record
  if (customer === null || !isCustomerId(customer)) return undefined
  return eventOf(record, details, {
    uuid,
    customer,
    timeZone,
    status: 'hangup',
    at: record.endedAt,
    answeredAt: record.answeredAt ?? undefined,
    endedAt: record.endedAt,
    gateway: record.gateway ?? undefined,
    stations: details.stations ?? stationsOf(record),
    agent: details.agentExtension ?? (direction === 'inbound' ? undefined : record.caller),
    id: eventId(uuid, 'hangup'),
    sequence: lastSequence,
  })
}

interface Particulars {
  readonly uuid: string
  readonly customer: string
  readonly timeZone: string
  readonly status: string
  readonly at: number
  readonly answeredAt: number | undefined
  readonly endedAt: number | undefined
  readonly gateway: string | undefined
  readonly stations: Stations
  readonly agent: string | undefined
  readonly id: string
  readonly sequence: number
}

function eventOf(
  {
    direction,
    caller,
    called,
    startedAt,
  }: Pick<CallSnapshot, 'direction' | 'caller' | 'called' | 'startedAt'>,
  { queueName, agentAccount, channel }: CallDetails,
  particulars: Particulars,
): CallEvent {
  const { uuid, customer, timeZone, at, answeredAt, endedAt, agent, stations } = particulars
  const call = clean(uuid, 256)
  return {
    timestamp: new Date(Math.floor(at / 1000)).toISOString(),
    call_id: call,
    direction,
    customer_id: customer,
    trunk: clean(particulars.gateway),
    unique_id: call,
    phone_number: clean(direction === 'inbound' ? caller : called),
    linked_id: call,
    call_status: particulars.status,
    queue_name: clean(queueName),
    bill_sec: seconds(answeredAt, at),
    duration: seconds(startedAt, at),
    start_time: localTime(startedAt, timeZone),
    answer_time: answeredAt === undefined ? '' : localTime(answeredAt, timeZone),
    end_time: endedAt === undefined ? '' : localTime(endedAt, timeZone),
    agent_exten: clean(agent),
    agent_account: clean(agentAccount),
    dial_mode: '',
    channel: clean(channel, 256),
    metrics: metricsOf(direction, stations),
    id: particulars.id,
    sequence: particulars.sequence,
  }
}

export function metricsOf(direction: Direction | '', { ivr, ring, queue, answer }: Stations): Metrics {
  return {
    ivr: bit(ivr),
    ring: bit(ring),
    queue: bit(queue),
    answer: bit(answer),
    inbound: bit(direction === 'inbound'),
    outbound: bit(direction === 'outbound'),
    internal: bit(direction === 'internal'),
  }
}

/** As far as a record tells. */
function stationsOf({ route, ringMs, bridgedAt, answeredAt }: CallRecord): Stations {
  return {
    ivr: route === 'menu',
    ring: ringMs > 0 || bridgedAt !== null,
    queue: route === 'queue',
    answer: answeredAt !== null,
  }
}

/** @param what tells it from the call's others: printable ASCII, at most 120 characters */
export function eventId(call: string, what: string): string {
  return `${shortId(call, 128)}:${what}`
}

/** The switch may be told to use the SIP Call-ID, which is as long as a caller likes; a message's id is not. */
export function shortId(id: string, longest: number): string {
  return id.length <= longest && /^[\x20-\x7e]+$/.test(id)
    ? id
    : `sha256:${createHash('sha256').update(id).digest('hex')}`
}

/** What came from outside, on one line and not longer than anybody means it to be. */
export function clean(text = '', longest = 128): string {
  const short = text.length > longest ? text.slice(0, longest) : text
  // Most have nothing of that. A character may be cut in two, and a half is no text.
  return mayBeUnclean.test(short) ? short.replace(unclean, ' ') : short
}

const mayBeUnclean = /[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]/
const unclean = /[\0-\x1f\x7f-\x9f\u2028\u2029]|\p{Surrogate}/gu

function seconds(from: number | undefined, to: number): string {
  return from === undefined ? '0' : String(Math.max(0, Math.floor((to - from) / 1_000_000)))
}

function bit(isSet: boolean): Bit {
  return isSet ? 1 : 0
}
