import { once } from 'node:events'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import type { Test } from 'tap'
import { apiResponse, reply } from './frames.js'
import { bytesOf, framesIn, transcript, until } from './wire.js'

const recorded = framesIn(bytesOf(transcript('inbound-monitor-and-originate')))
const recordedJob = recorded.find(({ body }) => body.includes('"Event-Name":"BACKGROUND_JOB"'))?.body ?? ''
const recordedEnd = recorded.find(({ body }) => body.includes('"Event-Name":"CHANNEL_HANGUP_COMPLETE"'))
const recordedCore = 'eda85f47-02db-420d-a0ca-2df0ddd538f5'

/** Event-Date-Timestamp of each `jobEvent`. */
export const jobMadeAt = Number((JSON.parse(recordedJob) as Record<string, string>)['Event-Date-Timestamp'])
/** A final event as recorded: its JSON. */
export const finalEvent = recordedEnd?.body ?? ''

export function eventFrame(json: string): string {
  return `Content-Length: ${Buffer.byteLength(json)}\nContent-Type: text/event-json\n\n${json}`
}

/** A BACKGROUND_JOB as recorded, with another uuid, result and FreeSWITCH. */
export function jobEvent(jobUuid: string, result: string, coreUuid = recordedCore): string {
  const headers = JSON.parse(recordedJob) as Record<string, string>
  return eventFrame(
    JSON.stringify({
      ...headers,
      'Core-UUID': coreUuid,
      'Job-UUID': jobUuid,
      'Content-Length': String(Buffer.byteLength(result)),
      _body: result,
    }),
  )
}

/** FreeSWITCH's end of one inbound connection, as far as a test scripts it. */
export interface InboundEnd {
  readonly socket: Socket
  /** What came, without the blank lines. */
  readonly commands: string[]
}

/**
 * What a test wants said to a command instead of what FreeSWITCH says, and `''` for nothing.
 */
export type Script = (command: string, end: InboundEnd) => string | undefined

/**
 * A FreeSWITCH's inbound event socket as the recordings show it, for what a real one does not do on demand:
 * to be late, broken or gone.
 */
export class InboundPeer {
  readonly ends: InboundEnd[] = []
  readonly password = 'ClueCon'
  coreUuid = recordedCore
  script: Script = () => undefined
  /** What FreeSWITCH says first. */
  greeting = 'Content-Type: auth/request\n\n'
  #server: Server | undefined
  #port = 0

  static async listen(t: Test): Promise<InboundPeer> {
    const peer = new InboundPeer()
    await peer.start()
    t.teardown(() => peer.stop())
    return peer
  }

  get port(): number {
    return this.#port
  }

  /** The connection that was opened last. */
  get end(): InboundEnd {
    const end = this.ends.at(-1)
    if (!end) throw new Error('nobody has connected')
    return end
  }

  /** Listens, where it did before. */
  async start(): Promise<void> {
    this.#server = createServer((socket) => {
      this.#accept(socket)
    }).listen(this.#port, '127.0.0.1')
    await once(this.#server, 'listening')
    this.#port = (this.#server.address() as AddressInfo).port
  }

  /** Breaks every connection, and refuses new ones. */
  async stop(): Promise<void> {
    const server = this.#server
    if (!server) return
    this.#server = undefined
    server.close()
    this.cut()
    await once(server, 'close')
  }

  cut(): void {
    for (const { socket } of this.ends) socket.destroy()
  }

  say(text: string): void {
    this.end.socket.write(text)
  }

  /** Resolves with the command of the connection in hand, when it has come. */
  async hears(start: string): Promise<string> {
    let found: string | undefined
    await until(() => {
      found = this.ends.at(-1)?.commands.find((command) => command.startsWith(start))
      return found !== undefined
    })
    return found ?? ''
  }

  #accept(socket: Socket): void {
    const end: InboundEnd = { socket, commands: [] }
    this.ends.push(end)
    socket.on('error', () => undefined)
    socket.write(this.greeting)
    let rest = ''
    socket.on('data', (chunk: Buffer) => {
      const commands = (rest + chunk.toString()).split('\n\n')
      rest = commands.pop() ?? ''
      for (const command of commands) {
        end.commands.push(command)
        socket.write(this.script(command, end) ?? this.#answer(command, socket))
      }
    })
  }

  #answer(command: string, socket: Socket): string {
    const [verb = '', first = ''] = command.split(/[ \n]/)
    switch (verb) {
      case 'auth':
        if (command === `auth ${this.password}`) return reply('+OK accepted')
        socket.end(bytesOf(transcript('inbound-auth-refused')).subarray(this.greeting.length))
        return ''
      case 'event':
        return reply('+OK event listener enabled json')
      case 'bgapi': {
        const jobUuid = jobUuidOf(command)
        const result = first === 'status' ? 'UP 0 years\n' : ''
        return jobReply(jobUuid) + (result && jobEvent(jobUuid, result, this.coreUuid))
      }
      default:
        return apiResponse(`-ERR ${first} Command not found!\n`)
    }
  }
}

export function jobUuidOf(command: string): string {
  return /^Job-UUID: (.*)$/m.exec(command)?.[1] ?? ''
}

export function jobReply(jobUuid: string): string {
  return reply(`+OK Job-UUID: ${jobUuid}\nJob-UUID: ${jobUuid}`)
}
