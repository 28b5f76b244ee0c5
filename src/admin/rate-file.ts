import { plainTexts, rateFaults, rateFields, type RateField, type RateTexts } from '../billing/rate-fields.js'
import { rowOf } from '../store/deck-rates.js'
import { importLine } from '../store/rate-import.js'
import { importedCell } from './csv.js'
import { CsvFile, type LineFault } from './csv-file.js'
import { everyNumber, typedPrefix } from './rate-texts.js'

const longestRow = 65_536

/**
 * A file of rates in CSV, read as it comes. Its header says which columns it has: `prefix` and `price_per_minute`, and
 * any of the others of a rate, in any order. A file with `prefix_entered` has its prefixes in normal form, as an
 * export writes them; in others they are as somebody types them.
 */
export class RateFile {
  readonly #bytes: AsyncIterable<Buffer>
  readonly #normal: (prefix: string) => string
  readonly #file: CsvFile<RateField>
  #out: string[] = []

  /** @param normal a prefix's normal form */
  constructor(bytes: AsyncIterable<Buffer>, normal: (prefix: string) => string) {
    this.#bytes = bytes
    this.#normal = normal
    this.#file = new CsvFile({
      columns: rateFields,
      needed: ['prefix', 'price_per_minute'],
      longestRow,
      onRow: (line, cells) => {
        this.#row(line, cells)
      },
    })
  }

  get faults(): readonly LineFault[] {
    return this.#file.faults
  }

  /** All that is wrong, told or not. */
  get faultCount(): number {
    return this.#file.faultCount
  }

  /** Besides the header. */
  get rows(): number {
    return this.#file.rows
  }

  fault(fault: LineFault): void {
    this.#file.fault(fault)
  }

  /** Faults that nobody tells. */
  count(others: number): void {
    this.#file.faultCount += others
  }

  /** The rows without faults, for the table that an import fills, some hundred at a time. */
  async *portions(): AsyncGenerator<string, void> {
    const parsed = this.#file.read(this.#bytes)
    while ((await parsed.next()).done !== true) if (this.#out.length > 0) yield this.#out.splice(0).join('\n')
  }

  #row(line: number, cells: readonly string[]): void {
    const rate = this.#texts(cells)
    const faults = rateFaults(rate)
    if (faults.length === 0) this.#out.push(importLine(line, rowOf(rate)))
    else for (const { field, detail } of faults) this.fault({ line, field, detail })
  }

  /** Written out: an object that is filled field by field takes five times as long. */
  #texts(cells: readonly string[]): RateTexts {
    const { at } = this.#file
    const { prefix, prefix_entered: entered } = this.#prefix(cells)
    return {
      prefix,
      prefix_entered: entered,
      description: importedCell(given(cells, at.description) ?? ''),
      price_per_minute: term(cells, at.price_per_minute, null),
      connection_fee: term(cells, at.connection_fee, plainTexts.connection_fee),
      minimum_seconds: term(cells, at.minimum_seconds, plainTexts.minimum_seconds),
      increment_seconds: term(cells, at.increment_seconds, plainTexts.increment_seconds),
      grace_seconds: term(cells, at.grace_seconds, plainTexts.grace_seconds),
      minimum_cost: term(cells, at.minimum_cost, null),
      maximum_cost: term(cells, at.maximum_cost, null),
      valid_from: term(cells, at.valid_from, null),
      valid_to: term(cells, at.valid_to, null),
      rounding_mode: term(cells, at.rounding_mode, plainTexts.rounding_mode),
      rounding_decimals: term(cells, at.rounding_decimals, plainTexts.rounding_decimals),
    }
  }

  #prefix(cells: readonly string[]): Pick<RateTexts, 'prefix' | 'prefix_entered'> {
    const typed = given(cells, this.#file.at.prefix)?.trim() ?? ''
    const entered = given(cells, this.#file.at.prefix_entered)
    if (entered === undefined) return typedPrefix(typed, this.#normal)
    // Nothing is most likely forgotten: what is for every number says so.
    const prefix = typed === everyNumber ? '' : typed === '' ? null : typed
    return { prefix, prefix_entered: importedCell(entered) }
  }
}

/** @returns undefined: the file has no such column */
function given(cells: readonly string[], column: number | undefined): string | undefined {
  return column === undefined ? undefined : cells[column]
}

function term(cells: readonly string[], column: number | undefined, plain: string | null): string | null {
  const cell = given(cells, column)
  return cell === undefined || cell === '' ? plain : cell.trim()
}
