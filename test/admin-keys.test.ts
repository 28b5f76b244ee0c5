import { randomUUID } from 'node:crypto'
import t from 'tap'
import { buildAdmin } from '../src/admin/server.js'
import { openPool } from '../src/store/database.js'
import { startAdminApi } from './support/admin-api.js'

const api = await startAdminApi(t)
const { app, ask, database, dependencies, contract, makeKey } = api

const sees = (key: string) => ({ headers: { authorization: `Bearer ${key}` } })

t.test('a key is made, shown once, used, and revoked', async (t) => {
  const made = await ask(t, 'POST', '/v1/keys', { body: { role: 'read', description: 'Reports' } })
  t.equal(made.status, 201)
  const { key, ...rest } = made.json() as { key: string; id: string }
  t.match(key, /^linger_[A-Za-z0-9_-]{43}$/, '256 random bits')
  t.match(rest, { role: 'read', tenant: null, description: 'Reports', last_used_at: null, revoked_at: null })

  const url = `/v1/keys/${rest.id}`
  t.strictSame((await ask(t, 'GET', url)).json(), rest, 'it is listed without itself')
  const { rows } = await database.pool.query(
    'SELECT to_jsonb(k)::text AS row FROM api_keys k WHERE id = $1',
    [rest.id],
  )
  t.notMatch(rows[0], { row: new RegExp(key) }, 'and stored nowhere')

  t.equal((await ask(t, 'GET', '/v1/cdrs', { key })).status, 200)
  t.match((await ask(t, 'GET', url)).json(), { last_used_at: /^\d{4}-/ })
  t.match((await ask(t, 'POST', '/v1/blacklist', { key, body: { number: '1000' } })).json(), {
    type: 'urn:linger:problem:forbidden',
    detail: 'A key with the role operate is needed; this one has read.',
  })

  t.equal((await ask(t, 'DELETE', `/v1/keys/${rest.id.toUpperCase()}`)).status, 204, 'however it is spelt')
  t.equal((await ask(t, 'GET', '/v1/cdrs', { key })).status, 401, 'at once')
  t.match((await ask(t, 'GET', url)).json(), { revoked_at: /^\d{4}-/ })
  t.equal((await ask(t, 'DELETE', url)).status, 204, 'again does nothing')
  const lines = (await ask(t, 'GET', `/v1/audit?target=key%20${rest.id}`)).json() as { items: object[] }
  t.match(lines.items, [
    { action: 'revokeKey', before: { revoked_at: null }, after: { revoked_at: String } },
    { action: 'makeKey', before: null, after: rest, address: '127.0.0.1', failure: null },
  ])
  t.notMatch(JSON.stringify(lines), key)
  t.notMatch(JSON.stringify(api.log), key)
})

t.test('a key that has expired is good for nothing', async (t) => {
  const at = new Date(Date.now() + 60_000).toISOString()
  const made = await ask(t, 'POST', '/v1/keys', {
    body: { role: 'read', description: 'A minute', expires_at: at },
  })
  const { key, id, expires_at } = made.json() as Record<string, string>
  t.equal(expires_at, at)
  t.equal((await ask(t, 'GET', '/v1/cdrs', { key: key ?? '' })).status, 200)
  await database.pool.query('UPDATE api_keys SET expires_at = now() WHERE id = $1', [id])
  // Whatever the node trusted is asked for again.
  const other = await ask(t, 'POST', '/v1/keys', { body: { role: 'read', description: 'x' } })
  await ask(t, 'DELETE', `/v1/keys/${String(other.json().id)}`)
  t.equal((await ask(t, 'GET', '/v1/cdrs', { key: key ?? '' })).status, 401)
})

