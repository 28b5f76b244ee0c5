import { Type, type Static } from 'typebox'
import { queuePattern } from '../channel/queue.js'
import type { Route } from './route.js'
import { record, sound, sounds, stepSchema } from './schemas.js'

const args = Type.Object(
  {
    queue: Type.String({
      pattern: queuePattern.source,
      description: 'As mod_callcenter knows it, support@default; without a domain that is `default`',
    }),
    announcement: Type.Optional(sounds),
    music: Type.Optional(sound),
    record,
    otherwise: Type.Optional(stepSchema),
  },
  { additionalProperties: false },
)

/** A queue of mod_callcenter: agents take its callers, VIPs first. */
export const queue: Route<Static<typeof args>> = {
  name: 'queue',
  summary: 'Waits for an agent of a queue; VIPs first',
  arguments: args,
  pathArgument: 'queue',
  // All queues of a switch are in one place; those of a tenant's domain are its own.
  reaches({ queue }, domain) {
    const name = fullName(queue)
    return domain !== undefined && name.endsWith(`@${domain}`) ? undefined : `the queue ${name}`
  },
  sounds: ({ announcement = [], music }) => [...announcement, ...(music === undefined ? [] : [music])],
  steps: ({ otherwise }) => (otherwise === undefined ? [] : [otherwise]),

  async run(call, { queue, announcement, music, record, otherwise }) {
    if (record !== undefined) call.record(record)
    await call.answer()
    if (announcement !== undefined)
      await call.once(`announced:${queue}`, async () => {
        await call.play(...announcement)
        return true
      })
    const name = fullName(queue)
    const result = await call.queue(name, music === undefined ? {} : { music })
    call.log.debug({ queue: name, ...result }, 'the caller left the queue')
    return result.isConnected || otherwise === undefined ? call.hangup('NORMAL_CLEARING') : call.go(otherwise)
  },
}

function fullName(queue: string): string {
  return queue.includes('@') ? queue : `${queue}@default`
}
