import type pg from 'pg'

import type { Rate } from '../billing/rating.js'
import { deckOf } from '../billing/tariff.js'
import { formatMoment } from '../common/moment.js'
import { inTransaction, oneMoment } from './database.js'
import { beginnings, findRate, type DeckRate } from './deck-rates.js'
import { Directory, type Gateway, type Tenant } from './directory.js'
import { readDirectory } from './directory-rows.js'
import { readPrefixes } from './rates.js'

/** The rate that a call is charged at, as the rating has it and as an admin sees it. */
export interface FoundRate {
  readonly rate: Rate
  readonly listed: DeckRate
}

/** What decides what a call of a tenant costs, as it is in the database now. */
export interface CallTerms {
  readonly tenant: Tenant
  readonly isExtension: boolean
  /** It is a number of the tenant's own: charged at its inbound deck. */
  readonly isInside: boolean
  readonly isBlocked: boolean
  /** In the order in which they are tried. */
  readonly gateways: readonly Gateway[]
  readonly deckId: string | undefined
  readonly found: FoundRate | undefined
}

export interface AskedCall {
  /** As it was dialled. */
  readonly dialled: string
  /** The tenant's normal form of it. */
  readonly normal: (tenant: Tenant) => string
  /** Whether it is a number of the tenant's own, besides its extensions. */
  readonly isInside: (tenant: Tenant, normal: string) => boolean
  /** In µs since 1970. */
  readonly at: number
}

/** @returns undefined: there is no such tenant */
export function readCallTerms(
  pool: pg.Pool,
  tenantId: string,
  call: AskedCall,
): Promise<CallTerms | undefined> {
  return inTransaction(
    pool,
    async (client) => {
      const directory = new Directory(await readDirectory(client, tenantId))
      const tenant = directory.tenant(tenantId)
      if (!tenant) return undefined
      const normal = call.normal(tenant)
      const isExtension = directory.extension(tenantId, call.dialled) !== undefined
      const isInside = isExtension || call.isInside(tenant, normal)
      const number = isExtension ? call.dialled : normal
      const deckId = isInside ? directory.inboundDeckId(tenantId) : directory.deckId(tenantId)
      const found = deckId === undefined ? undefined : await findIn(client, deckId, number, call.at)
      return {
        tenant,
        isExtension,
        isInside,
        isBlocked: !isInside && directory.isBlocked(tenantId, normal),
        gateways: isInside ? [] : directory.gateways(tenantId, normal),
        deckId,
        // As `Catalog.inboundRate`: 1 is North America, and extension 1001 is not in it.
        found: isExtension && found?.rate.prefix !== number ? undefined : found,
      }
    },
    oneMoment,
  )
}

/** The rate of a deck, whether a tenant has it or not. @param at in µs since 1970 */
export function readDeckRate(
  pool: pg.Pool,
  deckId: string,
  number: string,
  at: number,
): Promise<FoundRate | undefined> {
  return inTransaction(pool, (client) => findIn(client, deckId, number, at), oneMoment)
}

/** As a node finds it that has the deck in memory: by the same code, in those of its rates that can be meant. */
async function findIn(
  client: pg.ClientBase,
  deckId: string,
  number: string,
  at: number,
): Promise<FoundRate | undefined> {
  const rates = await readPrefixes(client, deckId, beginnings(number))
  const rate = deckOf([...rates.values()].flat()).find(number, at)
  if (!rate) return undefined
  const { prefix, validFrom } = rate
  const from = validFrom === undefined ? null : formatMoment(BigInt(validFrom))
  const listed = await findRate(client, deckId, { prefix, validFrom: from })
  return listed && { rate, listed }
}
