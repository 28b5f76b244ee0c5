import { callerDocument } from './cdr-document.js'
import type { Channel } from './channel.js'
import { setFinalVariables, type LegHistory } from './final-variables.js'
import { Header } from './headers.js'
import { finishRecording } from './media.js'
import type { HangupParty } from './messages.js'
import type { Session } from './session.js'

/** What a hangup writes on the channel before CHANNEL_HANGUP is fired. */
export function markHungUp(channel: Channel, cause: string, by: HangupParty): void {
  channel.answerState = 'hangup'
  channel.state = 'CS_HANGUP'
  channel.hangupCause = cause
  if (by !== 'caller') return
  if (channel.isAnswered)
    channel.variables.setAll({
      sip_term_status: '200',
      proto_specific_hangup_cause: 'sip:200',
      sip_term_cause: '16',
    })
  else
    channel.variables.setAll({
      sip_hangup_disposition: 'recv_cancel',
      sip_invite_failure_status: '487',
      sip_invite_failure_phrase: 'CANCEL',
      sip_term_status: '487',
      proto_specific_hangup_cause: 'sip:487',
      sip_term_cause: '487',
    })
}

/** From the thread's end to CHANNEL_HANGUP_COMPLETE. */
export async function endChannel(session: Session, history: LegHistory): Promise<void> {
  const { channel, clock } = session
  channel.runningState = 'CS_HANGUP'
  session.fire('CHANNEL_STATE')
  const originalState = channel.callState
  channel.profile.update({ hungUp: clock.now })
  channel.callState = 'HANGUP'
  session.fire('CHANNEL_CALLSTATE', {
    before: [
      new Header('Original-Channel-Call-State', originalState),
      new Header('Channel-Call-State-Number', '7'),
    ],
  })
  channel.runningState = 'CS_REPORTING'
  channel.state = 'CS_REPORTING'
  session.fire('CHANNEL_STATE')
  if (channel.variables.get('sip_hangup_disposition') === undefined)
    channel.variables.set('sip_hangup_disposition', channel.isAnswered ? 'send_bye' : 'send_refuse')
  finishRecording(session)
  setFinalVariables(channel, history)
  for (const listener of session.listeners) listener.channelDown('beforeFinal')
  // mod_json_cdr posts its record first, and a slow receiver delays the event.
  const { jsonCdr } = session.sw
  const isCaller = channel.profile.fields.direction === 'inbound'
  if (jsonCdr !== undefined && (isCaller || jsonCdr.logsCalledLegs))
    await jsonCdr.report(channel, callerDocument(session, history), clock)
  const delayMs = session.call.options.finalEventDelayMs ?? 0
  if (delayMs > 0) await new Promise<void>((resolve) => clock.after(delayMs, 'follow', resolve))
  session.fire('CHANNEL_HANGUP_COMPLETE', {
    before: [new Header('Hangup-Cause', channel.hangupCause ?? '')],
  })
  session.sw.removeLeg(session)
  for (const listener of session.listeners) listener.channelDown('afterFinal')
}
