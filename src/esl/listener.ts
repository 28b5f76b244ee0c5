import { createServer, type AddressInfo, type BlockList, type Server, type Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { api, connect, event, exit, linger, myevents, nixevent, type Command } from './command.js'
import { Connection, type ConnectionOptions } from './connection.js'
import { CallerGone, EslError, ProtocolError } from './errors.js'
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
  readonly onError: (error: Error, about: Readonly<About>) => void
}

export interface IncomingCall {
  readonly connection: Connection
  /** The channel as it was when it reached the `socket` action: the reply to `connect`. */
  readonly channel: Event
  /** The call is to be refused; it does not count as one of `maxCalls`. */
  readonly isOverCapacity: boolean
}

/** Whose connection it is, for a log. */
interface About {
  readonly remoteAddress: string
  callUuid?: string
}

/** The reason of a connection that was let go while its call lives on elsewhere. */
export class Released extends EslError {
  constructor(message = 'the server drains: the call goes to the next action of its dialplan') {
    super('CALLER_GONE', message)
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

/** What `myevents` leaves out: where a recording went, which no variable tells. Still of this call alone. */
const addedEvents = ['RECORD_STOP']

/**
 * The outbound mode: FreeSWITCH connects, once per call, and we speak first (recording
 * one-write-handshake). A socket that is accepted is always `connect`ed: closed before that, its channel
 * parks for ever.
 */
export class Listener {
  readonly #options: ListenerOptions
  readonly #server: Server
  /** What every connection is told first, in one write: what follows `connect` is read only after its reply is written. */
  readonly #greeting: readonly Command[]
  readonly #connections = new Map<Connection, string | undefined>()
  #sweep: NodeJS.Timeout | undefined
  #accepted = 0
  #calls = 0
  #closing: Promise<number> | undefined
  #onEmpty: (() => void) | undefined

  private constructor(options: ListenerOptions) {
    this.#options = options
    this.#greeting = [
      connect(),
      linger(options.lingerSeconds),
      myevents('json'),
      nixevent(unwantedEvents),
      event('json', addedEvents),
    ]
    this.#server = createServer({ noDelay: true }, (socket) => {
      this.#accept(socket)
    })
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
    listener.#server.on('error', (error) => {
      // Out of file descriptors, for one: the connection waits in the kernel's queue.
      listener.#report(error, { remoteAddress: '' })
    })
    listener.#watchIdle(options.idleMs ?? 120_000)
    return listener
  }

  get address(): AddressInfo {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('the event socket does not listen')
    return address
  }

  /** Calls in progress, those that are still lingering included, those over capacity not. */
  get calls(): number {
    return this.#calls
  }

  get isDraining(): boolean {
    return this.#closing !== undefined
  }

  /**
   * Accepts what is queued, closes the port (so that `a|b` in the dialplan falls through to b), waits for
   * the calls, and at the deadline gives those that are left to the dialplan's next action.
   * Calling it again waits for the same.
   * @returns how many calls were given away
   */
  close({ deadlineMs }: { deadlineMs: number }): Promise<number> {
    this.#closing ??= this.#drain(performance.now() + deadlineMs)
    return this.#closing
  }

  async #drain(deadline: number): Promise<number> {
    await this.#acceptQueued(deadline)
    this.#server.close()
    await this.#empty(deadline - performance.now())
    clearInterval(this.#sweep)
    const left = [...this.#connections.keys()]
    await Promise.all(left.map((connection) => this.#release(connection)))
    await this.#empty(this.#options.handshakeTimeoutMs ?? 10_000)
    return left.length
  }

  /**
   * FreeSWITCH takes a connection in the kernel's queue for accepted: closed there, its call parks for
   * ever. One is accepted a turn; the first turn may be half over.
   */
  async #acceptQueued(deadline: number): Promise<void> {
    for (let idleTurns = 0; idleTurns < 2 && performance.now() < deadline;) {
      const before = this.#accepted
      await nextTurn()
      idleTurns = this.#accepted === before ? idleTurns + 1 : 0
    }
  }

  #accept(socket: Socket): void {
    this.#accepted++
    const { remoteAddress, remoteFamily } = socket
    if (remoteAddress === undefined) {
      // Reset while it was in the queue.
      socket.destroy()
      return
    }
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
    const about: About = { remoteAddress: connection.remoteAddress }
    let escaped: unknown
    try {
      await this.#handshake(connection).then((channel) => {
        const uuid = channel.peek('Unique-ID')
        if (uuid === undefined) throw new ProtocolError('channel data without Unique-ID')
        about.callUuid = uuid
        this.#connections.set(connection, uuid)
        return this.#handOver(connection, channel)
      })
    } catch (error) {
      escaped = error
    }
    const { closedBy } = connection
    const isItsEcho = escaped instanceof CallerGone && closedBy !== undefined && escaped.cause === closedBy
    if (escaped !== undefined && escaped !== closedBy && !isItsEcho) this.#report(escaped, about)
    if (closedBy !== undefined && !(closedBy instanceof Released)) this.#report(closedBy, about)
  }

  /** Not async: the channel's data must not live as long as the call does. */
  #handOver(connection: Connection, channel: Event): Promise<void> {
    const isOverCapacity = this.#calls >= this.#options.maxCalls && !this.#options.isKnownCall?.(channel)
    const served = this.#options.onCall({ connection, channel, isOverCapacity })
    if (isOverCapacity) return served
    this.#calls++
    return served.finally(() => {
      this.#calls--
    })
  }

  async #handshake(connection: Connection): Promise<Event> {
    const timeoutMs = this.#options.handshakeTimeoutMs ?? 10_000
    const [head, ...others] = connection.sendAll(this.#greeting, timeoutMs)
    // A refused `linger` or `nixevent` (a socket without `full`) shows in the log; the call can still be served.
    for (const reply of others) {
      reply.catch((error: unknown) => {
        if (!connection.isClosed) this.#report(error, { remoteAddress: connection.remoteAddress })
      })
    }
    return Event.fromPlain((await head) ?? '')
  }

  /** Half-open connections and calls whose end was missed: a call that talks for hours is silent here. */
  #watchIdle(idleMs: number): void {
    this.#sweep = setInterval(() => {
      const latest = performance.now() - idleMs
      for (const [connection, uuid] of this.#connections) {
        if (uuid === undefined || connection.lastHeardAt > latest) continue
        this.#probe(connection, uuid).catch((error: unknown) => {
          // A reply that did not come has closed the connection: its end is reported where it is served.
          if (!connection.isClosed)
            this.#report(error, { remoteAddress: connection.remoteAddress, callUuid: uuid })
        })
      }
    }, idleMs / 4)
    this.#sweep.unref()
  }

  async #probe(connection: Connection, uuid: string): Promise<void> {
    const answer = await connection.send(api('uuid_exists', [uuid]))
    if (answer.trim() !== 'false') return
    connection.close(new EslError('CALLER_GONE', 'the switch no longer knows the call'))
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

  #report(error: unknown, about: About): void {
    this.#options.onError(error instanceof Error ? error : new Error(String(error)), about)
  }
}
