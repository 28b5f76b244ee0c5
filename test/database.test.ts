import net from 'node:net'
import { once } from 'node:events'

import { pino } from 'pino'
import t from 'tap'

import { checkDatabase, inTransaction, openPool } from '../src/store/database.js'
import { Line } from './support/outage.js'
import { testDatabase } from './support/services.js'

const { pool, url } = await testDatabase(t)

/** The message of what `checkDatabase` throws for this URL. */
async function complaint(changed: string): Promise<string> {
  const other = openPool(changed, { max: 1 })
  try {
    await checkDatabase(other)
    return 'none'
  } catch (error) {
    return (error as Error).message
  } finally {
    await other.end()
  }
}

function changed(change: (url: URL) => void): string {
  const other = new URL(url)
  change(other)
  return other.href
}

t.test('a database that can be used passes', async (t) => {
  t.equal(await complaint(url), 'none')
})

t.test('a database that cannot be used is named in one line, without its password', async (t) => {
  const silent = net.createServer().listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const { port } = silent.address() as net.AddressInfo
  silent.close()
  const password = 'open-sesame'
  const table: [url: string, message: RegExp][] = [
    [
      `postgres://me:${password}@127.0.0.1:${port}/billing`,
      /^PostgreSQL at 127\.0\.0\.1:\d+, database billing, user me: nothing listens there$/,
    ],
    [
      `postgres://me:${password}@localhost:${port}/billing`,
      /^PostgreSQL at localhost:\d+, database billing, user me: nothing listens there$/,
    ],
    [`postgres://me:${password}@host.invalid/billing`, /host\.invalid:5432.*host name/],
    [changed((url) => (url.pathname = '/no_such_database')), /database no_such_database,.*does not exist$/],
    [`postgres://me:${password}@[nonsense/x`, /^PostgreSQL: the URL: it is not valid$/],
  ]
  for (const [url, message] of table) {
    const said = await complaint(url)
    t.match(said, message)
    t.notMatch(said, password)
    t.notMatch(said, /\n/)
  }
})

t.test('a read-only database is refused', async (t) => {
  const readOnly = changed((url) => {
    url.searchParams.set('options', '-c default_transaction_read_only=on')
  })
  t.match(await complaint(readOnly), /read-only/)
})

t.test('a transaction is all or nothing', async (t) => {
  await pool.query('CREATE TABLE book (page integer)')
  t.equal(
    await inTransaction(
      pool,
      async (client) => (await client.query('INSERT INTO book VALUES (1)')).rowCount,
      '',
    ),
    1,
  )
  await t.rejects(
    inTransaction(pool, async (client) => {
      await client.query('INSERT INTO book VALUES (2)')
      throw new Error('a change of mind')
    }),
    { message: 'a change of mind' },
  )
  await t.rejects(
    inTransaction(pool, async (client) => {
      await client.query('INSERT INTO book VALUES (3)')
      await client.query('nonsense')
    }),
    { code: '42601' },
  )
  t.same((await pool.query('SELECT page FROM book')).rows, [{ page: 1 }])
})

t.test('a connection that breaks, idle or in use, ends neither the process nor the pool', async (t) => {
  const line = await Line.to(t, url)
  const distant = openPool(line.url(url), { max: 2, log: pino({ level: 'silent' }) })
  t.teardown(() => distant.end())
  const broken = once(distant, 'error')
  await distant.query('SELECT 1')
  await line.cut()
  await broken
  await line.mend()
  const asleep = inTransaction(distant, async (client) => {
    await line.cut()
    await client.query('SELECT 1')
  })
  await t.rejects(asleep, { message: /connection|ECONNRESET|EPIPE/i }, 'it says why')
  await line.mend()
  t.equal((await distant.query('SELECT 1')).rowCount, 1)
})
