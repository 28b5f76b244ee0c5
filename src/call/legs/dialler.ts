import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import type { Credit, Leg as CreditLeg } from '../../billing/credit.js'
import { plainTerms, rateLeg, type Rate } from '../../billing/rating.js'
import type { EndedAttempt } from '../../billing/reservation-queue.js'
import type { BridgeResult, Channel } from '../../channel/channel.js'
import type { Event } from '../../esl/event.js'
import {
  extensionDialString,
  gatewayDialString,
  isDomain,
  type DialOptions,
  type DialString,
} from '../../numbering/dial-string.js'
import { isTollAllowed, numberClass } from '../../numbering/number-class.js'
import type { Catalog, Extension, Gateway, Tenant } from '../../store/catalog.js'
import { micros, millisBetween, type ChannelFacts } from '../facts.js'
import type { Identity } from '../identify.js'
import type { Attempt, Legs } from './legs.js'
import { Meter } from './meter.js'
import { encodeLegState, type AttemptResult } from '../state.js'

export interface DiallerOptions {
  readonly tenant: Tenant
  readonly facts: ChannelFacts
  readonly identity: Identity
  readonly channel: Channel
  readonly legs: Legs
  readonly catalog: Catalog
  readonly credit: Credit
  readonly log: Logger
  /** How attempts ended that another server made: they are not made again. */
  readonly earlier: readonly AttemptResult[]
  /** What the call must remember on its channel once this is dialled. */
  readonly stateWith: (attempt: Attempt, results: readonly AttemptResult[]) => string
  /** Ends the call, and says why. */
  readonly refuse: (cause: string, why: string) => Promise<never>
}

/** Of a tenant that may call what has no price: the leg has its charge, of nothing. */
const unrated: Rate = {
  ...plainTerms,
  prefix: '',
  prefixEntered: '',
  description: 'no rate',
  pricePerMinute: 0n,
}

/**
 * Dials the legs of one call. Whether a number may be called, at what rate and for how long is decided here, for
 * each leg when it is dialled: the leg then carries its own end with it, whatever becomes of this server.
 */
export class Dialler {
  readonly #options: DiallerOptions
  #meter: Meter | undefined
  #abandoned: Meter | undefined
  #lastBridge: BridgeResult | undefined
  #lastAttempt: Attempt | undefined
  /** How each attempt ended, those of an earlier server first. */
  readonly #results: AttemptResult[]
  /** Of those, how many its route has been told of. */
  #replayed = 0

  constructor(options: DiallerOptions) {
    this.#options = options
    this.#results = [...options.earlier]
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
    return this.#abandoned?.longestMs ?? 0
  }

  /** To be told of each event of the call after its legs have been. */
  observe(event: Event): void {
    const leg = this.#options.legs.talking
    if (leg?.answeredAt === undefined || this.#meter === undefined) return
    this.#meter.start(leg.uuid, leg.answeredAt, micros(event, 'Event-Date-Timestamp') ?? leg.answeredAt)
  }

  /** Rings an extension; charged only where the tenant has an inbound tariff for the number that was called. */
  async toExtension(extension: Extension): Promise<BridgeResult> {
    const { tenant, facts, identity, catalog } = this.#options
    const target = `extension:${extension.number}`
    const domain = tenant.domain ?? facts.domain ?? facts.authRealm
    return (
      this.#earlierResult(target) ??
      this.#dial(
        {
          id: randomUUID(),
          target,
          gateway: undefined,
          number: extension.number,
          rate: catalog.inboundRate(tenant.id, identity.called),
        },
        (options) =>
          extensionDialString(
            extension.number,
            domain !== undefined && isDomain(domain) ? domain : undefined,
            options,
          ),
      )
    )
  }

