import type { Logger } from 'pino'
import { limitMessages } from '../billing/limits.js'
import { Channel, stateVariable, type BridgeResult } from '../channel/channel.js'
import type { Connection } from '../esl/connection.js'
import { CallerGone, UnsafeArgument } from '../esl/errors.js'
import type { Event } from '../esl/event.js'
import type { IncomingCall } from '../esl/listener.js'
import { JournalError } from '../journal/errors.js'
import type { Call, Route } from '../routes/call.js'
import { defaultRoute, routes } from '../routes/registry.js'
import type { Extension, Gateway } from '../store/catalog.js'
import { Dialler } from './legs/dialler.js'
import { channelFacts } from './facts.js'
import { IdentifiedCall } from './identified-call.js'
import { identify } from './identify.js'
import type { LegDocument } from './legs/leg-document.js'
import type { LiveCall } from './live.js'
import type { SessionDependencies } from './session-dependencies.js'
import { settle, type EndedCall } from './settlement.js'
import { callStateOf, decodeCallState, type AttemptResult, type CallState } from './state.js'
import { Story } from './story.js'
import { resume } from './takeover.js'

/** The call was refused: its CDR says why, nothing more is to be done. */
class Refused extends Error {}

const nobodys =
  'no tenant: neither account code, authenticated user, trusted extension nor called number is known'

/** One call, from its first packet to its CDR. */
export class Session extends IdentifiedCall implements Call, LiveCall, EndedCall {
  readonly channel: Channel
  readonly log: Logger
  readonly connection: Connection
  readonly #isOverCapacity: boolean
  readonly #dependencies: SessionDependencies
  readonly story: Story
  /** What its last server left on the channel. */
  readonly #state: CallState | undefined
  /** How that server's attempts ended. */
  #earlier: readonly AttemptResult[] = []
  isOpen = false
  #isSuperseded = false
  #isTransferred = false
  dialler: Dialler | undefined

