import { setImmediate as nextTurn, setTimeout as nextLook } from 'node:timers/promises'

import { pino } from 'pino'
import t from 'tap'

import { parseMoney } from '../src/billing/money.js'
import { rateLeg } from '../src/billing/rating.js'
import { Catalog } from '../src/store/catalog.js'
import { Follower, type Part } from '../src/store/follower.js'
import { importRates } from '../src/store/rates.js'
import { plainRate } from './support/rates.js'
import { testDatabase } from './support/services.js'

const { pool } = await testDatabase(t)
const log = pino({ level: 'silent' })
const anHour = 3_600_000

async function load(pollMs: number): Promise<Catalog> {
  const catalog = await Catalog.load(pool, { log, pollMs })
  t.teardown(() => catalog.close())
  return catalog
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await nextLook(5)
}

/** Connections that listen, by the server's own account. */
async function listeners(): Promise<number[]> {
  const { rows } = await pool.query<{ pid: number }>(
    `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%' AND state = 'idle'`,
  )
  return rows.map(({ pid }) => pid)
}

async function untilListening(count: number): Promise<void> {
  while ((await listeners()).length !== count) await nextLook(10)
}

const price = (catalog: Catalog, number = '84901234567') => catalog.rate('demo', number)?.pricePerMinute

t.test('a change is in force on every node when its notice has come', async (t) => {
  const nodes = [await load(anHour), await load(anHour), await load(anHour)]
  await untilListening(nodes.length)
  await pool.query(`UPDATE rates SET price_per_minute = 501 WHERE prefix = '8490'`)
  await until(() => nodes.every((node) => price(node) === parseMoney('501')))
  await pool.query(`UPDATE tenants SET ring_seconds = 17 WHERE id = 'demo'`)
  await until(() => nodes.every((node) => node.tenant('demo')?.ringSeconds === 17))
  for (const node of nodes) {
    t.equal(price(node), parseMoney('501'))
    t.equal(node.tenant('demo')?.ringSeconds, 17)
  }
  for (const node of nodes) await node.close()
  await untilListening(0)
})

t.test('a notice that was missed heals', async (t) => {
  // As often as it does of itself: within 2 s, notice or not.
  const node = await Catalog.load(pool, { log })
  t.teardown(() => node.close())
  await untilListening(1)
  // Committed with its version, and nobody is told.
  await pool.query(`
    BEGIN;
    ALTER TABLE rates DISABLE TRIGGER USER;
    UPDATE rates SET price_per_minute = 502 WHERE prefix = '8490';
    UPDATE catalog_version SET version = version + 1 WHERE part = 'rates';
    INSERT INTO rate_changes SELECT version, 'demo', '8490' FROM catalog_version WHERE part = 'rates';
    ALTER TABLE rates ENABLE TRIGGER USER;
    COMMIT`)
  await until(() => price(node) === parseMoney('502'))
  t.equal(price(node), parseMoney('502'))
  await node.close()
})

t.test('a listener whose connection breaks listens again, and looks what it missed', async (t) => {
  const node = await load(anHour)
  await untilListening(1)
  const [pid] = await listeners()
  await pool.query('SELECT pg_terminate_backend($1)', [pid])
  await pool.query(`UPDATE rates SET price_per_minute = 503 WHERE prefix = '8490'`)
  await until(() => price(node) === parseMoney('503'))
  await untilListening(1)
  await pool.query(`UPDATE rates SET price_per_minute = 504 WHERE prefix = '8490'`)
  await until(() => price(node) === parseMoney('504'))
  t.equal(price(node), parseMoney('504'))
  await node.close()
})

t.test('a leg keeps the rate that it was dialled at', async (t) => {
  const node = await load(anHour)
  const frozen = node.rate('demo', '84901234567')!
  const cost = rateLeg(frozen, 60_000).cost
  await pool.query(`UPDATE rates SET price_per_minute = 999, connection_fee = 5 WHERE prefix = '8490'`)
  await node.reload()
  t.equal(price(node), parseMoney('999'))
  t.equal(rateLeg(frozen, 60_000).cost, cost)
  await node.close()
})

