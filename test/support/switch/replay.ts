import { createServer, type AddressInfo, type Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'

import type { Call } from './call.js'
import type { Destination } from './dialplan.js'
import { FrameReader, type RecordedFrame, type RecordedStep } from './recordings.js'

/** A server that says what a recorded one said, each time that it has heard as much as that one had. */
export class ReplayServer {
  readonly frames: RecordedFrame[] = []
  readonly #steps: RecordedStep[]
  readonly #server = createServer({ allowHalfOpen: true }, (socket) => {
    this.#onConnection(socket)
  })
  readonly #reader = new FrameReader()
  #socket: Socket | undefined
  #isEnded = false
  #awaitedFrames = 0
  /** Recorded uuids and those that stand for them here. */
  readonly #uuids: Map<string, string>

  /** @param uuids shared by the servers of one call */
  constructor(steps: readonly RecordedStep[], uuids: Map<string, string>) {
    this.#steps = [...steps]
    this.#uuids = uuids
  }

  async listen(): Promise<Destination> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return { host: '127.0.0.1', port: (this.#server.address() as AddressInfo).port }
  }

  close(): void {
    this.#socket?.destroy()
    this.#server.close()
  }

  /** Whether all was said and heard. */
  get isDone(): boolean {
    return this.#steps.length === 0
  }

  /** Says what is next, if it is this server's turn. @returns whether it was */
  speak(recordedFrames: readonly RecordedFrame[]): boolean {
    const [step] = this.#steps
    if (step === undefined || this.#socket === undefined) return false
    if (step.from === 'switch') {
      if (this.frames.length <= this.#awaitedFrames) return false
      this.#learnUuids(step.frame, this.frames[this.#awaitedFrames])
      this.#awaitedFrames++
    } else if (step.from === 'server') this.#socket.write(this.#translated(step.text))
    else if (step.from === 'server-closes') this.#socket.end()
    else if (!this.#isEnded) return false
    this.#steps.shift()
    return recordedFrames.length >= 0
  }

  /** Whether nothing is on its way between this server and the call's socket. */
  isQuiet(call: Call): boolean {
    const listener = call.listeners.find(({ destination }) => destination.port === this.#port)
    if (listener === undefined || this.#socket === undefined) return listener === undefined
    if (listener.isClosed) return this.#isEnded
    return (
      listener.isFlushed &&
      listener.bytesRead === this.#socket.bytesWritten &&
      listener.bytesWritten === this.#socket.bytesRead
    )
  }

  get #port(): number {
    return (this.#server.address() as AddressInfo).port
  }
}
