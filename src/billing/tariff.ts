import { PackedRates } from './packed-rates.js'
import { longestPrefix, PrefixTrieBuilder, type PrefixTrie } from './prefix-trie.js'
import { isValidAt, type Rate } from './rating.js'

/** Rates of a prefix that take the place of those that the deck was built with; none: they are gone. */
export type RateChanges = ReadonlyMap<string, readonly Rate[]>

const noChanges: RateChanges = new Map()
const noRates: readonly Rate[] = []
/** A look-up is not interrupted: one is enough for all of them. */
const found = new Uint32Array(longestPrefix + 1)

/**
 * A deck of rates in memory. Immutable: a change makes another deck, which shares with this one what has stayed.
 */
export class RateDeck {
  readonly #trie: PrefixTrie
  readonly #rates: PackedRates
  readonly #changes: RateChanges
  /** Lengths that a changed prefix has: the others need not be looked for. */
  readonly #changedLengths: ReadonlySet<number>
  readonly #longestChange: number

  /** Use `DeckBuilder`, or `deckOf` for rates in any order. */
  constructor(trie: PrefixTrie, rates: PackedRates, changes = noChanges) {
    this.#trie = trie
    this.#rates = rates
    this.#changes = changes
    this.#changedLengths = new Set(Array.from(changes.keys(), (prefix) => prefix.length))
    this.#longestChange = Math.max(-1, ...this.#changedLengths)
  }

  /** Prefixes that changed since it was built. Each makes it slower; it should be built anew some day. */
  get changed(): number {
    return this.#changes.size
  }

  withChanges(changes: RateChanges): RateDeck {
    return new RateDeck(this.#trie, this.#rates, new Map([...this.#changes, ...changes]))
  }

  /**
   * The rate of the longest prefix that has one at that moment; of several, the one that came into force last.
   *
   * @param number in normal form
   * @param at the leg's start, in µs since 1970
   * @returns undefined: the deck has no price for this number
   */
  find(number: string, at: number): Rate | undefined {
    const matched = this.#trie.match(number, found)
    const longest = Math.max(matched, Math.min(number.length, this.#longestChange))
    for (let length = longest; length >= 0; length--) {
      const rate = latestAt(this.#ratesAt(number, length, matched), at)
      if (rate) return rate
    }
    return undefined
  }

  #ratesAt(number: string, length: number, matched: number): readonly Rate[] {
    if (this.#changedLengths.has(length)) {
      const changed = this.#changes.get(number.slice(0, length))
      if (changed) return changed
    }
    const value = length <= matched ? (found[length] ?? 0) : 0
    return value === 0 ? noRates : this.#rates.read(value - 1, number.slice(0, length))
  }
}

/** Builds a deck of rates as they come, in ascending order of their prefixes; a million in one go or bit by bit. */
export class DeckBuilder {
  readonly #trie = new PrefixTrieBuilder()
  readonly #rates = new PackedRates()
  #samePrefix: Rate[] = []

  /** @throws RangeError when its prefix comes before the one before it, or a text holds NUL */
  add(rate: Rate): void {
    if (this.#samePrefix[0]?.prefix !== rate.prefix) this.#flush()
    this.#samePrefix.push(rate)
  }

  /** The builder is of no use any more. */
  build(): RateDeck {
    this.#flush()
    this.#rates.trim()
    return new RateDeck(this.#trie.build(), this.#rates)
  }

  #flush(): void {
    const prefix = this.#samePrefix[0]?.prefix
    // In a trie 0 says that nothing is there.
    if (prefix !== undefined) this.#trie.add(prefix, this.#rates.add(this.#samePrefix) + 1)
    this.#samePrefix = []
  }
}

/** A deck of rates in any order. */
export function deckOf(rates: Iterable<Rate>): RateDeck {
  const builder = new DeckBuilder()
  const ordered = [...rates].sort((a, b) => (a.prefix < b.prefix ? -1 : a.prefix > b.prefix ? 1 : 0))
  for (const rate of ordered) builder.add(rate)
  return builder.build()
}

function latestAt(rates: readonly Rate[], at: number): Rate | undefined {
  let latest: Rate | undefined
  for (const rate of rates)
    if (isValidAt(rate, at) && (latest === undefined || from(rate) >= from(latest))) latest = rate
  return latest
}

function from({ validFrom = -Infinity }: Rate): number {
  return validFrom
}
