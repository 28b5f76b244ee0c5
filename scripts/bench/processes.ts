import { join } from 'node:path'
import { kinds as servers, type Kind, type Options } from './options.js'
import type { Services } from './services-process.js'
import { Worker } from './worker.js'

/** The processes of a benchmark: one for each server, one for the calls, one for PostgreSQL and Redis. */
export class Processes {
  readonly load: Worker
  readonly services: Services | undefined
  readonly #workers: Worker[]
  readonly #profileDir: string | undefined

  private constructor(load: Worker, workers: Worker[], services: Services | undefined, profileDir?: string) {
    this.load = load
    this.services = services
    this.#workers = workers
    this.#profileDir = profileDir
  }

  static async start({ kinds, parts, profileDir }: Options): Promise<Processes> {
    const workers: Worker[] = []
    let services: Services | undefined
    if (kinds.includes('d') || parts.some((part) => part !== 'journal')) {
      const worker = await Worker.start('./services-process.js', [], [])
      workers.push(worker)
      services = (await worker.ask('services')) as Services
    }
    const load = await Worker.start('./load-process.js', [], [])
    workers.push(load)
    return new Processes(load, workers, services, profileDir)
  }

  /** @param database another one than the services' own */
  async startServer(kind: Kind, database?: string): Promise<MeasuredServer> {
    const { redisUrl = '', dataDir = '' } = this.services ?? {}
    const databaseUrl = database ?? this.services?.databaseUrl ?? ''
    const { name } = servers[kind]
    const profiler =
      this.#profileDir === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${this.#profileDir}`]
    const worker = await Worker.start(
      './server-process.js',
      [name, databaseUrl, redisUrl, join(dataDir, 'server.log')],
      ['--expose-gc', ...profiler],
    )
    this.#workers.push(worker)
    return new MeasuredServer(kind, worker, (await worker.ask('port')) as number)
  }

  /** The servers first, PostgreSQL last: what they have to say to it they can say. */
  async stop(): Promise<void> {
    for (const worker of this.#workers.splice(0).reverse()) await worker.stop()
  }
}

export interface Memory {
  readonly rss: number
  readonly heap: number
  readonly external: number
}

export class MeasuredServer {
  readonly kind: Kind
  readonly port: number
  readonly #worker: Worker

  constructor(kind: Kind, worker: Worker, port: number) {
    this.kind = kind
    this.port = port
    this.#worker = worker
  }

  /** Of the HTTP API. */
  async httpPort(): Promise<number> {
    return (await this.#worker.ask('httpPort')) as number
  }

  /** µs of CPU since its process began. */
  async cpu(): Promise<number> {
    return (await this.#worker.ask('cpu')) as number
  }

  /** Bytes, after the garbage was collected. */
  async memory(): Promise<Memory> {
    return (await this.#worker.ask('memory')) as Memory
  }

  stop(): Promise<void> {
    return this.#worker.stop()
  }
}
