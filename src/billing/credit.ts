import type { BaseLogger } from 'pino'

import type { Rate } from './rating.js'
import {
  CreditAway,
  ReservationQueue,
  type EndedAttempt,
  type ReservationRequest,
  type Reserve,
  type Shortage,
} from './reservation-queue.js'
import { holdingFor, isFree, untilMs, type SliceTimes } from './slices.js'

/** What of a tenant decides while nobody can be asked what it may spend. */
export interface Payer {
  readonly id: string
  readonly billing: 'prepaid' | 'postpaid'
}

/** A leg that is about to be dialled, or that talks. Ids and rate stay the same for as long as it lives. */
export interface Leg {
  readonly tenant: Payer
  readonly callUuid: string
  /** Names this attempt among those of its call, also after another node took the call over. */
  readonly attemptId: string
  /** Frozen when the leg was authorised. Undefined: it costs nothing. */
  readonly rate: Rate | undefined
  /** No leg lasts longer, whatever the credit. */
  readonly maxSeconds: number
  /** Costs nothing and is refused to nobody. */
  readonly isEmergency?: boolean
  /**
   * The attempt of this call before this one, which is over: this one may use what that one holds beyond its
   * cost. So a second gateway is tried on the credit that the first one did not need.
   */
  readonly after?: EndedAttempt | undefined
}

export interface Granted {
  readonly kind: 'granted'
  /** When, in ms after its answer, the leg's hangup timer is to fire: whole seconds. */
  readonly untilMs: number
  /** There is no credit for more: it ends then, unless money comes in. */
  readonly isLast: boolean
}

/**
 * A leg of which this is said when it is authorised may not be dialled; one that talks may talk as long as was
 * granted before.
 */
export interface Refused {
  readonly kind: 'refused'
  /** `away`: nobody can say now; the others are what the tenant's money, or its settings, do not allow. */
  readonly reason: Shortage | 'away'
  /** For the CDR and the log. */
  readonly message: string
}

export interface CreditOptions {
  readonly reserve: Reserve
  readonly log: BaseLogger
  /** What is reserved at a time, in s. Default 300. */
  readonly sliceSeconds?: number
  /** How late the switch may end a leg, in s. Default 2, FreeSWITCH's scheduler. */
  readonly guardSeconds?: number
  /** A leg that could not last this long, in s, is not worth dialling. Default 1. */
  readonly leastSeconds?: number
  /** How long a leg waits for PostgreSQL, in ms. Default 1000. */
  readonly timeoutMs?: number
  /** Whether prepaid legs are refused while PostgreSQL is away. Default true; else they may overdraw. */
  readonly refuseWhenAway?: boolean
}

const messages: Readonly<Record<Shortage, string>> = {
  no_credit: 'the tenant has no credit for it',
  daily_cap: 'it would take the tenant beyond what it may spend in a day',
  call_cap: 'it would take the call beyond what it may cost',
  call_over: 'the call is over: its record is committed',
  no_tenant: 'the tenant has no balance',
}

/**
 * Decides how long a leg may last, by what its tenant may still spend. What a leg may cost until then is
 * reserved beforehand, in one round trip, so that no leg outlasts its tenant's money, whatever else dies. Only
 * the commit of the call's record releases it (src/store/commit.ts).
 */
export class Credit {
  readonly #queue: ReservationQueue
  readonly #log: BaseLogger
  readonly #times: SliceTimes
  readonly #refuseWhenAway: boolean
  #isAway = false

  constructor({
    reserve,
    log,
    sliceSeconds = 300,
    guardSeconds = 2,
    leastSeconds = 1,
    timeoutMs = 1_000,
    refuseWhenAway = true,
  }: CreditOptions) {
    this.#queue = new ReservationQueue(reserve, timeoutMs)
    this.#log = log
    this.#times = {
      sliceMs: sliceSeconds * 1000,
      guardMs: guardSeconds * 1000,
      leastMs: leastSeconds * 1000,
    }
    this.#refuseWhenAway = refuseWhenAway
  }

  /** How much is reserved at a time, in ms of talk. */
  get sliceMs(): number {
    return this.#times.sliceMs
  }

  /** Reserves a leg's first slice. Asking again, the answer having been lost, reserves nothing more. */
  authorise(leg: Leg): Promise<Granted | Refused> {
    return this.#cover(leg, 0)
  }

  /**
   * Reserves a slice more. To be asked in time, so that the timer can be moved before it fires.
   *
   * @param grantedMs the last `untilMs` that is known; 0 if none is, as after a crash: the answer then is at
   *   least what was granted before
   */
  extend(leg: Leg, grantedMs: number): Promise<Granted | Refused> {
    return this.#cover(leg, grantedMs)
  }

  async #cover(leg: Leg, fromMs: number): Promise<Granted | Refused> {
    const { tenant, callUuid, attemptId, rate, after } = leg
    const maxMs = leg.maxSeconds * 1000
    const isWhole = leg.isEmergency === true || fromMs >= maxMs
    if (isWhole || rate === undefined || isFree(rate, maxMs, this.#times))
      return { kind: 'granted', untilMs: maxMs, isLast: false }
    const holding = holdingFor(rate, fromMs, maxMs, this.#times)
    if (holding.want === 0n) return this.#unreserved(fromMs, maxMs)

    const isRefusable = this.#refuseWhenAway && tenant.billing === 'prepaid'
    const answer = this.#request(tenant.id, { callUuid, attemptId, ...holding, after })
    if (this.#isAway && !isRefusable) {
      // The question stands all the same, and finds out when PostgreSQL is back.
      answer.catch(() => undefined)
      return this.#unreserved(fromMs, maxMs)
    }
    try {
      const { held, shortage } = await answer
      if (shortage !== undefined) return { kind: 'refused', reason: shortage, message: messages[shortage] }
      const until = untilMs(rate, held, maxMs, this.#times)
      return { kind: 'granted', untilMs: until, isLast: until < this.#aimMs(fromMs, maxMs) }
    } catch (error) {
      if (!(error instanceof CreditAway)) throw error
      if (!isRefusable) return this.#unreserved(fromMs, maxMs)
      return {
        kind: 'refused',
        reason: 'away',
        message: 'PostgreSQL is away: nobody can say what credit there is',
      }
    }
  }

  async #request(tenantId: string, request: ReservationRequest) {
    try {
      const reservation = await this.#queue.request(tenantId, request)
      if (this.#isAway) this.#log.info('credit can be reserved again')
      this.#isAway = false
      return reservation
    } catch (error) {
      if (error instanceof CreditAway && !this.#isAway) {
        this.#isAway = true
        this.#log.warn({ reason: error.message }, this.#whileAway())
      }
      throw error
    }
  }

  #whileAway(): string {
    return this.#refuseWhenAway
      ? 'credit cannot be reserved: prepaid legs are refused, postpaid ones are not'
      : 'credit cannot be reserved: legs go on unreserved'
  }

  /** For a leg that costs nothing yet, or whose tenant is trusted with a slice. */
  #unreserved(fromMs: number, maxMs: number): Granted {
    return { kind: 'granted', untilMs: this.#aimMs(fromMs, maxMs), isLast: false }
  }

  /** How long the leg can last when all that is wanted is reserved. */
  #aimMs(fromMs: number, maxMs: number): number {
    return Math.min(fromMs + this.#times.sliceMs, maxMs)
  }
}
