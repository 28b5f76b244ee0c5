import type { Channel } from './channel.js'
import { Header } from './headers.js'
import { templates } from './templates.js'

export type EventFormat = 'plain' | 'json' | 'xml'

/** Events that show a channel's state but none of its variables. */
const withoutVariables = new Set(['CHANNEL_STATE', 'CHANNEL_CALLSTATE', 'DTMF'])
const blankLine = '\n'

/** An event that is being fired. Valid until the call goes on: it reads the channel when asked. */
export class FiredEvent {
  readonly name: string
  readonly body: string | undefined
  /** Of the channel that it is about. */
  readonly uuid: string | undefined
  readonly #parts: readonly Iterable<Header>[]
  readonly #encoded = new Map<EventFormat, string>()

  constructor(
    name: string,
    parts: readonly Iterable<Header>[],
    options: { uuid?: string; body?: string } = {},
  ) {
    this.name = name
    this.uuid = options.uuid
    this.body = options.body
    this.#parts = parts
  }

  *headers(): Iterable<Header> {
    for (const part of this.#parts) yield* part
  }

  /** A header's first value; names without regard to case. */
  get(name: string): string | undefined {
    const wanted = name.toLowerCase()
    for (const header of this.headers()) if (header.name.toLowerCase() === wanted) return header.text
    return undefined
  }

  /** The whole frame as a socket gets it. */
  frame(format: EventFormat): string {
    let frame = this.#encoded.get(format)
    if (frame === undefined) {
      const text = this.#encode(format)
      frame = `Content-Length: ${Buffer.byteLength(text)}\nContent-Type: text/event-${format}\n\n${text}`
      this.#encoded.set(format, frame)
    }
    return frame
  }

  #encode(format: EventFormat): string {
    const { body } = this
    const length =
      body === undefined ? undefined : new Header('Content-Length', Buffer.byteLength(body).toString())
    let text = ''
    if (format === 'json') {
      for (const part of this.#parts) for (const header of part) text += `,${header.json}`
      if (length !== undefined) text += `,${length.json},"_body":${JSON.stringify(body)}`
      return `{${text.slice(1)}}`
    }
    if (format === 'plain') {
      text = this.plainHeaders()
      return text + (length === undefined ? blankLine : `${length.plain}${blankLine}${body ?? ''}`)
    }
    for (const part of this.#parts) for (const header of part) text += header.xml
    const bodyXml = length === undefined ? '' : `  <body>${escapeXml(body ?? '')}</body>\n`
    return `<event>\n  <headers>\n${text}${length?.xml ?? ''}  </headers>\n${bodyXml}</event>\n`
  }

  /** Each header on a line of its own, values URL-encoded. */
  plainHeaders(): string {
    let text = ''
    for (const part of this.#parts) for (const header of part) text += header.plain
    return text
  }
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
  readonly #beginnings = new Map<string, readonly Header[]>()
  readonly #coreUuid: Header
  #sequence = 0
  #second = -1
  #dates: readonly Header[] = []

  constructor(coreUuid: string) {
    this.#coreUuid = new Header('Core-UUID', coreUuid)
  }

  /** @param us when it happens, µs */
  ofChannel(name: string, channel: Channel, us: number, own: OwnHeaders = {}): FiredEvent {
    const parts = [
      ...this.#core(name, us),
      own.before ?? [],
      channel.stateHeaders(),
      channel.profile.headers('Caller'),
      channel.otherLegHeaders(),
      withoutVariables.has(name) ? [] : channel.variables,
      own.after ?? [],
    ]
    return new FiredEvent(name, parts, { uuid: channel.uuid })
  }

  /** What the reply to `connect` and `uuid_dump` show. */
  channelData(channel: Channel, us: number, after: readonly Header[]): FiredEvent {
    return this.ofChannel('CHANNEL_DATA', channel, us, { before: channel.profile.headers('Channel'), after })
  }

  ofSwitch(name: string, us: number, headers: readonly Header[], body?: string): FiredEvent {
    return new FiredEvent(name, [...this.#core(name, us), headers], body === undefined ? {} : { body })
  }

  /** An event that is fired counts, whether or not anybody is subscribed to it. */
  skip(): void {
    this.#sequence++
  }

  #core(name: string, us: number): Iterable<Header>[] {
    let beginning = this.#beginnings.get(name)
    if (beginning === undefined) {
      beginning = [new Header('Event-Name', name), this.#coreUuid, ...templates().machine]
      this.#beginnings.set(name, beginning)
    }
    const second = Math.floor(us / 1e6)
    if (second !== this.#second) {
      this.#second = second
      const date = new Date(second * 1000)
      this.#dates = [
        new Header('Event-Date-Local', stampOf(us)),
        new Header('Event-Date-GMT', date.toUTCString()),
      ]
    }
    const stamp = new Header('Event-Date-Timestamp', us.toString())
    const sequence = new Header('Event-Sequence', (++this.#sequence).toString())
    return [beginning, this.#dates, [stamp], templates().origins.get(name) ?? [], [sequence]]
  }
}

/** `2026-11-20 20:34:43`, in UTC as in the recordings */
export function stampOf(us: number): string {
  return new Date(Math.floor(us / 1000)).toISOString().slice(0, 19).replace('T', ' ')
}
