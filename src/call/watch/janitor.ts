import type pg from 'pg'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type { Journal } from '../../journal/journal.js'
import type { Catalog } from '../../store/catalog.js'
import { readCommitted } from '../../store/committed.js'
import { ChannelOwners } from './channel-owners.js'
import { LastSeen } from './last-seen.js'
import { isLinkGone } from '../legs/leg-control.js'
import type { LiveCalls } from '../live.js'
import type { Nodes } from './nodes.js'
import { readOpenRecord, type OpenRecord } from '../open-record.js'
import type { Orphans } from './orphans.js'
import { ParkedChannels } from './parked.js'
import { ServerlessChannels } from './serverless-channels.js'
import type { Elsewhere } from '../session-dependencies.js'
import { Switches, type Listing, type SwitchLink } from './switches.js'
import { TakenCalls } from './taken.js'
import { judgeLost, patienceLeft, sightOf, verdictMessages, type LostCall, type Verdict } from './verdict.js'

export interface JanitorOptions {
  readonly links: readonly SwitchLink[]
  readonly journal: Pick<Journal, 'openCalls'>
  readonly live: Pick<LiveCalls, 'has'>
  /** Closes calls that are over. @param lastSeenAt µs by the switch's clock: when they were there last */
  readonly secondSource: { gone(callUuid: string, lastSeenAt?: number): void }
  readonly nodes: Pick<Nodes, 'id' | 'isDead' | 'servesNoMore' | 'onDead'>
  readonly orphans: Pick<Orphans, 'consider' | 'release' | 'has'>
  readonly catalog: Pick<Catalog, 'tenant'>
  readonly pool: pg.Pool
  readonly redis: Redis
  readonly log: Logger
  /** Where this server takes calls, as soon as it listens. */
  readonly eslPort: () => number
  /** From a call that is lost to the round that it asks for, in ms: others may be lost with it. Default 1,000. */
  readonly soonMs?: number
  /** How long a call of which no link tells counts as lasting after it was lost, in ms, at least. Default 60,000. */
  readonly lostMs?: number
  /** A monotonic clock, in ms. */
  readonly now?: () => number
}

/** From one round to the next, in ms. */
const everyMs = 60_000
/** How long a call may last that is of no tenant, or of an unknown one, in seconds: as long as of most tenants. */
const maxCallSeconds = 4 * 60 * 60

/** A call that is open in the journal, and has no session here. */
interface Lost {
  /** By `now`. */
  readonly since: number
  readonly mayTalkForMs: number
  readonly isOver: boolean
}

interface Candidate {
  readonly uuid: string
  /** Undefined: another release wrote it. */
  readonly record: OpenRecord | undefined
  readonly lost: Lost
  readonly sight: LostCall['sight']
}

/**
 * Compares, each minute and whenever something may have changed, what the switches have with what this server knows:
 * calls that it lost are closed when they are over, legs whose server is dead are looked after, and channels that wait
 * for a dead server are ended.
 */
export class Janitor implements Pick<
  Elsewhere,
  'hears' | 'isLinked' | 'has' | 'heardAt' | 'lookAfter' | 'taken' | 'lost'
