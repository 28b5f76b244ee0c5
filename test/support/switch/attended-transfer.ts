import type { Call } from './call.js'
import type { CalledLeg } from './called-leg.js'
import type { Channel } from './channel.js'
import type { CallClock } from './clock.js'
import { Header } from './headers.js'
import type { Session } from './session.js'

/** The channel that is replaced waits so long for its phone's BYE. */
const parkMs = 2_000

/**
 * A phone that has two calls sends REFER with Replaces in the first, which it holds, for the second: whom it talked to
 * in the two are connected with each other. Both of its own channels are left over; it hangs them up when it is told
 * that this went well, which is the test's to do.
 *
 * No recording shows it. As in FreeSWITCH's sofia_handle_sip_i_refer (mod_sofia/sofia.c), where both calls are bridged:
 * variables `transfer_disposition`, `transfer_to`, `refer_uuid`; switch_ivr_uuid_bridge; the replaced channel is parked
 * with `park_timeout=2:attended_transfer`, and the other one falls back to its application.
 */
export function transferAttended(first: Call, second: Call): void {
  const [held, other] = [talkingLeg(first), talkingLeg(second)]
  for (const { clock } of [first, second]) clock.sync()
  first.session.channel.variables.setAll(referVariables(second, other))
  other.setVariable('transfer_disposition', 'bridge')
  uuidBridge(held, other)
  replace(second)
}

/**
 * The same of a phone that was CALLED in the first of its two calls, by its caller or by a queue: that one's caller and
 * whom the phone called itself are connected. What runs for the caller is broken off; its phone's leg is hung up, with a
 * cause that its bridge then has (as in the recording refer-by-called-1), and `bridge_uuid` names the other leg by then.
 */
export function transferAttendedByCalled(first: Call, second: Call): void {
  const [held, other] = [talkingLeg(first), talkingLeg(second)]
  for (const { clock } of [first, second]) clock.sync()
  for (const [name, value] of Object.entries(referVariables(second, other))) held.setVariable(name, value)
  other.setVariable('transfer_disposition', 'bridge')
  uuidBridgeCaller(first.session, other)
  replace(second)
}

function referVariables(second: Call, other: CalledLeg): Record<string, string> {
  return {
    transfer_disposition: 'recv_replace',
    refer_uuid: second.uuid,
    transfer_to: `att:${other.uuid}`,
  }
}

/** The channel whose place another one takes. */
function replace({ session }: Call): void {
  session.channel.variables.setAll({
    transfer_disposition: 'replaced',
    endpoint_disposition: 'ATTENDED_TRANSFER',
    park_timeout: '2:attended_transfer',
  })
  session.park(parkMs, 'ATTENDED_TRANSFER')
}

/**
 * switch_ivr_uuid_bridge (switch_ivr_bridge.c): two channels are taken out of their bridges, get a new profile each, and
 * talk to each other; where one ends, so does the other. Neither of the bridges that broke has a hangup cause.
 */
export function uuidBridge(originator: CalledLeg, originatee: CalledLeg): void {
  step(originator, originatee)
  step(originatee, originator)
  originator.joins(originatee)
  originatee.joins(originator)
  originator.fire('CHANNEL_BRIDGE', {
    before: [
      new Header('Bridge-A-Unique-ID', originator.uuid),
      new Header('Bridge-B-Unique-ID', originatee.uuid),
    ],
  })
}

/** The same with a caller: after that talk its channel runs its dialplan's next action, if it is still there. */
function uuidBridgeCaller(originator: Session, originatee: CalledLeg): void {
  const { uuid, clock, channel } = originator
  const caller = { uuid, clock, channel, profile: channel.profile }
  step(caller, originatee)
  step(originatee, caller)
  originator.join(originatee)
  originatee.joinsCaller(originator)
}

interface Party {
  readonly uuid: string
  readonly clock: CallClock
  readonly channel: Channel
  readonly profile: Channel['profile']
}

function step(leg: Party, other: Party): void {
  const { channel, profile, clock } = leg
  const source = `${Math.floor(clock.now / 1e6)}:${leg.uuid}:uuid_br:${other.uuid}`
  channel.earlierProfiles.push({ ...profile.fields })
  profile.update({
    index: profile.fields.index + 1,
    profileCreated: clock.now,
    bridged: clock.now,
    transferSource: source,
  })
  channel.variables.setAll({
    call_uuid: leg.uuid,
    signal_bond: other.uuid,
    bridge_uuid: other.uuid,
    bridge_channel: other.profile.fields.channelName,
    transfer_history: source,
    transfer_source: source,
  })
  channel.callUuid = leg.uuid
  channel.showOtherLeg(other.profile)
}

function talkingLeg({ session, legs }: Call): CalledLeg {
  const leg = legs.find((each) => each === session.bridgedLeg)
  if (leg === undefined) throw new Error('the call does not talk')
  return leg
}
