import type { Rate, Rounding } from '../../src/billing/rating.js'

/** Rates of the measured deck. */
export const rateCount = 1_000_000
/** Prefixes that begin alike: one of six digits, and three below it. */
const tails = ['', '7', '38', '0214']
const groups = rateCount / tails.length
/** Prime to the number of rates, so that each comes once, and no two neighbours one after the other. */
const stride = 618_033
const increments = [
  [1, 1],
  [6, 6],
  [30, 6],
  [60, 60],
] as const
const rounding: Rounding = { mode: 'up', decimals: 4 }

/** By destination, as decks come, or in an order that suits no index. */
export type Order = 'by destination' | 'shuffled'

/** The rates of the deck; the same ones each time. */
export function* rates(seed: number, order: Order): Generator<Rate> {
  for (let i = 0; i < rateCount; i++)
    yield rateNumber(order === 'shuffled' ? (i * stride) % rateCount : i, seed)
}

/** A number that has a rate: with that of `k` as its longest prefix, or a longer one's. */
export function ratedNumber(k: number, random: () => number, seed: number): string {
  return prefixNumber(k, seed) + someDigits(random)
}

/** A number that has none, which shows at its third to sixth digit. */
export function unratedNumber(k: number, random: () => number, seed: number): string {
  const group = k % groups
  return String(baseNumber(group, (oneOfThree(group, seed) + 1) % 3)) + someDigits(random)
}

function rateNumber(k: number, seed: number): Rate {
  const prefix = prefixNumber(k, seed)
  const [minimumSeconds, incrementSeconds] = increments[mixed(k, seed) % increments.length] ?? increments[0]
  const rate = {
    prefix,
    prefixEntered: `+${prefix}`,
    description: `Country ${prefix.slice(0, 3)}, mobile, network ${prefix.slice(3, 6)}`,
    pricePerMinute: BigInt((1 + (mixed(k + 1, seed) % 9_999_999)) * 100),
    connectionFee: 0n,
    minimumSeconds,
    incrementSeconds,
    graceSeconds: 0,
    rounding,
  }
  // Every tenth has been changed once.
  return k % 10 === 0 ? { ...rate, validFrom: 1_700_000_000_000_000 + k } : rate
}

function prefixNumber(k: number, seed: number): string {
  const group = Math.floor(k / tails.length)
  return String(baseNumber(group, oneOfThree(group, seed))) + (tails[k % tails.length] ?? '')
}

/** Of each three numbers of six digits one is a prefix. */
function baseNumber(group: number, which: number): number {
  return 100_000 + group * 3 + which
}

function oneOfThree(group: number, seed: number): number {
  return mixed(group, seed) % 3
}

function someDigits(random: () => number): string {
  return String(Math.floor(random() * 1e6)).padStart(6, '0')
}

/** @returns 0 to 2³² - 1, the same for the same two */
function mixed(value: number, seed: number): number {
  let state = Math.imul(value + 1, 0x9e3779b1) ^ Math.imul(seed + 1, 0x85ebca6b)
  state = Math.imul(state ^ (state >>> 16), 0x7feb352d)
  state = Math.imul(state ^ (state >>> 15), 0x846ca68b)
  return (state ^ (state >>> 16)) >>> 0
}
