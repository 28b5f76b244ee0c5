import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'

import type { BaseLogger } from 'pino'

import type { EventShelf } from '../journal/event-shelf.js'
import { AmqpLine, queueOf, type Outcome } from './amqp-line.js'
import { DueEvents, type Due } from './due-events.js'
import type { Message } from './entry.js'
import { Resting } from './resting.js'

export interface RabbitOptions {
  /** AMQP_URL: `amqp://user:password@host:port/vhost` or `amqps://…`. */
  readonly url: string
  readonly events: Pick<EventShelf, 'read' | 'remove' | 'pending' | 'subscribe'>
  readonly log: BaseLogger
  /** Messages that are not confirmed, at once. Default 1,000. */
  readonly window?: number
}

/** For whoever wants to know how it is. */
export interface RabbitState {
  readonly isUp: boolean
  /** Why events wait, in one line. */
  readonly trouble: string | undefined
  /** Events in the journal. */
  readonly pending: number
}

const firstDelayMs = 250
const longestDelayMs = 30_000
/** How often it is looked for what another process put into the journal. */
const pollMs = 1_000
/** A connection that lasted as long was a good one. */
const goodMs = 60_000
/** How long a stop waits for what is published to be confirmed. */
const confirmMs = 1_000

/**
 * Publishes what the journal keeps to RabbitMQ, in the order in which it came, and takes away what is confirmed.
 * Without a connection it tries for ever; what was not confirmed on the last one goes out again, with the same id.
 */
export class RabbitPublisher {
  readonly #options: RabbitOptions
  readonly #log: BaseLogger
  readonly #abort = new AbortController()
  readonly #aborted = once(this.#abort.signal, 'abort').then(() => undefined)
  readonly #unsubscribe: () => void
  readonly #timer: NodeJS.Timeout
  readonly #running: Promise<void>
  /** Customers whose queue does not take anything. */
  readonly #resting: Resting
  readonly #due: DueEvents
  readonly #differing = new Set<string>()
  #line: AmqpLine | undefined
  #attempt = 0
  /** Why there is no connection. */
  #failure: string | undefined = 'no connection yet'
  #reported: string | undefined
  #wakeUp: () => void = () => undefined
  #drains: (() => void)[] = []

