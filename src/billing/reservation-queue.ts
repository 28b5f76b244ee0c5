import { inTime } from '../common/in-time.js'
import type { Money } from './money.js'

/** One attempt's wish; `want` and `least` are what it is to hold in all, not what is to be added. */
export interface ReservationRequest {
  readonly callUuid: string
  readonly attemptId: string
  readonly want: Money
  /** With less than this it gets nothing more. */
  readonly least: Money
  /** An attempt of the same call that is over: what it holds beyond its cost goes over to this one. */
  readonly after?: EndedAttempt | undefined
}

export interface EndedAttempt {
  readonly attemptId: string
  /** 0 when it was not answered. */
  readonly cost: Money
}

/** Why an attempt does not get what it needs at least. */
export type Shortage = 'no_credit' | 'daily_cap' | 'call_cap' | 'call_over' | 'no_tenant'

export interface Reservation {
  /** What the attempt holds now. */
  readonly held: Money
  readonly shortage: Shortage | undefined
}

/**
 * Reserves for legs of one tenant, all in one transaction; answers in the order of the requests.
 *
 * @throws CreditAway when it is not known whether anything was reserved
 */
export type Reserve = (
  tenantId: string,
  requests: readonly ReservationRequest[],
) => Promise<readonly Reservation[]>

/** Nobody can say now what a tenant may spend: PostgreSQL is away, or slow. */
export class CreditAway extends Error {
  override readonly name = 'CreditAway'
}

interface Waiting {
  readonly request: ReservationRequest
  readonly resolve: (reservation: Reservation) => void
  readonly reject: (error: unknown) => void
}

const maxBatch = 100

/**
 * A tenant's requests go to the database one batch at a time: those that come meanwhile make up the next. A
 * tenant's balance is one row, at which statements can only queue; so a hot tenant costs this node one statement
 * and one commit for many legs, and no other tenant waits for it.
 */
export class ReservationQueue {
  readonly #reserve: Reserve
  readonly #timeoutMs: number
  /** What is not sent yet, of tenants that have a batch under way. */
  readonly #waiting = new Map<string, Waiting[]>()

  /** @param timeoutMs how long a batch may take */
  constructor(reserve: Reserve, timeoutMs: number) {
    this.#reserve = reserve
    this.#timeoutMs = timeoutMs
  }

  /** @throws CreditAway when its batch, or the one before, is not answered in time */
  request(tenantId: string, request: ReservationRequest): Promise<Reservation> {
    return new Promise((resolve, reject) => {
      const waiting = { request, resolve, reject }
      const queue = this.#waiting.get(tenantId)
      if (queue !== undefined) {
        queue.push(waiting)
        return
      }
      this.#waiting.set(tenantId, [waiting])
      // At the end of this turn, so that requests which arrive together go together.
      queueMicrotask(() => {
        void this.#work(tenantId)
      })
    })
  }

  async #work(tenantId: string): Promise<void> {
    const queue = this.#waiting.get(tenantId) ?? []
    while (queue.length > 0) {
      const batch = queue.splice(0, maxBatch)
      try {
        await this.#send(tenantId, batch)
      } catch (error) {
        // Those behind have waited as well, and would wait for the same answer.
        for (const { reject } of [...batch, ...queue.splice(0)]) reject(error)
      }
    }
    this.#waiting.delete(tenantId)
  }

  /** @throws CreditAway; every other error is told to whose request it is */
  async #send(tenantId: string, batch: readonly Waiting[]): Promise<void> {
    try {
      const answers = await this.#ask(
        tenantId,
        batch.map(({ request }) => request),
      )
      batch.forEach(({ resolve, reject }, i) => {
        const answer = answers[i]
        if (answer) resolve(answer)
        else reject(new Error('a reservation was not answered'))
      })
    } catch (error) {
      if (error instanceof CreditAway) throw error
      const [first] = batch
      // One request is at fault, and nothing of the batch was reserved.
      if (batch.length > 1) for (const waiting of batch) await this.#send(tenantId, [waiting])
      else first?.reject(error)
    }
  }

  #ask(tenantId: string, requests: readonly ReservationRequest[]): Promise<readonly Reservation[]> {
    let isTooLate = false
    // A connection that broke since it was last used says so to the first who uses it. Asking again is harmless:
    // `want` and `least` are totals.
    const answer = this.#reserve(tenantId, requests).catch((error: unknown) => {
      if (!(error instanceof CreditAway) || isTooLate) throw error
      return this.#reserve(tenantId, requests)
    })
    return inTime(answer, this.#timeoutMs, () => {
      isTooLate = true
      return new CreditAway(`no answer within ${this.#timeoutMs} ms`)
    })
  }
}
