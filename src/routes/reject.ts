import { Type, type Static } from 'typebox'
import type { Route } from './route.js'
import { hangupCause } from './schemas.js'

const args = Type.Object({ cause: Type.Optional(hangupCause) }, { additionalProperties: false })

/** Refuses the call. */
export const reject: Route<Static<typeof args>> = {
  name: 'reject',
  summary: 'Refuses the call with a cause, CALL_REJECTED unless told',
  arguments: args,
  pathArgument: 'cause',
  reaches: () => undefined,

  run(call, { cause = 'CALL_REJECTED' }) {
    return call.refuse(cause, `its route rejects it (${cause})`)
  },
}
