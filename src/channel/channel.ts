import { randomUUID } from 'node:crypto'
import * as command from '../esl/command.js'
import type { Command } from '../esl/command.js'
import type { Connection } from '../esl/connection.js'
import { CallerGone, UnsafeArgument } from '../esl/errors.js'
import type { Event } from '../esl/event.js'
import type { DialString } from '../numbering/dial-string.js'
import type { Prompt } from './prompt.js'

/** Variables of the caller's channel: what its call must remember, whoever serves it. */
export const stateVariable = 'linger_call'
export const timersVariable = 'linger_timers'
/** Between the names in there. */
export const timerSeparator = '+'

/** How a bridge ended. */
export interface BridgeResult {
  /** The two talked. */
  readonly isConnected: boolean
  /** Why it failed (`USER_BUSY`), or why the far end hung up after the talk. */
  readonly cause: string
}

interface Running {
  readonly resolve: (complete: Event) => void
  readonly reject: (error: Error) => void
}

/**
 * One caller's leg, and what can be done with it. Each verb resolves when FreeSWITCH has done it; when the
 * caller hangs up, every verb that runs, and each later one, rejects with CallerGone.
 */
export class Channel {
  readonly uuid: string
  readonly #connection: Connection
  readonly #running = new Map<string, Running>()
  readonly #observe: (event: Event) => void
  #isUp = true
  #hasHungUp = false
  #finalEvent: Event | undefined
  #onOver: (() => void) | undefined
  #onHangup: (() => void) | undefined

  /** @param observe sees each event of the call, before the verb that it ends resolves */
  constructor(connection: Connection, uuid: string, observe: (event: Event) => void) {
    this.#connection = connection
    this.uuid = uuid
    this.#observe = observe
    connection.onEvent = (event) => {
      this.#receive(event)
    }
    connection.onDisconnectNotice = (disposition) => {
      if (disposition === 'linger') this.#hungUp()
      else this.#lose()
    }
    void connection.closed().then(() => {
      this.#lose('the event socket is closed', { cause: connection.closedBy })
      this.#onOver?.()
      this.#onHangup?.()
    })
  }

  /** False from the moment when the caller's hangup is known. */
  get isUp(): boolean {
    return this.#isUp
  }

  /** The switch has said that the call is over. False for one whose socket was merely lost. */
  get hasHungUp(): boolean {
    return this.#hasHungUp
  }

  async answer(): Promise<void> {
    await this.#execute('answer')
  }

  async play(what: Prompt): Promise<void> {
    await this.#execute('playback', what)
  }

  /** Sets channel variables, by the dialplan's `multiset`: not to be used while the call is bridged. */
  async set(variables: Readonly<Record<string, string>>): Promise<void> {
    await this.#execute('multiset', multisetArgument(variables))
  }

