import t, { type Test } from 'tap'
import { parseMoney } from '../src/billing/money.js'
import { Catalog } from '../src/store/catalog.js'
import { book } from '../src/store/ledger.js'
import { changeTenant } from '../src/store/tenants.js'
import { startAdminApi, type Answer } from './support/admin-api.js'

const api = await startAdminApi(t)
const { ask, makeKey, database, dependencies } = api
/** Another node: it learns of a change by what the database tells. */
const node = await Catalog.load(database.pool, { log: dependencies.log })
t.teardown(() => node.close())

const minimal = { name: 'Acme', country: 'VN', currency: 'VND' }

async function create(t: Test, id: string, more: object = {}): Promise<Record<string, unknown>> {
  const answer = await ask(t, 'POST', '/v1/tenants', { body: { id, ...minimal, ...more } })
  t.equal(answer.status, 201, JSON.stringify(answer.json()))
  return answer.json()
}

function change(t: Test, id: string, body: object, version: number | '*' = '*'): Promise<Answer> {
  const ifMatch = version === '*' ? '*' : `"${version}"`
  return ask(t, 'PATCH', `/v1/tenants/${id}`, { body, headers: { 'if-match': ifMatch } })
}

async function refused(t: Test, answer: Promise<Answer>, field: string, detail: RegExp): Promise<void> {
  const { status, json } = await answer
  t.equal(status, 400)
  t.match(json(), { type: 'urn:linger:problem:invalid', errors: [{ field, detail }] }, field)
}

t.test('a tenant is created with what it needs, and has the rest as usual', async (t) => {
  const made = await ask(t, 'POST', '/v1/tenants', { body: { id: 'acme', ...minimal } })
  t.equal(made.status, 201)
  t.equal(made.headers.etag, '"1"')
  t.match(made.json(), { created_at: /^\d{4}-\d\d-\d\dT.*Z$/ })
  t.strictSame(
    { ...made.json(), created_at: '' },
    {
      id: 'acme',
      ...minimal,
      time_zone: 'UTC',
      domain: null,
      deck: null,
      inbound_deck: null,
      billing: 'prepaid',
      credit_limit: null,
      low_balance: null,
      daily_spend_cap: null,
      maximum_call_cost: null,
      max_calls: null,
      max_calls_per_second: null,
      max_call_seconds: 14400,
      ring_seconds: 60,
      emergency_numbers: [],
      local_prefixes: [],
      allows_unrated: false,
      gateway_order: 'priority',
      caller_id_number: null,
      caller_id_name: null,
      record_directions: [],
      hold_music: null,
      account_codes: [],
      blocked_destinations: [],
      version: 1,
      created_at: '',
    },
  )
  const read = await ask(t, 'GET', '/v1/tenants/acme')
  t.equal(read.headers.etag, '"1"')
  t.strictSame(read.json(), made.json())
  t.match((await ask(t, 'GET', '/v1/tenants/acme/balance')).json(), { balance: '0.00' })
})

const everything = {
  name: 'Every Thing',
  country: 'VN',
  currency: 'VND',
  time_zone: 'Asia/Ho_Chi_Minh',
  domain: 'all.example.com',
  deck: 'demo',
  inbound_deck: 'demo',
  billing: 'postpaid',
  credit_limit: '500000.5',
  low_balance: '-10',
  daily_spend_cap: '1000',
  maximum_call_cost: '0.125',
  max_calls: 5,
  max_calls_per_second: 0,
  max_call_seconds: 600,
  ring_seconds: 20,
  emergency_numbers: ['112', '+112'],
  local_prefixes: ['024', '8428'],
  allows_unrated: true,
  gateway_order: 'cost',
  caller_id_number: '+842412345678',
  caller_id_name: 'Công ty 1',
  record_directions: ['inbound', 'internal'],
  hold_music: 'local_stream://moh',
  account_codes: ['all-2', 'all-1'],
  blocked_destinations: [
    { prefix: '1900', description: 'Premium rate' },
    { prefix: '+44' },
    { prefix: '8490', prefix_entered: '090' },
  ],
}

