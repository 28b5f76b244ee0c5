import { Validator } from '@seriousme/openapi-schema-validator'
import t from 'tap'
import { buildAdmin } from '../src/admin/server.js'
import { commitRecords } from '../src/store/commit.js'
import { startAdminApi } from './support/admin-api.js'
import { paidCall } from './support/call-records.js'
import { exampleRequests } from './support/every-operation.js'
import type { OpenApi } from './support/openapi.js'

const api = await startAdminApi(t)
const { app, ask, contract, dependencies, makeKey, database, databaseLine } = api

type Bound = 'own' | 'any' | 'no'

/** What each operation needs, and what a key may there that is bound to a tenant. */
const needed: Readonly<Record<string, readonly ['read' | 'operate' | 'admin', Bound]>> = {
  listAudit: ['admin', 'own'],
  listBlacklist: ['read', 'any'],
  addBlacklist: ['operate', 'no'],
  getBlacklist: ['read', 'any'],
  removeBlacklist: ['operate', 'no'],
  listVip: ['read', 'any'],
  addVip: ['operate', 'no'],
  getVip: ['read', 'any'],
  removeVip: ['operate', 'no'],
  listCalls: ['read', 'own'],
  getCall: ['read', 'own'],
  hangUpCall: ['operate', 'own'],
  transferCall: ['operate', 'own'],
  sendDtmf: ['operate', 'own'],
  playToCall: ['operate', 'own'],
  recordCall: ['operate', 'own'],
  listenToCall: ['operate', 'own'],
  exportCdrs: ['read', 'own'],
  getCdr: ['read', 'own'],
  importBlacklist: ['operate', 'no'],
  exportBlacklist: ['read', 'any'],
  importVip: ['operate', 'no'],
  exportVip: ['read', 'any'],
  listCdrs: ['read', 'own'],
  listExtensions: ['read', 'own'],
  createExtension: ['admin', 'own'],
  getExtension: ['read', 'own'],
  changeExtension: ['admin', 'own'],
  deleteExtension: ['admin', 'own'],
  getTenantCost: ['read', 'own'],
  getDeckCost: ['read', 'no'],
  listDecks: ['read', 'no'],
  createDeck: ['admin', 'no'],
  getDeck: ['read', 'no'],
  changeDeck: ['admin', 'no'],
  deleteDeck: ['admin', 'no'],
  listRates: ['read', 'no'],
  createRate: ['admin', 'no'],
  getRate: ['read', 'no'],
  changeRate: ['admin', 'no'],
  deleteRate: ['admin', 'no'],
  importRates: ['admin', 'no'],
  exportRates: ['read', 'no'],
  rerateCdr: ['admin', 'no'],
  totalCdrs: ['read', 'own'],
  listGateways: ['read', 'own'],
  createGateway: ['admin', 'no'],
  getGateway: ['read', 'own'],
  changeGateway: ['admin', 'no'],
  deleteGateway: ['admin', 'no'],
  getJournal: ['read', 'no'],
  listAside: ['read', 'no'],
  getAside: ['read', 'no'],
  retryAllAside: ['operate', 'no'],
  retryAside: ['operate', 'no'],
  discardAside: ['admin', 'no'],
  listDiscarded: ['read', 'no'],
  getDiscarded: ['read', 'no'],
  restoreDiscarded: ['admin', 'no'],
  listKeys: ['admin', 'no'],
  makeKey: ['admin', 'no'],
  getKey: ['admin', 'no'],
  revokeKey: ['admin', 'no'],
  listNumbers: ['read', 'own'],
  createNumbers: ['admin', 'no'],
  getNumber: ['read', 'own'],
  changeNumber: ['admin', 'no'],
  deleteNumber: ['admin', 'no'],
  getStats: ['read', 'own'],
  listSwitches: ['read', 'no'],
  listTenants: ['read', 'own'],
  createTenant: ['admin', 'no'],
  getTenant: ['read', 'own'],
  changeTenant: ['admin', 'no'],
  deleteTenant: ['admin', 'no'],
  getBalance: ['read', 'own'],
  listTransactions: ['read', 'own'],
  exportTransactions: ['read', 'own'],
  topUpTenant: ['admin', 'no'],
  refundTenant: ['admin', 'no'],
  adjustTenant: ['admin', 'no'],
  listMenus: ['read', 'own'],
  createMenu: ['admin', 'own'],
  getMenu: ['read', 'own'],
  changeMenu: ['admin', 'own'],
  deleteMenu: ['admin', 'own'],
  listHours: ['read', 'own'],
  createHours: ['admin', 'own'],
  getHours: ['read', 'own'],
  changeHours: ['admin', 'own'],
  deleteHours: ['admin', 'own'],
  listPlan: ['read', 'own'],
  createPlanEntry: ['admin', 'own'],
  lookUpPlan: ['read', 'own'],
  getPlanEntry: ['read', 'own'],
  changePlanEntry: ['admin', 'own'],
  deletePlanEntry: ['admin', 'own'],
}

