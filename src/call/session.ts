import type { Logger } from 'pino'
import { limitMessages } from '../billing/limits.js'
import { Channel } from '../channel/channel.js'
import type { CallAction, LiveCallView, Outcome } from '../common/live-call.js'
import type { Connection } from '../esl/connection.js'
import type { Event } from '../esl/event.js'
import type { IncomingCall } from '../esl/listener.js'
import { JournalError } from '../journal/errors.js'
import { NoRoute, type Leading } from '../routes/registry.js'
import { act, type ActedCall } from './act.js'
import { Announcer } from './announcer.js'
import { beginning } from './beginning.js'
import { bounded, type Bound } from './bound.js'
import { describe } from './describe.js'
import type { Dialler } from './legs/dialler.js'
import { Ended, saysOver } from './ended.js'
import type { ChannelFacts } from './facts.js'
import { Holding, ignoreGone, longestSeconds } from './holding.js'
import type { LegDocument } from './legs/leg-document.js'
import type { LiveCall } from './live.js'
import { ServedCall } from './served-call.js'
import type { SessionDependencies } from './session-dependencies.js'
import { settle, type EndedCall } from './settlement.js'
import type { Story } from './story.js'

const nobodys =
  'no tenant: neither account code, authenticated user, trusted extension nor called number is known'

/** One call, from its first packet to its CDR. */
export class Session implements LiveCall, EndedCall {
  readonly channel: Channel
  readonly log: Logger
  readonly connection: Connection
  readonly story: Story
  readonly announcer: Announcer
  readonly #facts: ChannelFacts
  readonly #isOverCapacity: boolean
  readonly #dependencies: SessionDependencies
  readonly #leading: Leading | NoRoute
  readonly #call: ServedCall
  readonly #holding: Holding
  isOpen = false

