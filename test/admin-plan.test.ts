import t from 'tap'
import { startAdminApi } from './support/admin-api.js'

const { contract, ask, makeKey, database, dependencies } = await startAdminApi(t)
const { catalog } = dependencies
await database.pool.query(`
  INSERT INTO tenants (id, name, country, currency) VALUES ('other', 'Other', 'VN', 'VND');
  INSERT INTO extensions (tenant_id, number) VALUES ('other', '2000');
  INSERT INTO numbers (number, tenant_id, extension) VALUES ('842873009000', 'demo', '1000'),
    ('842873009001', 'demo', NULL), ('842873009002', 'other', NULL)`)

const play = (sound: string) => ({ route: 'play', arguments: { sounds: [sound] } })
const ifMatch = (version: number | string) => ({
  'if-match': typeof version === 'number' ? `"${version}"` : version,
})
const make = (entry: object, key?: string) =>
  ask(t, 'POST', '/v1/plan', {
    body: { tenant: 'demo', step: { route: 'dial' }, ...entry },
    ...(key !== undefined && { key }),
  })
const exact = (number: string, rest: object = {}) => ({ kind: 'exact', number, ...rest })
async function idOf(entry: object): Promise<number> {
  const made = await make(entry)
  t.equal(made.status, 201, JSON.stringify(made.json()))
  return Number(made.json().id)
}

t.afterEach(() => database.pool.query('DELETE FROM number_plan'))

t.test('an entry is made, shown, changed and deleted, each with its line in the audit', async (t) => {
  const made = await make({ ...exact('02873009001'), direction: 'inbound' })
  t.equal(made.status, 201)
  t.equal(made.headers.etag, '"1"')
  const { id } = made.json() as { id: number }
  const first = {
    ...{
      tenant: 'demo',
      id,
      version: 1,
      direction: 'inbound',
      kind: 'exact',
      number: '02873009001',
      to: null,
    },
    ...{ step: { route: 'dial' }, normal_form: '842873009001', normal_form_to: null },
  }
  t.strictSame(made.json(), first)
  const url = `/v1/plan/demo/${id}`
  const changed = await ask(t, 'PATCH', url, {
    body: { direction: null, kind: 'range', to: '02873009009' },
    headers: ifMatch(1),
  })
  const second = {
    ...{ ...first, version: 2, direction: null, kind: 'range', to: '02873009009' },
    normal_form_to: '842873009009',
  }
  t.strictSame([changed.status, changed.json(), changed.headers.etag], [200, second, '"2"'])
  t.strictSame((await ask(t, 'GET', url)).json(), second)
  t.equal((await ask(t, 'PATCH', url, { body: {}, headers: ifMatch(1) })).status, 412)
  t.equal((await ask(t, 'PATCH', url, { body: {} })).status, 428)
  t.equal((await ask(t, 'DELETE', url, { headers: ifMatch(1) })).status, 412)
  t.equal((await ask(t, 'DELETE', url, { headers: ifMatch(2) })).status, 204)
  for (const method of ['GET', 'DELETE']) t.equal((await ask(t, method, url)).status, 404)
  t.equal((await ask(t, 'PATCH', url, { body: {}, headers: ifMatch(2) })).status, 404)
  const { items } = (await ask(t, 'GET', `/v1/audit?target=plan%20demo/${id}`)).json() as { items: object[] }
  t.match(items, [
    { action: 'deletePlanEntry', tenant: 'demo', before: second, after: null },
    { action: 'changePlanEntry', before: first, after: second },
    { action: 'createPlanEntry', before: null, after: first },
  ])
})

t.test('entries are listed with filters, page by page', async (t) => {
  await make({ kind: 'prefix', number: '09' })
  await make({ ...exact('100'), direction: 'internal' })
  await make({ kind: 'range', number: '101', to: '109' })
  await make({ tenant: 'other', ...exact('100') })
  const numbers = async (query: string) => {
    const { items } = (await ask(t, 'GET', `/v1/plan?${query}`)).json() as {
      items: { tenant: string; number: string }[]
    }
    return items.map(({ tenant, number }) => `${tenant}/${number}`)
  }
  t.strictSame(await numbers('tenant=demo'), ['demo/100', 'demo/101', 'demo/09'])
  t.strictSame(await numbers('kind=exact'), ['demo/100', 'other/100'])
  t.strictSame(await numbers('direction=internal'), ['demo/100'])
  t.strictSame(await numbers('tenant=demo&beginning=849'), ['demo/09'])
  const first = (await ask(t, 'GET', '/v1/plan?limit=3')).json()
  t.match((await ask(t, 'GET', `/v1/plan?limit=3&cursor=${String(first.next)}`)).json(), {
    items: [{ tenant: 'other', number: '100' }],
    next: null,
  })
  t.strictSame(await numbers('tenant=%00'), [])
  t.equal((await ask(t, 'GET', '/v1/plan?cursor=x')).status, 400)
  t.match((await ask(t, 'GET', '/v1/plan?kind=x')).json(), { errors: [{ field: 'kind' }] })
})

