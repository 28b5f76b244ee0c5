import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'

import type { CallClock } from './clock.js'
import type { ServerCommand } from './command-parser.js'
import { runInboundCommand } from './commands.js'
import { EventSocket } from './event-socket.js'
import type { SimulatedSwitch } from './switch.js'

export interface InboundOptions {
  readonly password: string
  /** Default 127.0.0.1. */
  readonly host?: string
  /** Default 0: any that is free. */
  readonly port?: number
}

/** One connection that somebody opened to the switch. It hears of all channels. */
export class InboundSocket extends EventSocket {
  readonly ownUuid = undefined
  isAuthenticated = false
  readonly #port: InboundPort

  constructor(port: InboundPort, socket: Socket) {
    super(port.sw, socket)
    this.#port = port
    port.sockets.add(this)
    this.write('Content-Type: auth/request\n\n')
  }

  get clock(): CallClock {
    return this.sw.clock
  }

  /** @returns whether this is the password */
  authenticate(password: string): boolean {
    this.isAuthenticated = password === this.#port.password
    return this.isAuthenticated
  }

  protected carryOut(command: ServerCommand): void {
    runInboundCommand(this, command)
  }

  protected onActivity(): void {
    this.sw.clock.sync()
  }

  protected onClosed(): void {
    this.#port.sockets.delete(this)
  }

  protected leave(): void {
    this.sw.openSockets.delete(this)
  }
}

/** mod_event_socket's own port. */
export class InboundPort {
  readonly sw: SimulatedSwitch
  readonly host: string
  /** Those that are open. */
  readonly sockets = new Set<InboundSocket>()
  /** What `auth` must say; may change. */
  password: string
  readonly #server: Server
  #isSilent = false

  static async listen(sw: SimulatedSwitch, options: InboundOptions): Promise<InboundPort> {
    const port = new InboundPort(sw, options)
    await new Promise<void>((resolve, reject) => {
      port.#server.once('error', reject)
      port.#server.listen(options.port ?? 0, port.host, resolve)
    })
    return port
  }

  private constructor(sw: SimulatedSwitch, { password, host = '127.0.0.1' }: InboundOptions) {
    this.sw = sw
    this.host = host
    this.password = password
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      const inbound = new InboundSocket(this, socket)
      if (this.#isSilent) inbound.freeze(true)
    })
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /**
   * Silent, the switch still accepts and keeps connections, but reads and says nothing, as a process that is
   * stopped. What it has to say meanwhile comes when it is no longer silent.
   */
  set isSilent(isSilent: boolean) {
    this.#isSilent = isSilent
    for (const socket of this.sockets) socket.freeze(isSilent)
  }

  get isSilent(): boolean {
    return this.#isSilent
  }

  /** Drops all connections; new ones are accepted. */
  cut(): void {
    for (const socket of [...this.sockets]) socket.destroy()
  }

  /** New connections are refused, those that stand are dropped. */
  async close(): Promise<void> {
    this.sw.ports.delete(this)
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve()
      })
    })
    this.cut()
    await closed
  }
}