  private constructor(
    { connection, channel, isOverCapacity }: IncomingCall,
    dependencies: SessionDependencies,
  ) {
    // The channel's data is let go here: its facts are a few hundred bytes.
    const { story, identity, leading, state, variables } = beginning(channel, dependencies)
    const { facts } = story
    this.connection = connection
    this.story = story
    this.#facts = facts
    this.#leading = leading
    this.#isOverCapacity = isOverCapacity
    this.#dependencies = dependencies
    this.log = dependencies.log.child({ call: facts.uuid })
    const observe = (event: Event): void => {
      this.#observe(event)
    }
    this.channel = new Channel(connection, facts.uuid, observe, facts.answeredAt !== undefined)
    const { events, catalog } = dependencies
    this.announcer = new Announcer(story, { events, catalog, log: this.log })
    this.#call = new ServedCall(facts, {
      ...dependencies,
      story,
      identity,
      announcer: this.announcer,
      channel: this.channel,
      log: this.log,
      variables,
    })
    const { channel: line, announcer, log } = this
    this.#holding = new Holding({
      story,
      channel: line,
      call: this.#call,
      announcer,
      state,
      dependencies,
      log,
    })
  }

  /**
   * Not async: an async function keeps what it was given as long as it runs, and the channel's data, taken
   * apart, is 25 kB a call.
   * @returns when the call's record is durable and its socket is let go
   */
  static serve(incoming: IncomingCall, dependencies: SessionDependencies): Promise<void> {
    return new Session(incoming, dependencies).#serve()
  }

  get uuid(): string {
    return this.#facts.uuid
  }

  get dialler(): Dialler | undefined {
    return this.#call.dialler
  }

  async #serve(): Promise<void> {
    const { live, finalEventMs } = this.#dependencies
    live.get(this.uuid)?.supersede(this.story)
    live.add(this, !this.#holding.isKnown, this.story.identity.tenant?.id)
    try {
      // The dialplan ends a call whose server says nothing; this one speaks. A leg's own timer has the guard's name.
      if (this.#facts.transferredFrom === undefined) this.channel.cancelGuard().catch(ignoreGone)
      else this.#call.takeUp()
      await this.#converse()
      if (this.story.isTransferred) this.#holding.transferred()
      if (this.#holding.onlyWaits) await this.channel.over()
      const finalEvent = await this.channel.finalEvent(finalEventMs)
      if (this.#holding.isAnothers(finalEvent)) await this.#holding.letGo()
      else await settle(this, finalEvent, this.#dependencies)
    } finally {
      // Where its own events have not told of its end.
      this.dialler?.leave()
      live.delete(this)
    }
  }

  async #converse(): Promise<void> {
    try {
      if (this.#facts.couldForge) await this.#refuseForger()
      if (this.#isOverCapacity) await this.#refuseBusy('the server has as many calls as it may (MAX_CALLS)')
      if (this.#dependencies.journal.isFull) await this.#refuseBusy('the journal takes no new calls')
      const leading = await this.#chosenRoute()
      const { route } = leading
      if (route.needsTenant !== false && this.story.identity.tenant === undefined)
        await this.#call.refuse('UNALLOCATED_NUMBER', nobodys)
      if (route.isScreened !== false && !this.#holding.isResumed) await this.#screen()
      if (route.needsTenant !== false) await this.#takePlace()
      await this.#open()
      this.#holding.begin()
      if (!this.#holding.isResumed) this.announcer.begins(route)
      await bounded(this.#call.run(leading), this.channel, this.#bound)
      if (this.story.ending === undefined && this.channel.isUp) await this.#call.hangup('NORMAL_CLEARING')
    } catch (error) {
      if (!saysOver(error)) await this.#fail(error)
    }
  }

  async #screen(): Promise<void> {
    await this.#call.screen()
    if (this.story.isBlacklisted) await this.#call.refuse('CALL_REJECTED', 'the caller is blacklisted')
  }

  /** Among the calls that the tenant may have at once. */
  async #takePlace(): Promise<void> {
    const { tenant, isEmergency } = this.story.identity
    if (isEmergency || tenant === undefined) return
    const { limits } = this.#dependencies
    if (this.#holding.isResumed) {
      limits.adopt(tenant, this.uuid)
      return
    }
    const reached = await limits.begin(tenant, this.uuid)
    if (reached !== undefined) await this.#call.refuse('NORMAL_CIRCUIT_CONGESTION', limitMessages[reached])
  }

  async #chosenRoute(): Promise<Leading> {
    if (this.#leading instanceof NoRoute) {
      const { message: reason } = this.#leading
      this.log.warn({ reason }, 'the call is refused: its dialplan, or its number plan, leads to no route')
      return this.#call.refuse('NO_ROUTE_DESTINATION', reason)
    }
    // It stays on the channel where the dialplan's next `socket` names none (recording socket-path-checkphone).
    if (this.#facts.socketPath !== undefined) this.channel.unset('socket_path').catch(ignoreGone)
    return this.#leading
  }

  /** From here on the call is known after a crash. */
  async #open(): Promise<void> {
    try {
      await this.#dependencies.journal.openCall(this.uuid, this.story.openRecord())
      this.isOpen = true
    } catch (error) {
      if (!(error instanceof JournalError)) throw error
      await this.#refuseBusy(error.message)
    }
  }

  /** By its tenant's longest call. */
  get #bound(): Bound {
    return {
      maxSeconds: this.story.identity.tenant?.maxCallSeconds ?? longestSeconds,
      facts: this.#facts,
      tooLong: () => this.#call.hangup('ALLOTTED_TIMEOUT'),
      log: this.log,
    }
  }

  hear(document: LegDocument): void {
    this.story.hear(document)
  }

  checkpoint(): unknown {
    return this.isOpen ? this.story.checkpoint(this.connection.lastHeardAt) : undefined
  }

  supersede(heir: Story): void {
    this.#holding.supersede(heir)
  }

  describe(): Omit<LiveCallView, 'node'> {
    return describe(this.#parts)
  }

  act(action: CallAction): Promise<Outcome> {
    return act(this.#parts, action)
  }

  get #parts(): ActedCall {
    const { story, channel, announcer, isOpen } = this
    return {
      ...{ story, channel, announcer, isOpen },
      ...{ holding: this.#holding, call: this.#call, dependencies: this.#dependencies },
    }
  }

  get isLeft(): boolean {
    return this.#holding.isLeft
  }

  async #refuseForger(): Promise<never> {
    const why = "the channel's name holds line breaks: it could forge events"
    this.story.refusal = why
    this.story.ending = { cause: 'CALL_REJECTED', by: 'server' }
    this.log.warn({ caller: this.#facts.callerNumber }, why)
    await this.channel.hangupUnheard('CALL_REJECTED')
    throw new Ended(why)
  }

  /** Neither an emergency nor a call that was ours before: those go on. */
  async #refuseBusy(why: string): Promise<void> {
    if (this.story.identity.isEmergency || this.#facts.isKnown) {
      this.log.info({ why }, 'a call that must not be refused is served all the same')
      return
    }
    this.story.refusal = why
    this.story.ending = { cause: 'NORMAL_TEMPORARY_FAILURE', by: 'server' }
    await this.channel.respond(503, 'Service Unavailable')
    throw new Ended(why)
  }

  /** A fault of ours: the caller hears a refusal, the call has its CDR, the server lives. */
  async #fail(error: unknown): Promise<void> {
    this.log.error({ err: error, route: this.story.route }, 'the route failed')
    this.story.refusal = 'the server failed to serve the call'
    await this.#call.hangup('NORMAL_TEMPORARY_FAILURE').catch(ignoreGone)
  }

  #observe(event: Event): void {
    this.story.observe(event)
    this.dialler?.observe(event)
    this.announcer.observe(event)
    this.#holding.observe(event)
  }
}
