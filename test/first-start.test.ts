import t from 'tap'

import { earlierGivenKeys, ensureFirstKey, findKey } from '../src/store/api-keys.js'
import { readBalance } from '../src/store/balances.js'
import { seedDemo } from '../src/store/seed.js'
import { booksOf } from './support/call-records.js'
import { testDatabase } from './support/services.js'

t.test('an empty database gets the demo tenant, once, whoever starts', async (t) => {
  const { pool } = await testDatabase(t)
  // Back to before the first start.
  await pool.query(`ALTER TABLE ledger DISABLE TRIGGER USER; TRUNCATE tenants, decks CASCADE`)
  await pool.query(`ALTER TABLE ledger ENABLE TRIGGER USER`)
  const seeded = await Promise.all([seedDemo(pool), seedDemo(pool), seedDemo(pool)])
  t.same(seeded.toSorted(), [false, false, true])
  t.equal(await seedDemo(pool), false)
  t.match(await readBalance(pool, 'demo'), { balance: '1000000.00', currency: 'VND' })
  t.match(await booksOf(pool, 'demo'), { ledger: '1000000.000000', lines: 1, breaks: 0 })
})

t.test('a database that has tenants is left alone', async (t) => {
  const { pool } = await testDatabase(t)
  await pool.query(
    `UPDATE tenants SET name = 'Mine' WHERE id = 'demo'; UPDATE rates SET price_per_minute = 1`,
  )
  t.equal(await seedDemo(pool), false)
  const { rows } = await pool.query(
    `SELECT name, (SELECT max(price_per_minute) FROM rates) AS price FROM tenants`,
  )
  t.same(rows, [{ name: 'Mine', price: '1.000000' }])
})

t.test('the first start makes one key and shows it once', async (t) => {
  const { pool } = await testDatabase(t)
  const made = await Promise.all([ensureFirstKey(pool), ensureFirstKey(pool), ensureFirstKey(pool)])
  const [key, ...others] = made.filter((key) => key !== undefined)
  t.match(key, /^linger_[0-9A-Za-z_-]{43}$/)
  t.same(others, [], 'two servers at once make one key')
  t.equal(await ensureFirstKey(pool), undefined, 'and the next start makes none')
  t.match(await findKey(pool, key!), { role: 'admin', tenant: null, id: /^[0-9a-f-]{36}$/ })
  for (const wrong of ['', `${key!} `, key!.slice(0, -1), key!.toUpperCase(), '\0', `' OR true --`])
    t.equal(await findKey(pool, wrong), undefined)
  const { rows } = await pool.query<{ text: string }>('SELECT api_keys::text AS text FROM api_keys')
  t.notOk(
    rows.some(({ text }) => text.includes(key!)),
    'the key itself is not kept',
  )
})

t.test('a key that the operator gives is valid, even if it was revoked', async (t) => {
  const { pool } = await testDatabase(t)
  const given = 'a key that I chose myself'
  t.equal(await ensureFirstKey(pool, given), undefined)
  t.equal(await ensureFirstKey(pool, given), undefined)
  t.match(await findKey(pool, given), { role: 'admin', tenant: null })
  await pool.query('UPDATE api_keys SET revoked_at = now()')
  t.equal(await findKey(pool, given), undefined)
  t.equal(await ensureFirstKey(pool), undefined, 'there was a first key')
  await ensureFirstKey(pool, given)
  t.match(await findKey(pool, given), { role: 'admin' })
})

t.test('a key is good even if it cannot be noted that it was used', async (t) => {
  const { pool } = await testDatabase(t)
  const key = (await ensureFirstKey(pool)) ?? ''
  const other = await pool.connect()
  try {
    await other.query('BEGIN; SELECT FROM api_keys FOR UPDATE')
    t.match(await findKey(pool, key), { role: 'admin' }, 'somebody has its row')
  } finally {
    await other.query('ROLLBACK')
    other.release()
  }
  await pool.query(
    `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'the disk is full'; END $$;
    CREATE TRIGGER refuse BEFORE UPDATE ON api_keys FOR EACH ROW EXECUTE FUNCTION refuse()`,
  )
  t.match(await findKey(pool, key), { role: 'admin' })
  await pool.query('DROP TRIGGER refuse ON api_keys')
  await findKey(pool, key)
  const { rows } = await pool.query('SELECT last_used_at FROM api_keys')
  t.match(rows, [{ last_used_at: Date }])
})

t.test('keys that were given before another one are told, until they are revoked', async (t) => {
  const { pool } = await testDatabase(t)
  const idOf = async (key: string) => (await findKey(pool, key))?.id
  for (const key of ['the first', 'the second', 'the third']) await ensureFirstKey(pool, key)
  t.strictSame(await earlierGivenKeys(pool, 'the third'), [await idOf('the first'), await idOf('the second')])
  await pool.query('UPDATE api_keys SET revoked_at = now() WHERE id = $1', [await idOf('the first')])
  t.strictSame(await earlierGivenKeys(pool, 'the third'), [await idOf('the second')])
  t.match(await findKey(pool, 'the second'), { role: 'admin' }, 'none is revoked by the start of another')
})
