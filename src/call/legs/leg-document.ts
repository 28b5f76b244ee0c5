import { stateVariable } from '../../channel/channel.js'
import { Event } from '../../esl/event.js'
import { legVariable } from '../../numbering/dial-string.js'
import { factHeaders, micros } from '../facts.js'
import { finalHeaders } from '../record.js'
import { legStateOf } from '../state.js'
import { leftVariables } from '../takeover.js'
import { dialedUser } from './taker.js'

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
 * What is read of a final event, where it is read; and what only legs and calls without a session are read for. Nothing
 * else of a document is kept. A test holds all readers to it.
 */
const kept = new Set<string>([
  ...factHeaders.names,
  ...finalHeaders.names,
  'Call-Direction',
  'Caller-Profile-Created-Time',
  'Other-Leg-Caller-ID-Name',
  'Other-Leg-Caller-ID-Number',
  'Other-Leg-Destination-Number',
  'variable_bridge_hangup_cause',
  'variable_bridge_uepoch',
  'variable_bridge_uuid',
  'variable_current_application',
  `variable_${dialedUser}`,
  'variable_direction',
  'variable_last_bridge_to',
  ...leftVariables.map((name) => `variable_${name}`),
  'variable_originated_legs',
  'variable_originating_leg_uuid',
  'variable_originator',
])

/**
 * When the application after the last `bridge` began, in µs: the caller was given back by then. Only mod_json_cdr
 * tells, in its `app_log`.
 */
export const afterBridgeHeader = 'App-Log-After-Bridge-Time'

/** What a leg was for last, where a document has it apart from what it was for first: the header, its name here. */
export const lastProfile = {
  'Caller-Caller-ID-Number': 'Last-Caller-ID-Number',
  'Caller-Destination-Number': 'Last-Destination-Number',
  'Caller-Profile-Created-Time': 'Last-Profile-Created-Time',
} as const
const ownHeaders: readonly string[] = [afterBridgeHeader, ...Object.values(lastProfile)]

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
 * The calls of which a document tells: that which the leg is part of; and, if the leg was transferred to a dialplan since,
 * the call that it has been from then on (recording refer-by-caller-2), whose uuid is the leg's.
 */
export function callsOf(document: LegDocument | undefined): readonly LegDocument[] {
  if (document === undefined) return []
  const { source, uuid, callUuid, event } = document
  const has = (name: string): boolean => event.peek(`variable_${name}`) !== undefined
  const isServed = [stateVariable, ...leftVariables].some(has)
  const isAccepted = has(legVariable) && event.peek('variable_current_application') === 'socket'
  if (uuid === callUuid || !(isServed || isAccepted)) return [document]
  const own = new Event()
  for (const [name, value] of headersOf(event)) own.set(name, value)
  for (const [name, last] of Object.entries(lastProfile))
    own.set(name, event.peek(last) ?? event.peek(name) ?? [])
  return [document, { source, uuid, callUuid: uuid, event: own }]
}

/** Of all that an event says, what is read here. @returns undefined when it says too little */
export function shortened({ source, callUuid, event }: LegDocument): LegDocument | undefined {
  const document = documentOf(source, (name) => event.peek(name))
  return document && { ...document, callUuid }
}

const version = 1

/** As the journal keeps it. */
export function documentText({ source, event }: LegDocument): string {
  return JSON.stringify({ v: version, source, event: Object.fromEntries(headersOf(event)) })
}

/**
 * @param of the call that it was kept for, if that is not what the leg itself says
 * @throws DocumentError when it is none, or another release's
 */
export function documentFromText(text: string, of?: string): LegDocument {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    throw new DocumentError('no JSON', { cause: error })
  }
  const { v, source, event } = (json ?? {}) as { v?: unknown; source?: unknown; event?: unknown }
  if (v !== version) throw new DocumentError(`of version ${String(v)}, which this release does not know`)
  const headers = (event ?? {}) as Readonly<Record<string, unknown>>
  const document = documentOf(source === 'link' ? 'link' : 'json_cdr', (name) => {
    const value = headers[name]
    return typeof value === 'string' ? value : undefined
  })
  if (document === undefined) throw new DocumentError('no leg that is over')
  return of === undefined ? document : { ...document, callUuid: of }
}

/**
 * @param value of each header that is kept
 * @returns undefined when it does not say which leg it is about, and from when to when it was up
 */
export function documentOf(
  source: LegDocument['source'],
  value: (name: string) => string | undefined,
): LegDocument | undefined {
  const event = new Event('CHANNEL_HANGUP_COMPLETE')
  for (const name of [...kept, ...ownHeaders]) {
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
 * Whether it says itself that it is of a call of ours: it has what our servers wrote; or our dialplan's note that the
 * call came back from a socket, as it does when its only server died before it wrote anything, and when there was none;
 * or a server accepted it, and died before anything else was done with it.
 */
export function isMarked({ uuid, callUuid, event }: LegDocument): boolean {
  const isUnserved =
    uuid === callUuid &&
    event.peek('variable_direction') === 'inbound' &&
    event.peek('variable_current_application') === 'socket'
  return isUnserved || marks.some((name) => event.peek(`variable_${name}`) !== undefined)
}

const marks = [stateVariable, legVariable, ...leftVariables]
