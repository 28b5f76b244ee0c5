import { stateVariable } from '../../channel/channel.js'
import { Event } from '../../esl/event.js'
import { legVariable } from '../../numbering/dial-string.js'
import { micros } from '../facts.js'
import { legStateOf } from '../state.js'
import { leftVariables } from '../takeover.js'

/** What a switch says of a leg that is over. */
export interface LegDocument {
  readonly source: 'link' | 'json_cdr'
  readonly uuid: string
  /** The uuid of the call that the leg is part of: its caller's leg's, which is its own for that one. */
  readonly callUuid: string
  /**
   * CHANNEL_HANGUP_COMPLETE, or what mod_json_cdr's document comes to as one: of its headers those that are read
   * here, for some hundreds of them may have to be held for long.
   */
  readonly event: Event
}

/** What is no document of a leg, in one line. */
export class DocumentError extends Error {
  override readonly name = 'DocumentError'
}

/**
 * What facts.ts, identify.ts, record.ts, called-leg.ts and second-record.ts read of a final event: nothing else of a
 * document is kept. A test holds them to it.
 */
const keptHeaders = [
  'Event-Date-Timestamp',
  'FreeSWITCH-Switchname',
  'Unique-ID',
  'Call-Direction',
  'Channel-Name',
  'Hangup-Cause',
  'Caller-ANI',
  'Caller-Caller-ID-Name',
  'Caller-Caller-ID-Number',
  'Caller-Destination-Number',
  'Caller-Privacy-Hide-Number',
  'Caller-Channel-Answered-Time',
  'Caller-Channel-Created-Time',
  'Other-Leg-Caller-ID-Name',
  'Other-Leg-Caller-ID-Number',
  'Other-Leg-Destination-Number',
] as const
const keptVariables = [
  'accountcode',
  'answer_uepoch',
  'bridge_uepoch',
  'bridge_uuid',
  'continue_on_fail',
  'current_application',
  'direction',
  'domain_name',
  'end_uepoch',
  'hangup_after_bridge',
  'hangup_cause',
  'hangup_cause_q850',
  'last_bridge_to',
  stateVariable,
  ...leftVariables,
  legVariable,
  'originate_causes',
  'originate_disposition',
  'originating_leg_uuid',
  'originator',
  'progress_media_uepoch',
  'progress_uepoch',
  'proto_specific_hangup_cause',
  'read_codec',
  'remote_media_ip',
  'rtp_audio_in_jitter_loss_rate',
  'rtp_audio_in_media_packet_count',
  'rtp_audio_in_mos',
  'rtp_audio_in_quality_percentage',
  'rtp_audio_out_media_packet_count',
  'sip_auth_realm',
  'sip_auth_username',
  'sip_authorized',
  'sip_call_id',
  'sip_hangup_disposition',
  'sip_invite_failure_status',
  'sip_network_ip',
  'sip_term_status',
  'sip_user_agent',
  'socket_path',
  'sofia_profile_name',
  'start_uepoch',
] as const
const kept: readonly string[] = [...keptHeaders, ...keptVariables.map((name) => `variable_${name}`)]

/**
 * When the application after the last `bridge` began, in µs: the caller was given back by then. Only mod_json_cdr
 * tells, in its `app_log`.
 */
export const afterBridgeHeader = 'App-Log-After-Bridge-Time'

/** Characters of a uuid: the switch may be told to use the SIP Call-ID, which is as long as a caller likes. */
const longestUuid = 512
/** Characters of a state of ours, and of anything else; what is longer is cut. */
const longestState = 65_536
const longestValue = 1_024

/**
 * Which leg an event of a link is the end of, before all that is kept of it is looked for: most of what links tell
 * is of no use here.
 *
 * @returns undefined when it is no CHANNEL_HANGUP_COMPLETE
 */
export function endedLeg(event: Event): LegDocument | undefined {
  const uuid = event.name === 'CHANNEL_HANGUP_COMPLETE' ? event.peek('Unique-ID') : undefined
  return uuid === undefined ? undefined : { source: 'link', uuid, callUuid: callUuidOf(event, uuid), event }
}

/** @param event CHANNEL_HANGUP_COMPLETE; @returns undefined when it is none, or does not say of which leg */
export function fromHangupComplete(event: Event): LegDocument | undefined {
  if (event.name !== 'CHANNEL_HANGUP_COMPLETE') return undefined
  return documentOf('link', (name) => event.peek(name))
}

/**
 * Takes a document of mod_json_cdr: `variables` are those of the final event without their prefix; the rest of its
 * headers are found in `callflow`, whose last element is the call's first profile, with the number that was dialled
 * before any transfer (recordings http/cdr-*).
 *
 * @throws DocumentError when it is none
 */
