import type { CallEvent } from './call-event.js'

/** Of the text in the journal, so that a release can tell what another one wrote. */
const version = 1
const body = ',"event":{'

/** An event on its way to RabbitMQ. */
export interface Message {
  readonly id: string
  readonly customer: string
  /** Its events go out one after the other. */
  readonly call: string
  readonly status: string
  /** s since 1970. */
  readonly timestamp: number
  /** The event, as JSON. */
  readonly json: string
}

/** What the journal keeps: what is asked for at each delivery first, so that the rest need not be read. */
export function encodeEvent(event: CallEvent): string {
  const { id, customer_id: customer, call_id: call, call_status: status } = event
  const timestamp = Math.floor(Date.parse(event.timestamp) / 1000)
  const head = JSON.stringify({ v: version, id, customer, call, status, timestamp })
  return `${head.slice(0, -1)},"event":${JSON.stringify(event)}}`
}

/** @returns undefined for what is damaged, or a newer release wrote */
export function decodeEvent(text: string): Message | undefined {
  // It is in no text of the head: there each quotation mark has a backslash before it.
  const end = text.indexOf(body)
  if (end < 0) return undefined
  try {
    const head = JSON.parse(`${text.slice(0, end)}}`) as Record<string, unknown>
    const { v, id, customer, call, status, timestamp } = head
    if (
      v !== version ||
      typeof id !== 'string' ||
      typeof customer !== 'string' ||
      typeof call !== 'string' ||
      typeof status !== 'string' ||
      typeof timestamp !== 'number'
    )
      return undefined
    return { id, customer, call, status, timestamp, json: text.slice(end + body.length - 1, -1) }
  } catch {
    return undefined
  }
}
