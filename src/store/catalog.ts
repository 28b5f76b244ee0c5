import type pg from 'pg'
import type { BaseLogger } from 'pino'

import type { Rate } from '../billing/rating.js'
import type { Direction } from '../numbering/direction.js'
import { CalledNumbers } from './called-numbers.js'
import { inTransaction, oneMoment } from './database.js'
import { Directory } from './directory.js'
import type { Extension, ExtensionOwner, Gateway, Owner, Tenant } from './directory.js'
import { noRows, readDirectory } from './directory-rows.js'
import type { Flows, Menu } from './flow.js'
import { loadMenu } from './flows.js'
import { Follower, readVersion, type Part } from './follower.js'
import { Notices } from './notices.js'
import type { FoundEntry } from './number-index.js'
import { Tariffs } from './tariffs.js'
import { AllFlows } from './tenant-flows.js'

export type { Extension, ExtensionOwner, Gateway, Owner, Tenant } from './directory.js'

export interface CatalogOptions {
  readonly log: BaseLogger
  /** How often PostgreSQL is asked whether anything changed, in case a notice was missed, in ms. Default 1000. */
  readonly pollMs?: number
}

/**
 * Everything that a call looks up, in memory: no call waits for PostgreSQL, and calls go on while it is away. A
 * change is in force when its notice has come and what changed has been read; without the notice, `pollMs` later.
 * What was looked up before stays as it was: a leg keeps the rate that it was dialled at.
 */
export class Catalog {
  readonly #pool: pg.Pool
  readonly #log: BaseLogger
  readonly #directory: DirectoryPart
  readonly #tariffs: Tariffs
  readonly #numbers: CalledNumbers
  readonly #flows: AllFlows
  readonly #followers: readonly Follower[]
  readonly #notices: Notices
  #isClosed = false
  readonly #away = new Set<Part>()

