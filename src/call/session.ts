import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Credit } from '../billing/credit.js'
import { limitMessages, type CallLimits } from '../billing/limits.js'
import { Channel, type BridgeResult } from '../channel/channel.js'
import type { Connection } from '../esl/connection.js'
import { CallerGone, UnsafeArgument } from '../esl/errors.js'
import type { Event } from '../esl/event.js'
import { Released, type IncomingCall } from '../esl/listener.js'
import { JournalError } from '../journal/errors.js'
import type { Journal } from '../journal/journal.js'
import type { Country } from '../numbering/normal-form.js'
import type { Call, Route } from '../routes/call.js'
import { defaultRoute, routes } from '../routes/registry.js'
import type { Screening } from '../screening/screen.js'
import type { Catalog, Extension, Gateway } from '../store/catalog.js'
import { Dialler } from './dialler.js'
import { channelFacts, micros } from './facts.js'
import { IdentifiedCall } from './identified-call.js'
import { identify } from './identify.js'
import { Legs } from './legs.js'
import { openRecord } from './open-record.js'
import { callRecord, type CallStory } from './record.js'

export interface SessionDependencies {
  readonly catalog: Catalog
  readonly screening: Screening
  readonly limits: CallLimits
  readonly credit: Credit
  readonly journal: Journal
  readonly log: Logger
  /** Aborted when the server stops. */
  readonly stopping: AbortSignal
  readonly trustedProfiles: ReadonlySet<string>
  readonly defaultCountry: Country
  /** How long after the end of the conversation the final event is awaited, in ms. */
  readonly finalEventMs: number
}

/** The call was refused: its CDR says why, nothing more is to be done. */
class Refused extends Error {}

const nobodys =
  'no tenant: neither account code, authenticated user, trusted extension nor called number is known'

/** One call, from its first packet to its CDR. */
export class Session extends IdentifiedCall implements Call {
  readonly channel: Channel
  readonly log: Logger
  readonly #isOverCapacity: boolean
  readonly #dependencies: SessionDependencies
  readonly #legs = new Legs()
  #dialler: Dialler | undefined
  #route: string | undefined
  #isVip = false
  #isBlacklisted = false
  #refusal: string | undefined
  #recordingPath: string | undefined
  #ending: CallStory['ending']
  #lastHeardAt: number

