import type { Journal } from '../journal/journal.js'
import type { CallRecord } from '../store/call-record.js'
import { hangupEvent, type CallDetails, type CallEvent } from './call-event.js'
import { encodeEvent } from './entry.js'
import type { CallStats } from './stats.js'

export interface CallEventsOptions {
  readonly journal: Pick<Journal, 'append' | 'events'>
  /** Whether anybody publishes what the journal keeps (AMQP_URL): otherwise nothing is written there. */
  readonly isPublished: boolean
  readonly stats?: Pick<CallStats, 'add'>
  /** A tenant's, IANA; undefined: there is no such tenant any more. */
  readonly timeZoneOf: (tenant: string) => string | undefined
}

/** Whatever happens to calls, for those outside who want to know: RabbitMQ, by way of the journal, and statistics. */
export class CallEvents {
  readonly #options: CallEventsOptions

  constructor(options: CallEventsOptions) {
    this.#options = options
  }

  /** Whether anybody wants to know more of a change than that it was. */
  get isHeard(): boolean {
    return this.#options.isPublished
  }

  /** For the statistics alone. */
  count(customer: string, status: string, call: string): void {
    this.#options.stats?.add({ customer_id: customer, call_status: status, call_id: call })
  }

  /** Nobody waits for it. @param event undefined: there is nothing to tell */
  publish(event: CallEvent | undefined): void {
    if (event === undefined) return
    const { journal, isPublished, stats } = this.#options
    if (isPublished) journal.events.add(encodeEvent(event))
    stats?.add(event)
  }

  /**
   * A call is over: its record goes to the journal, and with it, in one write, the event of its end.
   *
   * @throws JournalError as `Journal.append`; nothing is told then
   */
  async append(record: CallRecord, details?: CallDetails): Promise<void> {
    const { journal, isPublished, timeZoneOf, stats } = this.#options
    const { tenant, callUuid } = record
    if (tenant === null || !isPublished) {
      await journal.append(record)
      if (tenant !== null) this.count(tenant, 'hangup', callUuid)
      return
    }
    const event = hangupEvent(record, timeZoneOf(tenant) ?? 'UTC', details)
    await journal.append(record, event !== undefined ? [encodeEvent(event)] : [])
    if (event !== undefined) stats?.add(event)
  }
}
