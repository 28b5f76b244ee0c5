import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import { buildAdmin } from './admin/server.js'
import { isKnownCall } from './call/facts.js'
import { Session, type SessionDependencies } from './call/session.js'
import type { Config } from './config.js'
import { CallerGone } from './esl/errors.js'
import { Listener } from './esl/listener.js'
import { connectRedis } from './screening/redis.js'
import { Screening } from './screening/screen.js'
import { ensureFirstKey } from './store/api-keys.js'
import { Catalog } from './store/catalog.js'
import { Committer } from './store/committer.js'
import { checkDatabase, openPool } from './store/database.js'
import { migrateDatabase } from './store/migrate.js'
import { ensurePartitions } from './store/partitions.js'
import { seedDemo } from './store/seed.js'

export interface ServerOptions {
  readonly config: Config
  readonly log: Logger
  readonly databaseUrl: string
  readonly redisUrl: string
}

export interface Server {
  /** `127.0.0.1:9000` */
  readonly eslAddress: string
  readonly httpAddress: string
  /** Made at the first start when none was given; it is not stored and cannot be shown again. */
  readonly firstAdminKey: string | undefined
  /** Calls in progress. */
  readonly calls: number
  /**
   * Lets the calls in progress end, gives those that are left at the deadline to their dialplan's next
   * action, and returns when every record is in PostgreSQL. Calling it again waits for the same.
   */
  close(options: { deadlineMs: number }): Promise<void>
}

const partitionCheckMs = 6 * 60 * 60 * 1000

/**
 * Puts the parts together and listens: the event socket last, so that a call finds all of it there.
 * @throws an error whose message is one line for the person who started it
 */
export async function startServer({ config, log, databaseUrl, redisUrl }: ServerOptions): Promise<Server> {
  const pool = openPool(databaseUrl, { max: 4, log })
  // An admin's slow question must not hold up a call's record.
  const adminPool = openPool(databaseUrl, { max: 6, log })
  const redis = connectRedis(redisUrl, log)
  const undo: (() => unknown)[] = [
    () => pool.end(),
    () => adminPool.end(),
    () => {
      redis.disconnect()
    },
  ]
  try {
    await checkDatabase(pool)
    await migrateDatabase(databaseUrl)
    await seedDemo(pool)
    await ensurePartitions(pool, new Date())
    const firstAdminKey = await ensureFirstKey(pool, config.adminKey)
    const partitions = setInterval(() => {
      ensurePartitions(pool, new Date()).catch((error: unknown) => {
        log.error({ err: error }, 'the CDR partitions of the months to come could not be made')
      })
    }, partitionCheckMs)
    undo.push(() => {
      clearInterval(partitions)
    })
    const catalog = await Catalog.load(pool, { log })
    undo.push(() => catalog.close())
    const screening = new Screening({
      redis,
      log,
      timeoutMs: config.screeningTimeoutMs,
      failOpen: config.screeningFailOpen,
    })
    const committer = new Committer({ pool, log })
    const admin = await buildAdmin({
      pool: adminPool,
      redis,
      screening,
      catalog,
      country: config.defaultCountry,
      log,
      readiness: () =>
        Promise.resolve([
          {
            name: 'event_socket',
            ok: !listener.isDraining,
            ...(listener.isDraining && { detail: 'the server drains' }),
          },
        ]),
    })
    undo.push(() => admin.close())
    await listenHttp(admin, config)
    const listener = await listenForCalls(config, log, {
      catalog,
      screening,
      commit: (record) => committer.commit(record),
      log,
      trustedProfiles: config.trustedProfiles,
      defaultCountry: config.defaultCountry,
      finalEventMs: config.finalEventSeconds * 1000,
    })
    let closing: Promise<void> | undefined
    return {
      eslAddress: show(listener.address),
      httpAddress: show(admin.server.address() as AddressInfo),
      firstAdminKey,
      get calls() {
        return listener.calls
      },
      close: ({ deadlineMs }) => {
        closing ??= (async () => {
          const given = await listener.close({ deadlineMs })
          if (given > 0) log.warn({ calls: given }, 'calls were given to the next action of their dialplan')
          await committer.drain()
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
    throw listenError('ESL_LISTEN', host, port, error)
  }
}

async function listenHttp(admin: FastifyInstance, config: Config): Promise<void> {
  const { host, port } = config.httpListen
  try {
    await admin.listen({ host, port })
  } catch (error) {
    throw listenError('HTTP_LISTEN', host, port, error)
  }
}

function listenError(setting: string, host: string, port: number, error: unknown): Error {
  const { code, message } = error as NodeJS.ErrnoException
  const what =
    code === 'EADDRINUSE'
      ? 'another process listens there; stop it, or set another port'
      : code === 'EADDRNOTAVAIL'
        ? 'this machine has no such address'
        : code === 'EACCES'
          ? 'this user may not listen there'
          : message
  return new Error(`${setting} ${host}:${port}: ${what}`, { cause: error })
}

function show({ address, port, family }: AddressInfo): string {
  return family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`
}