  private constructor(
    pool: pg.Pool,
    { log, pollMs = 1_000 }: CatalogOptions,
    { directory, tariffs, numbers, flows }: Parts,
  ) {
    this.#pool = pool
    this.#log = log
    this.#directory = directory
    this.#tariffs = tariffs
    this.#numbers = numbers
    this.#flows = flows
    const onAsked = (part: Part, error: unknown) => {
      this.#asked(part, error)
    }
    // Apart: a million rates that are being read do not hold up a new extension.
    const parts: readonly Part[] = [directory, tariffs, numbers, flows]
    this.#followers = parts.map((part) => new Follower(part, { pool, pollMs, onAsked }))
    this.#notices = new Notices(pool, 'linger_catalog', log, (part) => {
      for (const follower of this.#followers) follower.notice(part)
    })
  }

  /** @throws when the database cannot be read: there is nothing to go on with yet */
  static async load(pool: pg.Pool, options: CatalogOptions): Promise<Catalog> {
    const tariffs = new Tariffs(pool)
    const parts: Parts = {
      tariffs,
      directory: new DirectoryPart(pool, tariffs),
      numbers: new CalledNumbers(pool),
      flows: new AllFlows(pool),
    }
    await parts.directory.refresh()
    await parts.numbers.refresh()
    await parts.flows.refresh()
    return new Catalog(pool, options, parts)
  }

  /** Stops asking; what is known stays. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.#notices.close()
    await Promise.all(this.#followers.map((follower) => follower.close()))
  }

  /** Whether it is up to date, as far as the last question to PostgreSQL could tell. */
  get ready(): boolean {
    return !this.#isClosed && this.#away.size === 0
  }

  /** When it resolves, everything that was committed before the call is in force. */
  async reload(): Promise<void> {
    await Promise.all(this.#followers.map((follower) => follower.reload()))
  }

  #asked(part: Part, error: unknown): void {
    const wasAway = this.#away.size > 0
    if (error === undefined) this.#away.delete(part)
    else this.#away.add(part)
    const isAway = this.#away.size > 0
    if (isAway && !wasAway)
      this.#log.warn({ err: error }, 'the catalog cannot be read: going on with what is known')
    if (wasAway && !isAway) this.#log.info('the catalog can be read again')
  }

  tenant(id: string): Tenant | undefined {
    return this.#directory.now.tenant(id)
  }

  /** Whether what is not said to be a tenant's may be another one's. */
  get hasSeveralTenants(): boolean {
    return this.#directory.now.hasSeveralTenants
  }

  /** @param code `accountcode`: a tenant's, or an extension's */
  byAccount(code: string): Owner | undefined {
    return this.#directory.now.byAccount(code)
  }

  /**
   * The extension whose phone proved itself with this user name. When several tenants have one, the tenant
   * whose domain is `realm`; when none has that, nobody.
   */
  byAuthUser(username: string, realm?: string): ExtensionOwner | undefined {
    return this.#directory.now.byAuthUser(username, realm)
  }

  /** The same for a number that the switch vouches for. */
  byTrustedExtension(number: string, domain?: string): ExtensionOwner | undefined {
    return this.#directory.now.byTrustedExtension(number, domain)
  }

  /**
   * Whose DID it is, by the table of numbers, else by the inbound entries of the tenants' number plans; without an
   * extension, the tenant's as a whole.
   */
  byDid(normalNumber: string): Owner | undefined {
    const owner = this.#numbers.now.owner(normalNumber)
    const tenant = owner && this.#directory.now.tenant(owner.tenantId)
    if (tenant === undefined) return undefined
    return owner?.extension === undefined ? { tenant } : { tenant, extension: owner.extension }
  }

  /** Whether a short number, which may be several tenants', is one that callers from outside reach at this one. */
  isReachedAt(tenantId: string, normalNumber: string): boolean {
    return this.#numbers.now.isReachedAt(tenantId, normalNumber)
  }

  /**
   * Where the tenant's number plan leads a called number: exact, then the narrowest range, then the longest prefix;
   * of equally narrow ones that of the direction before that of any. What callers from outside reach on a DID of the
   * tenant, those inside do who call it, unless there is something for them.
   *
   * @param called in normal form; @param calledRaw as it was dialled
   */
  plan(tenantId: string, direction: Direction, called: string, calledRaw: string): FoundEntry | undefined {
    const found = this.#numbers.now.find(tenantId, direction, called, calledRaw)
    if (found !== undefined || direction !== 'internal') return found
    const isExtension = this.extension(tenantId, calledRaw) !== undefined
    return isExtension ? undefined : this.#numbers.now.find(tenantId, 'inbound', called, calledRaw)
  }

  /** The tenant's menus and hours as they are now: a call that keeps them keeps their versions. */
  flows(tenantId: string): Flows {
    return this.#flows.of(tenantId)
  }

  /**
   * A menu as it was, for a call that began with it on another node. Asks PostgreSQL.
   *
   * @returns undefined when there never was such a version
   */
  earlierMenu(tenantId: string, id: string, version: number): Promise<Menu | undefined> {
    return loadMenu(this.#pool, tenantId, id, version)
  }

  extension(tenantId: string, number: string): Extension | undefined {
    return this.#directory.now.extension(tenantId, number)
  }

  /** Those with the longest prefix that fits, in the order in which they are tried. */
  gateways(tenantId: string, normalNumber: string): readonly Gateway[] {
    return this.#directory.now.gateways(tenantId, normalNumber)
  }

  /** Whether the tenant shall not call this number, whatever its price. */
  isBlocked(tenantId: string, normalNumber: string): boolean {
    return this.#directory.now.isBlocked(tenantId, normalNumber)
  }

  /**
   * What the tenant pays for a leg to this number; undefined: it has no price.
   *
   * @param at the leg's start, in µs since 1970. Default now
   */
  rate(tenantId: string, normalNumber: string, at = nowMicros()): Rate | undefined {
    return this.#rateIn(this.#directory.now.deckId(tenantId), normalNumber, at)
  }

  /**
   * What the tenant pays when this number of its own is called, a DID or an extension; undefined: nothing. An
   * extension's rate is for exactly its number: `1` is North America, and extension 1001 is not in it.
   *
   * @param at the leg's start, in µs since 1970. Default now
   */
  inboundRate(tenantId: string, normalNumber: string, at = nowMicros()): Rate | undefined {
    const directory = this.#directory.now
    const rate = this.#rateIn(directory.inboundDeckId(tenantId), normalNumber, at)
    const isOther = rate?.prefix !== normalNumber && directory.extension(tenantId, normalNumber) !== undefined
    return isOther ? undefined : rate
  }

  #rateIn(deckId: string | undefined, number: string, at: number): Rate | undefined {
    return deckId === undefined ? undefined : this.#tariffs.deck(deckId)?.find(number, at)
  }
}

interface Parts {
  readonly directory: DirectoryPart
  readonly tariffs: Tariffs
  readonly numbers: CalledNumbers
  readonly flows: AllFlows
}

/** Tenants and what is theirs; in force together with the decks that they name. */
class DirectoryPart implements Part {
  readonly name = 'directory'
  readonly #pool: pg.Pool
  readonly #tariffs: Tariffs
  #version: string | undefined
  now = new Directory(noRows)

  constructor(pool: pg.Pool, tariffs: Tariffs) {
    this.#pool = pool
    this.#tariffs = tariffs
  }

  get version(): string | undefined {
    return this.#version
  }

  async refresh(): Promise<void> {
    const { version, rows } = await inTransaction(
      this.#pool,
      async (client) => ({
        version: await readVersion(client, this.name),
        rows: await readDirectory(client),
      }),
      // All of it as it was at one moment.
      oneMoment,
    )
    const directory = new Directory(rows)
    const deckIds = directory.deckIds()
    await this.#tariffs.need(deckIds)
    this.now = directory
    this.#version = version
    this.#tariffs.keep(deckIds)
  }
}

function nowMicros(): number {
  return Date.now() * 1000
}
