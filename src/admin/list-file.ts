import { once } from 'node:events'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { CsvError, parse } from 'csv-parse'
import type { Entry } from '../screening/entry.js'
import type { Addend } from '../screening/number-list.js'
import { importedCell } from './csv.js'
import { echo, type FieldError } from './field-errors.js'
import { defaultTtlSeconds, longestReason, longestTtlSeconds, type ListResource } from './list-schemas.js'
import { NotUtf8 } from './upload.js'

/** As an export has them; an import needs `number` alone. */
export const listColumns: readonly string[] = [
  ...['number', 'normal_form', 'kind', 'reason', 'added_by', 'added_at', 'ttl_seconds', 'expires_at'],
]
/** In `ttl_seconds` and `expires_at` of what does not expire. */
export const never = 'never'

export const mostRows = 200_000
export const mostBytes = 32 * 2 ** 20
/** So many are told; the others are counted. */
export const mostFaults = 100

const longestRow = 4096
/** Of what another program wrote. */
const longestNumber = 256
/** Rows of so many bytes are read between two looks at what else there is to do: calls wait for no longer. */
const portionBytes = 4096

/**
 * A file of numbers in CSV, read as it comes. Its first line names the columns. Of rows with the same number, however
 * it is spelled, the last one counts.
 */
export class ListFile {
  readonly #resource: ListResource
  readonly #entries = new Map<string, Addend>()
  readonly faults: FieldError[] = []
  /** All that is wrong, told or not. */
  faultCount = 0
  /** Besides the header. */
  rows = 0
  #columns: readonly string[] | undefined
  #line = 1
  #isOver = false

  constructor(resource: ListResource) {
    this.#resource = resource
  }

  /** Of rows without faults, each once. */
  get entries(): Addend[] {
    return [...this.#entries.values()]
  }

  /** @throws Problem, as `bytes` does */
  async read(bytes: AsyncIterable<Buffer>): Promise<void> {
    let parser: ReturnType<typeof parse> | undefined
    try {
      for await (const chunk of bytes) {
        parser ??= this.#parser(chunk)
        for (let start = 0; start < chunk.length && !this.#isOver; start += portionBytes) {
          await this.#write(parser, chunk.subarray(start, start + portionBytes))
          await nextTurn()
        }
        if (this.#isOver) break
      }
      if (parser !== undefined && !this.#isOver) await this.#end(parser)
    } catch (error) {
      if (!(error instanceof NotUtf8)) throw error
      this.#fault(error.line, 'row', 'is not UTF-8')
    } finally {
      parser?.destroy()
    }
    if (this.#columns === undefined && this.faultCount === 0)
      this.#fault(1, 'row', 'is missing; the first line names the columns')
  }

  #fault(line: number, field: string, detail: string): void {
    if (this.faultCount++ < mostFaults) this.faults.push({ line, field, detail })
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

  #write(parser: ReturnType<typeof parse>, bytes: Buffer): Promise<void> {
    return new Promise<void>((resolve) => {
      parser.write(bytes, (error) => {
        if (error) this.#broken(error)
        resolve()
      })
    })
  }

  async #end(parser: ReturnType<typeof parse>): Promise<void> {
    parser.resume()
    parser.end()
    await once(parser, 'end').catch((error: unknown) => {
      this.#broken(error)
    })
  }

  /** Where quotes are not closed nobody knows where rows end: what comes then cannot be read. */
  #broken(error: unknown): void {
    if (!(error instanceof CsvError)) throw error
    if (this.#isOver) return
    this.#isOver = true
    const isLong = error.code === 'CSV_MAX_RECORD_SIZE'
    const detail = isLong
      ? `is longer than ${longestRow} bytes, or has a quote that is not closed`
      : 'has a quote in the middle of a cell, or one that is not closed'
    this.#fault(this.#line, 'row', `${detail}. What follows was not read`)
  }

  #record(cells: string[]): void {
    const line = this.#line++
    for (const cell of cells) if (/[\r\n]/.test(cell)) this.#line += cell.match(/\r\n|\n|\r/g)?.length ?? 0
    if (this.#isOver) return
    if (this.#columns === undefined) this.#columns = this.#header(cells)
    else if (cells.length > 1 || cells[0] !== '') this.#row(line, cells, this.#columns)
  }

  #header(cells: readonly string[]): string[] {
    const columns = cells.map((cell) => cell.trim().toLowerCase())
    for (const [i, column] of columns.entries()) {
      if (!listColumns.includes(column))
        this.#fault(1, echo(cells[i]), `is no column; allowed are ${listColumns.join(', ')}`)
      else if (columns.indexOf(column) < i) this.#fault(1, column, 'is there twice')
    }
    if (!columns.includes('number')) this.#fault(1, 'number', 'is missing among the columns')
    this.#isOver = this.faultCount > 0
    return columns
  }

  #row(line: number, cells: readonly string[], columns: readonly string[]): void {
    if (++this.rows > mostRows) {
      this.#fault(line, 'row', `is one more than the ${mostRows} that are taken at a time`)
      this.#isOver = true
      return
    }
    if (cells.length !== columns.length) {
      this.#fault(line, 'row', `has ${cells.length} cells; allowed are ${columns.length}, as in the header`)
      return
    }
    const cell = (column: string): string => importedCell(cells[columns.indexOf(column)] ?? '')
    const before = this.faultCount
    const entry = this.#entry(line, cell('number'), cell('normal_form'))
    const ttlSeconds = this.#ttl(line, cell('ttl_seconds').trim().toLowerCase())
    const reason = cell('reason') === '' ? null : cell('reason')
    if (reason !== null && reason.length > longestReason)
      this.#fault(
        line,
        'reason',
        `is ${echo(reason)}; allowed is a text of up to ${longestReason} characters`,
      )
    if (entry === undefined || this.faultCount > before) return
    // The order is that of the last ones.
    this.#entries.delete(entry.normal)
    this.#entries.set(entry.normal, { entry, ttlSeconds, reason })
  }

  /** An export has what other programs wrote as well, which nobody could enter: its normal form says that it is meant. */
  #entry(line: number, number: string, normalForm: string): Entry | undefined {
    const { list, allowed } = this.#resource
    const parsed = list.parse(number)
    if (normalForm === '') {
      if (parsed === undefined) this.#fault(line, 'number', `is ${echo(number)}; allowed is ${allowed}`)
      return parsed
    }
    const readings = [parsed, parsed?.alternative]
    if (number !== '' && number.length <= longestNumber) readings.push(list.verbatim(number))
    const meant = readings.find((reading) => reading?.normal === normalForm)
    if (meant === undefined) {
      const own = parsed === undefined ? 'none: it is no number' : `${parsed.normal}, or nothing`
      this.#fault(line, 'normal_form', `is ${echo(normalForm)}; of ${echo(number)} it is ${own}`)
    }
    return meant
  }

  #ttl(line: number, text: string): number | null {
    const { expires } = this.#resource
    if (text === '') return expires ? defaultTtlSeconds : null
    if (text === never) return null
    const seconds = /^[0-9]{1,9}$/.test(text) ? Number(text) : 0
    if (expires && seconds >= 1 && seconds <= longestTtlSeconds) return seconds
    const allowed = expires ? `a whole number of 1 to ${longestTtlSeconds}, or ${never}` : never
    this.#fault(line, 'ttl_seconds', `is ${echo(text)}; allowed is ${allowed}, or nothing`)
    return null
  }
}
