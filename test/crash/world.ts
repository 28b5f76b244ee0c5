import { createWriteStream, type WriteStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type pg from 'pg'
import { migrateDatabase } from '../../src/store/migrate.js'
import { openPool } from '../../src/store/database.js'
import { ensurePartitions } from '../../src/store/partitions.js'
import type { Destination } from '../support/switch/dialplan.js'
import { CrashCall } from './crash-call.js'
import { CrashSwitch } from './crash-switch.js'
import { lingerDialplan } from './dialplan.js'
import { Line } from './line.js'
import { LingerNode } from './linger-node.js'
import { Outages } from './outages.js'
import type { Plan } from './plans.js'
import { lastingPort } from './ports.js'
import { PostgresProcess } from './postgres-process.js'
import { hasRabbit, RabbitProcess } from './rabbit-process.js'
import type { Random } from './random.js'
import { createRedis, type RedisProcess } from './redis-process.js'
import { Signals } from './signals.js'
import { makeTenants } from './tenants.js'
import { Watch } from './watch.js'

/**
 * Of credit, in s: so short that a talk goes past its slice while somebody waits, and so long that a server can
 * be started again in half of one.
 */
export const sliceSeconds = 8

/** What happens to a call, for the timeline. */
const notedEvents = new Set([
  'CHANNEL_ANSWER',
  'CHANNEL_BRIDGE',
  'CHANNEL_UNBRIDGE',
  'CHANNEL_HANGUP',
  'CHANNEL_HANGUP_COMPLETE',
])

/** Everything that can die, and the calls. */
export class World {
  readonly signals = new Signals()
  readonly watch = new Watch(this.signals)
  readonly outages = new Outages((what) => {
    this.note(what)
  })
  readonly calls: CrashCall[] = []
  readonly #undo: (() => unknown)[] = []
  readonly #background: Promise<void>[] = []
  #timeline: WriteStream | undefined
  /** The servers that the dialplan names; every other call tries them the other way round. */
  servers: readonly LingerNode[] = []
  postgres!: PostgresProcess
  redis!: RedisProcess
  /** Undefined: there is none on this machine. */
  rabbit: RabbitProcess | undefined
  postgresLine!: Line
  redisLine!: Line
  nodes!: readonly [LingerNode, LingerNode]
  sw!: CrashSwitch
  /** Not over the line: nothing delays what it is asked. */
  pool!: pg.Pool

  /** Everything runs, but no server yet. @param dir an empty folder */
  static async create(dir: string, random: Random): Promise<World> {
    const world = new World()
    try {
      await world.#create(dir, random)
      return world
    } catch (error) {
      await world.close()
      throw error
    }
  }

  async #create(dir: string, random: Random): Promise<void> {
    const timeline = createWriteStream(join(dir, 'timeline'))
    this.#timeline = timeline
    this.#undo.push(() => {
      timeline.end()
    })
    const port = () => lastingPort(random.next)
    const local = (one: number) => ({ host: '127.0.0.1', port: one })
    const postgresPort = await port()
    this.postgres = await PostgresProcess.create(join(dir, 'services'), postgresPort)
    await this.postgres.start()
    this.#undo.push(() => this.postgres.stop())
    this.redis = await createRedis(join(dir, 'redis'), await port())
    await this.redis.start()
    this.#undo.push(() => this.redis.kill())
    if (hasRabbit) {
      const ports = { amqp: await port(), epmd: await port(), distribution: await port() }
      const rabbit = await RabbitProcess.create(join(dir, 'rabbit'), ports)
      this.rabbit = rabbit
      this.#undo.push(() => rabbit.stop())
      await rabbit.start()
    }
    const [postgresOver, redisOver] = [await port(), await port()]
    this.postgresLine = await Line.to(local(postgresPort), postgresOver, this.watch.postgres)
    this.redisLine = await Line.to(local(Number(new URL(this.redis.url).port)), redisOver, this.watch.redis)
    this.#undo.push(() => {
      this.postgresLine.close()
      this.redisLine.close()
    })
    await migrateDatabase(this.postgres.url)
    this.pool = openPool(this.postgres.url, { max: 2 })
    this.#undo.push(() => this.pool.end())
    await ensurePartitions(this.pool, new Date())
    await makeTenants(this.pool)
    const ports = [
      [await port(), await port()],
      [await port(), await port()],
    ] as const
    const saved = join(dir, 'saved-cdrs')
    await mkdir(saved)
    this.sw = await CrashSwitch.create({
      dir: saved,
      cdrUrls: ports.map(([, http]) => `http://127.0.0.1:${http}/freeswitch/cdr`),
      port: await port(),
      seed: random.whole(1, 2 ** 30),
    })
    this.#undo.push(() => this.sw.close())
    const over = (url: string, through: number): string => {
      const line = new URL(url)
      line.port = String(through)
      return line.href
    }
    const env = {
      ...this.sw.env,
      DATABASE_URL: over(this.postgres.url, postgresOver),
      REDIS_URL: over(this.redis.url, redisOver),
      ...(this.rabbit && { AMQP_URL: this.rabbit.url }),
      LOG_LEVEL: 'warn',
      CREDIT_SLICE_SECONDS: String(sliceSeconds),
      SECOND_SOURCE_SECONDS: '2',
      FINAL_EVENT_SECONDS: '5',
      LINGER_SECONDS: '10',
      DRAIN_SECONDS: '5',
    }
    const [one, other] = ports
    this.nodes = [
      new LingerNode({ name: 'a', dir, eslPort: one[0], httpPort: one[1], env }),
      new LingerNode({ name: 'b', dir, eslPort: other[0], httpPort: other[1], env }),
    ]
    this.servers = this.nodes.slice(0, 1)
    this.#undo.push(() => {
      for (const node of this.nodes) node.kill()
    })
  }

  /** A call comes in. @param to instead of the servers themselves, such as a line to one */
  dial(plan: Plan, to?: readonly Destination[]): CrashCall {
    const number = this.calls.length
    const caller = `0281${String(number).padStart(6, '0')}`
    const servers = number % 2 === 0 ? this.servers : [...this.servers].reverse()
    const call = new CrashCall(plan, caller, sliceSeconds * 1000)
    this.calls.push(call)
    const dialled = this.sw.call({
      ...plan.options,
      caller,
      dialplan: lingerDialplan(to ?? servers.map(({ esl }) => esl)),
      speed: 1,
      onEvent: (event) => {
        call.observe(event)
        if (notedEvents.has(event.name)) this.note(`${call.uuid} ${event.name}`)
        this.signals.poke()
      },
    })
    call.began(dialled)
    this.watch.add(call)
    void dialled.ended.then((outcome) => {
      call.outcome = outcome
      this.signals.poke()
    })
    return call
  }

  /** For whoever looks for a fault: into the file `timeline`, with the time, which the servers' logs have too. */
  note(what: string): void {
    this.#timeline?.write(`${new Date().toISOString()} ${Date.now()} ${what}\n`)
  }

  /** To be done when everything is over. */
  atEnd(step: () => void): void {
    this.#undo.push(step)
  }

  /** Goes on beside whatever comes next; if it fails, so does that. */
  inBackground(work: Promise<void>): void {
    this.#background.push(work)
    // Whoever waits for all hears of it.
    work.catch(() => undefined)
  }

  async allDone(): Promise<void> {
    await Promise.all(this.#background.splice(0))
  }

  /** When this process ends before its time. */
  abandon(): void {
    for (const node of this.nodes) node.kill()
    this.postgres.abandon()
    void this.redis.kill()
    void this.rabbit?.stop()
  }

  /** Ends whatever runs. */
  async close(): Promise<void> {
    for (const step of this.#undo.reverse()) await step()
    this.#undo.length = 0
  }
}
