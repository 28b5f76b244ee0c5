import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import type pg from 'pg'
import { pino } from 'pino'
import type { Test } from 'tap'
import tap from 'tap'
import { startEmbeddedPostgres } from '../../src/embedded/postgres.js'
import { startEmbeddedRedis } from '../../src/embedded/redis.js'
import { openPool } from '../../src/store/database.js'
import { inDatabase, makeTemplate } from './template.js'

/**
 * PostgreSQL and Redis for tests, both the real thing: those named by TEST_DATABASE_URL and TEST_REDIS_URL,
 * else embedded ones, started by the test runner or, for a file that is run alone, here.
 */

type Teardown = Pick<Test, 'teardown'>

/** A database of its own for a test file: migrated, seeded, on nobody else's way, dropped at the end. */
export async function testDatabase(t: Teardown): Promise<{ url: string; pool: pg.Pool }> {
  server ??= databaseServer()
  const { adminUrl, template } = await server
  const name = `linger_test_${randomBytes(8).toString('hex')}`
  await inDatabase(adminUrl, (client) => client.query(`CREATE DATABASE ${name} TEMPLATE ${template}`))
  const url = new URL(adminUrl)
  url.pathname = `/${name}`
  const pool = openPool(url.href, { max: 10 })
  t.teardown(async () => {
    if (!pool.ended) await pool.end()
    await inDatabase(adminUrl, (client) => client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`))
  })
  return { url: url.href, pool }
}

/** An empty Redis of its own for a test file; of a real one, a database of its own. */
export async function testRedis(t: Teardown): Promise<{ url: string }> {
  const real = process.env.TEST_REDIS_URL
  if (!real) {
    const dataDir = await temporaryFolder(t)
    const redis = await startEmbeddedRedis({ dataDir, log: pino({ level: 'silent' }) })
    t.teardown(() => redis.stop())
    return { url: redis.url }
  }
  const client = new Redis(real)
  try {
    const [, databases] = (await client.config('GET', 'databases')) as [string, string]
    // Database 0 counts; it must be large enough a ring that a number comes round only when its test is over.
    const turn = await client.incr('linger:tests')
    const number = 1 + (turn % (Number(databases) - 1))
    await client.select(number)
    await client.flushdb()
    const url = new URL(real)
    url.pathname = `/${number}`
    return { url: url.href }
  } finally {
    client.disconnect()
  }
}

/** A folder that is gone after the test. Torn down in reverse order: what is started in it later ends before. */
export async function temporaryFolder(t: Teardown): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'linger-test-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

interface DatabaseServer {
  adminUrl: string
  /** The database that each test's is a copy of. */
  template: string
}
let server: Promise<DatabaseServer> | undefined

async function databaseServer(): Promise<DatabaseServer> {
  const given = process.env.TEST_DATABASE_URL
  const made = process.env.TEST_DATABASE_TEMPLATE
  if (given && made) return { adminUrl: given, template: made }
  const adminUrl = given ?? (await ownPostgres())
  const template = await makeTemplate(adminUrl)
  tap.teardown(() => inDatabase(adminUrl, (client) => client.query(`DROP DATABASE ${template}`)))
  return { adminUrl, template }
}

async function ownPostgres(): Promise<string> {
  const dataDir = await temporaryFolder(tap)
  const settings = { fsync: 'off', full_page_writes: 'off', max_connections: '300' }
  const postgres = await startEmbeddedPostgres({ dataDir, log: pino({ level: 'silent' }), settings })
  tap.teardown(() => postgres.stop())
  return postgres.url
}
