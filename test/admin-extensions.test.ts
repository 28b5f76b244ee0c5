import t, { type Test } from 'tap'
import { Catalog } from '../src/store/catalog.js'
import { startAdminApi, type Answer } from './support/admin-api.js'

const api = await startAdminApi(t)
const { ask, makeKey, database, dependencies } = api
const { pool } = database
/** Another node: it learns of a change by what the database tells. */
const node = await Catalog.load(pool, { log: dependencies.log })
t.teardown(() => node.close())
await pool.query(`INSERT INTO tenants (id, name, country, currency) VALUES ('other', 'Other', 'VN', 'VND');
  INSERT INTO extensions (tenant_id, number, auth_username) VALUES ('other', '200', 'anna');
  INSERT INTO accounts (code, tenant_id) VALUES ('others', 'other')`)

function post(t: Test, body: object, key?: string): Promise<Answer> {
  return ask(t, 'POST', '/v1/extensions', { body, ...(key !== undefined && { key }) })
}

function change(t: Test, place: string, body: object, ifMatch = '*', key?: string): Promise<Answer> {
  const headers = { 'if-match': ifMatch }
  return ask(t, 'PATCH', `/v1/extensions/${place}`, { body, headers, ...(key !== undefined && { key }) })
}

t.test('an extension is created, changed and deleted, and another node knows at once', async (t) => {
  const made = await post(t, {
    tenant: 'demo',
    number: '1002',
    auth_username: 'bob',
    display_name: 'Reception',
    toll_allow: ['local', 'domestic'],
    account_codes: ['b', 'a'],
  })
  t.equal(made.status, 201)
  t.equal(made.headers.etag, '"1"')
  t.strictSame(made.json(), {
    tenant: 'demo',
    number: '1002',
    auth_username: 'bob',
    display_name: 'Reception',
    toll_allow: ['local', 'domestic'],
    account_codes: ['a', 'b'],
    version: 1,
  })
  const url = '/v1/extensions/demo/1002'
  t.strictSame((await ask(t, 'GET', url)).json(), made.json())
  await node.reload()
  t.match(node.byAuthUser('bob'), { tenant: { id: 'demo' }, extension: '1002' })
  t.match(node.byAccount('a'), { extension: '1002' })

  const changed = await change(t, 'demo/1002', { auth_username: null, account_codes: ['b', 'c'] }, '"1"')
  t.equal(changed.headers.etag, '"2"')
  t.match(changed.json(), {
    auth_username: null,
    display_name: 'Reception',
    account_codes: ['b', 'c'],
    version: 2,
  })
  await node.reload()
  t.equal(node.byAuthUser('bob'), undefined)
  t.match(node.byAuthUser('1002'), { extension: '1002' })
  t.equal(node.byAccount('a'), undefined)
  t.match((await change(t, 'demo/1002', { toll_allow: null, display_name: null })).json(), {
    toll_allow: null,
    display_name: null,
    version: 3,
  })
  t.match((await change(t, 'demo/1002', {})).json(), { version: 3 }, 'nothing is no change')

  t.equal((await ask(t, 'DELETE', url, { headers: { 'if-match': '"2"' } })).status, 412)
  t.equal((await ask(t, 'DELETE', url, { headers: { 'if-match': '"3"' } })).status, 204)
  t.equal((await ask(t, 'GET', url)).status, 404)
  t.equal((await ask(t, 'DELETE', url)).status, 404)
  t.equal((await change(t, 'demo/1002', {})).status, 404)
  await node.reload()
  t.equal(node.extension('demo', '1002'), undefined)
  t.equal(node.byAccount('c'), undefined)
  const { items } = (await ask(t, 'GET', '/v1/audit?target=extension%20demo/1002')).json() as {
    items: object[]
  }
  t.match(items, [
    { action: 'deleteExtension', tenant: 'demo', before: { version: 3 }, after: null },
    { action: 'changeExtension', before: { version: 2 }, after: { version: 3 } },
    { action: 'changeExtension', before: { version: 1 }, after: { version: 2 } },
    { action: 'createExtension', before: null, after: made.json() },
  ])
})

