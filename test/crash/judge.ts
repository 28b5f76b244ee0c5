import { formatMoney, parseMoney } from '../../src/billing/money.js'
import { rateLeg } from '../../src/billing/rating.js'
import type { LegOutcome } from '../support/switch/legs.js'
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
}

/** How far the record of a leg may be from what the switch knows of it, in ms. */
const exactMs = 1
/** So long in a row, in ms, must everything have been there for somebody to reserve more and move the timer. */
const neededMs = 2_000

/** Compares what was committed of a call with what the switch did. */
export function judge(call: CrashCall, committed: CommittedCall | undefined, outages: Outages): Verdict {
  const faults: { fault: Fault; what: string }[] = []
  const blame = (fault: Fault, what: string): void => {
    faults.push({ fault, what })
  }
  const { outcome } = call
  if (outcome === undefined) {
    blame('lost', 'the call never ends on the switch')
    return { call, faults, unavoidable: [] }
  }
  if (committed === undefined) {
    if (call.hasReachedServer) blame('lost', 'a call that reached a server has no CDR')
  } else {
    if (!call.hasReachedServer) blame('doubled', 'a call that reached no server has a CDR')
    if (committed.cdrs > 1) blame('doubled', `it has ${committed.cdrs} CDRs`)
    judgeCharges(call, outcome.legs, committed, blame)
  }
  const answered = outcome.legs.filter(({ answeredAt }) => answeredAt !== undefined)
  const [first] = answered
  if (first !== undefined && outcome.legs.some((leg) => leg.dialledAt > (first.answeredAt ?? 0)))
    blame('doubled', 'a leg was dialled after another had been answered')
  const unavoidable: number[] = []
  for (const leg of answered) {
    const missing = missingMs(call, leg)
    if (missing <= exactMs) continue
    const quietMs = longestQuiet(leg, outages)
    if (leg.cause === 'ALLOTTED_TIMEOUT' && quietMs < neededMs) unavoidable.push(Math.round(quietMs))
    else blame('ended', `${missing} ms before its end: ${leg.cause ?? 'no cause'}`)
  }
  return { call, faults, unavoidable }
}

function judgeCharges(
  { plan }: CrashCall,
  legs: readonly LegOutcome[],
  { charges, cost, mostReserved, source }: CommittedCall,
  blame: (fault: Fault, what: string) => void,
): void {
  const { rate, tenant } = plan
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
    if (Math.max(Math.abs(lateMs.answer), Math.abs(lateMs.end)) > exactMs)
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
