import { ProtocolError } from './errors.js'
import { decodePercent, unescapeXml } from './encoding.js'
import type { HeaderList, Picked } from './header-list.js'

/** One value, or several: FreeSWITCH's `ARRAY::`. */
export type Value = string | readonly string[]

/** An event taken apart: its headers by their names as they were written, and its body. */
export interface Parts {
  readonly headers: Map<string, Value>
  readonly body?: string
}

/**
 * An event as it was received. A call gets several of 6 to 9 kB and looks for a few headers in some of them:
 * `peek` finds one without taking the rest apart.
 */
export interface Received {
  /**
   * The first value of a header in FreeSWITCH's own spelling; undefined when it is not there.
   * @throws ProtocolError as `parse` does, where it has to parse
   */
  peek(name: string): string | undefined
  /** What `peek` finds of several headers, in one pass; @throws ProtocolError as it does */
  pick<Name extends string>(list: HeaderList<Name>): Picked<Name>
  /** @throws ProtocolError if it is no event */
  parse(): Parts
}

export const arrayMark = 'ARRAY::'
export const arraySeparator = '|:'
/** Where FreeSWITCH keeps an event's body in its JSON form. */
export const jsonBodyKey = '_body'

const quote = 0x22
const brace = 0x7b
const comma = 0x2c
const xmlElement = /<([^\s<>/]+)(?:>([^<]*)<\/\1>|\/>)/g
/** Up to here V8 copies a part of a string; a longer one keeps the whole string alive. */
const longestCopiedPart = 12

/** The body of a `text/event-json` frame. */
export class ReceivedJson implements Received {
  readonly #source: Buffer

  constructor(source: Buffer) {
    this.#source = source
  }

  peek(name: string): string | undefined {
    const source = this.#source
    // An unescaped quote before and the colon after can only stand around a key of the object itself. The
    // quote is not searched for: it is the commonest of all bytes, and the search would stop at each.
    const key = `${name}":`
    let start = source.indexOf(key)
    while (start >= 0 && source[start - 1] !== quote) start = source.indexOf(key, start + 1)
    if (start < 0) return undefined
    const before = source[start - 2]
    const from = start + key.length + 1
    const end = source.indexOf('"', from)
    const isPlain = (before === brace || before === comma) && source[from - 1] === quote && end >= 0
    const value = isPlain ? source.toString('utf8', from, end) : '\\'
    // An escape in it, a list, or the key's text inside of another value: JSON.parse knows.
    return value.includes('\\') ? firstOf(this.parse().headers.get(name)) : value
  }

  pick<Name extends string>(list: HeaderList<Name>): Picked<Name> {
    const text = this.#source.toString()
    const found: Partial<Record<string, string>> = {}
    for (const { 1: name = '', 2: value, index } of text.matchAll(list.inJson)) {
      if (found[name] !== undefined) continue
      const before = text.charCodeAt(index - 1)
      // As in `peek`: JSON.parse knows.
      if (value === undefined || (before !== brace && before !== comma))
        return pickFrom(this.parse().headers, list)
      found[name] = ofItsOwn(value)
    }
    return found as Picked<Name>
  }

  parse(): Parts {
    let json: unknown
    try {
      json = JSON.parse(this.#source.toString())
    } catch (error) {
      throw new ProtocolError('an event that is no JSON', { cause: error })
    }
    if (typeof json !== 'object' || json === null || Array.isArray(json)) {
      throw new ProtocolError('a JSON event that is no object')
    }
    const headers = new Map<string, Value>()
    let body: string | undefined
    for (const [name, each] of Object.entries(json as Record<string, unknown>)) {
      const value = valueOf(each)
      if (name === jsonBodyKey) body = typeof each === 'string' ? each : undefined
      else if (value !== undefined) headers.set(name, value)
    }
    return body === undefined ? { headers } : { headers, body }
  }
}

/** `Name: percent-encoded value` lines, then perhaps Content-Length, a blank line and a body. */
export class ReceivedPlain implements Received {
  readonly #text: string
  readonly #headEnd: number
  /** Of each line: its first colon (its start where it has none), then its end. The next one starts behind that. */
  #lines: readonly number[] | undefined

  constructor(text: string) {
    this.#text = text
    const blank = text.indexOf('\n\n')
    this.#headEnd = blank < 0 ? text.length : blank
  }

