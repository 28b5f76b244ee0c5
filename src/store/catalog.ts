import type pg from 'pg'
import type { BaseLogger } from 'pino'

import { parseMoney } from '../billing/money.js'
import type { Rate } from '../billing/rating.js'
import { RateDeck } from '../billing/tariff.js'
import { inTransaction } from './database.js'
import { Directory, readDirectory, type Extension, type ExtensionOwner, type Gateway } from './directory.js'
import type { Owner, Tenant } from './directory.js'

export type { Extension, ExtensionOwner, Gateway, Owner, Tenant } from './directory.js'

export interface CatalogOptions {
  readonly log: BaseLogger
  /** How often PostgreSQL is asked whether anything changed, in ms. Default 1000. */
  readonly pollMs?: number
}

/** What is read as a whole when anything in it changed; its versions are rows of `catalog_version`. */
interface Snapshot {
  readonly versions: ReadonlyMap<string, string>
  readonly directory: Directory
  readonly decks: ReadonlyMap<string, RateDeck>
}

/**
 * Everything that a call looks up, in memory: no call waits for PostgreSQL, and calls go on while it is away. A
 * change is in force `pollMs` after its commit, and the time that it takes to read it.
 */
export class Catalog {
  readonly #pool: pg.Pool
  readonly #log: BaseLogger
  readonly #pollMs: number
  #snapshot: Snapshot
  #timer: NodeJS.Timeout | undefined
  /** Reads follow one another: an older one must not overwrite a newer one. */
  #turn: Promise<unknown> = Promise.resolve()
  #isClosed = false
  #isAway = false

  private constructor(pool: pg.Pool, { log, pollMs = 1_000 }: CatalogOptions, snapshot: Snapshot) {
    this.#pool = pool
    this.#log = log
    this.#pollMs = pollMs
    this.#snapshot = snapshot
    this.#schedule()
  }

  /** @throws when the database cannot be read: there is nothing to go on with yet */
  static async load(pool: pg.Pool, options: CatalogOptions): Promise<Catalog> {
    return new Catalog(pool, options, await readSnapshot(pool))
  }

  /** Stops asking; what is known stays. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    await this.#turn
  }

  /** Whether it is up to date, as far as the last question to PostgreSQL could tell. */
  get ready(): boolean {
    return !this.#isClosed && !this.#isAway
  }

  /** When it resolves, everything that was committed before the call is in force. */
  reload(): Promise<void> {
    const turn = this.#turn.then(async () => {
      const versions = await readVersions(this.#pool)
      if (!isSame(versions, this.#snapshot.versions))
        this.#snapshot = await readSnapshot(this.#pool, this.#snapshot)
    })
    this.#turn = turn.catch(() => undefined)
    return turn
  }

  #schedule(): void {
    this.#timer = setTimeout(() => {
      void this.#poll()
    }, this.#pollMs).unref()
  }

  async #poll(): Promise<void> {
    try {
      await this.reload()
      if (this.#isAway) this.#log.info('the catalog can be read again')
      this.#isAway = false
    } catch (error) {
      if (!this.#isAway)
        this.#log.warn({ err: error }, 'the catalog cannot be read: going on with what is known')
      this.#isAway = true
    }
    if (!this.#isClosed) this.#schedule()
  }

  tenant(id: string): Tenant | undefined {
    return this.#snapshot.directory.tenant(id)
  }

  /** @param code `accountcode`: a tenant's, or an extension's */
  byAccount(code: string): Owner | undefined {
    return this.#snapshot.directory.byAccount(code)
  }

  /**
   * The extension whose phone proved itself with this user name. When several tenants have one, the tenant
   * whose domain is `realm`; when none has that, nobody.
   */
  byAuthUser(username: string, realm?: string): ExtensionOwner | undefined {
    return this.#snapshot.directory.byAuthUser(username, realm)
  }

  /** The same for a number that the switch vouches for. */
  byTrustedExtension(number: string, domain?: string): ExtensionOwner | undefined {
    return this.#snapshot.directory.byTrustedExtension(number, domain)
  }

  /** Whose DID it is; without an extension, the tenant's as a whole. */
  byDid(normalNumber: string): Owner | undefined {
    return this.#snapshot.directory.byDid(normalNumber)
  }

  extension(tenantId: string, number: string): Extension | undefined {
    return this.#snapshot.directory.extension(tenantId, number)
  }

  /** Those with the longest prefix that fits, in the order in which they are tried. */
  gateways(tenantId: string, normalNumber: string): readonly Gateway[] {
    return this.#snapshot.directory.gateways(tenantId, normalNumber)
  }

  /** What the tenant pays for this number; undefined: it has no price. */
  rate(tenantId: string, normalNumber: string): Rate | undefined {
    const { directory, decks } = this.#snapshot
    return decks.get(directory.deckId(tenantId) ?? '')?.find(normalNumber)
  }
}

/** @param known what need not be read again where its version is still the same */
function readSnapshot(pool: pg.Pool, known?: Snapshot): Promise<Snapshot> {
  return inTransaction(
    pool,
    async (client) => {
      const versions = await readVersions(client)
      const isKnown = (part: string) => known?.versions.get(part) === versions.get(part)
      return {
        versions,
        directory:
          known && isKnown('directory') ? known.directory : new Directory(await readDirectory(client)),
        decks: known && isKnown('rates') ? known.decks : await readDecks(client),
      }
    },
    // All of it as it was at one moment.
    'ISOLATION LEVEL REPEATABLE READ READ ONLY',
  )
}

async function readVersions(db: pg.Pool | pg.ClientBase): Promise<Map<string, string>> {
  const { rows } = await db.query<{ part: string; version: string }>(
    'SELECT part, version FROM catalog_version',
  )
  return new Map(rows.map(({ part, version }) => [part, version]))
}

function isSame(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  return a.size === b.size && [...a].every(([part, version]) => b.get(part) === version)
}

async function readDecks(client: pg.ClientBase): Promise<Map<string, RateDeck>> {
  const { rows } = await client.query<{
    deck_id: string
    prefix: string
    prefix_entered: string
    description: string
    price_per_minute: string
  }>('SELECT deck_id, prefix, prefix_entered, description, price_per_minute FROM rates')
  const decks = new Map<string, Rate[]>()
  for (const row of rows) {
    const rates = decks.get(row.deck_id) ?? []
    decks.set(row.deck_id, rates)
    rates.push({
      prefix: row.prefix,
      prefixEntered: row.prefix_entered,
      description: row.description,
      pricePerMinute: parseMoney(row.price_per_minute),
    })
  }
  return new Map([...decks].map(([id, rates]) => [id, new RateDeck(rates)]))
}
