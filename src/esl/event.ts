import { UnsafeArgument } from './errors.js'
import { encodePercent, escapeXml } from './encoding.js'
import type { HeaderList, Picked } from './header-list.js'
import {
  arrayMark,
  arraySeparator,
  firstOf,
  jsonBodyKey,
  listOf,
  parseXml,
  pickFrom,
  ReceivedJson,
  ReceivedPlain,
  type Parts,
  type Received,
  type Value,
} from './received.js'

const lengthKey = 'content-length'

/**
 * An event of FreeSWITCH: headers, found without regard to case, and perhaps a body. One that was received
 * is taken apart when `peek` does not do.
 */
export class Event implements Iterable<[name: string, values: readonly string[]]> {
  /** By their names as they were written. Undefined while what was received is not taken apart. */
  #headers: Map<string, Value> | undefined
  #received: Received | undefined
  /** Read off what was received: each event is asked for it several times. */
  #name: string | undefined
  #body: string | undefined

  constructor(name?: string) {
    this.#headers = new Map()
    if (name !== undefined) this.#headers.set('Event-Name', name)
  }

  /** @param source the body of a `text/event-json` frame; @throws ProtocolError (when first read) if it is no JSON object */
  static fromJson(source: Buffer | string): Event {
    return Event.#of(new ReceivedJson(typeof source === 'string' ? Buffer.from(source) : source))
  }

  /** @param text `Name: percent-encoded value` lines, then perhaps Content-Length, a blank line and a body */
  static fromPlain(text: string): Event {
    return Event.#of(new ReceivedPlain(text))
  }

  /** @param text `<event><headers><Name>value</Name>…</headers><body>…</body></event>`; @throws ProtocolError */
  static fromXml(text: string): Event {
    const event = new Event()
    event.#take(parseXml(text))
    return event
  }

  static #of(received: Received): Event {
    const event = new Event()
    event.#headers = undefined
    event.#received = received
    return event
  }

  /** `Event-Name`, or the empty string. */
  get name(): string {
    if (this.#received === undefined) return this.get('Event-Name') ?? ''
    this.#name ??= this.peek('Event-Name') ?? ''
    return this.#name
  }

  get body(): string | undefined {
    this.#all()
    return this.#body
  }

  set body(body: string | undefined) {
    this.#all()
    this.#body = body
  }

  /** The header's first value. */
  get(name: string): string | undefined {
    return firstOf(this.#find(name))
  }

  /**
   * The header's first value, of a received event without taking all of it apart: for looking at a few
   * headers. Unlike `get` it finds them in FreeSWITCH's own spelling alone.
   */
  peek(name: string): string | undefined {
    return this.#received ? this.#received.peek(name) : firstOf(this.#headers?.get(name))
  }

  /** What `peek` finds of each of these headers, in one pass. */
  pick<Name extends string>(list: HeaderList<Name>): Picked<Name> {
    return this.#received?.pick(list) ?? pickFrom(this.#all(), list)
  }

  getAll(name: string): readonly string[] {
    return listOf(this.#find(name))
  }

  has(name: string): boolean {
    return this.get(name) !== undefined
  }

  /** Replaces the header, keeping its place among the others; without any value it is deleted. */
  set(name: string, value: Value): this {
    const headers = this.#all()
    const values = typeof value === 'string' ? [value] : [...value]
    const [first] = values
    if (first === undefined) this.delete(name)
    else headers.set(this.#spelling(name) ?? name, values.length === 1 ? first : values)
    return this
  }

  /** Adds a value behind those that the header has. */
  push(name: string, value: string): this {
    return this.set(name, [...this.getAll(name), value])
  }

  /** Adds a value before those that the header has. */
  unshift(name: string, value: string): this {
    return this.set(name, [value, ...this.getAll(name)])
  }

  /** Deletes the header in every spelling. @returns whether it was there */
  delete(name: string): boolean {
    const lowerCase = name.toLowerCase()
    const spellings = [...this.#all().keys()].filter((spelling) => spelling.toLowerCase() === lowerCase)
    for (const spelling of spellings) this.#headers?.delete(spelling)
    return spellings.length > 0
  }

  *[Symbol.iterator](): Generator<[name: string, values: readonly string[]]> {
    for (const [name, value] of this.#all()) yield [name, listOf(value)]
  }

  /** As FreeSWITCH writes it on the socket: ends with a blank line, or with the body. */
  toPlain(): string {
    let text = ''
    for (const [name, value] of this.#written()) {
      if (/[\r\n\0:]/.test(name) || name === '') throw unwritable(name)
      text += `${name}: ${encodePercent(joinArray(value))}\n`
    }
    if (this.#body === undefined) return text + '\n'
    return `${text}Content-Length: ${Buffer.byteLength(this.#body)}\n\n${this.#body}`
  }

  toJson(): string {
    const parts: string[] = []
    for (const [name, value] of this.#written())
      parts.push(`${JSON.stringify(name)}:${JSON.stringify(value)}`)
    if (this.#body !== undefined) {
      parts.push(`"Content-Length":"${Buffer.byteLength(this.#body)}"`)
      parts.push(`${JSON.stringify(jsonBodyKey)}:${JSON.stringify(this.#body)}`)
    }
    return `{${parts.join(',')}}`
  }

  toXml(): string {
    let text = '<event>\n  <headers>\n'
    for (const [name, value] of this.#written()) {
      if (/[\s\0<>&"'/]/.test(name) || name === '') throw unwritable(name)
      for (const each of listOf(value)) text += `    <${name}>${escapeXml(encodePercent(each))}</${name}>\n`
    }
    text += '  </headers>\n'
    if (this.#body !== undefined) {
      text += `  <Content-Length>${Buffer.byteLength(this.#body)}</Content-Length>\n  <body>${escapeXml(this.#body)}</body>\n`
    }
    return text + '</event>'
  }

  /** The headers to be written: a body's length is told beside the body, as it is then. */
  *#written(): Generator<[name: string, value: Value]> {
    for (const header of this.#all()) {
      if (this.#body === undefined || header[0].toLowerCase() !== lengthKey) yield header
    }
  }

  #find(name: string): Value | undefined {
    const headers = this.#all()
    const value = headers.get(name)
    if (value !== undefined) return value
    const key = this.#spelling(name)
    return key === undefined ? undefined : headers.get(key)
  }

  /** How the name is written here: as it was asked for, before any other. */
  #spelling(name: string): string | undefined {
    const headers = this.#all()
    if (headers.has(name)) return name
    const lowerCase = name.toLowerCase()
    let found: string | undefined
    for (const candidate of headers.keys()) {
      if (candidate.length === name.length && candidate.toLowerCase() === lowerCase) found = candidate
    }
    return found
  }

  #all(): Map<string, Value> {
    return this.#headers ?? this.#take(this.#received?.parse() ?? { headers: new Map() })
  }

  #take({ headers, body }: Parts): Map<string, Value> {
    this.#received = undefined
    this.#body = body
    this.#headers = headers
    return headers
  }
}

function joinArray(value: Value): string {
  if (typeof value === 'string') return value
  return value.length === 1 ? (value[0] ?? '') : arrayMark + value.join(arraySeparator)
}

function unwritable(name: string): UnsafeArgument {
  return new UnsafeArgument(`a header's name that this format cannot carry: ${JSON.stringify(name)}`)
}
