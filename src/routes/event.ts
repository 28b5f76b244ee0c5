import type { Route } from './route.js'

/** What of a channel goes into its event. */
const variables = [
  'CALL_ID',
  'DIRECTION',
  'CUSTOMER_ID',
  'TRUNK',
  'UNIQUE_ID',
  'PHONE_DIAL',
  'LINKED_ID',
  'CALL_STATUS',
  'QUEUE_NAME',
  'HANDLE_TIME',
  'ANSWER_TIME',
  'AGENT_EXTEN',
  'AGENT_ACCOUNT',
] as const

/** Publishes what a dialplan of the operator's own says of its call, and gives the call back. */
export const event: Route = {
  name: 'event',
  summary:
    "Publishes an event made of the channel's variables CALL_ID, CALL_STATUS, … and gives the call back",
  isScreened: false,
  needsTenant: false,
  variables,

  async run(call) {
    const fields: Record<string, string> = {}
    for (const name of variables) {
      const value = await call.variable(name)
      if (value !== undefined) fields[name] = value
    }
    await call.publish(fields)
    return call.giveBack()
  },
}
