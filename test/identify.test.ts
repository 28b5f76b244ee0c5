import { pino } from 'pino'
import t from 'tap'

import { channelFacts } from '../src/call/facts.js'
import { identify } from '../src/call/identify.js'
import { Event } from '../src/esl/event.js'
import { Catalog } from '../src/store/catalog.js'
import { addPlanEntry } from '../src/store/number-plan.js'
import { testDatabase } from './support/services.js'

const { pool } = await testDatabase(t)
await pool.query(`
  INSERT INTO tenants (id, name, country, currency, emergency_numbers)
    VALUES ('vn', 'VN', 'VN', 'VND', '{113,112}'), ('de', 'DE', 'DE', 'EUR', '{110,112}');
  INSERT INTO extensions (tenant_id, number) VALUES ('vn', '1001'), ('de', '1234567'), ('de', '7654321');
  INSERT INTO accounts (code, tenant_id, extension)
    VALUES ('vn', 'vn', NULL), ('vn1001', 'vn', '1001'), ('de', 'de', NULL), ('desk', 'de', '7654321');
  INSERT INTO numbers (number, tenant_id, extension) VALUES ('842412345678', 'vn', '1001')`)
const step = { route: 'play' }
await addPlanEntry(
  pool,
  'de',
  { direction: 'inbound', kind: 'range', number: '03012340000', to: '03012349999', step },
  [],
)
await addPlanEntry(pool, 'vn', { direction: 'inbound', kind: 'exact', number: '02887654321', step }, [])
const catalog = await Catalog.load(pool, { log: pino({ level: 'silent' }), pollMs: 3_600_000 })
t.teardown(() => catalog.close())

function identified(
  called: string,
  { from = '0901234567', account }: { from?: string; account?: string } = {},
) {
  const channel = new Event('CHANNEL_DATA')
    .set('Caller-Caller-ID-Number', from)
    .set('Caller-Destination-Number', called)
  if (account !== undefined) channel.set('variable_accountcode', account)
  const options = { trustedProfiles: new Set<string>(), defaultCountry: 'VN' as const }
  return identify(channelFacts(channel), catalog, options)
}

t.test('whose a called DID is, its number table or its number plan says', async (t) => {
  t.match(identified('02412345678'), {
    tenant: { id: 'vn' },
    direction: 'inbound',
    called: '842412345678',
    calledExtension: { number: '1001' },
  })
  t.match(identified('02887654321'), {
    ...{ tenant: { id: 'vn' }, direction: 'inbound', called: '842887654321' },
    calledExtension: undefined,
  })
  t.match(identified('+493012345678'), { tenant: { id: 'de' }, direction: 'inbound', called: '493012345678' })
  t.match(identified('493012345678'), { tenant: { id: 'de' }, direction: 'inbound' })
  t.match(identified('0287654329'), { tenant: undefined })
  t.match(identified('02887654321', { from: '1001', account: 'vn1001' }), { direction: 'internal' })
  t.match(identified('0281234567', { from: '1001', account: 'vn1001' }), { direction: 'outbound' })
})

t.test('a short number that two tenants have is that of whose call it is', async (t) => {
  for (const tenant of ['vn', 'de'])
    await addPlanEntry(pool, tenant, { direction: 'inbound', kind: 'exact', number: '1900', step }, [])
  await addPlanEntry(pool, 'vn', { direction: 'inbound', kind: 'exact', number: '113', step }, [])
  await catalog.reload()
  t.match(identified('1900'), { tenant: undefined })
  for (const account of ['vn', 'de'])
    t.match(identified('1900', { account }), { tenant: { id: account }, direction: 'inbound' })
  t.match(identified('1900', { from: '1001', account: 'vn1001' }), { direction: 'internal' })
  t.match(identified('1901', { account: 'vn' }), { direction: 'outbound' })
  t.match(identified('113', { account: 'vn' }), { direction: 'outbound', isEmergency: true })
})

t.test('an extension stays as it is, even if it looks like a number of the country', async (t) => {
  t.match(identified('1234567', { from: '7654321', account: 'desk' }), {
    ...{ direction: 'internal', called: '1234567', caller: '7654321' },
    calledExtension: { number: '1234567' },
  })
  t.match(identified('1234567', { from: '7654321', account: 'de' }), { called: '1234567' })
  t.match(
    identified('1234568', { account: 'de' }),
    { direction: 'outbound', called: '491234568' },
    'which one of somebody else would be',
  )
})

t.test('an emergency number is one however it is dialled, and nobody else’s', async (t) => {
  for (const called of ['113', '112', '+113', '+112'])
    t.match(identified(called, { from: '1001', account: 'vn1001' }), {
      ...{ isEmergency: true, direction: 'outbound', calledExtension: undefined },
      called: called.replace('+', ''),
    })
  t.match(identified('110', { from: '1001', account: 'vn1001' }), { isEmergency: false })
  t.match(identified('110', { account: 'de' }), { isEmergency: true })
})

t.test('a caller that hides its number, or has none, is anonymous', async (t) => {
  const isAnonymous = (number: string | undefined, hidden?: string) => {
    const channel = new Event('CHANNEL_DATA')
    if (number !== undefined) channel.set('Caller-Caller-ID-Number', number)
    if (hidden !== undefined) channel.set('Caller-Privacy-Hide-Number', hidden)
    return channelFacts(channel).isAnonymous
  }
  for (const number of [
    ...[undefined, '', 'anonymous', 'Anonymous', 'RESTRICTED', 'unavailable', 'Unknown', 'private'],
    ...['withheld', 'Blocked', '0000000000', '+0000000000', '000000'],
  ])
    t.ok(isAnonymous(number), String(number))
  for (const number of ['0901234567', '+84901234567', '1001', '0', '000', '100000000', 'alice', 'anonymous1'])
    t.notOk(isAnonymous(number), number)
  t.ok(isAnonymous('0901234567', 'true'), 'a hidden one, which the switch knows')
  t.notOk(isAnonymous('0901234567', 'false'))
})