  private constructor(incoming: IncomingCall, dependencies: SessionDependencies) {
    // The channel's data is let go here: its facts are a few hundred bytes.
    const facts = channelFacts(incoming.channel)
    super(facts, identify(facts, dependencies.catalog, dependencies))
    this.#isOverCapacity = incoming.isOverCapacity
    this.#dependencies = dependencies
    this.#lastHeardAt = facts.createdAt
    this.log = dependencies.log.child({ call: facts.uuid })
    this.channel = new Channel(incoming.connection, facts.uuid, (event) => {
      this.#observe(event)
    })
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
    // The dialplan ends a call whose server says nothing; this one speaks.
    this.channel.cancelGuard().catch(ignoreGone)
    await this.#converse()
    const finalEvent = await this.channel.finalEvent(this.#dependencies.finalEventMs)
    if (connection.closedBy instanceof Released && !this.channel.hasHungUp) {
      this.#giveAway()
      return
    }
    if (finalEvent === undefined && !(await this.#waitForLeg())) return
    await this.#record(finalEvent)
    const { tenant } = this.identity
    if (tenant !== undefined) this.#dependencies.limits.end(tenant.id, this.uuid)
    await this.channel.exit().catch(ignoreGone)
  }

  async #converse(): Promise<void> {
    try {
      if (this.facts.couldForge) await this.#refuseForger()
      if (this.#isOverCapacity) await this.#refuseBusy('the server has as many calls as it may (MAX_CALLS)')
      if (this.#dependencies.journal.isFull) await this.#refuseBusy('the journal takes no new calls')
      if (this.identity.tenant === undefined) await this.refuse('UNALLOCATED_NUMBER', nobodys)
      await this.#screen()
      await this.#takePlace()
      const route = await this.#chooseRoute()
      await this.#open()
      await route.run(this)
      if (this.#ending === undefined && this.channel.isUp) await this.hangup('NORMAL_CLEARING')
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
    this.#isVip = verdict.isVip
    this.#isBlacklisted = verdict.isBlacklisted
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
    this.#route = route.name
    return route
  }

  /** From here on the call is known after a crash. */
  async #open(): Promise<void> {
    try {
      await this.#dependencies.journal.openCall(this.uuid, openRecord(this.facts, this.identity))
    } catch (error) {
      if (!(error instanceof JournalError)) throw error
      await this.#refuseBusy(error.message)
    }
  }

  /**
   * The socket was lost, and a leg may talk on: what is reserved for it is not released before it is surely over.
   * @returns false: this server stops first; the journal keeps the call open
   */
  async #waitForLeg(): Promise<boolean> {
    const ms = this.#dialler?.mayTalkForMs ?? 0
    if (ms === 0) return true
    this.log.warn({ ms }, 'the event socket is lost while a leg may talk: the record waits for its last end')
    return delay(ms, true, { signal: this.#dependencies.stopping }).catch(() => false)
  }

  async #record(finalEvent: Event | undefined): Promise<void> {
    if (finalEvent === undefined) {
      this.#legs.close(this.#lastHeardAt)
      if (!this.facts.couldForge)
        this.log.warn('the final event did not come: billed to the last sign of life')
    }
    const record = callRecord({
      facts: this.facts,
      identity: this.identity,
      legs: this.#legs.all,
      route: this.#route,
      gateway: this.#dialler?.lastGateway,
      isVip: this.#isVip,
      isBlacklisted: this.#isBlacklisted,
      refusal: this.#refusal,
      recordingPath: this.#recordingPath,
      ending: this.#ending,
      finalEvent,
      lastHeardAt: this.#lastHeardAt,
    })
    try {
      await this.#dependencies.journal.append(record)
    } catch (error) {
      // The log is then the only place that has it.
      this.log.error({ err: error, record }, 'the call record could not be kept')
      return
    }
    const { tenant, direction, hangupCause, durationMs, billedMs, cost, refusal } = record
    this.log.info({ tenant, direction, hangupCause, durationMs, billedMs, cost, refusal }, 'call over')
  }

  /** Its next server writes the record, and releases what is reserved. Should none get it, the journal knows it. */
  #giveAway(): void {
    const { tenant } = this.identity
    this.log.info('given to the next action of its dialplan: this server drains')
    if (tenant !== undefined) this.#dependencies.limits.forget(tenant.id, this.uuid)
  }

  get isVip(): boolean {
    return this.#isVip
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
    this.#ending ??= { cause, by: cause === this.#dialler?.lastBridge?.cause ? 'called' : 'server' }
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
    this.log.warn({ caller: this.facts.callerNumber }, this.#refusal)
    await this.channel.hangupUnheard('CALL_REJECTED')
    throw new Refused(this.#refusal)
  }

  /** Neither an emergency nor a call that was ours before: those go on. */
  async #refuseBusy(why: string): Promise<void> {
    if (this.identity.isEmergency || this.facts.isKnown) {
      this.log.info({ why }, 'a call that must not be refused is served all the same')
      return
    }
    this.#refusal = why
    this.#ending = { cause: 'NORMAL_TEMPORARY_FAILURE', by: 'server' }
    await this.channel.respond(503, 'Service Unavailable')
    throw new Refused(why)
  }

  /** A fault of ours: the caller hears a refusal, the call has its CDR, the server lives. */
  async #fail(error: unknown): Promise<void> {
    const isBadNumber = error instanceof UnsafeArgument
    if (isBadNumber) this.log.warn({ err: error }, 'the number cannot be dialled')
    else this.log.error({ err: error, route: this.#route }, 'the route failed')
    this.#refusal = isBadNumber ? error.message : 'the server failed to serve the call'
    await this.hangup(isBadNumber ? 'INVALID_NUMBER_FORMAT' : 'NORMAL_TEMPORARY_FAILURE').catch(ignoreGone)
  }

  #dial(): Dialler {
    this.#dialler ??= new Dialler({
      ...this.#dependencies,
      tenant: this.tenant,
      facts: this.facts,
      identity: this.identity,
      channel: this.channel,
      legs: this.#legs,
      log: this.log,
      refuse: (cause, why) => this.refuse(cause, why),
    })
    return this.#dialler
  }

  #observe(event: Event): void {
    this.#lastHeardAt = micros(event, 'Event-Date-Timestamp') ?? this.#lastHeardAt
    this.#legs.observe(event)
    this.#dialler?.observe(event)
    if (event.name === 'RECORD_STOP') this.#recordingPath = event.peek('Record-File-Path')
  }
}

/** What was asked of a call that is over by then need not be done any more; other refusals are in the log. */
function ignoreGone(): void {
  // Nothing is left to do.
}
