import type { Event } from '../esl/event.js'
import { callEvent, type CallDetails, type Stations } from '../events/call-event.js'
import type { CallEvents } from '../events/call-events.js'
import { micros } from './facts.js'
import type { Story } from './story.js'

/** What may be said of a call while it lasts; its end is told with its record. */
export type CallStatus = 'ringing' | 'answered' | 'queued' | 'bridged' | 'transferred'

/** Tells whoever is interested of each change of one call's status. */
export class Announcer {
  readonly #story: Story
  readonly #events: CallEvents
  readonly #stations: Record<keyof Stations, boolean> = {
    ivr: false,
    ring: false,
    queue: false,
    answer: false,
  }
  #count: number
  /** Of the caller's leg, µs. */
  #answeredAt: number | undefined
  #queueName: string | undefined
  #agent: string | undefined

  /** @param told how many of its changes another session of this node has told */
  constructor(story: Story, events: CallEvents, told: number) {
    this.#story = story
    this.#events = events
    this.#count = told
    this.#answeredAt = story.facts.answeredAt
    this.#stations.answer = this.#answeredAt !== undefined
  }

  /** How many changes were told. */
  get told(): number {
    return this.#count
  }

  /** What of the call goes into the event of its end, and is not in its record. */
  get details(): CallDetails {
    const { facts, identity } = this.#story
    return {
      queueName: this.#queueName,
      agentExtension: this.#agent ?? identity.callerExtension?.number,
      agentAccount: identity.callerExtension === undefined ? undefined : facts.authUser,
      channel: facts.channelName,
      stations: { ...this.#stations },
    }
  }

  /** The call has come to a route. */
  enters(route: string): void {
    if (route === 'menu') this.#stations.ivr = true
  }

  queued(name: string): void {
    this.#stations.queue = true
    this.#queueName = name
    this.tell('queued', Date.now() * 1000)
  }

  /** Somebody's phone rings. @param extension where one of the tenant's alone does */
  dials(extension: string | undefined): void {
    this.#stations.ring = true
    this.#agent = extension ?? this.#agent
  }

  observe(event: Event): void {
    switch (event.name) {
      case 'CHANNEL_ANSWER':
        this.#stations.answer = true
        this.#answeredAt ??= micros(event, 'Caller-Channel-Answered-Time')
        this.tell('answered', micros(event, 'Caller-Channel-Answered-Time'))
        return
      case 'CHANNEL_BRIDGE':
        this.tell('bridged', micros(event, 'Event-Date-Timestamp'))
        return
      default:
    }
  }

  /** @param at µs by the switch's clock */
  tell(status: CallStatus, at = this.#story.lastEventAt): void {
    const { facts, identity, takeovers, legs } = this.#story
    const { tenant, direction, caller, called } = identity
    if (tenant === undefined) return
    this.#count++
    if (!this.#events.isHeard) {
      this.#events.count(tenant.id, status, facts.uuid)
      return
    }
    this.#events.publish(
      callEvent({
        ...this.details,
        uuid: facts.uuid,
        tenant: tenant.id,
        timeZone: tenant.timeZone,
        direction,
        caller,
        called,
        gateway: (legs.talking?.attempt ?? legs.attempt)?.gateway?.name,
        status,
        at,
        startedAt: facts.createdAt,
        answeredAt: this.#answeredAt,
        takeovers,
        count: this.#count,
        stations: this.#stations,
      }),
    )
  }
}
