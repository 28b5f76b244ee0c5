import { calledTemplates, type DialledLegSlots } from './called-templates.js'
import { Channel } from './channel.js'
import type { DialledLeg } from './dial-string.js'
import type { CalledLeg } from './called-leg.js'
import { Profile, type ProfileFields } from './profile.js'
import type { TransferTarget } from './messages.js'
import type { Session } from './session.js'
import { templates } from './templates.js'
import { Variables } from './variables.js'

/** The leg that dialled, as it was then. */
export interface Originator {
  readonly sessionId: string
  readonly fields: ProfileFields
}

export const outboundCallName = 'Outbound Call'
/** Of a call that was made by nobody's gateway. */
const gatewayVariables = ['sip_gateway_name', 'sip_outgoing_contact_uri']

/** A called leg as a channel, from its dialling on. Its times are the leg's own. */
export function dialledChannel(leg: CalledLeg, originator: Originator): Channel {
  const variables = new Variables(calledTemplates().dialled(slotsOf(leg, originator)))
  if (leg.dialled.gateway === undefined) {
    variables.unset(...gatewayVariables)
    variables.set('sip_profile_name', 'internal')
  }
  const callUuid = originator.fields.uuid
  const channel = new Channel(leg.profile.fields, variables, { callUuid })
  channel.profile = leg.profile
  channel.callState = 'DOWN'
  channel.runningState = 'CS_INIT'
  channel.state = 'CS_ROUTING'
  // As recorded: the originator's profile without its times.
  const times = { profileCreated: 0, created: 0, answered: 0, progress: 0, hungUp: 0, bridged: 0 }
  channel.showOtherLeg(new Profile({ ...originator.fields, ...times }), 'originator')
  return channel
}

/** Its phone or gateway has said something. */
export function markResponded(channel: Channel, leg: CalledLeg, originator: Originator): void {
  channel.variables.share(calledTemplates().responded(slotsOf(leg, originator)))
}

export function markAnswered(channel: Channel, leg: CalledLeg, originator: Originator): void {
  channel.hasCodecs = true
  channel.answerState = 'answered'
  const { uuid } = originator.fields
  channel.variables.share(calledTemplates().answered(slotsOf(leg, originator)))
  if (leg.dialled.gateway === undefined) channel.variables.unset(...gatewayVariables)
  channel.variables.set('call_uuid', uuid)
}

/** The two talk to each other. */
export function markBridged(channel: Channel, { fields }: Originator): void {
  channel.runningState = 'CS_EXCHANGE_MEDIA'
  channel.state = 'CS_EXCHANGE_MEDIA'
  channel.callState = 'ACTIVE'
  channel.variables.setAll({
    last_bridge_to: fields.uuid,
    bridge_channel: fields.channelName,
    bridge_uuid: fields.uuid,
    signal_bond: fields.uuid,
    last_sent_callee_id_name: fields.callerIdName,
    last_sent_callee_id_number: fields.callerIdNumber,
  })
}

/** How its end shows, by who brought it about. */
export function markEnded(channel: Channel, leg: CalledLeg): void {
  const { variables } = channel
  const { refusal, hasHungUp, cause = 'NORMAL_CLEARING' } = leg
  channel.answerState = 'hangup'
  channel.state = 'CS_HANGUP'
  channel.hangupCause = cause
  if (leg.hasTalked) variables.set('last_bridge_role', 'originatee')
  if (refusal !== undefined) {
    const status = refusal.status.toString()
    variables.setAll({
      sip_invite_failure_status: status,
      sip_invite_failure_phrase: refusal.phrase,
      sip_hangup_phrase: refusal.phrase,
      sip_term_status: status,
      proto_specific_hangup_cause: `sip:${status}`,
      sip_hangup_disposition: 'recv_refuse',
    })
  } else if (leg.isAnswered) {
    if (hasHungUp)
      variables.setAll({
        sip_term_status: '200',
        proto_specific_hangup_cause: 'sip:200',
        sip_term_cause: '16',
      })
    variables.set('sip_hangup_disposition', hasHungUp ? 'recv_bye' : 'send_bye')
  } else
    variables.setAll({
      sip_hangup_phrase: 'Request Terminated',
      last_bridge_hangup_cause: cause,
      last_bridge_proto_specific_hangup_cause: 'sip:487',
      sip_hangup_disposition: 'send_cancel',
      sip_invite_failure_status: '487',
      sip_invite_failure_phrase: 'CANCEL',
    })
}

function slotsOf(leg: CalledLeg, { sessionId, fields }: Originator): DialledLegSlots {
  return {
    uuid: leg.uuid,
    originator: fields.uuid,
    caller: leg.profile.fields.callerIdNumber,
    number: leg.dialled.number,
    gateway: leg.dialled.gateway ?? '',
    sessionId,
  }
}

/** What the dialling leg has exported to those that it dials. */
export function exportedVariables({ channel: { variables } }: Session): [name: string, value: string][] {
  const names = variables.get('export_vars')?.split(',') ?? []
  return names.flatMap((name): [string, string][] => {
    const value = variables.get(name)
    return value === undefined ? [] : [[name, value]]
  })
}

export function calledProfile(session: Session, uuid: string, dialled: DialledLeg): ProfileFields {
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
    index: 1,
    profileCreated: now,
    created: now,
    answered: 0,
    progress: 0,
    hungUp: 0,
    bridged: 0,
  }
}

/** A called leg that the caller has transferred away, as the channel that it is from then on. */
export function transferredChannel(session: Session, leg: CalledLeg, target: TransferTarget): Channel {
  const { fields } = leg.profile
  const { now } = session.clock
  const second = Math.floor(now / 1e6).toString()
  const transferId = `${second}:${session.uuid}`
  const variables = new Variables(
    templates().calledLeg({
      uuid: leg.uuid,
      originator: session.uuid,
      caller: fields.callerIdNumber,
      number: leg.dialled.number,
      gateway: leg.dialled.gateway ?? '',
      transferTo: target.destination,
      transferId,
    }),
  )
  variables.setAll(Object.fromEntries(leg.ownVariables))
  const channel = new Channel(
    {
      ...fields,
      logicalDirection: 'outbound',
      callerIdName: fields.calleeIdName ?? '',
      callerIdNumber: fields.calleeIdNumber ?? '',
      calleeIdName: fields.callerIdName,
      calleeIdNumber: fields.callerIdNumber,
      destination: target.destination,
      transferSource: `${transferId}:bl_xfer:${target.destination}/${target.context}/XML`,
      context: target.context,
      rdnis: fields.destination,
      index: 2,
      profileCreated: now,
      bridged: 0,
    },
    variables,
  )
  channel.earlierProfiles.push({ ...fields })
  return channel
}
