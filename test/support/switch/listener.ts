import { connect as openSocket, type Socket } from 'node:net'

import { CommandParser, type ServerCommand } from './command-parser.js'
import { runCommand } from './commands.js'
import type { Destination } from './dialplan.js'
import type { FiredEvent } from './events.js'
import { encode, type Encoded } from './headers.js'
import type { Session } from './session.js'
import { Subscription } from './subscription.js'

/** When in a hangup a socket learns of it, which on FreeSWITCH is a matter of chance. */
export const noticeStages = ['beforeHangup', 'afterHangup', 'beforeFinal', 'afterFinal'] as const
export type NoticeStage = (typeof noticeStages)[number]

const goodbye = 'Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n'
/** How long FreeSWITCH waits for the first command. */
const firstCommandSeconds = 25

/** One socket to a server, opened by the application `socket`. */
export class Listener {
  readonly session: Session
  readonly destination: Destination
  readonly subscription = new Subscription()
  /** What the server wrote, in order. */
  readonly commands: ServerCommand[] = []
  isConnected = false
  isLogging = false
  /** Undefined: it does not linger; -1: for ever. */
  lingerSeconds: number | undefined
  isClosed = false
  readonly #socket: Socket
  readonly #parser = new CommandParser()
  readonly #noticeStage: NoticeStage
  /** Commands that came while an API command blocks the socket. */
  #waiting: ServerCommand[] | undefined
  /** What happens while commands are carried out: it is told when all those are replied to. */
  #held: (() => void)[] | undefined
  #out: Encoded[] = []
  #received = ''
  #isClosing = false

  /** @returns undefined if nobody listens there */
  static connect(session: Session, destination: Destination): Promise<Listener | undefined> {
    const { call } = session
    const { host, port } = destination
    call.openingCount++
    return new Promise((resolve) => {
      const socket = openSocket({ host, port, allowHalfOpen: true, noDelay: true })
      const onRefused = (): void => {
        call.openingCount--
        session.clock.sync()
        resolve(undefined)
      }
      socket.once('error', onRefused)
      socket.once('connect', () => {
        socket.off('error', onRefused)
        call.openingCount--
        session.clock.sync()
        resolve(new Listener(session, destination, socket))
      })
    })
  }

  private constructor(session: Session, destination: Destination, socket: Socket) {
    this.session = session
    this.destination = destination
    this.#socket = socket
    this.#noticeStage = session.sw.chooseNoticeStage()
    session.listeners.add(this)
    session.call.listeners.push(this)
    socket.on('data', (chunk) => {
      this.#onData(chunk)
    })
    socket.on('error', () => undefined)
    socket.on('end', () => {
      this.close()
    })
    socket.on('close', () => {
      this.#onClose()
    })
    session.clock.after(firstCommandSeconds * 1000, 'watchdog', () => {
      if (this.commands.length === 0) this.close()
    })
  }

  /** The bytes that the server wrote, as text. */
  get received(): string {
    return this.#received
  }

  /** Of the socket; with `isFlushed` enough to see that nothing is on its way. */
  get bytesRead(): number {
    return this.#socket.bytesRead
  }

  get bytesWritten(): number {
    return this.#socket.bytesWritten
  }

  get isFlushed(): boolean {
    return this.#out.length === 0
  }

  /** The first command was `connect`, or one after it. */
  connected(): void {
    this.isConnected = true
    this.session.signal('connected')
  }

  /** @param text one reply's headers behind `Reply-Text: `, FreeSWITCH's buffer cut off */
  reply(text: string): void {
    this.write(`Content-Type: command/reply\nReply-Text: ${text.slice(0, 511)}\n\n`)
  }

  apiResponse(body: string): void {
    const text = body === '' ? '-ERR no reply\n' : body
    this.write(`Content-Type: api/response\nContent-Length: ${Buffer.byteLength(text)}\n\n${text}`)
  }

