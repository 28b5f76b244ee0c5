import type { Link } from '../../esl/link.js'
import { isNoChannel } from '../legs/leg-control.js'
import type { LiveCalls } from '../live.js'
import type { Nodes } from './nodes.js'
import { askNode, type ChannelOnSwitch, type TalkingLeg } from '../legs/talking-leg.js'

/** Who may look after a channel: the sessions here, those of the nodes that live. */
export interface Custodians {
  readonly live: Pick<LiveCalls, 'has'>
  readonly nodes: Pick<Nodes, 'servesNoMore'>
}

export interface LookedAt {
  readonly uuid: string
  readonly link: Pick<Link, 'api'>
  /** Who dialled it, as a leg, has nothing more to do with it. */
  readonly isHandedOver: boolean
}

/**
 * What of a channel talks at somebody's cost, and is looked after by nobody: perhaps nothing yet, perhaps nothing at all.
 *
 * @throws what the link throws
 */
export async function orphanedIn(
  { state, talking, itself, isServed }: ChannelOnSwitch,
  { uuid, link, isHandedOver }: LookedAt,
  custodians: Custodians,
): Promise<readonly TalkingLeg[] | 'later' | 'nothing'> {
  if (custodians.live.has(uuid)) return 'nothing'
  if (state !== undefined) {
    if (!custodians.nodes.servesNoMore(state.node)) return 'nothing'
    // Left by its session here, it is on its way to another socket, whose server will say so.
    if (isHandedOver && isServed) return 'later'
    // It is a call of its own, whoever dialled it.
    if (itself !== undefined) return [itself, ...talking]
    // While a leg rings there is nothing to do: it comes with its own timer, and the link tells its answer.
    return state.attempt?.rate !== undefined || talking.length > 0 ? talking : 'nothing'
  }
  if (itself === undefined) return 'nothing'
  // A server that was just given it will say so.
  if (isServed) return 'later'
  return isHandedOver || (await isWithoutCaller(itself, link, custodians)) ? [itself] : 'nothing'
}

/** Whether nobody has the call any more that dialled a leg. @throws what the link throws */
async function isWithoutCaller(
  { callUuid }: TalkingLeg,
  link: Pick<Link, 'api'>,
  custodians: Custodians,
): Promise<boolean> {
  if (custodians.live.has(callUuid)) return false
  try {
    const node = await askNode(link, callUuid)
    return node === undefined || custodians.nodes.servesNoMore(node)
  } catch (error) {
    if (isNoChannel(error)) return true
    throw error
  }
}
