import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type { Config } from './config.js'
import { CallEvents } from './events/call-events.js'
import { DialplanEvents } from './events/dialplan-events.js'
import { RabbitPublisher, type RabbitState } from './events/rabbit.js'
import { CallStats } from './events/stats.js'
import type { Journal } from './journal/journal.js'
import type { Catalog } from './store/catalog.js'

export interface PublishingOptions {
  readonly config: Pick<Config, 'amqpUrl'>
  readonly journal: Journal
  readonly redis: Redis
  readonly catalog: Catalog
  readonly log: Logger
}

/** How long a stop waits for RabbitMQ to take what is in the journal, in ms. */
const drainMs = 5_000

/** What of calls is told to the outside: RabbitMQ, and statistics in Redis. */
export class Publishing {
  readonly events: CallEvents
  readonly dialplanEvents: DialplanEvents
  readonly #events: Journal['events']
  readonly #stats: CallStats
  readonly #publisher: RabbitPublisher | undefined

  constructor({ config, journal, redis, catalog, log }: PublishingOptions) {
    const { amqpUrl: url } = config
    this.#events = journal.events
    const timeZoneOf = (tenant: string): string | undefined => catalog.tenant(tenant)?.timeZone
    this.#stats = new CallStats({ redis, log })
    const isPublished = url !== undefined
    this.events = new CallEvents({ journal, isPublished, stats: this.#stats, timeZoneOf })
    this.dialplanEvents = new DialplanEvents({ events: this.events, redis, log, timeZoneOf })
    this.#publisher =
      url === undefined ? undefined : new RabbitPublisher({ url, events: journal.events, log })
  }

  /** How RabbitMQ is, and how many events were lost since the start while it was away; undefined: there is none. */
  get state(): (RabbitState & { readonly lost: number }) | undefined {
    const state = this.#publisher?.state
    return state && { ...state, lost: this.#events.dropped }
  }

  /** What RabbitMQ does not take soon waits in the journal, which must be open until then. */
  async close(): Promise<void> {
    if (this.#publisher?.state.isUp === true) await this.#publisher.drain(AbortSignal.timeout(drainMs))
    await this.#publisher?.close()
    await this.#stats.close()
  }
}
