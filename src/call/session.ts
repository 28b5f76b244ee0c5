import type { Logger } from 'pino'
import { limitMessages } from '../billing/limits.js'
import { Channel, stateVariable } from '../channel/channel.js'
import type { Connection } from '../esl/connection.js'
import { CallerGone, UnsafeArgument } from '../esl/errors.js'
import type { Event } from '../esl/event.js'
import type { IncomingCall } from '../esl/listener.js'
import { JournalError } from '../journal/errors.js'
import { NoRoute, type Leading } from '../routes/registry.js'
import { Announcer } from './announcer.js'
import { beginning } from './beginning.js'
import { goneOrTooLong, type Bound } from './bound.js'
import type { Dialler } from './legs/dialler.js'
import type { ChannelFacts } from './facts.js'
import type { LegDocument } from './legs/leg-document.js'
import type { LiveCall } from './live.js'
import { Ended, ServedCall } from './served-call.js'
import type { SessionDependencies } from './session-dependencies.js'
import { settle, type EndedCall } from './settlement.js'
import { decodeCallState, type CallState } from './state.js'
import type { Story } from './story.js'

/** Of a call of no tenant, in s. */
const longestSeconds = 14_400
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
  /** What its last server left on the channel. */
  readonly #state: CallState | undefined
  isOpen = false
  #isSuperseded = false
  #isTransferred = false

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
    this.#state = state
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
    live.add(this)
    try {
      // The dialplan ends a call whose server says nothing; this one speaks. A leg's own timer has the guard's name.
      if (this.#facts.transferredFrom === undefined) this.channel.cancelGuard().catch(ignoreGone)
      else this.#call.takeUp()
      await this.#converse()
      if (this.#isTransferred || this.#isSuperseded) await this.channel.over()
      const finalEvent = await this.channel.finalEvent(finalEventMs)
      if (this.#isAnothers(finalEvent)) await this.channel.exit().catch(ignoreGone)
      else await settle(this, finalEvent, this.#dependencies)
    } finally {
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
      if (route.isScreened !== false && !this.#isResumed) await this.#screen()
      if (route.needsTenant !== false) await this.#takePlace()
      await this.#open()
      if (this.#state !== undefined) this.#takeOver(this.#state)
      else if (this.#facts.transferredFrom !== undefined) this.#claim()
      if (!this.#isResumed) this.announcer.begins(route)
      // A route that waits for something else than its call must not keep the call's record waiting.
      await Promise.race([this.#call.run(leading), goneOrTooLong(this.channel, this.#bound)])
      if (this.story.ending === undefined && this.channel.isUp) await this.#call.hangup('NORMAL_CLEARING')
    } catch (error) {
      if (error instanceof Ended || error instanceof CallerGone) return
      await this.#fail(error)
    }
  }

  async #screen(): Promise<void> {
    if (this.story.identity.isEmergency) return
    await this.#call.screen()
    if (this.story.isBlacklisted) await this.#call.refuse('CALL_REJECTED', 'the caller is blacklisted')
  }

  /** Among the calls that the tenant may have at once. */
  async #takePlace(): Promise<void> {
    const { tenant, isEmergency } = this.story.identity
    if (isEmergency || tenant === undefined) return
    const { limits } = this.#dependencies
    if (this.#isResumed) {
      limits.adopt(tenant, this.uuid)
      return
    }
    const reached = await limits.begin(tenant, this.uuid)
    if (reached !== undefined) await this.#call.refuse('NORMAL_CIRCUIT_CONGESTION', limitMessages[reached])
  }

  async #chosenRoute(): Promise<Leading> {
    if (this.#leading instanceof NoRoute)
      return this.#call.refuse('NO_ROUTE_DESTINATION', this.#leading.message)
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
      isTalking: () => this.story.legs.talking !== undefined,
      tooLong: () => this.#call.hangup('ALLOTTED_TIMEOUT'),
    }
  }

  /** It was a server's before that has not given it back: of what that one dialled, all is over by now. */
  get #isResumed(): boolean {
    if (this.#facts.transferredFrom !== undefined) return true
    return this.#state !== undefined && !this.#state.isGivenBack
  }

  /** The call was another server's, or this one's before it died. */
  #takeOver({ node, isGivenBack }: CallState): void {
    this.log.info(
      { from: node, takeovers: this.story.takeovers },
      isGivenBack ? 'the call has come back' : 'the call is taken over',
    )
    const { elsewhere } = this.#dependencies
    this.#claim()
    for (const document of elsewhere.told(this.uuid)) this.story.hear(document)
    if (this.story.legs.own !== undefined) this.#call.takeUp()
    for (const { uuid } of this.story.legs.left) elsewhere.lookAfter(this.#facts.switchName, uuid)
  }

  /** At once, so that nobody takes it for a call of its last server, or for a leg that nobody looks after. */
  #claim(): void {
    const { elsewhere, node } = this.#dependencies
    elsewhere.taken(this.uuid, this.story.identity.tenant?.maxCallSeconds ?? longestSeconds)
    this.channel.remember(this.story.state(node)).catch(ignoreGone)
  }

  hear(document: LegDocument): void {
    this.story.hear(document)
  }

  checkpoint(): unknown {
    return this.isOpen ? this.story.checkpoint(this.connection.lastHeardAt) : undefined
  }

  /**
   * The socket stays open, and says nothing more: while the call lasts, closing it would take the call away from its
   * new one (test/recordings/README.md, "Ending"), and nobody can close it before that one has it.
   */
  supersede(heir: Story): void {
    this.#isSuperseded = true
    this.announcer.handOver(heir)
    this.dialler?.leave()
    this.channel.leave('the call has come back on another socket')
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
    const isBadNumber = error instanceof UnsafeArgument
    if (isBadNumber) this.log.warn({ err: error }, 'the number cannot be dialled')
    else this.log.error({ err: error, route: this.story.route }, 'the route failed')
    this.story.refusal = isBadNumber ? error.message : 'the server failed to serve the call'
    await this.#call
      .hangup(isBadNumber ? 'INVALID_NUMBER_FORMAT' : 'NORMAL_TEMPORARY_FAILURE')
      .catch(ignoreGone)
  }

  #observe(event: Event): void {
    this.story.observe(event)
    this.dialler?.observe(event)
    this.announcer.observe(event)
    // A transfer breaks what runs off.
    if (event.name !== 'CHANNEL_EXECUTE_COMPLETE' && event.name !== 'CHANNEL_UNBRIDGE') return
    const destination = event.peek('Caller-Destination-Number')
    if (destination !== undefined && destination !== this.#facts.calledNumber) this.#transferred()
  }

  /** The call runs another dialplan, which may lead it to a socket again: it is left alone, and its end awaited. */
  #transferred(): void {
    if (this.#isTransferred) return
    this.#isTransferred = true
    this.log.info('the call was transferred')
    this.announcer.transferred()
    this.story.legs.dialling(undefined)
    this.dialler?.leave()
    this.#dependencies.elsewhere.lookAfter(this.#facts.switchName, this.uuid)
    this.channel.leave('the call was transferred')
  }

  get isLeft(): boolean {
    return this.#isTransferred
  }

  /** @param finalEvent tells who had the call last */
  #isAnothers(finalEvent: Event | undefined): boolean {
    const text = finalEvent?.peek(`variable_${stateVariable}`)
    const state = text === this.story.lastState ? undefined : decodeCallState(text)
    return this.#isSuperseded || (state !== undefined && state.node !== this.#dependencies.node)
  }
}

/** What was asked of a call that is over by then need not be done any more; other refusals are in the log. */
function ignoreGone(): void {
  // Nothing is left to do.
}
