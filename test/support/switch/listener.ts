import { connect as openSocket, type Socket } from 'node:net'

import type { CallClock } from './clock.js'
import type { ServerCommand } from './command-parser.js'
import { runOutboundCommand } from './commands.js'
import type { Destination } from './dialplan.js'
import { EventSocket } from './event-socket.js'
import type { Session } from './session.js'

/** When in a hangup a socket learns of it, which on FreeSWITCH is a matter of chance. */
export const noticeStages = ['beforeHangup', 'afterHangup', 'beforeFinal', 'afterFinal'] as const
export type NoticeStage = (typeof noticeStages)[number]

/** How long FreeSWITCH waits for the first command. */
const firstCommandSeconds = 25

/** One socket to a server, opened by the application `socket`. */
export class Listener extends EventSocket {
  readonly session: Session
  readonly destination: Destination
  isConnected = false
  /** Undefined: it does not linger; -1: for ever. */
  lingerSeconds: number | undefined
  readonly #noticeStage: NoticeStage

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
        const listener = new Listener(session, destination, socket)
        if (call.isDead) listener.destroy()
        else resolve(listener)
      })
    })
  }

  private constructor(session: Session, destination: Destination, socket: Socket) {
    super(session.sw, socket)
    this.session = session
    this.destination = destination
    this.#noticeStage = session.sw.chooseNoticeStage()
    session.listeners.add(this)
    session.call.listeners.push(this)
    session.clock.after(firstCommandSeconds * 1000, 'watchdog', () => {
      if (this.commands.length === 0) this.close()
    })
  }

  get ownUuid(): string {
    return this.session.uuid
  }

  get clock(): CallClock {
    return this.session.clock
  }

  /** The first command was `connect`, or one after it. */
  connected(): void {
    this.isConnected = true
    this.session.signal('connected')
  }

  /** The channel is going down; each socket gets to know of it at one of these points. */
  channelDown(stage: NoticeStage): void {
    if (stage !== this.#noticeStage) return
    this.whenReplied(() => {
      if (this.lingerSeconds === undefined) this.close()
      else this.#linger(this.lingerSeconds)
    })
  }

  protected carryOut(command: ServerCommand): void {
    runOutboundCommand(this, command)
  }

  protected onActivity(): void {
    this.session.clock.sync()
  }

  protected onClosed(): void {
    this.session.call.noteClosed()
  }

  /** Takes the control of a live channel away. */
  protected leave(): void {
    const { session } = this
    if (!session.listeners.delete(this)) return
    session.sw.openSockets.delete(this)
    if (!this.isConnected) session.isParkedForEver = true
    session.release()
  }

  protected override goodbyeHeaders(): string {
    return `Controlled-Session-UUID: ${this.session.uuid}\nContent-Disposition: disconnect\n`
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
}
