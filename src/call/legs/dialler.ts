import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import type { Credit, Leg as CreditLeg } from '../../billing/credit.js'
import { rateLeg } from '../../billing/rating.js'
import type { EndedAttempt } from '../../billing/reservation-queue.js'
import type { BridgeResult, Channel } from '../../channel/channel.js'
import type { Prompt } from '../../channel/prompt.js'
import type { Event } from '../../esl/event.js'
import {
  extensionDialString,
  isDomain,
  type DialOptions,
  type DialString,
} from '../../numbering/dial-string.js'
import type { GatewayDialOptions, GatewayResult, QueueResult } from '../../routes/call.js'
import type { Catalog, Extension, Gateway, Tenant } from '../../store/catalog.js'
import { micros, millisBetween, type ChannelFacts } from '../facts.js'
import type { GatewayAccess } from '../gateways/gateway-access.js'
import type { GatewayPlaces } from '../gateways/gateway-places.js'
import { EarlierResults } from './earlier-results.js'
import { GatewayLeg, passedOver } from './gateway-leg.js'
import type { Identity } from '../identify.js'
import type { Attempt, Legs } from './legs.js'
import { isEmergencyLeg, legRate } from './leg-rate.js'
import { Meter } from './meter.js'
import { OwnLeg } from './own-leg.js'
import type { Elsewhere } from '../session-dependencies.js'
import { encodeLegState, type AttemptResult } from '../state.js'
import { learnTaker } from './taker.js'
import { extensionTarget, gatewayTarget, queueTarget } from './target.js'

export interface DiallerOptions {
  readonly tenant: Tenant
  readonly facts: ChannelFacts
  readonly identity: Identity
  readonly channel: Channel
  readonly legs: Legs
  readonly catalog: Catalog
  readonly credit: Credit
  readonly gateways: GatewayAccess
  readonly places: GatewayPlaces
  readonly elsewhere: Pick<Elsewhere, 'lookAfter'>
  readonly log: Logger
  /** How each attempt ended; those that another server made are not made again. */
  readonly results: AttemptResult[]
  /** What the call must remember on its channel once this is dialled. */
  readonly stateWith: (attempt?: Attempt) => string
  /** Ends the call, and says why. */
  readonly refuse: (cause: string, why: string) => Promise<never>
}

/**
 * Dials the legs of one call. Whether a number may be called, at what rate and for how long is decided here, for
 * each leg when it is dialled: the leg then carries its own end with it, whatever becomes of this server.
 */
export class Dialler {
  readonly #options: DiallerOptions
  readonly #own: OwnLeg
  #meter: Meter | undefined
  readonly #gatewayLeg: GatewayLeg
  #abandoned: Meter | undefined
  #lastBridge: BridgeResult | undefined
  #hasBridged = false
  #lastAttempt: Attempt | undefined
  readonly #earlier: EarlierResults

  constructor(options: DiallerOptions) {
    this.#options = options
    this.#gatewayLeg = new GatewayLeg(options)
    this.#own = new OwnLeg(options)
    this.#earlier = new EarlierResults(options.results)
  }

  /** How the latest leg ended. */
  get lastBridge(): BridgeResult | undefined {
    return this.#lastBridge
  }

  /** The gateway that was tried last. */
  get lastGateway(): string | undefined {
    return this.#lastAttempt?.gateway?.name
  }