t.test('where a number would lead is where calls are led', async (t) => {
  const where = async (number: string, direction: string, tenant = 'demo', key?: string) => {
    const query = new URLSearchParams({ number, direction }).toString()
    return ask(t, 'GET', `/v1/plan/${tenant}/lookup?${query}`, key === undefined ? {} : { key })
  }
  const prefix = await idOf({ kind: 'prefix', number: '1900', step: play('any.wav') })
  const out = await idOf({ kind: 'prefix', number: '1900', direction: 'outbound', step: play('out.wav') })
  await catalog.reload()
  t.strictSame((await where('19001234', 'outbound')).json(), {
    ...{ normal_form: '8419001234', entry: out, step: play('out.wav'), owner: null, extension: null },
  })
  t.match((await where('19001234', 'internal')).json(), { entry: prefix, step: play('any.wav') })
  t.match((await where('02873009000', 'inbound')).json(), {
    ...{
      normal_form: '842873009000',
      entry: null,
      step: { route: 'dial' },
      owner: 'demo',
      extension: '1000',
    },
  })
  t.match((await where('1000', 'internal')).json(), { entry: null, extension: '1000', owner: null })
  t.match((await where('+842873009002', 'inbound')).json(), { owner: 'other', extension: null })
  const key = await makeKey('read', 'demo')
  t.match((await where('+842873009002', 'inbound', 'demo', key)).json(), { owner: null })
  t.equal((await where('1', 'inbound', 'other', key)).status, 404)
  t.equal((await where('1', 'inbound', 'nobody')).status, 404)
  t.match((await where('1', 'sideways')).json(), { errors: [{ field: 'direction' }] })
})

