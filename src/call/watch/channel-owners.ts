import { stateVariable } from '../../channel/channel.js'
import type { Event } from '../../esl/event.js'
import type { SwitchChannel } from '../../esl/link.js'
import type { LiveCalls } from '../live.js'
import { decodeCallState } from '../state.js'
import type { Listing, SwitchLink } from './switches.js'
import { askCall, askNode } from '../legs/talking-leg.js'

/**
 * The node whose call a channel is; or, if it is none's, the call for which one of our servers dialled it; `nobody`:
 * none's, so far as it was heard.
 */
export type Owner = { readonly node: string } | { readonly legOf: string } | 'nobody'

export interface ChannelOwnersOptions {
  readonly links: readonly SwitchLink[]
  readonly live: Pick<LiveCalls, 'has'>
  /** A leg is over that was without its call. */
  readonly onLegOver: () => void
}

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
  readonly #onLegOver: () => void
  readonly #undo: (() => void)[]

  constructor({ links, live, onLegOver }: ChannelOwnersOptions) {
    this.#live = live
    this.#onLegOver = onLegOver
    this.#undo = links.flatMap((link) => [
      link.onEvent((event) => {
        this.#hear(event, link)
      }),
      // What was nobody's may have become somebody's unheard.
      link.onDown(() => {
        for (const [uuid, known] of this.#known)
          if (known.link === link && !isNodes(known.owner)) this.#known.delete(uuid)
      }),
    ])
  }

  /** @returns undefined when it is not known */
  of(uuid: string): Owner | undefined {
    return this.#known.get(uuid)?.owner
  }

  /** Asks the switch. @throws what the link throws */
  async ask(uuid: string, link: SwitchLink, direction: SwitchChannel['direction']): Promise<Owner> {
    const node = await askNode(link, uuid)
    const legOf = node === undefined && direction === 'outbound' ? await askCall(link, uuid) : undefined
    const owner: Owner = node !== undefined ? { node } : legOf !== undefined ? { legOf } : 'nobody'
    this.#keep(uuid, { owner, link })
    return owner
  }

  /** The calls of which a leg is there that is without its call now. One walk over all, for any number of calls. */
  callsOfLegs(): Set<string> {
    const calls = new Set<string>()
    for (const { owner } of this.#known.values()) if (isLegs(owner)) calls.add(owner.legOf)
    return calls
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
      case 'CHANNEL_HANGUP_COMPLETE': {
        const uuid = event.peek('Unique-ID') ?? ''
        if (isLegs(this.of(uuid))) this.#onLegOver()
        this.forget(uuid)
        return
      }
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

export function isNodes(owner: Owner | undefined): owner is { readonly node: string } {
  return typeof owner === 'object' && 'node' in owner
}

export function isLegs(owner: Owner | undefined): owner is { readonly legOf: string } {
  return typeof owner === 'object' && 'legOf' in owner
}
