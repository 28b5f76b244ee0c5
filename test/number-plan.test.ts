import { setTimeout as nextLook } from 'node:timers/promises'

import { pino } from 'pino'
import t from 'tap'

import type { Direction } from '../src/numbering/direction.js'
import { normalNumber } from '../src/numbering/normal-form.js'
import { Catalog } from '../src/store/catalog.js'
import { inTransaction } from '../src/store/database.js'
import {
  addPlanEntry,
  changePlanEntry,
  deletePlanEntry,
  getPlanEntry,
  listPlanEntries,
  type PlanEntryDraft,
  type SavedPlanEntry,
} from '../src/store/number-plan.js'
import { testDatabase } from './support/services.js'

const { pool } = await testDatabase(t)
const log = pino({ level: 'silent' })
const anHour = 3_600_000

await pool.query(`
  INSERT INTO tenants (id, name, country, currency) VALUES ('a', 'A', 'VN', 'VND'), ('b', 'B', 'DE', 'EUR'),
    ('large', 'Large', 'VN', 'VND'), ('dids', 'DIDs', 'VN', 'VND');
  INSERT INTO extensions (tenant_id, number) VALUES ('a', '1001')`)

async function load(pollMs = anHour): Promise<Catalog> {
  const catalog = await Catalog.load(pool, { log, pollMs })
  t.teardown(() => catalog.close())
  return catalog
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await nextLook(5)
}

/** Listens as soon as it is there. */
async function loadListening(): Promise<Catalog> {
  const count = async () => {
    const { rows } = await pool.query<{ count: number }>(
      `SELECT count(*)::int FROM pg_stat_activity
      WHERE datname = current_database() AND query LIKE 'LISTEN%' AND state = 'idle'`,
    )
    return rows[0]?.count ?? 0
  }
  const before = await count()
  const catalog = await load()
  while ((await count()) <= before) await nextLook(5)
  return catalog
}

