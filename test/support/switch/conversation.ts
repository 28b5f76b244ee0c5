import { createServer, type AddressInfo, type Socket } from 'node:net'

import type { Test } from 'tap'

import type { Destination } from './dialplan.js'
import { FrameReader, type RecordedFrame } from './recordings.js'

/** One connection of a call, seen from its server. */
export class Conversation {
  readonly frames: RecordedFrame[] = []
  readonly #socket: Socket
  readonly #waiting: (() => void)[] = []

  constructor(socket: Socket) {
    this.#socket = socket
    const reader = new FrameReader()
    socket.on('data', (chunk) => {
      this.frames.push(...reader.push(chunk))
      for (const check of this.#waiting.splice(0)) check()
    })
  }

  send(text: string): void {
    this.#socket.write(text)
  }

  close(): void {
    this.#socket.destroy()
  }

  /** @returns the first frame, of those from `start` on, whose event or reply is this */
  async until(what: string, start = 0): Promise<RecordedFrame> {
    for (;;) {
      const found = this.frames.slice(start).find((frame) => nameOf(frame) === what)
      if (found !== undefined) return found
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
  }

  names(): string[] {
    return this.frames.map(nameOf)
  }
}

/** `CHANNEL_ANSWER`, `CHANNEL_EXECUTE playback`, `+OK`, `linger`, or the body of an API response */
function nameOf({ head, event, body }: RecordedFrame): string {
  const application = event?.get('Application') ?? ''
  if (event !== undefined) return `${String(event.get('Event-Name'))} ${String(application)}`.trim()
  return head.get('Reply-Text') ?? head.get('Content-Disposition') ?? body
}

/** An event socket server that says only what a test makes it say. */
export interface PlainServer {
  readonly to: Destination
  /** The next connection. */
  accept(): Promise<Conversation>
}

export async function listen(t: Test): Promise<PlainServer> {
  const arrived: Conversation[] = []
  const wanted: ((conversation: Conversation) => void)[] = []
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    const conversation = new Conversation(socket)
    const taker = wanted.shift()
    if (taker === undefined) arrived.push(conversation)
    else taker(conversation)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  return {
    to: { host: '127.0.0.1', port: (server.address() as AddressInfo).port },
    accept: () => {
      const conversation = arrived.shift()
      return conversation === undefined
        ? new Promise((resolve) => wanted.push(resolve))
        : Promise.resolve(conversation)
    },
  }
}
