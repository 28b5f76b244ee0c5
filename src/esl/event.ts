import { ProtocolError } from './errors.js'
import { decodePercent, encodePercent, escapeXml, unescapeXml } from './encoding.js'

/** One header: the name as it was written, and its values (more than one for FreeSWITCH's `ARRAY::`). */
interface Field {
  name: string
  values: string[]
}

const arrayMark = 'ARRAY::'
const arraySeparator = '|:'
/** Where FreeSWITCH keeps an event's body in its JSON form. */
const jsonBodyKey = '_body'
const xmlElement = /<([^\s<>/]+)>([^<]*)<\/\1>/g

/**
 * An event of FreeSWITCH: headers, found without regard to case, and perhaps a body.
 *
 * One that was received is parsed when it is first read: a call gets several events of 6 to 9 kB and
 * looks into few of them.
 */
export class Event implements Iterable<[name: string, values: readonly string[]]> {
  #fields: Map<string, Field> | undefined
  #json: Record<string, unknown> | undefined
  #source: Buffer | string | undefined
  #body: string | undefined

  constructor(name?: string) {
    this.#fields = new Map()
    if (name !== undefined) this.set('Event-Name', name)
  }

  /** @param source the body of a `text/event-json` frame; @throws ProtocolError (when first read) if it is no JSON object */
  static fromJson(source: Buffer | string): Event {
    const event = new Event()
    event.#fields = undefined
    event.#source = source
    return event
  }

