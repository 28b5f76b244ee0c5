import type { Logger } from 'pino'
import { stateVariable } from '../../channel/channel.js'
import type { Event } from '../../esl/event.js'
import type { SwitchChannel } from '../../esl/link.js'
import { isLinkGone, isNoChannel } from '../legs/leg-control.js'
import { dumpOf } from '../legs/talking-leg.js'
import type { LiveCalls } from '../live.js'
import type { Nodes } from './nodes.js'
import { decodeCallState } from '../state.js'
import type { Listing, SwitchLink } from './switches.js'
import { isAbandoned, type ParkedChannel } from './verdict.js'

export interface ParkedOptions {
  readonly live: Pick<LiveCalls, 'has'>
  readonly nodes: Pick<Nodes, 'id' | 'isDead'>
  readonly log: Logger
  /** Where this server, and others like it, take calls: a `socket` to another one is somebody else's. */
  readonly eslPort: () => number
  /** A monotonic clock, in ms. */
  readonly now: () => number
}

/** How long a channel must have stood, in ms: far longer than a caller is screened and a leg authorised. */
const parkedMs = 60_000

interface Parked {
  readonly link: SwitchLink
  readonly since: number
}

/**
 * Ends the channels to which nobody will ever speak: a server accepted them and died before it said anything, so that
 * their dialplan does not go on.
 */
export class ParkedChannels {
  readonly #options: ParkedOptions
  #parked: ReadonlyMap<string, Parked> = new Map()

  constructor(options: ParkedOptions) {
    this.#options = options
  }

  /** A round. Those of a switch that cannot be asked begin anew. */
  async look(listings: readonly Listing[]): Promise<void> {
    const { live, now } = this.#options
    const eslPort = this.#options.eslPort()
    const at = now()
    const parked = new Map<string, Parked>()
    for (const { link, channels } of listings)
      for (const channel of channels?.values() ?? []) {
        if (!isParked(channel, eslPort) || live.has(channel.uuid)) continue
        parked.set(channel.uuid, this.#parked.get(channel.uuid) ?? { link, since: at })
      }
    this.#parked = parked
    for (const [uuid, { link, since }] of parked)
      if (at > since && at - since >= parkedMs) await this.#judge(uuid, link, listings)
  }

  async #judge(uuid: string, link: SwitchLink, listings: readonly Listing[]): Promise<void> {
    const { live, log } = this.#options
    try {
      const channel = await dumpOf(link, uuid)
      const isStill = channel.peek('variable_current_application') === 'socket'
      const owner = this.#ownerOf(channel)
      const other = channel.peek('Other-Leg-Unique-ID')
      const isBridged = other !== undefined && listings.some(({ channels }) => channels?.has(other))
      if (!isStill || live.has(uuid) || !isAbandoned({ isBridged, owner })) return
      log.warn({ call: uuid, owner }, 'a channel waits for a server that is dead: it is ended')
      await link.api('uuid_kill', [uuid, 'NORMAL_TEMPORARY_FAILURE'])
    } catch (error) {
      if (!isNoChannel(error) && !isLinkGone(error))
        log.warn({ err: error, call: uuid }, 'a channel that waits for a dead server could not be ended')
    }
  }

  #ownerOf(channel: Event): ParkedChannel['owner'] {
    const { nodes } = this.#options
    const text = channel.peek(`variable_${stateVariable}`)
    if (text === undefined) return 'nobody'
    const node = decodeCallState(text)?.node
    // What another release wrote is not ours to end.
    if (node === undefined) return 'a living node'
    return node === nodes.id ? 'this node' : nodes.isDead(node) ? 'a dead node' : 'a living node'
  }
}

/** `socket 10.0.0.1:9000|10.0.0.2:9000/checkphone async full`, and nothing else runs: no server has said anything. */
function isParked(channel: SwitchChannel, eslPort: number): boolean {
  const { application, applicationData, callState } = channel
  if (application !== 'socket' || callState === 'HANGUP') return false
  const [servers = ''] = applicationData.trim().split(' ')
  return servers.split('|').some((server) => /:(\d+)(?:\/.*)?$/.exec(server)?.[1] === String(eslPort))
}
