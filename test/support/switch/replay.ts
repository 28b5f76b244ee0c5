import { createServer, type AddressInfo, type Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'

import type { Call } from './call.js'
import type { Destination } from './dialplan.js'
import { FrameReader, type RecordedFrame, type RecordedStep } from './recordings.js'

/** Turns of the event loop without anything happening after which a replay is given up. */
const patience = 200_000

/** A server that says what a recorded one said, each time that it has heard as much as that one had. */
export class ReplayServer {
  /** What it heard. */
  readonly frames: RecordedFrame[] = []
  readonly #steps: RecordedStep[]
  /** Recorded uuids and what stands for them now. */
  readonly #uuids: Map<string, string>
  readonly #reader = new FrameReader()
  readonly #server = createServer({ allowHalfOpen: true }, (socket) => {
    this.#onConnection(socket)
  })
  #socket: Socket | undefined
  #hasSwitchClosed = false
  #framesUsed = 0

  /** @param uuids shared by the servers of one call */
  constructor(steps: readonly RecordedStep[], uuids: Map<string, string>) {
    this.#steps = [...steps]
    this.#uuids = uuids
  }

  async listen(): Promise<Destination> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return { host: '127.0.0.1', port: this.#port }
  }

  close(): void {
    this.#socket?.destroy()
    this.#server.close()
  }

  /** What was recorded and has not happened. */
  get stepsLeft(): readonly RecordedStep[] {
    return this.#steps
  }

  /** Takes the next recorded step, if it can be taken. @returns whether it could */
  advance(): boolean {
    const [step] = this.#steps
    const socket = this.#socket
    if (step === undefined || socket === undefined) return false
    if (step.from === 'switch') {
      const frame = this.frames[this.#framesUsed]
      if (frame === undefined) return false
      this.#learnUuids(step.frame, frame)
      this.#framesUsed++
    } else if (step.from === 'server') socket.write(this.#translate(step.text))
    else if (step.from === 'server-closes') socket.end()
    else if (!this.#hasSwitchClosed) return false
    this.#steps.shift()
    return true
  }

  /** Whether nothing is on its way between this server and the switch. */
  isQuiet(call: Call): boolean {
    const listener = call.listeners.find(({ destination }) => destination.port === this.#port)
    if (listener === undefined) return true
    if (this.#socket === undefined) return false
    if (listener.isClosed) return this.#hasSwitchClosed
    return (
      listener.isFlushed &&
      listener.bytesRead === this.#socket.bytesWritten &&
      listener.bytesWritten === this.#socket.bytesRead
    )
  }

  get #port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  #onConnection(socket: Socket): void {
    this.#socket = socket
    socket.on('data', (chunk) => {
      this.frames.push(...this.#reader.push(chunk))
    })
    socket.on('end', () => {
      this.#hasSwitchClosed = true
      socket.end()
    })
    socket.on('error', () => undefined)
  }

  #learnUuids(recorded: RecordedFrame, actual: RecordedFrame): void {
    for (const name of ['Unique-ID', 'Other-Leg-Unique-ID']) {
      const [from, to] = [recorded.event?.get(name), actual.event?.get(name)]
      if (typeof from === 'string' && typeof to === 'string') this.#uuids.set(from, to)
    }
  }

  #translate(text: string): string {
    let translated = text
    for (const [recorded, actual] of this.#uuids) translated = translated.replaceAll(recorded, actual)
    return translated
  }
}

/**
 * Lets recorded servers talk to a call with a `manual` clock, which is moved only when every server has
 * said what it had to and nothing is on its way: so nothing depends on how fast the machine is.
 *
 * @throws Error if something recorded does not happen
 */
export async function replay(call: Call, servers: readonly ReplayServer[]): Promise<void> {
  let turns = 0
  while (servers.some((server) => server.stepsLeft.length > 0)) {
    await nextTurn()
    if (servers.some((server) => server.advance())) turns = 0
    else {
      const isQuiet = call.openingCount === 0 && servers.every((server) => server.isQuiet(call))
      if (isQuiet && !call.step()) throw new Error(`nothing is left to happen${describe(servers)}`)
      if (++turns > patience) throw new Error(`nothing happens${describe(servers)}`)
    }
  }
}

function describe(servers: readonly ReplayServer[]): string {
  return servers
    .map((server) => {
      const [next] = server.stepsLeft
      if (next === undefined) return ''
      return `; waiting for ${JSON.stringify(next, (_, value: unknown) => (value instanceof Map ? (Object.fromEntries(value) as unknown) : value)).slice(0, 300)}`
    })
    .join('')
}
