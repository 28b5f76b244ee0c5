import { once } from 'node:events'
import { connect, type AddressInfo } from 'node:net'
import type { FastifyRequest } from 'fastify'
import t from 'tap'
import { Authentication } from '../src/admin/auth.js'
import { buildAdmin } from '../src/admin/server.js'
import { commitRecords } from '../src/store/commit.js'
import { openPool } from '../src/store/database.js'
import { startAdminApi } from './support/admin-api.js'
import { paidCall, unansweredCall } from './support/call-records.js'
import type { OpenApi } from './support/openapi.js'

const api = await startAdminApi(t)
const { app, dependencies, contract, ask, makeKey, adminKey, database, others, databaseLine, redisLine } = api
const { redis } = dependencies

/** A request for each of some operations. */
const someRequests: { method: string; url: string; body?: object; headers?: Record<string, string> }[] = [
  { method: 'GET', url: '/v1/blacklist' },
  { method: 'POST', url: '/v1/blacklist', body: { number: '1000' } },
  { method: 'GET', url: '/v1/vip' },
  { method: 'GET', url: '/v1/cdrs' },
  { method: 'GET', url: '/v1/gateways' },
  { method: 'GET', url: '/v1/keys' },
  { method: 'GET', url: '/v1/switches' },
  { method: 'GET', url: '/v1/tenants/demo/balance' },
  {
    method: 'POST',
    url: '/v1/tenants/demo/topups',
    body: { amount: '1' },
    headers: { 'idempotency-key': 'some' },
  },
]

t.beforeEach(() => others.flushdb())

t.test('anybody may ask whether the server is alive and ready, and for the description', async (t) => {
  const health = await ask(t, 'GET', '/health', { key: null })
  t.equal(health.status, 200)
  t.strictSame(health.json(), { status: 'ok', unscreened_calls: 0 })
  const ready = await ask(t, 'GET', '/ready', { key: null })
  t.equal(ready.status, 200)
  t.strictSame(ready.json(), {
    status: 'ready',
    checks: ['postgresql', 'redis', 'catalog', 'event_socket'].map((name) => ({ name, ok: true })),
  })
})

t.test('the description is OpenAPI 3.1 and tells each operation apart', async (t) => {
  const document = (await app.inject('/openapi.json')).json<OpenApi>()
  t.equal(document.openapi, '3.1.0')
  const ids = contract.operations.map(({ operation }) => operation.operationId)
  t.equal(new Set(ids).size, ids.length)
  for (const { operation } of contract.operations) {
    t.ok(operation.summary, `${operation.operationId} has a summary`)
    for (const [status, { description }] of Object.entries(operation.responses))
      t.ok(
        description && description !== 'Default Response',
        `${operation.operationId} ${status} is described`,
      )
  }
})

t.test('a key that was found is trusted for 5 seconds, and no longer', async (t) => {
  let now = 0
  const authentication = new Authentication({
    pool: database.pool,
    guesses: { hold: (_, lookUp) => lookUp() },
    now: () => now,
  })
  const key = await makeKey('admin', null)
  const request = { headers: { authorization: `bearer  ${key}` } } as FastifyRequest
  await authentication.check(request)
  t.match(request.apiKey, { role: 'admin', tenant: null })
  await database.pool.query('UPDATE api_keys SET revoked_at = now() WHERE id = $1', [request.apiKey?.id])
  now = 4999
  await authentication.check(request)
  now = 5000
  await t.rejects(authentication.check(request), { code: 'unauthorized' })
})

t.test('requests that come together with one key share its look-up', async (t) => {
  const pool = openPool(database.url, { max: 4 })
  t.teardown(() => pool.end())
  let now = 0
  const authentication = new Authentication({
    pool,
    guesses: { hold: (_, lookUp) => lookUp() },
    now: () => now,
  })
  const headers = { authorization: `Bearer ${await makeKey('read', null)}` }
  await authentication.check({ headers } as FastifyRequest)
  let lookUps = 0
  pool.on('acquire', () => lookUps++)
  now = 5000
  const requests = Array.from({ length: 20 }, () => ({ headers }) as FastifyRequest)
  await Promise.all(requests.map((request) => authentication.check(request)))
  t.ok(requests.every(({ apiKey }) => apiKey?.role === 'read'))
  t.equal(lookUps, 1)
})

