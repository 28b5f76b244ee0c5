import { q850Of } from './causes.js'
import { callerChannel } from './caller-channel.js'
import type { Channel } from './channel.js'
import { CallClock, type Speed } from './clock.js'
import type { ServerCommand } from './command-parser.js'
import type { Action, Destination } from './dialplan.js'
import type { FiredEvent } from './events.js'
import type { FarEnd, FarEndChoice } from './far-end.js'
import type { CalledLeg } from './called-leg.js'
import type { LegOutcome } from './legs.js'
import type { Listener } from './listener.js'
import type { HangupParty, TransferTarget } from './messages.js'
import type { QueueScript } from './queue.js'
import { Session } from './session.js'
import type { SimulatedSwitch } from './switch.js'

export interface CallOptions {
  /** Where the dialplan's `socket` goes; several hosts are tried in turn. */
  readonly to?: readonly Destination[]
  /** The dialplan's `sched_hangup` before `socket`. */
  readonly guardSeconds?: number
  /** What the dialplan does when the server lets go of the call. Nothing: it is hung up. */
  readonly nextActions?: readonly Action[]
  /** The whole dialplan, instead of the three above. */
  readonly dialplan?: readonly Action[]
  /** What the dialplan does with the call once it is transferred. The same again unless told. */
  readonly transferDialplan?: (target: TransferTarget) => readonly Action[]
  readonly uuid?: string
  /** `outbound`: the switch has made it itself. Default `inbound`. */
  readonly direction?: 'inbound' | 'outbound'
  readonly caller: string
  readonly callerName?: string
  readonly called: string
  /** Default `public`. */
  readonly context?: string
  /** The SIP profile that the call came in on. Default `internal`. */
  readonly profile?: string
  /** As a directory or the dialplan sets them: accountcode, sip_authorized, … */
  readonly variables?: Readonly<Record<string, string>>
  /** Default: answers at once and never hangs up. */
  readonly farEnd?: FarEndChoice
  /** BYE, or CANCEL before an answer, so long after the call began. */
  readonly callerHangsUpAfterMs?: number
  /** What the caller types: one entry for each time that digits are asked for, empty for nothing. */
  readonly digits?: readonly string[]
  /** What the caller types so long after the call began, whether or not anybody asks. */
  readonly dials?: readonly { readonly afterMs: number; readonly digits: string }[]
  /** Sounds that are not there. */
  readonly missingSounds?: readonly string[]
  /** No file can be written. */
  readonly cannotRecord?: boolean
  /** No `uuid_transfer` is done. */
  readonly cannotTransfer?: boolean
  /** What is recorded goes on to the end of the call. */
  readonly cannotStopRecording?: boolean
  /** What becomes of the caller in a queue. Nobody comes, unless told. */
  readonly queue?: QueueScript
  /** How long any file plays. Default 1000. */
  readonly promptMs?: number
  /** How long CHANNEL_HANGUP is on its way, which API commands overtake. Default 0. */
  readonly hangupToldAfterMs?: number
  /** How long mod_json_cdr holds CHANNEL_HANGUP_COMPLETE back. */
  readonly finalEventDelayMs?: number
  /** Default `instant`. */
  readonly speed?: Speed
  /**
   * How long a server may be silent before an instant call goes on, real ms; ten times as long while
   * nothing runs. Default 10.
   */
  readonly settleMs?: number
  /** Every event of the call, subscribed to or not. To be read at once. */
  readonly onEvent?: (event: FiredEvent) => void
}

/** What became of a call. Times in µs since 1970. */
export interface CallOutcome {
  readonly uuid: string
  readonly cause: string
  readonly q850Cause: number
  readonly hungUpBy: HangupParty
  readonly startedAt: number
  readonly answeredAt: number | undefined
  readonly endedAt: number
  readonly legs: readonly LegOutcome[]
  readonly connections: readonly ConnectionOutcome[]
  /** Everything that the server wrote with `${` in it: nothing from outside may ever be among it. */
  readonly expansions: readonly string[]
  /** What was played to the caller, in order, whether or not it was cut short. */
  readonly heard: readonly string[]
  /** A variable of the channel at its end. */
  variable(name: string): string | undefined
}