t.test('what no key can be is refused, field by field', async (t) => {
  const cases: [body: object, field: string, detail: RegExp][] = [
    [{ role: 'root', description: 'x' }, 'role', /^is "root"; allowed is one of "read", "operate", "admin"$/],
    [{ role: 'read' }, 'description', /^is missing$/],
    [{ role: 'read', description: 'x\0' }, 'description', /without the character NUL/],
    [{ role: 'read', description: 'x', expires_at: 'soon' }, 'expires_at', /^is "soon"; allowed is a moment/],
    [{ role: 'read', description: 'x', expires_at: '2020-01-01T00:00:00Z' }, 'expires_at', /^is past/],
    [{ role: 'read', description: 'x', colour: 'red' }, 'colour', /^is unknown; allowed are role, tenant/],
    [{ role: 'read', description: 'x', requests_per_minute: 0 }, 'requests_per_minute', /./],
  ]
  for (const [body, field, detail] of cases) {
    const answer = await ask(t, 'POST', '/v1/keys', { body })
    t.equal(answer.status, 400)
    t.match(answer.json(), { errors: [{ field, detail }] })
  }
  const bound = (tenant: string) => ({ role: 'read', description: 'x', tenant })
  t.equal((await ask(t, 'POST', '/v1/keys', { body: bound('nobody') })).status, 404)
  t.equal((await ask(t, 'POST', '/v1/keys', { body: bound('\0') })).status, 404)
  t.equal((await ask(t, 'GET', `/v1/keys/${randomUUID()}`)).status, 404)
  t.equal((await ask(t, 'DELETE', `/v1/keys/${randomUUID()}`)).status, 404)
  for (const method of ['GET', 'DELETE']) t.equal((await ask(t, method, '/v1/keys/x')).status, 400)
  t.equal((await ask(t, 'GET', '/v1/keys?cursor=x')).status, 400)
  t.equal((await ask(t, 'GET', '/v1/keys?tenant=%00')).status, 200)
  t.equal(
    (await ask(t, 'POST', '/v1/keys', { body: 'x', headers: { 'content-type': 'text/x' } })).status,
    415,
  )
  t.equal((await ask(t, 'POST', '/v1/keys', { body: { role: 'x'.repeat(70_000) } })).status, 413)
})

t.test('keys come in the order in which they were made, page by page', async (t) => {
  const made: string[] = []
  for (const description of ['one', 'two', 'three']) {
    const body = { role: 'operate', description, tenant: 'demo' }
    made.push(String((await ask(t, 'POST', '/v1/keys', { body })).json().id))
  }
  const seen: string[] = []
  for (let next: string | null = ''; next !== null;) {
    const url = `/v1/keys?tenant=demo&limit=1${next === '' ? '' : `&cursor=${next}`}`
    const found = (await ask(t, 'GET', url)).json() as { items: { id: string }[]; next: string | null }
    seen.push(...found.items.map(({ id }) => id))
    next = found.next
  }
  t.strictSame(seen, made)
})

t.test('the last key that could make others is not revoked', async (t) => {
  const { rows } = await database.pool.query<{ id: string }>(
    `SELECT id FROM api_keys WHERE role = 'admin' AND tenant_id IS NULL AND revoked_at IS NULL`,
  )
  const [only] = rows
  t.equal(rows.length, 1)
  const answer = await ask(t, 'DELETE', `/v1/keys/${only?.id ?? ''}`)
  t.equal(answer.status, 409)
  t.match(answer.json(), { type: 'urn:linger:problem:in_use', detail: /^It is the last admin key/ })
})

t.test('a bound key sees the audit of its own tenant, but not of keys, nor where others are', async (t) => {
  const key = await makeKey('admin', 'demo')
  const url = '/v1/extensions/demo/1000'
  const headers = { 'if-match': '*' }
  for (const [asker, display_name] of [
    [key, 'Lan'],
    [api.adminKey, 'Mai'],
  ] as const)
    t.equal((await ask(t, 'PATCH', url, { key: asker, headers, body: { display_name } })).status, 200)
  t.match((await ask(t, 'GET', '/v1/audit?tenant=demo&action=makeKey')).json(), {
    items: [{ target: /^key /, address: '127.0.0.1' }],
  })
  const asked = await ask(t, 'GET', '/v1/audit', { key })
  const found = asked.json() as { items: { tenant: string }[] }
  t.match(found.items.slice(0, 2), [
    { action: 'changeExtension', after: { display_name: 'Mai' }, address: null },
    { action: 'changeExtension', after: { display_name: 'Lan' }, address: '127.0.0.1' },
  ])
  t.ok(found.items.every(({ tenant }) => tenant === 'demo'))
  t.notMatch(asked.body, /makeKey|revokeKey/)
  t.strictSame((await ask(t, 'GET', '/v1/audit?action=makeKey', { key })).json(), {
    items: [],
    next: null,
  })
  t.equal((await ask(t, 'GET', '/v1/audit?tenant=other', { key })).status, 404)
  const from = '2100-01-01T00:00:00+07:00'
  t.strictSame((await ask(t, 'GET', `/v1/audit?from=${from}`, { key })).json(), { items: [], next: null })
  t.match((await ask(t, 'GET', '/v1/audit?from=today&to=x')).json(), {
    errors: [{ field: 'from' }, { field: 'to', detail: /^is "x"; allowed is a moment of RFC 3339, such as/ }],
  })
  for (const none of [
    '0000-01-01T00:00:00Z',
    '0001-01-01T00:00:00%2B14:00',
    '9999-12-31T23:59:59-01:00',
    '2025-02-30T00:00:00Z',
    '2023-02-29T12:00:00%2B07:00',
  ]) {
    const answer = await ask(t, 'GET', `/v1/audit?from=${none}`)
    t.equal(answer.status, 400, none)
    t.match(answer.json(), { errors: [{ field: 'from', detail: /; allowed is a moment of RFC 3339/ }] })
  }
  for (const some of [
    '0001-01-01T00:00:00Z',
    '9999-12-31T23:59:59Z',
    '2024-02-29t12:00:00z',
    '2024-02-29 23:30-02:00',
  ])
    t.equal((await ask(t, 'GET', `/v1/audit?from=${some}`)).status, 200, some)
  t.equal((await ask(t, 'GET', '/v1/audit?limit=1&target=%00')).status, 200)
})

