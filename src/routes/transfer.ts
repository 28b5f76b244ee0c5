import { Type, type Static } from 'typebox'
import type { Route } from './route.js'

const name = (description: string) => Type.String({ pattern: '^[0-9A-Za-z_.*#+-]{1,64}$', description })

const args = Type.Object(
  {
    destination: name('An extension of the dialplan'),
    context: Type.Optional(name("The dialplan's context; without it the one that the call is in")),
  },
  { additionalProperties: false },
)

/** Has the call run a dialplan of the switch's own. */
export const transfer: Route<Static<typeof args>> = {
  name: 'transfer',
  summary: 'Hands the call to an extension of the dialplan',
  arguments: args,
  pathArgument: 'destination',

  run(call, { destination, context }) {
    return call.transfer({ destination, ...(context !== undefined && { context }) })
  },
}
