/** CSV as RFC 4180 writes it, for programs and for spreadsheets. */

const mustBeQuoted = /[",\r\n]/
/** What a spreadsheet may take for a formula, in any of the widths that it reads. */
const isFormula = /^'*[=+\-@\t\r\n＝＋－＠]/
/** A number with its sign is no formula: an amount below 0, a telephone number. */
const isPlain = /^[+-][0-9]+(?:\.[0-9]+)?$/

/**
 * A line, with its end. A text that a spreadsheet would take for a formula gets an apostrophe before it, and so does
 * one that has such apostrophes already: `importedCell` takes one away. Nothing is the empty cell.
 */
export function csvLine(cells: readonly (string | number | boolean | null)[]): string {
  let line = ''
  for (const [i, value] of cells.entries()) {
    if (i > 0) line += ','
    const cell = value === null ? '' : String(value)
    const safe = isFormula.test(cell) && !isPlain.test(cell) ? `'${cell}` : cell
    line += mustBeQuoted.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
  }
  return line + '\r\n'
}

/** What a cell was before `csvLine` wrote it. Of a file that nobody protected it takes nothing but such apostrophes. */
export function importedCell(cell: string): string {
  return cell.startsWith("'") && isFormula.test(cell) ? cell.slice(1) : cell
}
