import { Channel } from './channel.js'
import { Variables } from './variables.js'
import type { CalledLeg } from './legs.js'
import type { Session, TransferTarget } from './session.js'
import { templates } from './templates.js'

/** A called leg that the caller has transferred away, as the channel that it is from then on. */
export function calledLegChannel(session: Session, leg: CalledLeg, target: TransferTarget): Channel {
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
  return new Channel(
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
}
