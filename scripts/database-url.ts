import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { pino } from 'pino'
import type { Config } from '../src/config.js'
import { holdDataDir } from '../src/data-dir.js'
import { ServiceError } from '../src/embedded/errors.js'
import { startEmbeddedPostgres } from '../src/embedded/postgres.js'

/**
 * Of the database in DATABASE_URL, else of the embedded one: the server's, if it runs, else started for this.
 * @param undo gets what ends that again
 * @throws Error in one line
 */
export async function databaseUrl(config: Config, undo: (() => Promise<unknown>)[]): Promise<string> {
  if (config.databaseUrl !== undefined) return config.databaseUrl
  if (!existsSync(join(config.dataDir, 'postgres')))
    throw new Error(`there is no database in DATA_DIR ${config.dataDir}, and DATABASE_URL names none`)
  try {
    const { path, release } = await holdDataDir(config.dataDir)
    undo.push(release)
    const { url, stop } = await startEmbeddedPostgres({ dataDir: path, log: pino({ level: 'silent' }) })
    undo.push(stop)
    return url
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error
    return await runningServer(config.dataDir).catch(() => {
      throw error
    })
  }
}

/** Where a server that holds the data has its PostgreSQL (src/embedded/postgres.ts). */
async function runningServer(dataDir: string): Promise<string> {
  const read = async (name: string) =>
    (await readFile(join(resolve(dataDir), 'postgres', name), 'utf8')).trim()
  return `postgres://linger:${await read('password')}@127.0.0.1:${await read('port')}/linger`
}
