import { once } from 'node:events'
import t, { type Test } from 'tap'
import { parseMoney } from '../src/billing/money.js'
import { Catalog } from '../src/store/catalog.js'
import { startAdminApi, type Answer } from './support/admin-api.js'

const api = await startAdminApi(t)
const { ask, makeKey } = api
/** Another node: it learns of a change by what the database tells. */
const node = await Catalog.load(api.database.pool, { log: api.dependencies.log })
t.teardown(() => node.close())
await api.database.pool.query(`
  INSERT INTO tenants (id, name, country, currency) VALUES ('other', 'Other', 'VN', 'VND');
  INSERT INTO gateways (tenant_id, name, prefix, prefix_entered, priority, carrier_cost_per_minute, max_calls)
    VALUES ('demo', 'carrier2', '8490', '090', 5, 320.5, 60), ('other', 'carrier2', '', '', 100, NULL, 20)`)

interface Page {
  items: Record<string, unknown>[]
  next: string | null
}

async function list(t: Parameters<typeof api.ask>[0], query = ''): Promise<Page> {
  const answer = await api.ask(t, 'GET', `/v1/gateways${query}`)
  t.equal(answer.status, 200)
  return answer.json() as unknown as Page
}

t.test('gateways are listed as they are configured, with how they do', async (t) => {
  const { items, next } = await list(t)
  t.equal(next, null)
  t.strictSame(
    items.map(({ tenant, name }) => `${String(tenant)} ${String(name)}`),
    ['demo carrier1', 'demo carrier2', 'other carrier2'],
  )
  t.strictSame(items[1], {
    id: 2,
    name: 'carrier2',
    tenant: 'demo',
    prefix: '8490',
    prefix_entered: '090',
    priority: 5,
    carrier_cost_per_minute: '320.50',
    max_calls: 60,
    max_calls_per_second: null,
    number_format: 'international',
    strip_digits: 0,
    prepend: '',
    caller_id: 'caller',
    caller_id_number: null,
    caller_id_name: null,
    caller_id_header: null,
    codecs: [],
    progress_seconds: null,
    // Of two rows with one name the smallest counts.
    effective_max_calls: 20,
    effective_max_calls_per_second: null,
    version: 1,
    state: 'up',
    failures: 0,
    rests_until: null,
    last_cause: null,
    down_on: [],
    calls: 0,
    calls_everywhere: 0,
  })
  t.match(items[0], { max_calls: null, calls_everywhere: null })
})

t.test('page by page, and by tenant', async (t) => {
  const first = await list(t, '?limit=2')
  t.equal(first.items.length, 2)
  const second = await list(t, `?limit=2&cursor=${first.next ?? ''}`)
  t.strictSame(
    [...first.items, ...second.items].map(({ tenant }) => tenant),
    ['demo', 'demo', 'other'],
  )
  t.equal(second.next, null)
  t.strictSame((await list(t, '?tenant=other')).items.length, 1)
  t.strictSame((await list(t, '?tenant=nobody')).items, [])
  t.strictSame((await list(t, '?tenant=a%00b')).items, [])
  for (const cursor of ['x', '0', '-1', '1e3', '9999999999'])
    t.equal((await api.ask(t, 'GET', `/v1/gateways?cursor=${cursor}`)).status, 400, cursor)
})

t.test('Redis away: nobody knows how many calls there are everywhere', async (t) => {
  await api.redisLine.cut()
  t.match((await list(t)).items, [{}, { calls: 0, calls_everywhere: null }, {}])
  const back = once(api.dependencies.redis, 'ready')
  await api.redisLine.mend()
  await back
})

const everything = {
  name: 'carrier-3',
  prefix: '091',
  priority: -5,
  carrier_cost_per_minute: '0.5',
  max_calls: 3,
  max_calls_per_second: 10000,
  number_format: 'national',
  strip_digits: 2,
  prepend: '+9*#',
  caller_id: 'fixed',
  caller_id_number: '+842412345678',
  caller_id_name: 'Công ty 1',
  caller_id_header: 'pid',
  codecs: ['PCMA', 'opus@48000h@20i'],
  progress_seconds: 600,
}

function post(t: Test, body: object): Promise<Answer> {
  return ask(t, 'POST', '/v1/gateways', { body })
}

function change(t: Test, id: unknown, body: object, ifMatch = '*'): Promise<Answer> {
  return ask(t, 'PATCH', `/v1/gateways/${String(id)}`, { body, headers: { 'if-match': ifMatch } })
}

