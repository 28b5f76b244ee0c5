import { execFile } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import type { Logger } from 'pino'
import { startServerProcess } from './child.js'
import { ServiceError } from './errors.js'
import { readIfThere } from './files.js'
import { ownProcess } from './privileges.js'
import { commandLine, waitUntil } from './processes.js'
import type { Supervised } from './supervisor.js'
import { onFreePort, supervise } from './supervisor.js'

const STOP_MS = 30_000

/** Where an embedded Redis keeps what it needs. */
export interface RedisPlace {
  /** The folder of its data, made if need be. */
  dir: string
  portFile: string
  password: string
  log: Logger
}

/** A redis-server on PATH that is new enough (6.2: SMISMEMBER), or undefined. */
export async function findRedisServer(): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)('redis-server', ['--version'])
    const [, major = '0', minor = '0'] = /v=(\d+)\.(\d+)/.exec(stdout) ?? []
    return Number(major) > 6 || (Number(major) === 6 && Number(minor) >= 2) ? 'redis-server' : undefined
  } catch {
    return undefined
  }
}

/** Starts a redis-server that ends with this process and writes every change to its append-only file. */
export async function startRedisServer(
  file: string,
  { dir, portFile, password, log }: RedisPlace,
): Promise<Supervised & { url: string }> {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  await endLeftOver(portFile, password, log)
  const { port, supervised } = await onFreePort(portFile, (port) => {
    const launch = ownProcess(
      {
        file,
        // Its settings come over standard input: a command line can be read by everybody.
        args: ['-'],
        input: settings(dir, port, password),
        env: { PATH: process.env.PATH, LC_ALL: 'C' },
      },
      'TERM',
    )
    return supervise({
      name: 'the embedded Redis',
      start: (signal) => startServerProcess({ launch, isReady, onLine, signal }),
      stopSignal: 'SIGTERM',
      abortSignal: 'SIGKILL',
      stopMs: STOP_MS,
      log,
    })
  })
  return { url: `redis://:${password}@127.0.0.1:${port}/0`, stop: supervised.stop }

  function isReady(line: string): boolean {
    return line.includes('Ready to accept connections')
  }
  function onLine(line: string): void {
    // Its WARNINGs are advice on the kernel's settings, given at every start.
    if (/error|fail|can't|denied/i.test(line) && !line.includes('WARNING')) log.warn({ redis: line })
    else log.debug({ redis: line })
  }
}

function settings(dir: string, port: number, password: string): string {
  // JSON's escapes are those of a quoted word in Redis' settings.
  return Object.entries({
    bind: '127.0.0.1',
    port,
    requirepass: password,
    dir: JSON.stringify(dir),
    appendonly: 'yes',
    appendfsync: 'everysec',
    save: '""',
    daemonize: 'no',
    logfile: '""',
  })
    .map(([name, value]) => `${name} ${value}\n`)
    .join('')
}

/**
 * Two servers on one append-only file would spoil it. One that a killed process left behind is found by what
 * nobody else has: it listens on the port that we keep and knows our password.
 */
async function endLeftOver(portFile: string, password: string, log: Logger): Promise<void> {
  const port = Number(await readIfThere(portFile))
  if (!port) return
  const client = new Redis({
    host: '127.0.0.1',
    port,
    password,
    lazyConnect: true,
    connectTimeout: 2_000,
    commandTimeout: 5_000,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
  })
  client.on('error', () => undefined)
  try {
    const pid = Number(/process_id:(\d+)/.exec(await client.info('server'))?.[1])
    if (!pid || !commandLine(pid).includes('redis')) return
    log.warn({ pid }, 'an embedded Redis of an earlier run is still there, waiting for its end')
    await client.shutdown().catch(() => undefined)
    if (await waitUntil(() => commandLine(pid) === '', STOP_MS)) return
    throw new ServiceError(`the one of an earlier run (process ${pid}) does not end: look at it, or kill it`)
  } catch (error) {
    // Nothing there, or something that is not ours.
    if (error instanceof ServiceError) throw error
  } finally {
    client.disconnect()
  }
}
