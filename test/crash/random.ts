import { seededRandom } from '../support/switch/random.js'

/** Choices that come again with the same seed. */
export class Random {
  /** [0, 1) */
  readonly next: () => number

  constructor(seed: number) {
    this.next = seededRandom(seed)
  }

  /** A whole number from `least` to `most`, both included. */
  whole(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1))
  }

  chance(likelihood: number): boolean {
    return this.next() < likelihood
  }

  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new RangeError('nothing to choose from')
    return items[Math.floor(this.next() * items.length)] as T
  }

  shuffled<T>(items: readonly T[]): T[] {
    const all = [...items]
    for (let last = all.length - 1; last > 0; last--) {
      const other = this.whole(0, last)
      ;[all[last], all[other]] = [all[other] as T, all[last] as T]
    }
    return all
  }
}
