import { once } from 'node:events'
import net from 'node:net'
import type { Destination } from './switch/dialplan.js'

/** A line to a server that a test can cut, and mend on the same port: what a client sees of an outage. */
export class Line {
  readonly #target: { host: string; port: number }
  readonly #sockets = new Set<net.Socket>()
  #server: net.Server | undefined
  #port = 0

  private constructor(target: { host: string; port: number }) {
    this.#target = target
  }

  /** @param url of the server; `line.url(url)` is the same over this line */
  static async to(t: { teardown(end: () => Promise<void>): void }, url: string): Promise<Line> {
    const { hostname: host, port } = new URL(url)
    const line = new Line({ host, port: Number(port) })
    await line.mend()
    t.teardown(() => line.cut())
    return line
  }

  url(url: string): string {
    const through = new URL(url)
    through.hostname = '127.0.0.1'
    through.port = String(this.#port)
    return through.href
  }

  /** Where the dialplan's `socket` reaches the server over this line. */
  get address(): Destination {
    return { host: '127.0.0.1', port: this.#port }
  }

  /** Breaks every connection and refuses new ones. */
  async cut(): Promise<void> {
    const server = this.#server
    if (!server) return
    this.#server = undefined
    server.close()
    for (const socket of this.#sockets) socket.destroy()
    await once(server, 'close')
  }

  async mend(): Promise<void> {
    if (this.#server !== undefined) return
    this.#server = net.createServer((near) => {
      const far = net.connect(this.#target)
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
        socket.pipe(other)
      }
    })
    this.#server.listen(this.#port, '127.0.0.1')
    await once(this.#server, 'listening')
    this.#port = (this.#server.address() as net.AddressInfo).port
  }
}
