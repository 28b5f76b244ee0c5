import { formatMoney } from './money.js'
import { rateLeg, type RatedLeg, type Rate, type RoundingMode } from './rating.js'

export interface ExplainedLeg extends RatedLeg {
  /** Whole increments that are charged beyond the minimum; 0 where time is charged by the millisecond. */
  readonly increments: number
  /** How it comes to its cost, a sentence a step. */
  readonly steps: readonly string[]
}

const msPerMinute = 60_000n

const roundingWords: Readonly<Record<RoundingMode, string>> = {
  up: 'up',
  down: 'down',
  half_up: 'half up',
  half_even: 'half to even',
}

/** What a leg costs (`rateLeg`), and how that is reckoned. @throws RangeError as `rateLeg` does */
export function explainLeg(rate: Rate, billedMs: number): ExplainedLeg {
  const rated = rateLeg(rate, billedMs)
  const { chargedMs, cost } = rated
  const { minimumSeconds, incrementSeconds, graceSeconds, connectionFee, minimumCost, maximumCost } = rate
  const beyondMs = chargedMs - minimumSeconds * 1000
  const increments = incrementSeconds > 0 && beyondMs > 0 ? beyondMs / (incrementSeconds * 1000) : 0
  if (chargedMs === 0)
    return {
      ...{ ...rated, increments },
      steps: [
        billedMs === 0
          ? 'What lasted no time costs nothing.'
          : `${seconds(billedMs)} are less than the ${graceSeconds} s of grace: it is free.`,
      ],
    }
  const steps = [
    billedMs < minimumSeconds * 1000
      ? `Of ${seconds(billedMs)} the minimum of ${minimumSeconds} s is charged.`
      : increments > 0
        ? `Of ${seconds(billedMs)} ${minimumSeconds > 0 ? `the minimum of ${minimumSeconds} s and ` : ''}${increments} × ${incrementSeconds} s are charged: ${seconds(chargedMs)}.`
        : `${seconds(chargedMs)} are charged.`,
  ]
  const forTime = rate.pricePerMinute * BigInt(chargedMs)
  let total = forTime + connectionFee * msPerMinute
  steps.push(
    `${seconds(chargedMs)} at ${formatMoney(rate.pricePerMinute)} a minute come to ${exact(forTime)}.`,
  )
  if (connectionFee > 0n)
    steps.push(`With the connection fee of ${formatMoney(connectionFee)} that is ${exact(total)}.`)
  for (const [bound, isBeyond, word] of [
    [minimumCost, (at: bigint) => total < at, 'least'],
    [maximumCost, (at: bigint) => total > at, 'most'],
  ] as const) {
    if (bound === undefined || !isBeyond(bound * msPerMinute)) continue
    total = bound * msPerMinute
    steps.push(`It costs at ${word} ${formatMoney(bound)}.`)
  }
  if (total !== cost * msPerMinute)
    steps.push(
      `Rounded ${roundingWords[rate.rounding.mode]} to ${rate.rounding.decimals} decimals that is ${formatMoney(cost)}.`,
    )
  return { ...rated, increments, steps }
}

function seconds(ms: number): string {
  return `${ms / 1000} s`
}

/** @param total in sixty thousandths; what does not end after six decimals is marked so */
function exact(total: bigint): string {
  const units = total / msPerMinute
  if (total % msPerMinute === 0n) return formatMoney(units)
  const digits = units.toString().padStart(7, '0')
  return `${digits.slice(0, -6)}.${digits.slice(-6)}…`
}
