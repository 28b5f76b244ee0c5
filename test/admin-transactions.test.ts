import { randomUUID } from 'node:crypto'
import { parse } from 'csv-parse/sync'
import t, { type Test } from 'tap'
import { parseMoney } from '../src/billing/money.js'
import { commitRecords } from '../src/store/commit.js'
import { book } from '../src/store/ledger.js'
import { answersOfTransactions, startAdminApi } from './support/admin-api.js'
import { legOf, makePayer, recordOf, topUp } from './support/credit.js'

const { contract, ask, database } = await startAdminApi(t)
const { pool } = database

async function linesOf(t: Test, tenant: string, query = '') {
  const answer = await ask(t, 'GET', `/v1/tenants/${tenant}/transactions${query}`)
  t.equal(answer.status, 200)
  return answer.json() as { items: Record<string, unknown>[]; next: string | null }
}

t.test('pages go through the ledger once, whatever is booked meanwhile', async (t) => {
  const tenant = await makePayer(pool, 'pages', '0')
  const legs = Array.from({ length: 4 }, () => legOf(tenant))
  for (const leg of legs) {
    await topUp(pool, 'pages', '100')
    await commitRecords(pool, [recordOf(leg, 6_000)])
    await book(pool, {
      tenant: 'pages',
      kind: 'refund',
      amount: parseMoney('10'),
      description: '',
      idempotencyKey: randomUUID(),
      callUuid: leg.callUuid,
    })
  }
  const { items: all } = await linesOf(t, 'pages')
  t.equal(all.length, 12)
  for (const limit of [1, 5, 6, 12]) {
    const { items: before } = await linesOf(t, 'pages')
    const seen: unknown[] = []
    let cursor: string | null = null
    do {
      const page = await linesOf(t, 'pages', `?limit=${limit}${cursor === null ? '' : `&cursor=${cursor}`}`)
      t.ok(page.items.length > 0 && page.items.length <= limit)
      seen.push(...page.items)
      cursor = page.next
      await topUp(pool, 'pages', '1')
    } while (cursor !== null)
    t.strictSame(seen, before)
  }

  const kinds = async (query: string) => (await linesOf(t, 'pages', query)).items.map(({ kind }) => kind)
  for (const kind of ['debit', 'refund'])
    t.strictSame(await kinds(`?kind=${kind}`), Array<string>(4).fill(kind))
  t.strictSame(await kinds('?kind=topup&limit=2'), ['topup', 'topup'])
  const [leg] = legs
  t.strictSame(await kinds(`?call_uuid=${leg?.callUuid ?? ''}`), ['refund', 'debit'])
  t.strictSame(await kinds(`?call_uuid=${leg?.callUuid ?? ''}&kind=refund`), ['refund'])
  t.strictSame(await kinds(`?call_uuid=${leg?.callUuid ?? ''}&kind=topup`), [])
  t.strictSame(await kinds('?call_uuid=%00'), [])
  t.strictSame(await kinds(`?call_uuid=${encodeURIComponent("' OR true --")}`), [])

  const first = await linesOf(t, 'pages', '?kind=refund&limit=3')
  const second = await linesOf(t, 'pages', `?kind=refund&limit=3&cursor=${first.next}`)
  t.strictSame(
    [...first.items, ...second.items].map(({ id }) => id),
    all.filter(({ kind }) => kind === 'refund').map(({ id }) => id),
    'pages of a filtered list go on in it',
  )
  t.equal(second.next, null)
  await makePayer(pool, 'empty', '0')
  t.strictSame(await linesOf(t, 'empty'), { items: [], next: null })
  t.strictSame(
    await linesOf(t, 'empty', `?cursor=${first.next}`),
    { items: [], next: null },
    "nothing of others'",
  )
})

