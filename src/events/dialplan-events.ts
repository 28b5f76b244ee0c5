import type { Redis } from 'ioredis'
import type { BaseLogger } from 'pino'

import type { CallEvent } from './call-event.js'
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

  /** Waits for Redis, 200 ms at most. @returns undefined for what cannot be published: that is logged */
  async publish(variables: Variables, channel: EventChannel): Promise<CallEvent | undefined> {
    const { events, log, timeZoneOf } = this.#options
    const about = aboutOf(variables, channel)
    if (typeof about === 'string') {
      log.warn({ call: channel.uuid, reason: about }, 'an event of the dialplan is not published')
      return undefined
    }
    const own: SharedFields = Object.fromEntries(
      sharedNames.flatMap((name) => (variables[name] ? [[name, variables[name].slice(0, 128)]] : [])),
    )
    const shared = await this.#shared.exchange(about, own, channel.startedAt)
    const timeZone = timeZoneOf(about.customer) ?? 'UTC'
    const event = dialplanEvent(variables, about, channel, shared, timeZone, Date.now())
    events.publish(event)
    return event
  }
}
