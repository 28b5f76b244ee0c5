import assert from 'node:assert/strict'

import fc from 'fast-check'
import t from 'tap'

import { formatMoney, parseMoney } from '../src/billing/money.js'
import { listCdrs } from '../src/store/cdrs.js'
import { commitRecords, type CallRecord } from '../src/store/commit.js'
import { readCommitted } from '../src/store/committed.js'
import { booksOf, makeTenants, paidCall, unansweredCall } from './support/call-records.js'
import { testDatabase } from './support/services.js'

const { pool } = await testDatabase(t)

async function onlyCdr(callUuid: string) {
  const { items } = await listCdrs(pool, { limit: 10, callUuid })
  assert.equal(items.length, 1, 'there is exactly one CDR')
  return items[0]!
}

t.test('a minute at 500 lowers the balance by 500, with one debit in the ledger', async (t) => {
  const call = paidCall(60_000)
  t.same(await commitRecords(pool, [call]), new Set([call.callUuid]))
  const { rows } = await pool.query(
    'SELECT tenant_id, kind, amount, balance_after, description FROM ledger WHERE call_uuid = $1',
    [call.callUuid],
  )
  t.same(rows, [
    {
      tenant_id: 'demo',
      kind: 'debit',
      amount: '-500.000000',
      balance_after: '999500.000000',
      description: 'Call cost',
    },
  ])
  t.match(await booksOf(pool, 'demo'), { balance: '999500.000000', ledger: '999500.000000', breaks: 0 })
})

t.test('the same record a second time changes nothing', async (t) => {
  const [tenant] = await makeTenants(pool, 'twice', 1)
  const call = paidCall(2_540, { tenant: tenant! })
  t.equal((await commitRecords(pool, [call])).size, 1)
  const before = await booksOf(pool, tenant!)
  t.match(before, { balance: '-21.170000', lines: 1, calls: 1 })
  t.equal((await commitRecords(pool, [call])).size, 0)
  t.equal((await commitRecords(pool, [{ ...call, startedAt: call.startedAt - 40 * 86_400e6 }])).size, 0)
  t.same(await booksOf(pool, tenant!), before)
})

t.test('of the same call twice in one batch the first record counts', async (t) => {
  const [tenant] = await makeTenants(pool, 'batch', 1)
  const call = paidCall(60_000, { tenant: tenant! })
  const later = paidCall(120_000, { tenant: tenant!, callUuid: call.callUuid })
  t.same(await commitRecords(pool, [call, later, call]), new Set([call.callUuid]))
  t.match(await booksOf(pool, tenant!), { balance: '-500.000000', ledger: '-500.000000', lines: 1, calls: 1 })
  t.equal((await onlyCdr(call.callUuid)).charges.length, 1)
})

t.test('the same record from ten connections at once is new for one of them', async (t) => {
  const [tenant] = await makeTenants(pool, 'race', 1)
  const call = paidCall(60_000, { tenant: tenant! })
  const answers = await Promise.all(Array.from({ length: 10 }, () => commitRecords(pool, [call])))
  t.equal(answers.filter((fresh) => fresh.has(call.callUuid)).length, 1)
  t.match(await booksOf(pool, tenant!), { balance: '-500.000000', ledger: '-500.000000', lines: 1, calls: 1 })
})

t.test('a call that cost nothing has a CDR and no ledger line', async (t) => {
  const [tenant] = await makeTenants(pool, 'free', 1)
  const call = unansweredCall({ tenant: tenant! })
  await commitRecords(pool, [call])
  t.match(await onlyCdr(call.callUuid), { cost: '0.00', hangup_cause: 'NO_ANSWER', charges: [] })
  t.match(await booksOf(pool, tenant!), { balance: '0.000000', lines: 0, calls: 1 })
})

t.test('a record without a tenant is kept', async (t) => {
  const call = unansweredCall({
    tenant: null,
    currency: null,
    refusal: 'no tenant',
    hangupCause: 'UNALLOCATED_NUMBER',
  })
  t.equal((await commitRecords(pool, [call])).size, 1)
  t.match(await onlyCdr(call.callUuid), { tenant: null, currency: null, refusal: 'no tenant', cost: '0.00' })
})

