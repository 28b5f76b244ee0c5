import { dialStatusOf } from './causes.js'
import type { Timer } from './clock.js'
import type { DialledLeg, DialPlan } from './dial-string.js'
import type { HeaderValue } from './headers.js'
import { outboundCallName } from './called-channel.js'
import { CalledLeg } from './called-leg.js'
import type { Session } from './session.js'
import { frameMs } from './thread.js'

const defaultRingSeconds = 60

export interface Origination {
  /** Every leg that was dialled. */
  readonly legs: readonly CalledLeg[]
  /** The one that answered. */
  readonly answered: CalledLeg | undefined
  /** SUCCESS, or why none did. */
  readonly cause: string
}

/** Dials a plan's groups in turn until one answers. */
export async function originate(session: Session, plan: DialPlan): Promise<Origination> {
  session.channel.variables.setAll({ originate_disposition: 'failure', DIALSTATUS: 'INVALIDARGS' })
  const legs: CalledLeg[] = []
  let cause = 'DESTINATION_OUT_OF_ORDER'
  for (const group of plan.groups) {
    const dialled = group.map((leg) => newLeg(session, leg))
    legs.push(...dialled)
    announce(session, legs)
    cause = await dialGroup(session, dialled, ringSeconds(session, group))
    const answered = dialled.find((leg) => leg.isUp)
    if (answered !== undefined) return { legs, answered, cause }
    if (!session.isReady) break
  }
  return { legs, answered: undefined, cause }
}

function newLeg(session: Session, dialled: DialledLeg): CalledLeg {
  const leg = new CalledLeg(session, dialled, session.call.farEndOf(dialled.dialString), (change) => {
    if (change === 'rings') passRinging(session, leg)
    else if (change === 'ends') {
      session.signal('leg')
    } else {
      executeOnAnswer(session, leg)
      session.signal('leg')
    }
  })
  session.sw.addLeg(leg)
  session.call.noteLeg(leg)
  return leg
}

/** @returns SUCCESS or the cause for which all are down */
async function dialGroup(session: Session, legs: readonly CalledLeg[], seconds: number): Promise<string> {
  const { clock } = session
  const timers = legs.flatMap((leg) => callerTimers(session, leg))
  for (const leg of legs) leg.dial()
  // Counted in whole seconds: recorded are 1.64 s for a time-out of 2.
  const begun = Math.floor(clock.now / 1e6)
  const deadline = (begun + seconds) * 1e6
  const progressSeconds = Number(legs[0]?.dialled.variables.get('progress_timeout') ?? Infinity)
  // Later than so many seconds, where the ringing itself may last exactly so many.
  const silence = (begun + progressSeconds + 1) * 1e6
  const isSilent = () => legs.every((leg) => leg.profile.fields.progress === 0)
  let cause = ''
  while (cause === '') {
    const wake = await session.wait(['leg'], { us: isSilent() ? Math.min(deadline, silence) : deadline })
    const answered = legs.find((leg) => leg.isUp && leg.isAnswered)
    if (!session.isReady) cause = endAll(legs, 'ORIGINATOR_CANCEL')
    else if (answered !== undefined) cause = 'SUCCESS'
    // That nobody answers in time is looked at after that.
    else if (wake === 'time' && isSilent() && clock.now >= silence) cause = endAll(legs, 'PROGRESS_TIMEOUT')
    else if (wake === 'time' && clock.now >= deadline) cause = endAll(legs, 'NO_ANSWER')
    else if (!legs.some((leg) => leg.isUp)) cause = legs.at(-1)?.cause ?? 'NONE'
    if (answered !== undefined) for (const leg of legs) if (leg !== answered) leg.loseRace()
  }
  for (const timer of timers) timer.cancel()
  return cause
}

function endAll(legs: readonly CalledLeg[], cause: string): string {
  for (const leg of legs) leg.end(cause)
  return cause
}

function ringSeconds(session: Session, group: readonly DialledLeg[]): number {
  const [first] = group
  const limit =
    first?.variables.get('originate_timeout') ??
    first?.variables.get('leg_timeout') ??
    session.channel.variables.get('call_timeout')
  return limit === undefined ? defaultRingSeconds : Number(limit)
}

function callerTimers(session: Session, leg: CalledLeg): Timer[] {
  const { callerCancelsAfterMs } = leg.farEnd
  if (callerCancelsAfterMs === undefined) return []
  return [
    session.clock.after(callerCancelsAfterMs, 'script', () => {
      session.hangup('ORIGINATOR_CANCEL', 'caller')
    }),
  ]
}

/** 180 from the far end: passed to a caller whose call is not taken yet, a frame later. */
function passRinging(session: Session, leg: CalledLeg): void {
  const { channel } = session
  if (channel.isAnswered || channel.profile.fields.progress > 0) return
  channel.profile.update({ progress: leg.profile.fields.progress })
  session.clock.after(frameMs, 'follow', () => {
    if (channel.isDown || channel.isAnswered) return
    presentCallee(session, leg)
    channel.tag()
    session.fire('CHANNEL_PROGRESS')
  })
}

export function presentCallee(session: Session, leg: CalledLeg): void {
  const { number } = leg.dialled
  session.channel.profile.update({ calleeIdName: outboundCallName, calleeIdNumber: number })
}

/** `execute_on_answer='sched_hangup +60 ALLOTTED_TIMEOUT'`, the called leg's own timer */
function executeOnAnswer(session: Session, leg: CalledLeg): void {
  const [application, time = '', cause = ''] = (leg.dialled.variables.get('execute_on_answer') ?? '').split(
    /\s+|::/,
  )
  if (application !== 'sched_hangup') return
  session.sw.scheduleHangup(session.clock, leg, time, cause)
}

function announce(session: Session, legs: readonly CalledLeg[]): void {
  session.channel.variables.set('originate_signal_bond', legs.at(-1)?.uuid)
  session.channel.variables.set(
    'originated_legs',
    oneOrAll(legs.map((leg) => `${leg.uuid};${outboundCallName};${leg.dialled.number}`)),
  )
}

/** `originate_causes` */
export function causesOf(legs: readonly CalledLeg[]): HeaderValue {
  return oneOrAll(legs.map((leg) => `${leg.uuid};${leg.cause ?? 'NONE'}`))
}

function oneOrAll(values: readonly string[]): HeaderValue {
  return values.length === 1 ? (values[0] ?? '') : values
}

/** What a bridge that failed leaves on the channel. */
export function noteFailure(session: Session, legs: readonly CalledLeg[], cause: string): void {
  const { variables } = session.channel
  const refusal = legs.at(-1)?.refusal
  if (refusal !== undefined)
    variables.setAll({
      sip_invite_failure_status: refusal.status.toString(),
      sip_invite_failure_phrase: refusal.phrase,
      sip_hangup_phrase: refusal.phrase,
    })
  if (session.isReady) variables.set('last_bridge_hangup_cause', cause)
  if (refusal !== undefined) variables.set('last_bridge_proto_specific_hangup_cause', `sip:${refusal.status}`)
  variables.setAll({
    originate_disposition: cause,
    DIALSTATUS: dialStatusOf(cause),
    originate_causes: causesOf(legs),
    originate_failed_cause: cause,
  })
}
