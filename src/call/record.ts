import { formatMoney, type Money } from '../billing/money.js'
import { rateSnapshot } from '../billing/rate-snapshot.js'
import { costOf, rateLeg } from '../billing/rating.js'
import type { Event } from '../esl/event.js'
import { HeaderList, type Picked } from '../esl/header-list.js'
import type { CallRecord, Charge } from '../store/call-record.js'
import { microsOf, millisBetween, type ChannelFacts } from './facts.js'
import type { Identity } from './identify.js'
import { isOwn, type Leg } from './legs/legs.js'

/** What is known of a call when it is over, by whoever tells it. */
export interface CallStory {
  readonly source: CallRecord['source']
  readonly facts: ChannelFacts
  readonly identity: Identity
  readonly legs: readonly Leg[]
  /** More than one node had it. */
  readonly isTakenOver: boolean
  readonly route: string | undefined
  readonly gateway: string | undefined
  readonly isVip: boolean
  readonly isBlacklisted: boolean
  /** Why it was refused, for an admin to read. */
  readonly refusal: string | undefined
  /** On the switch: where RECORD_STOP said, or where it was told to record. */
  readonly recordingPath: string | undefined
  /** Of the same call, oldest first. */
  readonly earlierRecordings: readonly string[]
  /** What the session hung up with, and on whose account; undefined when it did not. */
  readonly ending: { readonly cause: string; readonly by: 'called' | 'server' } | undefined
  /** CHANNEL_HANGUP_COMPLETE; undefined when it never came. */
  readonly finalEvent: Event | undefined
  /** µs by the switch's clock: the end of a call without a final event. */
  readonly lastHeardAt: number
}

/** Final variables that are worth keeping beside the CDR's own columns. Everything else may be secret or huge. */
const keptVariables = [
  'accountcode',
  'originate_causes',
  'originate_disposition',
  'proto_specific_hangup_cause',
  'remote_media_ip',
  'rtp_audio_in_jitter_loss_rate',
  'rtp_audio_in_media_packet_count',
  'rtp_audio_in_quality_percentage',
  'rtp_audio_out_media_packet_count',
  'sip_hangup_disposition',
  'sip_network_ip',
  'sip_user_agent',
  'sofia_profile_name',
  'transfer_destination',
  'transfer_disposition',
  'transfer_to',
] as const
const longestKeptValue = 512

/** What a record takes from the final event. */
export const finalHeaders = new HeaderList([
  'Hangup-Cause',
  'variable_answer_uepoch',
  'variable_end_uepoch',
  'variable_hangup_cause',
  'variable_hangup_cause_q850',
  'variable_progress_media_uepoch',
  'variable_progress_uepoch',
  'variable_read_codec',
  'variable_rtp_audio_in_mos',
  'variable_sip_invite_failure_status',
  'variable_sip_term_status',
  'variable_start_uepoch',
  ...keptVariables.map((name) => `variable_${name}` as const),
])
type Final = typeof finalHeaders extends HeaderList<infer Name> ? Picked<Name> : never