t.test('a key that is revoked while it is looked up is not trusted afterwards', async (t) => {
  let goOn = (): void => undefined
  const revoked = new Promise<void>((resolve) => (goOn = resolve))
  let lookedUp = (): void => undefined
  const found = new Promise<void>((resolve) => (lookedUp = resolve))
  const authentication = new Authentication({
    pool: database.pool,
    guesses: {
      hold: async (_, lookUp) => {
        const apiKey = await lookUp()
        lookedUp()
        await revoked
        return apiKey
      },
    },
    now: () => 0,
  })
  const headers = { authorization: `Bearer ${await makeKey('read', null)}` }
  const before = { headers } as FastifyRequest
  const checked = authentication.check(before)
  await found
  await database.pool.query(`UPDATE api_keys SET revoked_at = now() WHERE role = 'read'`)
  authentication.forget()
  const after = t.rejects(authentication.check({ headers } as FastifyRequest), { code: 'unauthorized' })
  goOn()
  await checked
  t.equal(before.apiKey?.role, 'read', 'it was asked before')
  await after
  await t.rejects(authentication.check({ headers } as FastifyRequest), { code: 'unauthorized' })
})

t.test('CDRs come the latest first, page by page, with their charges', async (t) => {
  const start = Date.parse('2025-11-21T08:00:00Z') * 1000
  const calls = [paidCall(60_000, { startedAt: start }), unansweredCall({ startedAt: start + 1_000_000 })]
  await commitRecords(database.pool, calls)
  const [paid, unanswered] = calls
  const first = (await ask(t, 'GET', '/v1/cdrs?limit=1')).json()
  t.match(first, { items: [{ call_uuid: unanswered?.callUuid, cost: '0.00', charges: [] }], next: String })
  const second = (await ask(t, 'GET', `/v1/cdrs?limit=1&cursor=${String(first.next)}`)).json()
  t.match(second, {
    items: [
      {
        call_uuid: paid?.callUuid,
        tenant: 'demo',
        direction: 'outbound',
        called: '84901234567',
        started_at: '2025-11-21T08:00:00.000Z',
        billed_ms: 60_000,
        cost: '500.00',
        currency: 'VND',
        source: 'session',
        charges: [{ prefix_entered: '090', price_per_minute: '500.00', cost: '500.00' }],
      },
    ],
    next: null,
  })
  const one = (await ask(t, 'GET', `/v1/cdrs?call_uuid=${paid?.callUuid ?? ''}`)).json()
  t.strictSame(one, second)
  t.strictSame((await ask(t, 'GET', '/v1/cdrs?call_uuid=nobody')).json(), { items: [], next: null })
  t.match((await ask(t, 'GET', '/v1/tenants/demo/balance')).json(), {
    balance: '999500.00',
    reserved: '0.00',
    available: '999500.00',
    billing: 'prepaid',
    credit_limit: '0.00',
    currency: 'VND',
  })
})

t.test('a wrong parameter says which, and what is allowed', async (t) => {
  const cases: [url: string, field: string, detail: string | RegExp][] = [
    ['/v1/cdrs?limit=0', 'limit', 'is "0"; allowed is a whole number of 1 to 1000'],
    ['/v1/cdrs?limit=1001', 'limit', 'is "1001"; allowed is a whole number of 1 to 1000'],
    ['/v1/cdrs?limit=ten', 'limit', 'is "ten"; allowed is a whole number of 1 to 1000'],
    ['/v1/cdrs?limit=1.5', 'limit', /whole number/],
    ['/v1/cdrs?limit=', 'limit', /whole number/],
    ['/v1/cdrs?limit=1&limit=2', 'limit', 'is ["1","2"]; allowed is a whole number of 1 to 1000'],
    ['/v1/cdrs?cursor=x', 'cursor', 'is not the "next" of a page of this list'],
    ['/v1/blacklist?cursor=x', 'cursor', 'is not the "next" of a page of this list'],
    [`/v1/cdrs?call_uuid=${'x'.repeat(257)}`, 'call_uuid', /allowed is a text of 1 to 256 characters$/],
    [`/v1/tenants/${'x'.repeat(65)}/balance`, 'tenant', /allowed is a text of 1 to 64 characters$/],
    [
      '/v1/blacklist/09012x',
      'number',
      /^is "09012x"; allowed is a number of 1 to 32 digits .* or anonymous$/,
    ],
    ['/v1/vip/8490*', 'number', /^is "8490\*"; allowed is a number of 1 to 32 digits/],
  ]
  for (const [url, field, detail] of cases) {
    const answer = await ask(t, 'GET', url)
    t.equal(answer.status, 400)
    t.equal(answer.headers['content-type'], 'application/problem+json; charset=utf-8')
    t.match(answer.json(), {
      type: 'urn:linger:problem:invalid',
      title: 'The request is not valid',
      status: 400,
      detail: `Not valid: ${field}.`,
      errors: [{ field, detail }],
    })
  }
  for (const url of ['/v1/tenants/nobody/balance', "/v1/tenants/';--/balance", '/v1/tenants/%00/balance'])
    t.equal((await ask(t, 'GET', url)).status, 404)
})

