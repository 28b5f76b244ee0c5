import type { Socket } from 'node:net'

import type { CallClock } from './clock.js'
import { CommandParser, type ServerCommand } from './command-parser.js'
import type { FiredEvent } from './events.js'
import { encode, type Encoded } from './headers.js'
import { Subscription } from './subscription.js'
import type { SimulatedSwitch } from './switch.js'

const goodbye = 'Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n'

/** One event socket, whichever side opened it: commands in, their replies in order and events out. */
export abstract class EventSocket {
  readonly sw: SimulatedSwitch
  readonly subscription = new Subscription()
  /** What the server wrote, in order. */
  readonly commands: ServerCommand[] = []
  isLogging = false
  isClosed = false
  /** The uuid of the channel that it belongs to, if to any. */
  abstract readonly ownUuid: string | undefined
  /** By which what it asks for is timed. */
  abstract readonly clock: CallClock
  protected isClosing = false
  readonly #socket: Socket
  readonly #parser = new CommandParser()
  /** Commands that came while an API command blocks the socket. */
  #waiting: ServerCommand[] | undefined
  /** What happens while commands are carried out: it is told when all those are replied to. */
  #held: (() => void)[] | undefined
  #out: Encoded[] = []
  #received = ''
  #isFrozen = false

  protected constructor(sw: SimulatedSwitch, socket: Socket) {
    this.sw = sw
    this.#socket = socket
    socket.on('data', (chunk) => {
      this.onActivity()
      this.#received += chunk.toString()
      this.#run(this.#parser.push(chunk))
    })
    socket.on('error', () => undefined)
    socket.on('end', () => {
      this.close()
    })
    socket.on('close', () => {
      this.onActivity()
      this.isClosing = true
      this.leave()
      this.isClosed = true
      this.onClosed()
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

  /** @param text one reply's headers behind `Reply-Text: `, FreeSWITCH's buffer cut off */
  reply(text: string): void {
    this.write(`Content-Type: command/reply\nReply-Text: ${text.slice(0, 511)}\n\n`)
  }

  apiResponse(body: string): void {
    const text = body === '' ? '-ERR no reply\n' : body
    this.write(`Content-Type: api/response\nContent-Length: ${Buffer.byteLength(text)}\n\n${text}`)
  }

  offer(event: FiredEvent): void {
    if (this.isClosing || !this.subscription.wants(event, this.ownUuid)) return
    const frame = event.frame(this.subscription.format)
    this.whenReplied(() => {
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

  /** Says goodbye and closes, whoever wanted it. */
  close(saysGoodbye = true): void {
    if (this.isClosing) return
    if (saysGoodbye)
      this.write(
        `Content-Type: text/disconnect-notice\n${this.goodbyeHeaders()}` +
          `Content-Length: ${goodbye.length}\n\n${goodbye}`,
      )
    this.isClosing = true
    this.#flush()
    this.#socket.end()
    this.leave()
  }

  /** Breaks off without a word. */
  destroy(): void {
    this.isClosing = true
    this.#socket.destroy()
    this.leave()
  }

  /** As when the switch's process is stopped: the socket stays, nothing is read and nothing comes, until it goes on. */
  freeze(isFrozen: boolean): void {
    this.#isFrozen = isFrozen
    if (isFrozen) this.#socket.pause()
    else {
      this.#socket.resume()
      this.#flush()
    }
  }

  /** Carries one command out and replies. */
  protected abstract carryOut(command: ServerCommand): void
  /** Something came from the server. */
  protected abstract onActivity(): void
  protected abstract onClosed(): void
  /** It is about to close, or is closed: it hears no more. May be called again. */
  protected abstract leave(): void

  /** What the goodbye says besides, each line with its newline. */
  protected goodbyeHeaders(): string {
    return ''
  }

  /** FreeSWITCH's thread for a socket reads all commands that are there before it tells anything. */
  protected whenReplied(tell: () => void): void {
    if (this.#held === undefined) tell()
    else this.#held.push(tell)
  }

  #run(commands: readonly ServerCommand[]): void {
    this.#held ??= []
    for (const command of commands) {
      if (this.isClosing) return
      if (this.#waiting === undefined) {
        this.commands.push(command)
        this.carryOut(command)
      } else this.#waiting.push(command)
    }
    if (this.#waiting !== undefined) return
    const held = this.#held
    this.#held = undefined
    for (const tell of held) tell()
  }

  #send(pieces: readonly Encoded[]): void {
    if (this.isClosing) return
    // One write for all that happens in a turn, as FreeSWITCH's one read shows it.
    if (this.#out.length === 0)
      setImmediate(() => {
        this.#flush()
      })
    this.#out.push(...pieces)
  }

  #flush(): void {
    if (this.#isFrozen) return
    const pieces = this.#out
    this.#out = []
    if (pieces.length === 0 || !this.#socket.writable) return
    const text = pieces.map((piece) => piece.text).join('')
    // Node writes what is known to be ASCII much faster.
    const bytes = pieces.reduce((sum, piece) => sum + piece.bytes, 0)
    this.#socket.write(text, bytes === text.length ? 'latin1' : 'utf8')
  }
}
