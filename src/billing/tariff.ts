import { PrefixTable } from './prefix-table.js'
import type { Rate } from './rating.js'

/** A deck of rates in memory. */
export class RateDeck {
  readonly #rates: PrefixTable<Rate>

  constructor(rates: readonly Rate[]) {
    this.#rates = new PrefixTable(rates.map((rate) => [rate.prefix, rate]))
  }

  get size(): number {
    return this.#rates.size
  }

  /**
   * @param number in normal form
   * @returns the rate of its longest prefix, or undefined: the deck has no price for this number
   */
  find(number: string): Rate | undefined {
    return this.#rates.find(number)
  }
}