/** A tenant with a line a day, from 1 to 10 January 2025; of each third one a call was debited. */
async function makeYear(tenant: string) {
  const payer = await makePayer(pool, tenant, '0')
  await pool.query('ALTER TABLE ledger DISABLE TRIGGER ledger_append_only')
  const uuids: string[] = []
  for (let day = 1; day <= 10; day++) {
    if (day % 3 === 0) {
      const leg = legOf(payer)
      uuids.push(leg.callUuid)
      await commitRecords(pool, [recordOf(leg, 6_000)])
    } else
      await book(pool, {
        tenant,
        kind: day % 2 === 0 ? 'adjustment' : 'topup',
        amount: parseMoney(day % 2 === 0 ? `-${day}.5` : String(100 * day)),
        description: day === 4 ? '=1+1, "Line\nrental" 100%' : `Day_${day}`,
        idempotencyKey: `key-${day}`,
      })
    await pool.query(
      `UPDATE ledger SET created_at = make_timestamptz(2025, 1, $2, 12, 0, 0, 'UTC')
      WHERE id = (SELECT max(id) FROM ledger WHERE tenant_id = $1)`,
      [tenant, day],
    )
  }
  await pool.query('ALTER TABLE ledger ENABLE TRIGGER ledger_append_only')
  return uuids
}

t.test('lines are found by time, amount, key and text', async (t) => {
  const [call] = await makeYear('filters')
  const found = async (query: string) =>
    (await linesOf(t, 'filters', `?${query}`)).items.map(({ created_at: at }) =>
      Number(String(at).slice(8, 10)),
    )
  const cases: [query: string, days: number[]][] = [
    ['from=2025-01-08T12:00:00Z', [10, 9, 8]],
    ['from=2025-01-08T12:00:00.001Z', [10, 9]],
    ['from=2025-01-08T19:00:00%2B07:00', [10, 9, 8]],
    ['to=2025-01-02T12:00:00Z', [1]],
    ['to=2025-01-02T12:00:01Z', [2, 1]],
    ['from=2025-01-03T00:00:00Z&to=2025-01-05T00:00:00Z', [4, 3]],
    ['from=2025-01-03T00:00:00Z&kind=debit', [9, 6, 3]],
    ['from=2025-01-01T00:00:00Z&min_amount=500', [7, 5]],
    ['from=2025-01-01T00:00:00Z&min_amount=500.01&max_amount=700', [7]],
    ['kind=adjustment&max_amount=-8.5', [10, 8]],
    ['kind=adjustment&min_amount=-8.5', [8, 4, 2]],
    ['idempotency_key=key-5', [5]],
    ['idempotency_key=key-5&kind=adjustment', []],
    ['idempotency_key=KEY-5', []],
    [`call_uuid=${call ?? ''}&from=2025-01-03T00:00:00Z`, [3]],
    [`call_uuid=${call ?? ''}&from=2025-01-04T00:00:00Z`, []],
    ['description=day_', [10, 8, 7, 5, 2, 1]],
    ['description=%25', [4]],
    ['description=rental&max_amount=0', [4]],
    ['description=call%20cost', []],
    ['description=%00', []],
    ['idempotency_key=%00', []],
  ]
  for (const [query, days] of cases) t.strictSame(await found(query), days, query)
  const first = await linesOf(t, 'filters', '?description=day_&limit=4')
  const second = await linesOf(t, 'filters', `?description=day_&limit=4&cursor=${first.next ?? ''}`)
  t.equal(first.items.length + second.items.length, 6)
})

