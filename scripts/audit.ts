import { existsSync, readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import pg from 'pg'
import { pino } from 'pino'
import { loadConfig } from '../src/config.js'
import { holdDataDir } from '../src/data-dir.js'
import { ServiceError } from '../src/embedded/errors.js'
import { startEmbeddedPostgres } from '../src/embedded/postgres.js'
import { auditBooks, auditMode } from '../src/store/audit.js'
import { checkDatabase, inTransaction } from '../src/store/database.js'

/**
 * `npm run audit`: proves that the books of the database that the server uses add up, while it runs or not.
 * Exit code 0: they do. 1: they do not; each line names a tenant and what is wrong. 2: no audit was made.
 */
const foundFaults = 1
const noAudit = 2

async function main(): Promise<number> {
  const undo: (() => Promise<unknown>)[] = []
  try {
    const url = await databaseUrl(undo)
    // Not the server's pool: a question over all the ledger may take longer than a call would wait.
    const pool = new pg.Pool({ connectionString: url, max: 1, application_name: 'linger audit' })
    pool.on('error', () => undefined)
    undo.push(() => pool.end())
    await checkDatabase(pool)
    const { tenants, findings } = await inTransaction(pool, auditBooks, auditMode)
    for (const { tenant, what } of findings)
      console.log(`${tenant === null ? 'no tenant' : `tenant ${tenant}`}: ${what}`)
    const names = new Set(findings.map(({ tenant }) => tenant))
    console.log(
      findings.length === 0
        ? `balances, ledger, reservations, charges and CDRs add up (tenants: ${tenants})`
        : `the books do NOT add up (findings: ${findings.length}, tenants: ${names.size} of ${tenants})`,
    )
    return findings.length === 0 ? 0 : foundFaults
  } finally {
    for (const step of undo.reverse()) await step()
  }
}

/** Of the database in DATABASE_URL, else of the embedded one: the server's, if it runs, else started for this. */
async function databaseUrl(undo: (() => Promise<unknown>)[]): Promise<string> {
  const config = loadConfig(process.env, envFile())
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

function envFile(): string {
  try {
    return readFileSync('.env', 'utf8')
  } catch {
    return ''
  }
}

try {
  process.exitCode = await main()
} catch (error) {
  process.stderr.write(
    `audit: ${String(error instanceof Error ? error.message : error).replace(/\s+/g, ' ')}\n`,
  )
  process.exitCode = noAudit
}