t.test('a new price is in force from its moment on, not from its commit', async (t) => {
  const node = await load(anHour)
  const monday = Date.parse('2031-03-03T00:00:00Z') * 1000
  await pool.query(`INSERT INTO rates (deck_id, prefix, prefix_entered, price_per_minute, valid_from)
    VALUES ('demo', '8490', '090', 450, '2031-03-03T00:00:00Z')`)
  await node.reload()
  t.equal(price(node), parseMoney('999'))
  t.equal(node.rate('demo', '84901234567', monday - 1)?.pricePerMinute, parseMoney('999'))
  t.equal(node.rate('demo', '84901234567', monday)?.pricePerMinute, parseMoney('450'))
  await node.close()
})

t.test('a tenant that is given another deck is never without a price', async (t) => {
  const node = await load(anHour)
  await pool.query(`INSERT INTO decks (id, name, currency) VALUES ('next', 'Next', 'VND')`)
  await importRates(
    pool,
    'next',
    Array.from({ length: 5_000 }, (_, i) => plainRate(String(8_490_000 + i), 1_000_000n)).concat(
      plainRate('84', 2_000_000n),
    ),
  )
  await pool.query(`UPDATE tenants SET deck_id = 'next' WHERE id = 'demo'`)
  const seen = new Set<bigint | undefined>([price(node)])
  const reloaded = node.reload().then(() => true)
  while (!(await Promise.race([reloaded, nextTurn(false)]))) seen.add(price(node))
  seen.add(price(node))
  t.same([...seen], [parseMoney('999'), parseMoney('1')])
  await node.close()
})

t.test('rates that take long to read hold up nothing else', async (t) => {
  const node = await load(anHour)
  await untilListening(1)
  const before = price(node)
  const holder = await pool.connect()
  await holder.query('BEGIN; LOCK TABLE rates IN ACCESS EXCLUSIVE MODE')
  // A version that says so, and a table that lets nobody read yet.
  await pool.query(`
    UPDATE catalog_version SET version = version + 1 WHERE part = 'rates';
    INSERT INTO rate_changes SELECT version, 'next' FROM catalog_version WHERE part = 'rates';
    NOTIFY linger_catalog, 'rates'`)
  await pool.query(`UPDATE tenants SET name = 'Renamed' WHERE id = 'demo'`)
  await until(() => node.tenant('demo')?.name === 'Renamed')
  t.equal(price(node), before, 'the prices of before are charged')
  await holder.query('UPDATE rates SET price_per_minute = 77; COMMIT')
  holder.release()
  await until(() => price(node) === parseMoney('77'))
  t.equal(price(node), parseMoney('77'))
  await node.close()
})

t.test(
  'what changes while a part rests after it was read is read in one go, unless it is asked for',
  async (t) => {
    let version = 0
    let readings = 0
    // Its version is another one each time: every question reads it.
    const part: Part = {
      name: 'directory',
      get version() {
        return `old ${version++}`
      },
      refresh: async () => {
        readings++
        await nextLook(100)
      },
    }
    let answered = (): void => undefined
    const follower = new Follower(part, {
      pool,
      pollMs: anHour,
      onAsked: () => {
        answered()
      },
    })
    t.teardown(() => follower.close())
    const asked = () => new Promise<void>((resolve) => (answered = resolve))
    const first = asked()
    follower.notice('directory')
    await first
    t.equal(readings, 1, 'the first at once')
    const second = asked()
    for (let i = 0; i < 20; i++) {
      follower.notice('directory')
      await nextTurn()
    }
    t.equal(readings, 1, 'notices are gathered')
    await follower.reload()
    t.equal(readings, 2, 'who asks does not wait')
    await second
    t.equal(readings, 3, 'all notices are one reading')
  },
)
