import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import { pino } from 'pino'
import type { Test } from 'tap'
import { loadConfig } from '../../src/config.js'
import { startServer, type Server } from '../../src/server.js'
import { openPool } from '../../src/store/database.js'
import { ApiContract, type OpenApi } from './openapi.js'
import { temporaryFolder, testDatabase, testRedis } from './services.js'

const pollMs = 50

/** A running server with services of its own, and the views that a test has of it. */
export interface TestLinger {
  readonly server: Server
  /** Where the dialplan's `socket` connects. */
  readonly esl: { readonly host: string; readonly port: number }
  readonly adminKey: string
  readonly pool: pg.Pool
  readonly databaseUrl: string
  readonly redisUrl: string
  readonly dataDir: string
  /** What was logged at level warn and above, or as LOG_LEVEL says. */
  readonly logged: readonly LogLine[]
  /** The CDR of a call, once it is there: a socket may be closed before its call's record is on its way. */
  cdr(callUuid: string): Promise<Cdr>
  /** The latest CDRs, once there are so many. */
  cdrs(count: number): Promise<Cdr[]>
  /** A request of an admin; whatever is answered must be as openapi.json says. */
  http(method: string, path: string, body?: unknown): Promise<{ status: number; body: unknown }>
}

export interface Cdr {
  readonly [field: string]: unknown
  readonly charges: readonly Record<string, unknown>[]
}

export interface LogLine {
  readonly level: number
  readonly msg: string
  readonly [field: string]: unknown
}

/** What a server has that it did not get of its own. */
export interface Through {
  /** A database that is there already, or a line to it that the test can cut. */
  readonly databaseUrl?: string
  /** The test's own way to that database. Default as the server's. */
  readonly pool?: pg.Pool
  readonly redisUrl?: string
  readonly dataDir?: string
  /** What the database is given before the server starts. */
  readonly sql?: string
}

/** Of all servers of this process: they are of one release. */
let contract: ApiContract | undefined

async function readContract({ httpAddress }: Server): Promise<ApiContract> {
  const response = await fetch(`http://${httpAddress}/openapi.json`)
  return new ApiContract((await response.json()) as OpenApi)
}

export async function testLinger(
  t: Pick<Test, 'teardown'>,
  settings: Readonly<Record<string, string>> = {},
  through: Through = {},
): Promise<TestLinger> {
  const { url: databaseUrl, pool } = await databaseOf(t, through)
  if (through.sql !== undefined) await pool.query(through.sql)
  const redisUrl = through.redisUrl ?? (await testRedis(t)).url
  const dataDir = through.dataDir ?? (await temporaryFolder(t))
  const adminKey = randomBytes(32).toString('base64url')
  const config = loadConfig({
    ESL_LISTEN: '127.0.0.1:0',
    HTTP_LISTEN: '127.0.0.1:0',
    ADMIN_KEY: adminKey,
    LOG_LEVEL: 'warn',
    // A busy machine is not a service that is away.
    CREDIT_TIMEOUT_MS: '20000',
    SCREENING_TIMEOUT_MS: '5000',
    // Where nobody but the switch tells of a call, nothing else is waited for.
    SECOND_SOURCE_SECONDS: '1',
    ...settings,
  })
  const logged: LogLine[] = []
  const log = pino({ level: config.logLevel }, { write: (line) => logged.push(JSON.parse(line) as LogLine) })
  const server = await startServer({ config, log, databaseUrl, redisUrl, dataDir })
  t.teardown(() => server.close({ deadlineMs: 0 }))
  const [host = '', port = ''] = server.eslAddress.split(':')
  const http: TestLinger['http'] = async (method, path, body) => {
    const response = await fetch(`http://${server.httpAddress}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${adminKey}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    contract ??= await readContract(server)
    const { status, headers } = response
    const answer = { statusCode: status, headers: Object.fromEntries(headers), body: text }
    const faults = path === '/openapi.json' ? [] : contract.faults(method, path, answer)
    if (faults.length > 0)
      throw new Error(`${method} ${path} is not as openapi.json says: ${faults.join(', ')}`)
    return { status: response.status, body: text === '' ? undefined : JSON.parse(text) }
  }
  const cdrs = async (query: string, count: number): Promise<Cdr[]> => {
    for (;;) {
      await server.delivered()
      const { body } = await http('GET', `/v1/cdrs?${query}`)
      const { items } = body as { items: Cdr[] }
      if (items.length >= count) return items
      // A call that others than its session tell of takes a while: what else runs here must not starve meanwhile.
      await delay(pollMs)
    }
  }
  return {
    server,
    esl: { host, port: Number(port) },
    adminKey,
    pool,
    databaseUrl,
    redisUrl,
    dataDir,
    logged,
    cdr: async (callUuid) => {
      const [cdr] = await cdrs(`call_uuid=${callUuid}`, 1)
      return cdr!
    },
    cdrs: (count) => cdrs('limit=100', count),
    http,
  }
}

async function databaseOf(
  t: Pick<Test, 'teardown'>,
  { databaseUrl: url, pool }: Through,
): Promise<{ url: string; pool: pg.Pool }> {
  if (url === undefined) return testDatabase(t)
  if (pool !== undefined) return { url, pool }
  const own = openPool(url, { max: 2 })
  t.teardown(() => own.end())
  return { url, pool: own }
}
