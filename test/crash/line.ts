import { once } from 'node:events'
import net from 'node:net'

/** What is seen of a line, in its order. */
export interface LineListener {
  /** The client has sent this. */
  onRequest?(connection: object, bytes: Buffer): void
  /** The server gets it now. */
  onForwarded?(connection: object, bytes: Buffer): void
  /** The client gets the server's answer now. */
  onAnswered?(connection: object, bytes: Buffer): void
  onClosed?(connection: object): void
}

type Direction = 'requests' | 'answers'

interface Target {
  readonly host: string
  readonly port: number
}

/** A line to a server, on which what is said can be seen, held back and made late. */
export class Line {
  readonly #target: Target
  readonly #listener: LineListener
  readonly #server: net.Server
  readonly #pipes: Readonly<Record<Direction, Set<Pipe>>> = { requests: new Set(), answers: new Set() }
  readonly #held = new Set<Direction>()
  #delayMs = 0

  private constructor(target: Target, listener: LineListener) {
    this.#target = target
    this.#listener = listener
    this.#server = net.createServer({ noDelay: true }, (near) => {
      this.#connect(near)
    })
  }

  static async to(target: Target, port: number, listener: LineListener = {}): Promise<Line> {
    const line = new Line(target, listener)
    line.#server.listen(port, '127.0.0.1')
    await once(line.#server, 'listening')
    return line
  }

  /** From now on nothing goes through in this direction. */
  hold(direction: Direction): void {
    this.#held.add(direction)
    for (const pipe of this.#pipes[direction]) pipe.isHeld = true
  }

  /** What was held goes on its way, if both its ends are still there. */
  release(): void {
    this.#held.clear()
    for (const direction of ['requests', 'answers'] as const)
      for (const pipe of this.#pipes[direction]) {
        pipe.isHeld = false
        pipe.pump()
      }
  }

  /** Every answer from now on comes so much later. */
  delayAnswers(ms: number): void {
    this.#delayMs = ms
  }

  /** The connections that there are: nothing of them arrives any more, and neither end is told. */
  loseAll(): void {
    for (const pipe of [...this.#pipes.requests, ...this.#pipes.answers]) pipe.lose()
  }

  /** The clients are told that their connections are gone; the server is not. */
  dropClients(): void {
    for (const pipe of this.#pipes.answers) pipe.endHere()
  }

  close(): void {
    this.#server.close()
    for (const pipe of [...this.#pipes.requests, ...this.#pipes.answers]) pipe.destroy()
  }

  #connect(near: net.Socket): void {
    const far = net.connect({ ...this.#target, noDelay: true })
    const listener = this.#listener
    const requests = new Pipe(near, far, () => 0)
    const answers = new Pipe(far, near, () => this.#delayMs)
    const connection = requests
    requests.onTaken = (bytes) => listener.onRequest?.(connection, bytes)
    requests.onGiven = (bytes) => listener.onForwarded?.(connection, bytes)
    answers.onGiven = (bytes) => listener.onAnswered?.(connection, bytes)
    for (const [direction, pipe] of [
      ['requests', requests],
      ['answers', answers],
    ] as const) {
      pipe.isHeld = this.#held.has(direction)
      this.#pipes[direction].add(pipe)
    }
    const end = (): void => {
      // The other end of a line that is lost is not told of this one's.
      if (requests.isLost || !this.#pipes.requests.delete(requests)) return
      this.#pipes.answers.delete(answers)
      requests.destroy()
      answers.destroy()
      listener.onClosed?.(connection)
    }
    for (const socket of [near, far]) {
      socket.on('error', () => undefined)
      socket.on('close', end)
    }
  }
}

/** One direction of a connection. */
class Pipe {
  isHeld = false
  isLost = false
  onTaken: ((bytes: Buffer) => void) | undefined
  onGiven: ((bytes: Buffer) => void) | undefined
  readonly #from: net.Socket
  readonly #to: net.Socket
  readonly #queue: { bytes: Buffer; at: number }[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(from: net.Socket, to: net.Socket, delayMs: () => number) {
    this.#from = from
    this.#to = to
    from.on('data', (bytes: Buffer) => {
      if (this.isLost) return
      this.onTaken?.(bytes)
      this.#queue.push({ bytes, at: performance.now() + delayMs() })
      this.pump()
    })
    from.on('end', () => {
      if (!this.isLost) this.destroy()
    })
  }

  pump(): void {
    clearTimeout(this.#timer)
    if (this.isHeld) return
    for (;;) {
      const [next] = this.#queue
      if (next === undefined) return
      const waitMs = next.at - performance.now()
      if (waitMs > 0) {
        this.#timer = setTimeout(() => {
          this.pump()
        }, waitMs)
        return
      }
      this.#queue.shift()
      this.onGiven?.(next.bytes)
      this.#to.write(next.bytes)
    }
  }

  lose(): void {
    this.isLost = true
    this.#queue.length = 0
    clearTimeout(this.#timer)
  }

  /** Destroys the end that it leads to. */
  endHere(): void {
    this.lose()
    this.#to.destroy()
  }

  destroy(): void {
    clearTimeout(this.#timer)
    this.#from.destroy()
    this.#to.destroy()
  }
}