  /**
   * Dials, and connects the caller to whoever answers first.
   * @param variables of the caller's channel, set on the way (one packet for all of it)
   * @param state is on the channel before anything is dialled
   */
  async bridge(
    to: DialString,
    variables: Readonly<Record<string, string>> = {},
    state?: string,
  ): Promise<BridgeResult> {
    const first: Command[] = []
    if (state !== undefined) first.push(this.#variable(stateVariable, state))
    if (Object.keys(variables).length > 0)
      first.push(command.execute('multiset', multisetArgument(variables)))
    const complete = await this.#execute('bridge', to, first)
    const disposition = causeIn(complete, 'variable_originate_disposition')
    const isConnected = disposition === 'SUCCESS'
    const hangup =
      causeIn(complete, 'variable_last_bridge_hangup_cause') ??
      causeIn(complete, 'variable_bridge_hangup_cause')
    return {
      isConnected,
      cause: isConnected
        ? (hangup ?? 'NORMAL_CLEARING')
        : (disposition ?? hangup ?? 'NORMAL_TEMPORARY_FAILURE'),
    }
  }

  /** What the call must remember on the channel itself; interrupts nothing, and is not expanded (recording while-bridged). */
  async remember(state: string): Promise<void> {
    await this.#send(this.#variable(stateVariable, state))
  }

  /** Under which names the hangup of the leg that talks may be scheduled. */
  async rememberTimers(names: readonly string[]): Promise<void> {
    await this.#send(this.#variable(timersVariable, names.join(timerSeparator)))
  }

  /** Answers the caller's INVITE with a SIP status, which ends the call. */
  async respond(status: number, reason: string): Promise<void> {
    await this.#send(command.execute('respond', `${status} ${reason}`))
  }

  async hangup(cause: string): Promise<void> {
    await this.#send(command.hangup(cause))
  }

  /** Ends the call and listens to nothing that the switch may say after it. */
  async hangupUnheard(cause: string): Promise<void> {
    const replies = this.#connection.sendAll([command.nolinger(), command.hangup(cause)])
    await Promise.all(replies)
    this.#connection.close()
  }

  /** Takes off what the dialplan scheduled for this channel before `socket` (recording guard-cancelled). */
  async cancelGuard(): Promise<void> {
    await this.#send(command.api('sched_del', [this.uuid]))
  }

  /**
   * Hangs a leg up at a moment, unless that is taken off before (recording hangup-timer-extended).
   * @param at s since 1970, by the switch's clock
   * @param name to take it off by
   */
  async hangupLegAt(at: number, legUuid: string, name: string, cause: string): Promise<void> {
    await this.#send(command.api('sched_api', [String(at), name, 'uuid_kill', legUuid, cause]))
  }

  /**
   * Takes off what is scheduled under a name; what a leg scheduled for itself is under its uuid. Also after the
   * caller's hangup (recording commands-after-hangup).
   */
  async unschedule(name: string): Promise<void> {
    if (!this.#connection.isClosed) await this.#connection.send(command.api('sched_del', [name]))
  }

  /** Plays to the caller beside what runs: a talk goes on (recording while-bridged). */
  async playBeside(what: Prompt): Promise<void> {
    await this.#send(command.api('uuid_broadcast', [this.uuid, what, 'aleg']))
  }

  /** Nothing more is done with the call, as its dialplan does something else with it; its events go on. */
  leave(why: string): void {
    this.#lose(why)
  }

  /** Resolves when the call is over, or its socket is closed. */
  async over(): Promise<void> {
    if (this.#hasHungUp || this.#connection.isClosed) return
    await new Promise<void>((resolve) => {
      this.#onHangup = resolve
    })
  }

  /**
   * CHANNEL_HANGUP_COMPLETE, which alone carries the exact times; undefined when it does not come.
   * @param withinMs counted from the caller's hangup
   */
  async finalEvent(withinMs: number): Promise<Event | undefined> {
    if (this.#finalEvent === undefined && !this.#connection.isClosed) {
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
    if (this.#connection.isClosed) return
    await this.#connection.send(command.exit())
  }

  #receive(event: Event): void {
    this.#observe(event)
    switch (event.name) {
      case 'CHANNEL_EXECUTE_COMPLETE': {
        const id = event.peek('Application-UUID') ?? ''
        const running = this.#running.get(id)
        this.#running.delete(id)
        running?.resolve(event)
        return
      }
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
  }

  #hungUp(): void {
    this.#hasHungUp = true
    this.#lose()
    this.#onHangup?.()
  }

  /** A hangup is told up to four times over: the error, dear for its stack, is made only for who waits. */
  #lose(message?: string, options?: ErrorOptions): void {
    this.#isUp = false
    if (this.#running.size === 0) return
    const reason = new CallerGone(message, options)
    const running = [...this.#running.values()]
    this.#running.clear()
    for (const { reject } of running) reject(reason)
  }

  #execute(application: string, argument = '', first: readonly Command[] = []): Promise<Event> {
    if (!this.#isUp) return Promise.reject(new CallerGone())
    const eventUuid = randomUUID()
    const commands = [...first, command.execute(application, argument, { eventUuid })]
    return new Promise((resolve, reject) => {
      this.#running.set(eventUuid, { resolve, reject })
      for (const reply of this.#connection.sendAll(commands)) {
        reply.catch((error: unknown) => {
          this.#running.delete(eventUuid)
          reject(error instanceof Error ? error : new Error(String(error)))
        })
      }
    })
  }

  #variable(name: string, value: string): Command {
    return command.api('uuid_setvar', [this.uuid, name, value])
  }

  async #send(what: Command): Promise<void> {
    if (!this.#isUp) throw new CallerGone()
    await this.#connection.send(what)
  }
}

/** A dial string that never became a leg leaves `failure` there, which is no cause to hang up with. */
export function causeIn(event: Event, variable: string): string | undefined {
  const cause = event.peek(variable)
  return cause !== undefined && /^[A-Z0-9_]+$/.test(cause) ? cause : undefined
}

const variableName = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/

/** `^^:a=1:b=2`, so that a value may hold a comma; a value that holds the separator is refused. */
function multisetArgument(variables: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(variables).map(([name, value]) => {
    if (!variableName.test(name)) throw new UnsafeArgument(`no variable name: ${JSON.stringify(name)}`)
    if (value.includes(':')) throw new UnsafeArgument(`':' would split the value of ${name}`)
    return `${name}=${value}`
  })
  return `^^:${pairs.join(':')}`
}