  async toGateway(gateway: Gateway): Promise<BridgeResult> {
    const { called } = this.#options.identity
    const target = `gateway:${gateway.name}`
    const earlier = this.#earlierResult(target)
    if (earlier !== undefined) return earlier
    const rate = await this.#rateOf(called)
    return this.#dial({ id: randomUUID(), target, gateway, number: called, rate }, (options) =>
      gatewayDialString(gateway.name, called, options),
    )
  }

  /**
   * The route begins anew when its call was taken over: what it dials then is answered from what was dialled before.
   * After a talk nothing is dialled again, even if the routing has changed since.
   */
  #earlierResult(target: string): BridgeResult | undefined {
    const left = this.#results.slice(this.#replayed, this.#options.earlier.length)
    const talk = left.find(({ isConnected }) => isConnected)
    const result = left.find((each) => each.target === target) ?? talk
    if (result === undefined) return undefined
    this.#replayed = this.#results.indexOf(result) + 1
    this.#lastBridge = { isConnected: result.isConnected, cause: result.cause }
    return this.#lastBridge
  }

  /** @returns undefined for an emergency number */
  async #rateOf(called: string): Promise<Rate | undefined> {
    const { tenant, identity, catalog, refuse } = this.#options
    if (identity.isEmergency) return undefined
    if (catalog.isBlocked(tenant.id, called))
      return refuse('OUTGOING_CALL_BARRED', 'the tenant blocks this destination')
    const tollAllow = identity.callerExtension?.tollAllow
    if (tollAllow !== undefined) {
      const kind = numberClass(called, tenant)
      if (!isTollAllowed(kind, tollAllow))
        return refuse('OUTGOING_CALL_BARRED', `the extension may not call ${kind} numbers (toll_allow)`)
    }
    const rate = catalog.rate(tenant.id, called) ?? (tenant.allowsUnrated ? unrated : undefined)
    return rate ?? refuse('OUTGOING_CALL_BARRED', 'the destination has no rate')
  }

  async #dial(attempt: Attempt, dialString: (options: DialOptions) => DialString): Promise<BridgeResult> {
    const { tenant, facts, identity, channel, legs, credit, log, refuse } = this.#options
    const leg: CreditLeg = {
      tenant,
      callUuid: facts.uuid,
      attemptId: attempt.id,
      rate: attempt.rate,
      maxSeconds: tenant.maxCallSeconds,
      isEmergency: identity.isEmergency,
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
      ringSeconds: tenant.ringSeconds,
      maxSeconds: granted.untilMs / 1000,
      legState: encodeLegState({ callUuid: facts.uuid, tenant: tenant.id, attempt }),
      // Answered already, the far end's own answer would not be told on this leg, and its time is money.
      ignoreEarlyMedia: facts.answeredAt !== undefined,
    })
    legs.dialling(attempt)
    if (attempt.rate === undefined) return this.#bridge(to, attempt)
    const meter = new Meter({ credit, control: channel, log, leg, granted, ringSeconds: tenant.ringSeconds })
    this.#meter = meter
    try {
      const result = await this.#bridge(to, attempt)
      meter.stop()
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

  async #bridge(to: DialString, attempt: Attempt): Promise<BridgeResult> {
    const { channel, stateWith } = this.#options
    const result = await channel.bridge(to, this.#variables(), stateWith(attempt, this.#results))
    this.#results.push({ target: attempt.target, ...result })
    this.#lastBridge = result
    return result
  }

  /**
   * A failed gateway must leave the caller here, and so must the end of the talk: the dialplan's next action is
   * for a server that died. Ours (dialplan/linger.xml) sets both; another need not.
   */
  #variables(): Record<string, string> {
    const isReady = this.#options.facts.isReadyToBridge || this.#lastBridge !== undefined
    return isReady ? {} : { continue_on_fail: 'true', hangup_after_bridge: 'false' }
  }

  /** What an attempt that is over has cost: what it holds beyond that, the next one may use. */
  #spareOf(attempt: Attempt | undefined): EndedAttempt | undefined {
    if (attempt?.rate === undefined) return undefined
    const leg = this.#options.legs.all.find((each) => each.attempt === attempt)
    if (leg?.answeredAt === undefined) return { attemptId: attempt.id, cost: 0n }
    if (leg.endedAt === undefined) return undefined
    return {
      attemptId: attempt.id,
      cost: rateLeg(attempt.rate, millisBetween(leg.answeredAt, leg.endedAt)).cost,
    }
  }
}