t.test('a line of the audit cannot be changed or taken out', async (t) => {
  for (const sql of [
    'UPDATE audit_lines SET target = target',
    'DELETE FROM audit_lines',
    'TRUNCATE audit_lines',
  ])
    await t.rejects(database.pool.query(sql), /append-only/)
})

t.test('wrong keys are counted by address, and those who know are let in all the same', async (t) => {
  const strict = await buildAdmin({
    ...dependencies,
    rateLimits: { requestsPerMinute: 1_000_000, wrongKeysPerMinute: 3, wrongKeyPauseMs: 1 },
    trustedProxies: ['127.0.0.1'],
  })
  t.teardown(() => strict.close())
  const known = await makeKey('read', null)
  const unknown = await makeKey('read', null)
  const from = (ip: string, key: string) =>
    strict.inject({ url: '/v1/cdrs', headers: { ...sees(key).headers, 'x-forwarded-for': ip } })
  t.equal((await from('192.0.2.1', known)).statusCode, 200)
  for (let i = 0; i < 3; i++) t.equal((await from('192.0.2.1', `wrong${i}`)).statusCode, 401)
  const refused = await from('192.0.2.1', 'wrong4')
  t.equal(refused.statusCode, 429)
  t.match(refused.json(), {
    type: 'urn:linger:problem:rate_limited',
    detail: /^There were too many wrong keys from 192\.0\.2\.1; wait \d+ s\.$/,
  })
  t.match(refused.headers['retry-after'], /^\d+$/)
  t.equal((await from('192.0.2.1', unknown)).statusCode, 200, 'whose neighbour has a wrong key gets in')
  t.equal((await from('192.0.2.1', known)).statusCode, 200, 'and so does a key that proved itself')
  t.equal((await from('192.0.2.2', 'wrong')).statusCode, 401, 'another address is another one')
  for (let i = 0; i < 3; i++) await from(`2001:db8::${i}`, 'wrong')
  t.equal((await from('2001:db8::9', 'wrong')).statusCode, 429, 'a network of IPv6 is one')
  t.equal((await from('2001:db8:0:1::9', 'wrong')).statusCode, 401)
})

t.test(
  'however many keys are tried at once, few are looked up, and a stale one takes one place',
  async (t) => {
    const keyPool = openPool(database.url, { max: 4 })
    t.teardown(() => keyPool.end())
    const strict = await buildAdmin({
      ...dependencies,
      keyPool,
      rateLimits: { requestsPerMinute: 1_000_000, wrongKeysPerMinute: 3, wrongKeyPauseMs: 1 },
    })
    t.teardown(() => strict.close())
    let lookUps = 0
    keyPool.on('acquire', () => lookUps++)
    const tryAll = (keys: string[]) =>
      Promise.all(
        keys.map(async (key) => (await strict.inject({ url: '/v1/cdrs', ...sees(key) })).statusCode),
      )
    const guesses = Array.from({ length: 200 }, (_, i) => `guess${i}`)
    const answers = await tryAll(guesses)
    t.equal(answers.filter((status) => status === 401).length, 3)
    t.equal(answers.filter((status) => status === 429).length, 197)
    t.ok(lookUps <= 3 + 10, `${lookUps} look-ups`)

    const stale = Array.from({ length: 50 }, () => 'stale')
    const answersOfStale = await tryAll([...stale, await makeKey('read', null)])
    t.equal(answersOfStale.pop(), 200, 'a good key among them is let in')
    t.ok(answersOfStale.every((status) => status === 429))
  },
)

