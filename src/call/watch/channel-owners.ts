import { stateVariable } from '../../channel/channel.js'
import type { Event } from '../../esl/event.js'
import type { LiveCalls } from '../live.js'
import { decodeCallState } from '../state.js'
import type { Listing, SwitchLink } from './switches.js'
import { askNode } from '../legs/talking-leg.js'

/** The node whose call a channel is; `nobody`: none's, so far as it was heard. */
export type Owner = { readonly node: string } | 'nobody'

interface Known {
  readonly owner: Owner
  readonly link: SwitchLink
}

/** Channels that are known at once. The oldest are forgotten, and asked for again should they still be there. */
const most = 100_000

/**
 * Whose calls the channels of the switches are that have no session here: as their events tell, else each is asked for
 * once. So thousands of calls of other nodes cost nothing at each round.
 */
export class ChannelOwners {
  readonly #known = new Map<string, Known>()
  readonly #live: Pick<LiveCalls, 'has'>
  readonly #undo: (() => void)[]

  constructor(links: readonly SwitchLink[], live: Pick<LiveCalls, 'has'>) {
    this.#live = live
    this.#undo = links.flatMap((link) => [
      link.onEvent((event) => {
        this.#hear(event, link)
      }),
      // What was nobody's may have become somebody's unheard.
      link.onDown(() => {
        for (const [uuid, known] of this.#known)
          if (known.link === link && known.owner === 'nobody') this.#known.delete(uuid)
      }),
    ])
  }

  /** @returns undefined when it is not known */
  of(uuid: string): Owner | undefined {
    return this.#known.get(uuid)?.owner
  }

  /** Asks the switch. @throws what the link throws */
  async ask(uuid: string, link: SwitchLink): Promise<Owner> {
    const node = await askNode(link, uuid)
    const owner = node === undefined ? 'nobody' : { node }
    this.#keep(uuid, { owner, link })
    return owner
  }

  forget(uuid: string): void {
    this.#known.delete(uuid)
  }

  /** Forgets those that their switch has no more, their end having been missed. */
  keepOnly(listings: readonly Listing[]): void {
    const channels = new Map(listings.map((listing) => [listing.link, listing.channels]))
    for (const [uuid, { link }] of this.#known) if (channels.get(link)?.has(uuid) === false) this.forget(uuid)
  }

  close(): void {
    for (const undo of this.#undo) undo()
  }

  #hear(event: Event, link: SwitchLink): void {
    switch (event.name) {
      case 'CHANNEL_ANSWER':
      case 'CHANNEL_BRIDGE': {
        const uuid = event.peek('Unique-ID') ?? ''
        const text = event.peek(`variable_${stateVariable}`)
        const isCallers = text !== undefined || event.peek('Call-Direction') === 'inbound'
        // One that has its session here is asked for should that be lost.
        if (!isCallers || this.#live.has(uuid)) this.forget(uuid)
        else {
          const state = decodeCallState(text)
          this.#keep(uuid, { owner: state === undefined ? 'nobody' : { node: state.node }, link })
        }
        return
      }
      case 'CHANNEL_HANGUP_COMPLETE':
        this.forget(event.peek('Unique-ID') ?? '')
        return
      default:
    }
  }

  #keep(uuid: string, known: Known): void {
    this.#known.delete(uuid)
    this.#known.set(uuid, known)
    if (this.#known.size <= most) return
    const [oldest] = this.#known.keys()
    if (oldest !== undefined) this.forget(oldest)
  }
}
