import type { Logger } from 'pino'
import type { CallRecord, Charge } from '../../store/call-record.js'
import { endTolerance } from '../../store/committed.js'
import { calledLeg } from '../legs/called-leg.js'
import type { LegDocument } from '../legs/leg-document.js'

/** What of a charge is held against the leg's own word. */
export type ChargedLeg = Pick<Charge, 'legUuid' | 'endedAt'>

/** Calls that are remembered after their end: what is told late comes within seconds. */
const mostCalls = 20_000

/** Holds what legs say of themselves against what was charged for them. */
export class LegCheck {
  readonly #log: Logger
  /** Calls that were recorded here. */
  readonly #recorded = new Map<string, readonly ChargedLeg[]>()

  constructor(log: Logger) {
    this.#log = log
  }

  /** The call has its record: whatever is told of its legs from now on is only held against it. */
  remember({ callUuid, charges }: CallRecord): void {
    this.#recorded.set(
      callUuid,
      charges.map(({ legUuid, endedAt }) => ({ legUuid, endedAt })),
    )
    const [oldest] = this.#recorded.keys()
    if (this.#recorded.size > mostCalls && oldest !== undefined) this.#recorded.delete(oldest)
  }

  remembers(callUuid: string): boolean {
    return this.#recorded.has(callUuid)
  }

  /**
   * Logs each leg that was charged otherwise than it says itself. Nothing is changed: which of two is right would be
   * a guess, with somebody's money.
   *
   * @param charges of the leg's call; without them those that are remembered
   */
  check(document: LegDocument, charges = this.#recorded.get(document.callUuid) ?? []): void {
    const { callUuid, uuid, event } = document
    if (uuid === callUuid) return
    const leg = calledLeg(event)
    if (leg?.attempt.rate === undefined || leg.endedAt === undefined) return
    const chargedTo = charges.find(({ legUuid }) => legUuid === uuid)?.endedAt
    if (chargedTo !== undefined && Math.abs(chargedTo - leg.endedAt) <= endTolerance) return
    this.#log.error(
      { call: callUuid, leg: uuid, chargedTo: chargedTo ?? null, endedAt: leg.endedAt },
      'a leg was charged otherwise than it says itself: the charge stays as it is',
    )
  }
}
