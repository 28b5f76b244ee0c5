import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import type { Credit, Leg as CreditLeg } from '../../billing/credit.js'
import type { EndedAttempt } from '../../billing/reservation-queue.js'
import { timersVariable, type Channel } from '../../channel/channel.js'
import { CallerGone } from '../../esl/errors.js'
import type { Event } from '../../esl/event.js'
import { legVariable } from '../../numbering/dial-string.js'
import type { Catalog, Tenant } from '../../store/catalog.js'
import { adoptLeg } from './adopt-leg.js'
import { micros, type ChannelFacts } from '../facts.js'
import type { GatewayPlaces } from '../gateways/gateway-places.js'
import type { Identity } from '../identify.js'
import { isOwn, type Attempt, type Legs } from './legs.js'
import { Meter, reservedMs, retryMs, timerName } from './meter.js'
import { decodeLegState } from '../state.js'
import { answeredTarget } from './target.js'
import { timersOf, type TalkingLeg } from './talking-leg.js'

export interface OwnLegOptions {
  readonly tenant: Tenant
  readonly facts: ChannelFacts
  readonly identity: Identity
  readonly channel: Channel
  readonly legs: Legs
  readonly catalog: Pick<Catalog, 'inboundRate'>
  readonly credit: Credit
  readonly places: Pick<GatewayPlaces, 'take' | 'free' | 'leave'>
  readonly log: Logger
  /** What the call must remember on its channel. */
  readonly stateWith: () => string
  /** Ends the call, and says why. */
  readonly refuse: (cause: string, why: string) => Promise<never>
}

/**
 * The caller's own channel, where it costs something itself: a call that is answered here at an inbound tariff, from our
 * answer to its end; or a leg of another call, which goes on paying for it, that was transferred and is a call of its
 * own now. Its hangup timer is on the channel before it costs anything, and moved over its own socket.
 */
export class OwnLeg {
  readonly #options: OwnLegOptions
  #meter: Meter | undefined
  #retry: NodeJS.Timeout | undefined
  #isOver = false
  #answering: Promise<void> | undefined

  constructor(options: OwnLegOptions) {
    this.#options = options
  }

  /** How long, in ms, it may talk on where nobody here hears of it. */
  get mayTalkForMs(): number {
    return this.#meter?.longestMs ?? 0
  }

