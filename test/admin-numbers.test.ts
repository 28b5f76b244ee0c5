import t, { type Test } from 'tap'
import { Catalog } from '../src/store/catalog.js'
import { addPlanEntry } from '../src/store/number-plan.js'
import { startAdminApi, type Answer } from './support/admin-api.js'

const api = await startAdminApi(t)
const { ask, makeKey, database, dependencies } = api
const { pool } = database
/** Another node: it learns of a change by what the database tells. */
const node = await Catalog.load(pool, { log: dependencies.log })
t.teardown(() => node.close())
await pool.query(`INSERT INTO tenants (id, name, country, currency)
    VALUES ('other', 'Other', 'VN', 'VND'), ('london', 'London', 'GB', 'GBP');
  INSERT INTO extensions (tenant_id, number) VALUES ('other', '200')`)

interface Page {
  items: { number: string; tenant: string; extension: string | null; version: number }[]
  next: string | null
}

function post(t: Test, body: object): Promise<Answer> {
  return ask(t, 'POST', '/v1/numbers', { body })
}

function change(t: Test, number: string, body: object, ifMatch = '*'): Promise<Answer> {
  return ask(t, 'PATCH', `/v1/numbers/${number}`, { body, headers: { 'if-match': ifMatch } })
}

async function list(t: Test, query = '', key?: string): Promise<Page> {
  const answer = await ask(t, 'GET', `/v1/numbers${query}`, key === undefined ? {} : { key })
  t.equal(answer.status, 200)
  return answer.json() as unknown as Page
}

t.test(
  'a number is given away, rings another extension, and is taken back; another node knows',
  async (t) => {
    const made = await post(t, { tenant: 'demo', number: '02412345678', extension: '1000' })
    t.equal(made.status, 201)
    const shown = { number: '842412345678', tenant: 'demo', extension: '1000', version: 1 }
    t.strictSame(made.json(), { items: [shown] })
    const url = '/v1/numbers/842412345678'
    const read = await ask(t, 'GET', url)
    t.strictSame(read.json(), shown)
    t.equal(read.headers.etag, '"1"')
    t.strictSame((await ask(t, 'GET', '/v1/numbers/02412345678')).json(), shown, 'as it is dialled')
    t.strictSame((await ask(t, 'GET', '/v1/numbers/+842412345678')).json(), shown)
    await node.reload()
    t.match(node.byDid('842412345678'), { tenant: { id: 'demo' }, extension: '1000' })

    const changed = await change(t, '02412345678', { extension: '1001' }, '"1"')
    t.equal(changed.headers.etag, '"2"')
    t.match(changed.json(), { extension: '1001', version: 2 })
    t.match((await change(t, '842412345678', { extension: '1001' })).json(), { version: 2 }, 'as it was')
    t.equal((await change(t, '842412345678', { extension: null }, '"1"')).status, 412)
    t.match((await change(t, '842412345678', { extension: null }, '"2"')).json(), {
      extension: null,
      version: 3,
    })
    await node.reload()
    t.notOk('extension' in (node.byDid('842412345678') ?? {}))

    t.match((await change(t, '842412345678', { tenant: 'other', extension: '200' })).json(), {
      tenant: 'other',
      version: 4,
    })
    await node.reload()
    t.match(node.byDid('842412345678'), { tenant: { id: 'other' }, extension: '200' })
    t.equal((await ask(t, 'DELETE', url, { headers: { 'if-match': '"3"' } })).status, 412)
    t.equal((await ask(t, 'DELETE', url)).status, 204)
    t.equal((await ask(t, 'DELETE', url)).status, 404)
    t.equal((await ask(t, 'GET', url)).status, 404)
    t.equal((await change(t, '842412345678', {})).status, 404)
    await node.reload()
    t.equal(node.byDid('842412345678'), undefined)
    const lines = (await ask(t, 'GET', '/v1/audit?target=number%20842412345678')).json() as {
      items: object[]
    }
    t.match(lines.items, [
      { action: 'deleteNumber', tenant: 'other', before: { tenant: 'other', version: 4 }, after: null },
      { action: 'changeNumber', tenant: 'other', before: null, after: { tenant: 'other', version: 4 } },
      { action: 'changeNumber', tenant: 'demo', before: { tenant: 'demo', version: 3 }, after: null },
      { action: 'changeNumber', before: { version: 2 }, after: { version: 3 } },
      { action: 'changeNumber', before: { version: 1 }, after: { version: 2 } },
      { action: 'createNumbers', tenant: 'demo', before: null, after: shown },
    ])
  },
)

