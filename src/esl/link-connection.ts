import { Socket } from 'node:net'
import { FreeSwitchError, FreeSwitchResponse, FreeSwitchTimeout } from 'esl'
import { auth, event, type Command } from './command.js'
import { isRefusal } from './connection.js'
import {
  AccessRefused,
  CommandRefused,
  EslError,
  LinkDown,
  Overloaded,
  ProtocolError,
  ReplyTimeout,
} from './errors.js'
import { Event } from './event.js'
import { FrameParser, headerOf, type Frame } from './parser.js'

export interface LinkConnectionOptions {
  readonly host: string
  readonly port: number
  /** In ms: how long FreeSWITCH may take for a reply, and to be connected with. */
  readonly replyTimeoutMs: number
  /** In ms: how long FreeSWITCH may say nothing at all. */
  readonly silenceMs: number
  readonly maxFrameBytes: number
  /** Each event, in order. What it throws ends the connection. */
  readonly onEvent: (event: Event) => void
}

interface Asked {
  readonly command: Command
  readonly resolve: (reply: string) => void
  readonly reject: (error: Error) => void
}

/** Commands that may wait for those before them: they are sent one at a time. */
const mostWaiting = 10_000
/** Of the parser's backlog beyond the frame that it is reading. */
const backlogBytes = 1024 * 1024

/** What the package would log holds passwords and numbers, and all that was received. */
const silent = { debug: () => undefined, info: () => undefined, error: () => undefined }

/**
 * One inbound event socket, on the `esl` package: its FreeSwitchResponse writes the commands and matches the
 * replies. The package's traps end here:
 * - Its parser has no caps, goes deeper into the stack with each frame of a packet, and cuts header values at
 *   a second `: `. Ours reads instead and hands over what it read; what throws there ends this connection only.
 * - Events do not pass it: it drops names that it does not know, deletes characters from their JSON, and keeps
 *   each BACKGROUND_JOB of every other client for ever.
 * - After a time-out it sends the next command, whose reply would be the late one: it is given one command
 *   at a time, and a time-out ends the connection.
 * - Newlines reach its wire: it is only given a Command. Its own log is silent, its errors are not passed on.
 * - Its client reconnects without growing delays, twice after some errors and not at all after others, and says
 *   that it is connected when the password was wrong: the client is not used.
 */
export class LinkConnection {
  readonly #options: LinkConnectionOptions
  readonly #socket = new Socket()
  readonly #esl: FreeSwitchResponse
  readonly #parser: FrameParser
  readonly #waiting: Asked[] = []
  /** The Content-Type of the reply that is due. */
  #dueType: 'command/reply' | 'api/response' | undefined
  #isWorking = false
  /** A reply was delivered out of the packet in hand: its taker has not run yet. */
  #hasFreshReply = false
  /** An event waits until that taker has run, and all that came behind the event with it. */
  #isHeldBack = false
  #silence: NodeJS.Timeout | undefined
  /** In ms of the monotonic clock. */
  #heardAt = performance.now()
  #closedBy: Error | undefined
  #onClosed: (reason: Error) => void = () => undefined

