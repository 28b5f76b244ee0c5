import { EventEmitter, once } from 'node:events'

import { pino } from 'pino'
import t from 'tap'

import { parseMoney } from '../src/billing/money.js'
import { plainTerms } from '../src/billing/rating.js'
import { Catalog } from '../src/store/catalog.js'
import { openPool } from '../src/store/database.js'
import { Line } from './support/outage.js'
import { testDatabase } from './support/services.js'

const { pool, url } = await testDatabase(t)
const log = pino({ level: 'silent' })

await pool.query(`
  INSERT INTO decks (id, name, currency) VALUES ('euro', 'Euro', 'EUR');
  INSERT INTO rates (deck_id, prefix, prefix_entered, description, price_per_minute)
    VALUES ('euro', '', '', 'Everywhere', 1.5), ('euro', '49', '+49', 'Germany', 0.019);
  INSERT INTO decks (id, name, currency) VALUES ('euro-in', 'Inbound', 'EUR');
  INSERT INTO rates (deck_id, prefix, prefix_entered, price_per_minute)
    VALUES ('euro-in', '1', '1', 9), ('euro-in', '2000', '2000', 0.5), ('euro-in', '4930', '030', 0.01);
  INSERT INTO tenants (id, name, country, currency, domain, deck_id, max_call_seconds, ring_seconds, emergency_numbers)
    VALUES ('acme', 'Acme', 'DE', 'EUR', 'sip.acme.example', 'euro', 3600, 30, '{110,112}'),
      ('bare', 'Bare', 'VN', 'VND', NULL, NULL, DEFAULT, DEFAULT, DEFAULT);
  INSERT INTO extensions (tenant_id, number, auth_username, display_name)
    VALUES ('acme', '1000', 'desk', 'Desk'), ('acme', '2000', NULL, NULL), ('bare', '1000', 'desk', NULL),
      ('bare', '3000', 'lonely', NULL);
  UPDATE tenants SET inbound_deck_id = 'euro-in', local_prefixes = '{4930}', time_zone = 'Europe/Berlin',
    daily_spend_cap = 50, maximum_call_cost = 2.5, allows_unrated = true WHERE id = 'acme';
  UPDATE extensions SET toll_allow = '{local,domestic}' WHERE tenant_id = 'acme' AND number = '2000';
  INSERT INTO blocked_destinations (tenant_id, prefix, prefix_entered) VALUES ('acme', '4990', '+4990'), ('bare', '', '');
  INSERT INTO accounts (code, tenant_id, extension) VALUES ('acme-desk', 'acme', '1000');
  INSERT INTO numbers (number, tenant_id, extension)
    VALUES ('4930123456', 'acme', NULL), ('4930123457', 'acme', '1000');
  INSERT INTO gateways (tenant_id, name, prefix, prefix_entered, priority, carrier_cost_per_minute)
    VALUES ('acme', 'second', '49', '+49', 20, NULL), ('acme', 'first', '49', '+49', 10, 0.01),
      ('acme', 'third', '49', '+49', 20, NULL), ('acme', 'world', '', '', 1, NULL);
`)

/** Asked once an hour: only a notice, `reload` and load itself make it read anything. */
const catalog = await Catalog.load(pool, { log, pollMs: 3_600_000 })
t.teardown(() => catalog.close())

t.test('the demo tenant is as the first start made it', (t) => {
  t.match(catalog.tenant('demo'), {
    id: 'demo',
    country: 'VN',
    currency: 'VND',
    domain: undefined,
    maxCallSeconds: 14_400,
    ringSeconds: 60,
  })
  t.ok(catalog.tenant('demo')?.emergencyNumbers.has('113'))
  t.match(catalog.byAccount('demo'), { tenant: { id: 'demo' }, extension: undefined })
  t.match(catalog.byAccount('1001'), { tenant: { id: 'demo' }, extension: '1001' })
  t.same(catalog.extension('demo', '1000'), {
    number: '1000',
    authUsername: '1000',
    displayName: 'Extension 1000',
  })
  t.match(catalog.gateways('demo', '84901234567'), [{ name: 'carrier1', prefix: '' }])
  t.same(catalog.rate('demo', '84901234567'), {
    prefix: '8490',
    prefixEntered: '090',
    description: 'Mobile Viettel',
    pricePerMinute: parseMoney('500'),
    ...plainTerms,
  })
  t.match(catalog.rate('demo', '842412345678'), { prefix: '84', pricePerMinute: parseMoney('600') })
  t.equal(catalog.rate('demo', '4930123456'), undefined)
  t.end()
})

