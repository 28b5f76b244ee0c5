import { setTimeout as nextLook } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Catalog } from '../src/store/catalog.js'
import { startAdminApi, type Asked } from './support/admin-api.js'

const api = await startAdminApi(t)
const { pool } = api.database

/** Asks, and holds that it is answered so. */
async function ask(t: Test, status: number, method: string, url: string, asked: Asked = {}) {
  const answer = await api.ask(t, method, url, asked)
  t.equal(answer.status, status, `${method} ${url}: ${answer.body}`)
  return answer
}

const any = { 'if-match': '*' }

async function audit(target: string) {
  const { rows } = await pool.query<{ action: string; before: unknown; after: unknown }>(
    'SELECT action, before, after FROM audit_lines WHERE target = $1 ORDER BY id',
    [target],
  )
  return rows
}

t.test('a deck is made, seen, changed and deleted, and each of it is written down', async (t) => {
  const body = { id: 'retail', name: 'Retail', currency: 'EUR' }
  const made = await ask(t, 201, 'POST', '/v1/decks', { body })
  t.match(made.json(), { ...body, version: 1, rates: { count: 0, is_exact: true }, used_by: { count: 0 } })
  t.equal(made.headers.etag, '"1"')
  const seen = await ask(t, 200, 'GET', '/v1/decks/retail')
  t.strictSame([seen.json(), seen.headers.etag], [made.json(), '"1"'])
  const change = { body: { name: 'Retail 2025' }, headers: { 'if-match': '"1"' } }
  const changed = await ask(t, 200, 'PATCH', '/v1/decks/retail', change)
  t.match(changed.json(), { name: 'Retail 2025', currency: 'EUR', version: 2 })
  await ask(t, 412, 'PATCH', '/v1/decks/retail', change)
  await ask(t, 428, 'PATCH', '/v1/decks/retail', { body: { name: 'x' } })
  await ask(t, 412, 'DELETE', '/v1/decks/retail', { headers: { 'if-match': '"1"' } })
  await ask(t, 200, 'PATCH', '/v1/decks/retail', { body: {}, headers: any })
  await ask(t, 204, 'DELETE', '/v1/decks/retail', { headers: { 'if-match': '"2"' } })
  for (const method of ['GET', 'DELETE']) await ask(t, 404, method, '/v1/decks/retail')
  await ask(t, 404, 'PATCH', '/v1/decks/re%00tail', { body: { name: 'x' }, headers: any })
  t.match(await audit('deck retail'), [
    { action: 'createDeck', before: null, after: { id: 'retail', version: 1 } },
    { action: 'changeDeck', before: { name: 'Retail' }, after: { name: 'Retail 2025', version: 2 } },
    { action: 'deleteDeck', before: { name: 'Retail 2025' }, after: null },
  ])
})

t.test('a wrong field of a deck is named, with what is allowed', async (t) => {
  const body = { id: 'Retail!', name: 'a\0', currency: 'eur' }
  const { errors } = (await ask(t, 400, 'POST', '/v1/decks', { body })).json()
  t.match(errors, [
    { field: 'id', detail: 'is "Retail!"; allowed is a text of a-z, 0-9, _ and -' },
    { field: 'name' },
    { field: 'currency', detail: 'is "eur"; allowed is a currency of ISO 4217, such as VND' },
  ])
  await ask(t, 409, 'POST', '/v1/decks', { body: { id: 'demo', name: 'Demo', currency: 'VND' } })
  await ask(t, 415, 'POST', '/v1/decks', { body: 'id=a', headers: { 'content-type': 'a/b' } })
  await ask(t, 413, 'POST', '/v1/decks', { body: { id: 'x'.repeat(70_000), name: 'a', currency: 'EUR' } })
  await ask(t, 415, 'PATCH', '/v1/decks/demo', { body: 'a', headers: { ...any, 'content-type': 'a/b' } })
  await ask(t, 413, 'PATCH', '/v1/decks/demo', { body: { name: 'x'.repeat(70_000) }, headers: any })
})

