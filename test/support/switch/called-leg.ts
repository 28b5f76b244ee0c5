import { randomUUID } from 'node:crypto'

import {
  calledProfile,
  dialledChannel,
  exportedVariables,
  markAnswered,
  markBridged,
  markEnded,
  markResponded,
  transferredChannel,
  type Originator,
} from './called-channel.js'
import { refusalOf, type SipRefusal } from './causes.js'
import { calledDocument } from './cdr-document.js'
import type { Channel } from './channel.js'
import type { CallClock, Timer } from './clock.js'
import type { DialledLeg } from './dial-string.js'
import type { OwnHeaders } from './events.js'
import type { FarEnd } from './far-end.js'
import { setFinalVariables } from './final-variables.js'
import { Header } from './headers.js'
import { Profile } from './profile.js'
import type { TransferTarget } from './messages.js'
import type { Session } from './session.js'
import type { Leg, LegOutcome } from './legs.js'
import { frameMs } from './thread.js'

/** A called party that refuses does so this long after it was dialled, unless told. */
const refusalMs = 20

/** The called side of a bridge, from its dialling to its end. */
export class CalledLeg implements Leg {
  readonly uuid = randomUUID()
  readonly session = undefined
  readonly lastApplication = undefined
  readonly clock: CallClock
  readonly dialled: DialledLeg
  readonly farEnd: FarEnd
  readonly profile: Profile
  /** What its dial string and later commands gave it. */
  readonly ownVariables = new Map<string, string>()
  cause: string | undefined
  refusal: SipRefusal | undefined
  endedAt: number | undefined
  /** Whether it ended because its own party hung up. */
  hasHungUp = false
  /** Whether it lives on without who dialled it: as a channel of its own, or connected to another leg. */
  hasLeft = false
  /** Whether it was bridged. */
  hasTalked = false
  /** Whether it goes on when its caller hangs up, until its own party does or the switch ends it. */
  outlivesCaller: boolean
  /** When its CHANNEL_HANGUP_COMPLETE has been fired, or it goes on as somebody else's. */
  readonly over: Promise<void>
  readonly #session: Session
  readonly #originator: Originator
  readonly #timers: Timer[] = []
  readonly #onChange: (change: 'rings' | 'answers' | 'ends') => void
  #channel: Channel | undefined
  /** What it is since it was transferred. */
  #successor: Session | undefined
  /** The leg that it talks to since somebody connected the two. */
  #partner: CalledLeg | undefined
  /** The caller of another call, whom it talks to since somebody connected the two. */
  #otherCaller: Session | undefined
  #isDialled = false
  #hasResponded = false
  #onOver: () => void = () => undefined

