import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type { Credit } from '../../billing/credit.js'
import type { Event } from '../../esl/event.js'
import type { Catalog } from '../../store/catalog.js'
import type { GatewayPlaces } from '../gateways/gateway-places.js'
import { adoptLeg } from '../legs/adopt-leg.js'
import { isLinkGone, isNoChannel, LinkLegControl } from '../legs/leg-control.js'
import type { LiveCalls } from '../live.js'
import { Locks } from './locks.js'
import { Meter, retryMs } from '../legs/meter.js'
import type { Nodes } from './nodes.js'
import { orphanedIn } from './orphaned.js'
import type { SwitchLink } from './switches.js'
import { askSwitch, type TalkingLeg } from '../legs/talking-leg.js'

export interface OrphansOptions {
  readonly links: readonly SwitchLink[]
  readonly catalog: Pick<Catalog, 'tenant'>
  readonly credit: Credit
  readonly places: Pick<GatewayPlaces, 'take' | 'free' | 'leave'>
  readonly live: Pick<LiveCalls, 'has'>
  readonly nodes: Pick<Nodes, 'id' | 'servesNoMore'>
  readonly redis: Redis
  readonly log: Logger
  /** How soon a leg is asked for again for which nobody could say what it may cost, in ms. Default as the meter asks. */
  readonly retryMs?: number
}

/**
 * A channel in which something talks, or is about to, that costs, and that nobody looks after: its server is gone, or it
 * was dialled by a call that is over, or that it has left.
 */
interface Orphan {
  readonly uuid: string
  readonly link: SwitchLink
  readonly log: Logger
  /** Whose it was when it was dialled knows that it is nobody's now. */
  isHandedOver: boolean
  isLooking: boolean
  /** Something happened while it was looked at. */
  isStale: boolean
  /** That was logged. */
  isRefused: boolean
  /** What talks in it, by its uuid: the caller's own leg, the leg that was dialled last, or the channel as a leg. */
  readonly meters: Map<string, Meter>
  retry: NodeJS.Timeout | undefined
}

/** Channels that are looked at at once: each is a few commands on a link that others need too. */
const looksAtOnce = 4

/**
 * Looks after the legs that talk while no server does: what they may talk is reserved, and their timers moved, over the
 * link to their switch. Each is looked after by one node; that ends with the leg, or when its call has a session again.
 */
export class Orphans {
  readonly #options: OrphansOptions
  readonly #locks: Locks
  readonly #orphans = new Map<string, Orphan>()
  /** Where the legs are that are metered here. */
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
      onLost: (legUuid) => {
        const orphan = this.#byLeg.get(legUuid)
        if (orphan !== undefined) this.#drop(orphan.uuid)
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

  /**
   * Looks whether a channel needs to be looked after: a caller's, or a leg that was dialled. May be asked again and
   * again.
   * @param isHandedOver who dialled the leg does it no more
   */
  consider(uuid: string, link: SwitchLink, isHandedOver = false): void {
    const log = this.#options.log.child({ call: uuid })
    const orphan = this.#orphans.get(uuid) ?? {
      uuid,
      link,
      log,
      isHandedOver,
      isLooking: false,
      isStale: false,
      isRefused: false,
      meters: new Map<string, Meter>(),
      retry: undefined,
    }
    orphan.isHandedOver ||= isHandedOver
    this.#orphans.set(uuid, orphan)
    this.#look(orphan)
  }

  /** The channel has a session on this node: what talks there is that one's business, and its timers stay. */
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
    if (this.#orphans.size === 0 && event.name !== 'CHANNEL_HANGUP_COMPLETE') return
    const uuid = event.peek('Unique-ID') ?? ''
    switch (event.name) {
      case 'CHANNEL_ANSWER':
      case 'CHANNEL_BRIDGE': {
        const orphan = this.#orphans.get(uuid)
        if (orphan !== undefined) this.#look(orphan)
        return
      }
      case 'CHANNEL_HANGUP_COMPLETE':
        this.#over(uuid)
        return
      default:
    }
  }

