import type { FastifyPluginCallback } from 'fastify'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type pg from 'pg'
import type { CallsEverywhere } from '../common/live-call.js'
import type { Journal } from '../journal/journal.js'
import type { Country } from '../numbering/normal-form.js'
import type { Screening } from '../screening/screen.js'
import type { Catalog } from '../store/catalog.js'
import type { Menu, Reference, Step } from '../store/flow.js'
import type { LowBalance } from '../store/low-balance.js'
import type { RateLimits } from './limits.js'
import type { UploadLimits } from './upload.js'

/** What the admin API works on. */
export interface AdminDependencies {
  pool: pg.Pool
  /** Keys are looked up in it: questions and changes that fill `pool` must not keep anybody from being let in. */
  keyPool: pg.Pool
  redis: Redis
  screening: Screening
  catalog: Catalog
  /** Whose dialling habits the numbers of the lists are entered in. */
  country: Country
  /** Of files. Default: as in upload.ts. */
  uploads?: UploadLimits
  log: Logger
  rateLimits: RateLimits
  /** Whose X-Forwarded-For is believed: addresses and networks. Undefined: nobody's. */
  trustedProxies?: string[] | undefined
  /** Pages of these origins may use the API. Undefined: of none. */
  corsOrigins?: readonly string[] | undefined
  /** Those that are in progress, on all nodes. */
  calls: CallsEverywhere
  /** This node's. */
  journal: Journal
  /** Its name among all. */
  node: string
  /** Whether PostgreSQL took what the journal last offered to it. */
  isDelivering: () => boolean
  /** The links to the FreeSWITCHes, as they are now. */
  switches: () => readonly SwitchStatus[]
  /** Undefined: there is none. */
  rabbit: () => RabbitStatus | undefined
  /** What this node knows of gateways, one answer for each. */
  gatewayStatus: (gateways: readonly AskedGateway[]) => Promise<readonly GatewayStatus[]>
  flows: FlowRules
  /** What must be well for /ready besides PostgreSQL, Redis, the catalog and the links. */
  readiness: () => Promise<Check[]>
  /** What else is served on the same port, with its own ways of proving who asks. */
  plugins?: readonly FastifyPluginCallback[]
  /** Told when a booking takes a tenant's balance below its threshold. */
  onLowBalance?: (low: LowBalance) => void
}

/** What steps may be, by the routes that this server has. */
export interface FlowRules {
  /** @returns what it refers to; @throws ChangeRefused `invalid`: a step or a sound in it */
  checkMenu: (menu: Omit<Menu, 'version'>) => readonly Reference[]
  /** @param field where it stands, for the message */
  checkStep: (step: Step, field: string) => readonly Reference[]
  /**
   * What of other tenants, of the switch or of the operator it leads to, in words.
   *
   * @param domain the tenant's: what is of it is its own
   */
  menuReaches: (menu: Omit<Menu, 'version'>, domain: string | undefined) => ReadonlySet<string>
  stepReaches: (step: Step, domain: string | undefined) => ReadonlySet<string>
}

export interface Check {
  name: string
  ok: boolean
  /** What is wrong, one line. */
  detail?: string
}

/** What is shown of the RabbitMQ that events go to. */
export interface RabbitStatus {
  readonly isUp: boolean
  /** Why events wait, one line. */
  readonly trouble: string | undefined
  /** Events that wait. */
  readonly pending: number
  /** Events that were lost since the start, for want of space. */
  readonly lost: number
}

/** What is shown of a link to a FreeSWITCH. */
export interface SwitchStatus {
  /** `host:port` */
  readonly name: string
  readonly isUp: boolean
  /** Why it is down, one line. */
  readonly trouble?: string | undefined
  /** FreeSWITCH's own name. */
  readonly switchName?: string | undefined
  /** Another one after each start of FreeSWITCH. */
  readonly coreUuid?: string | undefined
  /** In µs since 1970, by the switch's clock; 0: nothing was heard yet. */
  readonly lastHeardAt?: number
}

export interface AskedGateway {
  /** As the switches know it. */
  readonly name: string
  readonly maxCalls?: number
}

/** How a gateway does, as this node sees it. */
export interface GatewayStatus {
  readonly state: 'up' | 'resting' | 'trial'
  /** In a row, up to now. */
  readonly failures: number
  /** In ms since 1970. */
  readonly restsUntil: number | undefined
  readonly lastCause: string | undefined
  /** FreeSWITCHes that say themselves that it is down. */
  readonly downOn: readonly string[]
  readonly calls: number
  readonly callsEverywhere: number | undefined
}
