import type { AddressInfo } from 'node:net'
import type pg from 'pg'
import type { Logger } from 'pino'
import { buildAdmin } from './admin/server.js'
import { Credit } from './billing/credit.js'
import { CallLimits } from './billing/limits.js'
import { isKnownCall } from './call/facts.js'
import { GatewayAccess } from './call/gateways/gateway-access.js'
import { GatewayPlaces } from './call/gateways/gateway-places.js'
import { GatewayHealth } from './call/gateways/gateway-health.js'
import { LiveCalls } from './call/live.js'
import { CallsOfNodes } from './call/remote/calls-everywhere.js'
import type { SessionDependencies } from './call/session-dependencies.js'
import { Session } from './call/session.js'
import { CdrMonths } from './cdr-months.js'
import type { Config } from './config.js'
import { CallerGone } from './esl/errors.js'
import { Listener } from './esl/listener.js'
import { Publishing } from './publishing.js'
import { Feeder } from './journal/feeder.js'
import { Journal, journalFolder } from './journal/journal.js'
import { listenError, listenHttp, show } from './listening.js'
import { nodeId } from './node-id.js'
import { openRecordings } from './recordings.js'
import { flowRules } from './routes/check.js'
import { ownRoutes } from './routes/own.js'
import { Routes } from './routes/registry.js'
import { connectRedis } from './screening/redis.js'
import { Screening } from './screening/screen.js'
import { earlierGivenKeys, ensureFirstKey } from './store/api-keys.js'
import { Catalog } from './store/catalog.js'
import { checkDatabase, openPool } from './store/database.js'
import type { LowBalance } from './store/low-balance.js'
import { migrateDatabase } from './store/migrate.js'
import { reserveCredit } from './store/reservations.js'
import { seedDemo } from './store/seed.js'
import { Watch } from './watch.js'

export interface ServerOptions {
  readonly config: Config
  readonly log: Logger
  readonly databaseUrl: string
  readonly redisUrl: string
  /** The journal is in there. */
  readonly dataDir: string
}

export interface Server {
  /** `127.0.0.1:9000` */
  readonly eslAddress: string
  readonly httpAddress: string
  /** Made at the first start when none was given; it is not stored and cannot be shown again. */
  readonly firstAdminKey: string | undefined
  /** Calls in progress. */
  readonly calls: number
  /** When it resolves, what was committed before of tenants, numbers, rates and flows is in force here. */
  reload(): Promise<void>
  /** Waits until every record is in PostgreSQL, or set aside. */
  delivered(): Promise<void>
  /**
   * Lets the calls in progress end, gives those that are left at the deadline to their dialplan's next
   * action, and delivers the journal, as far as PostgreSQL takes it: what is left waits for the next start.
   * Calling it again waits for the same.
   */
  close(options: { deadlineMs: number }): Promise<void>
}

/** How long a stop waits for PostgreSQL to take what is in the journal. */
const deliveryMs = 10_000
/** Of the journal, for a call in progress: its record, and what LMDB rewrites with it. */
const reserveBytesPerCall = 4096

/**
 * Puts the parts together and listens: the event socket last, so that a call finds all of it there.
 * @throws an error whose message is one line for the person who started it
 */
