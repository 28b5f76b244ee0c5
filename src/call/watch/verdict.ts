import type { SwitchChannel } from '../../esl/link.js'

/** What the janitor decides, and from what; all of it pure. */

/** The channels of one switch at one moment. */
export interface SeenSwitch {
  /** FreeSWITCH's own; undefined: it never was heard. */
  readonly switchName: string | undefined
  /** By their uuids; undefined: it could not be asked. */
  readonly channels: { has(uuid: string): boolean } | undefined
}

/**
 * - `listed`: its switch has the channel
 * - `unlisted`: its switch has it no more
 * - `unseen`: nobody can say now
 * - `unlinked`: no link leads to its switch
 */
export type Sight = 'listed' | 'unlisted' | 'unseen' | 'unlinked'

/**
 * What the switches say of a channel.
 *
 * @param switchName of the switch that it was on; undefined if that is not known
 */
export function sightOf(uuid: string, switchName: string | undefined, seen: readonly SeenSwitch[]): Sight {
  if (seen.some(({ channels }) => channels?.has(uuid))) return 'listed'
  const named = seen.filter((each) => switchName === undefined || each.switchName === switchName)
  // A link that never was up may lead to any switch.
  const asked = named.length > 0 ? named : seen.filter((each) => each.switchName === undefined)
  if (asked.length === 0) return 'unlinked'
  return asked.every(({ channels }) => channels !== undefined) ? 'unlisted' : 'unseen'
}

/** A call that is open in the journal of this node, and has no session here. */
export interface LostCall {
  readonly sight: Sight
  /** Since it began, in ms. */
  readonly ageMs: number
  /** Since this server lost it, or was started, in ms. */
  readonly lostForMs: number
  /** How long after that a leg of it may talk on, in ms. */
  readonly mayTalkForMs: number
  /** The switch told its hangup, though not how it ended. */
  readonly isOver: boolean
  /** Whether another node has had it since; `unknown`: Redis is away. */
  readonly taken: 'by nobody' | 'by another' | 'unknown'
}

/**
 * - `talks`: its channel is there
 * - `gone`: it is over, so far as anybody can know
 * - `elsewhere`: another node had it last, and records it
 * - `wait`: it is asked again
 */
export type Verdict = 'talks' | 'gone' | 'elsewhere' | 'wait'

/** For the log. */
export const verdictMessages: Readonly<Record<Exclude<Verdict, 'wait'>, string>> = {
  talks: 'a call that this server lost is still there: it is left to go on',
  gone: 'a call that this server lost is over: it is closed by another source, if there is one',
  elsewhere: 'a call that this server lost was taken over by another node, which records it',
}

/** In ms. */
export interface Patience {
  /** For a call of which no link tells, at least. */
  readonly leastMs: number
  /** No call of its tenant lasts longer. */
  readonly maxCallMs: number
}

/** How long, in ms, a call of which no link tells still counts as lasting; 0: it does not, or a link tells. */
export function patienceLeft(call: LostCall, { leastMs }: Pick<Patience, 'leastMs'>): number {
  const { sight, isOver, lostForMs, mayTalkForMs } = call
  if (sight !== 'unlinked' || isOver) return 0
  return Math.max(0, Math.max(leastMs, mayTalkForMs) - lostForMs + 1)
}

export function judgeLost(call: LostCall, { leastMs, maxCallMs }: Patience): Verdict {
  const { sight, ageMs, isOver, taken } = call
  if (sight === 'listed') return 'talks'
  if (sight === 'unlisted' || isOver || ageMs > maxCallMs) return 'gone'
  if (sight === 'unseen' || patienceLeft(call, { leastMs }) > 0) return 'wait'
  return taken === 'by nobody' ? 'gone' : taken === 'by another' ? 'elsewhere' : 'wait'
}

/** A caller's channel without a session here that has stood in `socket` for long. */
export interface ParkedChannel {
  /** It talks to another channel that is there. */
  readonly isBridged: boolean
  /** Whose call it is; nobody's: no server has dialled for it, or waited in a menu. */
  readonly owner: 'nobody' | 'this node' | 'a dead node' | 'a living node'
}

/**
 * Whether nobody will ever speak to a channel any more: a server accepted it and died. One that is nobody's may be
 * that of another node which screens its caller, but not for so long; one that another node took over says so at once.
 */
export function isAbandoned({ isBridged, owner }: ParkedChannel): boolean {
  return !isBridged && owner !== 'a living node'
}

/** What runs in a channel that the switch dialled itself, and handed to a server like a caller's. */
const servedIn = new Set(['socket', 'bridge'])

/** Whether a channel is, or was handed to a server like, that of a caller. */
export function isCallers({ direction, application }: SwitchChannel): boolean {
  return direction === 'inbound' || servedIn.has(application)
}

/**
 * Whether a channel that was dialled is without the caller for whom it was: FreeSWITCH gives a leg the call of its
 * caller, until the two are taken apart (recording refer-by-caller-2).
 */
export function isStray(
  { uuid, callUuid, direction }: SwitchChannel,
  channels: ReadonlyMap<string, SwitchChannel> | undefined,
): boolean {
  if (direction === 'inbound') return false
  return callUuid === undefined || callUuid === uuid || channels?.get(callUuid)?.direction !== 'inbound'
}
