import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type { Credit, Granted, Leg as CreditLeg, Refused } from '../../billing/credit.js'
import type { Event } from '../../esl/event.js'
import type { Catalog } from '../../store/catalog.js'
import { isLinkGone, isNoChannel, LinkLegControl } from '../legs/leg-control.js'
import type { LiveCalls } from '../live.js'
import { Locks } from './locks.js'
import { Meter, retryMs } from '../legs/meter.js'
import type { Nodes } from './nodes.js'
import type { CallState } from '../state.js'
import type { SwitchLink } from './switches.js'
import { askNode, askSwitch, type TalkingLeg } from '../legs/talking-leg.js'

export interface OrphansOptions {
  readonly links: readonly SwitchLink[]
  readonly catalog: Pick<Catalog, 'tenant'>
  readonly credit: Credit
  readonly live: Pick<LiveCalls, 'has'>
  readonly nodes: Pick<Nodes, 'id' | 'isDead'>
  readonly redis: Redis
  readonly log: Logger
  /** How soon a leg is asked for again for which nobody could say what it may cost, in ms. Default as the meter asks. */
  readonly retryMs?: number
}

/** A call that talks, or is about to, and whose server is gone. */
interface Orphan {
  readonly uuid: string
  readonly link: SwitchLink
  readonly log: Logger
  isLooking: boolean
  /** Something happened while it was looked at. */
  isStale: boolean
  /** That was logged. */
  isRefused: boolean
  /** Whose it was when it was taken on. */
  node: string | undefined
  legUuid: string | undefined
  meter: Meter | undefined
  retry: NodeJS.Timeout | undefined
}

/** Calls that are looked at at once: each is a few commands on a link that others need too. */
const looksAtOnce = 4

/**
 * Looks after the legs that talk while the server that dialled them is dead: what they may talk is reserved, and their
 * timers moved, over the link to their switch. Each is looked after by one node; that ends with the leg, or when the
 * call has a session again.
 */
export class Orphans {
  readonly #options: OrphansOptions
  readonly #locks: Locks
  readonly #orphans = new Map<string, Orphan>()
  /** Those that are metered, by their legs. */
  readonly #byLeg = new Map<string, Orphan>()
  readonly #waiting: Orphan[] = []
  readonly #undo: (() => void)[]
  #looks = 0

