/** A header of an event as FreeSWITCH holds it. More than one value is its `ARRAY::`. */
export type HeaderValue = string | readonly string[]

// What FreeSWITCH's switch_url_encode escapes; the recordings hold nothing of it unescaped.
const unsafeRuns = /[\u0000-\u0020"#%&+:;<=>?@[\\\]^`{|}\u007f-\uffff]+/g

export function urlEncode(value: string): string {
  return value.replace(unsafeRuns, (run) => {
    let escaped = ''
    for (const byte of Buffer.from(run)) escaped += byteEscapes[byte] ?? ''
    return escaped
  })
}

const byteEscapes = Array.from(
  { length: 256 },
  (_, byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
)

/**
 * One header with its three encodings, each made once. Most headers of a call are the same objects as
 * those of every other call, which is what makes thousands of events a second affordable.
 */
export class Header {
  readonly name: string
  readonly value: HeaderValue
  #json: string | undefined
  #plain: string | undefined
  #xml: string | undefined

  constructor(name: string, value: HeaderValue) {
    this.name = name
    this.value = value
  }

  /** The first value. */
  get text(): string {
    return typeof this.value === 'string' ? this.value : (this.value[0] ?? '')
  }

  /** `"Name":"value"` */
  get json(): string {
    return (this.#json ??= `${JSON.stringify(this.name)}:${JSON.stringify(this.value)}`)
  }

  /** `Name: encoded%20value` and a newline */
  get plain(): string {
    return (this.#plain ??= `${this.name}: ${urlEncode(joined(this.value))}\n`)
  }

  get xml(): string {
    return (this.#xml ??= (typeof this.value === 'string' ? [this.value] : this.value)
      .map((value) => `    <${this.name}>${urlEncode(value)}</${this.name}>\n`)
      .join(''))
  }
}

function joined(value: HeaderValue): string {
  return typeof value === 'string' ? value : `ARRAY::${value.join('|:')}`
}

/**
 * A channel's variables in FreeSWITCH's order: setting one that exists moves it to the end.
 * An empty value unsets.
 */
export class Variables implements Iterable<Header> {
  readonly #headers: Map<string, Header>

  constructor(base: Iterable<readonly [name: string, header: Header]> = []) {
    this.#headers = new Map(base)
  }

  get(name: string): string | undefined {
    return this.#headers.get(name)?.text
  }

  isTrue(name: string): boolean {
    return /^(true|yes|on|1)$/i.test(this.get(name) ?? '')
  }

  set(name: string, value: HeaderValue | undefined): void {
    this.#headers.delete(name)
    if (value !== undefined && value.length > 0)
      this.#headers.set(name, new Header(`variable_${name}`, value))
  }

  setAll(values: Readonly<Record<string, HeaderValue | undefined>>): void {
    for (const [name, value] of Object.entries(values)) this.set(name, value)
  }

  /** Headers that other channels carry too. */
  share(headers: Iterable<readonly [name: string, header: Header]>): void {
    for (const [name, header] of headers) {
      this.#headers.delete(name)
      this.#headers.set(name, header)
    }
  }

  /** Moves variables that stand to the end, as setting them to what they are does. */
  renew(...names: readonly string[]): void {
    for (const name of names) {
      const header = this.#headers.get(name)
      if (header !== undefined) this.share([[name, header]])
    }
  }

  unset(...names: readonly string[]): void {
    for (const name of names) this.#headers.delete(name)
  }

  [Symbol.iterator](): Iterator<Header> {
    return this.#headers.values()
  }
}
