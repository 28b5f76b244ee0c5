import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

import { connect, credentials, type Channel, type ChannelModel, type ConfirmChannel } from 'amqplib'
import type { BaseLogger } from 'pino'

import { codeOf, connectReason, preconditionFailed, reasonOf } from './amqp-reason.js'
import type { Message } from './entry.js'

/** A direct exchange; each customer's durable queue is bound to it by its own name. */
export const exchange = 'call.events'

export function queueOf(customer: string): string {
  return `call.events.${customer}`
}

/**
 * - `confirmed`: RabbitMQ has it for good.
 * - `refused`: it could not take it (`basic.nack`): the queue is full and set to refuse, or it is in trouble.
 * - `returned`: no queue is there for it.
 */
export type Outcome = 'confirmed' | 'refused' | 'returned'

const connectMs = 5_000
const closeMs = 1_000
/** A connection that is silent for twice as long, in s, is dead. */
const heartbeatSeconds = 10
/** What the library calls `basic.nack`; its other error is that the channel is closed. */
const nacked = 'message nacked'

/** One connection to RabbitMQ, from its opening to its end: it is never mended, the next one is another object. */
export class AmqpLine {
  readonly #model: ChannelModel
  readonly #publishing: ConfirmChannel
  readonly #log: BaseLogger
  /** Queues that somebody has declared otherwise, of which that was said. */
  readonly #differing: Set<string>
  /** Of queues, on a channel of its own: RabbitMQ closes it when one is refused. */
  #declaring: Channel | undefined
  #lastDeclared: Promise<unknown> = Promise.resolve()
  readonly #queues = new Map<string, Promise<void>>()
  /** Ids of messages that came back: their confirmation follows. */
  readonly #returned = new Set<string>()
  #blockedBy: string | undefined
  #isEnded = false
  /** Why it ended, in one line. */
  readonly ended: Promise<string>
  #end: (reason: string) => void = () => undefined
  /** Is called when it takes messages again. */
  onUnblocked: () => void = () => undefined

