import type { Logger } from 'pino'
import { Channel, type BridgeResult } from '../channel/channel.js'
import type { Connection } from '../esl/connection.js'
import { CallerGone, UnsafeArgument } from '../esl/errors.js'
import type { Event } from '../esl/event.js'
import { Released, type IncomingCall } from '../esl/listener.js'
import {
  extensionDialString,
  gatewayDialString,
  isDomain,
  type DialOptions,
  type DialString,
} from '../numbering/dial-string.js'
import type { Country } from '../numbering/normal-form.js'
import type { Call, Route } from '../routes/call.js'
import { defaultRoute, routes } from '../routes/registry.js'
import type { Screening } from '../screening/screen.js'
import type { CallRecord } from '../store/call-record.js'
import type { Catalog, Extension, Gateway, Tenant } from '../store/catalog.js'
import type { Committed } from '../store/committer.js'
import { channelFacts, micros, type ChannelFacts } from './facts.js'
import { identify, type Identity } from './identify.js'
import { Legs, type Attempt } from './legs.js'
import { callRecord, type CallStory } from './record.js'

export interface SessionDependencies {
  readonly catalog: Catalog
  readonly screening: Screening
  /** Resolves when the record is durable. */
  readonly commit: (record: CallRecord) => Promise<Committed>
  readonly log: Logger
  readonly trustedProfiles: ReadonlySet<string>
  readonly defaultCountry: Country
  /** How long after the end of the conversation the final event is awaited, in ms. */
  readonly finalEventMs: number
}

/** The call was refused: its CDR says why, nothing more is to be done. */
class Refused extends Error {}

/**
 * One call, from its first packet to its CDR.
 */
export class Session implements Call {
  readonly channel: Channel
  readonly log: Logger
  readonly #isOverCapacity: boolean
  readonly #dependencies: SessionDependencies
  readonly #facts: ChannelFacts
  readonly #identity: Identity
  readonly #legs = new Legs()
  #route: string | undefined
  #gateway: string | undefined
  #isVip = false
  #isBlacklisted = false
  #refusal: string | undefined
  #recordingPath: string | undefined
  #ending: CallStory['ending']
  #lastBridge: BridgeResult | undefined
  #lastHeardAt: number

