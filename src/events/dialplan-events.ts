import type { Redis } from 'ioredis'
import type { BaseLogger } from 'pino'

import type { CallEvents } from './call-events.js'
import { aboutOf, dialplanEvent, type EventChannel, type Variables } from './dialplan-event.js'
import { CallFields, sharedNames, type SharedFields } from './shared-fields.js'

export interface DialplanEventsOptions {
  readonly events: Pick<CallEvents, 'publish'>
  readonly redis: Pick<Redis, 'multi'>
  readonly log: BaseLogger
  /** A customer's, IANA; undefined: it is no tenant of ours. */
  readonly timeZoneOf: (customer: string) => string | undefined
}

/** Publishes what dialplans say of their calls: the route `event`. */
export class DialplanEvents {
  readonly #options: DialplanEventsOptions
  readonly #shared: CallFields

  constructor(options: DialplanEventsOptions) {
    this.#options = options
    this.#shared = new CallFields(options)
  }

  /** What cannot be published is logged. Waits for Redis, 200 ms at most. */
  async publish(variables: Variables, channel: EventChannel): Promise<void> {
    const { events, log, timeZoneOf } = this.#options
    const about = aboutOf(variables, channel)
    if (typeof about === 'string') {
      log.warn({ call: channel.uuid, reason: about }, 'an event of the dialplan is not published')
      return
    }
    const own: SharedFields = Object.fromEntries(
      sharedNames.flatMap((name) => (variables[name] ? [[name, variables[name].slice(0, 128)]] : [])),
    )
    const shared = await this.#shared.exchange(about.callId, own, channel.startedAt)
    const timeZone = timeZoneOf(about.customer) ?? 'UTC'
    events.publish(dialplanEvent(variables, about, channel, shared, timeZone, Date.now()))
  }
}
