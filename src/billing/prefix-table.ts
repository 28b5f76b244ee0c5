/**
 * Longest prefix wins. A map that is probed from the longest prefix there is down to the shortest: a
 * look-up costs as many probes as there are different lengths, whatever the number of prefixes.
 */
export class PrefixTable<T> {
  readonly #values = new Map<string, T>()
  readonly #lengths: readonly number[]

  /** Of entries with the same prefix the last one stays. */
  constructor(entries: Iterable<readonly [prefix: string, value: T]>) {
    const lengths = new Set<number>()
    for (const [prefix, value] of entries) {
      this.#values.set(prefix, value)
      lengths.add(prefix.length)
    }
    this.#lengths = [...lengths].sort((a, b) => b - a)
  }

  get size(): number {
    return this.#values.size
  }

  /** The value of the longest prefix that `number` begins with. */
  find(number: string): T | undefined {
    for (const length of this.#lengths) {
      if (length > number.length) continue
      const value = this.#values.get(number.slice(0, length))
      if (value !== undefined) return value
    }
    return undefined
  }
}
