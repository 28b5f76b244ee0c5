/** A header of an event as FreeSWITCH holds it. More than one value is its `ARRAY::`. */
export type HeaderValue = string | readonly string[]

export type EventFormat = 'plain' | 'json' | 'xml'

/**
 * A run of headers that knows its own text in each format. What does not change keeps its text, and most
 * of a call's headers are the very objects of every other call: so thousands of events a second, of 9 kB
 * each, are affordable.
 */
export interface HeaderRun extends Iterable<Header> {
  encoded(format: EventFormat): Encoded
}

/** Lines; in JSON members, each with a comma before it. */
export interface Encoded {
  readonly text: string
  /** Of the text in UTF-8. */
  readonly bytes: number
}

// What FreeSWITCH's switch_url_encode escapes; the recordings hold nothing of it unescaped.
const unsafeRuns = /[\u0000-\u0020"#%&+:;<=>?@[\\\]^`{|}\u007f-\uffff]+/g
const byteEscapes = Array.from(
  { length: 256 },
  (_, byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
)

export function urlEncode(value: string): string {
  return value.replace(unsafeRuns, (run) => {
    let escaped = ''
    for (const byte of Buffer.from(run)) escaped += byteEscapes[byte] ?? ''
    return escaped
  })
}

/** A header's name with its text in JSON. Made once for each name: a call has 2,000 headers. */
export interface HeaderName {
  readonly name: string
  /** `,"Name":` */
  readonly json: string
}

const variableNames = new Map<string, HeaderName>()

export function headerName(name: string): HeaderName {
  return { name, json: `,${JSON.stringify(name)}:` }
}

/** @param variable without `variable_` */
export function variableHeaderName(variable: string): HeaderName {
  let name = variableNames.get(variable)
  if (name === undefined) variableNames.set(variable, (name = headerName(`variable_${variable}`)))
  return name
}

export class Header implements HeaderRun {
  readonly value: HeaderValue
  readonly #name: HeaderName
  #json: string | undefined
  #plain: string | undefined

  constructor(name: string | HeaderName, value: HeaderValue) {
    this.#name = typeof name === 'string' ? headerName(name) : name
    this.value = value
  }

  get name(): string {
    return this.#name.name
  }

  /** The first value. */
  get first(): string {
    return typeof this.value === 'string' ? this.value : (this.value[0] ?? '')
  }

  encoded(format: EventFormat): Encoded {
    return encode(this.text(format))
  }

  text(format: EventFormat): string {
    if (format === 'json') return (this.#json ??= this.#name.json + jsonValue(this.value))
    if (format === 'plain') return (this.#plain ??= `${this.name}: ${urlEncode(joined(this.value))}\n`)
    return [this.value]
      .flat()
      .map((value) => `    <${this.name}>${urlEncode(value)}</${this.name}>\n`)
      .join('')
  }

  *[Symbol.iterator](): Iterator<Header> {
    yield this
  }
}

const jsonEscaped = /["\\\u0000-\u001f]/

function jsonValue(value: HeaderValue): string {
  return typeof value === 'string' && !jsonEscaped.test(value) ? `"${value}"` : JSON.stringify(value)
}

/** As one text: FreeSWITCH's `ARRAY::` if there are several. */
export function joined(value: HeaderValue): string {
  return typeof value === 'string' ? value : `ARRAY::${value.join('|:')}`
}

/** Headers that stay as they are. */
export class HeaderList implements HeaderRun {
  readonly headers: readonly Header[]
  readonly #encoded: Partial<Record<EventFormat, Encoded>> = {}

  constructor(headers: readonly Header[]) {
    this.headers = headers
  }

  encoded(format: EventFormat): Encoded {
    return (this.#encoded[format] ??= encodeHeaders(this.headers, format))
  }

  [Symbol.iterator](): Iterator<Header> {
    return this.headers[Symbol.iterator]()
  }
}

export const noHeaders: HeaderRun = new HeaderList([])

export function encodeHeaders(headers: readonly Header[], format: EventFormat): Encoded {
  // Unlike a sum, what is joined is one flat string at once, which is what a socket wants.
  return encode(headers.map((header) => header.text(format)).join(''))
}

export function encode(text: string): Encoded {
  return { text, bytes: Buffer.byteLength(text) }
}