  /** Resolves when it is over, with the reason. */
  readonly closed = new Promise<Error>((resolve) => (this.#onClosed = resolve))

  constructor(options: LinkConnectionOptions) {
    const { maxFrameBytes, silenceMs } = options
    this.#options = options
    this.#parser = new FrameParser((frame) => this.#receive(frame), {
      maxBodyBytes: maxFrameBytes,
      maxBacklogBytes: maxFrameBytes + backlogBytes,
    })
    const socket = this.#socket
    this.#esl = new FreeSwitchResponse(socket, silent)
    socket.removeAllListeners('data')
    socket.on('data', this.#onData)
    socket.on('end', () => {
      this.#finish(new LinkDown('FreeSWITCH closed the connection'))
    })
    socket.on('error', (error) => {
      this.#finish(new LinkDown(explain(error), { cause: error }))
    })
    socket.on('close', () => {
      this.#finish(new LinkDown('the connection is closed'))
    })
    this.#silence = setTimeout(this.#onSilence, silenceMs)
  }

  /**
   * Connects, authenticates and subscribes. Called once.
   * @throws AccessRefused; ReplyTimeout, LinkDown, ProtocolError
   */
  async open(password: string, subscriptions: readonly string[]): Promise<void> {
    const { host, port, replyTimeoutMs } = this.#options
    this.#socket.connect({ host, port })
    try {
      await this.#esl.onceAsync('freeswitch_auth_request', replyTimeoutMs, '')
    } catch (error) {
      throw this.#meaning(error, 'connect')
    }
    await this.send(auth(password)).catch((error: unknown) => {
      if (!(error instanceof CommandRefused)) throw error
      throw new AccessRefused('FreeSWITCH refuses the password')
    })
    await this.send(event('json', subscriptions))
  }

  /**
   * @returns the Reply-Text, or an API command's output
   * @throws CommandRefused; ReplyTimeout, which ends the connection; LinkDown; Overloaded
   */
  send(command: Command): Promise<string> {
    return new Promise((resolve, reject) => {
      if (this.#closedBy) reject(this.#down())
      else if (this.#waiting.length >= mostWaiting) reject(new Overloaded(`${mostWaiting} commands wait`))
      else {
        this.#waiting.push({ command, resolve, reject })
        if (!this.#isWorking) void this.#work()
      }
    })
  }

  /** Ends the connection; calling it again does nothing. */
  close(reason: Error): void {
    if (this.#closedBy) return
    this.#closedBy = reason
    clearTimeout(this.#silence)
    this.#parser.pause()
    // Rejects the command that is under way, and stops its timer.
    this.#esl.end()
    this.#socket.destroy()
    for (const { reject } of this.#waiting.splice(0)) reject(this.#down())
    this.#onClosed(reason)
  }

  async #work(): Promise<void> {
    this.#isWorking = true
    for (let asked = this.#waiting.shift(); asked; asked = this.#waiting.shift()) {
      const { command, resolve, reject } = asked
      await this.#ask(command).then(resolve, reject)
    }
    this.#isWorking = false
  }

  async #ask({ verb, text }: Command): Promise<string> {
    const { replyTimeoutMs } = this.#options
    // The package writes the blank line, and `api` before an API command, itself.
    const lines = text.slice(0, -2)
    const isApi = lines.startsWith('api ')
    this.#dueType = isApi ? 'api/response' : 'command/reply'
    try {
      if (isApi) return (await this.#esl.api(lines.slice('api '.length), replyTimeoutMs)).body
      return (await this.#esl.send(lines, {}, replyTimeoutMs)).headers['Reply-Text'] ?? ''
    } catch (error) {
      const refused = error instanceof FreeSwitchError ? error.res : undefined
      const reply = isApi ? refused?.body : refused?.headers['Reply-Text']
      if (typeof reply !== 'string') throw this.#meaning(error, verb)
      // To the package whatever begins with `-` is an error, such as the value -5.
      if (isRefusal(reply)) throw new CommandRefused(verb, reply.trim())
      return reply
    }
  }

  /** The package's own errors carry the whole command: they go no further. */
  #meaning(error: unknown, verb: string): Error {
    if (!(error instanceof FreeSwitchTimeout)) return this.#down()
    const timeout = new ReplyTimeout(verb, this.#options.replyTimeoutMs)
    this.close(timeout)
    return timeout
  }

  #down(): LinkDown {
    const why = this.#closedBy?.message ?? 'the connection is closed'
    return new LinkDown(`the link to FreeSWITCH is down: ${why}`, { cause: this.#closedBy })
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#heardAt = performance.now()
    this.#hasFreshReply = false
    this.#guard(() => {
      this.#parser.push(chunk)
    })
  }

  #guard(read: () => void): void {
    if (this.#closedBy) return
    try {
      read()
    } catch (error) {
      this.close(error instanceof Error ? error : new EslError('PROTOCOL', String(error)))
    }
  }

  /** @returns false to be given the same frame again later */
  #receive(frame: Frame): boolean {
    switch (frame.contentType) {
      case 'text/event-json':
        if (this.#hasFreshReply) return this.#holdBack()
        // Whoever keeps the event is not to keep the packet that it came in.
        this.#options.onEvent(Event.fromJson(Buffer.from(frame.body)))
        return true
      case 'command/reply':
      case 'api/response':
        this.#settle(frame)
        return true
      case 'auth/request':
        this.#esl.process({ 'Content-Type': frame.contentType }, '')
        return true
      case 'text/rude-rejection':
        throw new AccessRefused('FreeSWITCH refuses this address (apply-inbound-acl)')
      default:
        // A disconnect-notice is followed by the end; log/data and the like were not asked for.
        return true
    }
  }

  #settle({ contentType, head, body }: Frame): void {
    if (contentType !== this.#dueType) throw new ProtocolError(`a ${contentType} to no command`)
    this.#dueType = undefined
    this.#hasFreshReply = true
    const replyText = headerOf(head, 'reply-text') ?? ''
    this.#esl.process({ 'Content-Type': contentType, 'Reply-Text': replyText }, body.toString())
  }

  /** Whoever awaits the reply is to see it before the event that came in the same packet. */
  #holdBack(): boolean {
    if (!this.#isHeldBack) setImmediate(this.#release)
    this.#isHeldBack = true
    return false
  }

  readonly #release = (): void => {
    this.#isHeldBack = this.#hasFreshReply = false
    this.#guard(() => {
      this.#parser.resume()
    })
  }

  /** The stream is over. What is held back came before its end. */
  #finish(reason: Error): void {
    if (!this.#isHeldBack) this.close(reason)
    else
      setImmediate(() => {
        this.#finish(reason)
      })
  }

  readonly #onSilence = (): void => {
    // Whatever held up this process held up its reading too: what is there is read first.
    setImmediate(() => {
      if (this.#closedBy) return
      const { silenceMs } = this.#options
      const leftMs = this.#heardAt + silenceMs - performance.now()
      if (leftMs > 0) this.#silence = setTimeout(this.#onSilence, leftMs)
      else this.close(new LinkDown(`nothing was heard of FreeSWITCH for ${silenceMs} ms`))
    })
  }
}

/** One line; of a name with several addresses Node's error has none of its own. */
function explain(error: Error): string {
  const { code } = error as NodeJS.ErrnoException
  const [first] = error instanceof AggregateError ? (error.errors as Error[]) : [error]
  const message = (first ?? error).message
  return code === 'ECONNREFUSED' ? `nobody listens there (${message})` : message
}
