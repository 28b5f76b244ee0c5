import type { Logger } from 'pino'
import type { Event } from '../esl/event.js'
import { callEvent, mostEvents, sequenceOf, type CallDetails, type Stations } from '../events/call-event.js'
import type { CallEvents } from '../events/call-events.js'
import type { Route } from '../routes/route.js'
import type { Catalog, Extension } from '../store/catalog.js'
import { micros } from './facts.js'
import type { Story } from './story.js'

/** What may be said of a call while it lasts; its end is told with its record. */
export type CallStatus = 'ringing' | 'answered' | 'queued' | 'bridged' | 'transferred'

export interface AnnouncerOptions {
  readonly events: Pick<CallEvents, 'isHeard' | 'count' | 'publish'>
  readonly catalog: Pick<Catalog, 'extension'>
  readonly log: Pick<Logger, 'warn'>
}

/** Who talks or rings for the tenant. */
type Agent = Pick<Extension, 'number' | 'authUsername'>

/** Tells whoever is interested of each change of one call's status, as long as its session has the call. */
export class Announcer {
  readonly #story: Story
  readonly #options: AnnouncerOptions
  /** The call is somebody else's. */
  #hasLeft = false
  /** Of the caller's leg, µs. */
  #answeredAt: number | undefined
  #route: string | undefined
  /** The phones that ring together, or did last. */
  #rung: readonly Extension[] = []
  #agent: Agent | undefined

  constructor(story: Story, options: AnnouncerOptions) {
    this.#story = story
    this.#options = options
    this.#answeredAt = story.facts.answeredAt
    if (this.#answeredAt !== undefined) this.#passes('answer')
  }

  /** What of the call goes into the event of its end, and is not in its record. */
  get details(): CallDetails {
    const { facts, identity, announced } = this.#story
    const { callerExtension } = identity
    const account = callerExtension && (facts.authUser ?? callerExtension.authUsername)
    return {
      queueName: announced.queueName,
      agentExtension: this.#agent?.number ?? callerExtension?.number,
      agentAccount: this.#agent === undefined ? account : this.#agent.authUsername,
      channel: facts.channelName,
      stations: announced.stations,
    }
  }

  /** Of the latest event of the call that has a number; 0: there was none. */
  get sequence(): number {
    const { takeovers, announced } = this.#story
    return sequenceOf(takeovers, announced.count)
  }

  /** The call is new here. Of one that its route only looks at nothing is told. */
  begins({ givesBack }: Pick<Route, 'givesBack'>): void {
    const { announced, facts } = this.#story
    if (givesBack === true) this.leave()
    // It was told before the call was given back to its dialplan, and came again.
    if (givesBack === true || announced.hasBegun) return
    this.#story.announced = { ...announced, hasBegun: true }
    // Later than what its dialplan has told of it.
    this.tell('ringing', announced.count === 0 ? facts.createdAt : facts.arrivedAt)
  }

  /** The route that the call has come to last. */
  get route(): string | undefined {
    return this.#route
  }

  /** When the caller's leg was answered, µs. */
  get answeredAt(): number | undefined {
    return this.#answeredAt
  }

  /** The call has come to a route. */
  enters(route: string): void {
    this.#route = route
    if (route === 'menu') this.#passes('ivr')
  }

  /** The caller waits in a queue. */
  queued(queueName: string): void {
    this.#passes('queue')
    this.#story.announced = { ...this.#story.announced, queueName }
    this.tell('queued')
  }

  /** Phones of the tenant ring, or somebody else's. */
  dials(extensions: readonly Extension[] = []): void {
    this.#passes('ring')
    this.#rung = extensions
    this.#agent = extensions.length === 1 ? extensions[0] : undefined
  }

  observe(event: Event): void {
    const { name } = event
    if (name === 'CHANNEL_ANSWER') {
      const at = micros(event, 'Caller-Channel-Answered-Time')
      this.#passes('answer')
      this.#answeredAt ??= at
      this.tell('answered', at)
    } else if (name === 'CHANNEL_BRIDGE') {
      this.#passes('ring')
      this.#agent = this.#answering(event) ?? this.#agent
      this.tell('bridged', micros(event, 'Event-Date-Timestamp'))
    }
  }

  /** The call runs another dialplan: whatever becomes of it there is not for this session to tell. */
  transferred(): void {
    this.tell('transferred')
    this.leave()
  }

  /** The call is another session's of this node, which tells of it from here on. @param heir of that one */
  handOver(heir: Story): void {
    const { facts, takeovers, announced } = this.#story
    // Its new socket may be here before its old one has told of the transfer.
    if (heir.facts.calledNumber !== facts.calledNumber) this.transferred()
    this.leave()
    if (heir.takeovers === takeovers && announced.count > heir.announced.count)
      heir.announced = this.#story.announced
  }

  /** Nothing more is told by this session. */
  leave(): void {
    this.#hasLeft = true
  }

  /** It was to be somebody else's, and is not: the switch has refused that. */
  stays(): void {
    this.#hasLeft = false
  }

  /** Its dialplan has told of the call itself: later events have greater numbers. */
  continueAfter(sequence: number): void {
    const { takeovers, announced } = this.#story
    const count = sequence - sequenceOf(takeovers, 0)
    // Redis away, the dialplan's has no number that others could be counted on from.
    if (count > announced.count && count <= mostEvents) this.#story.announced = { ...announced, count }
  }

  /** @param at µs by the switch's clock */
  tell(status: CallStatus, at = this.#story.lastEventAt): void {
    const { facts, identity, takeovers, legs } = this.#story
    const { tenant, direction, caller, called } = identity
    if (tenant === undefined || this.#hasLeft) return
    const { events, log } = this.#options
    const count = this.#story.announced.count + 1
    this.#story.announced = { ...this.#story.announced, count }
    if (count === mostEvents + 1)
      log.warn({ told: mostEvents, status }, 'a call has more changes than can be told: the rest is not')
    if (!events.isHeard) {
      events.count(tenant.id, status, facts.uuid)
      return
    }
    events.publish(
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
        count,
        stations: this.#story.announced.stations,
      }),
    )
  }

  #passes(station: keyof Stations): void {
    const { announced } = this.#story
    if (announced.stations[station]) return
    this.#story.announced = { ...announced, stations: { ...announced.stations, [station]: true } }
  }

  /** Who of those that might have has answered, as the caller's channel tells; undefined: it does not. */
  #answering(bridge: Event): Agent | undefined {
    const { identity, legs } = this.#story
    if (legs.talking?.attempt.target.startsWith('queue:') === true) {
      // mod_callcenter's name of him, `1001@default`.
      const number = bridge.peek('variable_cc_agent')?.split('@')[0]
      if (!number || identity.tenant === undefined) return undefined
      return this.#options.catalog.extension(identity.tenant.id, number) ?? { number }
    }
    if (this.#rung.length < 2) return undefined
    const numbers = [bridge.peek('Other-Leg-Destination-Number'), bridge.peek('Other-Leg-Callee-ID-Number')]
    return this.#rung.find(({ number }) => numbers.includes(number))
  }
}
