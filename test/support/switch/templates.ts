import { Header, HeaderList, variableHeaderName, type HeaderRun, type HeaderValue } from './headers.js'
import { readTranscript, type RecordedFrame } from './recordings.js'
import type { NamedHeader } from './variables.js'

/**
 * The bulk of every payload, cut out of the recordings when it is first needed: what a channel carries
 * when the dialplan reaches `socket`, what answering adds, the audio statistics of the final event, and
 * which line of FreeSWITCH each event names as its origin.
 */

/** What differs from call to call in the recorded variables. */
export interface ChannelSlots {
  readonly uuid: string
  readonly caller: string
  readonly callerName: string
  readonly called: string
  /** µs */
  readonly created: string
  readonly sofiaProfile: string
  readonly sessionId: string
  /** What a phone makes its Call-ID, tags and branches of. */
  readonly sipId: string
}

/** The same for the called leg, which becomes a channel of its own when the caller transfers it. */
export interface CalledLegSlots {
  readonly uuid: string
  readonly originator: string
  readonly caller: string
  readonly number: string
  readonly gateway: string
  readonly transferTo: string
  readonly transferId: string
}

export type ChannelTemplate<Slots> = (slots: Slots) => NamedHeader[]
type Event = ReadonlyMap<string, HeaderValue>

export interface Templates {
  readonly callerLeg: ChannelTemplate<ChannelSlots>
  readonly calledLeg: ChannelTemplate<CalledLegSlots>
  /** Variables that a media answer adds; `bridged` when the far end's answer is passed on. */
  readonly answer: readonly NamedHeader[]
  readonly bridgedAnswer: readonly NamedHeader[]
  readonly audioStatistics: readonly NamedHeader[]
  /** `FreeSWITCH-Hostname` to `FreeSWITCH-IPv6` */
  readonly machine: readonly Header[]
  /** `FreeSWITCH-Switchname` */
  readonly switchName: string
  /** `Event-Calling-File`, `-Function`, `-Line-Number` by event name */
  readonly origins: ReadonlyMap<string, HeaderRun>
  /** What `api status` says. */
  readonly status: string
}

let loaded: Templates | undefined

export function templates(): Templates {
  return (loaded ??= load())
}

const machineHeaders = ['FreeSWITCH-Hostname', 'FreeSWITCH-Switchname', 'FreeSWITCH-IPv4', 'FreeSWITCH-IPv6']
const originHeaders = ['Event-Calling-File', 'Event-Calling-Function', 'Event-Calling-Line-Number']
/** Set by the dialplan on its way to `socket`. */
const dialplanVariables = new Set(['current_application', 'current_application_data', 'socket_host'])

function load(): Templates {
  const bridged = framesOf('bridge-answered-caller-hangs-up')
  const commands = framesOf('commands-and-errors')
  const answered = framesOf('json-answer-caller-hangs-up')
  const final = eventNamed(bridged, 'CHANNEL_HANGUP_COMPLETE')
  const calledLeg = eventNamed(framesOf('refer-by-caller-2'), 'CHANNEL_DATA')
  return {
    callerLeg: callerLegTemplate(eventNamed(bridged, 'CHANNEL_DATA')),
    calledLeg: calledLegTemplate(calledLeg),
    answer: addedVariables(eventNamed(answered, 'CHANNEL_EXECUTE'), eventNamed(answered, 'CHANNEL_ANSWER')),
    bridgedAnswer: addedVariables(
      eventNamed(bridged, 'CHANNEL_PROGRESS'),
      eventNamed(bridged, 'CHANNEL_ANSWER'),
    ),
    audioStatistics: variablesOf(final)
      .filter(([name]) => /^rtp_audio_(in|out|rtcp)_/.test(name))
      .map(([name, value]) => shared(name, value)),
    machine: machineHeaders.map((name) => new Header(name, final.get(name) ?? '')),
    switchName: textOf(final, 'FreeSWITCH-Switchname'),
    origins: originsIn([
      ...bridged,
      ...commands,
      ...framesOf('pipelined-handshake'),
      ...framesOf('digits-entered'),
      ...framesOf('inbound-monitor-and-originate'),
    ]),
    status: commands.find((frame) => frame.body.startsWith('UP '))?.body ?? '',
  }
}

function framesOf(transcript: string): RecordedFrame[] {
  return readTranscript(transcript).flatMap((step) => (step.from === 'switch' ? [step.frame] : []))
}

function eventNamed(frames: readonly RecordedFrame[], name: string): Event {
  const event = frames.find((frame) => frame.event?.get('Event-Name') === name)?.event
  if (event === undefined) throw new Error(`the recordings hold no ${name}`)
  return event
}

function variablesOf(event: Event): [name: string, value: HeaderValue][] {
  return [...event].flatMap(([name, value]) =>
    name.startsWith('variable_') ? [[name.slice('variable_'.length), value]] : [],
  )
}

