import type { Timer } from './clock.js'
import { parseDialString } from './dial-string.js'
import { Header, type HeaderValue } from './headers.js'
import type { CalledLeg } from './called-leg.js'
import { answerChannel } from './media.js'
import { causesOf, noteFailure, originate, presentCallee } from './originate.js'
import type { Session } from './session.js'
import { frameMs } from './thread.js'

/** The application `bridge`: dials, passes the answer on, lets the two talk, and says how it ended. */
export async function bridge(session: Session, argument: string): Promise<void> {
  const { legs, answered, cause } = await originate(session, parseDialString(argument))
  if (answered === undefined) {
    noteFailure(session, legs, cause)
    if (session.isReady && !continuesOnFail(session, cause)) session.hangup(cause, 'called')
    return
  }
  // The caller's side is answered a frame after the called one, in every recording.
  await session.wait([], { us: session.clock.now + frameMs * 1000, kind: 'follow' })
  if (session.isReady) {
    connect(session, answered, causesOf(legs))
    await talk(session, answered)
  } else {
    answered.end('ORIGINATOR_CANCEL')
    noteFailure(session, legs, 'ORIGINATOR_CANCEL')
  }
}

/** `continue_on_fail`: true, or the causes after which the dialplan goes on. */
function continuesOnFail(session: Session, cause: string): boolean {
  const { variables } = session.channel
  const causes = variables.get('continue_on_fail')?.toUpperCase().split(',') ?? []
  return variables.isTrue('continue_on_fail') || causes.includes(cause)
}

/** Until one of them hangs up, or the call goes elsewhere. */
export async function talk(session: Session, leg: CalledLeg): Promise<void> {
  const ends = [new Header('Bridge-A-Unique-ID', session.uuid), new Header('Bridge-B-Unique-ID', leg.uuid)]
  session.fire('CHANNEL_BRIDGE', { before: ends })
  const { variables } = session.channel
  variables.setAll({
    bridge_to: leg.uuid,
    last_bridge_to: leg.uuid,
    bridge_channel: leg.profile.fields.channelName,
    bridge_uuid: leg.uuid,
    last_sent_callee_id_name: leg.profile.fields.calleeIdName,
    last_sent_callee_id_number: leg.profile.fields.calleeIdNumber,
  })
  session.bridgedLeg = leg
  const timers = partyTimers(session, leg)
  // Looked at again after each message: the leg may have ended while a prompt played into the talk.
  while (leg.isWith(session) && leg.cause === undefined && session.isReady)
    if ((await session.wait(['leg', 'message', 'break'])) === 'message') await session.processMessages()
  for (const timer of timers) timer.cancel()
  session.bridgedLeg = undefined
  noteEnd(session, leg)
  session.fire('CHANNEL_UNBRIDGE', { before: ends })
  if (variables.isTrue('hangup_after_bridge') && session.isReady)
    session.hangup(leg.cause ?? 'NORMAL_CLEARING', 'called')
}

function connect(session: Session, leg: CalledLeg, causes: HeaderValue): void {
  const { channel, clock } = session
  presentCallee(session, leg)
  if (!channel.isAnswered) {
    answerChannel(session, true)
    channel.variables.set('endpoint_disposition', 'ANSWER')
  }
  channel.variables.setAll({
    originate_disposition: 'SUCCESS',
    DIALSTATUS: 'SUCCESS',
    originate_causes: causes,
  })
  channel.variables.unset('originate_signal_bond')
  channel.variables.set('signal_bond', leg.uuid)
  channel.callState = 'ACTIVE'
  channel.profile.update({ bridged: clock.now })
  channel.showOtherLeg(leg.profile)
  leg.bridged()
  session.answeredLegs.push(leg)
}

/** What the two parties are scripted to do while they talk; the called one's own hangup is the leg's. */
function partyTimers(session: Session, leg: CalledLeg): Timer[] {
  const { callerHangsUpAfterMs, refers } = leg.farEnd
  const { answered } = leg.profile.fields
  const timers: Timer[] = []
  if (callerHangsUpAfterMs !== undefined)
    timers.push(
      session.clock.at(answered + callerHangsUpAfterMs * 1000 - frameMs * 1000, 'script', () => {
        session.hangup('NORMAL_CLEARING', 'caller')
      }),
    )
  if (refers !== undefined) timers.push(session.clock.at(answered + refers.afterMs * 1000, 'script', refer))
  return timers

  function refer(): void {
    if (refers === undefined) return
    const { variables } = session.channel
    if (refers.once?.((name) => variables.get(name)) === false)
      timers.push(session.clock.after(frameMs, 'script', refer))
    else if (refers.by === 'called') referByCalled(session, refers.to)
    else referByCaller(session, leg, refers.to)
  }
}

/** The called phone transfers the caller, whose channel runs the dialplan again. */
function referByCalled(session: Session, to: string): void {
  const { channel } = session
  channel.variables.unset('signal_bond')
  channel.variables.setAll({
    'sip_h_Referred-By': '<sip:called@127.0.0.1>',
    sip_refer_to: `<sip:${to}@127.0.0.1:5060>`,
  })
  channel.showOtherLeg(undefined)
  session.transfer({ destination: to, context: channel.profile.fields.context }, 'bl_xfer')
}

/** The caller transfers the called leg, which becomes a channel with a dialplan of its own. */
function referByCaller(session: Session, leg: CalledLeg, to: string): void {
  const { variables } = session.channel
  variables.unset('signal_bond')
  variables.setAll({
    transfer_disposition: 'recv_replace',
    transfer_to: `blind:${leg.uuid}`,
    transfer_destination: `blind:${to}`,
    transfer_fallback_extension: session.channel.profile.fields.username,
    endpoint_disposition: 'BLIND_TRANSFER',
  })
  const target = { destination: to, context: session.channel.profile.fields.context }
  leg.transfer(target)
}

function noteEnd(session: Session, leg: CalledLeg): void {
  const { variables, hangupCause } = session.channel
  variables.unset('bridge_to')
  if (!leg.isWith(session)) return
  const isUp = leg.cause === undefined
  if (isUp && leg.outlivesCaller) return
  if (isUp) leg.end(hangupCause ?? 'NORMAL_CLEARING')
  else {
    if (leg.hasHungUp) variables.set('sip_hangup_phrase', 'OK')
    variables.set('last_bridge_hangup_cause', leg.cause)
    if (leg.hasHungUp) variables.set('last_bridge_proto_specific_hangup_cause', 'sip:200')
  }
  variables.set('bridge_hangup_cause', leg.cause)
}