  #over(uuid: string): void {
    // Also of a leg that could not be metered.
    this.#options.places.free(uuid)
    const caller = this.#byLeg.get(uuid)
    if (caller !== undefined) {
      caller.meters.get(uuid)?.stop()
      this.#let(caller, uuid)
      if (caller.meters.size === 0) this.#drop(caller.uuid)
    }
    const channel = this.#orphans.get(uuid)
    if (channel === undefined) return
    // A leg that its caller had dialled may talk on without him.
    const left = [...channel.meters.keys()]
    this.#drop(uuid, { keepsPlaces: true })
    for (const legUuid of left) this.consider(legUuid, channel.link, true)
  }

  /** A leg is not metered here any more. */
  #let(orphan: Orphan, legUuid: string): void {
    orphan.meters.delete(legUuid)
    this.#byLeg.delete(legUuid)
    this.#locks.release(legUuid)
  }

  #pause(orphan: Orphan, keepsPlaces = false): void {
    clearTimeout(orphan.retry)
    // Its own may be there since its caller had it.
    if (!keepsPlaces) this.#options.places.leave(orphan.uuid, this)
    for (const [legUuid, meter] of orphan.meters) {
      meter.abandon()
      if (!keepsPlaces) this.#options.places.leave(legUuid, this)
      this.#byLeg.delete(legUuid)
    }
  }

  /** The channel is not there any more. */
  #gone(uuid: string): void {
    this.#drop(uuid)
    this.#options.places.free(uuid)
  }

  /** @param keepsPlaces its legs' at their gateways: whether they talk on is about to be looked at */
  #drop(uuid: string, { keepsPlaces = false } = {}): void {
    const orphan = this.#orphans.get(uuid)
    if (orphan === undefined) return
    this.#pause(orphan, keepsPlaces)
    this.#orphans.delete(uuid)
    for (const legUuid of [...orphan.meters.keys()]) this.#let(orphan, legUuid)
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
      const channel = await askSwitch(link, uuid)
      const legs = await orphanedIn(channel, orphan, this.#options)
      if (!this.#has(orphan)) return
      if (legs === 'nothing') this.#drop(uuid)
      else if (legs === 'later') this.#lookLater(orphan)
      else for (const leg of legs) await this.#begin(orphan, leg)
    } catch (error) {
      if (isNoChannel(error)) this.#gone(uuid)
      // Else it is looked at when the link is back, or at the janitor's next round.
      else if (!isLinkGone(error)) log.warn({ err: error }, 'a call without a server could not be looked at')
    }
  }

  async #begin(orphan: Orphan, leg: TalkingLeg): Promise<void> {
    const { uuid, link } = orphan
    // Paused, when its link broke, it is still there.
    if (this.#byLeg.has(leg.uuid)) return
    const isMine = await this.#locks.take(leg.uuid)
    if (isMine && this.#has(orphan) && link.isUp) await this.#adopt(orphan, leg)
    if (!orphan.meters.has(leg.uuid) && isMine) this.#locks.release(leg.uuid)
    if (!isMine && orphan.meters.size === 0) this.#drop(uuid)
  }

  async #adopt(orphan: Orphan, leg: TalkingLeg): Promise<void> {
    const { log, link } = orphan
    const { catalog, credit } = this.#options
    const tenant = catalog.tenant(leg.tenant)
    if (tenant === undefined) {
      log.warn({ tenant: leg.tenant }, 'a leg talks without a server, of a tenant that is not known')
      this.#drop(orphan.uuid)
      return
    }
    const control = new LinkLegControl(link, orphan.uuid)
    const meter = await adoptLeg(leg, { credit, control, tenant, log })
    if (meter instanceof Meter) {
      if (!this.#has(orphan) || !link.isUp) {
        meter.abandon()
        return
      }
      log.info({ leg: leg.uuid }, 'a leg talks without a server: it is extended from here')
      orphan.meters.set(leg.uuid, meter)
      this.#byLeg.set(leg.uuid, orphan)
      this.#options.places.take(leg, this)
      return
    }
    if (!orphan.isRefused)
      log.warn({ leg: leg.uuid, reason: meter.message }, 'a leg talks without a server, and is not extended')
    orphan.isRefused = true
    // Of the other reasons none ends soon: the janitor's next round asks again.
    if (meter.reason === 'away') this.#lookLater(orphan)
  }

  #lookLater(orphan: Orphan): void {
    if (!this.#has(orphan)) return
    clearTimeout(orphan.retry)
    orphan.retry = setTimeout(
      () => {
        this.#look(orphan)
      },
      this.#options.retryMs ?? retryMs(this.#options.credit),
    )
  }
}