/** The billed record of a call; pure. */
export function callRecord(story: CallStory): CallRecord {
  const { facts, identity, legs } = story
  const final = story.finalEvent?.pick(finalHeaders)
  const { tenant } = identity
  const { transferredFrom } = facts
  // A leg that was transferred to a dialplan is a call since then: what was before is the other call's.
  const since = transferredFrom === undefined ? 0 : facts.createdAt
  const startedAt = Math.max(since, microsOf(final?.variable_start_uepoch) ?? facts.createdAt)
  const endedAt = microsOf(final?.variable_end_uepoch) ?? Math.max(story.lastHeardAt, startedAt)
  const answered = (final ? microsOf(final.variable_answer_uepoch) : facts.answeredAt) ?? null
  const answeredAt = answered === null ? null : Math.max(since, answered)
  const progressAt =
    microsOf(final?.variable_progress_uepoch) ?? microsOf(final?.variable_progress_media_uepoch)
  const charges = legs.flatMap(chargeOf)
  const called = legs.filter((leg) => !isOwn(leg))
  const talked = called.at(-1)
  return {
    v: 1,
    callUuid: facts.uuid,
    tenant: tenant?.id ?? null,
    currency: tenant?.currency ?? null,
    direction: identity.direction,
    source: story.source,
    caller: identity.caller,
    called: identity.called,
    callerRaw: facts.callerNumber,
    calledRaw: facts.calledNumber,
    callerName: facts.callerName,
    aLegUuid: facts.uuid,
    bLegUuid: talked?.uuid ?? null,
    startedAt,
    answeredAt,
    bridgedAt: called[0]?.bridgedAt ?? null,
    endedAt,
    durationMs: millisBetween(startedAt, endedAt),
    ringMs:
      progressAt === undefined || progressAt < since ? 0 : millisBetween(progressAt, answeredAt ?? endedAt),
    answeredMs: answeredAt === null ? 0 : millisBetween(answeredAt, endedAt),
    bridgedMs: sum(called.map((leg) => millisBetween(leg.bridgedAt, leg.endedAt ?? endedAt))),
    billedMs: sum(charges.map((charge) => charge.billedMs)),
    hangupCause:
      final?.variable_hangup_cause ?? final?.['Hangup-Cause'] ?? story.ending?.cause ?? 'UNSPECIFIED',
    q850Cause: integer(final?.variable_hangup_cause_q850),
    sipStatus: sipStatus(final),
    hungUpBy: hungUpBy(story.ending, final),
    route: story.route ?? null,
    gateway: talked?.attempt.gateway?.name ?? story.gateway ?? null,
    isVip: story.isVip,
    isBlacklisted: story.isBlacklisted,
    isTakenOver: story.isTakenOver,
    refusal: story.refusal ?? null,
    sipCallId: facts.sipCallId ?? null,
    switchName: facts.switchName ?? null,
    codec: final?.variable_read_codec ?? null,
    mos: final?.variable_rtp_audio_in_mos ?? null,
    recordingPath: story.recordingPath ?? null,
    cost: formatMoney(charges.reduce((total, { units }) => total + units, 0n)),
    carrierCost: carrierTotal(charges),
    variables: {
      ...(final && kept(final)),
      ...(transferredFrom !== undefined && { transferred_from: transferredFrom }),
      // No path of ours has a space.
      ...(story.earlierRecordings.length > 0 && { earlier_recordings: story.earlierRecordings.join(' ') }),
    },
    charges: charges.map(({ charge }) => charge),
  }
}

interface RatedCharge {
  readonly charge: Charge
  readonly billedMs: number
  readonly units: Money
  readonly carrierUnits: Money | undefined
}

/** A leg that has a rate is charged from its own answer to its own end; one that only rang costs nothing. */
function chargeOf(leg: Leg): RatedCharge[] {
  const { gateway, number, rate } = leg.attempt
  const { answeredAt, endedAt } = leg
  if (rate === undefined || answeredAt === undefined || endedAt === undefined) return []
  const billedMs = millisBetween(answeredAt, endedAt)
  const { cost: units, chargedMs } = rateLeg(rate, billedMs)
  const carrierCost = gateway?.carrierCostPerMinute
  const carrierUnits = carrierCost === undefined ? undefined : costOf(carrierCost, billedMs)
  const { prefix, prefixEntered, description, pricePerMinute, ...terms } = rateSnapshot(rate)
  const charge: Charge = {
    legUuid: leg.uuid,
    gateway: gateway?.name ?? null,
    number,
    prefix,
    prefixEntered,
    description,
    pricePerMinute,
    terms,
    answeredAt,
    endedAt,
    billedMs,
    chargedMs,
    cost: formatMoney(units),
    carrierCost: carrierUnits === undefined ? null : formatMoney(carrierUnits),
  }
  return [{ charge, billedMs, units, carrierUnits }]
}

function carrierTotal(charges: readonly RatedCharge[]): string | null {
  const known = charges.flatMap(({ carrierUnits }) => (carrierUnits === undefined ? [] : [carrierUnits]))
  return known.length === 0 ? null : formatMoney(known.reduce((total, units) => total + units, 0n))
}

function hungUpBy(ending: CallStory['ending'], final: Final | undefined): CallRecord['hungUpBy'] {
  if (final?.variable_sip_hangup_disposition?.startsWith('recv_')) return 'caller'
  if (ending?.cause === 'ALLOTTED_TIMEOUT') return 'server'
  if (ending !== undefined) return ending.by
  return final ? 'switch' : null
}

/** The last SIP status that ended the caller's or, failing that, the far end's leg: `sip:486` is 486. */
function sipStatus(final: Final | undefined): number | null {
  return integer(final?.variable_sip_term_status ?? final?.variable_sip_invite_failure_status)
}

function kept(final: Final): Record<string, string> {
  const variables: Record<string, string> = {}
  for (const name of keptVariables) {
    const value = final[`variable_${name}`]
    if (value !== undefined) variables[name] = value.slice(0, longestKeptValue)
  }
  return variables
}

function integer(text: string | undefined): number | null {
  return text !== undefined && /^[0-9]{1,9}$/.test(text) ? Number(text) : null
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