  /** @param text `Name: percent-encoded value` lines, then perhaps Content-Length, a blank line and a body */
  static fromPlain(text: string): Event {
    const event = new Event()
    const blank = text.indexOf('\n\n')
    const head = blank < 0 ? text : text.slice(0, blank)
    for (const line of head.split('\n')) {
      const colon = line.indexOf(':')
      if (colon <= 0) continue
      const valueStart = line.charCodeAt(colon + 1) === 0x20 ? colon + 2 : colon + 1
      // FreeSWITCH writes Hangup-Cause twice in the final event: a repeated line is no second value.
      event.set(line.slice(0, colon), splitArray(decodePercent(line.slice(valueStart))))
    }
    if (blank >= 0 && event.has('Content-Length') && text.length > blank + 2)
      event.#body = text.slice(blank + 2)
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
      else event.set(name, splitArray(decoded))
      previous = name
    }
    const body = /<body>([^<]*)<\/body>/.exec(text.slice(headersEnd))?.[1]
    if (body !== undefined) event.#body = unescapeXml(body)
    return event
  }

  /** `Event-Name`, or the empty string. Read off the first bytes where that is possible, without parsing. */
  get name(): string {
    return this.peek('Event-Name') ?? ''
  }

  get body(): string | undefined {
    if (this.#fields !== undefined) return this.#body
    const body = this.#parsedJson()[jsonBodyKey]
    return typeof body === 'string' ? body : undefined
  }

  set body(body: string | undefined) {
    this.#all()
    this.#body = body
  }

  /** The header's first value. */
  get(name: string): string | undefined {
    if (this.#fields === undefined) {
      const json = this.#parsedJson()
      if (Object.hasOwn(json, name)) return name === jsonBodyKey ? undefined : valuesOf(json[name])[0]
    }
    return this.#all().get(name.toLowerCase())?.values[0]
  }

  /**
   * The header's first value without parsing the whole event, where the JSON that FreeSWITCH wrote
   * allows it: for telling events apart. A value with escapes in it is parsed as always.
   */
  peek(name: string): string | undefined {
    const source = this.#source
    if (source === undefined || this.#json !== undefined) return this.get(name)
    // An unescaped quote before and the colon after can only stand around a key of the object itself.
    const key = `"${name}":"`
    const start = source.indexOf(key)
    const before = start < 1 ? '' : charAt(source, start - 1)
    if (before !== '{' && before !== ',') return this.get(name)
    const from = start + key.length
    const end = source.indexOf('"', from)
    const value = end < 0 ? '\\' : textOf(source, from, end)
    return value.includes('\\') ? this.get(name) : value
  }

  getAll(name: string): readonly string[] {
    return this.#all().get(name.toLowerCase())?.values ?? []
  }

  has(name: string): boolean {
    return this.get(name) !== undefined
  }

  /** Replaces the header, keeping its place among the others. */
  set(name: string, value: string | readonly string[]): this {
    const values = typeof value === 'string' ? [value] : [...value]
    const field = this.#all().get(name.toLowerCase())
    if (field) field.values = values
    else this.#append(name, values)
    return this
  }

  /** Adds a value behind those that the header has. */
  push(name: string, value: string): this {
    this.#append(name, [value])
    return this
  }

  /** Adds a value before those that the header has. */
  unshift(name: string, value: string): this {
    return this.set(name, [value, ...this.getAll(name)])
  }

  delete(name: string): boolean {
    return this.#all().delete(name.toLowerCase())
  }

  *[Symbol.iterator](): Generator<[name: string, values: readonly string[]]> {
    for (const { name, values } of this.#all().values()) yield [name, values]
  }

  /** As FreeSWITCH writes it on the socket: ends with a blank line, or with the body. */
  toPlain(): string {
    let text = ''
    for (const [name, values] of this) {
      if (this.#body !== undefined && name.toLowerCase() === 'content-length') continue
      text += `${name}: ${encodePercent(joinArray(values))}\n`
    }
    if (this.#body === undefined) return text + '\n'
    return `${text}Content-Length: ${Buffer.byteLength(this.#body)}\n\n${this.#body}`
  }

  toJson(): string {
    const parts: string[] = []
    for (const [name, values] of this) {
      parts.push(`${JSON.stringify(name)}:${JSON.stringify(values.length === 1 ? values[0] : values)}`)
    }
    if (this.#body !== undefined) {
      if (!this.has('Content-Length')) parts.push(`"Content-Length":"${Buffer.byteLength(this.#body)}"`)
      parts.push(`${JSON.stringify(jsonBodyKey)}:${JSON.stringify(this.#body)}`)
    }
    return `{${parts.join(',')}}`
  }

  toXml(): string {
    let text = '<event>\n  <headers>\n'
    for (const [name, values] of this) {
      for (const value of values) text += `    <${name}>${escapeXml(encodePercent(value))}</${name}>\n`
    }
    text += '  </headers>\n'
    if (this.#body !== undefined) {
      text += `  <Content-Length>${Buffer.byteLength(this.#body)}</Content-Length>\n  <body>${escapeXml(this.#body)}</body>\n`
    }
    return text + '</event>'
  }

  #append(name: string, values: readonly string[]): void {
    const fields = this.#all()
    const key = name.toLowerCase()
    const field = fields.get(key)
    if (field) field.values.push(...values)
    else fields.set(key, { name, values: [...values] })
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

  #all(): Map<string, Field> {
    if (this.#fields === undefined) {
      const json = this.#parsedJson()
      this.#fields = new Map()
      for (const [name, value] of Object.entries(json)) {
        if (name === jsonBodyKey) this.#body = typeof value === 'string' ? value : undefined
        else this.#append(name, valuesOf(value))
      }
      this.#json = undefined
    }
    return this.#fields
  }
}

function valuesOf(value: unknown): string[] {
  if (typeof value === 'string') return [value]
  if (Array.isArray(value)) return value.flatMap(valuesOf)
  return [value === null || value === undefined ? '' : JSON.stringify(value)]
}

function splitArray(value: string): string[] {
  return value.startsWith(arrayMark) ? value.slice(arrayMark.length).split(arraySeparator) : [value]
}

function joinArray(values: readonly string[]): string {
  return values.length === 1 ? (values[0] ?? '') : arrayMark + values.join(arraySeparator)
}

function charAt(source: Buffer | string, index: number): string {
  return typeof source === 'string' ? source.charAt(index) : String.fromCharCode(source[index] ?? 0)
}

function textOf(source: Buffer | string, from: number, to: number): string {
  return typeof source === 'string' ? source.slice(from, to) : source.toString('utf8', from, to)
}
