import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { bridgeMessage, handshake } from '../scenario.js'
import type { BenchServer } from './server.js'

/**
 * The least that a parsing server does: frames by a plain loop, every event by JSON.parse. No caps, no
 * errors, no deadlines.
 */
export async function startBare(): Promise<BenchServer> {
  const server = createServer({ noDelay: true }, (socket) => {
    new BareCall(socket)
  })
  server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 })
  await once(server, 'listening')
  return { port: (server.address() as AddressInfo).port, close: () => server.close() }
}

class BareCall {
  readonly #socket: Socket
  #rest: Buffer | undefined

  constructor(socket: Socket) {
    this.#socket = socket
    socket.on('error', () => undefined)
    socket.on('data', (chunk) => {
      this.#read(chunk)
    })
    socket.write(handshake + bridgeMessage)
  }

  #read(chunk: Buffer): void {
    let bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk])
    for (;;) {
      const blank = bytes.indexOf('\n\n')
      if (blank < 0) break
      const head = new Map<string, string>()
      for (const line of bytes.toString('utf8', 0, blank).split('\n')) {
        const colon = line.indexOf(': ')
        head.set(line.slice(0, colon), line.slice(colon + 2))
      }
      const end = blank + 2 + Number(head.get('Content-Length') ?? 0)
      if (bytes.length < end) break
      if (head.get('Content-Type') === 'text/event-json') {
        const event = JSON.parse(bytes.toString('utf8', blank + 2, end)) as Record<string, string>
        if (event['Event-Name'] === 'CHANNEL_HANGUP_COMPLETE') this.#socket.write('exit\n\n')
      }
      bytes = bytes.subarray(end)
    }
    // A copy: a view of a few bytes would keep the whole chunk.
    this.#rest = bytes.length === 0 ? undefined : Buffer.from(bytes)
  }
}
