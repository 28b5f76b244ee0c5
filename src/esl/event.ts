import { ProtocolError, UnsafeArgument } from './errors.js'
import { decodePercent, encodePercent, escapeXml, unescapeXml } from './encoding.js'

/** One value, or several: FreeSWITCH's `ARRAY::`. */
type Value = string | readonly string[]

const arrayMark = 'ARRAY::'
const arraySeparator = '|:'
/** Where FreeSWITCH keeps an event's body in its JSON form. */
const jsonBodyKey = '_body'
const brace = 0x7b
const comma = 0x2c
const lengthKey = 'content-length'
const xmlElement = /<([^\s<>/]+)(?:>([^<]*)<\/\1>|\/>)/g
/** Up to here V8 copies a part of a string; a longer one keeps the whole string alive. */
const longestCopiedPart = 12

/**
 * An event of FreeSWITCH: headers, found without regard to case, and perhaps a body.
 *
 * One that was received is parsed when it is first read: a call gets several events of 6 to 9 kB and
 * looks into few of them.
 */
export class Event implements Iterable<[name: string, values: readonly string[]]> {
  /** By their names as they were written. Undefined while what was received is not taken apart. */
  #headers: Map<string, Value> | undefined
  #json: Record<string, unknown> | undefined
  #source: Buffer | undefined
  /** Read off the source: each event is asked for it several times. */
  #name: string | undefined
  #body: string | undefined
  /** The names that are there, for finding one in another spelling. */
  #names: readonly string[] | undefined

  constructor(name?: string) {
    this.#headers = new Map()
    if (name !== undefined) this.#headers.set('Event-Name', name)
  }

  /** @param source the body of a `text/event-json` frame; @throws ProtocolError (when first read) if it is no JSON object */
  static fromJson(source: Buffer | string): Event {
    const event = new Event()
    event.#headers = undefined
    event.#source = typeof source === 'string' ? Buffer.from(source) : source
    return event
  }

  /** @param text `Name: percent-encoded value` lines, then perhaps Content-Length, a blank line and a body */
  static fromPlain(text: string): Event {
    const event = new Event()
    const headers = event.#all()
    const blank = text.indexOf('\n\n')
    const head = blank < 0 ? text : text.slice(0, blank)
    for (const line of head.split('\n')) {
      const colon = line.indexOf(':')
      if (colon <= 0) continue
      const valueStart = line.charCodeAt(colon + 1) === 0x20 ? colon + 2 : colon + 1
      // FreeSWITCH writes Hangup-Cause twice in the final event: a repeated line is no second value.
      headers.set(line.slice(0, colon), splitArray(decodePercent(copyOf(line.slice(valueStart)))))
    }
    if (blank >= 0 && event.has(lengthKey)) event.#body = text.slice(blank + 2)
    return event
  }

  /** @param text `<event><headers><Name>value</Name>…</headers><body>…</body></event>` */
  static fromXml(text: string): Event {
    const event = new Event()
    const headersEnd = text.indexOf('</headers>')
    if (headersEnd < 0) throw new ProtocolError('an XML event without </headers>')
    let previous: string | undefined
    for (const [, name = '', value = ''] of text.slice(0, headersEnd).matchAll(xmlElement)) {
      const decoded = decodePercent(unescapeXml(value))
      // Values of one header stand next to each other; apart, it is the same header written again.
      if (name === previous) event.push(name, decoded)
      else event.#all().set(name, splitArray(decoded))
      previous = name
    }
    const body = /<body(?:>([^<]*)<\/body>|\/>)/.exec(text.slice(headersEnd))
    if (body) event.#body = unescapeXml(body[1] ?? '')
    return event
  }

