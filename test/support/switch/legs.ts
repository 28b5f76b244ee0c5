import type { Channel } from './channel.js'
import type { CallClock } from './clock.js'
import type { ExecutedApplication } from './final-variables.js'
import type { Session } from './session.js'

/** Whatever has a uuid that API commands can name: the channel of a call, or a leg that it dialled. */
export interface Leg {
  readonly uuid: string
  /** Its thread, if it runs a dialplan of its own. */
  readonly session: Session | undefined
  /** By which it lives. */
  readonly clock: CallClock
  readonly channel: Channel
  /** The application that it began last. */
  readonly lastApplication: ExecutedApplication | undefined
  variable(name: string): string | undefined
  setVariable(name: string, value: string): void
  /** Hung up by the switch: an API command, a timer. */
  kill(cause: string): void
  receiveDigits(digits: string): void
}

/** How a leg that was dialled came out. Times in µs. */
export interface LegOutcome {
  readonly uuid: string
  readonly dialString: string
  readonly number: string
  readonly gateway: string | undefined
  /** What was presented to it. */
  readonly callerIdNumber: string
  readonly dialledAt: number
  readonly answeredAt: number | undefined
  readonly endedAt: number | undefined
  readonly cause: string | undefined
  readonly sipStatus: number | undefined
}
