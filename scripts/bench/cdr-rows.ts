/** Calls of several months as rows of the tables, the same ones each time, in the order of their start. */

export const tenantCount = 100
/** The tenant that has half of all calls; the others have ever fewer. */
export const bigTenant = 'c1'
export const months = 6

export interface Month {
  /** ms since 1970. */
  readonly from: number
  readonly to: number
}

/** The months up to and with the one of `now`, UTC. */
export function monthsUpTo(now: Date): Month[] {
  const first = (offset: number) => Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + offset)
  return Array.from({ length: months }, (_, i) => ({
    from: first(i + 1 - months),
    to: first(i + 2 - months),
  }))
}

export interface CallRows {
  readonly key: string
  readonly cdr: string
  /** None: nobody answered. */
  readonly charge: string | undefined
}

export const keyTarget = 'call_keys (call_uuid, started_at)'
export const cdrTarget = `cdrs (call_uuid, started_at, tenant_id, currency, direction, source, caller, called, caller_raw,
  called_raw, caller_name, a_leg_uuid, b_leg_uuid, answered_at, bridged_at, ended_at, duration_ms, ring_ms, answered_ms,
  bridged_ms, billed_ms, hangup_cause, q850_cause, sip_status, hung_up_by, route, gateway, is_vip, is_blacklisted,
  refusal, sip_call_id, switch_name, codec, mos, recording_path, cost, carrier_cost, variables)`
export const chargeTarget = `charges (call_uuid, leg_uuid, gateway, number, prefix, prefix_entered, description,
  price_per_minute, answered_at, ended_at, billed_ms, charged_ms, cost, carrier_cost)`

/** What is looked for later must be known: a call's tenant, numbers and uuid are told by its place alone. */
export interface CallFacts {
  readonly callUuid: string
  readonly tenant: string
  readonly isInbound: boolean
  readonly caller: string
  readonly called: string
}

const causes = ['NORMAL_CLEARING', 'NO_ANSWER', 'USER_BUSY', 'ORIGINATOR_CANCEL', 'CALL_REJECTED'] as const

/** @param call its number over all months */
export function factsOf(call: number): CallFacts {
  const random = randomOf(call)
  const tenantNumber = random() < 0.5 ? 1 : 2 + Math.floor((tenantCount - 1) * random() ** 2)
  const isInbound = random() < 0.3
  const spread = tenantNumber === 1 ? 400_000 : 20_000
  // Some are called often, most now and then.
  const outside = `849${String(10_000_000 + tenantNumber * 500_000 + Math.floor(spread * random() ** 3)).padStart(8, '0')}`
  const extension = String(1000 + Math.floor((tenantNumber === 1 ? 2000 : 100) * random()))
  const did = `8428${String(70_000_000 + tenantNumber * 10 + Math.floor(10 * random()))}`
  return {
    callUuid: uuidOf(random, call),
    tenant: `c${tenantNumber}`,
    isInbound,
    caller: isInbound ? outside : extension,
    called: isInbound ? did : outside,
  }
}

/** @param startedAt ms since 1970 */
export function rowsOf(call: number, startedAt: number): CallRows {
  const { callUuid, tenant, isInbound, caller, called } = factsOf(call)
  const random = randomOf(call ^ 0x55555555)
  const isAnswered = random() < 0.6
  const talkMs = isAnswered ? Math.floor(1_000 + 300_000 * random() ** 2) : 0
  const ringMs = Math.floor(2_000 + 20_000 * random())
  const answeredAt = isAnswered ? moment(startedAt + ringMs) : null
  const endedAt = moment(startedAt + ringMs + talkMs)
  const isCharged = isAnswered && !isInbound
  const cost = isCharged ? (Math.round((talkMs * 500) / 600) / 100).toFixed(2) : '0'
  const carrierCost = isCharged ? (Math.round((talkMs * 300) / 600) / 100).toFixed(2) : null
  const cause = isAnswered ? causes[0] : (causes[1 + Math.floor(4 * random())] ?? '')
  const gateway = isInbound ? null : `carrier${1 + Math.floor(4 * random())}`
  const legUuid = uuidOf(random, call)
  const source = random() < 0.001 ? 'incomplete' : random() < 0.02 ? 'json_cdr' : 'session'
  const raw = (number: string) => (number.startsWith('84') ? `0${number.slice(2)}` : number)
  const cdr = copyLine([
    ...[callUuid, moment(startedAt), tenant, 'VND', isInbound ? 'inbound' : 'outbound', source],
    ...[caller, called, raw(caller), raw(called), isInbound ? '' : `Extension ${caller}`, callUuid],
    ...[
      isAnswered ? legUuid : null,
      answeredAt,
      answeredAt,
      endedAt,
      String(ringMs + talkMs),
      String(ringMs),
    ],
    ...[
      String(talkMs),
      String(talkMs),
      String(isCharged ? talkMs : 0),
      cause,
      isAnswered ? '16' : '19',
      '200',
    ],
    ...[random() < 0.5 ? 'caller' : 'called', isInbound ? 'menu' : 'dial', gateway, String(random() < 0.01)],
    ...[
      String(random() < 0.005),
      null,
      `${callUuid.slice(0, 18)}@192.0.2.1`,
      'fs1',
      'PCMA',
      '4.40',
      null,
      cost,
    ],
    ...[carrierCost, variables],
  ])
  const charge = isCharged
    ? copyLine([
        ...[callUuid, legUuid, gateway, called, '849', '09', 'Mobile', '500', answeredAt, endedAt],
        ...[String(talkMs), String(talkMs), cost, carrierCost],
      ])
    : undefined
  return { key: copyLine([callUuid, moment(startedAt)]), cdr, charge }
}

/** As a SIP call usually has them. */
const variables = JSON.stringify({
  sip_user_agent: 'Yealink SIP-T46S 66.86.0.15',
  sip_network_ip: '192.0.2.17',
  remote_media_ip: '192.0.2.17',
  sofia_profile_name: 'internal',
  rtp_audio_in_media_packet_count: '2950',
  rtp_audio_out_media_packet_count: '2951',
  rtp_audio_in_quality_percentage: '100.00',
  originate_disposition: 'SUCCESS',
})

const moment = (ms: number) => new Date(ms).toISOString()
/** Of values that have nothing to escape: ten million calls are made of it. */
const copyLine = (values: readonly (string | null)[]) => values.map((value) => value ?? '\\N').join('\t')

/** Mulberry32, begun anew for each call. */
function randomOf(call: number): () => number {
  let state = (Math.imul(call, 0x9e3779b1) ^ 0x2545f491) >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

function uuidOf(random: () => number, call: number): string {
  const part = (length: number) =>
    Math.floor(random() * 2 ** 32)
      .toString(16)
      .padStart(8, '0')
      .slice(-length)
  // Odd times odd: no two calls have the same, and none looks like the one before.
  const own = (Math.imul(call, 0x85ebca6b) >>> 0).toString(16).padStart(8, '0')
  return `${own}-${part(4)}-4${part(3)}-8${part(3)}-${part(8)}${part(4)}`
}