  /** `Event-Name`, or the empty string. Read off the first bytes where that is possible, without parsing. */
  get name(): string {
    if (this.#source === undefined) return this.get('Event-Name') ?? ''
    this.#name ??= this.peek('Event-Name') ?? ''
    return this.#name
  }

  get body(): string | undefined {
    if (this.#headers !== undefined) return this.#body
    const body = this.#parsedJson()[jsonBodyKey]
    return typeof body === 'string' ? body : undefined
  }

  set body(body: string | undefined) {
    this.#all()
    this.#body = body
  }

  /** The header's first value. */
  get(name: string): string | undefined {
    const value = this.#find(name)
    return typeof value === 'string' ? value : value?.[0]
  }

  /**
   * The header's first value without parsing the whole event, where the JSON that FreeSWITCH wrote
   * allows it: for looking at a few headers. A value with escapes in it is parsed as always.
   */
  peek(name: string): string | undefined {
    const source = this.#source
    if (source === undefined) return this.get(name)
    // An unescaped quote before and the colon after can only stand around a key of the object itself.
    const key = `"${name}":"`
    const start = source.indexOf(key)
    if (start < 0) return isWithout(source.toString(), name) ? undefined : this.get(name)
    const before = source[start - 1]
    if (before !== brace && before !== comma) return this.get(name)
    const from = start + key.length
    const end = source.indexOf('"', from)
    const value = end < 0 ? '\\' : source.toString('utf8', from, end)
    return value.includes('\\') ? this.get(name) : value
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
    this.#names = undefined
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
    this.#names = undefined
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
    if (this.#headers === undefined) {
      const json = this.#parsedJson()
      const key = Object.hasOwn(json, name) ? name : this.#spelling(name)
      return key === undefined || key === jsonBodyKey ? undefined : valueOf(json[key])
    }
    const value = this.#headers.get(name)
    if (value !== undefined) return value
    const key = this.#spelling(name)
    return key === undefined ? undefined : this.#headers.get(key)
  }

  /** How the name is written here: as it was asked for, before any other. */
  #spelling(name: string): string | undefined {
    this.#names ??= this.#headers ? [...this.#headers.keys()] : Object.keys(this.#parsedJson())
    const lowerCase = name.toLowerCase()
    let found: string | undefined
    for (const candidate of this.#names) {
      if (candidate === name) return name
      if (candidate.length === name.length && candidate.toLowerCase() === lowerCase) found = candidate
    }
    return found
  }

  #parsedJson(): Record<string, unknown> {
    if (this.#json === undefined) {
      let parsed: unknown
      try {
        parsed = JSON.parse(this.#source?.toString() ?? '')
      } catch (error) {
        throw new ProtocolError('an event that is no JSON', { cause: error })
      }
      if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
        throw new ProtocolError('a JSON event that is no object')
      }
      this.#json = parsed as Record<string, unknown>
      this.#source = undefined
    }
    return this.#json
  }

  #all(): Map<string, Value> {
    if (this.#headers === undefined) {
      const headers = new Map<string, Value>()
      for (const [name, json] of Object.entries(this.#parsedJson())) {
        const value = valueOf(json)
        if (name === jsonBodyKey) this.#body = typeof json === 'string' ? json : undefined
        else if (value !== undefined) headers.set(name, value)
      }
      this.#headers = headers
      this.#json = this.#names = undefined
    }
    return this.#headers
  }
}

function valueOf(json: unknown): Value | undefined {
  if (typeof json === 'string') return json
  if (!Array.isArray(json)) return json === null || json === undefined ? '' : JSON.stringify(json)
  const values = json.flatMap((each) => listOf(valueOf(each)))
  return values.length === 0 ? undefined : values
}

function listOf(value: Value | undefined): readonly string[] {
  if (value === undefined) return []
  return typeof value === 'string' ? [value] : value
}

function splitArray(value: string): Value {
  return value.startsWith(arrayMark) ? value.slice(arrayMark.length).split(arraySeparator) : value
}

function joinArray(value: Value): string {
  if (typeof value === 'string') return value
  return value.length === 1 ? (value[0] ?? '') : arrayMark + value.join(arraySeparator)
}

/** Whether no header of this JSON can have the name, in any case and with no escape: told without parsing. */
function isWithout(json: string, name: string): boolean {
  if (!/^[\w-]+$/.test(name) || json.includes('\\u')) return false
  return !json.toLowerCase().includes(`"${name.toLowerCase()}"`)
}

/** One value of a plain event may outlive the 7 kB that it came in. */
function copyOf(value: string): string {
  return value.length > longestCopiedPart ? (' ' + value).slice(1) : value
}

function unwritable(name: string): UnsafeArgument {
  return new UnsafeArgument(`a header's name that this format cannot carry: ${JSON.stringify(name)}`)
}