> {
  readonly #options: JanitorOptions
  readonly #now: () => number
  readonly #switches: Switches
  readonly #owners: ChannelOwners
  readonly #serverless: ServerlessChannels
  readonly #lastSeen: LastSeen
  readonly #parked: ParkedChannels
  readonly #taken: TakenCalls
  readonly #lost = new Map<string, Lost>()
  /** What was logged of each. */
  readonly #told = new Map<string, Verdict>()
  readonly #undo: (() => void)[] = []
  #round: Promise<void> | undefined
  #next: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #soon: NodeJS.Timeout | undefined
  #lookAt = Infinity
  #isClosed = false

  constructor(options: JanitorOptions) {
    const { links, live, nodes, redis, log, eslPort } = options
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
    this.#switches = new Switches(links)
    // What its call waited for is over.
    const onLegOver = (): void => {
      this.#lookIn(options.soonMs ?? 1_000)
    }
    this.#owners = new ChannelOwners({ links, live, onLegOver })
    this.#serverless = new ServerlessChannels({ ...options, owners: this.#owners })
    this.#lastSeen = new LastSeen(this.#switches)
    this.#parked = new ParkedChannels({ live, nodes, log, eslPort, now: this.#now })
    this.#taken = new TakenCalls(redis, nodes.id)
  }

  /** The calls that are open now count as lost. Begins with a round. */
  start(): void {
    const { links, nodes, log } = this.#options
    const look = (): void => {
      void this.round()
    }
    this.#undo.push(
      ...links.map((link) => link.onUp(look)),
      nodes.onDead(look),
      this.#switches.onRestart(({ name }) => {
        log.warn({ switch: name }, 'FreeSWITCH was restarted: the calls that it had are over')
      }),
    )
    this.#timer = setInterval(look, everyMs).unref()
    look()
  }

  /** Waits for the round that is under way. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#timer)
    clearTimeout(this.#soon)
    for (const undo of this.#undo) undo()
    this.#owners.close()
    this.#lastSeen.close()
    await this.#round
  }

  hears(switchName: string | undefined): boolean {
    return this.#switches.hears(switchName)
  }

  has(switchName: string | undefined, legUuid: string): Promise<boolean | undefined> {
    return this.#switches.has(switchName, legUuid)
  }

  isLinked(switchName: string | undefined): boolean {
    return this.#switches.leadTo(switchName)
  }

  heardAt(switchName: string | undefined): number {
    const links = this.#switches.links.filter((link) => link.switchName === switchName)
    return Math.max(0, ...links.map(({ lastHeardAt }) => lastHeardAt))
  }

  lookAfter(switchName: string | undefined, legUuid: string): void {
    const link = this.#switches.links.find((each) => each.switchName === switchName)
    if (link !== undefined) this.#options.orphans.consider(legUuid, link, true)
  }

  taken(callUuid: string, maxSeconds: number): void {
    this.#taken.note(callUuid, maxSeconds)
    this.#options.orphans.release(callUuid)
  }

  lost(callUuid: string, { mayTalkForMs, isOver }: { mayTalkForMs: number; isOver: boolean }): void {
    this.#lost.set(callUuid, { since: this.#now(), mayTalkForMs, isOver })
    this.#owners.forget(callUuid)
    if (!isOver) this.#lastSeen.lost(callUuid)
    if (!this.#isClosed) this.#lookIn(this.#options.soonMs ?? 1_000)
  }

  #lookIn(ms: number): void {
    const at = this.#now() + ms
    if (at >= this.#lookAt || this.#isClosed) return
    this.#lookAt = at
    clearTimeout(this.#soon)
    this.#soon = setTimeout(() => {
      this.#lookAt = Infinity
      void this.round()
    }, ms).unref()
  }

  /** @returns when a round is over that has begun after this was called */
  round(): Promise<void> {
    if (this.#round === undefined) {
      this.#round = this.#look().finally(() => {
        this.#round = undefined
      })
      return this.#round
    }
    this.#next ??= this.#round.then(() => {
      this.#next = undefined
      return this.round()
    })
    return this.#next
  }

  async #look(): Promise<void> {
    const { log } = this.#options
    if (this.#isClosed) return
    try {
      // Asked before the switches are: a call that they do not have then is over, not new.
      const open = this.#openCalls()
      const seenAt = new Map(this.#switches.links.map((link) => [link, link.lastHeardAt]))
      const listings = await this.#switches.list((link, error) => {
        if (!isLinkGone(error))
          log.warn({ err: error, switch: link.name }, 'a switch does not list its channels')
      })
      this.#owners.keepOnly(listings)
      // A leg that was transferred may outlive its call, which is not over before.
      for (const listing of listings) await this.#serverless.find(listing)
      await this.#closeLost(open, listings, seenAt)
      for (const listing of listings) await this.#serverless.lookAfter(listing)
      await this.#parked.look(listings)
    } catch (error) {
      log.error({ err: error }, 'a round of the janitor failed')
    }
  }

  /** Those without a session here. */
  #openCalls(): Map<string, OpenRecord | undefined> {
    const { journal, live } = this.#options
    const all = new Map(journal.openCalls().map(({ uuid, data }) => [uuid, data]))
    // One that still has its session here may have been lost in this very moment.
    for (const known of [this.#lost, this.#told])
      for (const uuid of known.keys()) if (!all.has(uuid)) known.delete(uuid)
    this.#lastSeen.keepOnly(all)
    const open = new Map<string, OpenRecord | undefined>()
    for (const [uuid, data] of all) {
      if (live.has(uuid)) continue
      open.set(uuid, readOpenRecord(data))
      if (!this.#lost.has(uuid)) this.#lost.set(uuid, { since: this.#now(), mayTalkForMs: 0, isOver: false })
    }
    return open
  }

  async #closeLost(
    open: ReadonlyMap<string, OpenRecord | undefined>,
    listings: readonly Listing[],
    seenAt: ReadonlyMap<SwitchLink, number>,
  ): Promise<void> {
    const withLegs = this.#owners.callsOfLegs()
    const candidates: Candidate[] = []
    for (const [uuid, record] of open) {
      const lost = this.#lost.get(uuid)
      if (lost === undefined || this.#options.live.has(uuid)) continue
      const sight = withLegs.has(uuid) ? 'listed' : sightOf(uuid, record?.facts.switchName, listings)
      const link = listings.find(({ channels }) => channels?.has(uuid))?.link
      if (link !== undefined) this.#lastSeen.listed(uuid, link, seenAt.get(link) ?? 0)
      candidates.push({ uuid, record, lost, sight })
    }
    const isTaken = await this.#taken.of(
      candidates.filter(({ sight }) => sight === 'unlinked').map(({ uuid }) => uuid),
    )
    const verdicts = candidates.map((candidate) => {
      const { uuid, record } = candidate
      return { uuid, record, verdict: this.#judge(candidate, isTaken(uuid)) }
    })
    await this.#askFor(verdicts.filter(({ verdict }) => verdict === 'elsewhere').map(({ uuid }) => uuid))
    for (const { uuid, record, verdict } of verdicts) {
      if (this.#options.live.has(uuid)) continue
      this.#tell(uuid, verdict)
      if (verdict !== 'gone') continue
      this.#options.secondSource.gone(uuid, this.#lastSeen.of(uuid, record?.facts))
    }
  }

  #judge({ record, lost, sight }: Candidate, taken: LostCall['taken']): Verdict {
    const { lostMs = 60_000, catalog } = this.#options
    const tenant = record?.tenant === undefined ? undefined : catalog.tenant(record.tenant)
    const maxCallMs = (tenant?.maxCallSeconds ?? maxCallSeconds) * 1000
    const { since, isOver } = lost
    // Whatever its dialplan does with it, only a link could tell that it is over.
    const mayTalkForMs = record?.isHandedOn === true ? maxCallMs : lost.mayTalkForMs
    const lostForMs = this.#now() - since
    const ageMs = record === undefined ? lostForMs : Date.now() - record.facts.createdAt / 1000
    const call: LostCall = { sight, ageMs, lostForMs, mayTalkForMs, isOver, taken }
    const patience = { leastMs: lostMs, maxCallMs }
    const leftMs = patienceLeft(call, patience)
    if (leftMs > 0) this.#lookIn(leftMs)
    return judgeLost(call, patience)
  }

  /** What another node has recorded need not be open here any more. */
  async #askFor(uuids: readonly string[]): Promise<void> {
    if (uuids.length === 0) return
    const { pool, secondSource } = this.#options
    const committed = await readCommitted(pool, uuids).catch(() => new Map<string, unknown>())
    for (const uuid of committed.keys()) secondSource.gone(uuid)
  }

  #tell(uuid: string, verdict: Verdict): void {
    if (verdict === 'wait' || this.#told.get(uuid) === verdict) return
    this.#told.set(uuid, verdict)
    this.#options.log.info({ call: uuid }, verdictMessages[verdict])
  }
}
