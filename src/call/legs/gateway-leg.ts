import type { Logger } from 'pino'
import type { BridgeResult, Channel } from '../../channel/channel.js'
import type { Event } from '../../esl/event.js'
import { presentedCaller } from '../../numbering/caller-id.js'
import {
  gatewayDialString,
  isDiallable,
  type DialOptions,
  type DialString,
} from '../../numbering/dial-string.js'
import { gatewayNumber } from '../../numbering/gateway-number.js'
import type { GatewayDialOptions, GatewayResult, PassedOver } from '../../routes/call.js'
import type { Gateway, Tenant } from '../../store/catalog.js'
import type { ChannelFacts } from '../facts.js'
import type { GatewayAccess } from '../gateways/gateway-access.js'
import type { GatewayUse } from '../gateways/gateway-health.js'
import type { Identity } from '../identify.js'
import { isEmergencyLeg } from './leg-rate.js'
import type { Attempt, Legs } from './legs.js'

export interface GatewayLegOptions {
  readonly tenant: Tenant
  readonly facts: Pick<ChannelFacts, 'callerNumber' | 'switchName'>
  readonly identity: Pick<Identity, 'called' | 'isEmergency'>
  readonly gateways: GatewayAccess
  readonly channel: Pick<Channel, 'hasHungUp'>
  readonly legs: Legs
  readonly log: Logger
}

/** Of the called leg, as they come on its caller's. */
const lifeSigns: ReadonlySet<string> = new Set([
  'CHANNEL_PROGRESS',
  'CHANNEL_PROGRESS_MEDIA',
  'CHANNEL_BRIDGE',
])

/** In less than this a gateway that works need not have given a sign: ITU-T E.721 has 11 s for 95 of 100 calls abroad. */
const leastSilenceSeconds = 12

/**
 * How long a gateway may be silent. To the end of the ring time, if nothing else is set: FreeSWITCH then says
 * PROGRESS_TIMEOUT where no sign came at all, and NO_ANSWER where it rang in vain. It gives up later than so many whole
 * seconds, which is when the ring time is over. The caller's own events do not tell: one who is answered, or hears
 * the ringing of an earlier gateway, is told of no further one.
 */
function silenceSeconds({ progressSeconds }: Gateway, ringSeconds: number): number | undefined {
  if (ringSeconds < leastSilenceSeconds) return progressSeconds
  return Math.min(progressSeconds ?? Infinity, ringSeconds - 1)
}

/** What a call dials over a gateway that takes it. */
export interface GatewayCall {
  readonly dialString: (options: DialOptions) => DialString
  /** It takes its place there, and what is learnt of the gateway is, until what it dialled is over. */
  readonly until: (dialled: Promise<BridgeResult>) => Promise<BridgeResult>
}

export function passedOver(why: PassedOver): GatewayResult {
  const cause = why === 'unsuited' ? 'INVALID_NUMBER_FORMAT' : 'NORMAL_CIRCUIT_CONGESTION'
  return { isConnected: false, cause, passedOver: why }
}

/** The gateway that a call is dialled over now: whether it takes the call, how it is told it, and what is learnt of it. */
export class GatewayLeg {
  readonly #options: GatewayLegOptions
  #use: GatewayUse | undefined

  constructor(options: GatewayLegOptions) {
    this.#options = options
  }

  /** To be told of each event of the call. */
  observe(event: Event): void {
    if (this.#use !== undefined && lifeSigns.has(event.name)) this.#use.works()
  }

  /**
   * @param attempt `number` in normal form
   * @returns why the gateway is passed over
   */
  async begin(
    gateway: Gateway,
    attempt: Attempt,
    { evenIfResting = false }: GatewayDialOptions,
  ): Promise<GatewayCall | PassedOver> {
    const { tenant, facts, identity, gateways, log } = this.#options
    const isEmergency = isEmergencyLeg(attempt.number, { tenant, identity })
    const { name, codecs } = gateway
    const number = gatewayNumber(attempt.number, gateway.number, tenant)
    if (number === undefined || !isDiallable(number)) {
      log.warn({ gateway: name, number: attempt.number }, 'the gateway cannot be told this number')
      return 'unsuited'
    }
    const { switchName, callerNumber } = facts
    const asking = { attemptId: attempt.id, switchName, evenIfResting, isEmergency }
    const use = await gateways.begin(gateway, asking)
    if (typeof use === 'string') {
      log.info({ gateway: name, why: use }, 'the gateway is passed over')
      return use
    }
    const own = {
      ...presentedCaller(gateway.callerId, { number: callerNumber, isEmergency }, tenant),
      codecs,
    }
    this.#use = use
    return {
      dialString: (options) => {
        const progressSeconds = silenceSeconds(gateway, options.ringSeconds)
        const patience = progressSeconds !== undefined && { progressSeconds }
        return gatewayDialString(name, number, { ...options, ...own, ...patience })
      },
      until: async (dialled) => {
        let result: BridgeResult | undefined
        try {
          return (result = await dialled)
        } finally {
          this.#use = undefined
          if (this.#goesOn(attempt, result === undefined)) use.left()
          else use.ended(result)
        }
      },
    }
  }

  /** Whether what was dialled rings or talks on: it was transferred, or the caller's socket was lost and not the caller. */
  #goesOn(attempt: Attempt, isInterrupted: boolean): boolean {
    const { channel, legs } = this.#options
    if (legs.left.some((leg) => leg.attempt === attempt)) return true
    return isInterrupted && !channel.hasHungUp && (legs.talking?.attempt ?? legs.attempt) === attempt
  }
}