t.test(
  'a request may call itself JSON without having a body, and a PATCH by the name of what it is',
  async (t) => {
    const json = { 'content-type': 'application/json; charset=utf-8' }
    const patch = { 'content-type': 'application/merge-patch+json', 'if-match': '*' }
    t.equal((await ask(t, 'DELETE', '/v1/blacklist/4711', { headers: json })).status, 404, 'read to its end')
    t.equal((await ask(t, 'POST', '/v1/journal/aside/retry', { headers: json })).status, 202)
    for (const headers of [json, {}])
      t.match((await ask(t, 'POST', '/v1/blacklist', { headers })).json(), {
        status: 400,
        errors: [{ field: 'body', detail: /^is missing; allowed is an object/ }],
      })
    const url = '/v1/extensions/demo/1000'
    const changed = await ask(t, 'PATCH', url, { headers: patch, body: { display_name: 'Lan' } })
    t.match(changed.json(), { display_name: 'Lan', version: 2 })
    t.equal((await ask(t, 'PATCH', url, { headers: patch })).status, 400)
    t.equal((await ask(t, 'POST', '/v1/blacklist', { headers: patch, body: { number: '1' } })).status, 415)
    for (const [method, path, headers] of [
      ['POST', '/v1/blacklist', json],
      ['PATCH', url, patch],
    ] as const)
      for (const body of ['{"__proto__": {"x": 1}}', '{"constructor": {"prototype": {"x": 1}}}', '{'])
        t.match((await ask(t, method, path, { headers, body })).json(), {
          status: 400,
          detail: 'The body is not well-formed JSON.',
        })
    const { paths } = (await app.inject('/openapi.json')).json<{
      paths: Record<string, Record<string, { requestBody?: { content: object } }>>
    }>()
    t.strictSame(Object.keys(paths['/v1/extensions/{tenant}/{number}']?.patch?.requestBody?.content ?? {}), [
      'application/json',
      'application/merge-patch+json',
    ])
  },
)

