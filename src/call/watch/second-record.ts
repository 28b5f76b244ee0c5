import type { Event } from '../../esl/event.js'
import type { CallRecord } from '../../store/call-record.js'
import type { Catalog } from '../../store/catalog.js'
import { calledLeg } from '../legs/called-leg.js'
import { channelFacts, micros, type ChannelFacts } from '../facts.js'
import { identify, type Identity, type IdentifyOptions } from '../identify.js'
import { afterBridgeHeader, type LegDocument } from '../legs/leg-document.js'
import { hasTalk, isOwn, tellsOfItsEnd, type Attempt, type Leg } from '../legs/legs.js'
import type { OpenRecord } from '../open-record.js'
import { callRecord, type CallStory } from '../record.js'
import type { Recordings } from '../recording/recording.js'
import { callStateOf, isHandedOn, legStateOf, type CallState } from '../state.js'
import { leftAt } from '../takeover.js'
import { callFacts, ownerOf } from '../legs/transferred-leg.js'

/** What is known of a call whose session did not say how it ended. */
export interface Told {
  readonly callUuid: string
  /** One a leg. */
  readonly documents: readonly LegDocument[]
  /** What the journal kept of it while it lasted. */
  readonly open: OpenRecord | undefined
  /** When the switch had it last, in µs by its clock. */
  readonly seenAt?: number
}

export interface SecondRecordOptions extends Omit<IdentifyOptions, 'tenant'> {
  readonly catalog: Catalog
  /** Undefined: nothing is recorded. */
  readonly recordings?: Recordings | undefined
}

/** The document of the caller's leg: with it, it is known how the call ended. */
export function callersDocument({ callUuid, documents }: Told): LegDocument | undefined {
  return documents.find(({ uuid }) => uuid === callUuid)
}

/**
 * The record of a call from what the switch says of its legs, with the same rating as that of a session: both give the
 * same money. Without the caller's document it is `incomplete`: what is known of each leg, and the last sign of life
 * where nothing is. Pure.
 *
 * @returns undefined when nothing is known of the call
 */
export function secondRecord(told: Told, options: SecondRecordOptions): CallRecord | undefined {
  const { documents, open } = told
  const callers = callersDocument(told)
  const called = calledDocuments(told)
  const [first] = called
  if (callers === undefined && open === undefined && first === undefined) return undefined
  const state = stateOf(callers)
  const legs = legsOf(told, state)
  const lastHeardAt = Math.max(
    open?.lastHeardAt ?? 0,
    told.seenAt ?? 0,
    ...documents.map(({ event }) => micros(event, 'variable_end_uepoch') ?? 0),
    ...legs.map(({ endedAt, bridgedAt }) => endedAt ?? bridgedAt),
  )
  for (const leg of legs) leg.endedAt ??= lastHeardAt
  const facts = factsOf(told, state, legs)
  const recording = hasTalk(legs) ? (state?.recording ?? open?.recording) : undefined
  const record = callRecord({
    source: callers?.source ?? 'incomplete',
    facts,
    identity: identityOf(told, state, facts, options),
    legs,
    isTakenOver: (state?.takeovers ?? open?.takeovers ?? 0) > 0,
    route: state?.route ?? open?.route,
    // Of a call that was handed on its dialplan knows which one it took.
    gateway: state && isHandedOn(state) ? undefined : lastAttempt(told, state)?.gateway?.name,
    isVip: state?.isVip ?? open?.isVip ?? false,
    isBlacklisted: state?.isBlacklisted ?? open?.isBlacklisted ?? false,
    refusal: undefined,
    recordingPath: recording?.path,
    earlierRecordings: recording?.earlier ?? [],
    ending: endingOf(called.at(-1)),
    finalEvent: callers?.event,
    lastHeardAt,
  })
  return options.recordings?.located(record) ?? record
}

/**
 * The called legs of a call, each from its own word where that is there. What its last server knew comes second, and
 * what the caller's leg says of the one that it was connected to comes last.
 */
