/** Hangup causes as FreeSWITCH names and numbers them, and what it makes of SIP answers. */

const q850Codes: Readonly<Record<string, number>> = {
  NONE: 0,
  UNALLOCATED_NUMBER: 1,
  NO_ROUTE_DESTINATION: 3,
  NORMAL_CLEARING: 16,
  USER_BUSY: 17,
  NO_USER_RESPONSE: 18,
  NO_ANSWER: 19,
  SUBSCRIBER_ABSENT: 20,
  CALL_REJECTED: 21,
  NUMBER_CHANGED: 22,
  EXCHANGE_ROUTING_ERROR: 25,
  DESTINATION_OUT_OF_ORDER: 27,
  INVALID_NUMBER_FORMAT: 28,
  NORMAL_UNSPECIFIED: 31,
  NORMAL_CIRCUIT_CONGESTION: 34,
  NETWORK_OUT_OF_ORDER: 38,
  NORMAL_TEMPORARY_FAILURE: 41,
  SWITCH_CONGESTION: 42,
  OUTGOING_CALL_BARRED: 52,
  BEARERCAPABILITY_NOTAVAIL: 58,
  SERVICE_UNAVAILABLE: 63,
  INCOMPATIBLE_DESTINATION: 88,
  RECOVERY_ON_TIMER_EXPIRE: 102,
  INTERWORKING: 127,
}

/** FreeSWITCH's own; `hangup_cause_q850` reads 16 for these in the recordings. */
const ownCauses = new Set([
  'ALLOTTED_TIMEOUT',
  'ATTENDED_TRANSFER',
  'BLIND_TRANSFER',
  'GATEWAY_DOWN',
  'INVALID_GATEWAY',
  'LOSE_RACE',
  'MANAGER_REQUEST',
  'MEDIA_TIMEOUT',
  'ORIGINATOR_CANCEL',
  'PICKED_OFF',
  'PROGRESS_TIMEOUT',
  'SYSTEM_SHUTDOWN',
  'USER_NOT_REGISTERED',
])

const normalClearing = 16

/** `variable_hangup_cause_q850` */
export function q850Of(cause: string): number {
  return q850Codes[cause] ?? normalClearing
}

/** What a called party answers a call with instead of taking it. */
export interface SipRefusal {
  readonly status: number
  readonly phrase: string
  readonly cause: string
}

/** 404, 480, 486, 503 and 603 as recorded, the rest after mod_sofia's table. */
const refusals: readonly SipRefusal[] = [
  { status: 403, phrase: 'Forbidden', cause: 'CALL_REJECTED' },
  { status: 404, phrase: 'Not Found', cause: 'UNALLOCATED_NUMBER' },
  { status: 408, phrase: 'Request Timeout', cause: 'RECOVERY_ON_TIMER_EXPIRE' },
  { status: 410, phrase: 'Gone', cause: 'NUMBER_CHANGED' },
  { status: 480, phrase: 'Temporarily Unavailable', cause: 'NO_USER_RESPONSE' },
  { status: 484, phrase: 'Address Incomplete', cause: 'INVALID_NUMBER_FORMAT' },
  { status: 486, phrase: 'Busy Here', cause: 'USER_BUSY' },
  { status: 488, phrase: 'Not Acceptable Here', cause: 'INCOMPATIBLE_DESTINATION' },
  { status: 500, phrase: 'Internal Server Error', cause: 'NORMAL_TEMPORARY_FAILURE' },
  { status: 502, phrase: 'Bad Gateway', cause: 'NETWORK_OUT_OF_ORDER' },
  { status: 503, phrase: 'Service Unavailable', cause: 'NORMAL_TEMPORARY_FAILURE' },
  { status: 504, phrase: 'Gateway Time-out', cause: 'RECOVERY_ON_TIMER_EXPIRE' },
  { status: 603, phrase: 'Decline', cause: 'CALL_REJECTED' },
]

export function refusalOf(status: number): SipRefusal {
  return (
    refusals.find((refusal) => refusal.status === status) ?? {
      status,
      phrase: 'Refused',
      cause: 'NORMAL_UNSPECIFIED',
    }
  )
}

const dialStatuses: Readonly<Record<string, string>> = {
  USER_BUSY: 'BUSY',
  NO_ANSWER: 'NOANSWER',
  ORIGINATOR_CANCEL: 'CANCEL',
  CALL_REJECTED: 'DONTCALL',
}

/** `variable_DIALSTATUS`, which is the cause itself where Asterisk has no word for it. */
export function dialStatusOf(cause: string): string {
  return dialStatuses[cause] ?? cause
}

/** @param text a cause's name or Q.850 number as a command gives it; anything else is a normal clearing */
export function causeNamed(text: string | undefined): string {
  const cause = text?.toUpperCase() ?? ''
  if (cause in q850Codes || ownCauses.has(cause)) return cause
  const byNumber = Object.entries(q850Codes).find(([, code]) => code.toString() === cause)
  return byNumber?.[0] ?? 'NORMAL_CLEARING'
}