  private constructor(incoming: IncomingCall, dependencies: SessionDependencies) {
    // The channel's data is let go here: its facts are a few hundred bytes.
    const { channel, connection } = incoming
    const facts = channelFacts(channel)
    const state = callStateOf(channel)
    const { catalog } = dependencies
    const tenant = state && catalog.tenant(state.tenant)
    super(facts, identify(facts, catalog, { ...dependencies, tenant }))
    this.connection = connection
    this.#isOverCapacity = incoming.isOverCapacity
    this.#dependencies = dependencies
    this.log = dependencies.log.child({ call: facts.uuid })
    this.story = new Story(facts, this.identity)
    this.#state = state
    if (state !== undefined) {
      const { legs, results } = resume(state, channel)
      const { direction, caller, called } = state
      this.story.legs.adopt(legs)
      this.#earlier = results
      this.story.identity = { ...this.identity, direction, caller, called }
      this.story.isVip = state.isVip
      this.story.takeovers = state.takeovers + (dependencies.live.has(facts.uuid) ? 0 : 1)
    }
    this.channel = new Channel(connection, facts.uuid, (event) => {
      this.#observe(event)
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

  async #serve(): Promise<void> {
    const { live, finalEventMs } = this.#dependencies
    live.get(this.uuid)?.supersede()
    live.add(this)
    try {
      // The dialplan ends a call whose server says nothing; this one speaks.
      this.channel.cancelGuard().catch(ignoreGone)
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
      if (this.facts.couldForge) await this.#refuseForger()
      if (this.#isOverCapacity) await this.#refuseBusy('the server has as many calls as it may (MAX_CALLS)')
      if (this.#dependencies.journal.isFull) await this.#refuseBusy('the journal takes no new calls')
      if (this.identity.tenant === undefined) await this.refuse('UNALLOCATED_NUMBER', nobodys)
      if (this.#state === undefined) await this.#screen()
      await this.#takePlace()
      const route = await this.#chooseRoute()
      await this.#open()
      if (this.#state !== undefined) this.#takeOver(this.#state)
      await route.run(this)
      if (this.story.ending === undefined && this.channel.isUp) await this.hangup('NORMAL_CLEARING')
    } catch (error) {
      if (error instanceof Refused || error instanceof CallerGone) return
      await this.#fail(error)
    }
  }

  async #screen(): Promise<void> {
    if (this.identity.isEmergency) return
    const { callerNumber: raw, isAnonymous } = this.facts
    const verdict = await this.#dependencies.screening.screen({
      raw,
      normal: this.identity.caller,
      isAnonymous,
    })
    this.story.isVip = verdict.isVip
    this.story.isBlacklisted = verdict.isBlacklisted
    if (verdict.isBlacklisted) await this.refuse('CALL_REJECTED', 'the caller is blacklisted')
  }

  /** Among the calls that the tenant may have at once. */
  async #takePlace(): Promise<void> {
    if (this.identity.isEmergency) return
    const { limits } = this.#dependencies
    if (this.facts.isKnown) {
      limits.adopt(this.tenant, this.uuid)
      return
    }
    const reached = await limits.begin(this.tenant, this.uuid)
    if (reached !== undefined) await this.refuse('NORMAL_CIRCUIT_CONGESTION', limitMessages[reached])
  }

  async #chooseRoute(): Promise<Route> {
    const name = this.facts.socketPath
    const route = name === undefined || name === '' ? defaultRoute : routes.get(name)
    if (route === undefined)
      return this.refuse('NO_ROUTE_DESTINATION', `unknown route: ${JSON.stringify(name)}`)
    this.story.route = route.name
    return route
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

  /** The call was another server's, or this one's before it died: what that one dialled is over by now. */
  #takeOver({ node, route, destination }: CallState): void {
    // On another path, or with another destination, it begins a route that it has not been in.
    const isSame = route === this.story.route && destination === this.facts.calledNumber
    if (!isSame) this.#earlier = []
    this.log.info({ from: node, takeovers: this.story.takeovers }, 'the call is taken over')
    const { elsewhere } = this.#dependencies
    elsewhere.taken(this.uuid, this.tenant.maxCallSeconds)
    for (const document of elsewhere.told(this.uuid)) this.story.hear(document)
    // At once, so that nobody takes it for a call of its last server.
    this.channel
      .remember(this.story.state(this.#dependencies.node, undefined, this.#earlier))
      .catch(ignoreGone)
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
  supersede(): void {
    this.#isSuperseded = true
    this.channel.leave('the call has come back on another socket')
  }

  get isVip(): boolean {
    return this.story.isVip
  }

  gateways(): readonly Gateway[] {
    return this.#dependencies.catalog.gateways(this.tenant.id, this.called)
  }

  ringExtension(extension: Extension): Promise<BridgeResult> {
    return this.#dial().toExtension(extension)
  }

  dialGateway(gateway: Gateway): Promise<BridgeResult> {
    return this.#dial().toGateway(gateway)
  }

  async hangup(cause: string): Promise<void> {
    this.story.ending ??= { cause, by: cause === this.dialler?.lastBridge?.cause ? 'called' : 'server' }
    await this.channel.hangup(cause)
  }

  async refuse(cause: string, why: string): Promise<never> {
    this.story.refusal = why
    await this.hangup(cause)
    throw new Refused(why)
  }

  async #refuseForger(): Promise<never> {
    const why = "the channel's name holds line breaks: it could forge events"
    this.story.refusal = why
    this.story.ending = { cause: 'CALL_REJECTED', by: 'server' }
    this.log.warn({ caller: this.facts.callerNumber }, why)
    await this.channel.hangupUnheard('CALL_REJECTED')
    throw new Refused(why)
  }

  /** Neither an emergency nor a call that was ours before: those go on. */
  async #refuseBusy(why: string): Promise<void> {
    if (this.identity.isEmergency || this.facts.isKnown) {
      this.log.info({ why }, 'a call that must not be refused is served all the same')
      return
    }
    this.story.refusal = why
    this.story.ending = { cause: 'NORMAL_TEMPORARY_FAILURE', by: 'server' }
    await this.channel.respond(503, 'Service Unavailable')
    throw new Refused(why)
  }

  /** A fault of ours: the caller hears a refusal, the call has its CDR, the server lives. */
  async #fail(error: unknown): Promise<void> {
    const isBadNumber = error instanceof UnsafeArgument
    if (isBadNumber) this.log.warn({ err: error }, 'the number cannot be dialled')
    else this.log.error({ err: error, route: this.story.route }, 'the route failed')
    this.story.refusal = isBadNumber ? error.message : 'the server failed to serve the call'
    await this.hangup(isBadNumber ? 'INVALID_NUMBER_FORMAT' : 'NORMAL_TEMPORARY_FAILURE').catch(ignoreGone)
  }

  #dial(): Dialler {
    this.dialler ??= new Dialler({
      ...this.#dependencies,
      tenant: this.tenant,
      facts: this.facts,
      identity: this.identity,
      channel: this.channel,
      legs: this.story.legs,
      log: this.log,
      earlier: this.#earlier,
      stateWith: (...attempts) => this.story.state(this.#dependencies.node, ...attempts),
      refuse: (cause, why) => this.refuse(cause, why),
    })
    return this.dialler
  }

  #observe(event: Event): void {
    this.story.observe(event)
    this.dialler?.observe(event)
    // A transfer breaks what runs off.
    if (event.name !== 'CHANNEL_EXECUTE_COMPLETE' && event.name !== 'CHANNEL_UNBRIDGE') return
    const destination = event.peek('Caller-Destination-Number')
    if (destination !== undefined && destination !== this.facts.calledNumber) this.#transferred()
  }

  /** The call runs another dialplan, which may lead it to a socket again: it is left alone, and its end awaited. */
  #transferred(): void {
    if (this.#isTransferred) return
    this.#isTransferred = true
    this.log.info('the call was transferred')
    this.story.legs.dialling(undefined)
    this.channel.leave('the call was transferred')
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