const roles = ['read', 'operate', 'admin'] as const
const requests = exampleRequests(contract, 'demo')

t.before(async () => {
  await database.pool.query(
    `INSERT INTO tenants (id, name, country, currency) VALUES ('foreign', 'Foreign', 'VN', 'VND')`,
  )
})

/** What nobody changes who may not. */
async function everything(): Promise<unknown> {
  const { rows: tables } = await database.pool.query<{ name: string }>(
    `SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname = 'public' AND c.relname <> 'api_keys' ORDER BY 1`,
  )
  const contents = await Promise.all(
    tables.map(({ name }) =>
      database.pool.query<{ rows: string }>(
        `SELECT coalesce(md5(string_agg(t::text, '' ORDER BY t::text)), '') AS rows FROM "${name}" t`,
      ),
    ),
  )
  return {
    tables: tables.map(({ name }, i) => [name, contents[i]?.rows[0]?.rows]),
    redis: (await api.others.keys('phone:*')).sort(),
  }
}

t.test('the table of this test names every operation', (t) => {
  t.strictSame(requests.map(({ operationId }) => operationId).sort(), Object.keys(needed).sort())
  t.end()
})

t.test('nobody without a valid key is let in, and nothing changes', async (t) => {
  const before = await everything()
  const key = await makeKey('admin', null)
  for (const { method, url, body, headers, operationId } of requests) {
    for (const authorization of [undefined, 'Bearer wrong', key, `Basic ${key}`]) {
      const answer = await ask(t, method, url, {
        ...{ body, key: null },
        headers: { ...headers, ...(authorization !== undefined && { authorization }) },
      })
      t.equal(answer.status, 401, operationId)
      t.equal(answer.headers['www-authenticate'], 'Bearer realm="linger"')
    }
  }
  t.strictSame(await everything(), before)
})

t.test('a key may do what its role allows, and a bound one for its own tenant alone', async (t) => {
  const kinds = await Promise.all(
    roles.flatMap((role) =>
      [null, 'demo'].map(async (tenant) => ({ role, tenant, key: await makeKey(role, tenant) })),
    ),
  )
  const foreign = new Map(exampleRequests(contract, 'foreign').map((one) => [one.operationId, one]))
  const mayNot: (() => Promise<void>)[] = []
  const may: (() => Promise<void>)[] = []
  for (const request of requests) {
    const { operationId, method, url, body, headers } = request
    const [least, bound] = needed[operationId] ?? ['admin', 'no']
    for (const { role, tenant, key } of kinds) {
      const words = `${operationId} with ${role}${tenant === null ? '' : ` of ${tenant}`}`
      const isAllowed = roles.indexOf(role) >= roles.indexOf(least) && (tenant === null || bound !== 'no')
      ;(isAllowed ? may : mayNot).push(async () => {
        const answer = await ask(t, method, url, { body, headers, key })
        t.equal(![401, 403, 429].includes(answer.status), isAllowed, `${words}: ${answer.status}`)
        if (!isAllowed) t.equal(answer.status, 403, words)
      })
      const other = foreign.get(operationId)
      if (!isAllowed || tenant === null || bound !== 'own' || !other?.namesTenant) continue
      mayNot.push(async () => {
        const answer = await ask(t, other.method, other.url, {
          body: other.body,
          headers: other.headers,
          key,
        })
        t.equal(answer.status, 404, `${words} for another tenant`)
        t.match(answer.json(), { detail: 'There is no tenant "foreign".' })
      })
    }
  }
  const before = await everything()
  for (const tried of mayNot) await tried()
  t.strictSame(await everything(), before, 'what was refused changed nothing')
  for (const tried of may) await tried()
})