  constructor(options: OrphansOptions) {
    const { links, redis, nodes } = options
    this.#options = options
    this.#locks = new Locks({
      redis,
      owner: nodes.id,
      prefix: 'linger:orphan:',
      onLost: (uuid) => {
        this.#drop(uuid)
      },
    })
    this.#undo = links.flatMap((link) => [
      link.onEvent((event) => {
        this.#hear(event)
      }),
      link.onDown(() => {
        for (const orphan of this.#of(link)) this.#pause(orphan)
      }),
      link.onUp(() => {
        for (const orphan of this.#of(link)) this.#look(orphan)
      }),
    ])
  }

  /** How many legs are metered here. */
  get metered(): number {
    return this.#byLeg.size
  }

  has(uuid: string): boolean {
    return this.#orphans.has(uuid)
  }

  /** Looks whether a call needs to be looked after. May be asked again and again. */
  consider(uuid: string, link: SwitchLink): void {
    const known = this.#orphans.get(uuid)
    const log = this.#options.log.child({ call: uuid })
    const orphan = known ?? {
      uuid,
      link,
      log,
      isLooking: false,
      isStale: false,
      isRefused: false,
      node: undefined,
      legUuid: undefined,
      meter: undefined,
      retry: undefined,
    }
    this.#orphans.set(uuid, orphan)
    this.#look(orphan)
  }

  /** The call has a session on this node: what its leg may talk is that one's business, and its timers stay. */
  release(uuid: string): void {
    this.#drop(uuid)
  }

  /** The legs keep their timers; another node may look after them at once. */
  async close(): Promise<void> {
    for (const undo of this.#undo) undo()
    for (const uuid of [...this.#orphans.keys()]) this.#drop(uuid)
    await this.#locks.close()
  }

  #of(link: SwitchLink): Orphan[] {
    return [...this.#orphans.values()].filter((orphan) => orphan.link === link)
  }

  #hear(event: Event): void {
    if (this.#orphans.size === 0) return
    const uuid = event.peek('Unique-ID') ?? ''
    switch (event.name) {
      case 'CHANNEL_ANSWER':
      case 'CHANNEL_BRIDGE': {
        const orphan = this.#orphans.get(uuid)
        if (orphan !== undefined) this.#look(orphan)
        return
      }
      case 'CHANNEL_HANGUP_COMPLETE': {
        // The caller's: should the leg talk on without it, its timer must stay.
        this.#drop(uuid)
        const orphan = this.#byLeg.get(uuid)
        if (orphan === undefined) return
        orphan.meter?.stop()
        this.#drop(orphan.uuid)
        return
      }
      default:
    }
  }

  #pause(orphan: Orphan): void {
    clearTimeout(orphan.retry)
    orphan.meter?.abandon()
    orphan.meter = undefined
    if (orphan.legUuid !== undefined) this.#byLeg.delete(orphan.legUuid)
    orphan.legUuid = undefined
  }

  #drop(uuid: string): void {
    const orphan = this.#orphans.get(uuid)
    if (orphan === undefined) return
    this.#pause(orphan)
    this.#orphans.delete(uuid)
    this.#locks.release(uuid)
  }

  #look(orphan: Orphan): void {
    orphan.isStale = orphan.isLooking
    if (orphan.isLooking) return
    orphan.isLooking = true
    this.#waiting.push(orphan)
    this.#lookOn()
  }

  #lookOn(): void {
    while (this.#looks < looksAtOnce) {
      const orphan = this.#waiting.shift()
      if (orphan === undefined) return
      this.#looks++
      void this.#lookAt(orphan).finally(() => {
        this.#looks--
        orphan.isLooking = false
        if (orphan.isStale && this.#has(orphan)) this.#look(orphan)
        this.#lookOn()
      })
    }
  }

  #has(orphan: Orphan): boolean {
    return this.#orphans.get(orphan.uuid) === orphan
  }

  async #lookAt(orphan: Orphan): Promise<void> {
    const { uuid, link, log } = orphan
    if (!this.#has(orphan) || !link.isUp) return
    try {
      if (orphan.meter === undefined) await this.#begin(orphan)
      else if (!(await this.#isStillOurs(orphan))) this.#drop(uuid)
    } catch (error) {
      if (isNoChannel(error)) this.#drop(uuid)
      // Else it is looked at when the link is back, or at the janitor's next round.
      else if (!isLinkGone(error))
        log.warn({ err: error }, 'a call whose server is dead could not be looked at')
    }
  }

  /** @throws what the link throws */
  async #isStillOurs({ uuid, link, node }: Orphan): Promise<boolean> {
    return !this.#options.live.has(uuid) && (await askNode(link, uuid)) === node
  }

  /** @throws what the link throws */
  async #begin(orphan: Orphan): Promise<void> {
    const { live, nodes } = this.#options
    const { uuid, link } = orphan
    const call = await askSwitch(link, uuid)
    const isOurs = call !== undefined && (call.state.node === nodes.id || nodes.isDead(call.state.node))
    if (!isOurs || live.has(uuid) || call.state.attempt?.rate === undefined) {
      this.#drop(uuid)
      return
    }
    // While it rings there is nothing to do: the leg comes with its own timer, and the link tells its answer.
    if (call.talking === undefined || !this.#has(orphan)) return
    const isMine = await this.#locks.take(uuid)
    if (isMine && this.#has(orphan)) await this.#adopt(orphan, call.state, call.talking)
    else if (!isMine) this.#drop(uuid)
    else if (!this.#orphans.has(uuid)) this.#locks.release(uuid)
  }

  async #adopt(orphan: Orphan, state: CallState, talking: TalkingLeg): Promise<void> {
    const { uuid, link, log } = orphan
    const { catalog, credit } = this.#options
    const { attempt, answeredAt, now, timers } = talking
    const tenant = catalog.tenant(state.tenant)
    if (tenant === undefined) {
      log.warn({ tenant: state.tenant }, 'a leg talks whose server is dead, of a tenant that is not known')
      this.#drop(uuid)
      return
    }
    const { maxCallSeconds: maxSeconds, ringSeconds } = tenant
    const leg: CreditLeg = { tenant, callUuid: uuid, attemptId: attempt.id, rate: attempt.rate, maxSeconds }
    const granted = await grant(credit, leg, (now - answeredAt) / 1000)
    if (!this.#has(orphan) || !link.isUp) return
    if (granted.kind === 'refused') {
      if (!orphan.isRefused)
        log.warn(
          { leg: talking.uuid, why: granted.message },
          'a leg talks whose server is dead, and is not extended',
        )
      orphan.isRefused = true
      // Of the other reasons none ends soon: the janitor's next round asks again.
      if (granted.reason === 'away')
        orphan.retry = setTimeout(
          () => {
            this.#look(orphan)
          },
          this.#options.retryMs ?? retryMs(credit),
        )
      return
    }
    const untilSeconds = granted.untilMs / 1000
    log.info(
      { leg: talking.uuid, from: state.node, untilSeconds },
      'a leg talks whose server is dead: it is extended from here',
    )
    orphan.node = state.node
    orphan.legUuid = talking.uuid
    this.#byLeg.set(talking.uuid, orphan)
    const control = new LinkLegControl(link, uuid)
    orphan.meter = new Meter({ credit, control, log, leg, granted, ringSeconds, timers })
    orphan.meter.start(talking.uuid, answeredAt, now)
  }
}

/**
 * What a leg that talks may talk in all: what its server reserved, though it may not have told the switch of it any
 * more; if that is over, or nobody knows of it, a slice from now on. Refused, its timer is where it was.
 */
async function grant(credit: Credit, leg: CreditLeg, talkedMs: number): Promise<Granted | Refused> {
  const known = await credit.extend(leg, 0)
  if (known.kind === 'granted' && known.untilMs > talkedMs) return known
  return credit.extend(leg, Math.ceil(talkedMs / 1000) * 1000)
}
