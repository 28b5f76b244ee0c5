import { randomBytes } from 'node:crypto'
import type pg from 'pg'
import { pino } from 'pino'
import type { Test } from 'tap'
import { loadConfig } from '../../src/config.js'
import { startServer, type Server } from '../../src/server.js'
import { testDatabase, testRedis } from './services.js'

/** A running server with services of its own, and the views that a test has of it. */
export interface TestLinger {
  readonly server: Server
  /** Where the dialplan's `socket` connects. */
  readonly esl: { readonly host: string; readonly port: number }
  readonly adminKey: string
  readonly pool: pg.Pool
  readonly databaseUrl: string
  readonly redisUrl: string
  /** What was logged at level warn and above, or as LOG_LEVEL says. */
  readonly logged: readonly LogLine[]
  /** A request of an admin. */
  http(method: string, path: string, body?: unknown): Promise<{ status: number; body: unknown }>
}

export interface LogLine {
  readonly level: number
  readonly msg: string
  readonly [field: string]: unknown
}

/** @param through other ways to the services than their own, such as a line that the test can cut */
export async function testLinger(
  t: Pick<Test, 'teardown'>,
  settings: Readonly<Record<string, string>> = {},
  through: { readonly databaseUrl?: string; readonly redisUrl?: string } = {},
): Promise<TestLinger> {
  const database = await testDatabase(t)
  const databaseUrl = through.databaseUrl ?? database.url
  const redisUrl = through.redisUrl ?? (await testRedis(t)).url
  const adminKey = randomBytes(32).toString('base64url')
  const config = loadConfig({
    ESL_LISTEN: '127.0.0.1:0',
    HTTP_LISTEN: '127.0.0.1:0',
    ADMIN_KEY: adminKey,
    LOG_LEVEL: 'warn',
    ...settings,
  })
  const logged: LogLine[] = []
  const log = pino({ level: config.logLevel }, { write: (line) => logged.push(JSON.parse(line) as LogLine) })
  const server = await startServer({ config, log, databaseUrl, redisUrl })
  t.teardown(() => server.close({ deadlineMs: 0 }))
  const [host = '', port = ''] = server.eslAddress.split(':')
  return {
    server,
    esl: { host, port: Number(port) },
    adminKey,
    pool: database.pool,
    databaseUrl,
    redisUrl,
    logged,
    http: async (method, path, body) => {
      const response = await fetch(`http://${server.httpAddress}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${adminKey}`,
          ...(body !== undefined && { 'content-type': 'application/json' }),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      })
      const text = await response.text()
      return { status: response.status, body: text === '' ? undefined : JSON.parse(text) }
    },
  }
}
