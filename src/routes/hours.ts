import { Type, type Static } from 'typebox'
import { stateAt } from './hours-at.js'
import type { Route } from './route.js'
import { flowId, stepSchema } from './schemas.js'

const args = Type.Object(
  { hours: flowId, open: stepSchema, closed: stepSchema },
  { additionalProperties: false },
)

/** One way while a place is open, another while it is not. */
export const hours: Route<Static<typeof args>> = {
  name: 'hours',
  summary: 'Goes one way during opening hours, another outside of them and on holidays',
  arguments: args,
  reaches: () => undefined,
  references: ({ hours }) => [{ kind: 'hours', id: hours }],
  steps: ({ open, closed }) => [open, closed],

  async run(call, { hours: id, open, closed }) {
    const hours = call.hours(id)
    if (hours === undefined) return call.refuse('NO_ROUTE_DESTINATION', `there are no hours ${id}`)
    const state = await call.once(`hours:${id}`, () =>
      stateAt(hours, hours.timeZone ?? call.tenant.timeZone, new Date()),
    )
    call.log.debug({ hours: id, state }, 'opening hours')
    return call.go(state === 'open' ? open : closed)
  },
}
