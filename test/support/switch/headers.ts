/** A header of an event as FreeSWITCH holds it. More than one value is its `ARRAY::`. */
export type HeaderValue = string | readonly string[]

export type EventFormat = 'plain' | 'json' | 'xml'

/**
 * A run of headers that knows its own text in each format. What does not change keeps its text, and most
 * of a call's headers are the very objects of every other call: so thousands of events a second, of 9 kB
 * each, are affordable.
 */
export interface HeaderRun extends Iterable<Header> {
  /** In JSON the members without braces, else whole lines; empty if there is no header. */
  text(format: EventFormat): string
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

const jsonNames = new Map<string, string>()

function jsonName(name: string): string {
  let text = jsonNames.get(name)
  if (text === undefined) jsonNames.set(name, (text = `${JSON.stringify(name)}:`))
  return text
}

export class Header implements HeaderRun {
  readonly name: string
  readonly value: HeaderValue
  #json: string | undefined
  #plain: string | undefined

  constructor(name: string, value: HeaderValue) {
    this.name = name
    this.value = value
  }

  /** The first value. */
  get first(): string {
    return typeof this.value === 'string' ? this.value : (this.value[0] ?? '')
  }

  text(format: EventFormat): string {
    if (format === 'json') return (this.#json ??= jsonName(this.name) + JSON.stringify(this.value))
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

function joined(value: HeaderValue): string {
  return typeof value === 'string' ? value : `ARRAY::${value.join('|:')}`
}

/** Headers that stay as they are. */
export class HeaderList implements HeaderRun {
  readonly headers: readonly Header[]
  readonly #texts: Partial<Record<EventFormat, string>> = {}

  constructor(headers: readonly Header[]) {
    this.headers = headers
  }

  text(format: EventFormat): string {
    return (this.#texts[format] ??= this.headers
      .map((header) => header.text(format))
      .join(format === 'json' ? ',' : ''))
  }

  [Symbol.iterator](): Iterator<Header> {
    return this.headers[Symbol.iterator]()
  }
}

export const noHeaders: HeaderRun = new HeaderList([])

/** The text of several runs, one behind the other. */
export function textOf(runs: Iterable<HeaderRun>, format: EventFormat): string {
  let text = ''
  for (const run of runs) {
    const part = run.text(format)
    if (part === '') continue
    text += format === 'json' && text !== '' ? `,${part}` : part
  }
  return text
}