t.test(
  'all of it can be set, in normal form where there is one, and is in force on another node',
  async (t) => {
    const made = await create(t, 'all', everything)
    t.strictSame(
      { ...made, created_at: '' },
      {
        id: 'all',
        ...everything,
        credit_limit: '500000.50',
        low_balance: '-10.00',
        daily_spend_cap: '1000.00',
        local_prefixes: ['8424', '8428'],
        account_codes: ['all-1', 'all-2'],
        blocked_destinations: [
          { prefix: '1900', prefix_entered: '1900', description: 'Premium rate' },
          { prefix: '44', prefix_entered: '+44', description: '' },
          { prefix: '8490', prefix_entered: '090', description: '' },
        ],
        version: 1,
        created_at: '',
      },
      'one version, though it is rows of three tables',
    )
    await node.reload()
    t.match(node.tenant('all'), {
      timeZone: 'Asia/Ho_Chi_Minh',
      domain: 'all.example.com',
      maxCallSeconds: 600,
      maximumCallCost: parseMoney('0.125'),
      holdMusic: 'local_stream://moh',
    })
    t.equal(node.byAccount('all-2')?.tenant.id, 'all')
    t.ok(node.isBlocked('all', '84901234567'))

    // A list that was read is sent back as it was.
    const { blocked_destinations: blocked } = made as { blocked_destinations: object[] }
    const answer = await change(
      t,
      'all',
      { blocked_destinations: blocked.slice(1), account_codes: ['all-1'] },
      1,
    )
    t.match(answer.json(), {
      version: 2,
      blocked_destinations: [{ prefix: '44' }, { prefix: '8490', prefix_entered: '090' }],
      account_codes: ['all-1'],
      name: 'Every Thing',
    })
    await node.reload()
    t.equal(node.byAccount('all-2'), undefined)
    t.notOk(node.isBlocked('all', '190012345'))

    // Null clears what may be null.
    const clear = {
      ...{ domain: null, deck: null, inbound_deck: null, credit_limit: null, low_balance: null },
      ...{ daily_spend_cap: null, maximum_call_cost: null, max_calls: null, max_calls_per_second: null },
      ...{ caller_id_number: null, caller_id_name: null, hold_music: null },
      ...{ emergency_numbers: [], local_prefixes: [], record_directions: [] },
      ...{ account_codes: [], blocked_destinations: [] },
    }
    const cleared = await change(t, 'all', clear, 2)
    t.match(cleared.json(), { version: 3, ...clear })
    const same = await change(t, 'all', { ...clear, name: 'Every Thing' }, 3)
    t.match(same.json(), { version: 3 }, 'what is as it was is no change')
    const { items } = (await ask(t, 'GET', '/v1/audit?target=tenant%20all')).json() as { items: object[] }
    t.match(items, [
      { action: 'changeTenant', tenant: 'all', before: { version: 2 }, after: { version: 3 } },
      { action: 'changeTenant', before: { account_codes: ['all-1', 'all-2'] }, after: { version: 2 } },
      { action: 'createTenant', before: null, after: made },
    ])
  },
)

