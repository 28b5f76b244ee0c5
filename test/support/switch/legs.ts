import { randomUUID } from 'node:crypto'

import { refusalOf, type SipRefusal } from './causes.js'
import type { CallClock, Timer } from './clock.js'
import type { DialledLeg } from './dial-string.js'
import type { FarEnd } from './far-end.js'
import { Profile, type ProfileFields } from './profile.js'
import type { Session } from './session.js'

/** Whatever has a uuid that API commands can name: the channel of a call, or a leg that it dialled. */
export interface Leg {
  readonly uuid: string
  /** Its thread, if it runs a dialplan of its own. */
  readonly session: Session | undefined
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

export const outboundCallName = 'Outbound Call'
/** A called party that refuses does so this long after it was dialled, unless told. */
const refusalMs = 20

/** The called side of a bridge, from its dialling to its end. */
export class CalledLeg implements Leg {
  readonly uuid = randomUUID()
  readonly session = undefined
  readonly dialled: DialledLeg
  readonly farEnd: FarEnd
  readonly profile: Profile
  cause: string | undefined
  refusal: SipRefusal | undefined
  endedAt: number | undefined
  /** Whether it ended because its own party hung up. */
  hasHungUp = false
  /** Whether it was transferred away and lives on as a channel of its own. */
  hasLeft = false
  readonly #clock: CallClock
  readonly #variables = new Map<string, string>()
  readonly #timers: Timer[] = []
  readonly #onChange: (change: 'rings' | 'answers' | 'ends') => void

  constructor(
    session: Session,
    dialled: DialledLeg,
    farEnd: FarEnd,
    onChange: (change: 'rings' | 'answers' | 'ends') => void,
  ) {
    this.dialled = dialled
    this.farEnd = farEnd
    this.#clock = session.clock
    this.#onChange = onChange
    this.profile = new Profile(calledProfile(session, this.uuid, dialled))
    for (const [name, value] of dialled.variables) this.#variables.set(name, value)
  }

  get isAnswered(): boolean {
    return this.profile.fields.answered > 0
  }

  get isUp(): boolean {
    return this.cause === undefined && !this.hasLeft
  }

  dial(): void {
    const { ringsAfterMs, answersAfterMs, refusesWith, refusesAfterMs = refusalMs, failsWith } = this.farEnd
    if (failsWith !== undefined)
      this.#after(0, () => {
        this.end(failsWith)
      })
    if (refusesWith !== undefined)
      this.#after(refusesAfterMs, () => {
        this.refusal = refusalOf(refusesWith)
        this.end(this.refusal.cause)
      })
    if (ringsAfterMs !== undefined)
      this.#after(ringsAfterMs, () => {
        this.profile.update({ progress: this.#clock.now })
        this.#onChange('rings')
      })
    if (answersAfterMs !== undefined)
      this.#after(answersAfterMs, () => {
        this.#answer()
      })
  }

  /** Ends it once; later ends change nothing. */
  end(cause: string): void {
    if (!this.isUp) return
    this.cause = cause
    this.endedAt = this.#clock.now
    for (const timer of this.#timers) timer.cancel()
    this.#onChange('ends')
  }

  leave(): void {
    this.hasLeft = true
    this.#onChange('ends')
  }

  kill(cause: string): void {
    this.end(cause)
  }

  variable(name: string): string | undefined {
    return this.#variables.get(name)
  }

  setVariable(name: string, value: string): void {
    this.#variables.set(name, value)
  }

  receiveDigits(): void {
    // The called side's digits are nobody's here.
  }

  outcome(): LegOutcome {
    const { dialString, number, gateway } = this.dialled
    const { fields } = this.profile
    return {
      uuid: this.uuid,
      dialString,
      number,
      gateway,
      callerIdNumber: fields.callerIdNumber,
      dialledAt: fields.created,
      answeredAt: this.isAnswered ? fields.answered : undefined,
      endedAt: this.endedAt,
      cause: this.cause,
      sipStatus: this.refusal?.status,
    }
  }

  #answer(): void {
    this.profile.update({ answered: this.#clock.now })
    const { hangsUpAfterMs } = this.farEnd
    if (hangsUpAfterMs !== undefined)
      this.#after(hangsUpAfterMs, () => {
        this.hasHungUp = true
        this.end('NORMAL_CLEARING')
      })
    this.#onChange('answers')
  }

  #after(ms: number, run: () => void): void {
    this.#timers.push(this.#clock.after(ms, 'script', run))
  }
}

function calledProfile(session: Session, uuid: string, dialled: DialledLeg): ProfileFields {
  const { fields } = session.channel.profile
  const { variables } = session.channel
  const { now } = session.clock
  const presented = (name: 'number' | 'name', own: string): string =>
    dialled.variables.get(`origination_caller_id_${name}`) ??
    variables.get(`effective_caller_id_${name}`) ??
    own
  return {
    direction: 'outbound',
    logicalDirection: 'inbound',
    username: fields.username,
    callerIdName: presented('name', fields.callerIdName),
    callerIdNumber: presented('number', fields.callerIdNumber),
    origCallerIdName: fields.origCallerIdName,
    origCallerIdNumber: fields.origCallerIdNumber,
    calleeIdName: outboundCallName,
    calleeIdNumber: dialled.number,
    ani: fields.ani,
    destination: dialled.number,
    uuid,
    context: fields.context,
    channelName: `sofia/internal/${dialled.number}`,
    profileCreated: now,
    created: now,
    answered: 0,
    progress: 0,
    hungUp: 0,
    bridged: 0,
  }
}
