import type { Logger } from 'pino'
import type { SwitchChannel } from '../../esl/link.js'
import { isLegs, isNodes, type ChannelOwners, type Owner } from './channel-owners.js'
import { isLinkGone, isNoChannel } from '../legs/leg-control.js'
import type { LiveCalls } from '../live.js'
import type { Nodes } from './nodes.js'
import type { Orphans } from './orphans.js'
import type { Listing, SwitchLink } from './switches.js'
import { isCallers, isStray } from './verdict.js'

export interface ServerlessOptions {
  readonly owners: ChannelOwners
  readonly orphans: Pick<Orphans, 'consider' | 'has'>
  readonly live: Pick<LiveCalls, 'has'>
  readonly nodes: Pick<Nodes, 'servesNoMore'>
  readonly log: Logger
}

const lookUpsAtOnce = 4

/** The channels of the switches that no server serves: those of dead servers, and legs that have left their calls. */
export class ServerlessChannels {
  readonly #options: ServerlessOptions

  constructor(options: ServerlessOptions) {
    this.#options = options
  }

  /** Asks of each leg that is without its caller which call it is of, once. */
  async find({ link, channels }: Listing): Promise<void> {
    const strays = [...(channels?.values() ?? [])].filter(
      (channel) => isStray(channel, channels) && this.#options.owners.of(channel.uuid) === undefined,
    )
    await this.#each(strays, link, ({ uuid, direction }) => this.#options.owners.ask(uuid, link, direction))
  }

  /** Calls without a session whose server is this one, or dead: what talks in them may need more time. */
  async lookAfter({ link, channels }: Listing): Promise<void> {
    const { live, orphans } = this.#options
    const waiting = [...(channels?.values() ?? [])].filter(
      (channel) =>
        !live.has(channel.uuid) &&
        (isCallers(channel) ||
          isStray(channel, channels) ||
          this.#options.owners.of(channel.uuid) !== undefined),
    )
    await this.#each(waiting, link, async (channel) => {
      if (await this.#isServerless(channel, link)) orphans.consider(channel.uuid, link)
    })
  }

  /** Some at once. What the link throws is logged, unless the channel or the link is gone. */
  async #each(
    channels: SwitchChannel[],
    link: SwitchLink,
    ask: (channel: SwitchChannel) => Promise<unknown>,
  ): Promise<void> {
    const askOn = async (): Promise<void> => {
      for (let next = channels.pop(); next !== undefined && link.isUp; next = channels.pop()) {
        try {
          await ask(next)
        } catch (error) {
          if (!isNoChannel(error) && !isLinkGone(error))
            this.#options.log.warn(
              { err: error, call: next.uuid },
              'the switch does not say whose call a channel is',
            )
        }
      }
    }
    await Promise.all(Array.from({ length: lookUpsAtOnce }, askOn))
  }

  /** @throws what the link throws */
  async #isServerless({ uuid, direction }: SwitchChannel, link: SwitchLink): Promise<boolean> {
    const { nodes, orphans, live } = this.#options
    const isNobodys = (owner: Owner | undefined): boolean =>
      isLegs(owner) || (isNodes(owner) && nodes.servesNoMore(owner.node))
    const known = this.#options.owners.of(uuid)
    if (orphans.has(uuid) || (known !== undefined && !isNobodys(known))) return orphans.has(uuid)
    // Another node may have taken it over since.
    return isNobodys(await this.#options.owners.ask(uuid, link, direction)) && !live.has(uuid)
  }
}
