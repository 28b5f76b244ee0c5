import * as command from '../esl/command.js'
import type { Connection } from '../esl/connection.js'
import type { Event } from '../esl/event.js'
import { Line } from './line.js'

/** How long a caller's leg is there, and how long its socket: the one ends before the other, or after it. */
export class Lifetime {
  readonly uuid: string
  protected readonly connection: Connection
  protected readonly line: Line
  readonly #observe: (event: Event) => void
  #isAnswered: boolean
  #hasHungUp = false
  #finalEvent: Event | undefined
  #onOver: (() => void) | undefined
  readonly #onHangup: (() => void)[] = []

  /**
   * @param observe sees each event of the call, before the verb that it ends resolves
   * @param isAnswered when it came here
   */
  constructor(connection: Connection, uuid: string, observe: (event: Event) => void, isAnswered = false) {
    this.connection = connection
    this.line = new Line(connection, uuid)
    this.uuid = uuid
    this.#observe = observe
    this.#isAnswered = isAnswered
    connection.onEvent = (event) => {
      this.#receive(event)
    }
    connection.onDisconnectNotice = (disposition) => {
      if (disposition === 'linger') this.#hungUp()
      else this.line.lose()
    }
    void connection.closed().then(() => {
      this.line.lose('the event socket is closed', { cause: connection.closedBy })
      this.#onOver?.()
      this.#tellHangup()
    })
  }

  /** False from the moment when the caller's hangup is known, or that nothing more is to be done with the call. */
  get isUp(): boolean {
    return this.line.isUp
  }

  /** The switch has said that the call is over. False for one whose socket was merely lost. */
  get hasHungUp(): boolean {
    return this.#hasHungUp
  }

  /** Its caller is connected, to us or to a far end. */
  get isAnswered(): boolean {
    return this.#isAnswered
  }

  /** Nothing more is done with the call, as its dialplan does something else with it; its events go on. */
  leave(why: string): void {
    this.line.lose(why)
  }

  /** Resolves when nothing more can be done with the call. */
  gone(): Promise<void> {
    return this.line.lost()
  }

  /** Resolves when the call is over, or its socket is closed. */
  async over(): Promise<void> {
    if (this.#hasHungUp || this.connection.isClosed) return
    await new Promise<void>((resolve) => {
      this.#onHangup.push(resolve)
    })
  }

  /**
   * CHANNEL_HANGUP_COMPLETE, which alone carries the exact times; undefined when it does not come.
   * @param withinMs counted from the caller's hangup
   */
  async finalEvent(withinMs: number): Promise<Event | undefined> {
    if (this.#finalEvent === undefined && !this.connection.isClosed) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, withinMs)
        this.#onOver = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    return this.#finalEvent
  }

  /** Ends the lingering socket. */
  async exit(): Promise<void> {
    if (this.connection.isClosed) return
    await this.connection.send(command.exit())
  }

  #receive(event: Event): void {
    this.#observe(event)
    switch (event.name) {
      case 'CHANNEL_ANSWER':
        this.#isAnswered = true
        break
      case 'CHANNEL_HANGUP':
        this.#hungUp()
        return
      case 'CHANNEL_HANGUP_COMPLETE':
        this.#finalEvent = event
        this.#hungUp()
        this.#onOver?.()
        return
      default:
    }
    this.line.receive(event)
  }

  #hungUp(): void {
    this.#hasHungUp = true
    this.line.lose()
    this.#tellHangup()
  }

  #tellHangup(): void {
    for (const resolve of this.#onHangup.splice(0)) resolve()
  }
}
