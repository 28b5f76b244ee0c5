/** Longest prefix wins; prefixes come and go one by one. A look-up costs as many probes as there are lengths. */
export class PrefixMap<T> {
  readonly #values = new Map<string, T>()
  /** How many prefixes there are of each length. */
  readonly #counts = new Map<number, number>()
  /** The longest first. */
  #lengths: readonly number[] = []

  set(prefix: string, value: T): void {
    if (!this.#values.has(prefix)) this.#count(prefix.length, 1)
    this.#values.set(prefix, value)
  }

  delete(prefix: string): void {
    if (this.#values.delete(prefix)) this.#count(prefix.length, -1)
  }

  /** @returns the longest prefix that `number` begins with, by its length */
  find(number: string): { readonly length: number; readonly value: T } | undefined {
    for (const length of this.#lengths) {
      if (length > number.length) continue
      const value = this.#values.get(number.slice(0, length))
      if (value !== undefined) return { length, value }
    }
    return undefined
  }

  #count(length: number, change: 1 | -1): void {
    const count = (this.#counts.get(length) ?? 0) + change
    if (count === 0) this.#counts.delete(length)
    else this.#counts.set(length, count)
    if (count === 0 || (count === 1 && change === 1))
      this.#lengths = [...this.#counts.keys()].sort((a, b) => b - a)
  }
}
