import { readFileSync } from 'node:fs'

import type { HeaderValue } from './headers.js'

/** A recorded frame: an event in any of its forms, or a reply, an API response, a notice. */
export interface RecordedFrame {
  /** The frame's own headers, undecoded. */
  readonly head: ReadonlyMap<string, string>
  readonly body: string
  /** The event that it carries, decoded; CHANNEL_DATA (the reply to `connect`) too. */
  readonly event?: ReadonlyMap<string, HeaderValue>
}

export type RecordedStep =
  | { readonly from: 'server'; readonly text: string }
  | { readonly from: 'switch'; readonly frame: RecordedFrame }
  | { readonly from: 'server-closes' | 'closed' }

interface RecordedLine {
  readonly from: string
  readonly text?: string
}

/** @param name a transcript in test/recordings/transcripts, without `.jsonl` */
export function readTranscript(name: string): RecordedStep[] {
  const file = new URL(`../../../../test/recordings/transcripts/${name}.jsonl`, import.meta.url)
  const steps: RecordedStep[] = []
  const frames = new FrameReader()
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    if (line === '') continue
    const { from, text = '' } = JSON.parse(line) as RecordedLine
    if (from === 'freeswitch')
      for (const frame of frames.push(Buffer.from(text))) steps.push({ from: 'switch', frame })
    else if (from === 'server') steps.push({ from, text })
    else if (from === 'server-closes' || from === 'closed') steps.push({ from })
    else throw new Error(`${name}: unexpected ${from}`)
  }
  return steps
}

/** A request that FreeSWITCH posted. */
export interface PostedRequest {
  /** `POST /freeswitch/cdr?uuid=… HTTP/1.1` */
  readonly line: string
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
}

/** @param name a request in test/recordings/http, without `.txt` */
export function readPosted(name: string): PostedRequest {
  const file = new URL(`../../../../test/recordings/http/${name}.txt`, import.meta.url)
  const text = readFileSync(file, 'utf8')
  const blank = text.indexOf('\n\n')
  const [line = '', ...lines] = text.slice(0, blank).split('\n')
  const headers = lines.map((header): [string, string] => {
    const colon = header.indexOf(': ')
    return [header.slice(0, colon), header.slice(colon + 2)]
  })
  return { line, headers: new Map(headers), body: text.slice(blank + 2) }
}

/** What FreeSWITCH wrote, as frames. Trusting and simple: it reads recordings and the simulated switch. */
export class FrameReader {
  #rest = Buffer.alloc(0)

  push(chunk: Buffer): RecordedFrame[] {
    this.#rest = Buffer.concat([this.#rest, chunk])
    const frames: RecordedFrame[] = []
    for (;;) {
      const blank = this.#rest.indexOf('\n\n')
      if (blank < 0) return frames
      const headText = this.#rest.toString('utf8', 0, blank)
      const head = new Map<string, string>()
      for (const line of headText.split('\n')) {
        const colon = line.indexOf(': ')
        head.set(line.slice(0, colon), line.slice(colon + 2))
      }
      const isChannelData = head.get('Event-Name') === 'CHANNEL_DATA'
      const end = blank + 2 + (isChannelData ? 0 : Number(head.get('Content-Length') ?? 0))
      if (this.#rest.length < end) return frames
      const body = this.#rest.toString('utf8', blank + 2, end)
      this.#rest = this.#rest.subarray(end)
      const event = isChannelData ? plainEvent(headText) : eventIn(head.get('Content-Type'), body)
      frames.push(event === undefined ? { head, body } : { head, body, event })
    }
  }
}

function eventIn(contentType: string | undefined, body: string): Map<string, HeaderValue> | undefined {
  if (contentType === 'text/event-json')
    return new Map(Object.entries(JSON.parse(body) as Record<string, HeaderValue>))
  if (contentType === 'text/event-plain') return plainEvent(body)
  if (contentType === 'text/event-xml') return xmlEvent(body)
  return undefined
}

function plainEvent(text: string): Map<string, HeaderValue> {
  const event = new Map<string, HeaderValue>()
  const [head = '', ...body] = text.split('\n\n')
  for (const line of head.split('\n')) {
    const colon = line.indexOf(': ')
    const value = decodeURIComponent(line.slice(colon + 2))
    event.set(line.slice(0, colon), value.startsWith('ARRAY::') ? value.slice(7).split('|:') : value)
  }
  if (body.join('\n\n') !== '') event.set('_body', body.join('\n\n'))
  return event
}

function xmlEvent(text: string): Map<string, HeaderValue> {
  const event = new Map<string, HeaderValue>()
  let previous = ''
  for (const [, name = '', encoded = ''] of text.matchAll(/<([\w-]+)>([^<]*)<\/\1>/g)) {
    const value = decodeURIComponent(encoded)
    // Values of one header stand next to each other; Hangup-Cause is written in two places.
    event.set(name, name === previous ? [event.get(name) ?? [], value].flat() : value)
    previous = name
  }
  return event
}