t.test('what is wrong is said, and nothing is saved', async (t) => {
  const fields: [entry: object, field: string][] = [
    [exact('a b'), 'number'],
    [{ kind: 'all', number: '1' }, 'kind'],
    [{ ...exact('1'), direction: 'up' }, 'direction'],
    [{ ...exact('1'), step: { route: '../x' } }, 'step.route'],
    [{ ...exact('1'), colour: 1 }, 'colour'],
    [{ number: '1' }, 'kind'],
  ]
  for (const [entry, field] of fields)
    t.match((await make(entry)).json(), { status: 400, errors: [{ field }] }, JSON.stringify(entry))
  const details: [entry: object, status: number, detail: RegExp][] = [
    [exact(''), 400, /only a prefix may be empty/],
    [{ ...exact('1'), to: '2' }, 400, /only a range goes/],
    [{ kind: 'range', number: '1' }, 400, /a range needs its last number/],
    [{ kind: 'prefix', number: '028', direction: 'inbound' }, 400, /a prefix of 7 digits at least/],
    [{ ...exact('1'), step: { route: 'nowhere' } }, 400, /step: unknown route/i],
    [{ ...exact('1'), step: { route: 'menu', arguments: { menu: 'gone' } } }, 400, /which does not exist/],
    [{ ...exact('1'), step: { route: 'dial', arguments: { 'x\0': 1 } } }, 400, /not right|NUL/],
    [{ ...exact('02873009002'), direction: 'inbound' }, 409, /a number of these is another tenant's/],
    [{ tenant: 'nobody', ...exact('1') }, 404, /There is no tenant "nobody"/],
    [{ tenant: '\0', ...exact('1') }, 404, /There is no tenant/],
  ]
  for (const [entry, status, detail] of details)
    t.match((await make(entry)).json(), { status, detail }, JSON.stringify(entry))
  t.equal((await database.pool.query('SELECT FROM number_plan')).rowCount, 0)

  const one = await idOf(exact('1'))
  const two = await idOf(exact('2'))
  t.match((await make(exact('1'))).json(), {
    type: 'urn:linger:problem:taken',
    detail: 'There is an entry for the same numbers and direction already.',
  })
  const url = `/v1/plan/demo/${two}`
  const change = (body: unknown, headers: Record<string, string> = ifMatch(1)) =>
    ask(t, 'PATCH', url, { body, headers })
  t.equal((await change({ number: '1' })).status, 409)
  t.match((await change({ number: null })).json(), { errors: [{ field: 'number' }] })
  t.equal((await change({ step: { route: 'dial', arguments: { number: 'x'.repeat(70_000) } } })).status, 413)
  t.equal((await change('x', { ...ifMatch(1), 'content-type': 'text/x' })).status, 415)
  t.equal((await change({}, ifMatch('x'))).status, 400)
  t.equal((await ask(t, 'DELETE', url, { headers: ifMatch('x') })).status, 400)
  t.equal((await make({ number: 'x'.repeat(70_000) })).status, 413)
  t.equal(
    (await ask(t, 'POST', '/v1/plan', { body: 'x', headers: { 'content-type': 'text/x' } })).status,
    415,
  )
  t.equal((await ask(t, 'GET', '/v1/plan/demo/x')).status, 400)
  t.equal((await ask(t, 'GET', `/v1/plan/other/${one}`)).status, 404)
  t.equal((await ask(t, 'GET', '/v1/plan/demo/999999999999999')).status, 404)
})

t.test('of many who change an entry at once nobody’s change is lost', async (t) => {
  const id = await idOf(exact('1'))
  const change = async (body: object, version: number | string) =>
    (await ask(t, 'PATCH', `/v1/plan/demo/${id}`, { body, headers: ifMatch(version) })).status
  const sounds = ['a.wav', 'b.wav', 'c.wav'].map((sound) => change({ step: play(sound) }, 1))
  t.strictSame((await Promise.all(sounds)).sort(), [200, 412, 412])
  const whatever = [{ number: '7' }, { direction: 'internal' }, { step: play('d.wav') }]
  t.strictSame(await Promise.all(whatever.map((body) => change(body, '*'))), [200, 200, 200])
  t.match((await ask(t, 'GET', `/v1/plan/demo/${id}`)).json(), {
    ...{ version: 5, number: '7', direction: 'internal', step: play('d.wav') },
  })
})

t.test('a tenant’s own admin takes no number that nobody has given to the tenant', async (t) => {
  const key = await makeKey('admin', 'demo')
  const inbound = (number: string, rest: object = {}) => ({
    ...{ ...exact(number), direction: 'inbound', step: play('a.wav') },
    ...rest,
  })
  const refused = await make(inbound('02873001234'), key)
  t.match(refused.json(), { status: 403, detail: /^An inbound entry makes its numbers the tenant’s own/ })
  t.equal((await make(inbound('02873009002'), key)).status, 403, 'whosever it is')
  t.equal((await make(inbound('02873009001'), key)).status, 201)
  t.equal((await make(inbound('02873009000', { kind: 'range', to: '02873009001' }), key)).status, 201)
  t.equal((await make(inbound('02873009000', { kind: 'range', to: '02873009002' }), key)).status, 403)
  t.equal((await make(inbound('02873009', { kind: 'prefix' }), key)).status, 403)
  for (const free of ['1900', '*98', 'reception'])
    t.equal((await make(inbound(free), key)).status, 201, `${free} may be everybody's`)
  for (const direction of ['outbound', 'internal', undefined])
    t.equal((await make(inbound('02873001234', { direction }), key)).status, 201, direction ?? 'any')

  const given = await idOf(inbound('02873005000', { kind: 'range', to: '02873005999' }))
  const url = `/v1/plan/demo/${given}`
  const change = async (body: object) =>
    (await ask(t, 'PATCH', url, { body, headers: ifMatch('*'), key })).status
  t.equal(await change({ step: play('b.wav') }), 200)
  t.equal((await make(inbound('02873005001'), key)).status, 201, 'one of those that it was given')
  t.equal(await change({ to: '02873006999' }), 403)
  t.equal(await change({ number: '02873004000' }), 403)
  t.equal(await change({ to: '02873005099' }), 200, 'fewer')
  t.equal(await change({ to: '02873005999' }), 403)

  const beyond = { route: 'transfer', arguments: { destination: '9000' } }
  t.match((await make({ ...exact('1901'), step: beyond }, key)).json(), {
    status: 403,
    detail: /^It would lead calls beyond the tenant, to the extension 9000 of the dialplan: /,
  })
  t.equal(await change({ step: beyond }), 403)
  t.equal((await ask(t, 'PATCH', url, { body: { step: beyond }, headers: ifMatch('*') })).status, 200)
  t.equal(await change({ step: { route: 'play', arguments: { sounds: ['a.wav'], then: beyond } } }), 200)
  const others = await make({ tenant: 'other', ...exact('1') })
  for (const [method, rest] of [
    ['GET', {}],
    ['PATCH', { body: {}, headers: ifMatch(1) }],
    ['DELETE', {}],
  ] as const) {
    const answer = await ask(t, method, `/v1/plan/other/${String(others.json().id)}`, { ...rest, key })
    t.equal(answer.status, 404)
    t.match((await ask(t, method, `/v1/plan/demo/${String(others.json().id)}`, { ...rest, key })).status, 404)
  }
  t.equal((await make({ tenant: 'other', ...exact('2') }, key)).status, 404)
  t.equal((await ask(t, 'GET', '/v1/plan?tenant=other', { key })).status, 404)
})

t.test('every answer that the description names was seen', (t) => {
  t.strictSame(
    contract.unseen().filter((answer) => /Plan(Entry)? (?!401|403|429|503)/.test(answer)),
    [],
  )
  t.end()
})
