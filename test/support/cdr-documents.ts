import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { encodeLegState } from '../../src/call/state.js'
import type { Attempt } from '../../src/call/legs/legs.js'
import type { Event } from '../../src/esl/event.js'

/** The document of a recorded post of mod_json_cdr, as text. @param name in test/recordings/http, without `cdr-` */
export function recordedCdr(name: string): string {
  const file = new URL(`../../../test/recordings/http/cdr-${name}.txt`, import.meta.url)
  return readFileSync(file, 'utf8').replace(/^[^{]*/, '')
}

/** A recorded call of the tenant demo that nobody has yet: its server died before it had done anything. */
export function unserved(): { uuid: string; text: string } {
  const json = JSON.parse(recordedCdr('answered-caller-leg')) as { variables: Record<string, string> }
  const uuid = randomUUID()
  const variables = { ...json.variables, uuid, current_application: 'socket', accountcode: 'demo' }
  return { uuid, text: JSON.stringify({ ...json, variables }) }
}

/** mod_json_cdr's document of a caller's leg, made of the leg's final event. */
export function cdrOf(final: Event, more: Readonly<Record<string, string>> = {}): Record<string, unknown> {
  const header = (name: string): string => final.get(name) ?? ''
  const variables: Record<string, string> = {}
  for (const [name, [value = '']] of final)
    if (name.startsWith('variable_')) variables[name.slice('variable_'.length)] = value
  return {
    switchname: header('FreeSWITCH-Switchname'),
    variables: { ...variables, ...more },
    callflow: [
      {
        caller_profile: {
          ani: header('Caller-ANI'),
          caller_id_name: header('Caller-Caller-ID-Name'),
          caller_id_number: header('Caller-Caller-ID-Number'),
          destination_number: header('Caller-Destination-Number'),
        },
        times: {
          created_time: header('Caller-Channel-Created-Time'),
          profile_created_time: header('Caller-Profile-Created-Time'),
          answered_time: header('Caller-Channel-Answered-Time'),
        },
      },
    ],
  }
}

/** A leg that a server of ours dialled. Times in µs since 1970. */
export interface CalledLegTimes {
  readonly uuid: string
  readonly callUuid: string
  readonly tenant: string
  readonly attempt: Attempt
  readonly startedAt?: number
  /** 0: never. */
  readonly answeredAt: number
  readonly bridgedAt: number
  readonly endedAt: number
  readonly cause?: string
}

/** mod_json_cdr's document of a called leg. */
export function calledLegCdr(leg: CalledLegTimes): Record<string, unknown> {
  const { uuid, callUuid, tenant, attempt, answeredAt, bridgedAt, endedAt, cause = 'NORMAL_CLEARING' } = leg
  const { startedAt = answeredAt || endedAt } = leg
  return {
    switchname: 'vm',
    variables: {
      uuid,
      direction: 'outbound',
      originating_leg_uuid: callUuid,
      linger_leg: encodeLegState({ callUuid, tenant, attempt }),
      start_uepoch: String(startedAt),
      answer_uepoch: String(answeredAt),
      bridge_uepoch: String(bridgedAt),
      end_uepoch: String(endedAt),
      hangup_cause: cause,
    },
    callflow: [
      {
        caller_profile: {
          caller_id_number: '0912406496',
          destination_number: attempt.number,
          originator: {
            originator_caller_profiles: [
              { caller_id_number: '0912406496', destination_number: '0901234567', uuid: callUuid },
            ],
          },
        },
        times: { created_time: String(startedAt), answered_time: String(answeredAt) },
      },
    ],
  }
}