export function legsOf(told: Told, state = stateOf(callersDocument(told))): Leg[] {
  const callers = callersDocument(told)?.event
  const known = new Map<string, Leg>()
  for (const leg of [...(told.open?.legs ?? []), ...(state?.legs ?? [])])
    if (certainty(leg) > certainty(known.get(leg.uuid))) known.set(leg.uuid, { ...leg })
  const attempt = attemptOf(told, state)
  const connectedTo = callers && connectedLeg(callers, state?.bridgedBefore ?? told.open?.facts.bridgedBefore)
  for (const { uuid, event } of calledDocuments(told)) {
    const before = known.get(uuid)
    const leg = calledLeg(event, before?.attempt ?? (uuid === connectedTo ? attempt : undefined))
    // One that was transferred says when it was bridged last.
    if (leg !== undefined) known.set(uuid, { ...leg, bridgedAt: before?.bridgedAt ?? leg.bridgedAt })
    // It was never answered, whatever was taken for its answer.
    else if (before !== undefined)
      known.set(uuid, { ...before, answeredAt: undefined, endedAt: micros(event, 'variable_end_uepoch') })
  }
  if (callers !== undefined) {
    const isMissing = connectedTo !== undefined && !told.documents.some(({ uuid }) => uuid === connectedTo)
    const isNew = ![...known.values()].some(
      (leg) => leg.uuid === connectedTo || leg.attempt.id === attempt?.id,
    )
    if (isMissing && isNew && attempt !== undefined)
      known.set(connectedTo, unseenLeg(connectedTo, attempt, callers))
    for (const leg of known.values()) if (isOwn(leg)) endOwn(leg, callers)
  }
  const legs = [...known.values()].sort((one, other) => one.bridgedAt - other.bridgedAt)
  legs.forEach((leg, i) => {
    if (leg.endedAt === undefined && callers !== undefined) {
      leg.answeredAt ??= answerPassedOn(callers, leg.bridgedAt)
      leg.endedAt = Math.min(bridgeEnd(callers, leg.bridgedAt), legs[i + 1]?.bridgedAt ?? Infinity)
    }
  })
  return legs
}

/** Whose the call is, by the first that says so: its last server, the journal, a leg of it, the caller. */
function identityOf(
  told: Told,
  state: CallState | undefined,
  facts: ChannelFacts,
  { catalog, trustedProfiles, defaultCountry }: SecondRecordOptions,
): Identity {
  const { documents } = told
  const known = state ?? told.open
  if (known !== undefined) {
    const { tenant, direction, caller, called } = known
    return {
      tenant: tenant === undefined ? undefined : catalog.tenant(tenant),
      direction,
      caller,
      called,
      callerExtension: undefined,
      calledExtension: undefined,
      isEmergency: false,
    }
  }
  const leg = documents.map(({ event }) => legStateOf(event)).find((each) => each !== undefined)
  const tenant = leg && catalog.tenant(leg.tenant)
  const callers = callersDocument(told)
  const owner = callers && ownerOf(callers.event, facts, catalog)
  return identify(facts, catalog, { trustedProfiles, defaultCountry, owner, tenant })
}

function factsOf(told: Told, state: CallState | undefined, legs: readonly Leg[]): ChannelFacts {
  const callers = callersDocument(told)
  if (callers !== undefined) {
    if (told.open !== undefined) return told.open.facts
    const facts = callFacts(callers.event, state)
    const isTransferred = facts.transferredFrom !== undefined
    return isTransferred && state !== undefined ? { ...facts, calledNumber: state.destination } : facts
  }
  const facts = told.open?.facts ?? factsFromCalled(told)
  // Nobody told of the caller's own answer; it is that of the first leg that he heard.
  return { ...facts, answeredAt: facts.answeredAt ?? legs[0]?.answeredAt }
}

/** The caller, as a leg that it had dialled knows it. */
function factsFromCalled(told: Told): ChannelFacts {
  const [first] = calledDocuments(told)
  if (first === undefined) throw new Error('nothing is known of the call')
  const { event } = first
  const facts = channelFacts(event)
  return {
    ...facts,
    uuid: told.callUuid,
    callerNumber: event.peek('Other-Leg-Caller-ID-Number') ?? facts.callerNumber,
    callerName: event.peek('Other-Leg-Caller-ID-Name') ?? facts.callerName,
    calledNumber: event.peek('Other-Leg-Destination-Number') ?? facts.calledNumber,
    createdAt: micros(event, 'variable_start_uepoch') ?? facts.createdAt,
    answeredAt: undefined,
    sipCallId: undefined,
  }
}

