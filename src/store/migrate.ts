import { readdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'

import pg from 'pg'
import { migrate } from 'postgres-migrations'

const projectRoot = new URL('../../../', import.meta.url)
const migrationsFolder = fileURLToPath(new URL('sql/', projectRoot))

/**
 * Brings the database up to this release: runs those of `sql/*.sql` that have not run yet, each in a transaction
 * of its own. Several servers may start at once: one migrates, the others wait.
 *
 * @param folder of files named `001_name.sql`, consecutive
 * @returns names of the migrations that ran now
 * @throws Error when the database is ahead of this release, when a file that has run was changed since, or when
 *   one fails; its message is for the operator
 */
export async function migrateDatabase(url: string, folder: string = migrationsFolder): Promise<string[]> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'linger migrations',
    connectionTimeoutMillis: 5_000,
  })
  // The query that was running rejects; the event that comes besides must not end the process.
  client.on('error', () => undefined)
  await client.connect()
  try {
    // Before: a later release's database is left alone. After: one may have started in the meantime.
    await refuseLaterDatabase(client, folder)
    const done = await migrate({ client }, folder).catch((error: unknown) => {
      throw new Error(String(error instanceof Error ? error.message : error).replace(/\s+/g, ' '), {
        cause: error,
      })
    })
    await refuseLaterDatabase(client, folder)
    // Number 0 is the library's own table.
    return done.filter(({ id }) => id > 0).map(({ name }) => name)
  } finally {
    await client.end()
  }
}

/** postgres-migrations only looks at the files that it has. */
async function refuseLaterDatabase(client: pg.Client, folder: string): Promise<void> {
  const { rows: found } = await client.query<{ exists: boolean }>(
    `SELECT to_regclass('migrations') IS NOT NULL AS exists`,
  )
  if (!found[0]?.exists) return
  const known = Math.max(0, ...(await readdir(folder)).filter(isMigration).map((name) => parseInt(name, 10)))
  const { rows } = await client.query<{ id: number; name: string }>(
    'SELECT id, name FROM migrations ORDER BY id DESC LIMIT 1',
  )
  const [latest] = rows
  if (latest && latest.id > known)
    throw new Error(
      `the database is ahead of this release: it has migration ${latest.id} (${latest.name}), ` +
        `this release ends at ${known}. Start the release that the database belongs to`,
    )
}

function isMigration(fileName: string): boolean {
  return /^[0-9]+.*\.sql$/.test(fileName)
}
