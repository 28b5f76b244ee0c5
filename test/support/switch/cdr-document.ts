import type { RecordedDocument } from './called-templates.js'
import { recordedDocument } from './called-templates.js'
import type { Channel } from './channel.js'
import type { PlannedApplication } from './dialplan.js'
import type { ExecutedApplication, LegHistory } from './final-variables.js'
import { joined } from './headers.js'
import type { ProfileFields } from './profile.js'
import type { Session } from './session.js'

type Json = Readonly<Record<string, unknown>>

/** What mod_json_cdr says of one leg beside its variables, which come last: they are the final event's. */
export type LegDocument = (channel: Channel) => Json

/** Of a leg with a dialplan: what it ran, and what it was for from the last transfer to the first. */
export function callerDocument(session: Session, { applications }: LegHistory): LegDocument {
  const { plans, answeredLegs } = session
  return (channel) => {
    const others = answeredLegs.map((leg) => partyOf(leg.profile.fields)).reverse()
    const profiles = [...channel.earlierProfiles, channel.profile.fields]
    const callflow = profiles.map((fields, index) => {
      const isLast = index === profiles.length - 1
      // The leg that came with a dialplan of its own had none for its first profile.
      const plan = plans[index - (profiles.length - plans.length)]
      const talked = isLast && others.length > 0
      return {
        dialplan: 'XML',
        profile_index: (index + 1).toString(),
        ...(plan !== undefined && { extension: extensionOf(fields, plan) }),
        caller_profile: {
          ...partyOf(fields),
          ...(talked && { originatee: { originatee_caller_profiles: others } }),
        },
        times: timesOf(fields),
      }
    })
    return {
      ...(applications.length > 0 && { app_log: { applications: applications.map(logged) } }),
      callflow: callflow.reverse(),
    }
  }
}

/** Of a leg that was dialled. */
export function calledDocument(originator: ProfileFields): LegDocument {
  return ({ profile, earlierProfiles }) => ({
    callflow: [...earlierProfiles, profile.fields]
      .map((fields, index) => ({
        dialplan: 'XML',
        profile_index: (index + 1).toString(),
        caller_profile: {
          ...partyOf(fields),
          ...(index === 0 && { originator: { originator_caller_profiles: [partyOf(originator)] } }),
        },
        times: timesOf(fields),
      }))
      .reverse(),
  })
}

/** The whole document, its members in the recorded order. @param switchName as FreeSWITCH-Switchname */
export function cdrDocument(
  channel: Channel,
  about: LegDocument,
  { coreUuid, switchName }: { coreUuid: string; switchName: string },
): Json {
  const { channel_data, callStats } = recordedLike(channel)
  const variables = [...channel.variables].map(({ name, value }) => [
    name.replace('variable_', ''),
    joined(value),
  ])
  return {
    'core-uuid': coreUuid,
    switchname: switchName,
    channel_data,
    callStats,
    variables: Object.fromEntries(variables) as unknown,
    ...about(channel),
  }
}

const recorded = new Map<string, RecordedDocument>()

/** The recording whose channel's inner flags and audio statistics are those of such a leg. */
function recordedLike(channel: Channel): RecordedDocument {
  const how = channel.isAnswered ? 'after-takeover' : 'cancelled'
  const side = channel.profile.fields.direction === 'inbound' ? 'caller' : 'called'
  const name = `${how}-${side}-leg`
  let document = recorded.get(name)
  if (document === undefined) recorded.set(name, (document = recordedDocument(name)))
  return document
}

function logged({ name, argument, at }: ExecutedApplication): Json {
  return {
    app_name: name,
    ...(argument !== '' && { app_data: argument }),
    app_stamp: at.toString(),
  }
}

function extensionOf({ destination }: ProfileFields, plan: readonly PlannedApplication[]): Json {
  return {
    name: 'linger',
    number: destination,
    applications: plan.map(({ name, argument }) => ({
      app_name: name,
      ...(argument !== '' && { app_data: argument }),
    })),
  }
}

function partyOf(fields: ProfileFields): Json {
  return {
    username: fields.username,
    dialplan: 'XML',
    caller_id_name: fields.callerIdName,
    ani: fields.ani,
    aniii: '',
    caller_id_number: fields.callerIdNumber,
    network_addr: '127.0.0.1',
    rdnis: fields.rdnis ?? '',
    destination_number: fields.destination,
    uuid: fields.uuid,
    source: 'mod_sofia',
    context: fields.context,
    chan_name: fields.channelName,
  }
}

function timesOf(fields: ProfileFields): Json {
  return {
    created_time: fields.created.toString(),
    profile_created_time: fields.profileCreated.toString(),
    progress_time: fields.progress.toString(),
    progress_media_time: '0',
    answered_time: fields.answered.toString(),
    bridged_time: fields.bridged.toString(),
    last_hold_time: '0',
    hold_accum_time: '0',
    hangup_time: fields.hungUp.toString(),
    resurrect_time: '0',
    transfer_time: '0',
  }
}
