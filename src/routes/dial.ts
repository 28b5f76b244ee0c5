import type { Call, Route } from './call.js'

/**
 * Causes that are the far end's own answer: another gateway would bring the same. Every other failure is
 * taken for the gateway's, and the next one is tried (recordings bridge-refused-*, bridge-nobody-listens).
 */
const farEndCauses = new Set([
  'ALLOTTED_TIMEOUT',
  'CALL_REJECTED',
  'INVALID_NUMBER_FORMAT',
  'NORMAL_CLEARING',
  'NO_ANSWER',
  'NO_USER_RESPONSE',
  'NUMBER_CHANGED',
  'ORIGINATOR_CANCEL',
  'SUBSCRIBER_ABSENT',
  'UNALLOCATED_NUMBER',
  'USER_BUSY',
  'USER_NOT_REGISTERED',
])

/** An extension by its phone, anything else by the tenant's gateways in turn. */
export const dial: Route = {
  name: 'dial',

  async run(call: Call): Promise<void> {
    if (call.calledExtension !== undefined) {
      const { cause } = await call.ringExtension(call.calledExtension)
      return call.hangup(cause)
    }
    if (call.direction !== 'outbound') return call.refuse('NO_ROUTE_DESTINATION', 'this number leads nowhere')
    const gateways = call.gateways()
    if (gateways.length === 0)
      return call.refuse('NO_ROUTE_DESTINATION', 'no gateway of the tenant serves this number')
    let cause = ''
    for (const gateway of gateways) {
      const result = await call.dialGateway(gateway)
      cause = result.cause
      if (result.isConnected || farEndCauses.has(cause)) break
      call.log.warn({ gateway: gateway.name, cause }, 'gateway failed')
    }
    return call.hangup(cause)
  },
}
