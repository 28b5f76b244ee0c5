import { formatMoney, type Money } from '../billing/money.js'
import { rateSnapshot } from '../billing/rate-snapshot.js'
import { costOf, rateLeg } from '../billing/rating.js'
import type { Event } from '../esl/event.js'
import type { CallRecord, Charge } from '../store/call-record.js'
import { micros, millisBetween, type ChannelFacts } from './facts.js'
import type { Identity } from './identify.js'
import type { Leg } from './legs.js'

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
  /** On the switch, as RECORD_STOP told it. */
  readonly recordingPath: string | undefined
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
] as const
const longestKeptValue = 512

/** The billed record of a call; pure. */
export function callRecord(story: CallStory): CallRecord {
  const { facts, identity, legs, finalEvent: final } = story
  const { tenant } = identity
  const startedAt = (final && micros(final, 'variable_start_uepoch')) ?? facts.createdAt
  const endedAt = (final && micros(final, 'variable_end_uepoch')) ?? Math.max(story.lastHeardAt, startedAt)
  const answeredAt = (final ? micros(final, 'variable_answer_uepoch') : facts.answeredAt) ?? null
  const progressAt =
    final && (micros(final, 'variable_progress_uepoch') ?? micros(final, 'variable_progress_media_uepoch'))
  const charges = legs.flatMap(chargeOf)
  const talked = legs.at(-1)
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
    bridgedAt: legs[0]?.bridgedAt ?? null,
    endedAt,
    durationMs: millisBetween(startedAt, endedAt),
    ringMs: progressAt === undefined ? 0 : millisBetween(progressAt, answeredAt ?? endedAt),
    answeredMs: answeredAt === null ? 0 : millisBetween(answeredAt, endedAt),
    bridgedMs: sum(legs.map((leg) => millisBetween(leg.bridgedAt, leg.endedAt ?? endedAt))),
    billedMs: sum(charges.map((charge) => charge.billedMs)),
    hangupCause:
      final?.peek('variable_hangup_cause') ??
      final?.peek('Hangup-Cause') ??
      story.ending?.cause ??
      'UNSPECIFIED',
    q850Cause: integer(final?.peek('variable_hangup_cause_q850')),
    sipStatus: sipStatus(final),
    hungUpBy: hungUpBy(story),
    route: story.route ?? null,
    gateway: talked?.attempt.gateway?.name ?? story.gateway ?? null,
    isVip: story.isVip,
    isBlacklisted: story.isBlacklisted,
    isTakenOver: story.isTakenOver,
    refusal: story.refusal ?? null,
    sipCallId: facts.sipCallId ?? null,
    switchName: facts.switchName ?? null,
    codec: final?.peek('variable_read_codec') ?? null,
    mos: final?.peek('variable_rtp_audio_in_mos') ?? null,
    recordingPath: story.recordingPath ?? null,
    cost: formatMoney(charges.reduce((total, { units }) => total + units, 0n)),
    carrierCost: carrierTotal(charges),
    variables: final ? kept(final) : {},
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

function hungUpBy({ finalEvent: final, ending }: CallStory): CallRecord['hungUpBy'] {
  if (final?.peek('variable_sip_hangup_disposition')?.startsWith('recv_')) return 'caller'
  if (ending?.cause === 'ALLOTTED_TIMEOUT') return 'server'
  if (ending !== undefined) return ending.by
  return final ? 'switch' : null
}

/** The last SIP status that ended the caller's or, failing that, the far end's leg: `sip:486` is 486. */
function sipStatus(final: Event | undefined): number | null {
  const status = final?.peek('variable_sip_term_status') ?? final?.peek('variable_sip_invite_failure_status')
  return integer(status)
}

function kept(final: Event): Record<string, string> {
  const variables: Record<string, string> = {}
  for (const name of keptVariables) {
    const value = final.peek(`variable_${name}`)
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
