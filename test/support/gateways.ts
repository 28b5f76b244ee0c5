import type { CallerIdRules } from '../../src/numbering/caller-id.js'
import type { NumberRules } from '../../src/numbering/gateway-number.js'

/** A gateway that is configured no further. */
export const plainNumberRules: NumberRules = { format: 'international', stripDigits: 0, prepend: '' }
export const presentsCaller: CallerIdRules = { policy: 'caller' }