t.test('each tenant has its own deck, gateways and numbers', (t) => {
  t.match(catalog.rate('acme', '4930999999'), { prefix: '49', pricePerMinute: 19_000n })
  t.match(catalog.rate('acme', '84901234567'), { prefix: '', description: 'Everywhere' })
  t.equal(catalog.rate('bare', '84901234567'), undefined, 'no deck, no price')
  t.same(
    catalog
      .gateways('acme', '4930999999')
      .map(({ name, carrierCostPerMinute }) => [name, carrierCostPerMinute]),
    [
      ['first', 10_000n],
      ['second', undefined],
      ['third', undefined],
    ],
    'of the longest prefix, by priority, then by age',
  )
  t.same(
    catalog.gateways('acme', '84901234567').map(({ name }) => name),
    ['world'],
  )
  t.same(catalog.gateways('bare', '84901234567'), [])
  t.match(catalog.byDid('4930123456'), { tenant: { id: 'acme' }, extension: undefined })
  t.match(catalog.byDid('4930123457'), { tenant: { id: 'acme' }, extension: '1000' })
  t.end()
})

t.test('a tenant has limits of its own, and so has an extension', (t) => {
  t.match(catalog.tenant('acme'), {
    localPrefixes: ['4930'],
    timeZone: 'Europe/Berlin',
    allowsUnrated: true,
    dailySpendCap: parseMoney('50'),
    maximumCallCost: parseMoney('2.5'),
  })
  t.match(catalog.tenant('bare'), {
    localPrefixes: [],
    timeZone: 'UTC',
    allowsUnrated: false,
    dailySpendCap: undefined,
    maximumCallCost: undefined,
  })
  t.same(catalog.extension('acme', '2000')?.tollAllow, new Set(['local', 'domestic']))
  t.equal(catalog.extension('acme', '1000')?.tollAllow, undefined)
  t.same(
    ['49901234567', '4930123456', '499'].map((number) => catalog.isBlocked('acme', number)),
    [true, false, false],
  )
  t.ok(catalog.isBlocked('bare', '84901234567'), 'an empty prefix blocks everything')
  t.notOk(catalog.isBlocked('demo', '49901234567'))
  t.notOk(catalog.isBlocked('nobody', '4990'))
  t.end()
})

t.test('a called number of the tenant costs what its inbound tariff says', (t) => {
  t.match(catalog.inboundRate('acme', '4930123456'), { prefix: '4930', pricePerMinute: 10_000n })
  t.match(catalog.inboundRate('acme', '2000'), { prefix: '2000', pricePerMinute: 500_000n })
  t.equal(catalog.inboundRate('acme', '1000'), undefined, 'an extension is not in North America')
  t.match(catalog.inboundRate('acme', '12125550123'), { prefix: '1' }, 'a number there is')
  t.equal(catalog.inboundRate('acme', '84901234567'), undefined)
  t.equal(catalog.inboundRate('demo', '842412345678'), undefined, 'no tariff, no price')
  t.equal(catalog.inboundRate('nobody', '4930123456'), undefined)
  t.end()
})

t.test('an extension that several tenants have belongs to the one whose domain it is', (t) => {
  t.match(catalog.byAuthUser('desk', 'sip.acme.example'), { tenant: { id: 'acme' }, extension: '1000' })
  t.match(catalog.byAuthUser('desk', 'SIP.ACME.EXAMPLE'), { tenant: { id: 'acme' } }, 'domains have no case')
  t.equal(catalog.byAuthUser('desk', 'other.example'), undefined)
  t.equal(catalog.byAuthUser('desk'), undefined)
  t.match(catalog.byAuthUser('lonely'), { tenant: { id: 'bare' }, extension: '3000' }, 'only one has it')
  t.match(
    catalog.byAuthUser('2000'),
    { tenant: { id: 'acme' }, extension: '2000' },
    'its number, for want of a name',
  )
  t.equal(catalog.byTrustedExtension('1000'), undefined)
  t.match(catalog.byTrustedExtension('1000', 'sip.acme.example'), { tenant: { id: 'acme' } })
  t.match(catalog.byTrustedExtension('1001', 'anything'), { tenant: { id: 'demo' }, extension: '1001' })
  t.end()
})

t.test('what is not there is not found', (t) => {
  for (const name of ['nobody', '', '__proto__', 'constructor', '\0']) {
    t.equal(catalog.tenant(name), undefined)
    t.equal(catalog.byAccount(name), undefined)
    t.equal(catalog.byAuthUser(name, name), undefined)
    t.equal(catalog.byTrustedExtension(name, name), undefined)
    t.equal(catalog.byDid(name), undefined)
    t.equal(catalog.extension('acme', name), undefined)
    t.equal(catalog.extension(name, '1000'), undefined)
    t.same(catalog.gateways(name, '1'), [])
    t.equal(catalog.inboundRate(name, '1'), undefined)
    t.notOk(catalog.isBlocked(name, '1'))
    t.equal(catalog.rate(name, '1'), undefined)
  }
  t.end()
})

