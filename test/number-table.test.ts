import assert from 'node:assert/strict'

import fc from 'fast-check'
import t from 'tap'

import { findNumber, NumberTable, plannedNumbers, type PlannedNumbers } from '../src/numbering/number-plan.js'
import type { Country } from '../src/numbering/normal-form.js'

interface Entry extends PlannedNumbers {
  readonly table: 0 | 1
}

const digits = (minLength: number, maxLength: number) =>
  fc.array(fc.constantFrom('0', '1', '2', '9'), { minLength, maxLength }).map((each) => each.join(''))
const anyRange = fc
  .integer({ min: 1, max: 20 })
  .chain((length) => fc.tuple(digits(length, length), digits(length, length)))
  .map(([one, other]) => (one < other ? { number: one, to: other } : { number: other, to: one }))
const anyEntry: fc.Arbitrary<Entry> = fc
  .tuple(
    fc.oneof(
      digits(1, 5).map((number) => ({ kind: 'exact' as const, number, entered: number })),
      fc.tuple(digits(0, 4), digits(0, 4)).map(([number, entered]) => ({
        kind: 'prefix' as const,
        ...{ number, entered },
      })),
      anyRange.map((range) => ({ kind: 'range' as const, ...range, entered: range.number })),
    ),
    fc.constantFrom<0 | 1>(0, 1),
  )
  .map(([entry, table]) => ({ ...entry, table }))

/** What would be refused when it is saved: none of two would be the narrower one. */
function isSame(one: Entry, other: Entry): boolean {
  if (one.table !== other.table || one.kind !== other.kind) return false
  if (one.kind === 'prefix') return one.number === other.number || one.entered === other.entered
  if (one.kind === 'exact') return one.number === other.number
  return (
    one.number.length === other.number.length &&
    widthOf(one) === widthOf(other) &&
    one.number <= other.to! &&
    other.number <= one.to!
  )
}

function widthOf({ number, to }: PlannedNumbers): bigint {
  return BigInt(to ?? number) - BigInt(number)
}

/** Looks at every entry. */
function slowly(entries: readonly Entry[], called: string, raw: string): Entry | undefined {
  const forms = [called, raw]
  const isExact = (entry: Entry) => entry.kind === 'exact' && forms.includes(entry.number)
  const isIn = ({ kind, number, to = '' }: Entry) =>
    kind === 'range' && forms.some((form) => form.length === number.length && number <= form && form <= to)
  const lengthOf = ({ kind, number, entered }: Entry) => {
    if (kind !== 'prefix') return -1
    return Math.max(
      ...forms.map((form) => (form.startsWith(number) ? number.length : -1)),
      entered !== number && raw.startsWith(entered) ? entered.length : -1,
    )
  }
  const rank = (entry: Entry): [kind: number, narrowness: bigint, table: number] => {
    if (isExact(entry)) return [0, 0n, entry.table]
    if (isIn(entry)) return [1, widthOf(entry), entry.table]
    return [2, BigInt(-lengthOf(entry)), entry.table]
  }
  return entries
    .filter((entry) => isExact(entry) || isIn(entry) || lengthOf(entry) >= 0)
    .sort((one, other) => {
      const [a, b] = [rank(one), rank(other)]
      return a[0] - b[0] || Number(a[1] - b[1]) || a[2] - b[2]
    })[0]
}

