import type { Channel } from './channel.js'
import { Header, HeaderList, noHeaders, textOf, type EventFormat, type HeaderRun } from './headers.js'
import { templates } from './templates.js'

/** Events that show a channel's state but none of its variables. */
const withoutVariables = new Set(['CHANNEL_STATE', 'CHANNEL_CALLSTATE', 'DTMF'])

/** An event that is being fired. Valid until the call goes on: it reads the channel when asked. */
export class FiredEvent {
  readonly name: string
  readonly body: string | undefined
  /** Of the channel that it is about. */
  readonly uuid: string | undefined
  readonly #runs: readonly HeaderRun[]
  readonly #frames: Partial<Record<EventFormat, string>> = {}

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

  /** The whole frame as a socket gets it. */
  frame(format: EventFormat): string {
    return (this.#frames[format] ??= frameOf(format, this.#encode(format)))
  }

  /** Each header on a line of its own, values URL-encoded. */
  plainHeaders(): string {
    return textOf(this.#runs, 'plain')
  }

  #encode(format: EventFormat): string {
    const { body } = this
    const length = new Header('Content-Length', Buffer.byteLength(body ?? '').toString())
    const text = textOf(body === undefined ? this.#runs : [...this.#runs, length], format)
    if (format === 'json') return `{${text}${body === undefined ? '' : `,"_body":${JSON.stringify(body)}`}}`
    if (format === 'plain') return `${text}\n${body ?? ''}`
    const bodyXml = body === undefined ? '' : `  <body>${escapeXml(body)}</body>\n`
    return `<event>\n  <headers>\n${text}  </headers>\n${bodyXml}</event>\n`
  }
}

function frameOf(format: EventFormat, text: string): string {
  return `Content-Length: ${Buffer.byteLength(text)}\nContent-Type: text/event-${format}\n\n${text}`
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
      withoutVariables.has(name) ? noHeaders : channel.variables,
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
    const stamp = new Header('Event-Date-Timestamp', us.toString())
    const sequence = new Header('Event-Sequence', (++this.#sequence).toString())
    return [beginning, this.#dates, stamp, templates().origins.get(name) ?? noHeaders, sequence]
  }
}

/** `2026-11-20 20:34:43`, in UTC as in the recordings */
export function stampOf(us: number): string {
  return new Date(Math.floor(us / 1000)).toISOString().slice(0, 19).replace('T', ' ')
}