  /** How long, in ms, a leg whose end nobody here hears of may talk on: what it holds must be held until then. */
  get mayTalkForMs(): number {
    return Math.max(this.#abandoned?.longestMs ?? 0, this.#own.mayTalkForMs)
  }

  /** To be told of each event of the call after its legs have been. */
  observe(event: Event): void {
    this.#gatewayLeg.observe(event)
    this.#own.observe(event)
    if (event.name === 'CHANNEL_BRIDGE') learnTaker(this.#options)
    const leg = this.#options.legs.talking
    if (leg?.answeredAt === undefined || this.#meter === undefined) return
    this.#meter.start(leg.uuid, leg.answeredAt, micros(event, 'Event-Date-Timestamp') ?? leg.answeredAt)
  }

  /**
   * Answers the caller, if nobody has: for nothing, unless the tenant has an inbound tariff for the number that was
   * called.
   */
  answer(): Promise<void> {
    return this.#own.answer(this.#spareOf(this.#lastAttempt))
  }

  /** The caller's channel costs something itself, and was another server's or another call's until now. */
  takeUp(): Promise<void> {
    return this.#own.takeUp()
  }

  /** The call is another session's, or another server's: what talks keeps its timers. */
  leave(): void {
    this.#own.abandon()
  }

  /** Its caller was connected with somebody else: for its route the talk is over, which then has the call no more. */
  talkedElsewhere(): void {
    const { target } = this.#lastAttempt ?? {}
    if (target !== undefined)
      this.#options.results.push({ target, isConnected: true, cause: 'NORMAL_CLEARING' })
  }

  /** Rings extensions, all at once; charged only where the tenant has an inbound tariff for the number that was called. */
  async toExtensions(
    extensions: readonly Extension[],
    { ringSeconds }: { readonly ringSeconds?: number } = {},
  ): Promise<BridgeResult> {
    const { tenant, facts, identity, catalog, legs } = this.#options
    const numbers = extensions.map(({ number }) => number)
    const target = extensionTarget(numbers)
    const earlier = this.earlierResult(target)
    if (earlier !== undefined) return earlier
    const domain = tenant.domain ?? facts.domain ?? facts.authRealm
    const attempt: Attempt = {
      id: randomUUID(),
      target,
      gateway: undefined,
      number: numbers.length === 1 ? numbers.join() : identity.called,
      // Answered here, the call costs that already.
      rate: legs.own === undefined ? catalog.inboundRate(tenant.id, identity.called) : undefined,
    }
    return this.#dial(
      attempt,
      (options) =>
        extensionDialString(numbers, domain !== undefined && isDomain(domain) ? domain : undefined, options),
      ringSeconds,
    )
  }

  /** @param number in normal form */
  async toGateway(
    gateway: Gateway,
    number: string,
    options: GatewayDialOptions = {},
  ): Promise<GatewayResult> {
    const { identity } = this.#options
    const target = gatewayTarget(gateway.name, number === identity.called ? undefined : number)
    const earlier = this.earlierResult(target)
    if (earlier !== undefined) return earlier
    const rate = await legRate(number, this.#options)
    const attempt: Attempt = { id: randomUUID(), target, gateway, number, rate }
    const use = await this.#gatewayLeg.begin(gateway, attempt, options)
    if (typeof use === 'string') return passedOver(use)
    return use.until(this.#dial(attempt, use.dialString))
  }

  /**
   * Waits for an agent of a queue. Its caller is charged, if at all, for being answered here.
   * @param score where in the queue: who has more is served before
   */
  async toQueue(
    name: string,
    { score, music }: { readonly score: number; readonly music?: Prompt },
  ): Promise<QueueResult> {
    const { channel, legs, identity, results, stateWith } = this.#options
    const target = queueTarget(name)
    const attempt: Attempt = {
      id: randomUUID(),
      target,
      gateway: undefined,
      number: identity.called,
      rate: undefined,
    }
    this.#lastAttempt = attempt
    legs.dialling(attempt)
    const result = await channel.queue(
      name,
      { score, ...(music !== undefined && { music }) },
      stateWith(attempt),
    )
    results.push({ target, isConnected: result.isConnected, cause: result.why })
    return result
  }

  /** How an earlier server's attempt at a target ended; undefined: it is to be dialled. */
  earlierResult(target: string): BridgeResult | undefined {
    const earlier = this.#earlier.of(target)
    this.#lastBridge = earlier ?? this.#lastBridge
    return earlier
  }

  async #dial(
    attempt: Attempt,
    dialString: (options: DialOptions) => DialString,
    ringSeconds = this.#options.tenant.ringSeconds,
  ): Promise<BridgeResult> {
    const { tenant, facts, identity, channel, legs, credit, log, refuse } = this.#options
    const leg: CreditLeg = {
      tenant,
      callUuid: facts.uuid,
      attemptId: attempt.id,
      rate: attempt.rate,
      maxSeconds: tenant.maxCallSeconds,
      isEmergency: isEmergencyLeg(attempt.number, this.#options),
      after: this.#spareOf(this.#lastAttempt),
    }
    const granted = await credit.authorise(leg)
    this.#lastAttempt = attempt
    if (granted.kind === 'refused') {
      const barred = attempt.gateway === undefined ? 'CALL_REJECTED' : 'OUTGOING_CALL_BARRED'
      return refuse(granted.reason === 'away' ? 'NORMAL_TEMPORARY_FAILURE' : barred, granted.message)
    }
    const to = dialString({
      callerNumber: facts.callerNumber,
      ringSeconds,
      maxSeconds: granted.untilMs / 1000,
      legState: encodeLegState({
        callUuid: facts.uuid,
        tenant: tenant.id,
        attempt,
        extension: identity.callerExtension?.number,
        grantedMs: granted.untilMs,
      }),
      // Answered already, the far end's own answer would not be told on this leg, and its time is money.
      ignoreEarlyMedia: channel.isAnswered,
      ...(tenant.holdMusic !== undefined && { holdMusic: tenant.holdMusic }),
    })
    legs.dialling(attempt)
    if (attempt.rate === undefined) return this.#bridge(to, attempt)
    const meter = new Meter({ credit, control: channel, log, leg, granted, ringSeconds })
    this.#meter = meter
    try {
      const result = await this.#bridge(to, attempt)
      this.#end(meter, attempt)
      return result
    } catch (error) {
      // The leg may outlive its caller, or the caller this socket: its timers stay.
      meter.abandon()
      this.#abandoned = meter
      throw error
    } finally {
      this.#meter = undefined
    }
  }

  /** The talk is over; the leg need not be: it may have been transferred, and talks on with somebody else. */
  #end(meter: Meter, attempt: Attempt): void {
    const { legs, elsewhere, facts } = this.#options
    const left = legs.left.find((leg) => leg.attempt === attempt)
    if (left === undefined) {
      meter.stop()
      return
    }
    meter.abandon()
    this.#abandoned = meter
    elsewhere.lookAfter(facts.switchName, left.uuid)
  }

  async #bridge(to: DialString, attempt: Attempt): Promise<BridgeResult> {
    const { channel, results, stateWith } = this.#options
    const result = await channel.bridge(to, this.#variables(), stateWith(attempt))
    results.push({ target: attempt.target, ...result })
    this.#lastBridge = result
    return result
  }

  /**
   * A failed gateway must leave the caller here, and so must the end of the talk: the dialplan's next action is
   * for a server that died. Ours (dialplan/linger.xml) sets both; another need not.
   */
  #variables(): Record<string, string> {
    const isReady = this.#options.facts.isReadyToBridge || this.#hasBridged
    this.#hasBridged = true
    return isReady ? {} : { continue_on_fail: 'true', hangup_after_bridge: 'false' }
  }

  /** What an attempt that is over has cost: what it holds beyond that, the next one may use. */
  #spareOf(attempt: Attempt | undefined): EndedAttempt | undefined {
    if (attempt?.rate === undefined) return undefined
    const leg = this.#options.legs.all.find((each) => each.attempt === attempt)
    if (leg?.answeredAt === undefined) return { attemptId: attempt.id, cost: 0n }
    if (leg.endedAt === undefined || (leg.hasLeft && !leg.endIsExact)) return undefined
    return {
      attemptId: attempt.id,
      cost: rateLeg(attempt.rate, millisBetween(leg.answeredAt, leg.endedAt)).cost,
    }
  }
}