  private constructor(incoming: IncomingCall, dependencies: SessionDependencies) {
    // The channel's data is let go here: its facts are a few hundred bytes.
    this.#isOverCapacity = incoming.isOverCapacity
    this.#dependencies = dependencies
    this.#facts = channelFacts(incoming.channel)
    this.#lastHeardAt = this.#facts.createdAt
    this.log = dependencies.log.child({ call: this.#facts.uuid })
    this.channel = new Channel(incoming.connection, this.#facts.uuid, (event) => {
      this.#observe(event)
    })
    this.#identity = identify(this.#facts, dependencies.catalog, dependencies)
  }

  /**
   * Not async: an async function keeps what it was given as long as it runs, and the channel's data, taken
   * apart, is 25 kB a call.
   * @returns when the call's record is durable and its socket is let go
   */
  static serve(incoming: IncomingCall, dependencies: SessionDependencies): Promise<void> {
    return new Session(incoming, dependencies).#serve(incoming.connection)
  }

  async #serve(connection: Connection): Promise<void> {
    this.#takeOffGuard()
    await this.#converse()
    const finalEvent = await this.channel.finalEvent(this.#dependencies.finalEventMs)
    if (connection.closedBy instanceof Released && !this.channel.hasHungUp) {
      this.log.info('given to the next action of its dialplan: this server drains')
      return
    }
    await this.#record(finalEvent)
    await this.channel.exit().catch(ignoreGone)
  }

  async #converse(): Promise<void> {
    try {
      if (this.#facts.couldForge) await this.#refuseForger()
      if (this.#isOverCapacity && !this.#identity.isEmergency) await this.#refuseForCapacity()
      if (this.#identity.tenant === undefined) await this.refuse('UNALLOCATED_NUMBER', this.#nobodys())
      await this.#screen()
      await (await this.#chooseRoute()).run(this)
      if (this.#ending === undefined && this.channel.isUp) await this.hangup('NORMAL_CLEARING')
    } catch (error) {
      if (error instanceof Refused || error instanceof CallerGone) return
      await this.#fail(error)
    }
  }

  async #screen(): Promise<void> {
    if (this.#identity.isEmergency) return
    const { callerNumber: raw, isAnonymous } = this.#facts
    const verdict = await this.#dependencies.screening.screen({
      raw,
      normal: this.#identity.caller,
      isAnonymous,
    })
    this.#isVip = verdict.isVip
    this.#isBlacklisted = verdict.isBlacklisted
    if (verdict.isBlacklisted) await this.refuse('CALL_REJECTED', 'the caller is blacklisted')
  }

  async #chooseRoute(): Promise<Route> {
    const name = this.#facts.socketPath
    const route = name === undefined || name === '' ? defaultRoute : routes.get(name)
    if (route === undefined)
      return this.refuse(
        'NO_ROUTE_DESTINATION',
        `the dialplan names an unknown route: ${JSON.stringify(name)}`,
      )
    this.#route = route.name
    return route
  }

  async #record(finalEvent: Event | undefined): Promise<void> {
    if (finalEvent === undefined) {
      this.#legs.close(this.#lastHeardAt)
      if (!this.#facts.couldForge)
        this.log.warn('the final event did not come: billed to the last sign of life')
    }
    const record = callRecord({
      facts: this.#facts,
      identity: this.#identity,
      legs: this.#legs.all,
      route: this.#route,
      gateway: this.#gateway,
      isVip: this.#isVip,
      isBlacklisted: this.#isBlacklisted,
      refusal: this.#refusal,
      recordingPath: this.#recordingPath,
      ending: this.#ending,
      finalEvent,
      lastHeardAt: this.#lastHeardAt,
    })
    try {
      // The channel came here before, and its record counts: what this one has more is in the log alone.
      if ((await this.#dependencies.commit(record)) === 'known')
        this.log.warn({ record }, 'the call had its record already')
    } catch (error) {
      // The log is then the only place that has it.
      this.log.error({ err: error, record }, 'the call record was not committed')
      return
    }
    const { tenant, direction, hangupCause, durationMs, billedMs, cost, refusal } = record
    this.log.info({ tenant, direction, hangupCause, durationMs, billedMs, cost, refusal }, 'call over')
  }

  get uuid(): string {
    return this.#facts.uuid
  }

  get tenant(): Tenant {
    const { tenant } = this.#identity
    if (tenant === undefined) throw new Error('a call of no tenant has no route')
    return tenant
  }

  get direction(): Call['direction'] {
    return this.#identity.direction
  }

  get caller(): string {
    return this.#identity.caller
  }

  get called(): string {
    return this.#identity.called
  }

  get calledExtension(): Extension | undefined {
    return this.#identity.calledExtension
  }

  get isVip(): boolean {
    return this.#isVip
  }

  gateways(): readonly Gateway[] {
    return this.#dependencies.catalog.gateways(this.tenant.id, this.called)
  }

  async ringExtension(extension: Extension): Promise<BridgeResult> {
    const domain = this.tenant.domain ?? this.#facts.domain ?? this.#facts.authRealm
    const to = extensionDialString(
      extension.number,
      domain !== undefined && isDomain(domain) ? domain : undefined,
      this.#dialOptions(),
    )
    return this.#bridge(to, { gateway: undefined, number: extension.number, rate: undefined })
  }

  async dialGateway(gateway: Gateway): Promise<BridgeResult> {
    const rate = this.#identity.isEmergency
      ? undefined
      : this.#dependencies.catalog.rate(this.tenant.id, this.called)
    if (rate === undefined && !this.#identity.isEmergency) {
      return this.refuse('OUTGOING_CALL_BARRED', 'the destination has no rate')
    }
    const to = gatewayDialString(gateway.name, this.called, this.#dialOptions())
    this.#gateway = gateway.name
    return this.#bridge(to, { gateway, number: this.called, rate })
  }

  async hangup(cause: string): Promise<void> {
    this.#ending ??= { cause, by: cause === this.#lastBridge?.cause ? 'called' : 'server' }
    await this.channel.hangup(cause)
  }

  async refuse(cause: string, why: string): Promise<never> {
    this.#refusal = why
    await this.hangup(cause)
    throw new Refused(why)
  }

  async #refuseForger(): Promise<never> {
    this.#refusal = "the channel's name holds line breaks: it could forge events"
    this.#ending = { cause: 'CALL_REJECTED', by: 'server' }
    this.log.warn({ caller: this.#facts.callerNumber }, this.#refusal)
    await this.channel.hangupUnheard('CALL_REJECTED')
    throw new Refused(this.#refusal)
  }

  async #refuseForCapacity(): Promise<never> {
    this.#refusal = 'the server has as many calls as it may (MAX_CALLS)'
    this.#ending = { cause: 'NORMAL_TEMPORARY_FAILURE', by: 'server' }
    await this.channel.respond(503, 'Service Unavailable')
    throw new Refused(this.#refusal)
  }

  /** A fault of ours: the caller hears a refusal, the call has its CDR, the server lives. */
  async #fail(error: unknown): Promise<void> {
    const isBadNumber = error instanceof UnsafeArgument
    if (isBadNumber) this.log.warn({ err: error }, 'the number cannot be dialled')
    else this.log.error({ err: error, route: this.#route }, 'the route failed')
    this.#refusal = isBadNumber ? error.message : 'the server failed to serve the call'
    await this.hangup(isBadNumber ? 'INVALID_NUMBER_FORMAT' : 'NORMAL_TEMPORARY_FAILURE').catch(ignoreGone)
  }

  async #bridge(to: DialString, attempt: Attempt): Promise<BridgeResult> {
    this.#legs.dialling(attempt)
    // A failed gateway must leave the caller here, and so must the end of the talk: the dialplan's next
    // action is for a server that died. Ours (dialplan/linger.xml) sets both; another need not.
    const isReady = this.#facts.isReadyToBridge || this.#lastBridge !== undefined
    const variables = isReady ? {} : { continue_on_fail: 'true', hangup_after_bridge: 'false' }
    this.#lastBridge = await this.channel.bridge(to, variables)
    return this.#lastBridge
  }

  #dialOptions(): DialOptions {
    return {
      callerNumber: this.#facts.callerNumber,
      ringSeconds: this.tenant.ringSeconds,
      maxSeconds: this.tenant.maxCallSeconds,
      // Answered already, the far end's own answer would not be told on this leg, and its time is money.
      ignoreEarlyMedia: this.#facts.answeredAt !== undefined,
    }
  }

  /** The dialplan ends a call whose server says nothing; this one speaks. */
  #takeOffGuard(): void {
    this.channel.cancelGuard().catch(ignoreGone)
  }

  #observe(event: Event): void {
    this.#lastHeardAt = micros(event, 'Event-Date-Timestamp') ?? this.#lastHeardAt
    this.#legs.observe(event)
    if (event.name === 'RECORD_STOP') this.#recordingPath = event.peek('Record-File-Path')
  }

  #nobodys(): string {
    return 'no tenant: neither account code, authenticated user, trusted extension nor called number is known'
  }
}

/** What was asked of a call that is over by then need not be done any more; other refusals are in the log. */
function ignoreGone(): void {
  // Nothing is left to do for a caller who has gone.
}
