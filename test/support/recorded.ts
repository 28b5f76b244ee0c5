import { readdirSync, readFileSync } from 'node:fs'
import { Event } from '../../src/esl/event.js'
import { FrameParser } from '../../src/esl/parser.js'

const transcripts = new URL('../../../test/recordings/transcripts/', import.meta.url)

/** What FreeSWITCH sent in a transcript of an outbound socket: the reply to `connect`, then the events. */
export function recorded(name: string): { channel: Event; events: Event[] } {
  let channel: Event | undefined
  const events: Event[] = []
  const parser = new FrameParser(({ contentType, head, body }) => {
    if (head.startsWith('Event-Name: CHANNEL_DATA')) channel = Event.fromPlain(head)
    if (contentType === 'text/event-json') events.push(Event.fromJson(Buffer.from(body)))
    if (contentType === 'text/event-plain') events.push(Event.fromPlain(body.toString()))
    if (contentType === 'text/event-xml') events.push(Event.fromXml(body.toString()))
    return true
  })
  for (const line of readFileSync(new URL(`${name}.jsonl`, transcripts), 'utf8')
    .trimEnd()
    .split('\n')) {
    const { from, text = '' } = JSON.parse(line) as { from: string; text?: string }
    if (from === 'freeswitch') parser.push(Buffer.from(text))
  }
  if (channel === undefined) throw new Error(`${name} has no reply to connect`)
  return { channel, events }
}

/** The names of all transcripts of outbound sockets. */
export function outboundRecordings(): string[] {
  return readdirSync(transcripts)
    .map((file) => file.replace('.jsonl', ''))
    .filter((name) => !name.startsWith('inbound-'))
}