t.test("what is another tenant's is seen nowhere with a bound key", async (t) => {
  const { pool } = database
  const call = paidCall(60_000, { tenant: 'foreign', caller: '8490777foreign', callUuid: 'call-of-foreign' })
  await commitRecords(pool, [call])
  await pool.query(`
    INSERT INTO extensions (tenant_id, number) VALUES ('foreign', 'foreign-1');
    INSERT INTO accounts (code, tenant_id) VALUES ('foreign-code', 'foreign');
    INSERT INTO numbers (number, tenant_id) VALUES ('842477700000', 'foreign');
    INSERT INTO gateways (tenant_id, name) VALUES ('foreign', 'foreign-gw');
    INSERT INTO flows (tenant_id, kind, id, definition) VALUES
      ('foreign', 'hours', 'foreign-hours', '{"name": "foreign", "week": {}, "holidays": {}}');`)
  const { rows: gateways } = await pool.query<{ id: number }>(
    `SELECT id FROM gateways WHERE name = 'foreign-gw'`,
  )
  const bound = await makeKey('admin', 'demo')
  const all = await makeKey('admin', null)
  const own = requests.filter(
    ({ method, operationId }) => method === 'GET' && needed[operationId]?.[1] === 'own',
  )
  for (const { method, url, headers, operationId } of own) {
    // Left out, the tenant is the key's own.
    const [path = ''] = url.split('?')
    const urls = url.includes('?tenant=demo') ? [url, path] : [url]
    for (const each of urls) {
      const answer = await ask(t, method, each, { headers, key: bound })
      t.notMatch(answer.body, /foreign/, `${operationId} ${each}`)
    }
  }
  const items = [
    '/v1/cdrs/call-of-foreign',
    `/v1/gateways/${gateways[0]?.id ?? 0}`,
    '/v1/numbers/842477700000',
    '/v1/tenants/foreign',
    '/v1/extensions/foreign/foreign-1',
    '/v1/hours/foreign/foreign-hours',
  ]
  for (const url of items) {
    t.equal((await ask(t, 'GET', url, { key: all })).status, 200, url)
    const answer = await ask(t, 'GET', url, { key: bound })
    t.equal(answer.status, 404, url)
  }
})

t.test('an unknown parameter is refused everywhere', async (t) => {
  for (const { method, url, body, headers, operationId } of requests) {
    const answer = await ask(t, method, `${url}${url.includes('?') ? '&' : '?'}colour=red`, { body, headers })
    t.equal(answer.status, 400, operationId)
    t.match(answer.json(), { errors: [{ field: 'colour', detail: /^is unknown; allowed are / }] })
  }
})

t.test('every operation counts for the limit of its key', async (t) => {
  const strict = await buildAdmin({
    ...dependencies,
    rateLimits: { requestsPerMinute: 1, wrongKeysPerMinute: 1000 },
  })
  t.teardown(() => strict.close())
  const authorization = `Bearer ${await makeKey('admin', null)}`
  await strict.inject({ url: '/v1/cdrs', headers: { authorization } })
  for (const { method, url, body, headers, operationId } of requests) {
    const answer = await strict.inject({
      ...{ method: method as 'GET', url, headers: { ...headers, authorization } },
      ...(body !== undefined && { payload: body as object }),
    })
    t.equal(answer.statusCode, 429, operationId)
    t.strictSame(contract.faults(method, url, answer), [])
  }
})

t.test('the description is valid OpenAPI 3.1, and every operation says what it is', async (t) => {
  const document = (await app.inject('/openapi.json')).json<OpenApi & Record<string, unknown>>()
  t.equal(document.openapi, '3.1.0')
  const { valid, errors } = await new Validator().validate(structuredClone(document))
  t.ok(valid, JSON.stringify(errors))
  const ids = contract.operations.map(({ operation }) => operation.operationId)
  t.equal(new Set(ids).size, ids.length, 'each has a name of its own')
  for (const { operation, path } of contract.operations) {
    const { operationId, summary, responses } = operation
    t.ok(summary, `${operationId} has a summary`)
    t.ok(/"examples?":/.test(JSON.stringify(operation)), `${operationId} has an example`)
    for (const [status, { description }] of Object.entries(responses))
      t.ok(
        description && description !== 'Default Response',
        `${operationId} ${status} is described: ${String(description)}`,
      )
    if (path.startsWith('/v1/'))
      t.strictSame(
        ['400', '401', '429', '503'].filter((status) => !(status in responses)),
        [],
        `${operationId} tells its errors`,
      )
  }
})

t.test('with PostgreSQL away a key that nobody knows yet is told so everywhere', async (t) => {
  const key = await makeKey('admin', null)
  await databaseLine.cut()
  for (const { method, url, body, headers, operationId } of requests) {
    const answer = await ask(t, method, url, { body, headers, key })
    t.equal(answer.status, 503, operationId)
  }
  await databaseLine.mend()
})

t.test('every way of keeping somebody out was seen at every operation', (t) => {
  t.strictSame(
    contract
      .unseen()
      .filter((answer) => / (401|403|429|503)$/.test(answer) && !answer.startsWith('getReadiness')),
    [],
  )
  t.end()
})
