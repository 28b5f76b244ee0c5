import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type pg from 'pg'
import type { Country } from '../numbering/normal-form.js'
import type { Screening } from '../screening/screen.js'
import type { Catalog } from '../store/catalog.js'
import type { LowBalance } from '../store/low-balance.js'

/** What the admin API works on. */
export interface AdminDependencies {
  pool: pg.Pool
  redis: Redis
  screening: Screening
  catalog: Catalog
  /** Whose dialling habits the numbers of the lists are entered in. */
  country: Country
  log: Logger
  /** What must be well for /ready besides PostgreSQL, Redis and the catalog. */
  readiness: () => Promise<Check[]>
  /** Told when a booking takes a tenant's balance below its threshold. */
  onLowBalance?: (low: LowBalance) => void
}

export interface Check {
  name: string
  ok: boolean
  /** What is wrong, one line. */
  detail?: string
}