/** Those of the called legs, in the order in which they were dialled. */
function calledDocuments({ callUuid, documents }: Told): LegDocument[] {
  const start = ({ event }: LegDocument): number => micros(event, 'variable_start_uepoch') ?? 0
  return documents.filter(({ uuid }) => uuid !== callUuid).sort((one, other) => start(one) - start(other))
}

function stateOf(callers: LegDocument | undefined): CallState | undefined {
  return callers && callStateOf(callers.event)
}

function lastAttempt(told: Told, state: CallState | undefined): Attempt | undefined {
  const dialled = calledDocuments(told).flatMap(({ event }) => legStateOf(event)?.attempt ?? [])
  return dialled.at(-1) ?? attemptOf(told, state)
}

/**
 * What was dialled, and may have been connected. A state is on the channel before that is, and says so too when what is
 * dialled next is not ours any more: the journal, which is told now and then, may not know yet.
 */
function attemptOf({ open }: Told, state: CallState | undefined): Attempt | undefined {
  return state === undefined ? open?.attempt : state.attempt
}

function certainty(leg: Leg | undefined): number {
  if (leg === undefined) return 0
  return leg.endIsExact ? 3 : leg.endedAt === undefined ? 1 : 2
}

/** @param before what it was connected to before it was a call of ours */
function connectedLeg(callers: Event, before: string | undefined): string | undefined {
  const uuid = callers.peek('variable_bridge_uuid') ?? callers.peek('variable_last_bridge_to')
  return uuid === before ? undefined : uuid
}

/** The caller's own leg, which is charged from our answer to its end. */
function endOwn(leg: Leg, callers: Event): void {
  leg.answeredAt ??= micros(callers, 'variable_answer_uepoch')
  leg.endedAt = micros(callers, 'variable_end_uepoch')
  leg.endIsExact = true
}

/** The leg that the caller says it was connected to, and that says nothing itself. */
function unseenLeg(uuid: string, attempt: Attempt, callers: Event): Leg {
  // A transferred caller has a new profile, with no bridge in it (recording refer-by-called-2).
  const bridgedAt =
    micros(callers, 'variable_bridge_uepoch') ??
    micros(callers, 'variable_answer_uepoch') ??
    micros(callers, 'variable_end_uepoch') ??
    0
  return {
    uuid,
    attempt,
    answeredAt: answerPassedOn(callers, bridgedAt),
    bridgedAt,
    endedAt: bridgeEnd(callers, bridgedAt),
    endIsExact: false,
    ...(!tellsOfItsEnd(callers) && { hasLeft: true }),
  }
}

/** A leg that the caller was connected to was answered by then; on early media, when the caller's own leg was. */
function answerPassedOn(callers: Event, bridgedAt: number): number | undefined {
  const answeredAt = micros(callers, 'variable_answer_uepoch')
  return answeredAt === undefined ? undefined : Math.max(answeredAt, bridgedAt)
}

/**
 * When the caller's last bridge was over, as far as the caller's leg can tell: when it came back to the dialplan, which
 * notes that, or when it went on to another application, else at its own end.
 */
function bridgeEnd(callers: Event, bridgedAt: number): number {
  const end = micros(callers, 'variable_end_uepoch') ?? bridgedAt
  const left = [leftAt(callers, bridgedAt), micros(callers, afterBridgeHeader)].find(
    (at) => at !== undefined && at > bridgedAt && at < end,
  )
  return Math.max(left ?? end, bridgedAt)
}

/** Who ended the call, as the last called leg tells; undefined: not that one. */
function endingOf(last: LegDocument | undefined): CallStory['ending'] {
  const cause = last?.event.peek('variable_hangup_cause')
  if (last === undefined || cause === undefined) return undefined
  if (cause === 'ALLOTTED_TIMEOUT') return { cause, by: 'server' }
  const isFarEnds = last.event.peek('variable_sip_hangup_disposition')?.startsWith('recv_') === true
  return isFarEnds ? { cause, by: 'called' } : undefined
}
