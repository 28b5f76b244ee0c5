import { mkdir, readdir, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { ServiceError } from './errors.js'
import { keptPassword } from './files.js'
import { startBuiltInRedis } from './redis-built-in.js'
import { findRedisServer, startRedisServer } from './redis-server.js'
import type { Supervised } from './supervisor.js'

export interface EmbeddedRedisOptions {
  /** Everything is kept in its folder `redis`: the data, the password, the port. */
  dataDir: string
  log: Logger
}

export interface EmbeddedRedis extends Supervised {
  /** With the password in it. Listens on 127.0.0.1 only. */
  url: string
  /** A redis-server from PATH in a process of its own, or the one in JavaScript in this process. */
  kind: 'redis-server' | 'built-in'
}

/**
 * Starts a Redis: a redis-server (6.2 or later) if one is on PATH, else the built-in one. Data that one kind
 * has written stay with that kind, so that installing or removing a redis-server loses nothing.
 * @throws ServiceError, one line, if it cannot be started
 */
export async function startEmbeddedRedis({ dataDir, log }: EmbeddedRedisOptions): Promise<EmbeddedRedis> {
  try {
    await mkdir(join(dataDir, 'redis'), { recursive: true, mode: 0o700 })
    const dir = await realpath(join(dataDir, 'redis'))
    const place = {
      dir,
      portFile: join(dir, 'port'),
      password: await keptPassword(join(dir, 'password')),
      log,
    }
    const serverDir = join(dir, 'server')
    const builtInDir = join(dir, 'built-in')

    const file = await findRedisServer()
    if (await hasFiles(builtInDir)) {
      if (file)
        log.info({ dir: builtInDir }, 'the lists are in the built-in Redis, redis-server stays unused')
      return { kind: 'built-in', ...(await startBuiltInRedis({ ...place, dir: builtInDir })) }
    }
    if (file) return { kind: 'redis-server', ...(await startRedisServer(file, { ...place, dir: serverDir })) }
    if (await hasFiles(serverDir)) {
      throw new ServiceError(
        `${serverDir} holds the data of a redis-server, which is no longer on PATH: install it again, name a ` +
          'Redis in REDIS_URL, or remove that folder to start with empty lists',
      )
    }
    return { kind: 'built-in', ...(await startBuiltInRedis({ ...place, dir: builtInDir })) }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new ServiceError(`the embedded Redis cannot be started: ${why}`, { cause: error })
  }
}

async function hasFiles(dir: string): Promise<boolean> {
  return (await readdir(dir).catch(() => [])).length > 0
}