t.test('whatever came and went, the entry is found that looking at all of them finds', async () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(anyEntry, fc.boolean()), { maxLength: 60 }),
      fc.array(fc.tuple(digits(0, 20), digits(0, 20)), { minLength: 10, maxLength: 30 }),
      (changes, calls) => {
        const tables = [new NumberTable<Entry>(), new NumberTable<Entry>()] as const
        let entries: Entry[] = []
        for (const [entry, isRemoval] of changes) {
          if (entries.some((other) => isSame(entry, other))) continue
          tables[entry.table].add(entry, entry)
          entries.push(entry)
          const oldest = entries[0]
          if (isRemoval && oldest) {
            tables[oldest.table].remove(oldest)
            entries = entries.slice(1)
          }
        }
        const inEntries = entries.flatMap(({ number, to }) => [number, to ?? number])
        for (const [called, raw] of [...calls, ...inEntries.map((number) => [number, number] as const)]) {
          const found = findNumber(tables, called, raw)
          const expected = slowly(entries, called, raw)
          // Two of one table may be as narrow, by two forms of the number: either is right.
          const isAsGood = found && expected && slowly([found, expected], called, raw) === found
          assert.ok(found === expected || isAsGood, `${called} ${raw}`)
        }
      },
    ),
    { numRuns: 100 },
  )
})

t.test('ranges longer than a double counts are told apart to the last digit', async (t) => {
  const table = new NumberTable<string>()
  const last = '99999999999999999999'
  table.add({ kind: 'range', number: '99999999999999999990', to: last, entered: '' }, 'ten')
  table.add({ kind: 'range', number: '99999999999999999998', to: last, entered: '' }, 'two')
  t.equal(findNumber([table], '99999999999999999997', ''), 'ten')
  t.equal(findNumber([table], '99999999999999999998', ''), 'two')
  t.equal(findNumber([table], '99999999999999999989', ''), undefined)
})

t.test('what was typed is put into normal form where there is one', async (t) => {
  const table: [Country, PlannedNumbers['kind'], string, string | undefined, string, string?][] = [
    ['VN', 'exact', '0901234567', undefined, '84901234567'],
    ['VN', 'exact', '+84901234567', undefined, '84901234567'],
    ['VN', 'exact', '1001', undefined, '1001'],
    ['VN', 'exact', '*98', undefined, '*98'],
    ['VN', 'exact', 'alice', undefined, 'alice'],
    ['VN', 'prefix', '090', undefined, '8490'],
    ['VN', 'prefix', '+8490', undefined, '8490'],
    ['VN', 'prefix', '9', undefined, '9'],
    ['VN', 'prefix', '00', undefined, '00'],
    ['VN', 'prefix', '*9', undefined, '*9'],
    ['VN', 'prefix', '', undefined, ''],
    ['DE', 'prefix', '0180', undefined, '49180'],
    ['US', 'prefix', '1900', undefined, '1900'],
    ['VN', 'range', '02412345600', '02412345699', '842412345600', '842412345699'],
    ['VN', 'range', '+842412345600', '+842412345699', '842412345600', '842412345699'],
    ['VN', 'range', '1000', '1999', '1000', '1999'],
    // Its one end is a number in Vietnam, its other is none: both ends have to be of one form.
    ['VN', 'range', '0000000', '9999999', '0000000', '9999999'],
    ['VN', 'range', '+1000000', '+9999999', '1000000', '9999999'],
  ]
  for (const [country, kind, number, to, normal, normalTo] of table) {
    const planned = plannedNumbers(kind, number, to, country)
    t.same(
      [planned.number, planned.to, planned.entered],
      [normal, normalTo, number],
      `${number} in ${country}`,
    )
  }
})

t.test('a range keeps its width, and its ends their order, whatever it is', async () => {
  const anyDigits = fc
    .integer({ min: 1, max: 15 })
    .chain((length) =>
      fc.tuple(
        fc.constantFrom('', '+'),
        ...[0, 1].map(() => fc.stringMatching(new RegExp(`^[0-9]{${length}}$`))),
      ),
    )
  fc.assert(
    fc.property(
      anyDigits,
      fc.constantFrom<Country>('VN', 'DE', 'US', 'IT'),
      ([plus, one, other], country) => {
        const [number, to] = [one!, other!].sort() as [string, string]
        const planned = plannedNumbers('range', plus + number, plus + to, country)
        assert.equal(planned.number.length, planned.to!.length)
        assert.equal(widthOf(planned), BigInt(to) - BigInt(number))
      },
    ),
    { numRuns: 60 },
  )
})
