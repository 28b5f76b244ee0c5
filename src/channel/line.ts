import { randomUUID } from 'node:crypto'
import * as command from '../esl/command.js'
import type { Command } from '../esl/command.js'
import type { Connection } from '../esl/connection.js'
import { CallerGone, CommandRefused } from '../esl/errors.js'
import type { Event } from '../esl/event.js'
import { setVariable } from './variables.js'

interface Waiting {
  readonly resolve: (event: Event) => void
  readonly reject: (error: Error) => void
}

/** An event that is waited for. */
export interface Awaited {
  /** Rejects with CallerGone when it cannot come any more. */
  readonly event: Promise<Event>
  /** It need not come. */
  forget(): void
}

/** What is said to the switch about one channel, and what runs on it because of that. The verbs are built on it. */
export class Line {
  readonly uuid: string
  readonly #connection: Connection
  /** By the id that comes back with the end of an application, or by an event's name. */
  readonly #waiting = new Map<string, Waiting>()
  readonly #onLost: (() => void)[] = []
  #isUp = true
  /** Resolves when the switch has refused to send the channel away, rejects when it has done so: what begins waits. */
  #sentAway: Promise<void> | undefined

  constructor(connection: Connection, uuid: string) {
    this.#connection = connection
    this.uuid = uuid
  }

  /** False from the moment when the caller's hangup is known, or that nothing more is to be done with the call. */
  get isUp(): boolean {
    return this.#isUp
  }

  /** Resolves when it is no longer up. */
  async lost(): Promise<void> {
    if (!this.#isUp) return
    await new Promise<void>((resolve) => this.#onLost.push(resolve))
  }

  /**
   * Runs a dialplan application.
   * @param first goes before it in the same packet
   * @returns CHANNEL_EXECUTE_COMPLETE
   */
  execute(application: string, argument = '', first: readonly Command[] = []): Promise<Event> {
    if (!this.#isUp) return Promise.reject(new CallerGone())
    if (this.#sentAway !== undefined)
      return this.#sentAway.then(() => this.execute(application, argument, first))
    const eventUuid = randomUUID()
    const asBody = argument.length > longestHeader
    const commands = [...first, command.execute(application, argument, { eventUuid, asBody })]
    return new Promise((resolve, reject) => {
      this.#waiting.set(eventUuid, { resolve, reject })
      for (const reply of this.#ask(commands)) {
        reply.catch((error: unknown) => {
          this.#waiting.delete(eventUuid)
          reject(error instanceof Error ? error : new Error(String(error)))
        })
      }
    })
  }

  /** The next event of a name; there is one who waits for it at a time. */
  next(name: string): Awaited {
    const event = new Promise<Event>((resolve, reject) => {
      if (this.#isUp) this.#waiting.set(name, { resolve, reject })
      else reject(new CallerGone())
    })
    // Whether anybody looks at it is not decided yet.
    event.catch(() => undefined)
    return {
      event,
      forget: () => {
        this.#waiting.delete(name)
      },
    }
  }

  async send(what: Command): Promise<string> {
    if (!this.#isUp) throw new CallerGone()
    return this.#heard(what, this.#connection.send(what))
  }

  /** Several commands in one packet, the replies to all of which are awaited. */
  async sendAll(commands: readonly Command[]): Promise<void> {
    if (!this.#isUp) throw new CallerGone()
    await Promise.all(this.#ask(commands))
  }

  /** The same for what leads the call on, like a verb: never out of where it has just been sent. */
  async sendInTurn(commands: readonly Command[]): Promise<void> {
    if (this.#sentAway !== undefined) await this.#sentAway
    await this.sendAll(commands)
  }

  /**
   * Sends the channel elsewhere, out of what runs. Whatever would begin on it from now on rejects with CallerGone once
   * it is there, and begins where the switch has refused to.
   */
  async sendAway(commands: readonly Command[]): Promise<void> {
    if (!this.#isUp) throw new CallerGone()
    const sent = Promise.all(this.#ask(commands))
    const sentAway = sent.then(
      () => {
        throw new CallerGone('the call was sent elsewhere')
      },
      () => {
        this.#sentAway = undefined
      },
    )
    this.#sentAway = sentAway
    try {
      await sent
    } finally {
      // What waited for it has begun, or rejected, by then; a refusal has left the channel as it was.
      await sentAway.catch(() => undefined)
    }
  }

  /** Sets one of the channel's variables; without a value it is unset. */
  set(name: string, value?: string): Command {
    return setVariable(this.uuid, name, value)
  }

  /** To be told of each event of the channel. */
  receive(event: Event): void {
    const key = event.name === 'CHANNEL_EXECUTE_COMPLETE' ? event.peek('Application-UUID') : event.name
    const waiting = key === undefined ? undefined : this.#waiting.get(key)
    if (key === undefined || waiting === undefined) return
    this.#waiting.delete(key)
    waiting.resolve(event)
  }

  /** A hangup is told up to four times over: the error, dear for its stack, is made only for who waits. */
  lose(message?: string, options?: ErrorOptions): void {
    this.#isUp = false
    for (const resolve of this.#onLost.splice(0)) resolve()
    if (this.#waiting.size === 0) return
    const reason = new CallerGone(message, options)
    const waiting = [...this.#waiting.values()]
    this.#waiting.clear()
    for (const { reject } of waiting) reject(reason)
  }

  #ask(commands: readonly Command[]): Promise<string>[] {
    return this.#connection.sendAll(commands).map((reply, at) => this.#heard(commands[at], reply))
  }

  /**
   * From the hangup on no API command finds the channel, and the reply that says so may overtake CHANNEL_HANGUP, which
   * goes through the switch's queue of events: either is how the hangup becomes known.
   */
  async #heard(what: Command | undefined, reply: Promise<string>): Promise<string> {
    try {
      return await reply
    } catch (error) {
      const isOfChannel = what?.text.startsWith(`api ${what.verb} ${this.uuid}`) === true
      if (!isOfChannel || !(error instanceof CommandRefused) || !noChannel.test(error.reply)) throw error
      this.lose()
      throw new CallerGone(undefined, { cause: error })
    }
  }
}

/** How mod_commands says that there is none: most of its commands, `uuid_flush_dtmf` and `uuid_record`. */
const noChannel = /no such (?:channel|session)|cannot locate session/i

/** A longer argument goes as a body (recording loops-and-body-argument), in characters. */
const longestHeader = 1000
