import { Type } from 'typebox'
import { sound } from '../store/flow-schemas.js'

/** What the arguments of several routes have in common. */

export { flowId, sound, step as stepSchema } from '../store/flow-schemas.js'

export const sounds = Type.Array(sound, { minItems: 1, maxItems: 16 })

/** Without it the tenant's rules hold. */
export const record = Type.Optional(
  Type.Boolean({ description: 'Whether the talk is recorded, whatever the rules of the tenant say' }),
)

export const hangupCause = Type.String({
  pattern: '^[A-Z][A-Z0-9_]{2,62}$',
  description: 'A FreeSWITCH hangup cause',
})
