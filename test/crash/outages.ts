/** What was away, and when; by performance.now(), ms. */
export class Outages {
  readonly #open = new Map<string, number>()
  readonly #onChange: (what: string) => void
  readonly #past: { readonly from: number; readonly to: number }[] = []

  /** @param onChange is told of each, for a log */
  constructor(onChange: (what: string) => void) {
    this.#onChange = onChange
  }

  /** From now on `what` is away; nothing changes if it was. */
  begin(what: string): void {
    if (this.#open.has(what)) return
    this.#open.set(what, performance.now())
    this.#onChange(`${what} is away`)
  }

  end(what: string): void {
    const from = this.#open.get(what)
    this.#open.delete(what)
    if (from === undefined) return
    this.#past.push({ from, to: performance.now() })
    this.#onChange(`${what} is back`)
  }

  /** Of something that is known to have been away so long. */
  note(from: number, ms: number): void {
    this.#past.push({ from, to: from + ms })
  }

  /** The longest time in a row, in ms, in which nothing was away between two moments. */
  longestQuiet(from: number, to: number): number {
    const open = [...this.#open.values()].map((since) => ({ from: since, to: Infinity }))
    const all = [...this.#past, ...open].filter((each) => each.to > from && each.from < to)
    let longest = 0
    let quietSince = from
    for (const each of all.sort((one, other) => one.from - other.from)) {
      longest = Math.max(longest, each.from - quietSince)
      quietSince = Math.max(quietSince, each.to)
    }
    return Math.max(longest, to - quietSince)
  }
}