t.test('what no extension can be is refused, field by field', async (t) => {
  const cases: [field: string, value: unknown, detail: RegExp][] = [
    ['auth_username', 'a b', /^is "a b"; allowed is 1 to 128 characters without blanks .*, or null$/],
    ['auth_username', 'a\nb', /without blanks/],
    ['display_name', '', /^is ""; allowed is a text of 1 to 200 characters/],
    ['toll_allow', ['everywhere'], /one of "local", "domestic"/],
    [
      'toll_allow',
      ['local', 'local'],
      /^is \["local","local"\]; allowed is a list of 5 entries at most, each once, or null$/,
    ],
    ['account_codes', ['a\0'], /control characters/],
    ['account_codes', null, /^is null; allowed is a list/],
    ['version', 3, /^is unknown/],
  ]
  for (const [field, value, detail] of cases)
    for (const answer of [
      await post(t, { tenant: 'demo', number: '1003', [field]: value }),
      await change(t, 'demo/1000', { [field]: value }),
    ]) {
      t.equal(answer.status, 400, field)
      const { errors } = answer.json() as { errors: { field: string; detail: string }[] }
      t.match(errors[0]?.field.replace(/\[.*$/, ''), field)
      t.match(errors[0]?.detail, detail)
    }
  // What a dial string would refuse is refused here.
  for (const number of ['', '*1', '10 00', "1';", 'x'.repeat(33)])
    t.match((await post(t, { tenant: 'demo', number })).json(), {
      errors: [{ field: 'number', detail: /a letter or digit first/ }],
    })
  t.match((await change(t, 'demo/1000', { number: '1009' })).json(), {
    errors: [{ field: 'number', detail: /^is unknown; allowed are auth_username/ }],
  })
  t.match((await post(t, { tenant: 'nobody', number: '1' })).json(), {
    status: 404,
    detail: 'There is no tenant "nobody".',
  })
  t.equal((await ask(t, 'GET', '/v1/extensions/demo/1003')).status, 404)
  t.match((await ask(t, 'GET', '/v1/extensions/demo/1000')).json(), { version: 1 })
})

t.test('what another one has is taken; of other tenants it is not told whose it is', async (t) => {
  t.equal((await post(t, { tenant: 'demo', number: '1004', auth_username: 'carl' })).status, 201)
  const cases: [object, string, RegExp][] = [
    [{ number: '1004' }, 'number', /of this number already/],
    [{ number: '1005', auth_username: 'carl' }, 'auth_username', /another extension of the tenant/],
    [{ number: 'carl' }, 'auth_username', /or it as its number/],
    [{ number: '1005', account_codes: ['demo'] }, 'account_codes', /"demo" is the tenant's own$/],
    [{ number: '1005', account_codes: ['1000'] }, 'account_codes', /"1000" is that of the extension "1000"$/],
    [{ number: '1005', account_codes: ['others'] }, 'account_codes', /^the account code "others" is taken$/],
  ]
  for (const [body, field, detail] of cases) {
    const answer = await post(t, { tenant: 'demo', ...body })
    t.equal(answer.status, 409, JSON.stringify(body))
    t.match(answer.json(), { type: 'urn:linger:problem:taken', errors: [{ field, detail }] })
  }
  const changed = await change(t, 'demo/1004', { auth_username: '1000' })
  t.equal(changed.status, 409)
  t.match(changed.json(), { errors: [{ field: 'auth_username' }] })
  t.equal((await ask(t, 'GET', '/v1/extensions/demo/1005')).status, 404, 'all or nothing')
})

t.test('an extension that something leads to cannot be deleted', async (t) => {
  await pool.query(`INSERT INTO extensions (tenant_id, number) VALUES ('demo', '1010');
    INSERT INTO numbers (number, tenant_id, extension)
      SELECT '8424111110' || n, 'demo', '1010' FROM generate_series(10, 21) AS n;
    INSERT INTO flows (tenant_id, kind, id, definition) VALUES ('demo', 'menu', 'main', '{}');
    INSERT INTO flow_references (tenant_id, from_kind, from_id, to_extension) VALUES ('demo', 'menu', 'main', '1010')`)
  const url = '/v1/extensions/demo/1010'
  const byMenu = await ask(t, 'DELETE', url)
  t.equal(byMenu.status, 409)
  t.match(byMenu.json(), { type: 'urn:linger:problem:in_use', detail: /the menu "main" leads to it/ })
  await pool.query('DELETE FROM flow_references')
  const byNumbers = await ask(t, 'DELETE', url)
  t.equal(byNumbers.status, 409)
  t.match(byNumbers.json(), {
    detail:
      /cannot be deleted: the numbers 842411111010, 842411111011, .*842411111019 and 2 more lead to it\.$/,
  })
  await t.rejects(pool.query(`DELETE FROM extensions WHERE number = '1010'`), { code: '23503' })
  await pool.query(`DELETE FROM numbers WHERE number <> '842411111010'`)
  t.match((await ask(t, 'DELETE', url)).json(), { detail: /the number 842411111010 leads to it\.$/ })
  await pool.query('UPDATE numbers SET extension = NULL')
  t.equal((await ask(t, 'DELETE', url)).status, 204)
  const { rowCount } = await pool.query('SELECT FROM numbers')
  t.equal(rowCount, 1, 'the number stays')
})

t.test('a tenant manages its own phones, but takes nobody else’s calls by it', async (t) => {
  const key = await makeKey('admin', 'demo')
  const made = await post(t, { number: '1020', toll_allow: ['local'] }, key)
  t.match(made.json(), { tenant: 'demo', number: '1020', toll_allow: ['local'] })
  t.match((await change(t, 'demo/1020', { display_name: 'Lobby' }, '"1"', key)).json(), { version: 2 })
  t.equal((await ask(t, 'DELETE', '/v1/extensions/demo/1020', { key })).status, 204)

  for (const body of [{ auth_username: 'carrier1' }, { account_codes: ['x'] }, { auth_username: null }]) {
    t.match((await post(t, { number: '1021', ...body }, key)).json(), {
      status: 403,
      detail: /the body has a/,
    })
    t.match((await change(t, 'demo/1000', body, '*', key)).json(), { status: 403 })
  }
  for (const number of ['0901234567', 'carrier1', '1000000'])
    t.match((await post(t, { number }, key)).json(), {
      status: 400,
      errors: [{ field: 'number', detail: /allowed to a key of its tenant is a number of 1 to 6 digits/ }],
    })
  // Neither has a domain: with two of this name, calls of the other one would be nobody's.
  t.match((await post(t, { number: '200' }, key)).json(), {
    status: 409,
    errors: [{ field: 'number', detail: /another tenant has an extension "200"/ }],
  })
  await pool.query(`UPDATE tenants SET domain = id || '.example.com' WHERE id IN ('demo', 'other')`)
  t.equal((await post(t, { number: '200' }, key)).status, 201)

  t.equal((await post(t, { tenant: 'other', number: '201' }, key)).status, 404)
  t.equal((await ask(t, 'GET', '/v1/extensions/other/200', { key })).status, 404)
  t.equal((await change(t, 'other/200', { display_name: 'x' }, '*', key)).status, 404)
  t.equal((await ask(t, 'DELETE', '/v1/extensions/other/200', { key })).status, 404)
  t.match((await ask(t, 'GET', '/v1/extensions/other/200')).json(), { display_name: null, version: 1 })
  const operator = await makeKey('operate', 'demo')
  t.equal((await post(t, { number: '1022' }, operator)).status, 403)
})

t.test('extensions are listed by tenant and number, page by page', async (t) => {
  interface Page {
    items: { tenant: string; number: string }[]
    next: string | null
  }
  const list = async (query: string, key?: string) => {
    const answer = await ask(t, 'GET', `/v1/extensions${query}`, key === undefined ? {} : { key })
    t.equal(answer.status, 200)
    return answer.json() as unknown as Page
  }
  const names: string[] = []
  let query = '?limit=2'
  for (;;) {
    const { items, next } = await list(query)
    names.push(...items.map(({ tenant, number }) => `${tenant}/${number}`))
    if (next === null) break
    query = `?limit=2&cursor=${next}`
  }
  t.strictSame(names, ['demo/1000', 'demo/1001', 'demo/1004', 'demo/200', 'other/200'])
  t.match((await list('?tenant=other')).items, [{ tenant: 'other' }])
  t.equal((await list('?tenant=demo&beginning=100')).items.length, 3)
  t.strictSame((await list('?beginning=9')).items, [])
  t.strictSame((await list('?beginning=%00')).items, [])
  const key = await makeKey('read', 'other')
  t.match((await list('', key)).items, [{ tenant: 'other', number: '200' }])
  t.equal((await ask(t, 'GET', '/v1/extensions?tenant=demo', { key })).status, 404)
  t.equal((await ask(t, 'GET', '/v1/extensions?cursor=x')).status, 400)
  for (const method of ['GET', 'DELETE'])
    t.equal((await ask(t, method, '/v1/extensions/demo/1000?colour=red')).status, 400)
  t.equal((await ask(t, 'GET', '/v1/extensions/demo/a%00')).status, 404)
  t.equal((await ask(t, 'GET', '/v1/extensions/a%00/1')).status, 404)
})

t.test('a body that is no JSON, or too large, is refused', async (t) => {
  const headers = { 'content-type': 'text/csv', 'if-match': '*' }
  const url = '/v1/extensions/demo/1000'
  t.equal((await ask(t, 'POST', '/v1/extensions', { body: 'x', headers })).status, 415)
  t.equal((await ask(t, 'PATCH', url, { body: 'x', headers })).status, 415)
  const large = { display_name: 'x'.repeat(70_000) }
  t.equal((await post(t, large)).status, 413)
  t.equal((await change(t, 'demo/1000', large)).status, 413)
  t.equal((await ask(t, 'PATCH', url, { body: {} })).status, 428)
  t.equal((await change(t, 'demo/1000', { display_name: 'x' }, '"9"')).status, 412)
})

t.test('its answers of its own were seen', async (t) => {
  const own = /^(list|create|get|change|delete)Extensions? (?!401|403|429|503)/
  t.strictSame(
    api.contract.unseen().filter((answer) => own.test(answer)),
    [],
  )
})
