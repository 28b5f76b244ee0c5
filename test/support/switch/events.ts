import type { Channel } from './channel.js'
import {
  encode,
  Header,
  headerName,
  HeaderList,
  noHeaders,
  type Encoded,
  type EventFormat,
  type HeaderRun,
} from './headers.js'
import { templates } from './templates.js'

const stampName = headerName('Event-Date-Timestamp')
const sequenceName = headerName('Event-Sequence')
/** Events that show a channel's state but none of its variables. */
const withoutVariables = new Set(['CHANNEL_STATE', 'CHANNEL_CALLSTATE', 'DTMF'])

/** An event that is being fired. Valid until the call goes on: it reads the channel when asked. */
export class FiredEvent {
  readonly name: string
  readonly body: string | undefined
  /** Of the channel that it is about. */
  readonly uuid: string | undefined
  readonly #runs: readonly HeaderRun[]
  readonly #frames: Partial<Record<EventFormat, readonly Encoded[]>> = {}

  constructor(name: string, runs: readonly HeaderRun[], options: { uuid?: string; body?: string } = {}) {
    this.name = name
    this.uuid = options.uuid
    this.body = options.body
    this.#runs = runs
  }

  *headers(): Iterable<Header> {
    for (const run of this.#runs) yield* run
  }

  /** A header's first value; names without regard to case. */
  get(name: string): string | undefined {
    const wanted = name.toLowerCase()
    for (const header of this.headers()) if (header.name.toLowerCase() === wanted) return header.first
    return undefined
  }

  /** The frame as a socket gets it, in pieces. */
  frame(format: EventFormat): readonly Encoded[] {
    return (this.#frames[format] ??= this.#encode(format))
  }

  /** Each header on a line of its own, values URL-encoded. */
  plainHeaders(): string {
    return this.#runs.map((run) => run.encoded('plain').text).join('')
  }

  /** As `uuid_dump UUID json` and a JSON event's body show it. */
  json(): string {
    return `{${this.#runs
      .map((run) => run.encoded('json').text)
      .join('')
      .slice(1)}}`
  }

  #encode(format: EventFormat): readonly Encoded[] {
    const { body } = this
    const pieces = this.#runs.map((run) => run.encoded(format))
    if (body !== undefined)
      pieces.push(new Header('Content-Length', Buffer.byteLength(body).toString()).encoded(format))
    const [first = encode(''), ...rest] = pieces
    // JSON has no comma before its first member.
    const start = format === 'json' ? { text: first.text.slice(1), bytes: first.bytes - 1 } : first
    const [begin, end] = envelope(format, body)
    const event = [encode(begin), start, ...rest, encode(end)]
    const bytes = event.reduce((sum, piece) => sum + piece.bytes, 0)
    return [encode(`Content-Length: ${bytes}\nContent-Type: text/event-${format}\n\n`), ...event]
  }
}

function envelope(format: EventFormat, body: string | undefined): readonly [begin: string, end: string] {
  if (format === 'json') return ['{', `${body === undefined ? '' : `,"_body":${JSON.stringify(body)}`}}`]
  if (format === 'plain') return ['', `\n${body ?? ''}`]
  const bodyXml = body === undefined ? '' : `  <body>${escapeXml(body)}</body>\n`
  return ['<event>\n  <headers>\n', `  </headers>\n${bodyXml}</event>\n`]
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

/** Headers that one event has and others of its kind have not. */
export interface OwnHeaders {
  /** Before the channel's. */
  readonly before?: readonly Header[]
  /** After its variables. */
  readonly after?: readonly Header[]
}

/** The part that every event of a switch has, with its running number. */
export class EventSource {
  readonly #beginnings = new Map<string, HeaderRun>()
  readonly #coreUuid: Header
  #sequence = 0
  #second = -1
  #dates: HeaderRun = noHeaders

  constructor(coreUuid: string) {
    this.#coreUuid = new Header('Core-UUID', coreUuid)
  }

  /** @param us when it happens, µs */
  ofChannel(name: string, channel: Channel, us: number, own: OwnHeaders = {}): FiredEvent {
    const { before, after } = own
    const runs = [
      ...this.#core(name, us),
      before === undefined ? noHeaders : new HeaderList(before),
      channel.stateHeaders(),
      channel.profile.headers('Caller'),
      channel.otherLegHeaders(),
      ...(withoutVariables.has(name) ? [] : channel.variables.runs),
      after === undefined ? noHeaders : new HeaderList(after),
    ]
    return new FiredEvent(name, runs, { uuid: channel.uuid })
  }

  /** What the reply to `connect` and `uuid_dump` show. */
  channelData(channel: Channel, us: number, after: readonly Header[]): FiredEvent {
    return this.ofChannel('CHANNEL_DATA', channel, us, {
      before: [...channel.profile.headers('Channel')],
      after,
    })
  }

  ofSwitch(name: string, us: number, headers: readonly Header[], body?: string): FiredEvent {
    const runs = [...this.#core(name, us), new HeaderList(headers)]
    return new FiredEvent(name, runs, body === undefined ? {} : { body })
  }

  /** An event that is fired counts, whether or not anybody is subscribed to it. */
  skip(): void {
    this.#sequence++
  }

  #core(name: string, us: number): HeaderRun[] {
    let beginning = this.#beginnings.get(name)
    if (beginning === undefined) {
      beginning = new HeaderList([new Header('Event-Name', name), this.#coreUuid, ...templates().machine])
      this.#beginnings.set(name, beginning)
    }
    const second = Math.floor(us / 1e6)
    if (second !== this.#second) {
      this.#second = second
      this.#dates = new HeaderList([
        new Header('Event-Date-Local', stampOf(us)),
        new Header('Event-Date-GMT', new Date(second * 1000).toUTCString()),
      ])
    }
    const stamp = new Header(stampName, us.toString())
    const sequence = new Header(sequenceName, (++this.#sequence).toString())
    return [beginning, this.#dates, stamp, templates().origins.get(name) ?? noHeaders, sequence]
  }
}

let lastSecond = -1
let lastStamp = ''

/** `2026-11-20 20:34:43`, in UTC as in the recordings */
export function stampOf(us: number): string {
  const second = Math.floor(us / 1e6)
  if (second !== lastSecond) {
    lastSecond = second
    lastStamp = new Date(second * 1000).toISOString().slice(0, 19).replace('T', ' ')
  }
  return lastStamp
}
