import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { destination } from 'pino'
import { loadConfig } from '../../../src/config.js'
import { openLog } from '../../../src/log.js'
import { startServer } from '../../../src/server.js'
import type { BenchServer } from './server.js'

/**
 * The server as `npm start` runs it, with the log as it is by default, but into a file.
 * @param databaseUrl, redisUrl of processes of their own
 */
export async function startWhole(
  databaseUrl: string,
  redisUrl: string,
  logFile: string,
): Promise<BenchServer> {
  const config = loadConfig({ ESL_LISTEN: '127.0.0.1:0', HTTP_LISTEN: '127.0.0.1:0', MAX_CALLS: '100000' })
  const { logger } = openLog({
    level: config.logLevel,
    console: destination({ dest: logFile, sync: false }),
  })
  const dataDir = await mkdtemp(join(tmpdir(), 'linger-bench-'))
  const server = await startServer({ config, log: logger, databaseUrl, redisUrl, dataDir })
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  // What the calls that are held open for the memory reserve is more than the balance of a first start.
  await client.query("UPDATE tenants SET credit_limit = 1000000000 WHERE id = 'demo'")
  await client.end()
  await server.reload()
  return {
    port: Number(server.eslAddress.replace(/.*:/, '')),
    httpPort: Number(server.httpAddress.replace(/.*:/, '')),
    close: async () => {
      await server.close({ deadlineMs: 1000 })
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}
