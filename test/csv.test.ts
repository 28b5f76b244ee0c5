import { parse } from 'csv-parse/sync'
import fc from 'fast-check'
import t from 'tap'
import { csvLine, importedCell } from '../src/admin/csv.js'

t.test('cells are quoted where they must be', async (t) => {
  t.equal(csvLine(['a', '', 'b c']), 'a,,b c\r\n')
  t.equal(csvLine(['a,b', 'say "a"', 'x\ny', 'x\ry']), '"a,b","say ""a""","x\ny","x\ry"\r\n')
  t.equal(csvLine(['Việt;Nam']), 'Việt;Nam\r\n')
})

t.test('no text becomes a formula of a spreadsheet, and numbers stay as they are', async (t) => {
  const written = (cell: string) => csvLine([cell]).slice(0, -2)
  for (const text of ['=1+1', '+1+1', '-1+cmd|x', '@SUM(A1)', '\t=1', '＝1', '+', '-', "'=1", "''@"])
    t.equal(written(text), `'${text}`, text)
  t.equal(written('=A1,"x"'), `"'=A1,""x"""`)
  t.equal(written('\r=1'), `"'\r=1"`)
  for (const text of ['+84901234567', '-21.17', '+1.5', "it's", "'quoted'", '0901', 'a=b', '*'])
    t.equal(written(text), text, text)
})

t.test('what is written is read as it was', async (t) => {
  const cell = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 8 }),
    fc
      .array(fc.constantFrom("'", '=', '+', '-', '@', '\t', '\r', '\n', '"', ',', '1', '.', ' '), {
        maxLength: 6,
      })
      .map((parts) => parts.join('')),
  )
  fc.assert(
    fc.property(fc.array(fc.array(cell, { minLength: 2, maxLength: 4 }), { maxLength: 5 }), (lines) => {
      const text = lines.map((cells) => csvLine(cells)).join('')
      const read = parse(Buffer.from(text), { relax_column_count: true, record_delimiter: '\r\n' })
      const imported = read.map((cells) => cells.map((each) => importedCell(each)))
      t.strictSame(imported, lines)
    }),
    { numRuns: 500 },
  )
})
