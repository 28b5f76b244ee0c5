import { randomBytes } from 'node:crypto'
import { connect, type Channel, type ChannelModel } from 'amqplib'
import type { Test } from 'tap'
import { queueOf } from '../../src/events/amqp-line.js'
import type { CallEvent } from '../../src/events/call-event.js'

/** A RabbitMQ for tests; there is no embedded one. */
export const amqpUrl = process.env.TEST_AMQP_URL ?? ''
export const withoutRabbit = amqpUrl === '' && 'TEST_AMQP_URL is not set: needs a RabbitMQ'

/** A customer that nobody else has: its queue is there for this test alone. */
export function testCustomer(): string {
  return `test_${randomBytes(8).toString('hex')}`
}

export interface Received {
  readonly event: CallEvent
  readonly properties: Readonly<Record<string, unknown>>
}

/** A program of somebody else's that reads a customer's queue. */
export class Consumer {
  readonly received: Received[] = []
  readonly channel: Channel
  readonly #model: ChannelModel
  readonly #queue: string
  #onMessage: () => void = () => undefined

  private constructor(model: ChannelModel, channel: Channel, queue: string) {
    this.#model = model
    this.channel = channel
    this.#queue = queue
  }

  /** The customer's queue goes at the end. */
  static async open(t: Pick<Test, 'teardown'>, customer: string): Promise<Consumer> {
    const model = await connect(amqpUrl)
    const channel = await model.createChannel()
    const consumer = new Consumer(model, channel, queueOf(customer))
    t.teardown(async () => {
      await channel.deleteQueue(queueOf(customer))
      await model.close()
    })
    return consumer
  }

  /** Makes the queue as the publisher would, or otherwise. */
  async declare(options: { durable?: boolean; maxLength?: number; overflow?: string } = {}): Promise<void> {
    await this.channel.assertQueue(this.#queue, { durable: true, ...options })
  }

  async read(): Promise<void> {
    await this.channel.consume(this.#queue, (message) => {
      if (message === null) return
      const { content, properties } = message
      this.received.push({
        event: JSON.parse(content.toString()) as CallEvent,
        properties: properties as unknown as Record<string, unknown>,
      })
      this.channel.ack(message)
      this.#onMessage()
    })
  }

  /** Resolves when so many different events have come. @returns them, each as it came first */
  async until(count: number): Promise<CallEvent[]> {
    while (this.different.length < count)
      await new Promise<void>((resolve) => {
        this.#onMessage = resolve
      })
    return this.different
  }

  /** Each as it came first. */
  get different(): CallEvent[] {
    const seen = new Set<string>()
    return this.received.flatMap(({ event }) => {
      if (seen.has(event.id)) return []
      seen.add(event.id)
      return [event]
    })
  }

  /** How many wait in the queue; -1: there is none. */
  async waiting(): Promise<number> {
    const channel = await this.#model.createChannel()
    channel.on('error', () => undefined)
    const { messageCount } = await channel.checkQueue(this.#queue).catch(() => ({ messageCount: -1 }))
    return messageCount
  }

  async deleteQueue(): Promise<void> {
    await this.channel.deleteQueue(this.#queue)
  }
}
