import { randomUUID } from 'node:crypto'

import type { CallOptions } from './call.js'
import { Channel } from './channel.js'
import type { SimulatedSwitch } from './switch.js'
import { templates } from './templates.js'
import { Variables } from './variables.js'

/** The leg of a call that comes in. @param now µs */
export function callerChannel(sw: SimulatedSwitch, options: CallOptions, now: number): Channel {
  const { caller, callerName = caller, called, profile = 'internal', direction = 'inbound' } = options
  const { uuid = randomUUID() } = options
  const sessionId = sw.nextSessionId()
  const slots = { uuid, caller, callerName, called, sofiaProfile: profile, sessionId, sipId: sessionId }
  const variables = new Variables(templates().callerLeg({ ...slots, created: now.toString() }))
  variables.setAll(options.variables ?? {})
  return new Channel(
    {
      direction,
      logicalDirection: direction,
      username: caller,
      callerIdName: callerName,
      callerIdNumber: caller,
      origCallerIdName: callerName,
      origCallerIdNumber: caller,
      ani: caller,
      destination: called,
      uuid,
      context: options.context ?? 'public',
      channelName: `sofia/${profile}/${caller}@127.0.0.1:5071`,
      index: 1,
      profileCreated: now,
      created: now,
      answered: 0,
      progress: 0,
      hungUp: 0,
      bridged: 0,
    },
    variables,
  )
}