t.test('what is no resource, and what is no HTTP, gets the same form of error', async (t) => {
  const key = { authorization: `Bearer ${adminKey}` }
  const cases: [method: 'GET' | 'PUT', url: string, status: number][] = [
    ['GET', '/', 404],
    ['GET', '/v1/nothing', 404],
    ['PUT', '/v1/blacklist', 404],
    ['GET', '/v1/blacklist/%zz', 400],
    ['GET', `/v1/blacklist/${'1'.repeat(600)}`, 414],
  ]
  for (const [method, url, status] of cases) {
    const answer = await app.inject({ method, url, headers: key })
    t.equal(answer.statusCode, status)
    t.match(answer.headers['content-type'], /^application\/problem\+json/)
    t.match(answer.json(), { type: /^urn:linger:problem:/, status, title: String, detail: String })
  }

  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  for (const [bytes, status] of [
    ['HELO example.org\r\n\r\n', 400],
    [`GET / HTTP/1.1\r\nX-Long: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
  ] as const) {
    const socket = connect(port, '127.0.0.1')
    const received: Buffer[] = []
    socket.on('data', (chunk) => received.push(chunk))
    socket.write(bytes)
    await once(socket, 'close')
    const [head = '', body = ''] = Buffer.concat(received).toString().split('\r\n\r\n')
    t.match(head, new RegExp(`^HTTP/1.1 ${status} [^]*application/problem\\+json`))
    t.match(JSON.parse(body), { status })
  }
})

t.test('a failure of the server is told without its inside, and logged with it', async (t) => {
  const failing = await buildAdmin({
    ...dependencies,
    readiness: () => Promise.reject(new TypeError('SELECT secret FROM inside')),
  })
  t.teardown(() => failing.close())
  const answer = await failing.inject('/ready')
  t.equal(answer.statusCode, 500)
  t.strictSame(answer.json(), {
    type: 'urn:linger:problem:internal',
    title: 'The server failed',
    status: 500,
    detail: 'The server failed; its log says why.',
  })
  t.match(api.log.at(-1), {
    level: 50,
    err: { type: 'TypeError', message: 'SELECT secret FROM inside', stack: String },
  })
})

t.test('it is shown why events wait, and how many were lost', async (t) => {
  const state = { isUp: true, trouble: undefined as string | undefined, pending: 0, lost: 0 }
  const telling = await buildAdmin({ ...dependencies, rabbit: () => state })
  t.teardown(() => telling.close())
  const shown = async () =>
    (await telling.inject('/ready')).json<{ checks: { name: string }[] }>().checks.at(-1)
  t.strictSame(await shown(), { name: 'rabbitmq', ok: true })
  Object.assign(state, { isUp: false, trouble: 'connection refused', lost: 7 })
  const detail = 'connection refused; 7 events were lost since the start, for want of space'
  t.strictSame(await shown(), { name: 'rabbitmq', ok: false, detail })
})

t.test('with Redis away the lists say so, and the rest goes on', async (t) => {
  const closed = new Promise((resolve) => redis.once('close', resolve))
  await redisLine.cut()
  await closed
  for (const { method, url, ...asked } of someRequests) {
    const isList = /blacklist|vip/.test(url)
    const answer = await ask(t, method, url, asked)
    t.ok(isList ? answer.status === 503 : answer.status < 300, `${method} ${url}: ${answer.status}`)
    if (!isList) continue
    t.match(answer.json(), {
      type: 'urn:linger:problem:redis_away',
      detail: 'Redis is away. Try again later.',
    })
    t.equal(answer.headers['retry-after'], '1')
  }
  const ready = await ask(t, 'GET', '/ready', { key: null })
  t.equal(ready.status, 503)
  t.match(ready.json(), {
    type: 'urn:linger:problem:not_ready',
    detail: /^redis: Redis at 127\.0\.0\.1:\d+: /,
    checks: [
      { name: 'postgresql', ok: true },
      { name: 'redis', ok: false, detail: /^Redis at 127\.0\.0\.1:\d+: / },
    ],
  })
  const back = new Promise((resolve) => redis.once('ready', resolve))
  await redisLine.mend()
  await back
  t.equal((await ask(t, 'GET', '/v1/blacklist')).status, 200)
})

t.test(
  'with PostgreSQL away a key that is known still opens the lists and the switches, and the rest says so',
  async (t) => {
    const newKey = await makeKey('admin', null)
    t.equal((await ask(t, 'GET', '/v1/cdrs')).status, 200)
    await databaseLine.cut()
    for (const { method, url, ...asked } of someRequests) {
      // A change of them is written to the audit first.
      const needsNone = method === 'GET' && /blacklist|vip|switches/.test(url)
      const answer = await ask(t, method, url, asked)
      t.equal(answer.status === 503, !needsNone, `${method} ${url}: ${answer.status}`)
      const unknown = await ask(t, method, url, { ...asked, key: newKey })
      t.equal(unknown.status, 503)
      t.match(unknown.json(), {
        type: 'urn:linger:problem:database_away',
        detail: 'PostgreSQL does not answer. Try again later.',
      })
    }
    const ready = await ask(t, 'GET', '/ready', { key: null })
    t.match(ready.json(), {
      status: 503,
      detail: /^postgresql: PostgreSQL at 127\.0\.0\.1:\d+, database \w+/,
      checks: [
        { name: 'postgresql', ok: false },
        { name: 'redis', ok: true },
      ],
    })
    t.notMatch(ready.json().detail, new URL(database.url).password || 'no password')
    await databaseLine.mend()
    t.equal((await ask(t, 'GET', '/v1/cdrs', { key: newKey })).status, 200)
  },
)

t.test('an unknown parameter is refused', async (t) => {
  const answer = await ask(t, 'GET', '/v1/switches?colour=red')
  t.match(answer.json(), { errors: [{ field: 'colour', detail: 'is unknown; allowed are none' }] })
})

t.test('every answer that the description names was seen', (t) => {
  t.strictSame(
    contract
      .unseen()
      .filter((answer) => /^(getHealth|getReadiness|listSwitches) (?!401|403|429)/.test(answer)),
    [],
  )
  t.end()
})
