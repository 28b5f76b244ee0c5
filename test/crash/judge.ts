import { formatMoney, parseMoney } from '../../src/billing/money.js'
import { rateLeg } from '../../src/billing/rating.js'
import type { LegOutcome } from '../support/switch/legs.js'
import { frameMs } from '../support/switch/thread.js'
import type { CrashCall } from './crash-call.js'
import type { Outages } from './outages.js'
import type { CommittedCall } from './truth.js'
import { sliceSeconds } from './world.js'

/** What is wrong with a call. */
export type Fault = 'lost' | 'doubled' | 'ended' | 'wrong'

export interface Verdict {
  readonly call: CrashCall
  readonly faults: readonly { readonly fault: Fault; readonly what: string }[]
  /**
   * Of each conversation that ended because nobody was there who could have kept it: for how long in a row, in ms,
   * everything was there when its time had to be extended.
   */
  readonly unavoidable: readonly number[]
  /** Of each charge that is not exact how far its times are from those of the leg, in ms. */
  readonly offMs: readonly number[]
}

/** What a record says to the millisecond is exact: the switch counts in µs. */
const exactMs = 1
/**
 * So much may the record of a leg be wrong about its times, in ms, where it was made without the leg's own word, which
 * another node has: what the caller's side tells is a frame late, or as late as the tone was long that played to it.
 */
const nearMs = 250
/** So long in a row, in ms, must everything have been there for somebody to reserve more and move the timer. */
const neededMs = 2_000

/** Compares what was committed of a call with what the switch did. */
export function judge(call: CrashCall, committed: CommittedCall | undefined, outages: Outages): Verdict {
  const faults: { fault: Fault; what: string }[] = []
  const blame = (fault: Fault, what: string): void => {
    faults.push({ fault, what })
  }
  let offMs: number[] = []
  const { outcome } = call
  if (outcome === undefined) {
    blame('lost', 'the call never ends on the switch')
    return { call, faults, unavoidable: [], offMs: [] }
  }
  if (committed === undefined) {
    if (call.hasReachedServer) blame('lost', 'a call that reached a server has no CDR')
  } else {
    // By mod_json_cdr a call has its CDR also when every server was away.
    if (!call.hasReachedServer && Number(committed.cost) > 0)
      blame('doubled', 'a call that reached no server costs something')
    if (committed.cdrs > 1) blame('doubled', `it has ${committed.cdrs} CDRs`)
    offMs = judgeCharges(call, outcome.legs, committed, blame)
  }
  const answered = outcome.legs.filter(({ answeredAt }) => answeredAt !== undefined)
  const [first] = answered
  if (first !== undefined && outcome.legs.some((leg) => leg.dialledAt > (first.answeredAt ?? 0)))
    blame('doubled', 'a leg was dialled after another had been answered')
  const unavoidable: number[] = []
  for (const leg of answered) {
    const missing = missingMs(call, leg)
    // A caller's hangup ends the leg when the caller's thread wakes, which a message may do within the frame.
    if (missing <= (outcome.hungUpBy === 'caller' ? frameMs : exactMs)) continue
    const quietMs = longestQuiet(leg, outages)
    if (leg.cause === 'ALLOTTED_TIMEOUT' && quietMs < neededMs) unavoidable.push(Math.round(quietMs))
    else blame('ended', `${missing} ms before its end: ${leg.cause ?? 'no cause'}`)
  }
  return { call, faults, unavoidable, offMs }
}

/** @returns for each charge that is not exact how far its times are from those of the leg, in ms */
function judgeCharges(
  { plan }: CrashCall,
  legs: readonly LegOutcome[],
  { charges, cost, mostReserved, source }: CommittedCall,
  blame: (fault: Fault, what: string) => void,
): number[] {
  const { rate, tenant } = plan
  const offMs: number[] = []
  const expected = rate === undefined ? [] : legs.filter(({ answeredAt }) => answeredAt !== undefined)
  for (const charge of charges)
    if (!expected.some(({ uuid }) => uuid === charge.legUuid))
      blame('doubled', `a charge for the leg ${charge.legUuid}, which was never answered or costs nothing`)
  for (const { uuid, answeredAt = 0, endedAt = 0 } of expected) {
    const of = charges.filter(({ legUuid }) => legUuid === uuid)
    const [charge] = of
    if (charge === undefined) {
      blame('lost', `the answered leg ${uuid} has no charge (its CDR is of source ${source})`)
      continue
    }
    if (of.length > 1) blame('doubled', `the leg ${uuid} has ${of.length} charges`)
    const lateMs = { answer: (charge.answeredAt - answeredAt) / 1000, end: (charge.endedAt - endedAt) / 1000 }
    const off = Math.max(Math.abs(lateMs.answer), Math.abs(lateMs.end))
    if (off > exactMs) offMs.push(off)
    if (off > nearMs)
      blame(
        'wrong',
        `the leg ${uuid} talked for ${(endedAt - answeredAt) / 1000} ms and is charged for ${charge.billedMs} ms, ` +
          `from ${lateMs.answer} ms after its answer to ${lateMs.end} ms after its end (source ${source})`,
      )
    else if (rate !== undefined && rateLeg(rate, charge.billedMs).cost !== parseMoney(charge.cost))
      blame('wrong', `the leg ${uuid} costs ${charge.cost} for ${charge.billedMs} ms`)
  }
  const isPrepaid = tenant?.billing === 'prepaid'
  if (isPrepaid && parseMoney(cost) > parseMoney(mostReserved ?? '0'))
    blame(
      'wrong',
      `it cost ${cost}, of which at most ${formatMoney(parseMoney(mostReserved ?? '0'))} was reserved`,
    )
  return offMs
}

/** How much of the talk that the two wanted they did not have, in ms. */
function missingMs({ plan: { talkMs } }: CrashCall, { answeredAt = 0, endedAt = 0 }: LegOutcome): number {
  return talkMs === undefined ? 0 : talkMs - (endedAt - answeredAt) / 1000
}

/** How long in a row everything was there while the time of a leg had to be extended, in ms. */
function longestQuiet({ endedAt = 0 }: LegOutcome, outages: Outages): number {
  // The switch's clock and the outages' run side by side.
  const firedAt = endedAt / 1000 - performance.timeOrigin
  return outages.longestQuiet(firedAt - (sliceSeconds / 2) * 1000 - 500, firedAt)
}