t.test('the ledger is exported as CSV, whatever its size, and no text in it is a formula', async (t) => {
  await makeYear('exported')
  const answer = await ask(t, 'GET', '/v1/tenants/exported/transactions/export')
  t.equal(answer.status, 200)
  t.equal(answer.headers['content-type'], 'text/csv; charset=utf-8')
  const rows = parse<Record<string, string>>(answer.body, { columns: true })
  const { items } = await linesOf(t, 'exported')
  t.strictSame(
    rows,
    items.map((item) =>
      Object.fromEntries(
        Object.entries(item).map(([name, value]) => [
          name,
          ((value as string | null) ?? '').replace(/^=/, "'="),
        ]),
      ),
    ),
  )
  t.match(answer.body, `"'=1+1, ""Line\nrental"" 100%"`)

  const part = await ask(
    t,
    'GET',
    '/v1/tenants/exported/transactions/export?kind=debit&to=2025-01-05T00:00:00Z',
  )
  t.strictSame(
    parse<Record<string, string>>(part.body, { columns: true }).map(({ kind, amount }) => ({ kind, amount })),
    [{ kind: 'debit', amount: '-50.00' }],
  )
  await makePayer(pool, 'unmoved', '0')
  const none = await ask(t, 'GET', '/v1/tenants/unmoved/transactions/export')
  t.equal(none.body, 'id,kind,amount,balance_after,description,call_uuid,idempotency_key,created_at\r\n')

  await makePayer(pool, 'many', '0')
  await pool.query(`INSERT INTO ledger (tenant_id, kind, amount, balance_after, description)
    SELECT 'many', 'topup', 1, i, 'x' FROM generate_series(1, 2500) AS i`)
  const { body: text } = await ask(t, 'GET', '/v1/tenants/many/transactions/export')
  const afters = parse<Record<string, string>>(text, { columns: true }).map((row) =>
    Number(row.balance_after),
  )
  t.strictSame(
    afters,
    Array.from({ length: 2500 }, (_, i) => 2500 - i),
    'each once',
  )
  t.equal((await ask(t, 'GET', '/v1/tenants/nobody/transactions/export')).status, 404)
  t.equal((await ask(t, 'GET', '/v1/tenants/%00/transactions/export')).status, 404)
  t.match((await ask(t, 'GET', '/v1/tenants/many/transactions/export?limit=5')).json(), {
    errors: [{ field: 'limit' }],
  })
})

t.test('a list that cannot be told says why', async (t) => {
  await makePayer(pool, 'asked', '0')
  const cursorOf = (place: unknown) => Buffer.from(JSON.stringify(place)).toString('base64url')
  const cases: [query: string, field: string, detail: string | RegExp][] = [
    ['limit=0', 'limit', 'is "0"; allowed is a whole number of 1 to 500'],
    ['limit=501', 'limit', 'is "501"; allowed is a whole number of 1 to 500'],
    ['kind=bonus', 'kind', 'is "bonus"; allowed is one of "topup", "debit", "refund", "adjustment"'],
    ['call_uuid=', 'call_uuid', 'is ""; allowed is a text of 1 to 256 characters'],
    ['from=yesterday', 'from', /^is "yesterday"; allowed is a moment of RFC 3339/],
    ['to=2025-13-01T00:00:00Z', 'to', /; allowed is a moment/],
    [
      'kind=topup&min_amount=1e3',
      'min_amount',
      'is "1e3"; allowed is a decimal number, such as 500 or -21.17',
    ],
    ['max_amount=5', 'max_amount', /^needs from, .* or a kind other than debit beside it$/],
    ['kind=debit&min_amount=5', 'min_amount', /^needs from, /],
    ['description=', 'description', 'is ""; allowed is a text of 1 to 256 characters'],
    ['idempotency_key=', 'idempotency_key', 'is ""; allowed is a text of 1 to 256 characters'],
    ['tenant=demo', 'tenant', /^is unknown; allowed are limit, cursor, kind, call_uuid, /],
  ]
  const foreign = [['1', 'a call'], [1], ['-1'], ['1; SELECT'], ['9'.repeat(19)], '1', null, {}]
  for (const cursor of ['x', ...foreign.map(cursorOf)])
    cases.push([`cursor=${cursor}`, 'cursor', 'is not the "next" of a page of this list'])
  for (const [query, field, detail] of cases) {
    const answer = await ask(t, 'GET', `/v1/tenants/asked/transactions?${query}`)
    t.equal(answer.status, 400, query)
    t.match(answer.json(), { errors: [{ field, detail }] })
  }
  for (const nobody of ['nobody', "';--", '%00'])
    t.match((await ask(t, 'GET', `/v1/tenants/${nobody}/transactions`)).json(), {
      status: 404,
      detail: /^There is no tenant /,
    })
})

t.test('every answer that the description names was seen', async (t) => {
  t.strictSame(
    contract.unseen().filter((answer) => answersOfTransactions.test(answer)),
    [],
  )
})