export async function startServer(options: ServerOptions): Promise<Server> {
  const { config, log, databaseUrl, redisUrl, dataDir } = options
  const routes = new Routes({
    own: config.routesDir === undefined ? [] : await ownRoutes(config.routesDir),
    checkphoneRefuses: config.checkphoneRefuses,
  })
  const pool = openPool(databaseUrl, { max: 4, log })
  const commitPool = openPool(databaseUrl, { max: 4, lockTimeoutMs: 500, log })
  // A call that waits to be dialled must not wait for records, nor either for an admin's slow question.
  const creditPool = openPool(databaseUrl, { max: 8, log })
  const adminPool = openPool(databaseUrl, { max: 6, lockTimeoutMs: 3000, log })
  const redis = connectRedis(redisUrl, log)
  const undo: (() => unknown)[] = [
    () => pool.end(),
    () => commitPool.end(),
    () => creditPool.end(),
    () => adminPool.end(),
    () => {
      redis.disconnect()
    },
  ]
  try {
    await checkDatabase(pool)
    await migrateDatabase(databaseUrl)
    await seedDemo(pool)
    const cdrMonths = await CdrMonths.start({ pool, retention: config.cdrRetention, log })
    undo.push(() => cdrMonths.close())
    const firstAdminKey = await ensureFirstKey(pool, config.adminKey)
    if (config.adminKey !== undefined) await warnOfEarlierKeys(pool, config.adminKey, log)
    const catalog = await Catalog.load(pool, { log })
    undo.push(() => catalog.close())
    const screening = new Screening({
      redis,
      log,
      timeoutMs: config.screeningTimeoutMs,
      failOpen: config.screeningFailOpen,
    })
    const limits = new CallLimits({ redis, log })
    const gatewayLimits = new CallLimits({ redis, log, of: 'gateways' })
    undo.push(() => {
      limits.close()
      gatewayLimits.close()
    })
    const health = new GatewayHealth({ log, restMs: config.gatewayRestSeconds * 1000 })
    const places = new GatewayPlaces({ catalog, limits: gatewayLimits })
    const gateways = new GatewayAccess({ health, limits: gatewayLimits, places })
    const credit = new Credit({
      reserve: (tenantId, requests) => reserveCredit(creditPool, tenantId, requests),
      log,
      sliceSeconds: config.creditSliceSeconds,
      timeoutMs: config.creditTimeoutMs,
      refuseWhenAway: config.creditRefuseWhenAway,
    })
    const journal = await Journal.open({
      dir: journalFolder(dataDir),
      log,
      reserveBytes: Math.max(2 ** 24, config.maxCalls * reserveBytesPerCall),
      maxEventBytes: config.eventsMaxMb * 2 ** 20,
    })
    undo.push(() => journal.close())
    const onLowBalance = (low: LowBalance): void => {
      log.warn({ event: 'low_balance', ...low }, "a tenant's balance fell below its threshold")
    }
    const feeder = new Feeder({ journal, pool: commitPool, log, onLowBalance })
    undo.push(() => feeder.close())
    const node = await nodeId(dataDir)
    const live = new LiveCalls()
    const recorder = openRecordings(config, log)
    const { recordings } = recorder
    undo.push(() => recorder.close())
    const publishing = new Publishing({ config, journal, redis, catalog, log })
    undo.push(() => publishing.close())
    const { events, dialplanEvents } = publishing
    const watch = new Watch({
      ...{
        config,
        node,
        pool,
        redis,
        catalog,
        credit,
        places,
        journal,
        events,
        live,
        recordings,
        log,
      },
    })
    undo.push(() => watch.close())
    for (const link of watch.links)
      link.onEvent((event) => {
        health.observe(event)
      })
    // Where Redis is away, its first connection says so.
    const subscriber = connectRedis(redisUrl, log.child({}, { level: 'silent' }))
    const calls = new CallsOfNodes({ node, live, redis, subscriber, log })
    undo.push(() => {
      calls.close()
    })
    const admin = await buildAdmin({
      pool: adminPool,
      keyPool: pool,
      redis,
      screening,
      catalog,
      country: config.defaultCountry,
      log,
      onLowBalance,
      rateLimits: { requestsPerMinute: config.httpRateLimit, wrongKeysPerMinute: config.httpWrongKeys },
      trustedProxies: config.httpTrustedProxies,
      corsOrigins: config.httpCorsOrigins,
      ...{ calls, journal, node, isDelivering: () => !feeder.isAway },
      switches: () => watch.links,
      rabbit: () => publishing.state,
      gatewayStatus: (rows) => gateways.status(rows),
      flows: flowRules(routes),
      plugins: [watch.http],
      readiness: () =>
        Promise.resolve([
          {
            name: 'event_socket',
            ok: !listener.isDraining,
            ...(listener.isDraining && { detail: 'the server drains' }),
          },
          {
            name: 'journal',
            ok: !journal.isFull,
            ...(journal.trouble !== undefined && { detail: journal.trouble }),
          },
        ]),
    })
    undo.push(() => admin.close())
    await listenHttp(admin, config.httpListen)
    const listener = await listenForCalls(config, log, {
      catalog,
      routes,
      screening,
      limits,
      gateways,
      places,
      credit,
      journal,
      events,
      dialplanEvents,
      log,
      trustedProfiles: config.trustedProfiles,
      defaultCountry: config.defaultCountry,
      finalEventMs: config.finalEventSeconds * 1000,
      node,
      live,
      recordings,
      elsewhere: watch,
    })
    watch.start(listener.address.port)
    let closing: Promise<void> | undefined
    return {
      eslAddress: show(listener.address),
      httpAddress: show(admin.server.address() as AddressInfo),
      firstAdminKey,
      get calls() {
        return listener.calls
      },
      reload: () => catalog.reload(),
      delivered: async () => {
        await feeder.drain()
      },
      close: ({ deadlineMs }) => {
        closing ??= (async () => {
          const given = await listener.close({ deadlineMs })
          if (given > 0) log.warn({ calls: given }, 'calls were given to the next action of their dialplan')
          if (!feeder.isAway) await feeder.drain(AbortSignal.timeout(deliveryMs))
          if (journal.pending > 0)
            log.warn({ records: journal.pending }, 'call records wait in the journal for the next start')
          for (const step of undo.reverse()) await step()
        })()
        return closing
      },
    }
  } catch (error) {
    for (const step of undo.reverse()) await step()
    throw error
  }
}

/** A node that starts with another ADMIN_KEY does not end the one before: others may still be started with that. */
async function warnOfEarlierKeys(pool: pg.Pool, given: string, log: Logger): Promise<void> {
  const keys = await earlierGivenKeys(pool, given)
  if (keys.length > 0)
    log.warn({ keys }, 'earlier values of ADMIN_KEY are still good: revoke each with DELETE /v1/keys/ID')
}

async function listenForCalls(
  config: Config,
  log: Logger,
  dependencies: SessionDependencies,
): Promise<Listener> {
  const { host, port } = config.eslListen
  try {
    return await Listener.listen({
      host,
      port,
      allow: config.eslAllow,
      maxCalls: config.maxCalls,
      lingerSeconds: config.lingerSeconds,
      isKnownCall,
      onCall: (call) => Session.serve(call, dependencies),
      onError: (error, { remoteAddress, callUuid }) => {
        const about = { err: error, remoteAddress, call: callUuid }
        if (error instanceof CallerGone) log.debug(about, 'event socket closed')
        else log.warn(about, 'event socket trouble')
      },
    })
  } catch (error) {
    throw listenError('ESL_LISTEN', { host, port }, error)
  }
}
