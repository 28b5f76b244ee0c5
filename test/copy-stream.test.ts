import type { Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type pg from 'pg'
import t from 'tap'
import { copyRows, streamRows } from '../src/store/copy-stream.js'
import { openPool } from '../src/store/database.js'
import { testDatabase } from './support/services.js'

const { url, pool: others } = await testDatabase(t)
const pool = openPool(url, { max: 1 })
t.teardown(() => pool.end())

const texts = `SELECT n, nullif(n % 3, 0), E'a\\tb\\\\\\n\\rc' || n FROM generate_series(1, 20000) AS n`

t.test('every row comes once, in its order, with its texts as they are', async (t) => {
  const rows: string[][] = []
  let portions = 0
  for await (const portion of streamRows(pool, texts)) {
    rows.push(...portion)
    portions++
  }
  t.ok(portions > 5, `${portions} portions`)
  t.strictSame(
    rows,
    Array.from({ length: 20_000 }, (_, i) => {
      const n = i + 1
      return [String(n), n % 3 === 0 ? '' : String(n % 3), `a\tb\\\n\rc${n}`]
    }),
  )
  t.strictSame((await pool.query('SELECT 1 AS one')).rows, [{ one: 1 }], 'the connection goes on')
})

t.test('a query without rows ends at once', async (t) => {
  for await (const portion of streamRows(pool, 'SELECT 1 WHERE false')) t.fail(String(portion))
  t.equal(pool.idleCount, 1)
})

t.test('while nobody reads on, PostgreSQL waits', async (t) => {
  const client = await pool.connect()
  const { stream } = (client as pg.PoolClient & { connection: { stream: Socket } }).connection
  const readBefore = stream.bytesRead
  const rows = copyRows(client, `SELECT repeat('x', 1000) FROM generate_series(1, 50000)`)
  let count = (await rows.next()).value?.length ?? 0
  // Long enough for all of them, were they taken.
  for (let turn = 0; turn < 300; turn++) {
    await others.query('SELECT 1')
    await nextTurn()
  }
  t.ok(stream.bytesRead - readBefore < 1_000_000, `${stream.bytesRead - readBefore} bytes of 50 MB were read`)
  for await (const portion of rows) count += portion.length
  t.equal(count, 50_000)
  client.release()
})

t.test('an error in the middle is thrown, and the connection goes on', async (t) => {
  let count = 0
  const read = async () => {
    for await (const rows of streamRows(pool, 'SELECT 1 / (30000 - n) FROM generate_series(1, 40000) AS n'))
      count += rows.length
  }
  await t.rejects(read(), { code: '22012' })
  t.ok(count > 0 && count < 30_000, `after ${count} rows`)
  await t.rejects(read, { code: '22012' })
  t.strictSame((await pool.query('SELECT 1 AS one')).rows, [{ one: 1 }])
})

t.test('a reader that leaves frees the connection, here and at the server', async (t) => {
  const { rows: one } = await pool.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
  const pid = one[0]?.pid
  for await (const rows of streamRows(pool, 'SELECT generate_series(1, 1000000000)')) {
    t.ok(rows.length > 0)
    break
  }
  const other = await pool.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
  t.not(other.rows[0]?.pid, pid, 'another connection takes its place')
  let left = 1
  while (left > 0) {
    const { rowCount } = await others.query('SELECT FROM pg_stat_activity WHERE pid = $1', [pid])
    left = rowCount ?? 0
  }
  t.equal(left, 0)
})

t.test('a server that dies in the middle is an error', async (t) => {
  const { rows: one } = await pool.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
  const read = async () => {
    for await (const rows of streamRows(pool, 'SELECT generate_series(1, 1000000000)'))
      if (rows.length > 0) await others.query('SELECT pg_terminate_backend($1)', [one[0]?.pid])
  }
  await t.rejects(read())
  t.strictSame((await pool.query('SELECT 1 AS one')).rows, [{ one: 1 }])
})