/** Connections that wait for another one's transaction. */
async function waiting(): Promise<number> {
  const { rowCount } = await pool.query(
    `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
  )
  return rowCount ?? 0
}

/** An entry whose step is told by its name. */
function entry(
  text: string,
  name: string,
  { direction }: { readonly direction?: Direction } = {},
): PlanEntryDraft {
  const [number = '', to] = text.replace(/\*$/, '').split('-')
  const kind = to !== undefined ? 'range' : text.endsWith('*') ? 'prefix' : 'exact'
  const step = { route: 'play', arguments: { name } }
  return { kind, number, step, ...(to !== undefined && { to }), ...(direction && { direction }) }
}

function save(tenant: string, text: string, name: string, options?: { readonly direction?: Direction }) {
  return addPlanEntry(pool, tenant, entry(text, name, options), [])
}

async function clear(tenant = 'a'): Promise<void> {
  await pool.query('DELETE FROM number_plan WHERE tenant_id = $1', [tenant])
}

/** The name of the entry that has the call. */
function reached(
  catalog: Catalog,
  dialled: string,
  { direction = 'outbound', tenant = 'a' }: { readonly direction?: Direction; readonly tenant?: string } = {},
): unknown {
  return catalog.plan(tenant, direction, normalNumber(dialled, 'VN'), dialled)?.step.arguments?.name
}

const catalog = await load()

t.test('the narrowest entry has the call: exact, then range, then the longest prefix', async (t) => {
  await addPlanEntry(pool, 'a', { ...entry('x', 'everything'), kind: 'prefix', number: '' }, [])
  await save('a', '84*', 'Vietnam')
  await save('a', '8424*', 'Hanoi')
  await save('a', '842400000000-842499999999', 'Hanoi, 12 digits')
  await save('a', '842412345600-842412345699', 'a hundred')
  await save('a', '842412345670-842412345679', 'ten of them')
  await save('a', '842412345675', 'one')
  await catalog.reload()
  const table: [called: string, name: string][] = [
    ['842412345675', 'one'],
    ['842412345674', 'ten of them'],
    ['842412345670', 'ten of them'],
    ['842412345679', 'ten of them'],
    ['842412345680', 'a hundred'],
    ['842412345600', 'a hundred'],
    ['842412345599', 'Hanoi, 12 digits'],
    ['84241234567', 'Hanoi'],
    ['8424', 'Hanoi'],
    ['842', 'Vietnam'],
    ['8', 'everything'],
    ['', 'everything'],
    ['alice', 'everything'],
  ]
  for (const [called, name] of table) t.equal(reached(catalog, called), name, called)
  t.equal(reached(catalog, '842412345675', { tenant: 'b' }), undefined, 'not of another tenant')
  t.equal(reached(catalog, '842412345675', { tenant: '__proto__' }), undefined)
  await clear()
})

t.test('a direction has entries of its own, before those of any at the same narrowness', async (t) => {
  await save('a', '1900*', 'any')
  await save('a', '1900*', 'out', { direction: 'outbound' })
  await save('a', '19001*', 'any, longer')
  await save('a', '19002000-19002099', 'any range')
  await save('a', '19002050-19002149', 'out range', { direction: 'outbound' })
  await save('a', '19002000-19002009', 'narrow any range')
  await save('a', '19002000', 'any one')
  await save('a', '19003000', 'out one', { direction: 'outbound' })
  await catalog.reload()
  const table: [called: string, out: string | undefined, internal: string | undefined][] = [
    ['19000', 'out', 'any'],
    ['19001', 'any, longer', 'any, longer'],
    ['19002000', 'any one', 'any one'],
    ['19002005', 'narrow any range', 'narrow any range'],
    ['19002020', 'any range', 'any range'],
    ['19002060', 'out range', 'any range'],
    ['19002120', 'out range', 'any'],
    ['19003000', 'out one', 'any'],
    ['18', undefined, undefined],
  ]
  for (const [called, out, internal] of table) {
    t.equal(reached(catalog, called), out, called)
    t.equal(reached(catalog, called, { direction: 'internal' }), internal, called)
  }
  await clear()
})

t.test('a number is found however it is dialled and however it was typed', async (t) => {
  await save('a', '02412345678', 'typed as in Vietnam')
  await save('a', '+842487654321', 'typed as abroad')
  await save('a', '02871234500-02871234599', 'a range')
  await save('a', '090*', 'Viettel')
  await save('a', '00*', 'abroad')
  await save('a', '9*', 'an outside line')
  await save('a', '1080', 'directory')
  await save('a', '*98*', 'voicemail')
  await save('a', '#31#*', 'hidden')
  await save('a', 'conference', 'by name')
  await catalog.reload()
  const table: [dialled: string, name: string | undefined][] = [
    ['02412345678', 'typed as in Vietnam'],
    ['+842412345678', 'typed as in Vietnam'],
    ['842412345678', 'typed as in Vietnam'],
    ['00842412345678', 'typed as in Vietnam'],
    ['02487654321', 'typed as abroad'],
    ['02871234550', 'a range'],
    ['842871234550', 'a range'],
    ['0901234567', 'Viettel'],
    ['+84901234567', 'Viettel'],
    // Too short to have a normal form.
    ['09012', 'Viettel'],
    ['00442079460018', 'abroad'],
    ['+442079460018', undefined],
    ['9123', 'an outside line'],
    ['1080', 'directory'],
    ['10801', undefined],
    ['*98', 'voicemail'],
    ['*981001', 'voicemail'],
    ['#31#0901234567', 'hidden'],
    ['conference', 'by name'],
  ]
  for (const [dialled, name] of table) t.equal(reached(catalog, dialled), name, dialled)
  const { items } = await listPlanEntries(pool, { tenantId: 'a', limit: 100 })
  t.match(
    items.find(({ number }) => number === '02412345678'),
    { kind: 'exact', tenantId: 'a' },
    'and is shown as it was typed',
  )
  await clear()
})

t.test('an inbound entry tells whose a DID is, and what callers from inside reach there', async (t) => {
  await pool.query(`INSERT INTO numbers (number, tenant_id, extension) VALUES ('842455500001', 'a', '1001')`)
  await save('a', '842455500000-842455500099', 'menu', { direction: 'inbound' })
  await save('b', '4930123456*', 'Berlin', { direction: 'inbound' })
  await save('b', '1234567', 'any direction')
  await catalog.reload()
  t.match(catalog.byDid('842455500001'), { tenant: { id: 'a' }, extension: '1001' })
  t.match(catalog.byDid('842455500002'), { tenant: { id: 'a' }, extension: undefined })
  t.match(
    catalog.byDid('493012345678'),
    { tenant: { id: 'b' } },
    'with a block, whatever is dialled after it',
  )
  t.match(catalog.byDid('4930123456'), { tenant: { id: 'b' } })
  t.equal(catalog.byDid('493012345'), undefined)
  t.equal(catalog.byDid('1234567'), undefined, 'of any direction: nobody says it is a DID')
  t.equal(reached(catalog, '842455500002', { direction: 'inbound' }), 'menu')
  t.equal(reached(catalog, '842455500002', { direction: 'internal' }), 'menu')
  t.equal(reached(catalog, '842455500002', { direction: 'outbound' }), undefined)
  await save('a', '842455500002', 'staff', { direction: 'internal' })
  const short = await save('a', '1001', 'from outside', { direction: 'inbound' })
  await catalog.reload()
  t.equal(reached(catalog, '842455500002', { direction: 'internal' }), 'staff')
  t.equal(reached(catalog, '1001', { direction: 'internal' }), undefined, 'an extension is called itself')
  t.equal(reached(catalog, '1001', { direction: 'inbound' }), 'from outside')
  await deletePlanEntry(pool, 'a', short.id)
  await pool.query(`DELETE FROM numbers WHERE number = '842455500001'`)
  await catalog.reload()
  t.match(catalog.byDid('842455500001'), { tenant: { id: 'a' }, extension: undefined })
  t.equal(catalog.byDid('1001'), undefined)
  await clear()
  await clear('b')
  await catalog.reload()
  t.equal(catalog.byDid('842455500001'), undefined)
})

t.test('what is ambiguous, or another tenant’s, is refused in words', async (t) => {
  await pool.query(`INSERT INTO numbers (number, tenant_id) VALUES ('842466600001', 'b')`)
  await save('a', '1080', 'x')
  await save('a', '24*', 'x')
  await save('a', '3000-3099', 'x')
  await save('a', '842455500000-842455500099', 'x', { direction: 'inbound' })
  await save('a', '84245551*', 'x', { direction: 'inbound' })
  const inbound = { direction: 'inbound' } as const
  const table: [
    tenant: string,
    text: string,
    direction: Direction | undefined,
    code: string,
    says: RegExp,
  ][] = [
    ['a', '1080', undefined, 'taken', /an entry for the same numbers/],
    ['a', '24*', undefined, 'taken', /an entry for the same numbers/],
    ['a', '3000-3099', undefined, 'taken', /an entry for the same|overlap/],
    ['a', '3050-3149', undefined, 'taken', /3050 to 3149 and 3000 to 3099 overlap and are equally wide/],
    ['a', '2901-3000', undefined, 'taken', /overlap/],
    ['b', '+842455500050', 'inbound', 'taken', /\+842455500050: a number of these is another tenant's/],
    ['b', '+842455500099-+842455500199', 'inbound', 'taken', /another tenant's/],
    [
      'b',
      '+8424555000*',
      'inbound',
      'taken',
      /what begins with "\+8424555000": a number of these is another/,
    ],
    ['b', '+8424555*', 'inbound', 'taken', /another tenant's/],
    ['b', '+842455512*', 'inbound', 'taken', /another tenant's/],
    ['b', '+842455511111', 'inbound', 'taken', /another tenant's/],
    ['a', '842466600001', 'inbound', 'taken', /another tenant's/],
    ['a', '842466600000-842466600009', 'inbound', 'taken', /another tenant's/],
    ['a', '8424666*', 'inbound', 'taken', /another tenant's/],
    ['a', '842412*', 'inbound', 'invalid', /prefix of 7 digits at least/],
    ['a', '84240000000-84249999999', 'inbound', 'invalid', /a million at most/],
    ['a', '12-345', undefined, 'invalid', /as many digits/],
    ['a', '20-10', undefined, 'invalid', /do not come before/],
    ['a', 'a-b', undefined, 'invalid', /digits/],
    ['a', '', undefined, 'invalid', /only a prefix may be empty/],
    ['a', '1 2', undefined, 'invalid', /number/],
    ['a', '1\0', undefined, 'invalid', /number/],
    ['a', '${rm}', undefined, 'invalid', /number/],
    ['nobody', '1', undefined, 'not_found', /no tenant "nobody"/],
    ['no\0body', '1', undefined, 'not_found', /no tenant/],
  ]
  for (const [tenant, text, direction, code, says] of table)
    await t.rejects(
      save(tenant, text, 'y', { ...(direction && { direction }) }),
      { code, message: says, name: 'ChangeRefused' },
      `${JSON.stringify(text)} of ${JSON.stringify(tenant)}`,
    )
  await t.rejects(pool.query(`INSERT INTO numbers (number, tenant_id) VALUES ('842455500050', 'b')`), {
    message: /842455500050 is another tenant's by its number plan/,
  })
  t.ok(await save('b', '+84245550010', 'shorter than the range', inbound))
  t.ok(await save('b', '1080', 'x'), 'what is dialled may be the same at two tenants')
  t.ok(await save('a', '1080', 'x', { direction: 'outbound' }), 'and in another direction')
  t.ok(await save('a', '3050-3059', 'x'), 'a narrower range may lie in a wider one')
  t.ok(await save('a', '842455500050', 'x', inbound), 'and a tenant’s entries in its own')
  await pool.query(`INSERT INTO numbers (number, tenant_id) VALUES ('842455500051', 'a')`)
  await pool.query('DELETE FROM numbers')
  await clear()
  await clear('b')
})

t.test('a short number, or a name, is nobody’s alone: who is called there is who was called', async (t) => {
  const inbound = { direction: 'inbound' } as const
  await pool.query(`INSERT INTO numbers (number, tenant_id) VALUES ('1900', 'large')`)
  for (const numbers of ['1900', 'reception', '1000-1999']) {
    await save('a', numbers, `${numbers} of a`, inbound)
    await save('b', numbers, `${numbers} of b`, inbound)
  }
  await save('a', '842455599999', 'whole', inbound)
  await t.rejects(save('b', '+842455599999', 'x', inbound), { code: 'taken' })
  await catalog.reload()
  t.match(catalog.byDid('1900'), { tenant: { id: 'large' } }, 'but for the table of numbers')
  for (const number of ['reception', '1500']) t.equal(catalog.byDid(number), undefined)
  t.match(catalog.byDid('842455599999'), { tenant: { id: 'a' } })
  for (const [tenant, number, isReached] of [
    ['a', '1900', true],
    ['b', 'reception', true],
    ['b', '1500', true],
    ['b', '2000', false],
    ['large', '1900', false],
  ] as const)
    t.equal(catalog.isReachedAt(tenant, number), isReached, `${number} of ${tenant}`)
  t.equal(reached(catalog, '1900', { tenant: 'b', direction: 'inbound' }), '1900 of b')
  await pool.query('DELETE FROM numbers')
  await clear()
  await clear('b')
})

t.test('a tenant stays in its country while its plan has numbers that are read by it', async (t) => {
  const move = (country: string) =>
    pool.query(`UPDATE tenants SET country = $1, name = 'Moved' WHERE id = 'a'`, [country])
  await save('a', '0901234567', 'x')
  await t.rejects(move('DE'), { code: '23001', message: /country of a cannot change while its number plan/ })
  await move('VN')
  await clear()
  await move('DE')
  await move('VN')

  const client = await pool.connect()
  await client.query('BEGIN')
  await addPlanEntry(client, 'a', entry('0901234567', 'x'), [])
  const moving = move('DE')
  moving.catch(() => undefined)
  while ((await waiting()) === 0) await nextLook(5)
  await client.query('COMMIT')
  client.release()
  await t.rejects(moving, { code: '23001' }, 'nor while one is saved')
  await clear()
})

t.test('of two tenants that claim a number at the same moment one has it', async (t) => {
  const first = await pool.connect()
  await first.query('BEGIN')
  await addPlanEntry(first, 'a', entry('842455577700-842455577799', 'x', { direction: 'inbound' }), [])
  const second = save('b', '+842455577750', 'y', { direction: 'inbound' })
  second.catch(() => undefined)
  while ((await waiting()) === 0) await nextLook(5)
  await first.query('COMMIT')
  first.release()
  await t.rejects(second, { code: 'taken' })
  await clear()
})

t.test('an entry is changed by who has read it last', async (t) => {
  const saved = await save('a', '1080', 'before')
  t.match(saved, { tenantId: 'a', kind: 'exact', number: '1080', version: 1 })
  const changed = await changePlanEntry(pool, 'a', saved.id, entry('1081', 'after'), [], 1)
  t.match(changed, { id: saved.id, number: '1081', version: 2 })
  await t.rejects(changePlanEntry(pool, 'a', saved.id, entry('1082', 'late'), [], 1), {
    code: 'conflict',
    message: /version 2, not 1/,
  })
  await t.rejects(deletePlanEntry(pool, 'a', saved.id, 1), { code: 'conflict' })
  await t.rejects(deletePlanEntry(pool, 'b', saved.id), { code: 'not_found' })
  await t.rejects(changePlanEntry(pool, 'a', 1e15, entry('1', 'x'), []), { code: 'not_found' })
  await t.rejects(changePlanEntry(pool, 'a', 0.5, entry('1', 'x'), []), { code: 'not_found' })
  t.same(await getPlanEntry(pool, 'a', saved.id), changed)
  t.equal(await getPlanEntry(pool, 'b', saved.id), undefined)
  await catalog.reload()
  t.equal(reached(catalog, '1081'), 'after')
  t.equal(reached(catalog, '1080'), undefined)
  await deletePlanEntry(pool, 'a', saved.id, 2)
  await catalog.reload()
  t.equal(reached(catalog, '1081'), undefined)
})

t.test('in a transaction of the caller’s all is done or nothing', async (t) => {
  await t.rejects(
    inTransaction(pool, async (client) => {
      await addPlanEntry(client, 'a', entry('1', 'one'), [])
      await addPlanEntry(client, 'a', entry('1', 'again'), [])
    }),
    { code: 'taken' },
  )
  await inTransaction(pool, async (client) => {
    await addPlanEntry(client, 'a', entry('2', 'two'), [])
    await addPlanEntry(client, 'a', entry('3', 'three'), [])
  })
  await catalog.reload()
  t.same(
    ['1', '2', '3'].map((number) => reached(catalog, number)),
    [undefined, 'two', 'three'],
  )
  await clear()
})

t.test('entries are listed by number, page by page', async (t) => {
  for (const text of ['09*', '100', '100*', '101-109', '+84245', '*98']) await save('a', text, text)
  await save('b', '100', 'not this one')
  const numbers: string[] = []
  let cursor: string | null = null
  do {
    const page: { items: SavedPlanEntry[]; next: string | null } = await listPlanEntries(pool, {
      tenantId: 'a',
      limit: 2,
      ...(cursor !== null && { cursor }),
    })
    t.ok(page.items.length <= 2)
    numbers.push(...page.items.map(({ number }) => number))
    cursor = page.next
  } while (cursor !== null)
  t.same(numbers, ['*98', '100', '100', '101', '+84245', '09'])
  const only = async (query: Partial<Parameters<typeof listPlanEntries>[1]>) =>
    (await listPlanEntries(pool, { tenantId: 'a', limit: 10, ...query })).items.map(({ number }) => number)
  t.same(await only({ kind: 'prefix' }), ['100', '09'])
  t.same(await only({ beginning: '09' }), ['09'], 'as it was typed')
  t.same(await only({ beginning: '849' }), ['09'], 'in normal form')
  t.same(await only({ beginning: '\0' }), [])
  t.same(await only({ direction: 'inbound' }), [])
  const everybodys = await listPlanEntries(pool, { limit: 6 })
  t.equal(everybodys.items.length, 6)
  t.match(await listPlanEntries(pool, { limit: 6, cursor: String(everybodys.next) }), {
    items: [{ tenantId: 'b', number: '100' }],
    next: null,
  })
  await t.rejects(listPlanEntries(pool, { tenantId: 'a', limit: 1, cursor: 'nonsense' }), {
    name: 'CursorError',
  })
  await clear()
  await clear('b')
})

t.test(
  'a change is in force on every node when its notice has come, and without one soon after',
  async (t) => {
    const nodes = [await loadListening(), await loadListening()]
    const polling = await Catalog.load(pool, { log })
    t.teardown(() => polling.close())
    const saved = await save('a', '1080', 'new')
    await until(() => nodes.every((node) => reached(node, '1080') === 'new'))
    await deletePlanEntry(pool, 'a', saved.id)
    await until(() => nodes.every((node) => reached(node, '1080') === undefined))
    // As the trigger does it, and nobody is told.
    await pool.query(`
    BEGIN;
    ALTER TABLE number_plan DISABLE TRIGGER USER;
    INSERT INTO number_plan (tenant_id, kind, number, entered, step)
      VALUES ('a', 'exact', '1081', '1081', '{"route": "play", "arguments": {"name": "missed"}}');
    UPDATE catalog_version SET version = version + 1 WHERE part = 'numbers';
    INSERT INTO catalog_changes SELECT 'numbers', version, 'number_plan', 'a',
      (SELECT id FROM number_plan WHERE number = '1081') FROM catalog_version WHERE part = 'numbers';
    ALTER TABLE number_plan ENABLE TRIGGER USER;
    COMMIT`)
    await until(() => reached(polling, '1081') === 'missed')
    t.equal(reached(polling, '1081'), 'missed')
    for (const node of [...nodes, polling]) await node.close()
    await clear()
  },
)

const many = 5_000

t.test('of thousands of entries and DIDs the one that changed is read, and no other', async (t) => {
  await pool.query(
    `INSERT INTO number_plan (tenant_id, direction, kind, number, entered, step)
    SELECT 'large', 'inbound', 'exact', number, number, jsonb_build_object('route', 'play', 'arguments',
      jsonb_build_object('name', number))
    FROM (SELECT (842470000000 + i)::text AS number FROM generate_series(1, $1) AS i) AS numbers`,
    [many],
  )
  await pool.query(
    `INSERT INTO numbers (number, tenant_id) SELECT (842480000000 + i)::text, 'dids' FROM generate_series(1, $1) AS i`,
    [many],
  )
  const node = await load()
  const large = (number: string) => reached(node, number, { tenant: 'large', direction: 'inbound' })
  t.equal(large('842470000001'), '842470000001', 'the first')
  t.equal(large(String(842470000000 + many)), String(842470000000 + many), 'the last')
  t.match(node.byDid('842470000002'), { tenant: { id: 'large' } })
  t.match(node.byDid(String(842480000000 + many)), { tenant: { id: 'dids' } })
  // What is changed behind the back of all is seen by whoever reads it again.
  const behindTheBack = (sql: string, table: string) =>
    pool.query(`BEGIN; ALTER TABLE ${table} DISABLE TRIGGER USER; ${sql};
      ALTER TABLE ${table} ENABLE TRIGGER USER; COMMIT`)
  await behindTheBack(`DELETE FROM number_plan WHERE number = '842470000001'`, 'number_plan')
  await behindTheBack(`DELETE FROM numbers WHERE number = '842480000001'`, 'numbers')
  await pool.query(`UPDATE number_plan SET step = '{"route": "play", "arguments": {"name": "other"}}'
    WHERE number = '842470000002'`)
  await pool.query(`DELETE FROM number_plan WHERE number = '842470000003'`)
  await pool.query(`DELETE FROM numbers WHERE number = '842480000003'`)
  await pool.query(`UPDATE numbers SET number = '842480999999' WHERE number = '842480000004'`)
  await pool.query(`UPDATE tenants SET name = 'Renamed' WHERE id = 'large'`)
  await node.reload()
  t.equal(large('842470000002'), 'other')
  t.equal(large('842470000003'), undefined)
  t.equal(node.byDid('842470000003'), undefined)
  t.equal(node.byDid('842480000003'), undefined)
  t.equal(node.byDid('842480000004'), undefined)
  t.match(node.byDid('842480999999'), { tenant: { id: 'dids' } })
  t.match(node.byDid('842470000002'), { tenant: { name: 'Renamed' } }, 'tenants are those of now')
  t.equal(large('842470000001'), '842470000001', 'nothing else was read')
  t.match(node.byDid('842480000001'), { tenant: { id: 'dids' } })
  // More at once than are noted one by one.
  await pool.query(`UPDATE number_plan SET step = step WHERE tenant_id = 'large'`)
  await node.reload()
  t.equal(large('842470000001'), undefined, 'all was read')
  t.equal(node.byDid('842480000001'), undefined)
  await behindTheBack(`DELETE FROM number_plan WHERE number = '842470000005'`, 'number_plan')
  await pool.query(`UPDATE catalog_version SET version = version + 5000 WHERE part = 'numbers'`)
  await node.reload()
  t.equal(large('842470000005'), undefined, 'nobody knows what a node missed that was away for so long')
  await pool.query('TRUNCATE number_plan CASCADE')
  await node.reload()
  t.equal(large('842470000002'), undefined)
  await pool.query(`DELETE FROM tenants WHERE id IN ('large', 'dids')`)
  await node.reload()
  t.equal(node.byDid('842480999999'), undefined)
  await node.close()
})

t.test('entries that swap their numbers at once have each other’s', async (t) => {
  const one = await save('a', '1', 'one')
  const two = await save('a', '2', 'two')
  await catalog.reload()
  await pool.query(
    `UPDATE number_plan SET number = CASE id WHEN $1 THEN '2x' ELSE '1x' END WHERE id IN ($1, $2);
    `
      .replace(/\$1/g, String(one.id))
      .replace(/\$2/g, String(two.id)),
  )
  await pool.query(`UPDATE number_plan SET number = left(number, 1) WHERE tenant_id = 'a'`)
  await catalog.reload()
  t.same([reached(catalog, '1'), reached(catalog, '2')], ['two', 'one'])
  await clear()
})
