import type { Logger } from 'pino'
import type { BridgeResult } from '../../channel/channel.js'
import type { Event } from '../../esl/event.js'
import { presentedCaller } from '../../numbering/caller-id.js'
import { gatewayDialString, type DialOptions, type DialString } from '../../numbering/dial-string.js'
import { gatewayNumber } from '../../numbering/gateway-number.js'
import type { GatewayDialOptions, GatewayResult } from '../../routes/call.js'
import type { Gateway, Tenant } from '../../store/catalog.js'
import type { ChannelFacts } from '../facts.js'
import type { GatewayAccess } from '../gateways/gateway-access.js'
import type { GatewayUse } from '../gateways/gateway-health.js'
import type { Identity } from '../identify.js'
import { isEmergencyLeg } from './leg-rate.js'

export interface GatewayLegOptions {
  readonly tenant: Tenant
  readonly facts: Pick<ChannelFacts, 'callerNumber' | 'switchName'>
  readonly identity: Pick<Identity, 'called' | 'isEmergency'>
  readonly gateways: GatewayAccess
  readonly log: Logger
}

/** Of the called leg, as they come on its caller's. */
const lifeSigns: ReadonlySet<string> = new Set([
  'CHANNEL_PROGRESS',
  'CHANNEL_PROGRESS_MEDIA',
  'CHANNEL_BRIDGE',
])

const passedOver: GatewayResult = {
  isConnected: false,
  isDialled: false,
  cause: 'NORMAL_CIRCUIT_CONGESTION',
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
   * @param dial is not called when the gateway is passed over
   * @throws what `dial` throws; UnsafeArgument for a number of which the gateway's rules leave nothing
   */
  async dial(
    gateway: Gateway,
    attempt: { readonly id: string; readonly number: string },
    { evenIfResting = false }: GatewayDialOptions,
    dial: (dialString: (options: DialOptions) => DialString) => Promise<BridgeResult>,
  ): Promise<GatewayResult> {
    const { tenant, facts, identity, gateways, log } = this.#options
    const isEmergency = isEmergencyLeg(attempt.number, { tenant, identity })
    const { name, codecs, progressSeconds } = gateway
    const number = gatewayNumber(attempt.number, gateway.number, tenant)
    const { switchName, callerNumber } = facts
    const asking = { attemptId: attempt.id, switchName, evenIfResting, isEmergency }
    const use = await gateways.begin(gateway, asking)
    if (typeof use === 'string') {
      log.info({ gateway: name, why: use }, 'the gateway is passed over')
      return passedOver
    }
    const own = {
      ...presentedCaller(gateway.callerId, { number: callerNumber, isEmergency }, tenant),
      codecs,
      ...(progressSeconds !== undefined && { progressSeconds }),
    }
    this.#use = use
    try {
      const result = await dial((options) => gatewayDialString(name, number, { ...options, ...own }))
      use.ended(result)
      return { ...result, isDialled: true }
    } finally {
      use.ended()
      this.#use = undefined
    }
  }
}