t.test('a record of a month that has no table is kept', async (t) => {
  const calls = ['2019-02-28T23:59:59.999Z', '2031-07-01T00:00:00.000Z'].map((day) =>
    unansweredCall({ startedAt: Date.parse(day) * 1000 }),
  )
  t.equal((await commitRecords(pool, calls)).size, 2)
  t.equal((await commitRecords(pool, calls)).size, 0)
  t.equal((await onlyCdr(calls[0]!.callUuid)).started_at, '2019-02-28T23:59:59.999Z')
  t.equal((await onlyCdr(calls[1]!.callUuid)).started_at, '2031-07-01T00:00:00.000Z')
})

t.test('moments are kept to the microsecond', async (t) => {
  const microseconds = fc.sample(fc.integer({ min: 1_500_000_000_000_000, max: 2_500_000_000_000_000 }), 300)
  const calls = microseconds.map((startedAt) => unansweredCall({ startedAt }))
  await commitRecords(pool, calls)
  const { rows } = await pool.query<{ us: string }>(
    `SELECT (extract(epoch FROM started_at) * 1000000)::bigint AS us FROM unnest($1::text[])
      WITH ORDINALITY AS wanted (call_uuid, ord) JOIN cdrs USING (call_uuid) ORDER BY ord`,
    [calls.map(({ callUuid }) => callUuid)],
  )
  t.same(
    rows.map(({ us }) => Number(us)),
    microseconds,
  )
})

t.test('whatever a caller sends is kept as text, and is billed', async (t) => {
  const [tenant] = await makeTenants(pool, 'text', 1)
  const nasty = [
    `'); DROP TABLE ledger; --`,
    '{"a",NULL}',
    'NULL',
    '\\',
    '"',
    '\\u0000',
    'Nguyễn 😀',
    '',
    ' ',
    '\r\n\t',
    '${x}',
  ]
  const calls = nasty.map((text) =>
    paidCall(60_000, { tenant: tenant!, callerName: text, callerRaw: text, variables: { [text]: text } }),
  )
  // PostgreSQL can store neither of these; a caller must not get a free call out of it.
  const unstorable = paidCall(60_000, {
    tenant: tenant!,
    callerName: 'a\0b',
    sipCallId: 'x\ud800y',
    variables: { 'k\0': 'v\0w', half: '\udc00', both: '😀\0"\\' },
    mos: 'NaN',
  })
  t.equal((await commitRecords(pool, [...calls, unstorable])).size, nasty.length + 1)
  for (const [i, text] of nasty.entries())
    t.match(await onlyCdr(calls[i]!.callUuid), {
      caller_name: text,
      caller_raw: text,
      variables: { [text]: text },
    })
  t.match(await onlyCdr(unstorable.callUuid), {
    caller_name: 'a\ufffdb',
    sip_call_id: 'x\ufffdy',
    variables: { 'k\ufffd': 'v\ufffdw', half: '\ufffd', both: '😀\ufffd"\\' },
    mos: null,
  })
  t.match(await booksOf(pool, tenant!), { lines: nasty.length + 1, breaks: 0 })
})

t.test('a record that contradicts itself is refused, and nothing of its batch is committed', async (t) => {
  const [tenant] = await makeTenants(pool, 'poison', 1)
  const good = paidCall(60_000, { tenant: tenant! })
  const table: [why: string, record: CallRecord, error: { name?: string; code: string }][] = [
    [
      'dearer than its charges',
      { ...paidCall(60_000), cost: '500.01' },
      { name: 'CommitError', code: 'refused' },
    ],
    [
      'a cost that is no amount',
      { ...paidCall(60_000), cost: 'NaN' },
      { name: 'CommitError', code: 'refused' },
    ],
    ['of a later version', { ...paidCall(60_000), v: 2 as 1 }, { name: 'CommitError', code: 'refused' }],
    ['not a record', JSON.parse('{"v":1}') as CallRecord, { name: 'CommitError', code: 'refused' }],
    ['billed for less than nothing', { ...paidCall(60_000), billedMs: -1 }, { code: '23514' }],
    ['a fraction of a millisecond', { ...paidCall(60_000), billedMs: 0.5 }, { code: '22P02' }],
    ['money of a tenant that is not there', paidCall(60_000, { tenant: 'nobody' }), { code: '23502' }],
    ['money of no tenant at all', paidCall(60_000, { tenant: null }), { code: '23502' }],
    ['one leg charged twice', twice(paidCall(60_000)), { code: '23505' }],
  ]
  for (const [why, poison, error] of table) await t.rejects(commitRecords(pool, [good, poison]), error, why)
  t.match(await booksOf(pool, tenant!), { balance: '0.000000', lines: 0, calls: 0 })
  t.equal((await commitRecords(pool, [good])).size, 1, 'alone it goes in')
})

