import type { Event } from '../../esl/event.js'
import { micros } from '../facts.js'
import type { Elsewhere } from '../session-dependencies.js'
import { isAwaited, type Leg } from './legs.js'
import { leftRinging } from './transferred-leg.js'

/** A call whose caller has gone, as far as somebody has told of it. */
export interface CallersEnd {
  readonly switchName: string | undefined
  readonly legs: readonly Leg[]
  /** The caller's last word, its own or mod_json_cdr's; undefined: nobody has told of its end. */
  readonly final: Event | undefined
  /** mod_json_cdr tells of the call's legs. */
  readonly isDocumented: boolean
  /** How long a leg may talk, in ms. */
  readonly maxTalkMs: number
}

/** Legs that may talk on without their caller: somebody transferred them, or whoever could tell of their end has not. */
export interface Outliving {
  /** They are charged to their own end, of which they will tell. */
  readonly isWaitedFor: boolean
  /** Of one that costs something its own word is not there, whether or not it is waited for. */
  readonly isUntold: boolean
  /** Those that the switch has. */
  readonly there: readonly string[]
}

/** One of them. */
interface Unheard {
  readonly uuid: string
  /** When its talk began, so far as that is known, in µs; undefined: it has not left its caller, and ends with it. */
  readonly talksSince: number | undefined
}

/** @param told legs of which the word is there, whatever it says */
function unheardLegs({ legs, final }: CallersEnd, told: ReadonlySet<string>): Unheard[] {
  const awaited = legs
    .filter(isAwaited)
    .map(({ uuid, hasLeft, answeredAt }) => ({ uuid, talksSince: hasLeft ? answeredAt : undefined }))
  const ringing = leftRinging(final, legs)
  if (ringing === undefined || told.has(ringing)) return awaited
  const talksSince = (final && micros(final, 'variable_end_uepoch')) ?? 0
  return [...awaited, { uuid: ringing, talksSince }]
}

/** Whether a leg may talk on without its caller, so that it is worth asking for. */
export function mayOutlive({ legs, final }: Pick<CallersEnd, 'legs' | 'final'>): boolean {
  return legs.some((leg) => leg.hasLeft && isAwaited(leg)) || leftRinging(final, legs) !== undefined
}

/**
 * Whether the record of a call waits for legs of it, the same for its session and for whoever makes its record instead:
 * for one that the switch has, and, while nobody can say whether it has, for one that left its caller, as long as it
 * may talk, if a link will be back or its document will come.
 *
 * @param told legs of which the word is there, whatever it says
 * @param now ms since 1970
 */
export async function outliving(
  end: CallersEnd,
  elsewhere: Pick<Elsewhere, 'has' | 'isLinked'>,
  told: ReadonlySet<string> = new Set(),
  now = Date.now(),
): Promise<Outliving> {
  const { switchName, final, isDocumented, maxTalkMs } = end
  const unheard = unheardLegs(end, told)
  const answers = await Promise.all(unheard.map(({ uuid }) => elsewhere.has(switchName, uuid)))
  const there = unheard.filter((_, i) => answers[i]).map(({ uuid }) => uuid)
  // mod_json_cdr's document of a transferred leg comes at its end, without anybody's asking.
  const isTransferred = final?.peek('variable_transfer_disposition') !== undefined
  const willBeTold =
    final !== undefined && (elsewhere.isLinked(switchName) || (isDocumented && isTransferred))
  const mayTalk = ({ talksSince }: Unheard): boolean =>
    talksSince !== undefined && now - talksSince / 1000 < maxTalkMs
  return {
    isWaitedFor:
      there.length > 0 || (willBeTold && unheard.some((leg, i) => answers[i] === undefined && mayTalk(leg))),
    isUntold: end.legs.some(isAwaited),
    there,
  }
}
