import { once } from 'node:events'
import { CsvError, parse } from 'csv-parse'
import { plainTexts, rateFaults, rateFields, type RateField, type RateTexts } from '../billing/rate-fields.js'
import { rowOf } from '../store/deck-rates.js'
import { importLine } from '../store/rate-import.js'
import { importedCell } from './csv.js'
import { everyNumber, typedPrefix } from './rate-texts.js'
import { NotUtf8 } from './upload.js'

/** Something wrong in a line of a file. */
export interface LineFault {
  /** The first one is 1: the header's. */
  readonly line: number
  /** A column, or `row`. */
  readonly field: string
  readonly detail: string
}

/** So many are told; the others are counted. */
export const mostFaults = 100

const longestHeader = 16_384
const longestRow = 65_536
const isEnd = /\r\n|\n|\r/g

/**
 * A file of rates in CSV, read as it comes. Its header says which columns it has: `prefix` and `price_per_minute`, and
 * any of the others of a rate, in any order. A file with `prefix_entered` has its prefixes in normal form, as an
 * export writes them; in others they are as somebody types them.
 */
export class RateFile {
  readonly #bytes: AsyncIterable<Buffer>
  readonly #normal: (prefix: string) => string
  readonly faults: LineFault[] = []
  /** All that is wrong, told or not. */
  faultCount = 0
  /** Besides the header. */
  rows = 0
  #columns: readonly RateField[] | undefined
  readonly #at: Partial<Record<RateField, number>> = {}
  #line = 1
  #out: string[] = []
  #isOver = false

  /** @param normal a prefix's normal form */
  constructor(bytes: AsyncIterable<Buffer>, normal: (prefix: string) => string) {
    this.#bytes = bytes
    this.#normal = normal
  }

  fault(fault: LineFault): void {
    if (this.faultCount++ < mostFaults) this.faults.push(fault)
  }

  /** The rows without faults, for the table that an import fills, some hundred at a time. */
  async *portions(): AsyncGenerator<string, void> {
    try {
      for await (const parser of this.#parsed()) {
        if (this.#out.length > 0) yield this.#out.splice(0).join('\n')
        if (this.#isOver) {
          parser.destroy()
          return
        }
      }
    } catch (error) {
      if (!(error instanceof NotUtf8)) throw error
      this.fault({ line: error.line, field: 'row', detail: 'is not UTF-8' })
    }
    if (this.#columns === undefined && this.faultCount === 0)
      this.fault({ line: 1, field: 'row', detail: 'is missing; the first line names the columns' })
    if (this.#out.length > 0) yield this.#out.splice(0).join('\n')
  }

  /** Yields when what came so far is parsed. */
  async *#parsed(): AsyncGenerator<ReturnType<typeof parse>, void> {
    let head: Buffer | undefined = Buffer.alloc(0)
    let parser: ReturnType<typeof parse> | undefined
    for await (const chunk of this.#bytes) {
      let next = chunk
      if (head !== undefined) {
        head = Buffer.concat([head, chunk])
        if (!/[\r\n]/.test(head.toString('latin1')) && head.length < longestHeader) continue
        next = head
        head = undefined
      }
      parser ??= this.#parser(next)
      await this.#write(parser, next)
      yield parser
    }
    if (head !== undefined && head.length > 0) {
      parser = this.#parser(head)
      await this.#write(parser, head)
    }
    if (parser === undefined || this.#isOver) return
    parser.resume()
    parser.end()
    await once(parser, 'end').catch((error: unknown) => {
      this.#broken(error)
    })
    yield parser
  }

  async #write(parser: ReturnType<typeof parse>, bytes: Buffer): Promise<void> {
    await new Promise<void>((resolve) => {
      parser.write(bytes, (error) => {
        if (error) this.#broken(error)
        resolve()
      })
    })
  }

  /** The columns are named by words without separators: whichever the header has is the file's. */
  #parser(head: Buffer): ReturnType<typeof parse> {
    const [header = ''] = head.toString('latin1').split(/[\r\n]/, 1)
    const parser = parse({
      bom: true,
      delimiter: header.includes(';') ? ';' : ',',
      record_delimiter: ['\r\n', '\n', '\r'],
      relax_column_count: true,
      max_record_size: longestRow,
      on_record: (cells: string[]) => {
        this.#record(cells)
        return null
      },
    })
    parser.on('error', () => undefined)
    return parser
  }

  /** Where quotes are not closed nobody knows where rows end: what comes then cannot be read. */
  #broken(error: unknown): void {
    if (!(error instanceof CsvError)) throw error
    if (this.#isOver) return
    this.#isOver = true
    const details: Partial<Record<string, string>> = {
      CSV_MAX_RECORD_SIZE: `is longer than ${longestRow} bytes, or has a quote that is not closed`,
      CSV_QUOTE_NOT_CLOSED: 'has a quote that is not closed',
    }
    const detail =
      details[error.code] ?? 'has a quote in the middle of a cell; allowed are quotes around a whole one'
    this.fault({ line: this.#line, field: 'row', detail: `${detail}. What follows was not read` })
  }

  #record(cells: string[]): void {
    const line = this.#line
    this.#line++
    for (const cell of cells)
      if (cell.includes('\n') || cell.includes('\r')) this.#line += cell.match(isEnd)?.length ?? 0
    if (this.#isOver) return
    if (this.#columns === undefined) {
      this.#columns = this.#header(cells)
      if (this.faultCount > 0) this.#isOver = true
    } else if (cells.length > 1 || cells[0] !== '') this.#row(line, cells, this.#columns)
  }

  #header(cells: readonly string[]): RateField[] {
    const columns: RateField[] = []
    for (const cell of cells) {
      const field = rateFields.find((field) => field === cell.trim().toLowerCase())
      const detail =
        field === undefined
          ? `is no column; allowed are ${rateFields.join(', ')}`
          : columns.includes(field)
            ? 'is there twice'
            : undefined
      if (detail !== undefined) this.fault({ line: 1, field: JSON.stringify(cell.slice(0, 60)), detail })
      if (field === undefined) continue
      this.#at[field] = columns.length
      columns.push(field)
    }
    for (const needed of ['prefix', 'price_per_minute'] as const)
      if (!columns.includes(needed))
        this.fault({ line: 1, field: needed, detail: 'is missing among the columns' })
    return columns
  }

  #row(line: number, cells: readonly string[], columns: readonly RateField[]): void {
    this.rows++
    if (cells.length !== columns.length) {
      const detail = `has ${cells.length} cells; allowed are ${columns.length}, as in the header`
      this.fault({ line, field: 'row', detail })
      return
    }
    const rate = this.#texts(cells)
    const faults = rateFaults(rate)
    if (faults.length === 0) this.#out.push(importLine(line, rowOf(rate)))
    else for (const { field, detail } of faults) this.fault({ line, field, detail })
  }

  /** Written out: an object that is filled field by field takes five times as long. */
  #texts(cells: readonly string[]): RateTexts {
    const at = this.#at
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
    const typed = given(cells, this.#at.prefix)?.trim() ?? ''
    const entered = given(cells, this.#at.prefix_entered)
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
