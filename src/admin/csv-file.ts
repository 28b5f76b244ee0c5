import { once } from 'node:events'
import { CsvError, parse } from 'csv-parse'
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
const isEnd = /\r\n|\n|\r/g

export interface CsvShape<Column extends string> {
  readonly columns: readonly Column[]
  /** Without these it is no such file. */
  readonly needed: readonly Column[]
  /** In bytes. */
  readonly longestRow: number
  /** So many bytes are parsed between two looks at what else there is to do. Without it: what came at once. */
  readonly portionBytes?: number
  /** Takes a row that has as many cells as the header. */
  readonly onRow: (line: number, cells: readonly string[]) => void
}

/** A file in CSV, read as it comes. Its first line names its columns, in any order; what is wrong is told by line. */
export class CsvFile<Column extends string> {
  readonly #shape: CsvShape<Column>
  readonly faults: LineFault[] = []
  /** All that is wrong, told or not. */
  faultCount = 0
  /** Besides the header. */
  rows = 0
  /** The place of each column that the file has. */
  readonly at: Partial<Record<Column, number>> = {}
  /** Cells a row. */
  #width: number | undefined
  #line = 1
  #isOver = false

  constructor(shape: CsvShape<Column>) {
    this.#shape = shape
  }

  fault(fault: LineFault): void {
    if (this.faultCount++ < mostFaults) this.faults.push(fault)
  }

  /** What follows is not read. */
  stop(): void {
    this.#isOver = true
  }

  /** Yields when what came so far is parsed. @throws what `bytes` does, but NotUtf8: that is a fault */
  async *read(bytes: AsyncIterable<Buffer>): AsyncGenerator<void, void> {
    let parser: ReturnType<typeof parse> | undefined
    try {
      for await (const chunk of withHeader(bytes)) {
        parser ??= this.#parser(chunk)
        const size = this.#shape.portionBytes ?? chunk.length
        for (let start = 0; start < chunk.length && !this.#isOver; start += size) {
          await this.#write(parser, chunk.subarray(start, start + size))
          yield
        }
        if (this.#isOver) return
      }
      if (parser !== undefined) await this.#end(parser)
    } catch (error) {
      if (!(error instanceof NotUtf8)) throw error
      this.fault({ line: error.line, field: 'row', detail: 'is not UTF-8' })
    } finally {
      parser?.destroy()
    }
    if (this.#width === undefined && this.faultCount === 0)
      this.fault({ line: 1, field: 'row', detail: 'is missing; the first line names the columns' })
    yield
  }

  /** The columns are named by words without separators: whichever the header has is the file's. */
  #parser(head: Buffer): ReturnType<typeof parse> {
    const [header = ''] = head.toString('latin1').split(/[\r\n]/, 1)
    const parser = parse({
      bom: true,
      delimiter: header.includes(';') ? ';' : ',',
      record_delimiter: ['\r\n', '\n', '\r'],
      relax_column_count: true,
      max_record_size: this.#shape.longestRow,
      on_record: (cells: string[]) => {
        this.#record(cells)
        return null
      },
    })
    // Told where it is written to.
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
    const details: Partial<Record<string, string>> = {
      CSV_MAX_RECORD_SIZE: `is longer than ${this.#shape.longestRow} bytes, or has a quote that is not closed`,
      CSV_QUOTE_NOT_CLOSED: 'has a quote that is not closed',
    }
    const detail =
      details[error.code] ?? 'has a quote in the middle of a cell; allowed are quotes around a whole one'
    this.fault({ line: this.#line, field: 'row', detail: `${detail}. What follows was not read` })
  }

  #record(cells: string[]): void {
    const line = this.#line++
    for (const cell of cells)
      if (cell.includes('\n') || cell.includes('\r')) this.#line += cell.match(isEnd)?.length ?? 0
    if (this.#isOver) return
    if (this.#width === undefined) this.#header(cells)
    else if (cells.length > 1 || cells[0] !== '') this.#row(line, cells, this.#width)
  }

  #header(cells: readonly string[]): void {
    const { columns, needed } = this.#shape
    this.#width = cells.length
    for (const [i, cell] of cells.entries()) {
      const column = columns.find((column) => column === cell.trim().toLowerCase())
      const detail =
        column === undefined
          ? `is no column; allowed are ${columns.join(', ')}`
          : this.at[column] !== undefined
            ? 'is there twice'
            : undefined
      if (detail !== undefined)
        this.fault({ line: 1, field: column ?? JSON.stringify(cell.slice(0, 60)), detail })
      if (column !== undefined) this.at[column] ??= i
    }
    for (const column of needed)
      if (this.at[column] === undefined)
        this.fault({ line: 1, field: column, detail: 'is missing among the columns' })
    if (this.faultCount > 0) this.stop()
  }

  #row(line: number, cells: readonly string[], width: number): void {
    this.rows++
    if (cells.length === width) this.#shape.onRow(line, cells)
    else {
      const detail = `has ${cells.length} cells; allowed are ${width}, as in the header`
      this.fault({ line, field: 'row', detail })
    }
  }
}

/** The first chunk has the whole of the first line, if that is not too long to be a header. */
async function* withHeader(bytes: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
  let head: Buffer | undefined = Buffer.alloc(0)
  for await (const chunk of bytes) {
    if (head === undefined) {
      yield chunk
      continue
    }
    head = Buffer.concat([head, chunk])
    if (!/[\r\n]/.test(head.toString('latin1')) && head.length < longestHeader) continue
    yield head
    head = undefined
  }
  if (head !== undefined && head.length > 0) yield head
}
