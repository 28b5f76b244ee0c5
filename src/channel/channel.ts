import { randomUUID } from 'node:crypto'
import * as command from '../esl/command.js'
import { UnsafeArgument } from '../esl/errors.js'
import type { DialString } from '../numbering/dial-string.js'
import { bridge, type BridgeResult } from './bridge.js'
import { collect, type Collected, type CollectOptions } from './collect.js'
import { giveBack, transfer, transferCommand } from './hand-over.js'
import { Lifetime } from './lifetime.js'
import type { Prompt } from './prompt.js'
import { queue, type QueueOptions, type QueueResult } from './queue.js'
import { record, stopRecording, type RecordingPath, type RecordOptions } from './recording.js'
import { play, soundOf } from './sounds.js'
import { multisetArgument, stateVariable, timerSeparator, timersVariable } from './variables.js'

export { causeIn, type BridgeResult } from './bridge.js'
export { stateVariable, timersVariable, timerSeparator } from './variables.js'

/** Of a caller's leg that costs something from its answer on. */
export interface TimedAnswer {
  /** What its call must remember. */
  readonly state: string
  /** The name of its hangup timer, and of those that others may have set before; and when it fires, in s. */
  readonly timers: readonly [timer: string, ...earlier: string[]]
  readonly seconds: number
}

/**
 * One caller's leg, and what can be done with it. Each verb resolves when FreeSWITCH has done it; when the
 * caller hangs up, every verb that runs, and each later one, rejects with CallerGone.
 */
export class Channel extends Lifetime {
  #waitsFor: 'queue' | 'bridge' | undefined

  /** What runs until somebody has talked to the caller, or does not; undefined: neither. */
  get waitsFor(): 'queue' | 'bridge' | undefined {
    return this.#waitsFor
  }