t.test('a gateway is created, changed and deleted, and another node knows at once', async (t) => {
  const made = await post(t, { tenant: 'demo', ...everything })
  t.equal(made.status, 201)
  t.equal(made.headers.etag, '"1"')
  const { id } = made.json()
  const configured = {
    ...{ ...everything, tenant: 'demo', prefix: '8491', prefix_entered: '091' },
    ...{ carrier_cost_per_minute: '0.50', effective_max_calls: 3, effective_max_calls_per_second: 10000 },
  }
  t.match(made.json(), { ...configured, version: 1, state: 'up', calls: 0, calls_everywhere: 0 })
  const url = `/v1/gateways/${String(id)}`
  t.strictSame((await ask(t, 'GET', url)).json(), made.json())
  await node.reload()
  t.match(node.gateways('demo', '84912345678'), [
    {
      name: 'carrier-3',
      carrierCostPerMinute: parseMoney('0.5'),
      number: { stripDigits: 2, prepend: '+9*#' },
    },
  ])

  const changed = await change(
    t,
    id,
    { prefix: '', max_calls: null, caller_id: 'caller', caller_id_number: null },
    '"1"',
  )
  t.match(changed.json(), {
    prefix: '',
    prefix_entered: '',
    max_calls: null,
    effective_max_calls: null,
    version: 2,
  })
  t.equal(changed.headers.etag, '"2"')
  t.equal((await change(t, id, { priority: 1 }, '"1"')).status, 412)
  t.match((await change(t, id, { priority: -5 }, '"2"')).json(), { version: 2 }, 'as it was')
  await node.reload()
  t.match(
    node.gateways('demo', '442079460000').map(({ name }) => name),
    ['carrier-3', 'carrier1'],
  )

  t.equal((await ask(t, 'DELETE', url, { headers: { 'if-match': '"1"' } })).status, 412)
  t.equal((await ask(t, 'DELETE', url)).status, 204)
  t.equal((await ask(t, 'DELETE', url)).status, 404)
  t.equal((await ask(t, 'GET', url)).status, 404)
  t.equal((await change(t, id, {})).status, 404)
  await node.reload()
  t.equal(node.gateways('demo', '442079460000').length, 1)
  const { items } = (await ask(t, 'GET', `/v1/audit?target=gateway%20${String(id)}`)).json() as {
    items: object[]
  }
  t.match(items, [
    { action: 'deleteGateway', tenant: 'demo', before: { version: 2 }, after: null },
    { action: 'changeGateway', before: configured, after: { version: 2, prefix: '' } },
    { action: 'createGateway', before: null, after: configured },
  ])
  t.notMatch(items[2], { after: { state: String } }, 'how it did is no change')
})