  private constructor(
    model: ChannelModel,
    publishing: ConfirmChannel,
    log: BaseLogger,
    differing: Set<string>,
  ) {
    this.#model = model
    this.#publishing = publishing
    this.#log = log
    this.#differing = differing
    this.ended = new Promise((resolve) => {
      this.#end = (reason) => {
        this.#isEnded = true
        resolve(reason)
      }
    })
    model.on('error', (error) => {
      this.#end(reasonOf(error))
    })
    model.on('close', (error) => {
      this.#end(error === undefined ? 'it was closed' : reasonOf(error))
    })
    model.on('blocked', (reason) => {
      this.#blockedBy = reason
    })
    model.on('unblocked', () => {
      this.#blockedBy = undefined
      this.onUnblocked()
    })
    publishing.on('error', (error) => {
      this.#end(reasonOf(error))
    })
    publishing.on('close', () => {
      this.#end('its channel was closed')
    })
    publishing.on('return', ({ properties }) => {
      this.#returned.add(String(properties.messageId))
    })
  }

  /**
   * @param url `amqp:` or `amqps:`
   * @param differing queues of which it was said that somebody has declared them otherwise; more are added
   * @throws Error in one line, without the password
   */
  static async open(url: string, log: BaseLogger, differing: Set<string>): Promise<AmqpLine> {
    let model: ChannelModel
    try {
      // Room for a window of messages: what is corked must not make the library wait for the socket.
      const room = { writableHighWaterMark: 2 ** 20 }
      model = await connect(withHeartbeat(url), {
        ...room,
        noDelay: true,
        timeout: connectMs,
        clientProperties: { connection_name: 'linger' },
        ...credentialsOf(url),
      })
    } catch (error) {
      throw new Error(connectReason(error, url), { cause: error })
    }
    // Whatever happens from here on is told by a call that fails.
    const ignore = (): void => undefined
    model.on('error', ignore)
    try {
      const publishing = await model.createConfirmChannel()
      publishing.on('error', ignore)
      await declareExchange(model, log)
      return new AmqpLine(model, publishing, log, differing)
    } catch (error) {
      destroy(model)
      throw new Error(reasonOf(error), { cause: error })
    }
  }

  get isEnded(): boolean {
    return this.#isEnded
  }

  /** Why RabbitMQ takes nothing at the moment: `low on memory`, `low on disk`. */
  get blockedBy(): string | undefined {
    return this.#blockedBy
  }

  /**
   * What is written between this and `flush` goes out by few writes: one for each message is dear.
   */
  cork(): void {
    socketOf(this.#model).cork()
  }

  flush(): void {
    // The library hands messages to the socket at the next turn.
    setImmediate(() => {
      setImmediate(() => {
        socketOf(this.#model).uncork()
      })
    })
  }

  /** @param settled is called once, unless the connection ends before */
  publish({ id, customer, status, timestamp, json }: Message, settled: (outcome: Outcome) => void): void {
    if (this.#isEnded) return
    const properties = {
      persistent: true,
      mandatory: true,
      contentType: 'application/json',
      contentEncoding: 'utf-8',
      messageId: id,
      timestamp,
      type: status,
      appId: 'linger',
    }
    const confirm = (error: unknown): void => {
      if (error === null) settled(this.#returned.delete(id) ? 'returned' : 'confirmed')
      else if ((error as Error).message === nacked) settled('refused')
    }
    try {
      this.#publishing.publish(exchange, queueOf(customer), Buffer.from(json), properties, confirm)
    } catch (error) {
      this.#end(reasonOf(error))
    }
  }

  /** Whether the customer's queue is known to be there. */
  hasQueue(customer: string): boolean {
    return this.#queues.has(customer)
  }

  /**
   * Sees to it that the customer's queue is there.
   *
   * @throws Error in one line
   */
  ensureQueue(customer: string): Promise<void> {
    const known = this.#queues.get(customer)
    if (known !== undefined) return known
    // One after the other: a refused one takes along what else is asked for on the channel.
    const declared = this.#lastDeclared.then(() => this.#declareQueue(queueOf(customer)))
    this.#lastDeclared = declared.catch(() => {
      this.#queues.delete(customer)
    })
    this.#queues.set(customer, declared)
    return declared
  }

  /** It is not there any more. */
  forgetQueue(customer: string): void {
    this.#queues.delete(customer)
  }

  /** Ends it in an orderly way, if RabbitMQ answers soon. */
  async close(): Promise<void> {
    if (!this.#isEnded) {
      const closed = this.#model.close().catch(() => undefined)
      await Promise.race([closed, delay(closeMs, undefined, { ref: false })])
      this.#end('it was closed')
    }
    destroy(this.#model)
  }

  async #declareQueue(queue: string): Promise<void> {
    try {
      await (await this.#declarer()).assertQueue(queue, { durable: true })
    } catch (error) {
      // It can be used all the same, and whoever made it so wanted it.
      if (codeOf(error) !== preconditionFailed) throw new Error(reasonOf(error), { cause: error })
      const about = { queue, reason: reasonOf(error) }
      if (!this.#differing.has(queue))
        this.#log.warn(about, 'a queue for events is declared otherwise by somebody: it is used as it is')
      this.#differing.add(queue)
    }
    try {
      await (await this.#declarer()).bindQueue(queue, exchange, queue)
    } catch (error) {
      throw new Error(reasonOf(error), { cause: error })
    }
  }

  async #declarer(): Promise<Channel> {
    if (this.#declaring !== undefined) return this.#declaring
    const channel = await this.#model.createChannel()
    this.#declaring = channel
    channel.on('error', () => undefined)
    channel.on('close', () => {
      this.#declaring = undefined
    })
    return channel
  }
}

async function declareExchange(model: ChannelModel, log: BaseLogger): Promise<void> {
  const channel = await model.createChannel()
  channel.on('error', () => undefined)
  try {
    await channel.assertExchange(exchange, 'direct', { durable: true })
  } catch (error) {
    const reason = reasonOf(error)
    // One of another kind would give the events of a customer to others.
    if (codeOf(error) !== preconditionFailed || reason.includes("'type'")) throw error
    log.warn(
      { exchange, reason },
      'the exchange for events is declared otherwise by somebody: it is used as it is',
    )
    return
  }
  await channel.close()
}

/** Percent-encoded UTF-8, as a URL has it. */
function credentialsOf(url: string): { credentials?: ReturnType<typeof credentials.plain> } {
  const { username, password } = new URL(url)
  if (username === '' && password === '') return {}
  return { credentials: credentials.plain(decodeURIComponent(username), decodeURIComponent(password)) }
}

function withHeartbeat(url: string): string {
  const asked = new URL(url)
  if (!asked.searchParams.has('heartbeat')) asked.searchParams.set('heartbeat', String(heartbeatSeconds))
  return asked.href
}

/** The library has no word for it. */
function socketOf(model: ChannelModel): Socket {
  return (model.connection as unknown as { readonly stream: Socket }).stream
}

function destroy(model: ChannelModel): void {
  // Of an end without an error the library hears nothing, and its timers go on.
  socketOf(model).destroy(new Error('it was closed'))
}