function twice(call: CallRecord): CallRecord {
  return {
    ...call,
    cost: formatMoney(parseMoney(call.cost) * 2n),
    charges: [...call.charges, ...call.charges],
  }
}

t.test('an empty batch is no work', async (t) => {
  t.equal((await commitRecords(pool, [])).size, 0)
})

t.test('Σ ledger = balance, with overlapping batches of many tenants on many connections', async () => {
  let run = 0
  const call = fc.record({ tenant: fc.nat({ max: 4 }), billedMs: fc.integer({ min: 0, max: 200_000 }) })
  await fc.assert(
    fc.asyncProperty(
      fc.array(call, { minLength: 1, maxLength: 60 }),
      fc.array(fc.array(fc.nat(), { minLength: 1, maxLength: 60 }), { minLength: 2, maxLength: 10 }),
      async (drafts, picks) => {
        const tenants = await makeTenants(pool, `books${++run}-`, 5)
        const calls = drafts.map(({ tenant, billedMs }) => paidCall(billedMs, { tenant: tenants[tenant]! }))
        // Each batch takes some of the calls, in its own order: most calls are in several batches.
        const batches = picks.map((pick) => pick.map((i) => calls[i % calls.length]!))
        const fresh = await Promise.all(batches.map((batch) => commitRecords(pool, batch)))
        const uuids = fresh.flatMap((set) => [...set])
        const committed = new Set(batches.flat())
        assert.deepEqual(
          uuids.sort(),
          [...committed].map(({ callUuid }) => callUuid).sort(),
          'each was new once',
        )
        for (const tenant of tenants) {
          const own = [...committed].filter((call) => call.tenant === tenant)
          const spent = own.reduce((sum, { cost }) => sum + parseMoney(cost), 0n)
          const books = await booksOf(pool, tenant)
          assert.equal(parseMoney(books.balance), -spent)
          assert.equal(books.ledger, books.balance)
          assert.equal(parseMoney(books.cdrs), spent)
          assert.equal(books.calls, own.length)
          assert.equal(books.breaks, 0, 'each line follows from the one before')
        }
      },
    ),
    { numRuns: 15, endOnFailure: true },
  )
})

t.test('big batches that cross each other in keys and tenants do not deadlock', async (t) => {
  const tenants = await makeTenants(pool, 'cross', 50)
  const calls = Array.from({ length: 600 }, (_, i) => paidCall(60_000, { tenant: tenants[i % 50]! }))
  const forwards = Array.from({ length: 10 }, (_, i) => calls.slice(i * 30, i * 30 + 300))
  const both = forwards.flatMap((batch) => [batch, batch.toReversed()])
  await Promise.all(both.map((batch) => commitRecords(pool, batch)))
  const all = await Promise.all(tenants.map((tenant) => booksOf(pool, tenant)))
  t.ok(all.every(({ balance, ledger, breaks }) => balance === ledger && breaks === 0))
  const committed = new Set(forwards.flat()).size
  t.equal(
    all.reduce((sum, { calls }) => sum + calls, 0),
    committed,
  )
  t.equal(
    all.reduce((sum, { balance }) => sum + parseMoney(balance), 0n),
    -500_000_000n * BigInt(committed),
  )
})

t.test('who asks for committed calls is told of whom they came and what was charged', async (t) => {
  const call = paidCall(60_000, { source: 'json_cdr' })
  const free = unansweredCall({ callUuid: 'a\0b', source: 'incomplete' })
  await commitRecords(pool, [call, free])
  const committed = await readCommitted(pool, [call.callUuid, free.callUuid, 'nobody'])
  const [charge] = call.charges
  t.same(
    committed,
    new Map([
      [
        call.callUuid,
        {
          tenant: 'demo',
          source: 'json_cdr',
          startedAt: call.startedAt,
          cost: '500.000000',
          charges: [{ legUuid: charge!.legUuid, endedAt: charge!.endedAt, pricePerMinute: '500.000000' }],
        },
      ],
      [
        free.callUuid,
        { tenant: 'demo', source: 'incomplete', startedAt: free.startedAt, cost: '0.000000', charges: [] },
      ],
    ]),
  )
})
