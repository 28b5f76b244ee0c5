import type { CallerIdRules } from '../../src/numbering/caller-id.js'
import type { NumberRules } from '../../src/numbering/gateway-number.js'

/** A gateway that is configured no further. */
export const plainNumberRules: NumberRules = { format: 'international', stripDigits: 0, prepend: '' }
export const presentsCaller: CallerIdRules = { policy: 'caller' }

/** Of gateways without limits: nobody counts their legs. */
export const noPlaces = {
  take: () => undefined,
  free: () => undefined,
  leave: () => undefined,
  keeps: () => false,
}
