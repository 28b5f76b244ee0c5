import { once } from 'node:events'
import net from 'node:net'

/** A line to a server on which a test sees what is asked, and can make the answers late. */
export class WatchedLine {
  /** What the client sent, a chunk each. */
  requests: string[] = []
  /** Called when an answer has been handed to the client's socket. */
  onAnswered: (() => void) | undefined
  /** Answers on their way, when they are held back. */
  #held: (() => void)[] | undefined
  readonly #sockets = new Set<net.Socket>()
  #port = 0

  /** @param url of the server; `line.url(url)` is the same over this line */
  static async to(t: { teardown(end: () => Promise<void>): void }, url: string): Promise<WatchedLine> {
    const line = new WatchedLine()
    const { hostname, port } = new URL(url)
    const server = net.createServer((near) => {
      line.#connect(near, net.connect({ host: hostname, port: Number(port), noDelay: true }))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    line.#port = (server.address() as net.AddressInfo).port
    t.teardown(async () => {
      server.close()
      for (const socket of line.#sockets) socket.destroy()
      await once(server, 'close')
    })
    return line
  }

  url(url: string): string {
    const through = new URL(url)
    through.hostname = '127.0.0.1'
    through.port = String(this.#port)
    return through.href
  }

  /** From now on no answer arrives, though the server gives them. */
  hold(): void {
    this.#held ??= []
  }

  /** What was held arrives now. */
  release(): void {
    const held = this.#held ?? []
    this.#held = undefined
    for (const deliver of held) deliver()
  }

  #connect(near: net.Socket, far: net.Socket): void {
    near.setNoDelay(true)
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        this.#sockets.delete(socket)
        other.destroy()
      })
    }
    near.on('data', (chunk) => {
      this.requests.push(chunk.toString())
      far.write(chunk)
    })
    far.on('data', (chunk) => {
      const deliver = () => {
        near.write(chunk)
        this.onAnswered?.()
      }
      if (this.#held) this.#held.push(deliver)
      else deliver()
    })
  }
}
