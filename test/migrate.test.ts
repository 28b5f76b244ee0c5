import { randomBytes } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import t, { type Test } from 'tap'

import { openPool } from '../src/store/database.js'
import { migrateDatabase } from '../src/store/migrate.js'
import { testDatabase } from './support/services.js'

const { pool, url } = await testDatabase(t)
const sql = fileURLToPath(new URL('../../sql/', import.meta.url))
const files = readdirSync(sql).sort()
const names = files.map((file) => file.slice('001_'.length, -'.sql'.length))
/** What the next release's migration is called. */
const later = (name: string) => `${String(files.length + 1).padStart(3, '0')}_${name}.sql`

/** A database without anything in it. */
async function emptyDatabase(t: Test) {
  const name = `linger_test_${randomBytes(8).toString('hex')}`
  await pool.query(`CREATE DATABASE ${name}`)
  const itsUrl = new URL(url)
  itsUrl.pathname = `/${name}`
  const itsPool = openPool(itsUrl.href, { max: 1 })
  t.teardown(async () => {
    await itsPool.end()
    await pool.query(`DROP DATABASE ${name} WITH (FORCE)`)
  })
  return { url: itsUrl.href, pool: itsPool }
}

/** A copy of the migrations that a test may change. */
async function ownFolder(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'linger-sql-'))
  t.teardown(() => rm(folder, { recursive: true }))
  await cp(sql, folder, { recursive: true })
  return folder
}

t.test('an empty database is brought up to this release, once', async (t) => {
  const database = await emptyDatabase(t)
  t.same(await migrateDatabase(database.url), names)
  t.same(await migrateDatabase(database.url), [])
  const { rows } = await database.pool.query<{ name: string }>(
    `SELECT relname AS name FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace`,
  )
  t.same(
    new Set(rows.map(({ name }) => name)),
    new Set([
      ...[
        'accounts',
        'api_keys',
        'audit_lines',
        'balances',
        'blocked_destinations',
        'call_keys',
        'catalog_version',
        'cdrs',
        'cdrs_default',
        'charges',
      ],
      ...[
        'decks',
        'discarded_records',
        'extensions',
        'gateways',
        'ledger',
        'migrations',
        'numbers',
        'rate_changes',
        'rates',
      ],
      ...['reservations', 'tenants'],
      ...['catalog_changes', 'flow_references', 'flow_versions', 'flows', 'number_plan'],
      ...['dropped_cdrs', 'reratings'],
    ]),
  )
})

t.test('two servers that start at once migrate once', async (t) => {
  const database = await emptyDatabase(t)
  const done = await Promise.all([migrateDatabase(database.url), migrateDatabase(database.url)])
  t.same(done.flat(), names)
})

t.test('a database of a later release is refused and left alone', async (t) => {
  const folder = await ownFolder(t)
  await writeFile(join(folder, later('later')), 'CREATE TABLE later ();')
  const database = await emptyDatabase(t)
  t.same(await migrateDatabase(database.url, folder), [...names, 'later'])
  await t.rejects(migrateDatabase(database.url), {
    message: new RegExp(
      `^the database is ahead of this release: it has migration ${files.length + 1} \\(later\\), ` +
        `this release ends at ${files.length}\\.`,
    ),
  })
  t.same(await migrateDatabase(database.url, folder), [], 'the later release still starts')
})

t.test('a migration that was changed after it ran is refused by name, in one line', async (t) => {
  const folder = await ownFolder(t)
  await writeFile(join(folder, '002_money.sql'), 'SELECT 1;')
  await t.rejects(migrateDatabase(url, folder), {
    message: /^.*Hashes don't match for migrations '002_money.sql'.*$/,
  })
})

t.test('a migration that fails changes nothing, and the ones before it stay', async (t) => {
  const folder = await ownFolder(t)
  await writeFile(join(folder, later('wrong')), 'CREATE TABLE half (); SELECT nonsense;')
  const database = await emptyDatabase(t)
  await t.rejects(migrateDatabase(database.url, folder), { message: /'wrong'.*nonsense/ })
  const { rows } = await database.pool.query(
    `SELECT to_regclass('half') AS half, to_regclass('cdrs') AS cdrs`,
  )
  t.same(rows, [{ half: null, cdrs: 'cdrs' }])
  await rm(join(folder, later('wrong')))
  t.same(await migrateDatabase(database.url, folder), [])
})

t.test('a database that cannot be reached rejects', async (t) => {
  const nowhere = new URL(url)
  nowhere.port = '1'
  await t.rejects(migrateDatabase(nowhere.href), { code: 'ECONNREFUSED' })
})

t.test('the tables themselves refuse what must never be', async (t) => {
  const table: [why: string, sql: string, code: string][] = [
    ['a lower-case currency', `UPDATE tenants SET currency = 'vnd'`, '23514'],
    ['a deck in another currency', `UPDATE tenants SET currency = 'EUR'`, '23503'],
    ['a prefix that is no digits', `UPDATE rates SET prefix = '8x' WHERE prefix = '84'`, '23514'],
    ['a price below 0', `UPDATE rates SET price_per_minute = -1`, '23514'],
    ['a price that is no number', `UPDATE rates SET price_per_minute = 'NaN'`, '23514'],
    ['a balance that is no number', `UPDATE balances SET balance = 'NaN'`, '23514'],
    ['less reserved than nothing', `UPDATE balances SET reserved = -1`, '23514'],
    ['credit below 0', `UPDATE tenants SET credit_limit = -1`, '23514'],
    ['a way of billing that there is not', `UPDATE tenants SET billing = 'never'`, '23514'],
    ['a gateway that is part of a command', `UPDATE gateways SET name = 'a|b'`, '23514'],
    ['an extension that is part of a command', `INSERT INTO extensions VALUES ('demo', '1,2')`, '23514'],
    ['a ledger line that is changed', `UPDATE ledger SET amount = 1`, 'P0001'],
    ['a ledger line that is deleted', `DELETE FROM ledger`, 'P0001'],
    ['an empty ledger', `TRUNCATE ledger`, 'P0001'],
    ['a tenant with a ledger that is deleted', `DELETE FROM tenants`, '23503'],
    ['a top-up that takes', `INSERT INTO ledger VALUES (DEFAULT, 'demo', 'topup', -1, 0, '')`, '23514'],
    [
      'a line that changes nothing',
      `INSERT INTO ledger VALUES (DEFAULT, 'demo', 'adjustment', 0, 0, '')`,
      '23514',
    ],
    [
      'the same booking twice',
      `INSERT INTO ledger (tenant_id, kind, amount, balance_after, description, idempotency_key)
        SELECT 'demo', 'topup', 1, 1, '', 'k' FROM generate_series(1, 2)`,
      '23505',
    ],
  ]
  for (const [why, statement, code] of table) await t.rejects(pool.query(statement), { code }, why)
})

t.test('a tenant that never had any money can be deleted, with all that is its own', async (t) => {
  await pool.query(`INSERT INTO tenants (id, name, country, currency) VALUES ('new', 'New', 'VN', 'VND')`)
  await pool.query(
    `INSERT INTO extensions VALUES ('new', '1'); INSERT INTO accounts VALUES ('new', 'new', '1')`,
  )
  await pool.query(`DELETE FROM tenants WHERE id = 'new'`)
  const { rowCount } = await pool.query(
    `SELECT tenant_id FROM balances WHERE tenant_id = 'new' UNION SELECT tenant_id FROM accounts WHERE code = 'new'`,
  )
  t.equal(rowCount, 0)
})