t.test('what tenants have is kept: the refusal says whose it is', async (t) => {
  await pool.query(`INSERT INTO tenants (id, name, country, currency, inbound_deck_id)
    SELECT 'inbound' || n, 'Inbound', 'VN', 'VND', 'demo' FROM generate_series(1, 11) AS n`)
  const { used_by: usedBy } = (await ask(t, 200, 'GET', '/v1/decks/demo')).json()
  t.match(usedBy, { count: 12, tenants: { length: 10, 0: { id: 'demo', as_deck: true } } })
  const refused = await ask(t, 409, 'DELETE', '/v1/decks/demo')
  t.match(
    refused.json().detail,
    /^The deck "demo" cannot be deleted: the tenants "demo", .* and 2 more have it/,
  )
  await ask(t, 409, 'PATCH', '/v1/decks/demo', { body: { currency: 'EUR' }, headers: any })
  await pool.query(`DELETE FROM tenants WHERE id LIKE 'inbound%'`)
  t.match((await ask(t, 409, 'DELETE', '/v1/decks/demo')).json(), {
    detail: /the tenant "demo" has it as deck/,
  })
})

t.test('decks are listed page by page', async (t) => {
  await pool.query(`INSERT INTO decks (id, name, currency) VALUES ('a-1', 'A', 'EUR'), ('z_1', 'Z', 'USD')`)
  const first = (await ask(t, 200, 'GET', '/v1/decks?limit=2')).json()
  const second = (await ask(t, 200, 'GET', `/v1/decks?limit=2&cursor=${String(first.next)}`)).json()
  const ids = [first, second].flatMap(({ items }) => (items as { id: string }[]).map(({ id }) => id))
  t.strictSame([ids, second.next], [['a-1', 'demo', 'z_1'], null])
  await ask(t, 400, 'GET', '/v1/decks?cursor=x')
})

const url = '/v1/decks/demo/rates'

t.test('a rate is added as it is typed, seen by its normal form, changed and deleted', async (t) => {
  const body = {
    prefix: '091 2',
    description: 'Mobile',
    price_per_minute: '480.5',
    minimum_seconds: 30,
    increment_seconds: 6,
  }
  const made = await ask(t, 201, 'POST', url, { body })
  t.strictSame(made.json(), {
    ...{
      id: '84912',
      prefix: '84912',
      prefix_entered: '091 2',
      description: 'Mobile',
      price_per_minute: '480.50',
    },
    ...{ connection_fee: '0.00', minimum_seconds: 30, increment_seconds: 6, grace_seconds: 0 },
    ...{ minimum_cost: null, maximum_cost: null, valid_from: null, valid_to: null },
    ...{ rounding_mode: 'half_up', rounding_decimals: 2, version: 1 },
  })
  t.match((await ask(t, 409, 'POST', url, { body })).json().detail, /has a rate "84912" already/)
  t.strictSame((await ask(t, 200, 'GET', `${url}/84912`)).json(), made.json())
  const patch = { price_per_minute: '500', minimum_cost: '1.5', valid_to: '2999-01-01T00:00:00+07:00' }
  const headers = { 'if-match': '"1"' }
  const changed = await ask(t, 200, 'PATCH', `${url}/84912`, { body: patch, headers })
  t.match(changed.json(), {
    price_per_minute: '500.00',
    minimum_cost: '1.50',
    valid_to: '2998-12-31T17:00:00.000Z',
  })
  t.equal(changed.headers.etag, '"2"')
  await ask(t, 412, 'PATCH', `${url}/84912`, { body: patch, headers })
  await ask(t, 428, 'PATCH', `${url}/84912`, { body: patch })
  const cleared = { body: { minimum_cost: null, valid_to: null }, headers: any }
  t.match((await ask(t, 200, 'PATCH', `${url}/84912`, cleared)).json(), {
    minimum_cost: null,
    valid_to: null,
  })
  await ask(t, 412, 'DELETE', `${url}/84912`, { headers })
  await ask(t, 204, 'DELETE', `${url}/84912`)
  await ask(t, 404, 'GET', `${url}/84912`)
  await ask(t, 404, 'DELETE', `${url}/84912`)
  await ask(t, 404, 'PATCH', `${url}/84912`, { body: patch, headers: any })
  t.match(await audit('rate demo/84912'), [
    { action: 'createRate', before: null, after: { price_per_minute: '480.50' } },
    { action: 'changeRate', before: { version: 1 }, after: { price_per_minute: '500.00', version: 2 } },
    { action: 'changeRate', after: { version: 3 } },
    { action: 'deleteRate', before: { version: 3 }, after: null },
  ])
})