  /**
   * Answers the caller, if nobody has; refuses the call when its tenant cannot pay for that.
   * @param after what may be used of what an attempt before held
   */
  answer(after?: EndedAttempt): Promise<void> {
    // A route that asks twice at once is answered, and pays, once.
    this.#answering ??= this.#answer(after).finally(() => {
      this.#answering = undefined
    })
    return this.#answering
  }

  async #answer(after: EndedAttempt | undefined): Promise<void> {
    const { channel, legs } = this.#options
    const attempt = legs.own?.attempt ?? this.#attempt()
    if (attempt === undefined || legs.own?.answeredAt !== undefined) return channel.answer()
    if (channel.isAnswered) await this.#chargeFrom(this.#answeredAt(), attempt, after)
    else await this.#answerAt(attempt, after)
  }

  /** To be told of each event of the call after its legs have been. */
  observe(event: Event): void {
    if (event.name === 'CHANNEL_HANGUP' || event.name === 'CHANNEL_HANGUP_COMPLETE') this.stop()
    const { own } = this.#options.legs
    if (own?.answeredAt === undefined || this.#meter === undefined) return
    this.#meter.start(own.uuid, own.answeredAt, micros(event, 'Event-Date-Timestamp') ?? own.answeredAt)
  }

  /**
   * Goes on with what another server did, or another call: its timer is moved before the dialplan's guard is taken off,
   * which is under the same name. Though nobody can say what credit there is, it talks on for what was reserved.
   */
  async takeUp(): Promise<void> {
    const { channel, facts, legs } = this.#options
    const { own } = legs
    const dialled = own === undefined ? decodeLegState(await channel.variable(legVariable)) : undefined
    const answeredAt = own === undefined ? facts.answeredAt : own.answeredAt
    const attempt = own?.attempt ?? dialled?.attempt
    if (attempt === undefined || answeredAt === undefined) return
    const timers = timersOf(facts.uuid, await channel.variable(timersVariable))
    const leg: TalkingLeg = {
      uuid: facts.uuid,
      callUuid: dialled?.callUuid ?? facts.uuid,
      tenant: this.#options.tenant.id,
      attempt,
      answeredAt,
      now: facts.arrivedAt ?? answeredAt,
      timers,
    }
    // It talks, whether or not it can be extended.
    if (!this.#isOver) this.#options.places.take(leg, this)
    await this.#adopt({ ...leg, reservedMs: reservedMs(answeredAt, dialled?.grantedMs ?? 0, timers) })
  }

  /** The channel is over. */
  stop(): void {
    this.#isOver = true
    clearTimeout(this.#retry)
    this.#meter?.stop()
    this.#options.places.free(this.#options.facts.uuid)
  }

  /** The call is somebody else's from now on: its timer stays. */
  abandon(): void {
    if (this.#isOver) return
    this.#isOver = true
    clearTimeout(this.#retry)
    this.#meter?.abandon()
    this.#options.places.leave(this.#options.facts.uuid, this)
  }

  /** @returns undefined: it costs nothing */
  #attempt(): Attempt | undefined {
    const { tenant, facts, identity, catalog } = this.#options
    // A leg that was dialled is paid for as such.
    if (identity.isEmergency || facts.transferredFrom !== undefined) return undefined
    const rate = catalog.inboundRate(tenant.id, identity.called)
    if (rate === undefined) return undefined
    return { id: randomUUID(), target: answeredTarget, gateway: undefined, number: identity.called, rate }
  }

  async #answerAt(attempt: Attempt, after: EndedAttempt | undefined): Promise<void> {
    const { facts, channel, legs, credit, log, tenant, stateWith } = this.#options
    const leg = this.#creditLeg(attempt, after)
    const granted = await credit.authorise(leg)
    if (granted.kind === 'refused') return this.#refuse(granted)
    const earlier = legs.own === undefined ? [] : await this.#timersBefore()
    if (legs.own === undefined) legs.answering(facts.uuid, attempt, undefined)
    const timer = timerName(facts.uuid)
    const { ringSeconds } = tenant
    this.#meter = new Meter({ credit, control: channel, log, leg, granted, ringSeconds, timer })
    await channel.answer({ state: stateWith(), timers: [timer, ...earlier], seconds: granted.untilMs / 1000 })
    await Promise.all(earlier.map((name) => channel.unschedule(name)))
  }

  /** Of a server that died before its answer: they would end the call with the slice that it had reserved. */
  async #timersBefore(): Promise<string[]> {
    const { channel, facts } = this.#options
    // What is under the uuid is the dialplan's guard, which is off by now.
    return timersOf(facts.uuid, await channel.variable(timersVariable)).filter((name) => name !== facts.uuid)
  }

  #refuse({ reason, message }: { readonly reason: string; readonly message: string }): Promise<never> {
    const cause = reason === 'away' ? 'NORMAL_TEMPORARY_FAILURE' : 'CALL_REJECTED'
    return this.#options.refuse(cause, message)
  }

  /** It is answered already: by its dialplan, or by the far end that it talked to. */
  async #chargeFrom(answeredAt: number, attempt: Attempt, after: EndedAttempt | undefined): Promise<void> {
    const { facts, channel, legs, credit, stateWith, tenant } = this.#options
    const granted = await credit.authorise(this.#creditLeg(attempt, after))
    if (granted.kind === 'refused') return this.#refuse(granted)
    if (legs.own === undefined) legs.answering(facts.uuid, attempt, answeredAt)
    await channel.remember(stateWith())
    const { uuid } = facts
    const now = Math.max(answeredAt, facts.arrivedAt ?? 0)
    await this.#adopt({ uuid, callUuid: uuid, tenant: tenant.id, attempt, answeredAt, now, timers: [] })
  }

  /** Since when an answered caller is ours: since the last talk, or since its dialplan answered it. */
  #answeredAt(): number {
    const { facts, legs } = this.#options
    const talks = legs.all.flatMap((leg) => (isOwn(leg) ? [] : (leg.endedAt ?? [])))
    return Math.max(facts.answeredAt ?? 0, ...talks)
  }

  #creditLeg(attempt: Attempt, after: EndedAttempt | undefined): CreditLeg {
    const { tenant, facts } = this.#options
    const { maxCallSeconds: maxSeconds } = tenant
    return { tenant, callUuid: facts.uuid, attemptId: attempt.id, rate: attempt.rate, maxSeconds, after }
  }

  async #adopt(leg: TalkingLeg): Promise<void> {
    const { channel: control, credit, tenant, log } = this.#options
    const adopted = await adoptLeg(leg, { credit, control, tenant, log })
    if (adopted instanceof Meter) {
      this.#meter = adopted
      if (this.#isOver) adopted.abandon()
      return
    }
    log.warn(
      { reason: adopted.message },
      'the call goes on as long as was reserved for it, and is not extended',
    )
    if (adopted.reason !== 'away' || this.#isOver) return
    this.#retry = setTimeout(() => {
      this.#adopt(leg).catch((error: unknown) => {
        if (!(error instanceof CallerGone)) log.error({ err: error }, 'the call was not extended')
      })
    }, retryMs(credit))
  }
}
