import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { Test } from 'tap'
import type { Listener } from '../../src/esl/listener.js'
import { reply } from './frames.js'
import { bytesOf, framesIn, transcript, until } from './wire.js'

const [recordedChannel] = framesIn(bytesOf(transcript('one-write-handshake')))
const recordedUuid = /^Unique-ID: (.*)$/m.exec(recordedChannel?.head ?? '')?.[1] ?? ''

export const handshakeCommands = 5

/** The reply to `connect`, as recorded, of the call that has this uuid. */
export function channelData(uuid: string, ...more: string[]): string {
  return [recordedChannel?.head.replaceAll(recordedUuid, uuid), ...more].join('\n') + '\n\n'
}

/** FreeSWITCH's side of one outbound connection, as far as a test scripts it. */
export class Peer {
  readonly socket: Socket
  received = ''

  constructor(t: Test, listener: Listener, localAddress?: string) {
    const { port } = listener.address
    this.socket = connect({ port, host: '127.0.0.1', ...(localAddress !== undefined && { localAddress }) })
    this.socket.on('data', (chunk) => (this.received += chunk.toString()))
    this.socket.on('error', () => undefined)
    t.teardown(() => this.socket.destroy())
  }

  /** A call whose handshake is answered as FreeSWITCH answers it. */
  static async call(t: Test, listener: Listener, uuid: string, ...headers: string[]): Promise<Peer> {
    const peer = new Peer(t, listener)
    await peer.hears(handshakeCommands)
    peer.say(
      channelData(uuid, ...headers) +
        reply('+OK will linger 30 seconds') +
        reply('+OK Events Enabled') +
        reply('+OK events nixed') +
        reply('+OK event listener enabled json'),
    )
    return peer
  }

  get commands(): string[] {
    return this.received.split('\n\n').slice(0, -1)
  }

  say(text: string): void {
    this.socket.write(text)
  }

  /** Resolves when so many commands have come, the handshake's included. */
  async hears(count: number): Promise<void> {
    await until(() => this.commands.length >= count)
  }

  async closed(): Promise<void> {
    if (!this.socket.destroyed) await once(this.socket, 'close')
  }
}
