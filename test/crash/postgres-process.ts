import { readdirSync, readFileSync } from 'node:fs'
import { mkdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { pino } from 'pino'
import { startServerProcess, type Child, type Launch } from '../../src/embedded/child.js'
import { startEmbeddedPostgres } from '../../src/embedded/postgres.js'
import { findPostgres } from '../../src/embedded/postgres-binaries.js'
import { ownProcess } from '../../src/embedded/privileges.js'

/** A PostgreSQL that can be killed as a machine that loses its power is, and started again on the same data. */
export class PostgresProcess {
  readonly url: string
  readonly #launch: Launch
  #child: Child | undefined
  #starting: Promise<void> | undefined
  #ending: Promise<unknown> | undefined

  private constructor(url: string, launch: Launch) {
    this.url = url
    this.#launch = launch
  }

  /** Makes the cluster and its database. Not started yet. */
  static async create(dir: string, port: number): Promise<PostgresProcess> {
    await mkdir(dir, { recursive: true, mode: 0o711 })
    const embedded = await startEmbeddedPostgres({ dataDir: dir, log: pino({ level: 'silent' }) })
    await embedded.stop()
    const home = join(dir, 'postgres')
    const data = join(home, 'data')
    const binaries = await findPostgres(join(home, 'lib'))
    const settings = {
      listen_addresses: '127.0.0.1',
      unix_socket_directories: '',
      logging_collector: 'off',
      lc_messages: 'C',
      timezone: 'UTC',
      // What a killed process had written is in the system's memory: to have each file on the disk takes seconds.
      recovery_init_sync_method: 'syncfs',
    }
    const words = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    const { uid, gid } = await stat(data)
    const paths = [home, binaries.postgres, join(binaries.home, 'lib'), join(binaries.home, 'share')]
    const launch = ownProcess(
      {
        file: binaries.postgres,
        args: ['-D', data, '-p', String(port), ...words],
        env: { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC', ...binaries.env },
      },
      'KILL',
      process.getuid?.() === 0 ? { uid, gid, paths } : undefined,
    )
    const url = new URL(embedded.url)
    url.port = String(port)
    return new PostgresProcess(url.href, launch)
  }

  /** @returns when it answers; of two who ask at the same time, both get the same one */
  start(): Promise<void> {
    return (this.#starting ??= this.#start())
  }

  /** Every process of it at once, so that none of them notices the end of another. Waits for one that starts. */
  async kill(): Promise<void> {
    await this.#starting
    this.#starting = undefined
    const child = this.#child
    if (child?.pid === undefined) return
    this.#child = undefined
    // It would start another one in the place of one that is killed.
    child.kill('SIGSTOP')
    const all = childrenOf(child.pid)
    for (const pid of all) signal(pid, 'SIGKILL')
    child.kill('SIGKILL')
    this.#ending = child.ended
    await child.ended
  }

  async stop(): Promise<void> {
    this.#child?.kill('SIGINT')
    await this.#child?.ended
  }

  /** For a harness that ends before its time. */
  abandon(): void {
    this.#child?.kill('SIGQUIT')
  }

  async #start(): Promise<void> {
    await this.#ending
    this.#child = await startServerProcess({
      launch: this.#launch,
      isReady: (line) => line.includes('database system is ready to accept connections'),
      onLine: () => undefined,
    })
  }
}

function childrenOf(parent: number): number[] {
  // Elsewhere they notice by themselves that their parent has gone.
  if (process.platform !== 'linux') return []
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => parentOf(pid) === parent)
}

function parentOf(pid: number): number | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // Behind the name, which may hold anything: state, parent.
    return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[1])
  } catch {
    return undefined
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    // It has ended by itself.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