t.test('what no gateway can be is refused, field by field', async (t) => {
  const cases: [field: string, value: unknown, detail: RegExp][] = [
    ['name', 'a/b', /^is "a\/b"; allowed is 1 to 64 letters, digits, \., _ and -$/],
    ['name', '', /1 to 64 letters/],
    ['prefix', '09x', /^is "09x"; allowed is empty, for every number, or 1 to 28 digits/],
    ['priority', 1e9, /a whole number of -1000000 to 1000000/],
    ['carrier_cost_per_minute', '-1', /0 or more, .*, or null$/],
    ['max_calls', -1, /a whole number of 0/],
    ['max_calls_per_second', 10001, /of 0 to 10000, or null$/],
    ['number_format', 'local', /one of "international", "national"/],
    ['strip_digits', 21, /of 0 to 20/],
    ['prepend', 'x', /up to 16 digits/],
    ['caller_id', 'me', /one of "caller", "fixed", "tenant", "anonymous"/],
    ['caller_id', 'fixed', /needs it$/],
    ['caller_id_number', '1', /2 to 32 digits/],
    ['caller_id_name', "x'", /1 to 64 letters/],
    ['caller_id_header', 'both', /one of "rpid", "pid", "none", or null/],
    ['codecs', ['PCMA,PCMU'], /the name of a codec/],
    ['codecs', Array<string>(17).fill('PCMA'), /a list of 16 entries at most/],
    ['progress_seconds', 0, /of 1 to 600, or null/],
    ['id', 3, /^is unknown/],
  ]
  for (const [field, value, detail] of cases)
    for (const answer of [
      await post(t, { tenant: 'demo', name: 'carrier4', [field]: value }),
      await change(t, 1, { [field]: value }),
    ]) {
      t.equal(answer.status, 400, `${field}: ${JSON.stringify(value)}`)
      const { errors } = answer.json() as { errors: { field: string; detail: string }[] }
      t.match(errors[0]?.field.replace(/\[.*$/, ''), value === 'fixed' ? 'caller_id_number' : field)
      t.match(errors[0]?.detail, detail)
    }
  t.match((await change(t, 1, { tenant: 'other' })).json(), {
    errors: [{ field: 'tenant', detail: /unknown/ }],
  })
  t.match((await post(t, { tenant: 'nobody', name: 'x' })).json(), {
    status: 404,
    detail: 'There is no tenant "nobody".',
  })
  for (const id of ['0', 'x', '1.5', '99999999999'])
    t.equal((await ask(t, 'GET', `/v1/gateways/${id}`)).status, 400, id)
  t.match((await ask(t, 'GET', '/v1/gateways/1')).json(), { version: 1, caller_id: 'caller' })
})

t.test('a tenant has a gateway once for a prefix', async (t) => {
  t.equal((await post(t, { tenant: 'other', name: 'carrier2', prefix: '+8490' })).status, 201)
  const again = await post(t, { tenant: 'other', name: 'carrier2', prefix: '090' })
  t.equal(again.status, 409)
  t.match(again.json(), {
    type: 'urn:linger:problem:taken',
    errors: [{ field: 'name', detail: /for this prefix already/ }],
  })
  const changed = await change(t, 3, { prefix: '090' })
  t.equal(changed.status, 409)
})

t.test('a tenant sees its own, but not what the carriers take, and changes none', async (t) => {
  const key = await makeKey('admin', 'demo')
  const { items } = (await ask(t, 'GET', '/v1/gateways', { key })).json() as unknown as Page
  t.match(items, [{ tenant: 'demo' }, { tenant: 'demo', max_calls: 60, carrier_cost_per_minute: null }])
  t.equal(items.length, 2)
  t.match((await ask(t, 'GET', '/v1/gateways/2', { key })).json(), { id: 2, carrier_cost_per_minute: null })
  t.match((await ask(t, 'GET', '/v1/gateways/3', { key })).json(), {
    status: 404,
    detail: 'There is no gateway 3.',
  })
  t.match(items[0], { name: 'carrier1', calls: 0, failures: 0 }, 'nobody else has one of this name')
  const ofOthers = {
    ...{ effective_max_calls: null, effective_max_calls_per_second: null, calls: null },
    ...{ calls_everywhere: null, failures: null, last_cause: null },
  }
  t.match(items[1], { name: 'carrier2', state: 'up', down_on: [], ...ofOthers }, 'over it go calls of others')
  t.match((await ask(t, 'GET', '/v1/gateways/2', { key })).json(), ofOthers)
  t.match((await ask(t, 'GET', '/v1/gateways/2')).json(), { effective_max_calls: 20, calls: 0, failures: 0 })
  t.equal((await ask(t, 'GET', '/v1/gateways?tenant=other', { key })).status, 404)
  t.match((await change(t, 2, { priority: 6 })).json(), { carrier_cost_per_minute: '320.50' })
  const audit = (await ask(t, 'GET', '/v1/audit?target=gateway%202', { key })).json()
  t.match(audit, {
    items: [
      {
        before: { priority: 5, carrier_cost_per_minute: null, effective_max_calls: null },
        after: { priority: 6, max_calls: 60, effective_max_calls: null },
      },
    ],
  })
  t.notMatch(JSON.stringify(audit), /320/)
  const headers = { 'if-match': '*' }
  t.equal((await ask(t, 'PATCH', '/v1/gateways/2', { key, headers, body: { max_calls: null } })).status, 403)
  t.equal((await ask(t, 'DELETE', '/v1/gateways/2', { key })).status, 403)
  t.equal((await ask(t, 'POST', '/v1/gateways', { key, body: { tenant: 'demo', name: 'x' } })).status, 403)
})

t.test('a body that is no JSON, or too large, is refused', async (t) => {
  const headers = { 'content-type': 'text/csv', 'if-match': '*' }
  t.equal((await ask(t, 'POST', '/v1/gateways', { body: 'x', headers })).status, 415)
  t.equal((await ask(t, 'PATCH', '/v1/gateways/1', { body: 'x', headers })).status, 415)
  const large = { name: 'x'.repeat(70_000) }
  t.equal((await post(t, large)).status, 413)
  t.equal((await change(t, 1, large)).status, 413)
  t.equal((await ask(t, 'PATCH', '/v1/gateways/1', { body: {} })).status, 428)
  t.equal((await ask(t, 'DELETE', '/v1/gateways/1?colour=red')).status, 400)
})

t.test('its answers of its own were seen', async (t) => {
  const own = /^(list|create|get|change|delete)Gateways? (?!401|403|429|503)/
  t.strictSame(
    api.contract.unseen().filter((answer) => own.test(answer)),
    [],
  )
})
