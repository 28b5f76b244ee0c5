import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

import type { Test } from 'tap'

import type { Destination } from './dialplan.js'
import type { HeaderValue } from './headers.js'
import { FrameReader, type RecordedFrame } from './recordings.js'

/** One connection of a call, seen from its server, or one to the switch's own port. */
export class Conversation {
  readonly frames: RecordedFrame[] = []
  /** When the connection is gone, whoever closed it. */
  readonly closed: Promise<void>
  readonly #socket: Socket
  readonly #waiting: (() => void)[] = []

  constructor(socket: Socket) {
    this.#socket = socket
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        resolve()
      })
    })
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
  until(what: string, start = 0): Promise<RecordedFrame> {
    return this.#find((frame) => nameOf(frame) === what, start)
  }

  /** @returns the first event of this name about this channel */
  event(name: string, uuid: string): Promise<ReadonlyMap<string, HeaderValue>> {
    const isIt = ({ event }: RecordedFrame): boolean =>
      event?.get('Event-Name') === name && event.get('Unique-ID') === uuid
    return this.#find(isIt, 0).then(({ event }) => event ?? new Map<string, HeaderValue>())
  }

  /** Sends `api …`. @returns its output. One at a time */
  async api(command: string): Promise<string> {
    const start = this.frames.length
    this.send(`api ${command}\n\n`)
    const { body } = await this.#find(({ head }) => head.get('Content-Type') === 'api/response', start)
    return body
  }

  async #find(isIt: (frame: RecordedFrame) => boolean, start: number): Promise<RecordedFrame> {
    for (;;) {
      const found = this.frames.slice(start).find(isIt)
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

/** Connects to a switch's inbound port, says the password and subscribes. @param events without `event json ` */
export async function dialIn(
  t: Pick<Test, 'teardown'>,
  to: Destination,
  password: string,
  events?: string,
): Promise<Conversation> {
  const conversation = callUp(t, to)
  conversation.send(`auth ${password}\n\n`)
  await conversation.until('+OK accepted')
  if (events !== undefined) {
    conversation.send(`event json ${events}\n\n`)
    await conversation.until('+OK event listener enabled json')
  }
  return conversation
}

/** Connects to a switch's inbound port and says nothing. */
export function callUp(t: Pick<Test, 'teardown'>, { host, port }: Destination): Conversation {
  const socket = connect({ host, port })
  socket.on('error', () => undefined)
  t.teardown(() => socket.destroy())
  return new Conversation(socket)
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
