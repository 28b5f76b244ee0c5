import { randomUUID } from 'node:crypto'
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

t.test('a list that cannot be told says why', async (t) => {
  await makePayer(pool, 'asked', '0')
  const cursorOf = (place: unknown) => Buffer.from(JSON.stringify(place)).toString('base64url')
  const cases: [query: string, field: string, detail: string | RegExp][] = [
    ['limit=0', 'limit', 'is "0"; allowed is a whole number of 1 to 500'],
    ['limit=501', 'limit', 'is "501"; allowed is a whole number of 1 to 500'],
    ['kind=bonus', 'kind', 'is "bonus"; allowed is one of "topup", "debit", "refund", "adjustment"'],
    ['call_uuid=', 'call_uuid', 'is ""; allowed is a text of 1 to 256 characters'],
    ['tenant=demo', 'tenant', 'is unknown; allowed are limit, cursor, kind, call_uuid'],
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
