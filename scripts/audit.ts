import pg from 'pg'
import { auditBooks, auditMode } from '../src/store/audit.js'
import { checkDatabase, inTransaction } from '../src/store/database.js'
import { databaseUrl } from './database-url.js'
import { configOfSettings } from './settings.js'

/**
 * `npm run audit`: proves that the books of the database that the server uses add up, while it runs or not.
 * Exit code 0: they do. 1: they do not; each line names a tenant and what is wrong. 2: no audit was made.
 */
const foundFaults = 1
const noAudit = 2

async function main(): Promise<number> {
  const undo: (() => Promise<unknown>)[] = []
  try {
    const url = await databaseUrl(configOfSettings(), undo)
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

try {
  process.exitCode = await main()
} catch (error) {
  process.stderr.write(
    `audit: ${String(error instanceof Error ? error.message : error).replace(/\s+/g, ' ')}\n`,
  )
  process.exitCode = noAudit
}
