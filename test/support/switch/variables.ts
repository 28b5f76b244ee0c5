import {
  encodeHeaders,
  Header,
  variableHeaderName,
  type Encoded,
  type EventFormat,
  type HeaderRun,
  type HeaderValue,
} from './headers.js'

export type NamedHeader = readonly [name: string, header: Header]

/** How many variables share a text: setting one spoils that of its neighbours, not of all 190. */
const stretchLength = 16

class Stretch implements HeaderRun {
  readonly #headers: Header[] = []
  #encoded: Partial<Record<EventFormat, Encoded>> = {}

  get isFull(): boolean {
    return this.#headers.length >= stretchLength
  }

  add(header: Header): void {
    this.#headers.push(header)
    this.#encoded = {}
  }

  /** @returns whether it was here */
  remove(header: Header): boolean {
    const index = this.#headers.indexOf(header)
    if (index < 0) return false
    this.#headers.splice(index, 1)
    this.#encoded = {}
    return true
  }

  encoded(format: EventFormat): Encoded {
    return (this.#encoded[format] ??= encodeHeaders(this.#headers, format))
  }

  [Symbol.iterator](): Iterator<Header> {
    return this.#headers[Symbol.iterator]()
  }
}

/**
 * A channel's variables in FreeSWITCH's order: setting one that exists moves it to the end.
 * An empty value unsets.
 */
export class Variables {
  readonly #headers = new Map<string, Header>()
  readonly #stretches: Stretch[] = []

  constructor(headers: Iterable<NamedHeader> = []) {
    for (const [name, header] of headers) this.#add(name, header)
  }

  get(name: string): string | undefined {
    return this.#headers.get(name)?.first
  }

  isTrue(name: string): boolean {
    return /^(true|yes|on|1)$/i.test(this.get(name) ?? '')
  }

  set(name: string, value: HeaderValue | undefined): void {
    this.unset(name)
    if (value !== undefined && value.length > 0) this.#add(name, new Header(variableHeaderName(name), value))
  }

  setAll(values: Readonly<Record<string, HeaderValue | undefined>>): void {
    for (const [name, value] of Object.entries(values)) this.set(name, value)
  }

  /** Headers that other channels carry too. */
  share(headers: Iterable<NamedHeader>): void {
    for (const [name, header] of headers) {
      this.unset(name)
      this.#add(name, header)
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
    for (const name of names) {
      const header = this.#headers.get(name)
      if (header === undefined) continue
      this.#headers.delete(name)
      // What changes once, changes again: look from the end.
      this.#stretches.findLast((stretch) => stretch.remove(header))
    }
  }

  /** Runs of them, each with a text of its own. */
  get runs(): readonly HeaderRun[] {
    return this.#stretches
  }

  [Symbol.iterator](): Iterator<Header> {
    return this.#headers.values()
  }

  #add(name: string, header: Header): void {
    this.#headers.set(name, header)
    let last = this.#stretches.at(-1)
    if (last === undefined || last.isFull) this.#stretches.push((last = new Stretch()))
    last.add(header)
  }
}
