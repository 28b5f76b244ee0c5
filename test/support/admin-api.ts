import { createHash, randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import type pg from 'pg'
import type { Test } from 'tap'
import type { AdminDependencies } from '../../src/admin/dependencies.js'
import { buildAdmin } from '../../src/admin/server.js'
import { CallLimits } from '../../src/billing/limits.js'
import { GatewayAccess } from '../../src/call/gateways/gateway-access.js'
import { GatewayHealth } from '../../src/call/gateways/gateway-health.js'
import { Journal } from '../../src/journal/journal.js'
import { flowRules } from '../../src/routes/check.js'
import { Routes } from '../../src/routes/registry.js'
import { checkRedis, connectRedis } from '../../src/screening/redis.js'
import { Screening } from '../../src/screening/screen.js'
import { ensureFirstKey } from '../../src/store/api-keys.js'
import { Catalog } from '../../src/store/catalog.js'
import { openPool } from '../../src/store/database.js'
import type { LowBalance } from '../../src/store/low-balance.js'
import { LiveCalls } from '../../src/call/live.js'
import { CallsOfNodes } from '../../src/call/remote/calls-everywhere.js'
import { noPlaces } from './gateways.js'
import { logLines, type LogLine } from './log-lines.js'
import { ApiContract, type OpenApi } from './openapi.js'
import { Line } from './outage.js'
import { temporaryFolder, testDatabase, testRedis } from './services.js'

export interface Asked {
  /** An object is sent as JSON. */
  body?: unknown
  /** Null: none. Default: an admin key. */
  key?: string | null
  headers?: Record<string, string>
}

export interface Answer {
  status: number
  headers: Record<string, unknown>
  json: () => Record<string, unknown>
  body: string
}

/** The admin API over services of its own, and lines to them that can be cut. */
export interface AdminApi {
  app: FastifyInstance
  dependencies: AdminDependencies
  contract: ApiContract
  /** Asks the API; whatever it answers must be as openapi.json says. */
  ask: (t: Test, method: string, url: string, asked?: Asked) => Promise<Answer>
  makeKey: (role: string, tenant: string | null) => Promise<string>
  adminKey: string
  /** What is asked on these does not pass the lines. */
  database: { url: string; pool: pg.Pool }
  others: Redis
  databaseLine: Line
  redisLine: Line
  log: LogLine[]
  /** Warnings of low balances. */
  told: LowBalance[]
}

export async function startAdminApi(t: Test): Promise<AdminApi> {
  const database = await testDatabase(t)
  const { url: redisUrl } = await testRedis(t)
  const databaseLine = await Line.to(t, database.url)
  const redisLine = await Line.to(t, redisUrl)
  const { log, lines } = logLines()
  const pool = openPool(databaseLine.url(database.url), { max: 4, log })
  const redis = connectRedis(redisLine.url(redisUrl), log)
  const others = new Redis(redisUrl)
  await checkRedis(redis)
  const catalog = await Catalog.load(database.pool, { log })
  const told: LowBalance[] = []
  const journal = await Journal.open({ dir: await temporaryFolder(t), log, reserveBytes: 2 ** 20 })
  // No test asks how long it waits for Redis; a busy machine takes its time.
  const limits = new CallLimits({ redis, log, of: 'gateways', timeoutMs: 10_000 })
  const access = new GatewayAccess({ health: new GatewayHealth({ log }), limits, places: noPlaces })
  const subscriber = connectRedis(redisLine.url(redisUrl), log.child({}, { level: 'silent' }))
  const calls = new CallsOfNodes({ node: 'here', live: new LiveCalls(), redis, subscriber, log })
  const dependencies: AdminDependencies = {
    pool,
    keyPool: pool,
    redis,
    screening: new Screening({ redis, log }),
    catalog,
    country: 'VN',
    log,
    rateLimits: { requestsPerMinute: 1_000_000, wrongKeysPerMinute: 1_000_000 },
    calls,
    journal,
    node: '0123456789abcdef',
    isDelivering: () => true,
    switches: () => [],
    rabbit: () => undefined,
    gatewayStatus: (gateways) => access.status(gateways),
    flows: flowRules(new Routes()),
    readiness: () => Promise.resolve([{ name: 'event_socket', ok: true }]),
    onLowBalance: (low) => told.push(low),
  }
  const app = await buildAdmin(dependencies)
  t.teardown(async () => {
    await app.close()
    calls.close()
    limits.close()
    await catalog.close()
    await journal.close()
    redis.disconnect()
    others.disconnect()
    await pool.end()
  })
  const adminKey = (await ensureFirstKey(database.pool)) ?? ''
  const contract = new ApiContract((await app.inject('/openapi.json')).json<OpenApi>())

  const ask: AdminApi['ask'] = async (t, method, url, { body, key = adminKey, headers } = {}) => {
    const answer = await app.inject({
      method: method as 'GET',
      url,
      headers: { ...(key !== null && { authorization: `Bearer ${key}` }), ...headers },
      ...(body !== undefined && { payload: body as object }),
    })
    t.strictSame(contract.faults(method, url, answer), [], `${method} ${url}: ${answer.statusCode}`)
    return {
      status: answer.statusCode,
      headers: answer.headers,
      json: () => answer.json(),
      body: answer.body,
    }
  }

  const makeKey: AdminApi['makeKey'] = async (role, tenant) => {
    const text = `test_${randomUUID()}`
    await database.pool.query('INSERT INTO api_keys (hash, role, tenant_id) VALUES ($1, $2, $3)', [
      createHash('sha256').update(text).digest(),
      role,
      tenant,
    ])
    return text
  }

  return {
    app,
    dependencies,
    contract,
    ask,
    makeKey,
    adminKey,
    database,
    others,
    databaseLine,
    redisLine,
    log: lines,
    told,
  }
}

/** Answers that admin-ledger.test.ts is to see. */
export const answersOfLedger = /^(topUp|refund|adjust)Tenant (20\d|404|409|413|415)$/
/** Answers that admin-transactions.test.ts is to see. */
export const answersOfTransactions = /^(list|export)Transactions (200|400|404)$/
/** Answers that admin-journal.test.ts is to see. */
export const answersOfJournal = /(Journal|Aside|Discarded) (20\d|404|409|413|415)$/
/** Answers that admin-lists.test.ts is to see; the others are admin.test.ts's. */
export const answersOfLists = /^(list|add|get|remove)(Blacklist|Vip) (20\d|404|413|415)$/
