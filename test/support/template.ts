import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { openPool } from '../../src/store/database.js'
import { migrateDatabase } from '../../src/store/migrate.js'
import { ensurePartitions } from '../../src/store/partitions.js'
import { seedDemo } from '../../src/store/seed.js'

/** Makes the database that each test's database is a copy of, migrated and seeded; answers its name. */
export async function makeTemplate(adminUrl: string): Promise<string> {
  const name = `linger_template_${randomBytes(8).toString('hex')}`
  await inDatabase(adminUrl, (client) =>
    client.query(`CREATE DATABASE ${name} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'`),
  )
  const url = new URL(adminUrl)
  url.pathname = `/${name}`
  await migrateDatabase(url.href)
  const pool = openPool(url.href, { max: 1 })
  await seedDemo(pool)
  await ensurePartitions(pool, new Date())
  await pool.end()
  // A database can be copied while nobody is in it, and pool.end() does not wait for its sockets to be gone.
  await inDatabase(adminUrl, (client) =>
    client.query(
      'SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()',
      [name],
    ),
  )
  return name
}

/** Runs something on a connection of its own. */
export async function inDatabase<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => undefined)
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}
