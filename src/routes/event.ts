import { eventVariables } from '../events/dialplan-event.js'
import type { PublishedEvent } from './call.js'
import type { Route } from './route.js'

/** Publishes what a dialplan of the operator's own says of its call, and gives the call back. */
export const event: Route = {
  name: 'event',
  summary:
    "Publishes an event made of the channel's variables CALL_ID, CALL_STATUS, … and gives the call back",
  isScreened: false,
  needsTenant: false,
  givesBack: true,
  variables: eventVariables,

  async run(call) {
    const fields: { -readonly [name in keyof PublishedEvent]: PublishedEvent[name] } = {}
    for (const name of eventVariables) {
      const value = await call.variable(name)
      if (value !== undefined) fields[name] = value
    }
    await call.publish(fields)
    return call.giveBack()
  },
}