export interface ConnectionOutcome {
  readonly destination: Destination
  /** Whether `connect` came. */
  readonly wasConnected: boolean
  /** What the server sent. */
  readonly commands: readonly ServerCommand[]
  readonly received: string
}

const defaultSettleMs = 10
const defaultPromptMs = 1000

/** One call: what a test or a demonstration holds of it. */
export class Call {
  readonly sw: SimulatedSwitch
  readonly options: CallOptions
  readonly clock: CallClock
  readonly session: Session
  readonly listeners: Listener[] = []
  readonly expansions: string[] = []
  readonly heard: string[] = []
  /** Whether the switch died with it: nothing of it is told any more. */
  isDead = false
  /** Sockets that are being opened. */
  openingCount = 0
  /** When CHANNEL_HANGUP_COMPLETE has been fired. */
  readonly hungUp: Promise<void>
  /** When moreover every socket is closed, and every leg that it dialled is over. */
  readonly ended: Promise<CallOutcome>
  readonly #legs: CalledLeg[] = []
  readonly #following: Promise<void>[] = []
  readonly #awaited = new Map<string, (() => void)[]>()
  #digitsGiven = 0
  #hungUpBy: HangupParty = 'switch'
  #onAllClosed: (() => void) | undefined

  constructor(sw: SimulatedSwitch, options: CallOptions) {
    this.sw = sw
    this.options = options
    const { speed = 'instant', settleMs = defaultSettleMs } = options
    this.clock = new CallClock(sw.nowUs(), speed, settleMs)
    this.session = new Session(this, callerChannel(sw, options, this.clock.now))
    this.session.announce()
    if (options.callerHangsUpAfterMs !== undefined)
      this.clock.after(options.callerHangsUpAfterMs, 'script', () => {
        this.#callerHangsUp()
      })
    for (const { afterMs, digits } of options.dials ?? [])
      this.clock.after(afterMs, 'script', () => {
        this.session.receiveDigits(digits)
      })
    this.hungUp = this.session.run(this.#actions())
    this.ended = this.#end()
  }

  get uuid(): string {
    return this.session.uuid
  }

  get isAnswered(): boolean {
    return this.session.channel.isAnswered
  }

  get isTalking(): boolean {
    return this.session.bridgedLeg !== undefined
  }

  /** The server was connected to and went without a `connect`: the channel waits for ever. */
  get parked(): boolean {
    return this.session.isParkedForEver && !this.session.channel.isDown
  }

  get promptMs(): number {
    return this.options.promptMs ?? defaultPromptMs
  }

  /** The legs that it has dialled, in order. */
  get legs(): readonly CalledLeg[] {
    return this.#legs
  }

  /** The caller hangs up now. @param cause unless it is NORMAL_CLEARING, or ORIGINATOR_CANCEL before an answer */
  hangup(cause?: string): void {
    this.clock.sync()
    this.#callerHangsUp(cause)
  }

  /** The caller types digits now. */
  dial(digits: string): void {
    this.clock.sync()
    this.session.receiveDigits(digits)
  }

  /** The caller's phone holds the call now, or takes it up again. */
  hold(isHeld: boolean): void {
    this.clock.sync()
    this.session.hold(isHeld)
  }

  /** Makes the next thing happen on a `manual` clock. @returns false if there is nothing left to happen */
  step(): boolean {
    return this.clock.step()
  }

  /** @returns when an event of this name is fired next; rejects when the call ends without it */
  until(eventName: string): Promise<void> {
    const fired = new Promise<void>((resolve, reject) => {
      const waiting = this.#awaited.get(eventName) ?? []
      this.#awaited.set(eventName, [...waiting, resolve])
      void this.ended.then(({ cause }) => {
        reject(new Error(`the call ended (${cause}) and no ${eventName} was fired`))
      })
    })
    // Not everybody who asks waits for it.
    fired.catch(() => undefined)
    return fired
  }

  /** Cuts the call off without a word, as a switch that dies: nothing more is fired, sockets break. */
  destroy(): void {
    this.isDead = true
    this.clock.close()
    for (const leg of [this.session, ...this.#legs]) this.sw.removeLeg(leg)
    for (const listener of this.listeners) listener.destroy()
  }

  // What the call's thread and sockets use.

  farEndOf(dialString: string): FarEnd {
    const { farEnd = { answersAfterMs: 0 } } = this.options
    return typeof farEnd === 'function' ? farEnd(dialString) : farEnd
  }

  actionsFor(target: TransferTarget): readonly Action[] {
    return this.options.transferDialplan?.(target) ?? this.#actions()
  }

  /** What the caller types when digits are asked for. */
  nextDigits(): string | undefined {
    return this.options.digits?.[this.#digitsGiven++]
  }

  isMissing(sound: string): boolean {
    return this.options.missingSounds?.includes(sound) ?? false
  }

  noteText(texts: readonly string[]): void {
    this.expansions.push(...texts.filter((text) => text.includes('${')))
  }

  noteHangup(session: Session, by: HangupParty): void {
    if (session === this.session) this.#hungUpBy = by
  }

  noteLeg(leg: CalledLeg): void {
    this.#legs.push(leg)
  }

  noteClosed(): void {
    if (this.listeners.every((listener) => listener.isClosed)) this.#onAllClosed?.()
  }

  noteEvent(name: string): void {
    const waiting = this.#awaited.get(name)
    this.#awaited.delete(name)
    for (const resolve of waiting ?? []) resolve()
  }

  /** A leg of the call goes on as a channel of its own, and the call ends when that does. */
  goOnAs(channel: Channel, target: TransferTarget): Session {
    const session = new Session(this, channel)
    this.#following.push(session.run(this.actionsFor(target)))
    return session
  }

  #actions(): readonly Action[] {
    const { dialplan, to = [], guardSeconds, nextActions = [] } = this.options
    const socket: Action = guardSeconds === undefined ? { socket: to } : { socket: to, guardSeconds }
    return dialplan ?? [socket, ...nextActions]
  }

  #callerHangsUp(cause?: string): void {
    this.session.hangup(cause ?? (this.isAnswered ? 'NORMAL_CLEARING' : 'ORIGINATOR_CANCEL'), 'caller')
  }

  async #end(): Promise<CallOutcome> {
    await this.hungUp
    await Promise.all(this.#following)
    await Promise.all(this.#legs.map((leg) => leg.over))
    if (this.listeners.some((listener) => !listener.isClosed))
      await new Promise<void>((resolve) => {
        this.#onAllClosed = resolve
      })
    this.clock.close()
    this.sw.scheduler.forget(this.clock)
    return this.#outcome()
  }

  #outcome(): CallOutcome {
    const { channel } = this.session
    const { fields } = channel.profile
    const cause = channel.hangupCause ?? ''
    return {
      uuid: this.uuid,
      cause,
      q850Cause: q850Of(cause),
      hungUpBy: this.#hungUpBy,
      startedAt: fields.created,
      answeredAt: channel.isAnswered ? fields.answered : undefined,
      endedAt: fields.hungUp,
      legs: this.#legs.map((leg) => leg.outcome()),
      connections: this.listeners.map((listener) => ({
        destination: listener.destination,
        wasConnected: listener.isConnected,
        commands: listener.commands,
        received: listener.received,
      })),
      expansions: this.expansions,
      heard: this.heard,
      variable: (name) => channel.variable(name),
    }
  }
}