  constructor(options: RabbitOptions) {
    this.#options = options
    this.#log = options.log
    const wakeUp = (): void => {
      this.#wakeUp()
    }
    this.#resting = new Resting(() => {
      this.#due.rewind()
    })
    this.#due = new DueEvents({
      events: options.events,
      log: options.log,
      window: options.window ?? 1_000,
      isResting: (customer) => this.#resting.has(customer),
      onMore: wakeUp,
    })
    this.#unsubscribe = options.events.subscribe(wakeUp)
    this.#timer = setInterval(() => {
      this.#due.look()
    }, pollMs).unref()
    this.#running = this.#run()
  }

  get state(): RabbitState {
    const { pending } = this.#options.events
    const blockedBy = this.#line?.blockedBy
    const trouble =
      this.#failure ??
      (blockedBy === undefined ? this.#resting.trouble : `RabbitMQ takes nothing: ${blockedBy}`)
    return { isUp: this.#line !== undefined, trouble, pending }
  }

  /** Waits until all is published and nothing is in the journal, or until `signal` says that it is enough. */
  async drain(signal: AbortSignal): Promise<boolean> {
    const over = once(signal, 'abort')
    while (this.#options.events.pending > 0 && !signal.aborted && !this.#abort.signal.aborted)
      await Promise.race([over, new Promise<void>((resolve) => this.#drains.push(resolve))])
    return this.#options.events.pending === 0
  }

  /** What is left stays in the journal, which must be open until then. */
  async close(): Promise<void> {
    this.#abort.abort()
    clearInterval(this.#timer)
    this.#unsubscribe()
    this.#resting.close()
    this.#wakeUp()
    // It may wait for an answer of RabbitMQ that does not come.
    await Promise.race([this.#running, delay(2 * confirmMs, undefined, { ref: false })])
    await this.#line?.close()
    await this.#running
    await this.#due.close()
    this.#tellDrained()
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort
    while (!signal.aborted) {
      const openedAt = performance.now()
      try {
        const line = await this.#open()
        if (line === undefined) return
        this.#setLine(line)
        await this.#publishOn(line)
        await line.close()
        this.#due.leaveAll()
        this.#setFailure(await line.ended)
      } catch (error) {
        this.#setFailure(error instanceof Error ? error.message : String(error))
      }
      if (performance.now() - openedAt > goodMs) this.#attempt = 0
      const ms = Math.min(firstDelayMs * 2 ** this.#attempt++, longestDelayMs) * (0.5 + Math.random() / 2)
      await delay(ms, undefined, { signal }).catch(() => undefined)
    }
  }

  /** @returns undefined when it is over meanwhile */
  async #open(): Promise<AmqpLine | undefined> {
    const opening = AmqpLine.open(this.#options.url, this.#log, this.#differing)
    const line = await Promise.race([opening, this.#aborted])
    if (line === undefined) opening.then((late) => late.close()).catch(() => undefined)
    return line
  }

  async #publishOn(line: AmqpLine): Promise<void> {
    const { signal } = this.#abort
    line.onUnblocked = () => {
      this.#wakeUp()
    }
    void line.ended.then(() => {
      this.#wakeUp()
    })
    while (!line.isEnded && !signal.aborted) {
      const woken = this.#woken()
      const due = line.blockedBy === undefined ? await this.#due.take() : []
      if (due.length === 0) {
        this.#tellDrained()
        await woken
        continue
      }
      await this.#ensureQueues(line, due)
      line.cork()
      for (const { key, message } of due)
        if (this.#resting.has(message.customer)) this.#due.leave(key)
        else
          line.publish(message, (outcome) => {
            this.#settle(line, key, message, outcome)
          })
      line.flush()
    }
    await this.#confirmed(line)
  }

  /** What was published shortly before a stop is confirmed at once, mostly. */
  async #confirmed(line: AmqpLine): Promise<void> {
    const late = AbortSignal.timeout(confirmMs)
    late.addEventListener('abort', () => {
      this.#wakeUp()
    })
    while (this.#due.unconfirmed > 0 && !line.isEnded && !late.aborted) await this.#woken()
  }

  #woken(): Promise<void> {
    return new Promise((resolve) => {
      this.#wakeUp = resolve
    })
  }

  /** A customer whose queue cannot be had waits; the others do not. */
  async #ensureQueues(line: AmqpLine, due: readonly Due[]): Promise<void> {
    const missing = new Set(
      due.map(({ message }) => message.customer).filter((customer) => !line.hasQueue(customer)),
    )
    await Promise.all(
      Array.from(missing, (customer) =>
        line.ensureQueue(customer).catch((error: unknown) => {
          if (!line.isEnded) this.#rest(customer, error instanceof Error ? error.message : String(error))
        }),
      ),
    )
  }

  #settle(line: AmqpLine, key: string, { customer }: Message, outcome: Outcome): void {
    if (outcome === 'confirmed') {
      this.#attempt = 0
      this.#resting.isWell(customer)
      this.#due.done(key)
      return
    }
    this.#due.leave(key)
    if (outcome === 'returned') line.forgetQueue(customer)
    this.#rest(
      customer,
      outcome === 'returned' ? 'the queue is not there any more' : 'RabbitMQ refuses events',
    )
  }

  #rest(customer: string, reason: string): void {
    if (this.#resting.rest(customer, `${queueOf(customer)}: ${reason}`))
      this.#log.warn({ queue: queueOf(customer), reason }, 'a queue does not take events: they wait')
  }

  #setLine(line: AmqpLine): void {
    this.#line = line
    this.#failure = undefined
    if (this.#reported !== undefined)
      this.#log.info({ pending: this.#options.events.pending }, 'RabbitMQ takes events again')
    this.#reported = undefined
    this.#due.rewind()
  }

  /** Said once, and again when it is another one. */
  #setFailure(reason: string): void {
    this.#line = undefined
    if (this.#abort.signal.aborted) return
    this.#failure = `RabbitMQ is away: ${reason}`
    if (this.#reported === reason) return
    this.#reported = reason
    const { pending } = this.#options.events
    this.#log.warn({ reason, pending }, 'RabbitMQ is away: events wait, trying again for ever')
  }

  #tellDrained(): void {
    for (const drained of this.#drains.splice(0)) drained()
  }
}