t.test('what no tenant can have is refused, field by field', async (t) => {
  const longName = 'x'.repeat(201)
  const cases: [field: string, value: unknown, detail: RegExp][] = [
    ['name', '', /^is ""; allowed is a text of 1 to 200 characters/],
    ['name', longName, /allowed is a text of 1 to 200/],
    ['name', 'a\0b', /without control characters$/],
    ['name', null, /^is null; allowed is a text/],
    ['country', 'vn', /^is "vn"; allowed is an ISO 3166 code/],
    ['country', 'ZZ', /^is "ZZ"; allowed is a country that has telephone numbers/],
    ['currency', 'dong', /an ISO 4217 code/],
    ['time_zone', 'Asia/Atlantis', /^is "Asia\/Atlantis", which is none; allowed is the name of a time zone/],
    ['time_zone', 'AET', /^is not one that PostgreSQL knows; allowed is the name of a time zone/],
    ['time_zone', '+07:00', /the name of a time zone/],
    ['domain', 'a_b', /^is "a_b"; allowed is a host name of .*, or null$/],
    ['domain', "a'$(x)", /a host name/],
    ['deck', 'Demo', /the id of a deck/],
    ['deck', 'nothing', /^is "nothing"; there is no such deck$/],
    ['inbound_deck', 'nothing', /there is no such deck/],
    ['deck', 'euro', /whose rates are in EUR; allowed is a deck in VND/],
    ['billing', 'free', /^is "free"; allowed is one of "prepaid", "postpaid"$/],
    ['credit_limit', '-1', /a decimal number as a text, 0 or more/],
    ['credit_limit', 5, /^is 5; allowed is a decimal number as a text/],
    ['credit_limit', 'NaN', /a decimal number/],
    ['low_balance', '1e3', /a decimal number/],
    ['daily_spend_cap', '1234567890123456789', /at most 18 digits/],
    ['maximum_call_cost', '0.1234567', /6 behind it/],
    ['max_calls', -1, /^is -1; allowed is a whole number of 0 to 2147483647, or null$/],
    ['max_calls_per_second', 1.5, /a whole number/],
    ['max_call_seconds', 0, /^is 0; allowed is a whole number of 1 to 604800$/],
    ['ring_seconds', 601, /of 1 to 600/],
    ['emergency_numbers', ['11;2'], /^is "11;2"; allowed is 2 to 32 digits/],
    ['emergency_numbers', ['112', '112'], /a list of 100 entries at most, each once/],
    ['local_prefixes', [''], /1 to 28 digits/],
    ['local_prefixes', ['00'], /^is "00", with which no number begins/],
    ['allows_unrated', 'yes', /^is "yes"; allowed is true or false$/],
    ['gateway_order', 'random', /one of "priority", "cost"/],
    ['caller_id_number', '0901-234', /2 to 32 digits/],
    ['caller_id_name', "a','b", /letters, digits/],
    ['caller_id_name', ' a', /single blanks/],
    ['record_directions', ['sideways'], /one of "inbound", "outbound", "internal"/],
    ['hold_music', '/tmp/../etc/passwd', /a path of letters/],
    ['hold_music', 'shell_stream://x', /local_stream/],
    ['account_codes', [''], /a text of 1 to 128 characters/],
    [
      'blocked_destinations',
      [{ prefix: '090', colour: 'red' }],
      /^is unknown; allowed are prefix, prefix_entered/,
    ],
    ['blocked_destinations', [{ description: 'x' }], /^is missing$/],
    [
      'blocked_destinations',
      [{ prefix: '090' }, { prefix: '+8490' }],
      /the same as blocked_destinations\[0\]/,
    ],
    ['blocked_destinations', [{ prefix: '090', prefix_entered: '091' }], /which is not the prefix "090"/],
    ['blocked_destinations', [{ prefix: '00' }], /no number begins/],
    ['version', 7, /^is unknown; allowed are/],
  ]
  await database.pool.query(`INSERT INTO decks (id, name, currency) VALUES ('euro', 'Euro', 'EUR')`)
  await create(t, 'strict')
  for (const [field, value, detail] of cases) {
    const body = { id: 'none', ...minimal, [field]: value }
    for (const answer of [
      await ask(t, 'POST', '/v1/tenants', { body }),
      await change(t, 'strict', { [field]: value }),
    ]) {
      t.equal(answer.status, 400, `${field}: ${JSON.stringify(value)}`)
      const { errors } = answer.json() as { errors: { field: string; detail: string }[] }
      t.match(errors[0]?.field.replace(/[[.].*$/, ''), field)
      t.match(errors[0]?.detail, detail)
    }
  }
  for (const id of ['', 'Acme', '-a', 'a b', 'x'.repeat(64)])
    await refused(t, ask(t, 'POST', '/v1/tenants', { body: { id, ...minimal } }), 'id', /lower-case letters/)
  await refused(
    t,
    ask(t, 'POST', '/v1/tenants', { body: { id: 'x', name: 'x', country: 'VN' } }),
    'currency',
    /missing/,
  )
  await refused(t, change(t, 'strict', { id: 'other' }), 'id', /unknown/)
  t.match((await ask(t, 'GET', '/v1/tenants/strict')).json(), { version: 1 }, 'nothing of it was written')
  t.equal((await ask(t, 'GET', '/v1/tenants/none')).status, 404)
})

t.test('what only the tables refuse is told by its field as well', async (t) => {
  await create(t, 'net')
  for (const [field, value] of [
    ['ring_seconds', 0],
    ['caller_id_name', 'a'.repeat(65)],
    ['hold_music', 'x y'],
    ['currency', 'x'],
  ] as const)
    await t.rejects(changeTenant(database.pool, 'net', { [field]: value }), { code: 'invalid', field })
})

t.test('what another one has is taken', async (t) => {
  await create(t, 'first', { domain: 'one.example.com', account_codes: ['one'] })
  const cases: [object, string, RegExp][] = [
    [{ id: 'first' }, 'id', /there is a tenant with this id already/],
    [{ id: 'second', domain: 'ONE.example.com' }, 'domain', /another tenant has this domain/],
    [{ id: 'second', account_codes: ['two', 'one'] }, 'account_codes', /the account code "one" is taken/],
  ]
  for (const [body, field, detail] of cases) {
    const answer = await ask(t, 'POST', '/v1/tenants', { body: { ...minimal, ...body } })
    t.equal(answer.status, 409)
    t.match(answer.json(), { type: 'urn:linger:problem:taken', errors: [{ field, detail }] })
    t.notMatch(JSON.stringify(answer.json()), /first/)
  }
  t.equal((await ask(t, 'GET', '/v1/tenants/second')).status, 404, 'all or nothing')
  await database.pool.query(`INSERT INTO extensions (tenant_id, number) VALUES ('first', '10');
    INSERT INTO accounts (code, tenant_id, extension) VALUES ('ten', 'first', '10')`)
  const own = await change(t, 'first', { account_codes: ['ten'] })
  t.match(own.json(), { detail: 'The account code "ten" is that of the extension "10".' })
  t.equal(own.status, 409)
})

t.test('the country stays while there are prefixes that were read by it', async (t) => {
  await create(t, 'moved', {
    local_prefixes: ['024'],
    blocked_destinations: [{ prefix: '1900' }],
  })
  await database.pool.query(`INSERT INTO gateways (tenant_id, name, prefix, prefix_entered)
    VALUES ('moved', 'moved1', '8490', '090'), ('moved', 'moved2', '', '')`)
  const refused = async (body: object, detail: RegExp) => {
    const answer = await change(t, 'moved', { country: 'TH', ...body })
    t.equal(answer.status, 409)
    t.match(answer.json(), { type: 'urn:linger:problem:in_use', errors: [{ field: 'country', detail }] })
  }
  await refused({}, /has 1 gateway with a prefix, blocked_destinations, local_prefixes, which/)
  const anew = { blocked_destinations: [{ prefix: '1900' }], local_prefixes: ['02'] }
  await refused(anew, /has 1 gateway with a prefix, which are read by it$/)
  await database.pool.query(`DELETE FROM gateways WHERE name = 'moved1'`)
  await refused({ local_prefixes: [] }, /has blocked_destinations, which .*; send blocked_destinations anew/)
  t.equal((await change(t, 'moved', { country: 'VN', name: 'Still' })).status, 200, 'it is that already')
  t.match((await change(t, 'moved', { country: 'TH', ...anew })).json(), {
    country: 'TH',
    local_prefixes: ['662'],
  })
  t.match(
    (await change(t, 'moved', { country: 'VN', blocked_destinations: [], local_prefixes: [] })).json(),
    {
      country: 'VN',
    },
  )
  t.match((await change(t, 'moved', { country: 'TH' })).json(), { country: 'TH' }, 'nothing is left of it')
})

t.test('the country stays while there is a number plan, the currency while there is a ledger', async (t) => {
  await create(t, 'settled')
  t.match((await change(t, 'settled', { country: 'TH', currency: 'THB' })).json(), {
    country: 'TH',
    version: 2,
  })
  await database.pool.query(
    `INSERT INTO number_plan (tenant_id, kind, number, entered, step)
    VALUES ('settled', 'exact', '100', '100', '{"route": "dial"}')`,
  )
  const country = await change(t, 'settled', { country: 'VN' })
  t.equal(country.status, 409)
  t.match(country.json(), {
    type: 'urn:linger:problem:in_use',
    errors: [{ field: 'country', detail: /number plan/ }],
  })
  t.equal((await change(t, 'settled', { currency: 'VND' })).status, 200)
  await book(database.pool, {
    tenant: 'settled',
    kind: 'topup',
    amount: parseMoney('5'),
    description: '',
    idempotencyKey: 'x',
  })
  const currency = await change(t, 'settled', { currency: 'THB' })
  t.equal(currency.status, 409)
  t.match(currency.json(), { errors: [{ field: 'currency', detail: /the ledger/ }] })
  await t.rejects(
    database.pool.query(`UPDATE tenants SET currency = 'THB' WHERE id = 'settled'`),
    /its ledger is in it/,
    'nor by hand',
  )
  await refused(
    t,
    change(t, 'demo', { currency: 'EUR' }),
    'deck',
    /whose rates are in VND; allowed is a deck in EUR/,
  )
})

t.test('a version is needed, and a stale one refused', async (t) => {
  await create(t, 'stale')
  const url = '/v1/tenants/stale'
  t.match((await ask(t, 'PATCH', url, { body: {} })).json(), { status: 428 })
  t.match((await change(t, 'stale', { name: 'B' }, 1)).json(), { version: 2 })
  const late = await change(t, 'stale', { name: 'C' }, 1)
  t.equal(late.status, 412)
  t.match(late.json(), { detail: 'Somebody changed the tenant "stale": there is version 2 now, not 1.' })
  t.equal((await ask(t, 'DELETE', url, { headers: { 'if-match': '"1"' } })).status, 412)
  t.equal((await ask(t, 'DELETE', url, { headers: { 'if-match': '"2"' } })).status, 204)
  t.equal((await change(t, 'stale', { name: 'D' })).status, 404)
  t.equal((await ask(t, 'DELETE', url)).status, 404)
  await node.reload()
  t.equal(node.tenant('stale'), undefined)
})

t.test('a tenant that something hangs on cannot be deleted, and whoever asks is told what', async (t) => {
  await create(t, 'busy', { account_codes: ['busy'], blocked_destinations: [{ prefix: '44' }] })
  const url = '/v1/tenants/busy'
  await database.pool.query(`
    INSERT INTO extensions (tenant_id, number) VALUES ('busy', '1'), ('busy', '2');
    INSERT INTO gateways (tenant_id, name) VALUES ('busy', 'carrier9');
    INSERT INTO numbers (number, tenant_id) VALUES ('84241111111', 'busy');
    INSERT INTO flows (tenant_id, kind, id, definition) VALUES ('busy', 'menu', 'm', '{}'), ('busy', 'hours', 'h', '{}');
    INSERT INTO number_plan (tenant_id, kind, number, entered, step)
      VALUES ('busy', 'exact', '100', '100', '{"route": "dial"}')`)
  await makeKey('read', 'busy')
  const refusal = await ask(t, 'DELETE', url)
  t.equal(refusal.status, 409)
  t.match(refusal.json(), {
    type: 'urn:linger:problem:in_use',
    detail:
      'The tenant "busy" cannot be deleted: it has 2 extensions, 1 gateway, 1 number, 1 menu, 1 set of hours, 1 entry ' +
      'of the number plan, 1 API key.',
  })
  await database.pool.query(`DELETE FROM number_plan WHERE tenant_id = 'busy';
    DELETE FROM numbers WHERE tenant_id = 'busy'; DELETE FROM extensions WHERE tenant_id = 'busy';
    DELETE FROM gateways WHERE tenant_id = 'busy'; DELETE FROM flows WHERE tenant_id = 'busy';
    UPDATE api_keys SET revoked_at = now() WHERE tenant_id = 'busy'`)
  t.equal((await ask(t, 'DELETE', url)).status, 204)
  t.equal((await ask(t, 'GET', url)).status, 404)

  t.match((await ask(t, 'DELETE', '/v1/tenants/demo')).json(), {
    detail:
      /2 extensions, 1 gateway, lines in its ledger; what has had calls or a ledger line is kept for good\.$/,
  })
  await create(t, 'called')
  await database.pool
    .query(`INSERT INTO cdrs (call_uuid, started_at, tenant_id, direction, source, caller, called,
      caller_raw, called_raw, caller_name, ended_at, a_leg_uuid, duration_ms, ring_ms, answered_ms, bridged_ms,
      billed_ms, hangup_cause, is_vip, is_blacklisted, cost, variables)
    VALUES ('c', now(), 'called', 'inbound', 'session', '', '', '', '', '', now(), 'c', 0, 0, 0, 0, 0, 'X', false, false,
      0, '{}')`)
  t.match((await ask(t, 'DELETE', '/v1/tenants/called')).json(), { detail: /it has call records/ })
  await create(t, 'calling')
  await database.pool.query(`INSERT INTO reservations (tenant_id, call_uuid, attempt_id, amount)
    VALUES ('calling', 'c', 'a', 1)`)
  t.match((await ask(t, 'DELETE', '/v1/tenants/calling')).json(), {
    detail: /it has money reserved for calls/,
  })
})

t.test('nothing begins to hang on a tenant that is being deleted', async (t) => {
  await create(t, 'going')
  const client = await database.pool.connect()
  try {
    await client.query('BEGIN')
    await client.query(`INSERT INTO extensions (tenant_id, number) VALUES ('going', '1')`)
    const deletion = ask(t, 'DELETE', '/v1/tenants/going')
    await waiting()
    await client.query('COMMIT')
    t.match((await deletion).json(), { detail: /it has 1 extension/ })
  } finally {
    client.release()
  }
})

/** Resolves when a statement waits for somebody else's lock. */
async function waiting(): Promise<void> {
  for (;;) {
    const { rowCount } = await database.pool.query(
      `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    )
    if (rowCount !== 0) return
  }
}

t.test('tenants are listed by id, page by page; a bound key sees its own', async (t) => {
  const ids: unknown[] = []
  let next: string | null = ''
  do {
    const from: string = next === '' ? '' : `&cursor=${next}`
    const page = (await ask(t, 'GET', `/v1/tenants?limit=3${from}`)).json() as {
      items: { id: string }[]
      next: string | null
    }
    t.ok(page.items.length <= 3)
    ids.push(...page.items.map(({ id }) => id))
    next = page.next
  } while (next !== null)
  const { rows } = await database.pool.query<{ id: string }>('SELECT id FROM tenants')
  t.strictSame(ids, rows.map(({ id }) => id).sort())
  t.equal((await ask(t, 'GET', '/v1/tenants?cursor=x')).status, 400)
  for (const method of ['GET', 'DELETE'])
    t.equal((await ask(t, method, '/v1/tenants/demo?colour=red')).status, 400)
  t.match((await ask(t, 'GET', '/v1/tenants?tenant=demo')).json(), { items: [{ id: 'demo' }], next: null })
  t.strictSame((await ask(t, 'GET', '/v1/tenants?tenant=%00')).json(), { items: [], next: null })
  t.equal((await ask(t, 'GET', '/v1/tenants/a%00')).status, 404)

  const key = await makeKey('admin', 'demo')
  const own = (await ask(t, 'GET', '/v1/tenants', { key })).json() as { items: { id: string }[] }
  t.strictSame(
    own.items.map(({ id }) => id),
    ['demo'],
  )
  t.equal((await ask(t, 'GET', '/v1/tenants?tenant=acme', { key })).status, 404)
  t.equal((await ask(t, 'GET', '/v1/tenants/demo', { key })).status, 200)
  t.equal((await ask(t, 'GET', '/v1/tenants/acme', { key })).status, 404)
  const raise = { key, body: { credit_limit: '1000000' }, headers: { 'if-match': '*' } }
  t.equal(
    (await ask(t, 'PATCH', '/v1/tenants/demo', raise)).status,
    403,
    'nobody raises his own credit limit',
  )
  t.equal((await ask(t, 'DELETE', '/v1/tenants/demo', { key })).status, 403)
  t.equal((await ask(t, 'POST', '/v1/tenants', { key, body: { id: 'mine', ...minimal } })).status, 403)
})

t.test('a body that is no JSON, or too large, is refused', async (t) => {
  const headers = { 'content-type': 'text/csv', 'if-match': '*' }
  const large = { name: 'x'.repeat(600_000) }
  t.equal((await ask(t, 'POST', '/v1/tenants', { body: 'x', headers })).status, 415)
  t.equal((await ask(t, 'PATCH', '/v1/tenants/demo', { body: 'x', headers })).status, 415)
  t.equal((await ask(t, 'POST', '/v1/tenants', { body: large })).status, 413)
  t.equal((await change(t, 'demo', large)).status, 413)
  const blocked = Array.from({ length: 1000 }, (_, i) => ({
    prefix: `+1${2_000_000 + i}`,
    description: 'x'.repeat(200),
  }))
  t.equal((await change(t, 'acme', { blocked_destinations: blocked })).status, 200, 'a thousand go in')
})

t.test('its answers of its own were seen', async (t) => {
  t.strictSame(
    api.contract
      .unseen()
      .filter((answer) => /^(list|create|get|change|delete)Tenants? (?!401|403|429|503)/.test(answer)),
    [],
  )
})
