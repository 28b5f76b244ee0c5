/** How dialling a gateway ended, as its caller's channel tells. */
export interface BridgeEnding {
  readonly isConnected: boolean
  /** FreeSWITCH's hangup cause. */
  readonly cause: string
  /** The SIP status that refused it, if one did. */
  readonly sipStatus?: number
}

/**
 * - `served`: the far end's own answer, or the switch's own end of it: another gateway would bring the same;
 * - `refused`: this gateway does not take this call, another one may;
 * - `failed`: neither does it take others: it is away, broken or full.
 */
export type GatewayOutcome = 'served' | 'refused' | 'failed'

/**
 * Causes by recordings bridge-refused-*, bridge-no-answer and bridge-nobody-listens, and by FreeSWITCH's table of
 * what SIP statuses become (`sofia_glue_sip_cause_to_freeswitch`). What is not in here is taken for a refusal.
 */
const outcomes: Readonly<Record<string, GatewayOutcome>> = {
  // 404, 410, 484: there is no such number, whoever is asked.
  UNALLOCATED_NUMBER: 'served',
  NUMBER_CHANGED: 'served',
  INVALID_NUMBER_FORMAT: 'served',
  // 480, 486, 600, 603, and a phone that rings in vain.
  NO_USER_RESPONSE: 'served',
  SUBSCRIBER_ABSENT: 'served',
  USER_BUSY: 'served',
  CALL_REJECTED: 'served',
  NO_ANSWER: 'served',
  // Of a talk, and of the caller.
  NORMAL_CLEARING: 'served',
  ALLOTTED_TIMEOUT: 'served',
  MEDIA_TIMEOUT: 'served',
  ORIGINATOR_CANCEL: 'served',
  ATTENDED_TRANSFER: 'served',
  BLIND_TRANSFER: 'served',
  MANAGER_REQUEST: 'served',
  PICKED_OFF: 'served',
  USER_NOT_REGISTERED: 'served',
  // 500, 503, 408, 502, 405, and nobody who listens.
  NORMAL_TEMPORARY_FAILURE: 'failed',
  RECOVERY_ON_TIMER_EXPIRE: 'failed',
  NETWORK_OUT_OF_ORDER: 'failed',
  SERVICE_UNAVAILABLE: 'failed',
  // No sign of the far end in time (`progress_timeout`).
  PROGRESS_TIMEOUT: 'failed',
  // It says that it is full.
  NORMAL_CIRCUIT_CONGESTION: 'failed',
  REQUESTED_CHAN_UNAVAIL: 'failed',
  SWITCH_CONGESTION: 'failed',
  // The switch knows it to be down, or does not know it.
  GATEWAY_DOWN: 'failed',
  INVALID_GATEWAY: 'failed',
  INVALID_PROFILE: 'failed',
}

/** 401, 402, 403 and 407 read CALL_REJECTED as the far end's 603 does; but it is the carrier that refuses its customer. */
const carrierRefusals: ReadonlySet<number | undefined> = new Set([401, 402, 403, 407])
/**
 * 504 reads as an INVITE that nobody answers does, but somebody sent it: a carrier beyond which something is away,
 * perhaps one subscriber. Of a 408 nobody can say who made it, the carrier or the switch itself when its timer ran
 * out: the caller's channel shows both alike, as it does a 503 (recordings bridge-refused-503, bridge-nobody-listens).
 */
const gatewayTimeout = 504

export function gatewayOutcome({ isConnected, cause, sipStatus }: BridgeEnding): GatewayOutcome {
  if (isConnected) return 'served'
  if (cause === 'CALL_REJECTED' && carrierRefusals.has(sipStatus)) return 'refused'
  if (cause === 'RECOVERY_ON_TIMER_EXPIRE' && sipStatus === gatewayTimeout) return 'refused'
  return outcomes[cause] ?? 'refused'
}
