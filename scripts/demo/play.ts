import type { Call, CallOptions, CallOutcome } from '../../test/support/switch/call.js'
import type { ServerCommand } from '../../test/support/switch/command-parser.js'
import type { FiredEvent } from '../../test/support/switch/events.js'
import { SimulatedSwitch } from '../../test/support/switch/switch.js'

/** Real ms between two steps of a call: slow enough to be read, whatever time passes in the call. */
const paceMs = 250

/**
 * Plays calls on the simulated switch and shows each step when it happens, by the call's own clock.
 */
export class Stage {
  readonly #switch: SimulatedSwitch
  /** So that a call which takes a minute of its own time ends about now, not in the future. */
  #earlierMs = 0

  constructor() {
    this.#switch = new SimulatedSwitch({ noticeOrder: 'recorded', now: () => Date.now() - this.#earlierMs })
  }

  /**
   * @param lastsMs about, by the call's clock
   * @throws Error when the server did not take the call
   */
  async play(options: CallOptions, lastsMs = 0): Promise<CallOutcome> {
    this.#earlierMs = lastsMs
    const steps = new Steps()
    const call = this.#switch.call({
      ...options,
      settleMs: paceMs,
      onEvent: (event) => {
        steps.event(event)
      },
    })
    steps.follow(call)
    const outcome = await call.ended
    steps.commands()
    const [connection] = outcome.connections
    if (connection === undefined) throw new Error('nobody listens on the event socket (ESL_LISTEN)')
    if (!connection.wasConnected)
      throw new Error('the server closed the event socket at once: its log says why (ESL_ALLOW?)')
    return outcome
  }
}

/** What has been shown of one call. */
class Steps {
  /** Undefined while it is being made: its first events are fired then. */
  #call: Call | undefined
  #startUs = 0
  #shown = 0

  follow(call: Call): void {
    this.#call = call
    this.#startUs = call.clock.now
    const [to] = call.options.to ?? []
    this.#show('switch', `hands the call to the socket ${to?.host ?? ''}:${to?.port ?? ''}`)
  }

  event(event: FiredEvent): void {
    this.commands()
    const text = describe(event)
    if (text !== undefined) this.#show('switch', text)
  }

  /** What the server has said since the last look. */
  commands(): void {
    const all = this.#call?.listeners.flatMap(({ commands }) => commands) ?? []
    for (const command of all.slice(this.#shown)) {
      const text = say(command)
      if (text !== undefined) this.#show('Linger', text)
    }
    this.#shown = all.length
  }

  #show(who: string, what: string): void {
    const seconds = (((this.#call?.clock.now ?? 0) - this.#startUs) / 1e6).toFixed(3)
    console.log(`${seconds.padStart(11)} s  ${who.padEnd(6)}  ${what}`)
  }
}

function describe(event: FiredEvent): string | undefined {
  switch (event.name) {
    case 'CHANNEL_PROGRESS':
      return 'it rings'
    case 'CHANNEL_ANSWER':
      return 'the caller is answered'
    case 'DTMF':
      return `the caller dials ${event.get('DTMF-Digit') ?? ''}`
    case 'CHANNEL_BRIDGE':
      return 'the two talk'
    case 'CHANNEL_UNBRIDGE':
      return 'the talk is over'
    case 'CHANNEL_HANGUP':
      return `the call is hung up: ${event.get('Hangup-Cause') ?? ''}`
    case 'CHANNEL_HANGUP_COMPLETE':
      return 'sends the final event, with the exact times'
    default:
      return undefined
  }
}

function say({ line, headers }: ServerCommand): string | undefined {
  const [verb = '', ...words] = line.split(' ')
  switch (verb) {
    case 'connect':
      return 'takes the call: connect, linger, myevents, nixevent in one packet'
    case 'api':
      return sayApi(words)
    case 'sendmsg':
      return headers.get('call-command') === 'hangup'
        ? `hangs up: ${headers.get('hangup-cause') ?? ''}`
        : execution(headers.get('execute-app-name') ?? '', headers.get('execute-app-arg') ?? '')
    case 'exit':
      return 'has the record on its disk, and lets go'
    default:
      return undefined
  }
}

function sayApi([name = '', ...words]: readonly string[]): string {
  if (name === 'sched_del') return "takes the dialplan's guard timer off"
  if (name === 'uuid_setvar' && words[1] === 'linger_call') return 'notes on the channel where the call is'
  if (name === 'uuid_broadcast') return `warns the caller by a tone: ${words[1] ?? ''}`
  return [name, ...words].join(' ')
}

function execution(application: string, argument: string): string {
  if (application === 'multiset') return `sets ${argument.replace('^^:', '').replaceAll(':', ', ')}`
  // Without the variables of the legs, which stand before it.
  if (application === 'bridge') {
    const timer = /sched_hangup \+(\d+)/.exec(argument)?.[1] ?? ''
    return `dials ${argument.replace(/^(?:\{[^}]*\}|\[[^\]]*\])*/, '')}, for ${timer} s at most so far`
  }
  return `${application} ${argument}`
}