  /**
   * Does nothing when it is answered.
   * @param timed is on the channel before: its state, and when it is hung up, as it costs something
   */
  async answer(timed?: TimedAnswer): Promise<void> {
    if (this.isAnswered && this.isUp) return
    await this.line.execute('answer', '', timed === undefined ? [] : this.#timed(timed))
  }

  /**
   * One after the other, to the end or to the caller's `*`. Digits that are dialled meanwhile are lost.
   * @returns those that could not be played; of one that is said in several files, when none of them could
   */
  play(...prompts: readonly Prompt[]): Promise<Prompt[]> {
    return play(this.line, prompts)
  }

  /**
   * Plays prompts and takes digits, as often as it may be tried.
   * @param state is on the channel before the caller waits
   */
  collect(options: CollectOptions, state?: string): Promise<Collected> {
    return collect(this.line, options, state)
  }

  /**
   * Waits in a queue of mod_callcenter for an agent. When one has talked to the caller, the switch hangs up; who leaves
   * otherwise is still here. Answers the caller.
   * @param name `support@default`
   * @param state is on the channel before the caller waits
   */
  async queue(name: string, options: QueueOptions = {}, state?: string): Promise<QueueResult> {
    this.#waitsFor = 'queue'
    try {
      return await queue(this.line, name, options, state)
    } finally {
      this.#waitsFor = undefined
    }
  }

  /** Sets channel variables, by the dialplan's `multiset`: not to be used while the call is bridged. */
  async set(variables: Readonly<Record<string, string>>): Promise<void> {
    await this.line.execute('multiset', multisetArgument(variables))
  }

  /** Sets a variable at once, whatever runs; nothing in it is expanded. @param value a single token */
  async setNow(name: string, value: string): Promise<void> {
    await this.line.send(this.line.set(name, value))
  }

  /** Removes a variable, whatever runs. */
  async unset(name: string): Promise<void> {
    await this.line.send(this.line.set(name))
  }

  /** A variable as it is now, whatever runs. Prefer what the events carry. @param uuid of another leg, if it is there */
  async variable(name: string, uuid = this.uuid): Promise<string | undefined> {
    const value = await this.line.send(command.api('uuid_getvar', [uuid, name]))
    return value === '_undef_' ? undefined : value
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
    this.#waitsFor = 'bridge'
    try {
      return await bridge(this.line, to, variables, state)
    } finally {
      this.#waitsFor = undefined
    }
  }

  /**
   * Records the call from now on, or from its answer, to its end; where it went is told by RECORD_STOP. Interrupts
   * nothing: a talk goes on.
   * @returns false: the switch does not, and the call goes on without. Of a failure at the answer only its log tells.
   */
  record(to: RecordingPath, options: RecordOptions = {}): Promise<boolean> {
    return record(this.line, to, options, this.isAnswered)
  }

  /** @returns false: it was not recorded there */
  stopRecording(to: RecordingPath): Promise<boolean> {
    return stopRecording(this.line, to)
  }

  /** What the call must remember on the channel itself; interrupts nothing, and is not expanded (recording while-bridged). */
  async remember(state: string): Promise<void> {
    await this.line.send(this.line.set(stateVariable, state))
  }

  /** Under which names the hangup of a leg may be scheduled: on the leg itself. */
  async rememberTimers(legUuid: string, names: readonly string[]): Promise<void> {
    await this.line.send(command.api('uuid_setvar', [legUuid, timersVariable, names.join(timerSeparator)]))
  }

  /** Answers the caller's INVITE with a SIP status, which ends the call. */
  async respond(status: number, reason: string): Promise<void> {
    await this.line.send(command.execute('respond', `${status} ${reason}`))
  }

  /** Breaks off whatever runs. */
  async hangup(cause: string): Promise<void> {
    // mod_callcenter throws away what was sent to the channel between two rounds of its music.
    const isKilled = this.#waitsFor === 'queue'
    await this.line.sendInTurn([
      isKilled ? command.api('uuid_kill', [this.uuid, cause]) : command.hangup(cause),
    ])
  }

  /** The same, for whoever has the call by now, its dialplan too; whatever runs is broken off (recording while-bridged). */
  async kill(cause: string): Promise<void> {
    await this.connection.send(command.api('uuid_kill', [this.uuid, cause]))
  }

  /** Ends the call and listens to nothing that the switch may say after it. */
  async hangupUnheard(cause: string): Promise<void> {
    const replies = this.connection.sendAll([command.nolinger(), command.hangup(cause)])
    await Promise.all(replies)
    this.connection.close()
  }

  /**
   * The dialplan goes on with its next action. Nothing more can be done with the call here, which is not hung up; it
   * may come back on another socket.
   * @param variables of its channel, single tokens; an empty one is unset
   * @param state is on the channel by then
   */
  async giveBack(variables: Readonly<Record<string, string>> = {}, state?: string): Promise<void> {
    await giveBack(this.line, variables, state)
    this.leave('the call was given back to its dialplan')
  }

  /**
   * The call runs a dialplan of the switch; its events go on to its end (recording blind-transfer).
   * @param context without it the one that the call has
   */
  async transfer(destination: string, context?: string): Promise<void> {
    await transfer(this.line, destination, context)
    this.leave('the call was transferred')
  }

  /**
   * Sends the call to its own dialplan, beside what its route does: that ends by its events, and what the route would
   * begin from now on rejects with CallerGone. Where the switch refuses, both go on.
   * @param state is on the channel by then
   */
  async sendAway(destination: string, state: string): Promise<void> {
    await this.line.sendAway([this.line.set(stateVariable, state), transferCommand(this.uuid, destination)])
  }

  /**
   * Sends a leg of the call to a dialplan of the switch, out of whatever runs: what becomes of that its events tell.
   * @param context without it the one that the leg has
   */
  async sendLeg(uuid: string, destination: string, context?: string): Promise<void> {
    await this.line.send(transferCommand(uuid, destination, context))
  }

  /** Takes off what the dialplan scheduled for this channel before `socket` (recording guard-cancelled). */
  async cancelGuard(): Promise<void> {
    await this.line.send(command.api('sched_del', [this.uuid]))
  }

  /**
   * Hangs a leg up at a moment, unless that is taken off before (recording hangup-timer-extended).
   * @param at s since 1970, by the switch's clock
   * @param name to take it off by
   */
  async hangupLegAt(at: number, legUuid: string, name: string, cause: string): Promise<void> {
    await this.line.send(command.api('sched_api', [String(at), name, 'uuid_kill', legUuid, cause]))
  }

  /**
   * Takes off what is scheduled under a name; what a leg scheduled for itself is under its uuid. Also after the
   * caller's hangup (recording commands-after-hangup).
   */
  async unschedule(name: string): Promise<void> {
    if (!this.connection.isClosed) await this.connection.send(command.api('sched_del', [name]))
  }

  /**
   * Plays beside what runs: a talk goes on (recording while-bridged).
   * @param to the caller, whom he talks to, or both
   */
  async playBeside(what: Prompt, to: 'aleg' | 'bleg' | 'both' = 'aleg'): Promise<void> {
    const sound = await soundOf(this.line, [what])
    await this.line.send(command.api('uuid_broadcast', [this.uuid, sound, to]))
  }

  /** Has the party of a leg hear digits, whatever runs (recording while-bridged). */
  async sendDigits(uuid: string, digits: string): Promise<void> {
    await this.line.send(command.api('uuid_send_dtmf', [uuid, digits]))
  }

  /**
   * Rings a phone that nobody's call has dialled, and lets it listen in on this one once it answers; it rings no longer
   * than the call lasts.
   * @param uuid of the channel that is made
   */
  async letListen(phone: DialString, uuid: string): Promise<void> {
    const application = `&eavesdrop(${listenable(this.uuid)})`
    await this.line.send(command.bgapi('originate', [phone, application], randomUUID()))
    void this.over()
      .then(() => this.connection.send(command.api('uuid_kill', [uuid, 'ORIGINATOR_CANCEL'])))
      // One that has listened is over with the call, and where the socket is lost the ring time ends it.
      .catch(() => undefined)
  }

  #timed({ state, timers, seconds }: TimedAnswer): readonly command.Command[] {
    return [
      this.line.set(stateVariable, state),
      this.line.set(timersVariable, timers.join(timerSeparator)),
      command.api('sched_api', [`+${seconds}`, timers[0], 'uuid_kill', this.uuid, 'ALLOTTED_TIMEOUT']),
    ]
  }
}

/** The switch may make a channel's uuid out of what the caller chose, its SIP Call-ID. */
function listenable(uuid: string): string {
  if (!/^[A-Za-z0-9._@-]{1,256}$/.test(uuid)) throw new UnsafeArgument('no uuid to listen to')
  return uuid
}
