import fc from 'fast-check'
import t from 'tap'

import { testDatabase } from './support/services.js'

const { pool } = await testDatabase(t)
await pool.query(`INSERT INTO tenants (id, name, country, currency)
  VALUES ('a', 'A', 'VN', 'VND'), ('b', 'B', 'VN', 'VND'), ('c', 'C', 'VN', 'VND')`)

/** All numbers of the test begin so, and have up to three digits more. */
const base = '8424555'
const further = Array.from({ length: 1_110 }, (_, i) =>
  i < 10 ? String(i) : i < 110 ? String(i - 10).padStart(2, '0') : String(i - 110).padStart(3, '0'),
)
const universe = ['', ...further].map((rest) => base + rest)

interface Claim {
  readonly tenant: string
  readonly kind: 'exact' | 'range' | 'prefix' | 'did'
  readonly number: string
  readonly to: string | undefined
}

const rest = (length: number) => fc.stringMatching(new RegExp(`^[0-9]{${length}}$`))
const anyClaim: fc.Arbitrary<Claim> = fc
  .tuple(
    fc.constantFrom('a', 'b', 'c'),
    fc.constantFrom<Claim['kind']>('exact', 'range', 'prefix', 'did'),
    fc.constantFrom(1, 2, 3, 3).chain((length) => fc.tuple(rest(length), rest(length))),
    fc.integer({ min: 0, max: 12 }),
  )
  .map(([tenant, kind, [one, other], width]) => {
    const [first, last] = one < other ? [one, other] : [other, one]
    // Mostly narrow: of wide ones the first of a run would have all numbers.
    const near = String(Number(first) + width).padStart(first.length, '0')
    const to = width === 12 || near.length > first.length ? last : near
    return { tenant, kind, number: base + first, to: kind === 'range' ? base + to : undefined }
  })

function numbersOf({ kind, number, to }: Claim): Set<string> {
  return new Set(
    universe.filter((each) =>
      kind === 'prefix'
        ? each.startsWith(number)
        : kind === 'range'
          ? each.length === number.length && number <= each && each <= to!
          : each === number,
    ),
  )
}

/** Whether it may stand beside the other one. */
function isAllowed(claim: Claim, other: Claim): boolean {
  const [numbers, others] = [numbersOf(claim), numbersOf(other)]
  const isCommon = [...numbers].some((number) => others.has(number))
  if (claim.tenant !== other.tenant) return !isCommon
  if (claim.kind !== other.kind) return true
  const isAsWide = claim.kind === 'prefix' ? claim.number === other.number : numbers.size === others.size
  return !(isCommon && isAsWide)
}

async function claim({ tenant, kind, number, to }: Claim): Promise<boolean> {
  const query =
    kind === 'did'
      ? pool.query('INSERT INTO numbers (number, tenant_id) VALUES ($1, $2)', [number, tenant])
      : pool.query(
          `INSERT INTO number_plan (tenant_id, direction, kind, number, number_to, entered, entered_to, step)
          VALUES ($1, 'inbound', $2, $3, $4, $3, $4, '{"route": "play"}')`,
          [tenant, kind, number, to],
        )
  return query.then(
    () => true,
    (error: unknown) => {
      t.match(error, { code: '23505' })
      return false
    },
  )
}

t.test('no number is ever two tenants’, whatever they claim in whatever order', async (t) => {
  let granted = 0
  let refused = 0
  for (const claims of fc.sample(fc.array(anyClaim, { minLength: 12, maxLength: 12 }), {
    numRuns: 8,
    seed: 11,
  })) {
    const have: Claim[] = []
    for (const each of claims) {
      const isExpected = have.every((other) => isAllowed(each, other))
      const isGranted = await claim(each)
      if (isGranted !== isExpected)
        t.fail(`${JSON.stringify(each)} beside ${JSON.stringify(have)}: granted ${isGranted}`)
      if (isGranted) have.push(each)
      if (isGranted) granted++
      else refused++
    }
    await pool.query('DELETE FROM number_plan; DELETE FROM numbers')
  }
  t.ok(granted > 40 && refused > 10, `${granted} granted, ${refused} refused`)
})

t.test('so it is of those that are written at once', async (t) => {
  const insert = (rows: string) =>
    pool.query(`INSERT INTO number_plan (tenant_id, direction, kind, number, number_to, entered, entered_to, step)
      SELECT tenant, 'inbound', kind, n, m, n, m, '{"route": "play"}'
      FROM (VALUES ${rows}) AS given (tenant, kind, n, m)`)
  const refused: [why: string, rows: string][] = [
    ['exact', `('a', 'exact', '84245551', NULL), ('b', 'exact', '84245551', NULL)`],
    ['exact in a prefix', `('a', 'exact', '84245551', NULL), ('b', 'prefix', '8424555', NULL)`],
    ['exact in a range', `('a', 'exact', '84245551', NULL), ('b', 'range', '84245550', '84245555')`],
    ['a prefix in a range', `('a', 'prefix', '842455551', NULL), ('b', 'range', '8424555500', '8424555519')`],
    [
      'a range over a prefix',
      `('a', 'range', '8424555480', '8424555519'), ('b', 'prefix', '84245555', NULL)`,
    ],
    ['as wide', `('a', 'range', '84245550', '84245555'), ('a', 'range', '84245555', '84245560')`],
  ]
  for (const [why, rows] of refused) await t.rejects(insert(rows), { code: '23505' }, why)
  await insert(`('a', 'range', '8424555480', '8424555499'), ('b', 'prefix', '84245555', NULL),
    ('c', 'exact', '842455548', NULL), ('b', 'exact', '84245555', NULL)`)
  await t.rejects(pool.query(`UPDATE number_plan SET number = '84245555' WHERE tenant_id = 'c'`), {
    code: '23505',
  })
  await t.rejects(pool.query(`UPDATE number_plan SET tenant_id = 'c' WHERE kind = 'prefix'`), {
    code: '23505',
  })
  await pool.query(`UPDATE number_plan SET direction = 'outbound' WHERE tenant_id = 'b'`)
  await pool.query(`UPDATE number_plan SET number = '84245555' WHERE tenant_id = 'c'`)
})
