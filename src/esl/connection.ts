import type { Socket } from 'node:net'
import type { Command } from './command.js'
import { CallerGone, CommandRefused, EslError, Overloaded, ProtocolError, ReplyTimeout } from './errors.js'
import { Event } from './event.js'
import { FrameParser, headerOf, type Frame, type FrameLimits } from './parser.js'
import { Replies, type Pending } from './replies.js'

export interface ConnectionOptions {
  /** In ms, for a command that says nothing else. Default 10,000. */
  readonly replyTimeoutMs?: number
  /** Most bytes of commands that may wait for a peer that does not read. Default 1 MB. */
  readonly maxQueuedBytes?: number
  readonly limits?: Partial<FrameLimits>
}

/** How long a peer that stopped reading may take for what was written before it was closed on. */
const flushMs = 1000

/** Why FreeSWITCH says that it lets go: the call is over and it lingers, or this socket is finished. */
export type Disposition = 'linger' | 'disconnect'

/**
 * One event socket, either end of whose conversation may end it.
 *
 * Replies carry no ids: they belong to the commands in the order in which these were written. So a
 * command that was written is answered, or the connection ends.
 */
export class Connection {
  readonly #socket: Socket
  readonly #parser: FrameParser
  readonly #replyTimeoutMs: number
  readonly #maxQueuedBytes: number
  readonly #replies = new Replies((error) => {
    this.close(error)
  })
  /** Not yet written, because the peer does not read. */
  readonly #unwritten: Pending[] = []
  #unwrittenBytes = 0
  /** A reply was delivered out of the packet in hand: its taker has not run yet. */
  #hasFreshReply = false
  /** An event waits until that taker has run, and all that came behind the event with it. */
  #isHeldBack = false
  /** The stream has ended behind what is held back. */
  #ending: { readonly reason: Error | undefined } | undefined
  #isPaused = false
  #closedBy: Error | undefined
  #isClosed = false
  readonly #onClosed: (() => void)[] = []

  /** Called with each event, in order. What it throws ends the connection. */
  onEvent: ((event: Event) => void) | undefined
  /** Called when FreeSWITCH announces that the call is over (`linger`) or the socket is (`disconnect`). */
  onDisconnectNotice: ((disposition: Disposition) => void) | undefined
  /** In ms of the monotonic clock: when bytes last came in. */
  lastHeardAt = performance.now()

  constructor(socket: Socket, options: ConnectionOptions = {}) {
    this.#socket = socket
    this.#replyTimeoutMs = options.replyTimeoutMs ?? 10_000
    this.#maxQueuedBytes = options.maxQueuedBytes ?? 1024 * 1024
    this.#parser = new FrameParser((frame) => this.#receive(frame), options.limits)
    socket.setNoDelay(true)
    socket.on('data', this.#onData)
    socket.on('drain', this.#onDrain)
    socket.on('end', this.#onEnd)
    socket.on('error', this.#onError)
    socket.on('close', this.#onSocketClose)
  }

  get remoteAddress(): string {
    return `${this.#socket.remoteAddress ?? '?'}:${this.#socket.remotePort ?? 0}`
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** What ended the connection, if it was not a plain close. */
  get closedBy(): Error | undefined {
    return this.#closedBy
  }

  /** Resolves when the connection is closed, whoever closed it. */
  closed(): Promise<void> {
    if (this.#isClosed) return Promise.resolve()
    return new Promise((resolve) => this.#onClosed.push(resolve))
  }

  /**
   * @returns the Reply-Text, or an api command's output
   * @throws CommandRefused for `-ERR`; CallerGone when the connection closes first; ReplyTimeout, which
   *   also ends the connection; Overloaded when the peer stopped reading
   */
  send(command: Command, timeoutMs = this.#replyTimeoutMs): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#enqueue({ command, timeoutMs, resolve, reject })
    })
  }

  /** Writes several commands in one packet; each has its own reply. */
  sendAll(commands: readonly Command[], timeoutMs = this.#replyTimeoutMs): Promise<string>[] {
    if (!this.#canWrite) return commands.map((command) => this.send(command, timeoutMs))
    const replies = commands.map(
      (command) =>
        new Promise<string>((resolve, reject) => {
          this.#replies.expect({ command, timeoutMs, resolve, reject })
        }),
    )
    this.#socket.write(commands.map(({ text }) => text).join(''))
    return replies
  }

  /** Stops reading: nothing more is delivered, and the peer soon cannot write. */
  pause(): void {
    this.#isPaused = true
    this.#parser.pause()
    this.#socket.pause()
  }

  resume(): void {
    if (this.#isClosed) return
    this.#isPaused = false
    this.#socket.resume()
    this.#readOn()
  }

  /**
   * Ends the connection; calling it again does nothing. All that waits is rejected with CallerGone, or
   * with the reason if that is a ReplyTimeout or Overloaded.
   * @param reason kept as `closedBy`
   */
  close(reason?: Error): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#closedBy = reason
    this.#parser.pause()
    // What the kernel has will arrive; only a peer that reads slowly has left us something to flush.
    if (reason === undefined && this.#socket.writableLength > 0) {
      this.#socket.destroySoon()
      setTimeout(() => this.#socket.destroy(), flushMs).unref()
    } else {
      this.#socket.destroy()
    }
    const isOurs = reason instanceof ReplyTimeout || reason instanceof Overloaded
    for (const { reject } of [...this.#replies.abandon(), ...this.#unwritten.splice(0)]) {
      reject(isOurs ? reason : new CallerGone('the event socket is closed', { cause: reason }))
    }
    for (const resolve of this.#onClosed.splice(0)) resolve()
  }

  readonly #onData = (chunk: Buffer): void => {
    this.lastHeardAt = performance.now()
    this.#hasFreshReply = false
    if (this.#isClosed) return
    this.#guard(() => {
      this.#parser.push(chunk)
    })
  }

  readonly #onEnd = (): void => {
    this.#finish()
  }

  readonly #onError = (error: Error): void => {
    this.#finish(error)
  }

  readonly #onSocketClose = (): void => {
    this.#finish()
  }

  /** The stream is over. What is held back came before its end: the final event may be among it. */
  #finish(reason?: Error): void {
    if (this.#isHeldBack) {
      this.#ending ??= { reason }
      return
    }
    if (reason === undefined) {
      this.#guard(() => {
        this.#parser.end()
      })
    }
    this.close(reason)
  }

  readonly #onDrain = (): void => {
    while (this.#unwritten.length > 0 && !this.#socket.writableNeedDrain) {
      const pending = this.#unwritten.shift()
      if (!pending) return
      this.#unwrittenBytes -= pending.command.text.length
      this.#write(pending)
    }
  }

  get #canWrite(): boolean {
    return !this.#isClosed && !this.#socket.writableNeedDrain && this.#unwritten.length === 0
  }

  #enqueue(pending: Pending): void {
    if (this.#isClosed) {
      pending.reject(new CallerGone('the event socket is closed', { cause: this.#closedBy }))
      return
    }
    if (this.#canWrite) {
      this.#write(pending)
      return
    }
    this.#unwritten.push(pending)
    this.#unwrittenBytes += pending.command.text.length
    if (this.#unwrittenBytes > this.#maxQueuedBytes) {
      this.close(
        new Overloaded(`${this.#unwrittenBytes} bytes of commands wait for a peer that does not read`),
      )
    }
  }

  #write(pending: Pending): void {
    this.#replies.expect(pending)
    this.#socket.write(pending.command.text)
  }

  #guard(read: () => void): void {
    try {
      read()
    } catch (error) {
      this.close(error instanceof Error ? error : new EslError('PROTOCOL', String(error)))
    }
  }

  /** @returns false to be given the same frame again later */
  #receive(frame: Frame): boolean {
    switch (frame.contentType) {
      case 'command/reply':
      case 'api/response':
        this.#settle(frame)
        return true
      case 'text/event-json':
        return this.#deliver(() => Event.fromJson(frame.body))
      case 'text/event-plain':
        return this.#deliver(() => Event.fromPlain(frame.body.toString()))
      case 'text/event-xml':
        return this.#deliver(() => Event.fromXml(frame.body.toString()))
      case 'text/disconnect-notice': {
        const lingers = headerOf(frame.head, 'content-disposition') === 'linger'
        this.onDisconnectNotice?.(lingers ? 'linger' : 'disconnect')
        return true
      }
      default:
        // log/data and whatever a later FreeSWITCH may send: not asked for, not needed.
        return true
    }
  }

  #deliver(read: () => Event): boolean {
    if (this.#hasFreshReply) {
      // Whoever awaits the reply is to see it before the event that came in the same packet.
      if (!this.#isHeldBack) setImmediate(this.#release)
      this.#isHeldBack = true
      return false
    }
    this.onEvent?.(read())
    return true
  }

  #settle(frame: Frame): void {
    const pending = this.#replies.next()
    if (!pending) throw new ProtocolError('a reply to no command')
    this.#hasFreshReply = true
    const { verb } = pending.command
    // The reply to `connect` is the whole channel: its taker wants the head.
    if (verb === 'connect' && headerOf(frame.head, 'event-name') !== undefined) {
      pending.resolve(frame.head)
      return
    }
    const isOutput = frame.contentType === 'api/response'
    const reply = isOutput ? frame.body.toString() : (headerOf(frame.head, 'reply-text') ?? '')
    if (isRefusal(reply)) pending.reject(new CommandRefused(verb, reply.trim()))
    else pending.resolve(reply)
  }

  readonly #release = (): void => {
    this.#isHeldBack = this.#hasFreshReply = false
    if (!this.#isClosed && !this.#isPaused) this.#readOn()
  }

  #readOn(): void {
    this.#guard(() => {
      this.#parser.resume()
    })
    if (this.#ending && !this.#isHeldBack) this.#finish(this.#ending.reason)
  }
}

/** Whether a reply or an API command's output is one of FreeSWITCH's refusals. */
export function isRefusal(reply: string): boolean {
  return reply.startsWith('-ERR') || reply.startsWith('-USAGE')
}
