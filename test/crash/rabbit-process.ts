import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startServerProcess, type Child, type Launch } from '../../src/embedded/child.js'
import { ownProcess } from '../../src/embedded/privileges.js'

/** Debian's. The one in /usr/sbin would run as its own user, in its own folders. */
const program = '/usr/lib/rabbitmq/bin/rabbitmq-server'

export interface RabbitPorts {
  readonly amqp: number
  /** Of Erlang: nodes find each other there. */
  readonly epmd: number
  readonly distribution: number
}

/** Whether there is one to be killed. */
export const hasRabbit = existsSync(program)

/** A RabbitMQ that can be killed, and started again on the same data. All of it listens on loopback alone. */
export class RabbitProcess {
  readonly url: string
  readonly #launch: Launch
  readonly #epmd: Child
  #child: Child | undefined
  #starting: Promise<void> | undefined

  private constructor(url: string, launch: Launch, epmd: Child) {
    this.url = url
    this.#launch = launch
    this.#epmd = epmd
  }

  /** Not started yet. @param dir an empty folder */
  static async create(dir: string, { amqp, epmd, distribution }: RabbitPorts): Promise<RabbitProcess> {
    await mkdir(dir, { recursive: true, mode: 0o700 })
    const cookie = join(dir, '.erlang.cookie')
    await writeFile(cookie, randomBytes(16).toString('hex'))
    await chmod(cookie, 0o400)
    await writeFile(join(dir, 'rabbitmq.conf'), `listeners.tcp.1 = 127.0.0.1:${amqp}\n`)
    await writeFile(join(dir, 'enabled_plugins'), '[].\n')
    const env = {
      PATH: process.env.PATH,
      HOME: dir,
      LC_ALL: 'C.UTF-8',
      ERL_EPMD_ADDRESS: '127.0.0.1',
      ERL_EPMD_PORT: String(epmd),
      RABBITMQ_CONF_ENV_FILE: '/dev/null',
      RABBITMQ_NODENAME: `crash${amqp}@localhost`,
      RABBITMQ_MNESIA_BASE: join(dir, 'data'),
      RABBITMQ_LOG_BASE: join(dir, 'log'),
      RABBITMQ_CONFIG_FILE: join(dir, 'rabbitmq.conf'),
      RABBITMQ_ENABLED_PLUGINS_FILE: join(dir, 'enabled_plugins'),
      RABBITMQ_DIST_PORT: String(distribution),
      // No shell in between, which would outlive it, or it the shell.
      RUNNING_UNDER_SYSTEMD: '1',
      // It must not turn round for work while others want the processor.
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS:
        '-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none',
    }
    const own = (file: string, ...args: string[]) => ownProcess({ file, args, env }, 'KILL')
    // It would leave one behind that nobody ends.
    const portMapper = await startServerProcess({
      launch: own('epmd', '-d', '-d', '-port', String(epmd), '-address', '127.0.0.1'),
      isReady: (line) => line.includes('entering the main select() loop'),
      onLine: () => undefined,
    })
    return new RabbitProcess(`amqp://guest:guest@127.0.0.1:${amqp}`, own(program), portMapper)
  }

  /** @returns when it answers; of two who ask at the same time, both get the same one */
  start(): Promise<void> {
    return (this.#starting ??= this.#start())
  }

  /** Waits for one that starts. */
  async kill(): Promise<void> {
    await this.#starting
    this.#starting = undefined
    this.#child?.kill('SIGKILL')
    await this.#child?.ended
  }

  async stop(): Promise<void> {
    await this.kill()
    this.#epmd.kill('SIGKILL')
  }

  async #start(): Promise<void> {
    this.#child = await startServerProcess({
      launch: this.#launch,
      isReady: (line) => line.includes('Starting broker... completed'),
      onLine: () => undefined,
    })
  }
}
