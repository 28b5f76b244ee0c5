import {
  afterBridgeHeader,
  DocumentError,
  documentOf,
  lastProfile,
  type LegDocument,
} from '../legs/leg-document.js'

/**
 * Takes a document of mod_json_cdr: `variables` are those of the final event without their prefix; the rest of its
 * headers are found in `callflow`, whose last element is the call's first profile, with the number that was dialled
 * before any transfer (recordings http/cdr-*).
 *
 * @throws DocumentError when it is none
 */
export function fromJsonCdr(json: unknown): LegDocument {
  if (!isObject(json)) throw new DocumentError('no JSON object')
  const { variables, callflow } = json
  if (!isObject(variables)) throw new DocumentError('no "variables" in it')
  const decode = valueDecoder(variables)
  const variable = (name: string) => decode(text(variables[name]))
  const { caller_profile: profile, times } = objectOf(listOf(callflow).at(-1))
  const caller = objectOf(profile)
  const latest = objectOf(listOf(callflow).length > 1 ? listOf(callflow)[0] : undefined)
  const last = objectOf(latest.caller_profile)
  const [otherLeg] = listOf(objectOf(caller.originator).originator_caller_profiles)
  const other = objectOf(otherLeg)
  const headers: Readonly<Record<string, string | undefined>> = {
    'Event-Date-Timestamp': variable('end_uepoch'),
    'FreeSWITCH-Switchname': text(json.switchname),
    'Unique-ID': variable('uuid'),
    'Call-Direction': variable('direction'),
    'Channel-Name': variable('channel_name') ?? text(caller.chan_name),
    'Hangup-Cause': variable('hangup_cause'),
    'Caller-ANI': text(caller.ani),
    'Caller-Caller-ID-Name': text(caller.caller_id_name),
    'Caller-Caller-ID-Number': text(caller.caller_id_number),
    'Caller-Destination-Number': text(caller.destination_number),
    'Caller-Channel-Answered-Time': text(objectOf(times).answered_time),
    'Caller-Channel-Created-Time': text(objectOf(times).created_time) ?? variable('start_uepoch'),
    'Caller-Profile-Created-Time': text(objectOf(times).profile_created_time),
    [lastProfile['Caller-Caller-ID-Number']]: text(last.caller_id_number),
    [lastProfile['Caller-Destination-Number']]: text(last.destination_number),
    [lastProfile['Caller-Profile-Created-Time']]: text(objectOf(latest.times).profile_created_time),
    'Other-Leg-Caller-ID-Name': text(other.caller_id_name),
    'Other-Leg-Caller-ID-Number': text(other.caller_id_number),
    'Other-Leg-Destination-Number': text(other.destination_number),
    [afterBridgeHeader]: afterBridge(json.app_log),
  }
  const document = documentOf('json_cdr', (name) =>
    name.startsWith('variable_') ? variable(name.slice('variable_'.length)) : headers[name],
  )
  if (document === undefined) throw new DocumentError('no leg that is over: it has no uuid, or no times')
  return document
}

/**
 * With `encode-values`, which is mod_json_cdr's default, each variable is percent-encoded, and nothing in the document
 * says so; but a date has a colon in it.
 */
function valueDecoder(
  variables: Readonly<Record<string, unknown>>,
): (value: string | undefined) => string | undefined {
  if (text(variables.start_stamp)?.includes('%3A') !== true) return (value) => value
  return (value) => {
    try {
      return value === undefined ? undefined : decodeURIComponent(value)
    } catch {
      // Bytes that are no UTF-8: as they are, for they are only shown.
      return value
    }
  }
}

function afterBridge(appLog: unknown): string | undefined {
  const applications = listOf(objectOf(appLog).applications).map(objectOf)
  const last = applications.findLastIndex((application) => application.app_name === 'bridge')
  // A tone that is played into a talk (uuid_broadcast) is one too, and no end of it.
  const next = applications.slice(last + 1).find((application) => application.app_name !== 'playback')
  return last < 0 ? undefined : text(next?.app_stamp)
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  return isObject(value) ? value : {}
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as readonly unknown[]) : []
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}
