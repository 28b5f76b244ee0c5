import { mkdir, readFile } from 'node:fs/promises'
import type { Server, Socket } from 'node:net'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { deserialize, serialize } from 'node:v8'
import type { KeyspaceEntry } from 'js-redis-server/core'
import {
  attachSession,
  createRedisCommandExecutor,
  RedisServerState,
  SocketConnectionTransport,
} from 'js-redis-server/core'
import type { Logger } from 'pino'
import { ServiceError } from './errors.js'
import { writeWhole } from './files.js'
import type { RedisPlace } from './redis-server.js'
import type { Supervised } from './supervisor.js'
import { onFreePort } from './supervisor.js'

/** As many as a real one has. */
const DATABASES = 16

/** A first change is written this soon, in ms: what an admin was told is done outlives a kill just after. */
const FIRST_WRITE_MS = 20
/** Further ones are gathered this long at least, in ms, and longer if a write takes long: at most a tenth of the time. */
const NEXT_WRITE_MS = 200
const RETRY_MS = 5_000

/**
 * Starts a Redis in JavaScript in this process, for machines that have none. It keeps its data in memory and a
 * copy in a file, which a kill leaves at most a fraction of a second behind.
 */
export async function startBuiltInRedis(place: RedisPlace): Promise<Supervised & { url: string }> {
  const { dir, portFile, password, log } = place
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const state = new RedisServerState({ databaseCount: DATABASES, requirepass: password })
  const snapshot = new Snapshot(join(dir, 'snapshot'), state, log)
  await snapshot.load()

  const executor = createRedisCommandExecutor()
  const sockets = new Set<Socket>()
  // The package's own listener would bind every interface.
  const server = createServer({ noDelay: true, keepAlive: true }, (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    attachSession(new SocketConnectionTransport(socket), {
      state,
      executor,
      logger: {
        error: (error) => {
          log.error({ err: error }, 'built-in Redis')
        },
      },
      clientAddress: `${socket.remoteAddress ?? ''}:${socket.remotePort ?? 0}`,
    })
  })
  const stop = async (): Promise<void> => {
    const closed = new Promise((resolve) => server.close(resolve))
    for (const socket of sockets) socket.destroy()
    await closed
    state.close()
    await snapshot.close()
  }
  let stopping: Promise<void> | undefined
  const { port, supervised } = await onFreePort(portFile, async (port) => {
    await listen(server, port)
    return { stop: () => (stopping ??= stop()) }
  })
  return { url: `redis://:${password}@127.0.0.1:${port}/0`, stop: supervised.stop }
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      reject(new ServiceError(`Failed listening on port ${port}: ${error.message}`))
    })
    server.listen(port, '127.0.0.1', resolve)
  })
}

/** What the file holds, in V8's own serialization (maps, buffers and big integers as they are). */
interface Saved {
  version: 1
  databases: { id: number; entries: KeyspaceEntry[] }[]
}

function isCurrent(saved: Saved | { version: unknown }): saved is Saved {
  return saved.version === 1
}

/** The copy of the data in a file: read at the start, written after changes. */
class Snapshot {
  readonly #path: string
  readonly #state: RedisServerState
  readonly #log: Logger
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> | undefined
  #isChanged = false
  #isFailing = false

  constructor(path: string, state: RedisServerState, log: Logger) {
    this.#path = path
    this.#state = state
    this.#log = log
  }

  async load(): Promise<void> {
    for (const { id, entries } of (await this.#read()).databases) {
      const database = this.#state.getDatabase(id)
      for (const { key, value, expiresAt } of entries) {
        if (expiresAt === undefined) database.set(key, value)
        else if (expiresAt > Date.now()) database.set(key, value, { expiresAt })
      }
    }
    for (const database of this.#state.databases) {
      database.subscribe(() => {
        this.#isChanged = true
        if (!this.#writing) this.#timer ??= this.#writeIn(FIRST_WRITE_MS)
      })
    }
  }

  /** Writes what is not yet written. */
  async close(): Promise<void> {
    clearTimeout(this.#timer)
    await this.#writing
    clearTimeout(this.#timer)
    if (this.#isChanged) await this.#write()
    clearTimeout(this.#timer)
  }

  async #read(): Promise<Saved> {
    try {
      const saved = deserialize(await readFile(this.#path)) as Saved | { version: unknown }
      if (!isCurrent(saved)) throw new Error(`its version is ${String(saved.version)}`)
      return saved
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { version: 1, databases: [] }
      const why = error instanceof Error ? error.message : String(error)
      throw new ServiceError(`${this.#path} cannot be read (${why}): move it away to start with empty lists`)
    }
  }

  #writeIn(ms: number): NodeJS.Timeout {
    return setTimeout(() => {
      this.#timer = undefined
      if (!this.#isChanged) return
      this.#writing = this.#write().finally(() => {
        this.#writing = undefined
      })
    }, ms)
  }

  async #write(): Promise<void> {
    const from = performance.now()
    this.#isChanged = false
    let pauseMs: number
    try {
      const databases = this.#state.databases
        .map((database) => ({ id: database.id, entries: database.entriesSnapshot() }))
        .filter(({ entries }) => entries.length > 0)
      await writeWhole(this.#path, serialize({ version: 1, databases } satisfies Saved))
      this.#isFailing = false
      pauseMs = Math.max(NEXT_WRITE_MS, 9 * (performance.now() - from))
    } catch (error) {
      this.#isChanged = true
      if (!this.#isFailing) this.#log.error({ err: error }, 'the data of the built-in Redis cannot be saved')
      this.#isFailing = true
      pauseMs = RETRY_MS
    }
    this.#timer = this.#writeIn(pauseMs)
  }
}