export function fromJsonCdr(json: unknown): LegDocument {
  if (!isObject(json)) throw new DocumentError('no JSON object')
  const { variables, callflow } = json
  if (!isObject(variables)) throw new DocumentError('no "variables" in it')
  const decode = valueDecoder(variables)
  const variable = (name: string) => decode(text(variables[name]))
  const { caller_profile: profile, times } = objectOf(listOf(callflow).at(-1))
  const caller = objectOf(profile)
  const [otherLeg] = listOf(objectOf(caller.originator).originator_caller_profiles)
  const other = objectOf(otherLeg)
  const headers: Readonly<Record<string, string | undefined>> = {
    'Event-Date-Timestamp': variable('end_uepoch'),
    'FreeSWITCH-Switchname': text(json.switchname),
    'Unique-ID': variable('uuid'),
    'Call-Direction': variable('direction'),
    'Channel-Name': variable('channel_name') ?? text(caller.chan_name),
    'Hangup-Cause': variable('hangup_cause'),
    'Caller-ANI': text(caller.ani),
    'Caller-Caller-ID-Name': text(caller.caller_id_name),
    'Caller-Caller-ID-Number': text(caller.caller_id_number),
    'Caller-Destination-Number': text(caller.destination_number),
    'Caller-Channel-Answered-Time': text(objectOf(times).answered_time),
    'Caller-Channel-Created-Time': text(objectOf(times).created_time) ?? variable('start_uepoch'),
    'Other-Leg-Caller-ID-Name': text(other.caller_id_name),
    'Other-Leg-Caller-ID-Number': text(other.caller_id_number),
    'Other-Leg-Destination-Number': text(other.destination_number),
    [afterBridgeHeader]: afterBridge(json.app_log),
  }
  const document = documentOf('json_cdr', (name) =>
    name.startsWith('variable_') ? variable(name.slice('variable_'.length)) : headers[name],
  )
  if (document === undefined) throw new DocumentError('no leg that is over: it has no uuid, or no times')
  return document
}

const version = 1

/** As the journal keeps it. */
export function documentText({ source, event }: LegDocument): string {
  return JSON.stringify({ v: version, source, event: Object.fromEntries(headersOf(event)) })
}

/** @throws DocumentError when it is none, or another release's */
export function documentFromText(text: string): LegDocument {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    throw new DocumentError('no JSON', { cause: error })
  }
  const { v, source, event } = objectOf(json)
  if (v !== version) throw new DocumentError(`of version ${String(v)}, which this release does not know`)
  const headers = objectOf(event)
  const document = documentOf(source === 'link' ? 'link' : 'json_cdr', (name) => {
    const value = headers[name]
    return typeof value === 'string' ? value : undefined
  })
  if (document === undefined) throw new DocumentError('no leg that is over')
  return document
}

/** @returns undefined when it does not say which leg it is about, and from when to when it was up */
function documentOf(
  source: LegDocument['source'],
  value: (name: string) => string | undefined,
): LegDocument | undefined {
  const event = new Event('CHANNEL_HANGUP_COMPLETE')
  for (const name of [...kept, afterBridgeHeader]) {
    const all = value(name)
    if (all === undefined || all === '') continue
    event.set(name, all.slice(0, name.startsWith('variable_linger_') ? longestState : longestValue))
  }
  const uuid = event.peek('Unique-ID')
  const from = micros(event, 'variable_start_uepoch')
  const to = micros(event, 'variable_end_uepoch')
  if (uuid === undefined || uuid.length > longestUuid || from === undefined || to === undefined || to < from)
    return undefined
  return { source, uuid, callUuid: callUuidOf(event, uuid), event }
}

/** A called leg says itself which call it is of; one that we did not dial names the leg that had it dialled. */
function callUuidOf(event: Event, uuid: string): string {
  const ours = legStateOf(event)?.callUuid
  if (ours !== undefined) return ours
  if ((event.peek('variable_direction') ?? event.peek('Call-Direction')) !== 'outbound') return uuid
  return event.peek('variable_originating_leg_uuid') ?? event.peek('variable_originator') ?? uuid
}

function* headersOf(event: Event): Generator<[name: string, value: string]> {
  for (const [name, [value]] of event) if (value !== undefined) yield [name, value]
}

/**
 * With `encode-values`, which is mod_json_cdr's default, each variable is percent-encoded, and nothing in the document
 * says so; but a date has a colon in it.
 */
function valueDecoder(
  variables: Readonly<Record<string, unknown>>,
): (value: string | undefined) => string | undefined {
  if (text(variables.start_stamp)?.includes('%3A') !== true) return (value) => value
  return (value) => {
    try {
      return value === undefined ? undefined : decodeURIComponent(value)
    } catch {
      // Bytes that are no UTF-8: as they are, for they are only shown.
      return value
    }
  }
}

function afterBridge(appLog: unknown): string | undefined {
  const applications = listOf(objectOf(appLog).applications).map(objectOf)
  const last = applications.findLastIndex((application) => application.app_name === 'bridge')
  // A tone that is played into a talk (uuid_broadcast) is one too, and no end of it.
  const next = applications.slice(last + 1).find((application) => application.app_name !== 'playback')
  return last < 0 ? undefined : text(next?.app_stamp)
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  return isObject(value) ? value : {}
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as readonly unknown[]) : []
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

/**
 * Whether it is of a call of ours: it has what our servers wrote, or our dialplan's note that the call came back from a
 * socket, as it does when its only server died before it wrote anything, and when there was none.
 */
export function isMarked(event: Event): boolean {
  return marks.some((name) => event.peek(`variable_${name}`) !== undefined)
}

const marks = [stateVariable, legVariable, ...leftVariables]