  offer(event: FiredEvent): void {
    if (this.#isClosing || !this.subscription.wants(event, this.session.uuid)) return
    const frame = event.frame(this.subscription.format)
    this.#whenReplied(() => {
      this.#send(frame)
    })
  }

  write(text: string): void {
    this.#send([encode(text)])
  }

  /** Nothing is carried out or told until the promise is settled; its text is the API command's output. */
  block(output: Promise<string>): void {
    const waiting: ServerCommand[] = []
    this.#waiting = waiting
    void output.then((text) => {
      this.#waiting = undefined
      this.apiResponse(text)
      this.#run(waiting)
    })
  }

  /** The channel is going down; each socket gets to know of it at one of these points. */
  channelDown(stage: NoticeStage): void {
    if (stage !== this.#noticeStage) return
    this.#whenReplied(() => {
      if (this.lingerSeconds === undefined) this.close()
      else this.#linger(this.lingerSeconds)
    })
  }

  /** Says goodbye and closes, whoever wanted it. Takes the control of a live channel away. */
  close(saysGoodbye = true): void {
    if (this.#isClosing) return
    if (saysGoodbye)
      this.write(
        'Content-Type: text/disconnect-notice\n' +
          `Controlled-Session-UUID: ${this.session.uuid}\nContent-Disposition: disconnect\n` +
          `Content-Length: ${goodbye.length}\n\n${goodbye}`,
      )
    this.#isClosing = true
    this.#flush()
    this.#socket.end()
    this.#leave()
  }

  destroy(): void {
    this.#isClosing = true
    this.#socket.destroy()
    this.#leave()
  }

  #onData(chunk: Buffer): void {
    this.session.clock.sync()
    this.#received += chunk.toString()
    this.#run(this.#parser.push(chunk))
  }

  #linger(seconds: number): void {
    const { uuid, channel, clock } = this.session
    this.write(
      'Content-Type: text/disconnect-notice\n' +
        `Controlled-Session-UUID: ${uuid}\nContent-Disposition: linger\n` +
        `Channel-Name: ${channel.name}\nLinger-Time: ${seconds}\nContent-Length: 0\n\n`,
    )
    if (seconds < 0) return
    clock.after(seconds * 1000, 'watchdog', () => {
      this.close()
    })
  }

  #run(commands: readonly ServerCommand[]): void {
    this.#held ??= []
    for (const command of commands) {
      if (this.#isClosing) return
      if (this.#waiting === undefined) {
        this.commands.push(command)
        runCommand(this, command)
      } else this.#waiting.push(command)
    }
    if (this.#waiting !== undefined) return
    const held = this.#held
    this.#held = undefined
    for (const tell of held) tell()
  }

  /** FreeSWITCH's thread for a socket reads all commands that are there before it tells anything. */
  #whenReplied(tell: () => void): void {
    if (this.#held === undefined) tell()
    else this.#held.push(tell)
  }

  #send(pieces: readonly Encoded[]): void {
    if (this.#isClosing) return
    // One write for all that happens in a turn, as FreeSWITCH's one read shows it.
    if (this.#out.length === 0)
      setImmediate(() => {
        this.#flush()
      })
    this.#out.push(...pieces)
  }

  #flush(): void {
    const pieces = this.#out
    this.#out = []
    if (pieces.length === 0 || !this.#socket.writable) return
    const text = pieces.map((piece) => piece.text).join('')
    // Node writes what is known to be ASCII much faster.
    const bytes = pieces.reduce((sum, piece) => sum + piece.bytes, 0)
    this.#socket.write(text, bytes === text.length ? 'latin1' : 'utf8')
  }

  #onClose(): void {
    this.session.clock.sync()
    this.#isClosing = true
    this.#leave()
    this.isClosed = true
    this.session.call.noteClosed()
  }

  #leave(): void {
    const { session } = this
    if (!session.listeners.delete(this)) return
    session.sw.openListeners.delete(this)
    if (!this.isConnected) session.isParkedForEver = true
    session.release()
  }
}
