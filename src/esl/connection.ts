import type { Socket } from 'node:net'
import type { Command } from './command.js'
import { decodePercent } from './encoding.js'
import { CallerGone, CommandRefused, EslError, Overloaded, ProtocolError, ReplyTimeout } from './errors.js'
import { Event } from './event.js'
import { FrameParser, headerOf, type Frame, type FrameLimits } from './parser.js'

export interface ConnectionOptions {
  /** In ms, for a command that says nothing else. Default 10,000. */
  readonly replyTimeoutMs?: number
  /** Most bytes of commands that may wait for a peer that does not read. Default 1 MB. */
  readonly maxQueuedBytes?: number
  readonly limits?: Partial<FrameLimits>
}

/** Why FreeSWITCH says that it lets go: the call is over and it lingers, or this socket is finished. */
export type Disposition = 'linger' | 'disconnect'

interface Pending {
  readonly command: Command
  readonly timeoutMs: number
  /** When the reply must be here, in ms of the monotonic clock; 0 while the command is not written. */
  deadline: number
  readonly resolve: (reply: string) => void
  readonly reject: (error: Error) => void
}

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
  /** Written, waiting for their replies. */
  readonly #written: Pending[] = []
  /** Not yet written, because the peer does not read. */
  readonly #unwritten: Pending[] = []
  #unwrittenBytes = 0
  #timer: NodeJS.Timeout | undefined
  /** A reply was delivered out of the packet in hand: its taker has not run yet. */
  #hasFreshReply = false
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
    // A peer that vanished without a FIN: the kernel finds out even when nobody talks.
    socket.setKeepAlive(true, 60_000)
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
      this.#enqueue({ command, timeoutMs, deadline: 0, resolve, reject })
    })
  }

  /** Writes several commands in one packet; each has its own reply. */
  sendAll(commands: readonly Command[], timeoutMs = this.#replyTimeoutMs): Promise<string>[] {
    this.#socket.cork()
    const replies = commands.map((command) => this.send(command, timeoutMs))
    this.#socket.uncork()
    return replies
  }

  /** Stops reading: nothing more is delivered, and the peer soon cannot write. */
  pause(): void {
    this.#parser.pause()
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
    this.#guard(() => {
      this.#parser.resume()
    })
  }

  /**
   * Ends the connection; calling it again does nothing. All that waits is rejected with CallerGone.
   * @param reason kept as `closedBy`
   */
  close(reason?: Error): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#closedBy = reason
    clearTimeout(this.#timer)
    this.#parser.pause()
    // What is written is still to arrive, unless the peer has stopped reading.
    if (reason === undefined && !this.#socket.writableNeedDrain) this.#socket.destroySoon()
    else this.#socket.destroy()
    const waiting = [...this.#written.splice(0), ...this.#unwritten.splice(0)]
    for (const { reject } of waiting) {
      reject(
        reason instanceof ReplyTimeout
          ? reason
          : new CallerGone('the event socket is closed', { cause: reason }),
      )
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
    this.#guard(() => {
      this.#parser.end()
    })
    this.close()
  }

  readonly #onError = (error: Error): void => {
    this.close(error)
  }

  readonly #onSocketClose = (): void => {
    this.close()
  }

  readonly #onDrain = (): void => {
    while (this.#unwritten.length > 0 && !this.#socket.writableNeedDrain) {
      const pending = this.#unwritten.shift()
      if (!pending) return
      this.#unwrittenBytes -= pending.command.text.length
      this.#write(pending)
    }
  }

  #enqueue(pending: Pending): void {
    if (this.#isClosed) {
      pending.reject(new CallerGone('the event socket is closed', { cause: this.#closedBy }))
      return
    }
    if (!this.#socket.writableNeedDrain && this.#unwritten.length === 0) {
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
    pending.deadline = performance.now() + pending.timeoutMs
    this.#written.push(pending)
    this.#socket.write(pending.command.text)
    if (this.#timer === undefined) this.#watch(pending.timeoutMs)
  }

  /** One timer a connection, for the oldest reply: it looks again when it fires early, and is not touched by replies. */
  #watch(delayMs: number): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      const oldest = this.#written[0]
      if (!oldest) return
      const remainingMs = oldest.deadline - performance.now()
      if (remainingMs > 0) this.#watch(remainingMs)
      else this.close(new ReplyTimeout(oldest.command.verb, oldest.timeoutMs))
    }, delayMs)
    this.#timer.unref()
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
        this.#settle(decodeReply(headerOf(frame.head, 'reply-text') ?? ''), frame)
        return true
      case 'api/response':
        this.#settle(frame.body.toString(), frame)
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
      setImmediate(this.#resumeLater)
      return false
    }
    this.onEvent?.(read())
    return true
  }

  #settle(reply: string, frame: Frame): void {
    const pending = this.#written.shift()
    if (!pending) throw new ProtocolError('a reply to no command')
    if (isRefusal(reply)) {
      pending.reject(new CommandRefused(pending.command.verb, reply.trim()))
    } else {
      // The reply to `connect` is the whole channel: its taker wants the head.
      pending.resolve(pending.command.verb === 'connect' ? frame.head : reply)
    }
    this.#hasFreshReply = true
  }

  readonly #resumeLater = (): void => {
    this.#hasFreshReply = false
    if (this.#isClosed || this.#socket.isPaused()) return
    this.#guard(() => {
      this.#parser.resume()
    })
  }
}

function isRefusal(reply: string): boolean {
  return reply.startsWith('-ERR') || reply.startsWith('-USAGE')
}

/** `connect` alone answers percent-encoded (recording one-write-handshake). */
function decodeReply(text: string): string {
  return text.startsWith('%2B') ? decodePercent(text) : text
}
