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

  async run(call, { number, record }): Promise<void> {
    if (record !== undefined) call.record(record)
    if (number !== undefined) {
      const extension = call.extension(number)
      const { cause } =
        extension === undefined
          ? await dialNumber(call, normalNumber(number, call.tenant.country))
          : await call.ring([extension])
      return call.hangup(cause)
    }
    if (call.calledExtension !== undefined) {
      const { cause } = await call.ring([call.calledExtension])
      return call.hangup(cause)
    }
    if (call.direction !== 'outbound') return call.refuse('NO_ROUTE_DESTINATION', 'this number leads nowhere')
    const { cause } = await dialNumber(call)
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
  const result =
    (await overOneOf(gateways, call, number)) ??
    (await overOneOf(gateways, call, number, { evenIfResting: true }))
  return (
    result ??
    call.refuse('NORMAL_CIRCUIT_CONGESTION', 'the gateways for this number have as many calls as they may')
  )
}

/** @returns how the last one that was dialled ended; undefined: none was */
async function overOneOf(
  gateways: readonly Gateway[],
  call: Call,
  number: string | undefined,
  options?: GatewayDialOptions,
): Promise<BridgeResult | undefined> {
  let last: BridgeResult | undefined
  for (const gateway of gateways) {
    const result = await call.dialGateway(gateway, number, options)
    if (!result.isDialled) continue
    last = result
    if (gatewayOutcome(result) === 'served') break
    call.log.warn({ gateway: gateway.name, cause: result.cause }, 'gateway failed')
    // Of those that rest, one is enough.
    if (options?.evenIfResting === true) break
  }
  return last
}