  peek(name: string): string | undefined {
    this.#lines ??= this.#findLines()
    for (let index = 0, start = 0; index < this.#lines.length; index += 2) {
      const colon = this.#lines[index] ?? 0
      const end = this.#lines[index + 1] ?? 0
      if (colon - start === name.length && colon > start && this.#text.startsWith(name, start)) {
        return firstOf(this.#value(colon, end))
      }
      start = end + 1
    }
    return undefined
  }

  pick<Name extends string>(list: HeaderList<Name>): Picked<Name> {
    const found: Partial<Record<string, string>> = {}
    for (const { 1: name = '', 2: value = '', index } of this.#text.matchAll(list.inPlain)) {
      if (index >= this.#headEnd) break
      found[name] ??= firstOf(valueIn(value))
    }
    return found as Picked<Name>
  }

  parse(): Parts {
    const headers = new Map<string, Value>()
    const lines = (this.#lines ??= this.#findLines())
    for (let index = 0, start = 0; index < lines.length; index += 2) {
      const colon = lines[index] ?? 0
      const end = lines[index + 1] ?? 0
      const name = this.#text.slice(start, colon)
      // FreeSWITCH writes Hangup-Cause twice in the final event: a repeated line is no second value.
      if (name !== '' && !headers.has(name)) headers.set(name, this.#value(colon, end))
      start = end + 1
    }
    const hasBody = [...headers.keys()].some((name) => name.toLowerCase() === 'content-length')
    const isCut = this.#headEnd < this.#text.length
    return hasBody && isCut ? { headers, body: this.#text.slice(this.#headEnd + 2) } : { headers }
  }

  /** One pass: the channel that `connect` answers with is asked for some 20 of its 160 headers. */
  #findLines(): number[] {
    const lines: number[] = []
    let colon = -1
    for (let start = 0; start < this.#headEnd;) {
      const newline = this.#text.indexOf('\n', start)
      const end = newline < 0 ? this.#headEnd : newline
      if (colon < start) colon = this.#text.indexOf(':', start)
      if (colon < 0) colon = this.#text.length
      lines.push(colon < end ? colon : start, end)
      start = end + 1
    }
    return lines
  }

  #value(colon: number, end: number): Value {
    const start = this.#text.charCodeAt(colon + 1) === 0x20 ? colon + 2 : colon + 1
    return valueIn(this.#text.slice(start, end))
  }
}

/** @param text `<event><headers><Name>value</Name>…</headers><body>…</body></event>`; @throws ProtocolError */
export function parseXml(text: string): Parts {
  const headers = new Map<string, Value>()
  const headersEnd = text.indexOf('</headers>')
  if (headersEnd < 0) throw new ProtocolError('an XML event without </headers>')
  let previous: string | undefined
  for (const [, name = '', value = ''] of text.slice(0, headersEnd).matchAll(xmlElement)) {
    const decoded = decodePercent(unescapeXml(value))
    // Values of one header stand next to each other; apart, it is the same header written again.
    const isFurther = name === previous
    headers.set(name, isFurther ? [...listOf(headers.get(name)), decoded] : splitArray(decoded))
    previous = name
  }
  const body = /<body(?:>([^<]*)<\/body>|\/>)/.exec(text.slice(headersEnd))
  return body ? { headers, body: unescapeXml(body[1] ?? '') } : { headers }
}

export function listOf(value: Value | undefined): readonly string[] {
  if (value === undefined) return []
  return typeof value === 'string' ? [value] : value
}

export function firstOf(value: Value | undefined): string | undefined {
  return typeof value === 'string' ? value : value?.[0]
}

function valueOf(json: unknown): Value | undefined {
  if (typeof json === 'string') return json
  if (!Array.isArray(json)) return json === null || json === undefined ? '' : JSON.stringify(json)
  const values = json.flatMap((each) => listOf(valueOf(each)))
  return values.length === 0 ? undefined : values
}

/** The same of headers that are taken apart. */
export function pickFrom<Name extends string>(
  headers: ReadonlyMap<string, Value>,
  { names }: HeaderList<Name>,
): Picked<Name> {
  return Object.fromEntries(names.map((name) => [name, firstOf(headers.get(name))])) as Picked<Name>
}

/** One value may outlive the 7 kB that it came in. */
function ofItsOwn(part: string): string {
  return part.length > longestCopiedPart ? (' ' + part).slice(1) : part
}

/** @param text as a line of a plain event has it */
function valueIn(text: string): Value {
  return splitArray(decodePercent(ofItsOwn(text)))
}

function splitArray(value: string): Value {
  return value.startsWith(arrayMark) ? value.slice(arrayMark.length).split(arraySeparator) : value
}
