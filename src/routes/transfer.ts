import { Type, type Static } from 'typebox'
import { contextPattern, extensionPattern } from '../channel/hand-over.js'
import type { Route } from './route.js'

const args = Type.Object(
  {
    destination: Type.String({
      pattern: extensionPattern.source,
      description: 'An extension of the dialplan',
    }),
    context: Type.Optional(
      Type.String({
        pattern: contextPattern.source,
        description: "The dialplan's context; without it the one that the call is in",
      }),
    ),
  },
  { additionalProperties: false },
)

/** Has the call run a dialplan of the switch's own. */
export const transfer: Route<Static<typeof args>> = {
  name: 'transfer',
  summary: 'Hands the call to an extension of the dialplan',
  arguments: args,
  pathArgument: 'destination',
  reaches: ({ destination, context }) =>
    `the extension ${destination} of the dialplan${context === undefined ? '' : ` ${context}`}`,

  run(call, { destination, context }) {
    return call.transfer({ destination, ...(context !== undefined && { context }) })
  },
}
