import { Type, type Static } from 'typebox'
import type { BridgeResult } from '../channel/channel.js'
import { gatewayOutcome } from '../numbering/gateway-outcome.js'
import { normalNumber } from '../numbering/normal-form.js'
import type { Gateway } from '../store/catalog.js'
import type { Call, GatewayDialOptions } from './call.js'
import type { Route } from './route.js'
import { record } from './schemas.js'

const args = Type.Object(
  {
    number: Type.Optional(
      Type.String({
        pattern: '^[+]?[0-9A-Za-z*#._-]{1,32}$',
        description:
          'An extension, or a number as the tenant would dial it; without it the one that was called',
      }),
    ),
    record,
  },
  { additionalProperties: false },
)

/** An extension by its phone, anything else by the tenant's gateways in turn. */
export const dial: Route<Static<typeof args>> = {
  name: 'dial',
  summary: 'Rings the extension that was called, or dials the number over the gateways of the tenant',
  arguments: args,
  pathArgument: 'number',
  reaches: () => undefined,

  async run(call, { number, record }): Promise<void> {
    if (record !== undefined) call.record(record)
    const extension = number === undefined ? call.calledExtension : call.extension(number)
    if (number === undefined && extension === undefined && call.direction !== 'outbound')
      return call.refuse('NO_ROUTE_DESTINATION', 'this number leads nowhere')
    const { cause } =
      extension === undefined
        ? await dialNumber(call, number && normalNumber(number, call.tenant.country))
        : await call.ring([extension])
    return call.hangup(cause)
  },
}

/**
 * Dials a number over the tenant's gateways, one after the other, until one has the far end's answer. Those that rest
 * after failures come when nothing else could be dialled: then the one that has rested most.
 *
 * @param number in normal form; without it the called one. Refuses the call when no gateway takes it.
 */
export async function dialNumber(call: Call, number?: string): Promise<BridgeResult> {
  const gateways = call.gateways(number)
  if (gateways.length === 0)
    return call.refuse('NO_ROUTE_DESTINATION', 'no gateway of the tenant serves this number')
  const first = await overOneOf(gateways, call, number)
  // Not in one go: of two calls that come when a rest has just ended, both would try it.
  const { last } =
    first.last === undefined ? await overOneOf(first.resting, call, number, { evenIfResting: true }) : first
  if (last !== undefined) return last
  if (first.isUnsuited)
    return call.refuse('INVALID_NUMBER_FORMAT', 'by the rules of its gateways nothing is left of the number')
  return call.refuse(
    'NORMAL_CIRCUIT_CONGESTION',
    'the gateways for this number have as many calls as they may',
  )
}

interface Tried {
  /** How the last one that was dialled ended; undefined: none was. */
  readonly last: BridgeResult | undefined
  /** Passed over because they rest. */
  readonly resting: readonly Gateway[]
  /** None of them can be told the number. */
  readonly isUnsuited: boolean
}

async function overOneOf(
  gateways: readonly Gateway[],
  call: Call,
  number: string | undefined,
  options?: GatewayDialOptions,
): Promise<Tried> {
  let last: BridgeResult | undefined
  let isUnsuited = true
  const resting: Gateway[] = []
  for (const gateway of gateways) {
    const result = await call.dialGateway(gateway, number, options)
    isUnsuited &&= result.passedOver === 'unsuited'
    if (result.passedOver === 'resting') resting.push(gateway)
    if (result.passedOver !== undefined) continue
    last = result
    if (gatewayOutcome(result) === 'served') break
    call.log.warn({ gateway: gateway.name, cause: result.cause }, 'gateway failed')
    // Of those that rest, one is enough.
    if (options?.evenIfResting === true) break
  }
  return { last, resting, isUnsuited }
}
