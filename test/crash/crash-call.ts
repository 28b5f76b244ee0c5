import type { Call, CallOutcome } from '../support/switch/call.js'
import type { FiredEvent } from '../support/switch/events.js'
import type { Listener } from '../support/switch/listener.js'
import type { Plan } from './plans.js'
import type { AnyState, Component } from './states.js'

/** Something died while the call was in a state. */
export interface Hit {
  readonly kill: number
  readonly component: Component
  readonly state: AnyState
}

/** One call of the run, as the switch and the lines to the services show it. */
export class CrashCall {
  readonly plan: Plan
  readonly caller: string
  readonly hits: Hit[] = []
  /** Of a story of its own. */
  story: string | undefined
  outcome: CallOutcome | undefined
  /** Redis has been asked about it. */
  isScreened = false
  /** PostgreSQL has been given its record, and has not answered. */
  isCommitting = false
  isCommitted = false
  /** When credit was last asked for while it talks, by performance.now(). */
  extendedAt = 0
  readonly #sliceMs: number
  #call: Call | undefined
  #isBridging = false
  #isInMenu = false
  #isOver = false
  #talksSince = 0
  /** How many servers it had had when the present one, or the last, had done with Redis. */
  #screenedBy = 0

  constructor(plan: Plan, caller: string, sliceMs: number) {
    this.plan = plan
    this.caller = caller
    this.#sliceMs = sliceMs
  }

  /** Its dialplan has begun. */
  began(call: Call): void {
    this.#call = call
  }

  get uuid(): string {
    return this.#call?.uuid ?? ''
  }

  get hasEnded(): boolean {
    return this.outcome !== undefined
  }

  /** A server's port took it, if only the operating system's half of it. */
  get hasReachedServer(): boolean {
    return this.#listeners.length > 0
  }

  get isTalking(): boolean {
    return this.#call?.isTalking === true
  }

  /** @returns undefined when it is nowhere that matters: on its way to a server, or committed */
  get state(): AnyState | undefined {
    if (this.isCommitted || this.#call === undefined || !this.hasReachedServer) return undefined
    if (this.isCommitting) return 'in the commit'
    if (this.#isOver) return this.#stateAfterEnd()
    const { session } = this.#call
    if (session.channel.isDown) return 'hanging up'
    if (this.isTalking)
      return performance.now() - this.#talksSince > this.#sliceMs ? 'talking past a slice' : 'talking'
    if (this.#isBridging) return 'ringing'
    const open = this.#listeners.filter((listener) => session.listeners.has(listener))
    if (session.isParkedForEver || open.some((listener) => !listener.isConnected)) return 'before connect'
    if (open.length === 0) return 'between two servers'
    if (this.#isInMenu) return 'in a menu'
    return this.#screenedBy === this.#listeners.length ? 'being authorised' : 'being screened'
  }

  observe(event: FiredEvent): void {
    switch (event.name) {
      case 'CHANNEL_EXECUTE':
      case 'CHANNEL_EXECUTE_COMPLETE':
        if (event.get('Application') === 'bridge') this.#isBridging = event.name === 'CHANNEL_EXECUTE'
        if (event.get('Application') === 'play_and_get_digits')
          this.#isInMenu = event.name === 'CHANNEL_EXECUTE'
        return
      case 'CHANNEL_BRIDGE':
        this.#talksSince = performance.now()
        return
      case 'CHANNEL_HANGUP_COMPLETE':
        if (event.uuid === this.uuid) this.#isOver = true
        return
      default:
    }
  }

  /** What its servers said last, for whoever looks for a fault. */
  get lastCommands(): string {
    return this.#listeners
      .map(({ destination, commands, isClosed }) => {
        const lines = commands.map(({ line, headers }) =>
          line.startsWith('sendmsg')
            ? (headers.get('execute-app-name') ?? headers.get('call-command') ?? '')
            : line,
        )
        return `${destination.port}${isClosed ? '' : ' (open)'}: ${lines.slice(-8).join(' | ')}`
      })
      .join('\n    ')
  }

  /** Its server has asked Redis all that it wants to know, or goes on without. */
  askedEnough(): void {
    this.#screenedBy = this.#listeners.length
  }

  askedForCredit(): void {
    if (this.isTalking) this.extendedAt = performance.now()
    else this.askedEnough()
  }

  #stateAfterEnd(): AnyState {
    if (this.#listeners.some((listener) => !listener.isClosed && listener.isConnected && !saidExit(listener)))
      return 'lingering'
    return this.#listeners.some(saidExit) ? 'in the journal' : 'without a record'
  }

  get #listeners(): readonly Listener[] {
    return this.#call?.listeners ?? []
  }
}

function saidExit(listener: Listener): boolean {
  return listener.commands.at(-1)?.line === 'exit'
}