function shared(name: string, value: HeaderValue): NamedHeader {
  return [name, new Header(variableHeaderName(name), value)]
}

/** The variables that were set between two events: in the second one they stand behind all others. */
function addedVariables(before: Event, after: Event): NamedHeader[] {
  const variables = variablesOf(after)
  const first = variables.findIndex(([name]) => !before.has(`variable_${name}`))
  return variables.slice(first).map(([name, value]) => shared(name, value))
}

function originsIn(frames: readonly RecordedFrame[]): Map<string, HeaderRun> {
  const origins = new Map<string, HeaderRun>()
  for (const { event } of frames) {
    const name = event?.get('Event-Name')
    if (event === undefined || typeof name !== 'string' || origins.has(name)) continue
    origins.set(
      name,
      new HeaderList(originHeaders.map((header) => new Header(header, event.get(header) ?? ''))),
    )
  }
  return origins
}

function callerLegTemplate(data: Event): ChannelTemplate<ChannelSlots> {
  const caller = textOf(data, 'Caller-Caller-ID-Number')
  const callerName = '\u0001'
  const variables = variablesOf(data)
    .filter(([name]) => !dialplanVariables.has(name))
    .map(([name, value]): [string, HeaderValue] => {
      // Caller name and number are the same in the recording.
      if (name === 'sip_from_display') return [name, callerName]
      if (name === 'sip_full_from' && typeof value === 'string')
        return [name, value.replace(`"${caller}"`, `"${callerName}"`)]
      return [name, value]
    })
  return compile(variables, {
    uuid: textOf(data, 'Unique-ID'),
    created: textOf(data, 'Caller-Channel-Created-Time'),
    caller,
    callerName,
    called: textOf(data, 'Caller-Destination-Number'),
    sofiaProfile: textOf(data, 'variable_sofia_profile_name'),
    sipId: /-(\d+)@/.exec(textOf(data, 'variable_sip_call_id'))?.[1] ?? '',
    sessionId: { wholeOf: 'session_id' },
  })
}

function calledLegTemplate(data: Event): ChannelTemplate<CalledLegSlots> {
  const variables = variablesOf(data).filter(([name]) => !dialplanVariables.has(name))
  return compile(variables, {
    uuid: textOf(data, 'Unique-ID'),
    originator: textOf(data, 'variable_originator'),
    number: textOf(data, 'variable_sip_to_user'),
    transferTo: textOf(data, 'Caller-Destination-Number'),
    transferId: textOf(data, 'Caller-Transfer-Source').split(':').slice(0, 2).join(':'),
    gateway: textOf(data, 'variable_sip_gateway_name'),
    caller: textOf(data, 'Caller-Username'),
  })
}

function textOf(event: Event, name: string): string {
  const value = event.get(name)
  if (typeof value !== 'string') throw new Error(`the recording has no ${name}`)
  return value
}

/**
 * @param recorded for each slot what stands for it in the recording, or the one variable that it is
 */
export function compile<Slots extends { [K in keyof Slots]: string }>(
  variables: readonly [name: string, value: HeaderValue][],
  recorded: Readonly<Record<keyof Slots & string, string | { readonly wholeOf: string }>>,
): ChannelTemplate<Slots> {
  const slotNames = Object.keys(recorded) as (keyof Slots & string)[]
  const tokens = slotNames.flatMap((slot) => {
    const token = recorded[slot]
    return typeof token === 'string' ? [{ slot, token }] : []
  })
  // Longest first: a caller's number may be part of something longer.
  tokens.sort((a, b) => b.token.length - a.token.length)
  const slotOf = new Map(tokens.map(({ slot, token }) => [token, slot]))
  const pattern = new RegExp(`(${tokens.map(({ token }) => token).join('|')})`)

  function fill(value: string): (slots: Slots) => string {
    const parts = value.split(pattern).map((part) => slotOf.get(part) ?? { text: part })
    return (slots) => parts.map((part) => (typeof part === 'string' ? slots[part] : part.text)).join('')
  }

  const made = variables.map(([name, value]): ((slots: Slots) => [string, Header]) => {
    const whole = slotNames.find((slot) => {
      const token = recorded[slot]
      return typeof token !== 'string' && token.wholeOf === name
    })
    if (whole !== undefined) return (slots) => [name, new Header(variableHeaderName(name), slots[whole])]
    if (![value].flat().some((text) => pattern.test(text))) {
      const header = new Header(variableHeaderName(name), value)
      return () => [name, header]
    }
    const fills = [value].flat().map(fill)
    return (slots) => {
      const values = fills.map((part) => part(slots))
      return [
        name,
        new Header(variableHeaderName(name), typeof value === 'string' ? (values[0] ?? '') : values),
      ]
    }
  })
  return (slots) => made.map((make) => make(slots))
}
