import { formatMoney, parseMoney } from '../billing/money.js'
import { rateSnapshot } from '../billing/rate-snapshot.js'
import { rateLeg, type Rate } from '../billing/rating.js'
import type { RateTerms } from './call-record.js'
import type { Column } from './columns.js'

/** A leg as it was rated and as it is rated now. */
export interface RatedAgain {
  readonly legUuid: string
  readonly number: string
  readonly costBefore: string
  readonly cost: string
  /** What of its rate is shown. */
  readonly prefix: string
  readonly prefixEntered: string
  readonly description: string
  readonly pricePerMinute: string
  readonly terms: RateTerms
  readonly chargedMs: number
}

/** A row of `charges`, as far as it is rated; moments µs since 1970, durations ms. */
export interface RatedLeg {
  readonly leg_uuid: string
  readonly gateway: string | null
  readonly number: string
  readonly prefix: string
  readonly prefix_entered: string
  readonly description: string
  readonly price_per_minute: string
  readonly terms: RateTerms
  readonly answered_at: number
  readonly billed_ms: number
  readonly charged_ms: number
  readonly cost: string
}

export function ratedAgain(leg: RatedLeg, rate: Rate): RatedAgain {
  const { prefix, prefixEntered, description, pricePerMinute, ...terms } = rateSnapshot(rate)
  const { cost, chargedMs } = rateLeg(rate, leg.billed_ms)
  return {
    legUuid: leg.leg_uuid,
    number: leg.number,
    costBefore: formatMoney(parseMoney(leg.cost)),
    cost: formatMoney(cost),
    ...{ prefix, prefixEntered, description, pricePerMinute, terms, chargedMs },
  }
}

export function isSame(now: RatedAgain, before: RatedLeg | undefined): boolean {
  return (
    before !== undefined &&
    now.cost === now.costBefore &&
    now.chargedMs === before.charged_ms &&
    now.prefix === before.prefix &&
    now.prefixEntered === before.prefix_entered &&
    now.description === before.description &&
    now.pricePerMinute === formatMoney(parseMoney(before.price_per_minute)) &&
    sorted(now.terms) === sorted(before.terms)
  )
}

/** jsonb keeps no order of names. */
function sorted(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null
      ? Object.fromEntries(Object.entries(inner).sort(([one], [other]) => (one < other ? -1 : 1)))
      : inner,
  )
}

/** What of a charge a rating says, and by which leg it is found. */
export const ratedColumns: readonly Column<RatedAgain>[] = [
  { name: 'leg_uuid', type: 'text', value: (c) => c.legUuid },
  { name: 'prefix', type: 'text', value: (c) => c.prefix },
  { name: 'prefix_entered', type: 'text', value: (c) => c.prefixEntered },
  { name: 'description', type: 'text', value: (c) => c.description },
  { name: 'price_per_minute', type: 'numeric', value: (c) => c.pricePerMinute },
  { name: 'terms', type: 'jsonb', value: (c) => JSON.stringify(c.terms) },
  { name: 'charged_ms', type: 'bigint', value: (c) => c.chargedMs },
  { name: 'cost', type: 'numeric', value: (c) => c.cost },
]
