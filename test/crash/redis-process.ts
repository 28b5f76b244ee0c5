import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import type { ChildProcess } from 'node:child_process'
import { startServerProcess, type Child, type Launch } from '../../src/embedded/child.js'
import { ownProcess } from '../../src/embedded/privileges.js'
import { findRedisServer } from '../../src/embedded/redis-server.js'
import { killHard, startParent } from '../support/embedded.js'

/** A Redis in a process of its own: a redis-server where there is one, else the built-in one. */
export interface RedisProcess {
  readonly kind: 'redis-server' | 'built-in'
  readonly url: string
  /** @returns when it answers; of two who ask at the same time, both get the same one */
  start(): Promise<void>
  /** Waits for one that starts. */
  kill(): Promise<void>
}

export async function createRedis(dir: string, port: number): Promise<RedisProcess> {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const file = await findRedisServer()
  return file === undefined ? createBuiltIn(dir) : new RedisServer(file, dir, port)
}

class RedisServer implements RedisProcess {
  readonly kind = 'redis-server'
  readonly url: string
  readonly #launch: Launch
  #child: Child | undefined
  #starting: Promise<void> | undefined

  constructor(file: string, dir: string, port: number) {
    const password = randomBytes(16).toString('hex')
    this.url = `redis://:${password}@127.0.0.1:${port}/0`
    const settings = `bind 127.0.0.1\nport ${port}\nrequirepass ${password}\ndir ${dir}\nappendonly yes\nsave ""\n`
    this.#launch = ownProcess({ file, args: ['-'], input: settings, env: { PATH: process.env.PATH } }, 'KILL')
  }

  start(): Promise<void> {
    return (this.#starting ??= this.#start())
  }

  async kill(): Promise<void> {
    await this.#starting
    this.#starting = undefined
    this.#child?.kill('SIGKILL')
    await this.#child?.ended
  }

  async #start(): Promise<void> {
    this.#child = await startServerProcess({
      launch: this.#launch,
      isReady: (line) => line.includes('Ready to accept connections'),
      onLine: () => undefined,
    })
  }
}

async function createBuiltIn(dir: string): Promise<RedisProcess> {
  let starting: Promise<{ parent: ChildProcess; url: string }> | undefined
  const start = async (): Promise<string> => {
    const { url } = await (starting ??= startParent([dir, 'redis']))
    return url
  }
  const kill = async (): Promise<void> => {
    const started = await starting
    starting = undefined
    if (started !== undefined) await killHard(started.parent)
  }
  // It keeps its port and its password in its folder.
  const url = await start()
  await kill()
  return {
    kind: 'built-in',
    url,
    start: async () => {
      await start()
    },
    kill,
  }
}