t.test('a thousand go in at once, read by their tenant’s country, or none', async (t) => {
  const numbers = Array.from({ length: 1000 }, (_, i) => `0207946${String(i).padStart(4, '0')}`)
  const made = await post(t, { tenant: 'london', numbers })
  t.equal(made.status, 201)
  const { items } = made.json() as unknown as Page
  t.equal(items.length, 1000)
  t.match(items[999], { number: '442079460999', tenant: 'london', extension: null, version: 1 })
  await node.reload()
  t.equal(node.byDid('442079460500')?.tenant.id, 'london')

  const again = await post(t, { tenant: 'demo', numbers: ['02411111111', '+442079460001', '+442079460002'] })
  t.equal(again.status, 409)
  t.match(again.json(), {
    type: 'urn:linger:problem:taken',
    detail:
      'There are such numbers already: 442079460001 is the tenant "london"\'s, 442079460002 is the tenant "london"\'s.',
  })
  t.equal((await ask(t, 'GET', '/v1/numbers/842411111111')).status, 404, 'none of them')
  t.match((await post(t, { tenant: 'london', numbers })).json(), {
    detail: /0009 is the tenant "london"'s and 990 more\.$/,
  })
})

t.test('what is no number, or leads nowhere, is refused', async (t) => {
  const cases: [body: object, field: string, detail: RegExp][] = [
    [{ tenant: 'demo', number: '024 1234' }, 'number', /1 to 60 digits/],
    [{ tenant: 'demo', number: '' }, 'number', /1 to 60 digits/],
    [{ tenant: 'demo', numbers: ['0241', "0'2"] }, 'numbers[1]', /1 to 60 digits/],
    [{ tenant: 'demo', numbers: [] }, 'numbers', /a list of 1 to 1000/],
    [{ tenant: 'demo', numbers: ['02433333333', '+842433333333'] }, 'numbers[1]', /the same as numbers\[0\]/],
    [{ tenant: 'demo' }, 'number', /exactly one of number, numbers/],
    [{ tenant: 'demo', number: '1', numbers: ['2'] }, 'number', /exactly one/],
    [
      { tenant: 'demo', number: '02433333333', extension: '9' },
      'extension',
      /^is "9"; the tenant "demo" has no such/,
    ],
    [{ tenant: 'demo', number: '02433333333', extension: '200' }, 'extension', /has no such extension$/],
    [{ number: '02433333333' }, 'tenant', /^is missing$/],
  ]
  for (const [body, field, detail] of cases) {
    const answer = await post(t, body)
    t.equal(answer.status, 400, JSON.stringify(body))
    t.match(answer.json(), { errors: [{ field, detail }] })
  }
  t.equal((await post(t, { tenant: 'nobody', number: '02433333333' })).status, 404)
  t.equal((await post(t, { tenant: 'demo', number: '02433333333', extension: '1000' })).status, 201)
  t.match((await change(t, '842433333333', { tenant: 'other' })).json(), {
    status: 400,
    errors: [{ field: 'extension', detail: /^is missing; the extension is the tenant "demo"'s/ }],
  })
  await pool.query("INSERT INTO extensions (tenant_id, number) VALUES ('other', '1000')")
  const namesake = await change(t, '842433333333', { tenant: 'other' })
  t.equal(namesake.status, 400, 'nor does it ring whoever has the same number there')
  t.match(namesake.json(), { errors: [{ field: 'extension', detail: /^is missing/ }] })
  t.match((await change(t, '842433333333', { tenant: 'other', extension: '1001' })).json(), {
    status: 400,
    errors: [{ field: 'extension', detail: /^is "1001"; the tenant "other" has no such extension$/ }],
  })
  t.equal((await change(t, '842433333333', { tenant: 'demo' })).status, 200, 'it is that tenant’s already')
  t.match((await change(t, '842433333333', { number: '1' })).json(), {
    errors: [{ field: 'number', detail: /unknown/ }],
  })
  t.match((await change(t, '842433333333', { tenant: 'nobody', extension: null })).json(), {
    status: 404,
    detail: 'There is no tenant "nobody".',
  })
  t.match((await ask(t, 'GET', '/v1/numbers/842433333333')).json(), { version: 1 })
})

t.test('a number that another tenant’s plan has is taken', async (t) => {
  await addPlanEntry(
    pool,
    'other',
    {
      direction: 'inbound',
      kind: 'range',
      number: '02477700000',
      to: '02477700099',
      step: { route: 'dial' },
    },
    [],
  )
  const answer = await post(t, { tenant: 'demo', numbers: ['02477700100', '02477700050'] })
  t.equal(answer.status, 409)
  t.match(answer.json(), {
    type: 'urn:linger:problem:taken',
    detail: "842477700050 is another tenant's by its number plan.",
  })
  t.equal((await post(t, { tenant: 'other', number: '02477700050' })).status, 201)
  const moved = await change(t, '842477700050', { tenant: 'demo' })
  t.equal(moved.status, 409)
  t.match(moved.json(), { detail: /another tenant's by its number plan/ })
})

t.test('of many who give the same number away at once, one does', async (t) => {
  const tenants = ['demo', 'other', 'london']
  const answers = await Promise.all(
    Array.from({ length: 12 }, (_, i) =>
      post(t, {
        tenant: tenants[i % 3],
        numbers: ['+842499999999', `+84248${1_000_000 + i}`].sort(() => (i % 2) - 0.5),
      }),
    ),
  )
  t.strictSame(answers.map(({ status }) => status).sort(), [201, ...Array<number>(11).fill(409)])
  t.equal((await list(t, '?beginning=%2B84248')).items.length, 1, 'of the others nothing')
})

t.test('numbers are listed in their order, page by page, by tenant, extension and beginning', async (t) => {
  const all: string[] = []
  let query = '?limit=600'
  for (;;) {
    const { items, next } = await list(t, query)
    all.push(...items.map(({ number }) => number))
    if (next === null) break
    query = `?limit=600&cursor=${next}`
  }
  const { rows } = await pool.query<{ number: string }>('SELECT number FROM numbers')
  t.strictSame(all, rows.map(({ number }) => number).sort())
  t.equal((await list(t, '?tenant=london&limit=1000')).items.length, 1000)
  t.equal((await list(t, '?tenant=london&beginning=020794609')).items.length, 100, 'as London dials it')
  t.equal((await list(t, '?beginning=%2B44207946000')).items.length, 10)
  t.equal((await list(t, '?beginning=024333')).items.length, 1)
  t.strictSame(
    (await list(t, '?tenant=demo&extension=1000')).items.map(({ number }) => number),
    ['842433333333'],
  )
  t.strictSame((await list(t, '?tenant=%00')).items, [])
  t.equal((await ask(t, 'GET', '/v1/numbers?cursor=x')).status, 400)
})

t.test('a tenant sees its own numbers, and gives itself none', async (t) => {
  const key = await makeKey('admin', 'london')
  t.equal((await list(t, '?limit=1000', key)).items.length, 1000)
  t.equal((await ask(t, 'GET', '/v1/numbers?tenant=demo', { key })).status, 404)
  const own = await ask(t, 'GET', '/v1/numbers/02079460001', { key })
  t.match(own.json(), { number: '442079460001' }, 'as it is dialled in its own country')
  const others = await ask(t, 'GET', '/v1/numbers/842433333333', { key })
  t.match(others.json(), { status: 404, detail: 'There is no number "842433333333".' })
  t.equal((await ask(t, 'POST', '/v1/numbers', { key, body: { tenant: 'london', number: '1' } })).status, 403)
  const headers = { 'if-match': '*' }
  t.equal((await ask(t, 'PATCH', '/v1/numbers/442079460001', { key, headers, body: {} })).status, 403)
  t.equal((await ask(t, 'DELETE', '/v1/numbers/442079460001', { key })).status, 403)
})

t.test('a body that is no JSON, or too large, is refused', async (t) => {
  const headers = { 'content-type': 'text/csv', 'if-match': '*' }
  const url = '/v1/numbers/842433333333'
  t.equal((await ask(t, 'POST', '/v1/numbers', { body: 'x', headers })).status, 415)
  t.equal((await ask(t, 'PATCH', url, { body: 'x', headers })).status, 415)
  const large = { number: 'x'.repeat(140_000) }
  t.equal((await post(t, large)).status, 413)
  t.equal((await change(t, '842433333333', large)).status, 413)
  t.equal((await ask(t, 'PATCH', url, { body: {} })).status, 428)
  for (const method of ['GET', 'DELETE']) t.equal((await ask(t, method, `${url}?colour=red`)).status, 400)
  t.equal((await ask(t, 'GET', '/v1/numbers/a%00')).status, 404)
})

t.test('its answers of its own were seen', async (t) => {
  const own = /^(list|create|get|change|delete)Numbers? (?!401|403|429|503)/
  t.strictSame(
    api.contract.unseen().filter((answer) => own.test(answer)),
    [],
  )
})
