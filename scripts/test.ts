import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { pino } from 'pino'
import { startEmbeddedPostgres } from '../src/embedded/postgres.js'
import { inDatabase, makeTemplate } from '../test/support/template.js'

/**
 * Runs the tests: starts one PostgreSQL for all of them (unless TEST_DATABASE_URL names one), makes the
 * database that each test's is a copy of, and hands everything after the command's name to test-files.ts.
 */
async function main(): Promise<number> {
  const undo: (() => Promise<unknown>)[] = []
  try {
    let url = process.env.TEST_DATABASE_URL
    if (!url) {
      const dataDir = await mkdtemp(join(tmpdir(), 'linger-tests-'))
      undo.push(() => rm(dataDir, { recursive: true, force: true }))
      const settings = { fsync: 'off', full_page_writes: 'off', max_connections: '300' }
      const postgres = await startEmbeddedPostgres({ dataDir, log: pino({ level: 'warn' }), settings })
      undo.push(() => postgres.stop())
      url = postgres.url
    }
    const adminUrl = url
    const template = await makeTemplate(adminUrl)
    undo.push(() => inDatabase(adminUrl, (client) => client.query(`DROP DATABASE ${template}`)))
    return await runFiles(process.argv.slice(2), {
      TEST_DATABASE_URL: adminUrl,
      TEST_DATABASE_TEMPLATE: template,
    })
  } finally {
    for (const step of undo.reverse()) await step()
  }
}

function runFiles(words: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const script = fileURLToPath(new URL('test-files.js', import.meta.url))
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [script, ...words], {
      stdio: 'inherit',
      env: { ...process.env, ...env },
    })
    // Ctrl-C reaches it by itself; this process stays until it has ended, to take down what it started.
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
    child.once('error', reject)
    child.once('close', (code) => {
      resolve(code ?? 1)
    })
  })
}

process.exitCode = await main()
