import type { ChannelFacts } from './facts.js'
import type { Direction } from '../numbering/direction.js'
import type { Identity } from './identify.js'
import type { Attempt, Leg } from './legs/legs.js'
import { attemptFromJson, attemptJson, legFromJson, legJson } from './state.js'
import type { PlannedRecording } from './recording/recording.js'

/**
 * What the journal keeps of a call in progress: enough to close it, should nobody else ever tell of it. Written
 * when the call is routed, and again, every few seconds, while that has changed (src/call/live.ts).
 */
export interface OpenRecord {
  readonly facts: ChannelFacts
  /** Undefined: nobody's call. */
  readonly tenant: string | undefined
  readonly direction: Direction
  /** Normal form. */
  readonly caller: string
  readonly called: string
  readonly route: string | undefined
  readonly isVip: boolean
  readonly isBlacklisted?: boolean
  /** Given back or transferred by its route: it may go on for long, and no server has it. */
  readonly isHandedOn?: boolean
  readonly takeovers: number
  readonly legs: readonly Leg[]
  readonly attempt: Attempt | undefined
  readonly recording?: PlannedRecording
  /** The last sign of life, in µs by the switch's clock. */
  readonly lastHeardAt: number
}

/** What of a call it is made of. */
export type OpenStory = Omit<OpenRecord, 'tenant' | 'direction' | 'caller' | 'called'> & {
  readonly identity: Identity
}

const version = 2

/** @returns what `Journal.openCall` takes */
export function openRecordJson({ identity, legs, attempt, ...story }: OpenStory): unknown {
  const { tenant, direction, caller, called } = identity
  return {
    v: version,
    ...story,
    tenant: tenant?.id,
    direction,
    caller,
    called,
    legs: legs.map(legJson),
    ...(attempt && { attempt: attemptJson(attempt) }),
  }
}

/** @returns undefined when another release wrote it */
export function readOpenRecord(data: unknown): OpenRecord | undefined {
  // It is our own journal that it comes from: its shape is not in doubt, its version is.
  const json = data as OpenRecord & { readonly v?: unknown }
  if (typeof data !== 'object' || data === null || json.v !== version) return undefined
  return {
    ...json,
    legs: json.legs.map(legFromJson),
    attempt: json.attempt === undefined ? undefined : attemptFromJson(json.attempt),
  }
}

/** The same with legs that were there still. @param at µs by the switch's clock */
export function seenUntil(record: OpenRecord, legUuids: readonly string[], at: number): unknown {
  const { legs, attempt, ...rest } = record
  const seen = legs.map((leg) =>
    legUuids.includes(leg.uuid) && leg.endedAt !== undefined && !leg.endIsExact
      ? { ...leg, endedAt: Math.max(leg.endedAt, at) }
      : leg,
  )
  return {
    ...rest,
    v: version,
    legs: seen.map(legJson),
    ...(attempt && { attempt: attemptJson(attempt) }),
  }
}