t.test('changes that wait for a lock end, and keep nobody from being let in meanwhile', async (t) => {
  const pool = openPool(database.url, { max: 1, lockTimeoutMs: 200 })
  const keyPool = openPool(database.url, { max: 1 })
  const locked = await buildAdmin({ ...dependencies, pool, keyPool })
  t.teardown(async () => {
    await locked.close()
    await pool.end()
    await keyPool.end()
  })
  const other = await database.pool.connect()
  try {
    await other.query(`BEGIN; SELECT FROM api_keys WHERE role = 'admin' FOR UPDATE`)
    const { rows } = await other.query<{ id: string }>(
      `SELECT id FROM api_keys WHERE role = 'admin' AND revoked_at IS NULL LIMIT 1`,
    )
    const stuck = locked.inject({
      method: 'DELETE',
      url: `/v1/keys/${rows[0]?.id ?? ''}`,
      ...sees(api.adminKey),
    })
    // Needs nothing of PostgreSQL but to be let in.
    const letIn = await locked.inject({ url: '/v1/switches', ...sees(await makeKey('read', null)) })
    t.equal(letIn.statusCode, 200)
    const answer = await stuck
    t.equal(answer.statusCode, 503)
    t.match(answer.json(), { type: 'urn:linger:problem:busy', detail: /send it again/ })
    t.match(answer.headers['retry-after'], /^\d+$/)
  } finally {
    await other.query('ROLLBACK')
    other.release()
  }
})

t.test('each key has its limit, its own or that of the server', async (t) => {
  const strict = await buildAdmin({
    ...dependencies,
    rateLimits: { requestsPerMinute: 2, wrongKeysPerMinute: 100 },
  })
  t.teardown(() => strict.close())
  const made = await ask(t, 'POST', '/v1/keys', {
    body: { role: 'read', description: 'Busy', requests_per_minute: 3 },
  })
  const own = String(made.json().key)
  const plain = await makeKey('read', null)
  const statuses = async (key: string, times: number) => {
    const answers = []
    for (let i = 0; i < times; i++) answers.push(await strict.inject({ url: '/v1/cdrs', ...sees(key) }))
    return answers
  }
  const [first, , third] = await statuses(plain, 3)
  t.match(first, { statusCode: 200, headers: { 'x-ratelimit-limit': '2', 'x-ratelimit-remaining': '1' } })
  t.equal(third?.statusCode, 429)
  t.match(third?.json(), { detail: /^This key may ask 2 times a minute; wait \d+ s\.$/, status: 429 })
  t.match(third?.headers['retry-after'], /^\d+$/)
  t.strictSame(
    (await statuses(own, 4)).map(({ statusCode }) => statusCode),
    [200, 200, 200, 429],
  )
})

t.test('pages of other origins may use it only if they are named', async (t) => {
  const preflight = (server: typeof app, origin: string) =>
    server.inject({
      method: 'OPTIONS',
      url: '/v1/cdrs',
      headers: { origin, 'access-control-request-method': 'GET' },
    })
  const allowed = 'access-control-allow-origin'
  t.equal((await preflight(app, 'https://a.example')).headers[allowed], undefined)
  const open = await buildAdmin({ ...dependencies, corsOrigins: ['https://a.example'] })
  t.teardown(() => open.close())
  t.equal((await preflight(open, 'https://a.example')).headers[allowed], 'https://a.example')
  t.equal((await preflight(open, 'https://b.example')).headers[allowed], undefined)
})

t.test('the description can be read in a browser, and nothing is loaded from elsewhere', async (t) => {
  const page = await app.inject('/docs/')
  t.equal(page.statusCode, 200)
  t.match(page.headers['content-type'], /^text\/html/)
  t.match(page.headers['content-security-policy'], /default-src 'self'/)
  t.notMatch(page.headers['content-security-policy'], /upgrade-insecure/)
  for (const [, url = ''] of page.body.matchAll(/(?:src|href)="\.?([^"]+)"/g)) {
    t.notMatch(url, /^https?:/)
    t.equal((await app.inject(url.startsWith('/docs') ? url : `/docs${url}`)).statusCode, 200, url)
  }
  t.match((await app.inject('/health')).headers, {
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'SAMEORIGIN',
  })
})

t.test('every answer that the description names was seen', (t) => {
  t.strictSame(
    contract.unseen().filter((answer) => /(Key|Keys|Audit) (?!401|403|429|503)/.test(answer)),
    [],
  )
  t.end()
})
