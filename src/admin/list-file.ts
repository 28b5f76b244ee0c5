import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Entry } from '../screening/entry.js'
import type { Addend } from '../screening/number-list.js'
import { importedCell } from './csv.js'
import { CsvFile } from './csv-file.js'
import { echo, type FieldError } from './field-errors.js'
import { defaultTtlSeconds, longestReason, longestTtlSeconds, type ListResource } from './list-schemas.js'

/** As an export has them; an import needs `number` alone. */
export const listColumns = [
  ...([
    'number',
    'normal_form',
    'kind',
    'reason',
    'added_by',
    'added_at',
    'ttl_seconds',
    'expires_at',
  ] as const),
] as const
type ListColumn = (typeof listColumns)[number]
/** In `ttl_seconds` and `expires_at` of what does not expire. */
export const never = 'never'

export const mostRows = 200_000
export const mostBytes = 32 * 2 ** 20
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
  readonly #file: CsvFile<ListColumn>

  constructor(resource: ListResource) {
    this.#resource = resource
    this.#file = new CsvFile({
      ...{ columns: listColumns, needed: ['number'], longestRow, portionBytes },
      onRow: (line, cells) => {
        this.#row(line, cells)
      },
    })
  }

  /** Of rows without faults, each once. */
  get entries(): Addend[] {
    return [...this.#entries.values()]
  }

  get faults(): FieldError[] {
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

  /** @throws Problem, as `bytes` does */
  async read(bytes: AsyncIterable<Buffer>): Promise<void> {
    const parsed = this.#file.read(bytes)
    while ((await parsed.next()).done !== true) await nextTurn()
  }

  #fault(line: number, field: string, detail: string): void {
    this.#file.fault({ line, field, detail })
  }

  #row(line: number, cells: readonly string[]): void {
    if (this.rows > mostRows) {
      this.#fault(line, 'row', `is one more than the ${mostRows} that are taken at a time`)
      this.#file.stop()
      return
    }
    const { at } = this.#file
    const cell = (column: ListColumn): string => importedCell(cells[at[column] ?? -1] ?? '')
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
