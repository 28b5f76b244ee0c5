import type { FastifyPluginCallback } from 'fastify'
import type { Redis } from 'ioredis'
import type pg from 'pg'
import type { Logger } from 'pino'
import type { Credit } from './billing/credit.js'
import type { GatewayPlaces } from './call/gateways/gateway-places.js'
import { Janitor } from './call/watch/janitor.js'
import type { LegDocument } from './call/legs/leg-document.js'
import type { LiveCalls } from './call/live.js'
import { Nodes } from './call/watch/nodes.js'
import { Orphans } from './call/watch/orphans.js'
import { SecondSource } from './call/watch/second-source.js'
import type { Recordings } from './call/recording/recording.js'
import type { Elsewhere } from './call/session-dependencies.js'
import type { Config } from './config.js'
import { Link } from './esl/link.js'
import type { CallEvents } from './events/call-events.js'
import type { Journal } from './journal/journal.js'
import type { Catalog } from './store/catalog.js'
import { switchCdr } from './switch/cdr.js'
import { CdrFolder } from './switch/cdr-folder.js'

export interface WatchOptions {
  readonly config: Config
  /** The name of this node. */
  readonly node: string
  readonly pool: pg.Pool
  readonly redis: Redis
  readonly catalog: Catalog
  readonly credit: Credit
  readonly places: GatewayPlaces
  readonly journal: Journal
  readonly events: CallEvents
  readonly live: LiveCalls
  /** Undefined: nothing is recorded. */
  readonly recordings?: Recordings | undefined
  readonly log: Logger
}

/** How often the journal is told how calls in progress have gone on, in ms. */
const checkpointMs = 10_000

/**
 * What sees calls beside their own sockets: the links to the switches, mod_json_cdr's documents, and who closes,
 * extends and takes over what dead servers have left.
 */
export class Watch implements Elsewhere {
  readonly links: readonly Link[]
  readonly #secondSource: SecondSource
  readonly #nodes: Nodes
  readonly #orphans: Orphans
  readonly #janitor: Janitor
  readonly #options: WatchOptions
  #eslPort = 0
  #folder: CdrFolder | undefined
  #checkpoints: NodeJS.Timeout | undefined

  constructor(options: WatchOptions) {
    const { config, node: id, pool, redis, catalog, credit, journal, events, live, recordings, log } = options
    const { places } = options
    this.#options = options
    this.links = (config.freeswitch ?? []).map((address) => new Link({ ...address, log }))
    this.#nodes = new Nodes({ id, redis, log })
    const graceMs = config.secondSourceSeconds * 1000
    this.#secondSource = new SecondSource({
      ...config,
      journal,
      records: events,
      pool,
      catalog,
      live,
      recordings,
      log,
      graceMs,
      elsewhere: this,
    })
    for (const link of this.links)
      link.onEvent((event) => {
        this.#secondSource.observe(event)
      })
    const shared = { links: this.links, live, nodes: this.#nodes, redis, log }
    const serves = { has: (uuid: string) => live.serves(uuid) }
    this.#orphans = new Orphans({ ...shared, live: serves, catalog, credit, places })
    this.#janitor = new Janitor({
      ...shared,
      journal,
      catalog,
      pool,
      secondSource: this.#secondSource,
      orphans: this.#orphans,
      eslPort: () => this.#eslPort,
      lostMs: graceMs,
    })
  }

  /** Where mod_json_cdr posts to. */
  get http(): FastifyPluginCallback {
    const { switchAllow: allow, switchAuth: auth } = this.#options.config
    return (app, _options, done) => {
      switchCdr(app, { secondSource: this.#secondSource, allow, auth }, done)
    }
  }

  /**
   * Takes up what the journal has. Calls may come by now: one that is taken over is not lost.
   * @param eslPort where they come
   */
  start(eslPort: number): void {
    this.#eslPort = eslPort
    const { config, journal, live, log } = this.#options
    this.#secondSource.start()
    this.#janitor.start()
    if (config.cdrDir !== undefined)
      this.#folder = new CdrFolder({ dir: config.cdrDir, secondSource: this.#secondSource, log })
    this.#checkpoints = setInterval(() => {
      const calls = live.checkpoints()
      if (calls.length === 0) return
      journal.rememberCalls(calls).catch((error: unknown) => {
        log.warn({ err: error, calls: calls.length }, 'the journal does not take how calls have gone on')
      })
    }, checkpointMs).unref()
  }

  /** The journal must be open until then. */
  async close(): Promise<void> {
    clearInterval(this.#checkpoints)
    await this.#folder?.close()
    await this.#janitor.close()
    await this.#orphans.close()
    await this.#secondSource.close()
    await Promise.all(this.links.map((link) => link.close()))
    await this.#nodes.close()
  }

  hears(switchName: string | undefined): boolean {
    return this.#janitor.hears(switchName)
  }

  has(switchName: string | undefined, legUuid: string): Promise<boolean | undefined> {
    return this.#janitor.has(switchName, legUuid)
  }

  isLinked(switchName: string | undefined): boolean {
    return this.#janitor.isLinked(switchName)
  }

  heardAt(switchName: string | undefined): number {
    return this.#janitor.heardAt(switchName)
  }

  lookAfter(switchName: string | undefined, legUuid: string): void {
    this.#janitor.lookAfter(switchName, legUuid)
  }

  told(callUuid: string): readonly LegDocument[] {
    return this.#secondSource.told(callUuid)
  }

  taken(callUuid: string, maxSeconds: number): void {
    this.#janitor.taken(callUuid, maxSeconds)
  }

  recorded(record: Parameters<Elsewhere['recorded']>[0]): void {
    this.#secondSource.recorded(record)
  }

  lost(...call: Parameters<Elsewhere['lost']>): void {
    this.#janitor.lost(...call)
  }
}
