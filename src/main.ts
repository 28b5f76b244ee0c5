import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Logger } from 'pino'
import type { Config } from './config.js'
import { saysOver } from './call/ended.js'
import { ConfigError, loadConfig } from './config.js'
import { holdDataDir } from './data-dir.js'
import { startEmbeddedPostgres } from './embedded/postgres.js'
import { startEmbeddedRedis } from './embedded/redis.js'
import { openLog } from './log.js'
import type { Service } from './start-screen.js'
import { startScreen } from './start-screen.js'

/** EX_CONFIG of sysexits.h: starting again without a change is of no use. */
const EXIT_CONFIG = 78

/**
 * npm passes the signal of a Ctrl-C on to a process that has got it from the terminal already, so that a second
 * one counts only when it comes this much later, in ms.
 */
const SECOND_SIGNAL_MS = 500

async function main(): Promise<void> {
  const config = loadConfig(process.env, readEnvFile())
  const { logger, print, reopen } = openLog({ level: config.logLevel, file: config.logFile })
  const stopped = untilStopped(logger)
  if (!process.stdout.isTTY) process.on('SIGHUP', reopen)
  const routes = config.routesDir === undefined ? undefined : folderUrl(config.routesDir)
  const bear = (error: unknown, isRoutes: boolean): void => {
    // What nobody waits for breaks nothing off: not worth the calls of all others when it is an own route's.
    if (isRoutes) {
      logger.error({ err: error }, 'a route did not wait for what it began, and that failed')
      return
    }
    logger.fatal({ err: error }, 'an error that nobody handled ends the process')
    process.exit(1)
  }
  process.on('uncaughtException', (error) => {
    bear(error, mentions(error, routes))
  })
  process.on('unhandledRejection', (reason) => {
    // What a library refuses later need not show who asked for it: then it is a route's if it is not ours.
    const isRoutes = mentions(reason, routes) || (routes !== undefined && !mentions(reason, ownCode))
    bear(reason, saysOver(reason) || isRoutes)
  })

  const undo: (() => Promise<void>)[] = []
  try {
    const { isStopped, signal } = stopped
    const dataDir = await holdDataDir(config.dataDir)
    undo.push(dataDir.release)
    const postgres = await postgresService(config, dataDir.path, logger, undo)
    if (isStopped()) return
    const redis = await redisService(config, dataDir.path, logger, undo)
    if (isStopped()) return
    // Not before: to read all of it takes a second, in which a wrong setting could have been told.
    const { startServer } = await import('./server.js')
    const server = await startServer({
      config,
      log: logger,
      databaseUrl: postgres.url,
      redisUrl: redis.url,
      dataDir: dataDir.path,
    })
    undo.push(() => server.close({ deadlineMs: config.drainSeconds * 1_000 }))
    const { eslAddress, httpAddress, firstAdminKey } = server
    print(
      startScreen({
        eslAddress,
        httpAddress,
        postgres,
        redis,
        dataDir: dataDir.path,
        logFile: config.logFile,
        firstAdminKey,
      }),
    )
    await signal
  } finally {
    for (const step of undo.reverse()) await step()
  }
  logger.info('stopped')
}

const ownCode = new URL('.', import.meta.url).href

/** As a stack names what is in it, and not the link that leads there. */
function folderUrl(dir: string): string {
  const path = existsSync(dir) ? realpathSync(dir) : resolve(dir)
  return `${pathToFileURL(path).href}/`
}

/** @param folder as a URL */
function mentions(error: unknown, folder: string | undefined): boolean {
  return folder !== undefined && error instanceof Error && error.stack?.includes(folder) === true
}

async function postgresService(
  config: Config,
  dataDir: string,
  log: Logger,
  undo: (() => Promise<void>)[],
): Promise<Service> {
  if (config.databaseUrl !== undefined) return { kind: 'external', url: config.databaseUrl }
  const postgres = await startEmbeddedPostgres({ dataDir, log })
  undo.push(postgres.stop)
  return { kind: 'embedded', url: postgres.url }
}

async function redisService(
  config: Config,
  dataDir: string,
  log: Logger,
  undo: (() => Promise<void>)[],
): Promise<Service> {
  if (config.redisUrl !== undefined) return { kind: 'external', url: config.redisUrl }
  const redis = await startEmbeddedRedis({ dataDir, log })
  undo.push(redis.stop)
  return { kind: `embedded (${redis.kind})`, url: redis.url }
}

/** The first signal asks for an orderly stop, a second one ends the process at once. */
function untilStopped(log: Logger): { signal: Promise<void>; isStopped: () => boolean } {
  let first: number | undefined
  const signal = new Promise<void>((resolve) => {
    const onSignal = (name: NodeJS.Signals): void => {
      if (first === undefined) {
        first = Date.now()
        log.info({ signal: name }, 'stopping; calls in progress may end, a second signal stops at once')
        resolve()
      } else if (Date.now() - first > SECOND_SIGNAL_MS) {
        process.exit(1)
      }
    }
    process.on('SIGINT', onSignal)
    process.on('SIGTERM', onSignal)
    if (process.stdout.isTTY) process.on('SIGHUP', onSignal)
  })
  return { signal, isStopped: () => first !== undefined }
}

function readEnvFile(): string {
  try {
    return readFileSync('.env', 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw new ConfigError(`.env cannot be read: ${(error as Error).message}`)
  }
}

/** One line for what ended the start or the stop. */
function oneLine(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error)
  return text.replace(/\s*\n\s*/g, ' ')
}

process.stdout.on('error', () => undefined)
try {
  await main()
} catch (error) {
  process.stderr.write(`linger: ${oneLine(error)}\n`)
  process.exitCode = error instanceof ConfigError ? EXIT_CONFIG : 1
}
