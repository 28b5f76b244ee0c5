import { setTimeout as delay } from 'node:timers/promises'
import { connect } from 'amqplib'
import { queueOf } from '../../src/events/amqp-line.js'
import { lastSequence, type CallEvent } from '../../src/events/call-event.js'
import type { CommittedCall } from './truth.js'
import { tenants } from './tenants.js'

/** How long events may take to RabbitMQ when all of it is there, in ms. */
const deliveryMs = 45_000
/** After the last one. */
const quietMs = 3_000

/** What is in the tenants' queues at the end, in its order. */
export class Published {
  readonly events: CallEvent[] = []

  /** Reads the queues until each of these calls has the event of its end, or it has taken too long. */
  async read(url: string, callUuids: () => Promise<readonly string[]>): Promise<void> {
    const model = await connect(url)
    try {
      const channel = await model.createChannel()
      for (const { id } of tenants) {
        await channel.assertQueue(queueOf(id), { durable: true })
        const take = (message: { readonly content: Buffer } | null): void => {
          if (message !== null) this.events.push(JSON.parse(message.content.toString()) as CallEvent)
        }
        await channel.consume(queueOf(id), take, { noAck: true })
      }
      const end = performance.now() + deliveryMs
      const expected = await callUuids()
      while (performance.now() < end) {
        const ended = new Set(this.events.filter(isEnd).map(({ call_id }) => call_id))
        if (expected.every((uuid) => ended.has(uuid))) break
        await delay(250)
      }
      await delay(quietMs)
    } finally {
      await model.close()
    }
  }

  /** What is not as it should be, a line each. @param committed calls with a CDR */
  faults(committed: ReadonlyMap<string, CommittedCall>): string[] {
    const first = new Map<string, CallEvent>()
    const faults: string[] = []
    for (const event of this.events) {
      const known = first.get(event.id)
      if (known === undefined) first.set(event.id, event)
      else if (known.call_status !== event.call_status)
        faults.push(`${event.id} is ${known.call_status} and ${event.call_status}`)
    }
    const calls = groups(first.values(), ({ call_id }) => call_id)
    for (const [uuid, { tenant }] of committed) {
      const own = calls.get(uuid) ?? []
      const ends = own.filter(isEnd).length
      const wanted = tenant === null ? 0 : 1
      if (ends !== wanted) faults.push(`${uuid} has ${ends} events of its end, not ${wanted}`)
      faults.push(...gaps(uuid, own))
    }
    for (const uuid of calls.keys()) if (!committed.has(uuid)) faults.push(`${uuid} has events, but no CDR`)
    return faults
  }

  get different(): number {
    return new Set(this.events.map(({ id }) => id)).size
  }
}

/** What one node told of a call comes in its order, and nothing is missing before what is there. */
function gaps(uuid: string, events: readonly CallEvent[]): string[] {
  const changes = events.filter((event) => !isEnd(event)).map(({ sequence }) => sequence)
  const byNode = groups(changes, (sequence) => Math.floor(sequence / 1_000))
  return [...byNode].flatMap(([takeovers, sequences]) => {
    const wanted = sequences.map((_, i) => takeovers * 1_000 + 1 + i)
    return sequences.join() === wanted.join() ? [] : [`${uuid} has the events ${sequences.join(', ')}`]
  })
}

function isEnd({ sequence }: CallEvent): boolean {
  return sequence === lastSequence
}

function groups<K, T>(all: Iterable<T>, keyOf: (one: T) => K): Map<K, T[]> {
  const found = new Map<K, T[]>()
  for (const one of all) {
    const key = keyOf(one)
    const known = found.get(key)
    if (known === undefined) found.set(key, [one])
    else known.push(one)
  }
  return found
}