t.test('a reload brings what was committed before it, of every table', async (t) => {
  const changes: [sql: string, isInForce: () => boolean][] = [
    [`UPDATE tenants SET name = 'Acme 2' WHERE id = 'acme'`, () => catalog.tenant('acme')?.name === 'Acme 2'],
    [`INSERT INTO extensions VALUES ('bare', '77')`, () => catalog.extension('bare', '77') !== undefined],
    [`DELETE FROM extensions WHERE number = '77'`, () => catalog.extension('bare', '77') === undefined],
    [`INSERT INTO accounts VALUES ('bare', 'bare')`, () => catalog.byAccount('bare')?.tenant.id === 'bare'],
    [`INSERT INTO numbers VALUES ('8424', 'bare')`, () => catalog.byDid('8424')?.tenant.id === 'bare'],
    [
      `UPDATE gateways SET priority = 99 WHERE name = 'first'`,
      () => catalog.gateways('acme', '49')[2]?.name === 'first',
    ],
    [
      `UPDATE rates SET price_per_minute = 7 WHERE prefix = '49'`,
      () => catalog.rate('acme', '49')?.pricePerMinute === 7_000_000n,
    ],
    [`DELETE FROM blocked_destinations`, () => !catalog.isBlocked('acme', '4990')],
    [
      `INSERT INTO rates (deck_id, prefix, prefix_entered, price_per_minute) VALUES ('euro', '493', '03', 8)`,
      () => catalog.rate('acme', '493')?.pricePerMinute === 8_000_000n,
    ],
    [`DELETE FROM rates WHERE prefix = '493'`, () => catalog.rate('acme', '493')?.prefix === '49'],
    [
      `UPDATE rates SET prefix = '494' WHERE prefix = '49'`,
      () => catalog.rate('acme', '493')?.prefix === '' && catalog.rate('acme', '494')?.prefix === '494',
    ],
    [
      `UPDATE tenants SET deck_id = 'demo' WHERE id = 'bare'`,
      () => catalog.rate('bare', '8490')?.prefix === '8490',
    ],
    [`TRUNCATE rates`, () => catalog.rate('acme', '84') === undefined],
  ]
  for (const [sql, isInForce] of changes) {
    t.notOk(isInForce(), `before: ${sql}`)
    await pool.query(sql)
    await catalog.reload()
    t.ok(isInForce(), sql)
  }
})

t.test('a change that is rolled back never comes into force', async (t) => {
  const client = await pool.connect()
  await client.query('BEGIN')
  await client.query(`UPDATE tenants SET name = 'Nonsense'`)
  await catalog.reload()
  await client.query('ROLLBACK')
  client.release()
  await catalog.reload()
  t.equal(catalog.tenant('demo')?.name, 'Demo')
})

t.test('while PostgreSQL is away, what is known is served, and said once', async (t) => {
  await pool.query(`INSERT INTO rates (deck_id, prefix, prefix_entered, price_per_minute) VALUES ('demo', '84', '84', 600);
    INSERT INTO blocked_destinations (tenant_id, prefix, prefix_entered) VALUES ('acme', '4990', '+4990')`)
  const line = await Line.to(t, url)
  const distant = openPool(line.url(url), { max: 2 })
  t.teardown(() => distant.end())
  const said = new EventEmitter()
  const lines: string[] = []
  const listening = pino(
    {},
    {
      write(text: string) {
        const { msg } = JSON.parse(text) as { msg: string }
        lines.push(msg)
        said.emit(msg)
      },
    },
  )
  const polling = await Catalog.load(distant, { log: listening, pollMs: 5 })
  t.teardown(() => polling.close())
  t.equal(polling.ready, true)
  const away = once(said, 'the catalog cannot be read: going on with what is known')
  await line.cut()
  await away
  t.equal(polling.ready, false)
  t.match(polling.byAccount('1000'), { tenant: { id: 'demo' }, extension: '1000' })
  t.match(polling.rate('demo', '84901234567'), { prefix: '84', pricePerMinute: parseMoney('600') })
  t.match(polling.gateways('demo', '84901234567'), [{ name: 'carrier1' }])
  t.match(polling.byDid('4930123457'), { tenant: { id: 'acme' }, extension: '1000' })
  t.ok(polling.isBlocked('acme', '4990'))
  await t.rejects(polling.reload())
  await t.rejects(polling.reload())
  await pool.query(`UPDATE tenants SET name = 'Demo again' WHERE id = 'demo'`)
  const back = once(said, 'the catalog can be read again')
  await line.mend()
  await back
  t.equal(polling.ready, true)
  t.equal(polling.tenant('demo')?.name, 'Demo again')
  t.equal(lines.length, 2)
  await polling.close()
  t.match(polling.byAccount('1000'), { extension: '1000' }, 'even after the end')
})