t.test('rates of one prefix are told apart by when they come into force', async (t) => {
  const from = '2030-06-01T02:00:00.000001Z'
  const body = {
    prefix: '*',
    price_per_minute: '9',
    valid_from: '2030-06-01T09:00:00.000001+07:00',
    country: 'DE',
  }
  t.match((await ask(t, 201, 'POST', url, { body })).json(), {
    id: `*@${from}`,
    prefix: '',
    prefix_entered: '*',
    valid_from: from,
  })
  t.match((await ask(t, 200, 'GET', `${url}/*@${from}`)).json(), { valid_from: from })
  t.match(
    (await ask(t, 200, 'GET', `${url}/${encodeURIComponent(`*@2030-06-01T09:00:00.000001+07:00`)}`)).json(),
    { valid_from: from },
  )
  await ask(t, 404, 'GET', `${url}/*`)
  for (const id of ['x', '*@', '8490@yesterday', '8490@2030-02-30T00:00:00Z', '%2B84'])
    await ask(t, 404, 'GET', `${url}/${id}`)
  await ask(t, 204, 'DELETE', `${url}/*@${from}`)
})

t.test('everything that is wrong with a rate is said at once', async (t) => {
  const body = {
    ...{
      prefix: '09a',
      price_per_minute: '-1',
      connection_fee: '1e3',
      minimum_cost: '2.005',
      maximum_cost: '1',
    },
    ...{ valid_from: '2030-01-02T00:00:00Z', valid_to: '2030-01-01T00:00:00Z', description: 'a\0' },
  }
  const { errors } = (await ask(t, 400, 'POST', url, { body })).json()
  t.strictSame((errors as { field: string }[]).map(({ field }) => field).sort(), [
    ...[
      'connection_fee',
      'description',
      'minimum_cost',
      'minimum_cost',
      'prefix',
      'price_per_minute',
      'valid_to',
    ],
  ])
  t.match(JSON.stringify(errors), /is \\"2.005\\"; allowed is an amount of 2 decimals at most/)
  const wrong: [object, string][] = [
    [{ price_per_minute: 5 }, 'price_per_minute'],
    [{ price_per_minute: '5', minimum_seconds: 1_000_001 }, 'minimum_seconds'],
    [{ price_per_minute: '5', rounding_mode: 'sideways' }, 'rounding_mode'],
    [{ price_per_minute: '5', country: 'XX' }, 'country'],
    [{ price_per_minute: '5', colour: 'red' }, 'colour'],
    [{ prefix: ' - ', price_per_minute: '5' }, 'prefix'],
    [{}, 'price_per_minute'],
  ]
  for (const [fields, field] of wrong) {
    const answer = await ask(t, 400, 'POST', url, { body: { prefix: '1', ...fields } })
    t.match(answer.json().errors, [{ field }], field)
  }
  await ask(t, 400, 'PATCH', `${url}/84`, { body: { maximum_cost: '0.001' }, headers: any })
  await ask(t, 404, 'POST', '/v1/decks/nobody/rates', { body: { prefix: '1', price_per_minute: '5' } })
  for (const [method, at] of [
    ['POST', url],
    ['PATCH', `${url}/84`],
  ] as const) {
    await ask(t, 415, method, at, { body: 'a', headers: { ...any, 'content-type': 'text/csv' } })
    await ask(t, 413, method, at, { body: { prefix: '1', description: 'x'.repeat(70_000) }, headers: any })
  }
})

