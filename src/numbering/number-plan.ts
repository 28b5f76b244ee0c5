import { normalNumber, normalPrefix, type Country } from './normal-form.js'
import { PrefixMap } from './prefix-map.js'
import { RangeTree, type FoundRange } from './range-tree.js'

/** Which numbers an entry of a number plan is for. */
export interface PlannedNumbers {
  readonly kind: 'exact' | 'range' | 'prefix'
  /** In normal form, where there is one. Exactly it, the first of a range, or what a number begins with. */
  readonly number: string
  /** The last of a range, as long as the first. */
  readonly to?: string
  /** As it was entered: a prefix is looked up so, too. */
  readonly entered: string
}

/**
 * Entries of one number plan and one direction. They come and go one by one: a change of one among 100,000 costs
 * what a look-up does.
 */
export class NumberTable<T> {
  readonly #exact = new Map<string, T>()
  /** By the length of their numbers. */
  readonly #ranges = new Map<number, RangeTree<T>>()
  readonly #prefixes = new PrefixMap<T>()
  /** Those that are entered in another way than looked up: 090 for 8490. */
  readonly #entered = new PrefixMap<T>()

  /** There must be no entry of these numbers yet. */
  add({ kind, number, to = number, entered }: PlannedNumbers, value: T): void {
    if (kind === 'exact') this.#exact.set(number, value)
    else if (kind === 'range') {
      const tree = this.#ranges.get(number.length) ?? new RangeTree<T>()
      this.#ranges.set(number.length, tree)
      tree.add(number, to, value)
    } else {
      this.#prefixes.set(number, value)
      if (entered !== number) this.#entered.set(entered, value)
    }
  }

  remove({ kind, number, to = number, entered }: PlannedNumbers): void {
    if (kind === 'exact') this.#exact.delete(number)
    else if (kind === 'range') {
      const tree = this.#ranges.get(number.length)
      tree?.remove(number, to)
      if (tree?.isEmpty) this.#ranges.delete(number.length)
    } else {
      this.#prefixes.delete(number)
      if (entered !== number) this.#entered.delete(entered)
    }
  }

  exact(number: string): T | undefined {
    return this.#exact.get(number)
  }

  range(number: string): FoundRange<T> | undefined {
    if (!isDigits.test(number)) return undefined
    return this.#ranges.get(number.length)?.narrowest(number)
  }

  prefix(number: string): { readonly length: number; readonly value: T } | undefined {
    return this.#prefixes.find(number)
  }

  /** By what the prefixes were before they were put into normal form. */
  enteredPrefix(number: string): { readonly length: number; readonly value: T } | undefined {
    return this.#entered.find(number)
  }
}

/**
 * The narrowest entry for a called number: exactly it, else the narrowest range, else the longest prefix; of equally
 * narrow ones that of the first table.
 *
 * @param called in normal form
 * @param calledRaw as it was dialled, which is looked up as well: an extension, *98, 0 for an outside line
 */
export function findNumber<T>(
  tables: readonly (NumberTable<T> | undefined)[],
  called: string,
  calledRaw: string,
): T | undefined {
  const forms = called === calledRaw ? [called] : [called, calledRaw]
  for (const table of tables)
    for (const form of forms) {
      const value = table?.exact(form)
      if (value !== undefined) return value
    }
  let range: FoundRange<T> | undefined
  for (const table of tables)
    for (const form of forms) {
      const found = table?.range(form)
      if (found && (range === undefined || found.width < range.width)) range = found
    }
  if (range) return range.value
  let prefix: { readonly length: number; readonly value: T } | undefined
  for (const table of tables)
    for (const found of [...forms.map((form) => table?.prefix(form)), table?.enteredPrefix(calledRaw)])
      if (found && (prefix === undefined || found.length > prefix.length)) prefix = found
  return prefix?.value
}

const isPlain = /^\+?[0-9]+$/
const isDigits = /^[0-9]+$/

/**
 * What numbers that somebody typed are looked up by: an entry for 024 1234 5678 is for whoever dials +84 24 as well.
 * What has no normal form (an extension, a short code, *98, the 00 of international calls) stays as it is.
 *
 * @param to of a range, as long as `number`
 */
export function plannedNumbers(
  kind: PlannedNumbers['kind'],
  number: string,
  to: string | undefined,
  country: Country,
): PlannedNumbers {
  if (kind === 'exact') return { kind, number: normalNumber(number, country), entered: number }
  if (kind === 'prefix') {
    const normal = isPlain.test(number) ? normalPrefix(number, country) : number
    // Of 00 nothing is left, and what begins with nothing is every number.
    return { kind, number: normal === '' ? number : normal, entered: number }
  }
  const last = to ?? number
  // Of a range that begins with a valid number and ends with none, both ends stay as they were.
  const asTyped = { number: number.replace('+', ''), to: last.replace('+', '') }
  const normal = { number: normalNumber(number, country), to: normalNumber(last, country) }
  return { kind, ...(isSameRange(normal, asTyped) ? normal : asTyped), entered: number }
}

interface Ends {
  readonly number: string
  readonly to: string
}

function isSameRange(one: Ends, other: Ends): boolean {
  const width = ({ number, to }: Ends) => BigInt(to) - BigInt(number)
  const isDialable = isDigits.test(one.number) && isDigits.test(one.to)
  return isDialable && one.number.length === one.to.length && width(one) === width(other)
}
