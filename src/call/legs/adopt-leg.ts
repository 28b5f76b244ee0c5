import type { Logger } from 'pino'
import type { Credit, Granted, Leg as CreditLeg, Refused } from '../../billing/credit.js'
import type { Tenant } from '../../store/catalog.js'
import type { LegControl } from './leg-control.js'
import { Meter } from './meter.js'
import type { TalkingLeg } from './talking-leg.js'

export interface AdoptOptions {
  readonly credit: Credit
  readonly control: LegControl
  readonly tenant: Tenant
  readonly log: Logger
}

/**
 * Meters a leg that talks and that somebody else dialled: another server, or another call.
 *
 * @returns the meter, also of one that is refused more but whose time is not over; or why not: its timer is where it was
 */
export async function adoptLeg(
  { uuid, callUuid, attempt, answeredAt, now, timers, reservedMs = 0 }: TalkingLeg,
  { credit, control, tenant, log }: AdoptOptions,
): Promise<Meter | Refused> {
  const { maxCallSeconds: maxSeconds, ringSeconds } = tenant
  const leg: CreditLeg = { tenant, callUuid, attemptId: attempt.id, rate: attempt.rate, maxSeconds }
  const talkedMs = (now - answeredAt) / 1000
  const answer = await grant(credit, leg, talkedMs)
  if (answer.kind === 'refused' && reservedMs <= talkedMs) return answer
  const granted: Granted =
    answer.kind === 'granted' ? answer : { kind: 'granted', untilMs: reservedMs, isLast: true }
  const meter = new Meter({ credit, control, log, leg, granted, ringSeconds, timers })
  meter.start(uuid, answeredAt, now)
  return meter
}

/**
 * What a leg that talks may talk in all: what its server reserved, though it may not have told the switch of it any
 * more; if that is over, or nobody knows of it, a slice from now on.
 */
async function grant(credit: Credit, leg: CreditLeg, talkedMs: number): Promise<Granted | Refused> {
  const known = await credit.extend(leg, 0)
  if (known.kind === 'granted' && known.untilMs > talkedMs) return known
  return credit.extend(leg, Math.ceil(talkedMs / 1000) * 1000)
}