t.test('rates are listed by prefix, and by whom and when they are for', async (t) => {
  await ask(t, 201, 'POST', '/v1/decks', { body: { id: 'listed', name: 'Listed', currency: 'EUR' } })
  const here = '/v1/decks/listed/rates'
  for (const [prefix, from] of [['*'], ['84'], ['090'], ['090', '2030-01-01T00:00:00Z'], ['091'], ['+49']])
    await ask(t, 201, 'POST', here, {
      body: { prefix, price_per_minute: '1', ...(from && { valid_from: from }) },
    })
  const ids = async (query: string) => {
    const { items } = (await ask(t, 200, 'GET', `${here}?${query}`)).json()
    return (items as { id: string }[]).map(({ id }) => id)
  }
  const all = ['*', '49', '84', '8490', '8490@2030-01-01T00:00:00.000Z', '8491']
  t.strictSame(await ids(''), all)
  const paged: string[] = []
  for (let cursor = ''; ;) {
    const page = (await ask(t, 200, 'GET', `${here}?limit=1${cursor}`)).json()
    paged.push(...(page.items as { id: string }[]).map(({ id }) => id))
    if (page.next === null) break
    cursor = `&cursor=${page.next as string}`
  }
  t.strictSame(paged, all)
  t.strictSame(await ids('prefix=090'), all.slice(3, 5))
  t.strictSame(await ids('prefix=84'), all.slice(2))
  t.strictSame(await ids('number=0901234567'), ['*', ...all.slice(2, 5)])
  t.strictSame(await ids('number=0301234567&country=DE'), ['*', '49'])
  t.strictSame(await ids('number=0901234567&valid_at=2029-12-31T23:59:59Z'), ['*', '84', '8490'])
  t.strictSame(await ids('number=a%00'), [])
  for (const query of ['cursor=x', 'prefix=x', 'valid_at=now', 'country=VNM', 'country=vn', 'limit=0'])
    await ask(t, 400, 'GET', `${here}?${query}`)
  await ask(t, 404, 'GET', '/v1/decks/nobody/rates')
  t.match((await ask(t, 200, 'GET', '/v1/decks/listed')).json(), { rates: { count: 6, is_exact: true } })
})

t.test('of two changes of one version one is made', async (t) => {
  const changes = [1, 2, 3, 4, 5].map((price) =>
    api.ask(t, 'PATCH', '/v1/decks/listed/rates/84', {
      body: { price_per_minute: String(price + 10) },
      headers: { 'if-match': '"1"' },
    }),
  )
  const statuses = (await Promise.all(changes)).map(({ status }) => status)
  t.strictSame(statuses.sort(), [200, 412, 412, 412, 412])
})

t.test('a rate that was changed here is in force for the calls of another node', async (t) => {
  const node = await Catalog.load(pool, { log: api.dependencies.log, pollMs: 3_600_000 })
  t.teardown(() => node.close())
  const price = () => node.rate('demo', '84901234567')?.pricePerMinute
  t.equal(price(), 500_000_000n)
  await ask(t, 200, 'PATCH', `${url}/8490`, { body: { price_per_minute: '501' }, headers: any })
  // By the notice alone: its next look of its own is an hour away.
  while (price() !== 501_000_000n) await nextLook(5)
  t.equal(price(), 501_000_000n)
})

t.test('its answers were all seen', async (t) => {
  const own =
    /^(listDecks|createDeck|getDeck|changeDeck|deleteDeck|listRates|createRate|getRate|changeRate|deleteRate) /
  await ask(t, 200, 'GET', '/v1/decks')
  await ask(t, 400, 'GET', '/v1/decks/demo?a=b')
  await ask(t, 400, 'DELETE', '/v1/decks/demo?a=b')
  await ask(t, 400, 'GET', `${url}/84?a=b`)
  await ask(t, 400, 'DELETE', `${url}/84?a=b`)
  await ask(t, 400, 'PATCH', '/v1/decks/demo', { body: { name: '' }, headers: any })
  t.strictSame(
    api.contract.unseen().filter((answer) => own.test(answer) && !/ (401|403|429|503)$/.test(answer)),
    [],
  )
})
