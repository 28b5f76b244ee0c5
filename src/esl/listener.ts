import { createServer, type AddressInfo, type BlockList, type Server, type Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { api, connect, exit, linger, myevents, nixevent } from './command.js'
import { Connection, type ConnectionOptions } from './connection.js'
import { EslError } from './errors.js'
import { Event } from './event.js'

export interface ListenerOptions {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  /** Addresses that may open an event socket. */
  readonly allow: BlockList
  /** Calls at once; a further one is handed over as `isOverCapacity`. */
  readonly maxCalls: number
  /** How long FreeSWITCH keeps the session for us after its hangup, in seconds. */
  readonly lingerSeconds: number
  /** In ms, from accept to the channel's data. Default 10,000. */
  readonly handshakeTimeoutMs?: number
  /** In ms without a byte until the switch is asked whether the call is still there. Default 120,000. */
  readonly idleMs?: number
  readonly connection?: ConnectionOptions
  /** A call that is never refused for capacity, because it was ours before. */
  readonly isKnownCall?: (channel: Event) => boolean
  /** Lives as long as the call does; the connection is closed when it resolves. */
  readonly onCall: (call: IncomingCall) => Promise<void>
  /** What went wrong with a connection or escaped from `onCall`. */
  readonly onError: (error: Error, about: { remoteAddress: string; callUuid?: string }) => void
}

export interface IncomingCall {
  readonly connection: Connection
  /** The channel as it was when it reached the `socket` action: the reply to `connect`. */
  readonly channel: Event
  readonly isOverCapacity: boolean
}

/** The reason of a connection that a drain gave to the dialplan's next action: the call lives on elsewhere. */
export class Released extends EslError {
  constructor() {
    super('CALLER_GONE', 'the server drains: the call goes to the next action of its dialplan')
  }
}

/**
 * What `myevents` brings and no call of ours reads. Each event is matched against every connected socket
 * under one lock inside FreeSWITCH, and costs 6 to 9 kB on the wire.
 */
const unwantedEvents = [
  'CHANNEL_STATE',
  'CHANNEL_CALLSTATE',
  'CHANNEL_EXECUTE',
  'CHANNEL_PARK',
  'CHANNEL_UNPARK',
  'CHANNEL_OUTGOING',
  'CHANNEL_ORIGINATE',
  'CHANNEL_UUID',
  'CHANNEL_DATA',
  'DTMF',
  'TALK',
  'NOTALK',
]

/**
 * The outbound mode: FreeSWITCH connects, once per call, and we speak first (recording
 * one-write-handshake). A socket that is accepted is always `connect`ed: closed before that, its channel
 * parks for ever.
 */
export class Listener {
  readonly #options: ListenerOptions
  readonly #server: Server
  readonly #connections = new Map<Connection, string | undefined>()
  readonly #sweep: NodeJS.Timeout
  #calls = 0
  #isDraining = false
  #onEmpty: (() => void) | undefined

  private constructor(options: ListenerOptions) {
    this.#options = options
    this.#server = createServer({ noDelay: true }, (socket) => {
      this.#accept(socket)
    })
    const idleMs = options.idleMs ?? 120_000
    this.#sweep = setInterval(() => {
      this.#probeIdle(idleMs)
    }, idleMs / 4)
    this.#sweep.unref()
  }

  /** @throws the system's error (EADDRINUSE, EADDRNOTAVAIL, EACCES) when the port cannot be had */
  static async listen(options: ListenerOptions): Promise<Listener> {
    const listener = new Listener(options)
    await new Promise<void>((resolve, reject) => {
      listener.#server.once('error', reject)
      listener.#server.listen({ host: options.host, port: options.port, backlog: 4096 }, () => {
        listener.#server.off('error', reject)
        resolve()
      })
    })
    return listener
  }

  get address(): AddressInfo {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('the event socket does not listen')
    return address
  }

  /** Calls in progress, those that are still lingering included. */
  get calls(): number {
    return this.#calls
  }

  get isDraining(): boolean {
    return this.#isDraining
  }

  /**
   * Accepts what is queued, closes the port (so that `a|b` in the dialplan falls through to b), waits for
   * the calls, and at the deadline gives those that are left to the dialplan's next action.
   * @returns how many calls were given away
   */
  async close({ deadlineMs }: { deadlineMs: number }): Promise<number> {
    if (this.#isDraining) return 0
    this.#isDraining = true
    // FreeSWITCH counts a connection in the kernel's queue as accepted: closed there, its call parks.
    await nextTurn()
    await nextTurn()
    this.#server.close()
    await this.#empty(deadlineMs)
    clearInterval(this.#sweep)
    const left = [...this.#connections.keys()]
    await Promise.all(left.map((connection) => this.#release(connection)))
    await this.#empty(this.#options.handshakeTimeoutMs ?? 10_000)
    return left.length
  }

  #accept(socket: Socket): void {
    const { remoteAddress = '', remoteFamily } = socket
    if (!this.#options.allow.check(remoteAddress, remoteFamily === 'IPv6' ? 'ipv6' : 'ipv4')) {
      socket.destroy()
      this.#report(new EslError('PROTOCOL', 'this address may not open an event socket (ESL_ALLOW)'), {
        remoteAddress,
      })
      return
    }
    const connection = new Connection(socket, this.#options.connection)
    this.#connections.set(connection, undefined)
    void this.#serve(connection).finally(() => {
      connection.close()
      this.#connections.delete(connection)
      if (this.#connections.size === 0) this.#onEmpty?.()
    })
  }

  async #serve(connection: Connection): Promise<void> {
    const { remoteAddress } = connection
    let callUuid: string | undefined
    try {
      await this.#handshake(connection).then((channel) => {
        callUuid = channel.get('Unique-ID') ?? ''
        this.#connections.set(connection, callUuid)
        return this.#handOver(connection, channel)
      })
    } catch (error) {
      this.#report(error, callUuid === undefined ? { remoteAddress } : { remoteAddress, callUuid })
    }
    const { closedBy } = connection
    if (closedBy !== undefined && !(closedBy instanceof Released)) {
      this.#report(closedBy, callUuid === undefined ? { remoteAddress } : { remoteAddress, callUuid })
    }
  }

  /** Not async: the channel's data must not live as long as the call does. */
  #handOver(connection: Connection, channel: Event): Promise<void> {
    const isOverCapacity = this.#calls >= this.#options.maxCalls && !this.#options.isKnownCall?.(channel)
    this.#calls++
    return this.#options.onCall({ connection, channel, isOverCapacity }).finally(() => {
      this.#calls--
    })
  }

  /** All of it in one write: what follows `connect` is read only after its reply is written. */
  async #handshake(connection: Connection): Promise<Event> {
    const timeoutMs = this.#options.handshakeTimeoutMs ?? 10_000
    const [head, ...others] = connection.sendAll(
      [connect(), linger(this.#options.lingerSeconds), myevents('json'), nixevent(unwantedEvents)],
      timeoutMs,
    )
    // A refused `linger` or `nixevent` (a socket without `full`) shows in the log; the call can still be served.
    for (const reply of others) {
      reply.catch((error: unknown) => {
        if (!connection.isClosed) this.#report(error, { remoteAddress: connection.remoteAddress })
      })
    }
    return Event.fromPlain((await head) ?? '')
  }

  /** Half-open connections and calls whose end was missed: a call that talks for hours is silent here. */
  #probeIdle(idleMs: number): void {
    const now = performance.now()
    for (const [connection, callUuid] of this.#connections) {
      if (callUuid === undefined || now - connection.lastHeardAt < idleMs) continue
      connection.send(api('uuid_exists', [callUuid])).then(
        (answer) => {
          if (answer.trim() === 'false')
            connection.close(new EslError('CALLER_GONE', 'the switch no longer knows the call'))
        },
        () => {
          // A reply that did not come has closed the connection: its end is reported where it is served.
        },
      )
    }
  }

  async #release(connection: Connection): Promise<void> {
    try {
      await connection.send(exit(), 1000)
    } catch {
      // Gone meanwhile, or silent: closing the socket hands the call on just as well.
    }
    connection.close(new Released())
  }

  #empty(timeoutMs: number): Promise<void> {
    if (this.#connections.size === 0) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs)
      this.#onEmpty = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  #report(error: unknown, about: { remoteAddress: string; callUuid?: string }): void {
    this.#options.onError(error instanceof Error ? error : new Error(String(error)), about)
  }
}