  constructor(
    session: Session,
    dialled: DialledLeg,
    farEnd: FarEnd,
    onChange: (change: 'rings' | 'answers' | 'ends') => void,
  ) {
    this.dialled = dialled
    this.farEnd = farEnd
    this.outlivesCaller = farEnd.outlivesCaller ?? false
    this.clock = session.clock
    this.#session = session
    this.#onChange = onChange
    this.#originator = {
      sessionId: session.sw.nextSessionId(),
      fields: { ...session.channel.profile.fields },
    }
    this.profile = new Profile(calledProfile(session, this.uuid, dialled))
    for (const [name, value] of exportedVariables(session)) this.ownVariables.set(name, value)
    for (const [name, value] of dialled.variables) this.ownVariables.set(name, value)
    for (const [name, value] of directoryVariables(dialled)) this.ownVariables.set(name, value)
    this.over = new Promise((resolve) => {
      this.#onOver = resolve
    })
  }

  get isAnswered(): boolean {
    return this.profile.fields.answered > 0
  }

  /** Whether it is there, and with who dialled it. */
  get isUp(): boolean {
    return this.cause === undefined && !this.hasLeft
  }

  /** Whether it is this one's to talk to: who dialled it, unless it has left. */
  isWith(session: Session): boolean {
    return (this.#otherCaller ?? (this.hasLeft ? undefined : this.#session)) === session
  }

  /** The leg that it talks to in its caller's stead. */
  get partner(): CalledLeg | undefined {
    return this.#partner
  }

  /** Made when somebody wants to see it, which on most switches nobody does. */
  get channel(): Channel {
    if (this.#channel === undefined) {
      this.#channel = dialledChannel(this, this.#originator)
      for (const [name, value] of this.ownVariables) this.#channel.variables.set(name, value)
      if (this.#isDialled) this.#showDialled()
      if (this.#hasResponded) this.#showResponse(this.#channel)
      if (this.isAnswered) markAnswered(this.#channel, this, this.#originator)
      if (this.hasTalked) markBridged(this.#channel, this.#originator)
      if (this.cause !== undefined) markEnded(this.#channel, this)
    }
    return this.#channel
  }

  dial(): void {
    const { ringsAfterMs, answersAfterMs, refusesWith, refusesAfterMs = refusalMs, failsWith } = this.farEnd
    this.#fire('CHANNEL_CREATE')
    this.#isDialled = true
    this.#showDialled()
    if (failsWith !== undefined)
      this.#after(0, () => {
        this.end(failsWith)
      })
    if (refusesWith !== undefined)
      this.#after(refusesAfterMs, () => {
        this.refusal = refusalOf(refusesWith)
        this.#respond()
        this.end(this.refusal.cause)
      })
    if (ringsAfterMs !== undefined)
      this.#after(ringsAfterMs, () => {
        this.profile.update({ progress: this.clock.now })
        this.#respond()
        this.#fire('CHANNEL_PROGRESS')
        this.#onChange('rings')
      })
    if (answersAfterMs !== undefined)
      this.#after(answersAfterMs, () => {
        this.#answer()
      })
  }

  /** Its party hangs up now. */
  hangup(): void {
    if (this.cause !== undefined) return
    this.clock.sync()
    this.hasHungUp = true
    this.end('NORMAL_CLEARING')
  }

  /** Ends it once; later ends change nothing. */
  end(cause: string): void {
    if (this.#successor !== undefined) {
      this.#successor.hangup(cause, this.hasHungUp ? 'caller' : 'server')
      return
    }
    if (this.cause !== undefined) return
    this.cause = cause
    this.endedAt = this.clock.now
    for (const timer of this.#timers) timer.cancel()
    if (this.#channel !== undefined) markEnded(this.#channel, this)
    this.#session.sw.hideLeg(this)
    this.#fire('CHANNEL_HANGUP')
    this.#onChange('ends')
    this.#otherCaller?.clock.sync()
    this.#otherCaller?.signal('leg')
    this.profile.update({ hungUp: this.endedAt })
    void this.#report()
    const partner = this.#partner
    if (partner === undefined) return
    this.#partner = undefined
    partner.clock.sync()
    partner.end('NORMAL_CLEARING')
  }

  /** Another one has the call. Who answers in the same frame has answered too: originate looks at them once a frame. */
  loseRace(): void {
    const { answersAfterMs = Infinity } = this.farEnd
    const answersAt = this.profile.fields.created + answersAfterMs * 1000
    if (!this.isAnswered && this.isUp && answersAt <= this.clock.now + frameMs * 1000) this.#answer()
    this.end('LOSE_RACE')
  }

  /** Transferred, it has a dialplan of its own from now on. */
  becomes(successor: Session): void {
    this.#successor = successor
  }

  /** It is sent to a dialplan, and runs that as a channel of its own from now on. */
  transfer(target: TransferTarget): void {
    const session = this.#session
    if (!this.isWith(session) || this.cause !== undefined) return
    this.becomes(session.call.goOnAs(transferredChannel(session, this, target), target))
    this.clock.after(frameMs, 'follow', () => {
      this.leave()
    })
  }

  /** It goes on as a channel with a dialplan of its own. */
  leave(): void {
    this.hasLeft = true
    this.#onChange('ends')
    this.#onOver()
  }

  /** It talks to another leg from now on, and who dialled it is left alone. */
  joins(partner: CalledLeg): void {
    this.#partner = partner
    this.hasLeft = true
    this.#onChange('ends')
  }

  /** It talks to the caller of another call from now on, and who dialled it is left alone. */
  joinsCaller(session: Session): void {
    this.#otherCaller = session
    this.hasLeft = true
    this.#onChange('ends')
  }

  /** Tells an event about it. */
  fire(name: string, own?: OwnHeaders): void {
    this.#fire(name, own)
  }

  /** It talks to its caller from now on. */
  bridged(): void {
    this.hasTalked = true
    this.profile.update({ bridged: this.clock.now })
    if (this.#channel !== undefined) markBridged(this.#channel, this.#originator)
  }

  kill(cause: string): void {
    this.end(cause)
  }

  variable(name: string): string | undefined {
    return this.channel.variable(name)
  }

  setVariable(name: string, value: string): void {
    this.ownVariables.set(name, value)
    this.#channel?.variables.set(name, value)
  }

  receiveDigits(): void {
    // The called side's digits are nobody's here.
  }

  outcome(): LegOutcome {
    const { dialString, number, gateway } = this.dialled
    const { fields } = this.profile
    const after = this.#successor?.channel
    return {
      uuid: this.uuid,
      dialString,
      number,
      gateway,
      callerIdNumber: fields.callerIdNumber,
      dialledAt: fields.created,
      answeredAt: this.isAnswered ? fields.answered : undefined,
      endedAt: after === undefined ? this.endedAt : after.profile.fields.hungUp,
      cause: after === undefined ? this.cause : after.hangupCause,
      sipStatus: this.refusal?.status,
    }
  }

  #answer(): void {
    this.profile.update({ answered: this.clock.now })
    this.#respond()
    if (this.#channel !== undefined) markAnswered(this.#channel, this, this.#originator)
    this.#fire('CHANNEL_ANSWER')
    const { hangsUpAfterMs } = this.farEnd
    if (hangsUpAfterMs !== undefined)
      this.#after(hangsUpAfterMs, () => {
        this.hasHungUp = true
        this.end('NORMAL_CLEARING')
      })
    this.#onChange('answers')
  }

  #respond(): void {
    if (this.#hasResponded) return
    this.#hasResponded = true
    if (this.#channel !== undefined) this.#showResponse(this.#channel)
  }

  #showDialled(): void {
    if (this.#channel === undefined) return
    this.#channel.runningState = 'CS_CONSUME_MEDIA'
    this.#channel.state = 'CS_CONSUME_MEDIA'
  }

  #showResponse(channel: Channel): void {
    markResponded(channel, this, this.#originator)
    if (this.profile.fields.progress > 0) channel.callState = 'RINGING'
  }

  /** Its document first, then its final event. */
  async #report(): Promise<void> {
    const { sw } = this.#session
    if (sw.jsonCdr?.logsCalledLegs === true) {
      const document = calledDocument(this.#originator.fields)
      await sw.jsonCdr.report(this.#finalChannel(), document, this.clock)
    }
    this.#session.sw.deliverOfLeg(this.#session.call, 'CHANNEL_HANGUP_COMPLETE', () =>
      sw.events.ofChannel('CHANNEL_HANGUP_COMPLETE', this.#finalChannel(), this.clock.now, {
        before: [new Header('Hangup-Cause', this.cause ?? '')],
      }),
    )
    sw.removeLeg(this)
    this.#onOver()
  }

  #finalChannel(): Channel {
    const { channel } = this
    if (channel.state === 'CS_REPORTING') return channel
    channel.runningState = 'CS_REPORTING'
    channel.state = 'CS_REPORTING'
    channel.callState = 'HANGUP'
    setFinalVariables(channel, { digits: '', applications: [] })
    return channel
  }

  #fire(name: string, own?: OwnHeaders): void {
    const { call, sw } = this.#session
    sw.deliverOfLeg(call, name, () => sw.events.ofChannel(name, this.channel, this.clock.now, own))
  }

  #after(ms: number, run: () => void): void {
    this.#timers.push(this.clock.after(ms, 'script', run))
  }
}

/** What mod_dptools' user_outgoing_channel writes on a leg that is dialled as `user/1001@domain`. */
function directoryVariables({ dialString }: DialledLeg): [name: string, value: string][] {
  const [, user, domain] = /^user\/([^@]+)(?:@(.+))?$/.exec(dialString) ?? []
  if (user === undefined) return []
  return [
    ['dialed_user', user],
    ...(domain === undefined ? [] : [['dialed_domain', domain] as [string, string]]),
  ]
}
