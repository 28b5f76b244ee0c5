import assert from 'node:assert/strict'

import fc from 'fast-check'
import t from 'tap'

import { formatMoney, parseMoney, type Money } from '../src/billing/money.js'
import {
  costCeiling,
  costOf,
  isValidAt,
  longestMs,
  plainTerms,
  rateLeg,
  type Rate,
  type RoundingMode,
  type Terms,
} from '../src/billing/rating.js'
import { rateFromSnapshot, rateSnapshot } from '../src/billing/rate-snapshot.js'
import { anyAmount, anyRate, anyTime, exactCost } from './support/rates.js'

type Priced = Terms & Pick<Rate, 'pricePerMinute'>

function priced(price: string, terms: Partial<Terms> = {}): Priced {
  return { ...plainTerms, ...terms, pricePerMinute: parseMoney(price) }
}

t.test('a call costs its share of a minute, rounded half up once', (t) => {
  const table: [price: string, billedMs: number, cost: string][] = [
    ['500', 60_000, '500.00'],
    ['500', 2_540, '21.17'],
    ['500', 0, '0.00'],
    ['0', 60_000, '0.00'],
    ['500', 1, '0.01'],
    // 0.005 exactly: a half goes up. A float of 0.005 or 1.005 would not.
    ['0.3', 1_000, '0.01'],
    ['60.3', 1_000, '1.01'],
    ['0.299999', 1_000, '0.00'],
    ['600', 59_999, '599.99'],
    ['0.000001', 14_400_000, '0.00'],
    ['123456.789', 14_400_000, '29629629.36'],
    // A month at a high price: far beyond what a float holds exactly.
    ['999999999999.999999', 2_592_000_000, '43199999999999999.96'],
  ]
  for (const [price, ms, cost] of table)
    t.equal(formatMoney(costOf(parseMoney(price), ms)), cost, `${ms} ms at ${price}`)
  t.end()
})

t.test('golden tables: 600 a minute by the increment', (t) => {
  const times = [
    0, 1, 999, 1_000, 1_001, 5_999, 6_000, 6_001, 30_000, 30_001, 36_001, 60_000, 60_001, 125_400,
  ]
  const tables: Record<string, [minimum: number, increment: number, costs: string[]]> = {
    'by the ms': [
      0,
      0,
      '0.00 0.01 9.99 10.00 10.01 59.99 60.00 60.01 300.00 300.01 360.01 600.00 600.01 1254.00'.split(' '),
    ],
    '1/1': [
      1,
      1,
      '0.00 10.00 10.00 10.00 20.00 60.00 60.00 70.00 300.00 310.00 370.00 600.00 610.00 1260.00'.split(' '),
    ],
    '6/6': [
      6,
      6,
      '0.00 60.00 60.00 60.00 60.00 60.00 60.00 120.00 300.00 360.00 420.00 600.00 660.00 1260.00'.split(' '),
    ],
    '30/6': [
      30,
      6,
      '0.00 300.00 300.00 300.00 300.00 300.00 300.00 300.00 300.00 360.00 420.00 600.00 660.00 1260.00'.split(
        ' ',
      ),
    ],
    '60/60': [
      60,
      60,
      '0.00 600.00 600.00 600.00 600.00 600.00 600.00 600.00 600.00 600.00 600.00 600.00 1200.00 1800.00'.split(
        ' ',
      ),
    ],
    // The increments count from the end of the minimum: 10, 16, 22, …
    '10/6': [
      10,
      6,
      '0.00 100.00 100.00 100.00 100.00 100.00 100.00 100.00 340.00 340.00 400.00 640.00 640.00 1300.00'.split(
        ' ',
      ),
    ],
    // A whole minute, then by the second.
    '60/1': [
      60,
      1,
      '0.00 600.00 600.00 600.00 600.00 600.00 600.00 600.00 600.00 600.00 600.00 600.00 610.00 1260.00'.split(
        ' ',
      ),
    ],
    'a minimum alone': [
      30,
      0,
      '0.00 300.00 300.00 300.00 300.00 300.00 300.00 300.00 300.00 300.01 360.01 600.00 600.01 1254.00'.split(
        ' ',
      ),
    ],
  }
  for (const [name, [minimumSeconds, incrementSeconds, costs]] of Object.entries(tables)) {
    const rate = priced('600', { minimumSeconds, incrementSeconds })
    t.same(
      times.map((ms) => formatMoney(rateLeg(rate, ms).cost)),
      costs,
      name,
    )
  }
  t.end()
})

t.test('the time that is paid for is told beside the cost', (t) => {
  t.same(rateLeg(priced('600', { minimumSeconds: 30, incrementSeconds: 6 }), 31_000), {
    chargedMs: 36_000,
    cost: parseMoney('360'),
  })
  t.same(rateLeg(priced('500'), 2_540), { chargedMs: 2_540, cost: parseMoney('21.17') })
  t.same(rateLeg(priced('500', { graceSeconds: 3 }), 2_540), { chargedMs: 0, cost: 0n })
  t.end()
})

t.test('a leg shorter than the grace is free, fee and minimum included', (t) => {
  const rate = priced('60', {
    graceSeconds: 5,
    minimumSeconds: 30,
    connectionFee: parseMoney('7'),
    minimumCost: parseMoney('9'),
  })
  t.equal(rateLeg(rate, 4_999).cost, 0n)
  t.equal(formatMoney(rateLeg(rate, 5_000).cost), '37.00')
  t.end()
})

t.test('a fee is due once, a minimum and a maximum bound the total', (t) => {
  const rate = priced('60', {
    connectionFee: parseMoney('2.5'),
    minimumCost: parseMoney('10'),
    maximumCost: parseMoney('100'),
  })
  const table: [billedMs: number, cost: string][] = [
    [0, '0.00'],
    [1, '10.00'],
    [7_500, '10.00'],
    [7_510, '10.01'],
    [60_000, '62.50'],
    [97_500, '100.00'],
    [1_000_000, '100.00'],
  ]
  for (const [ms, cost] of table) t.equal(formatMoney(rateLeg(rate, ms).cost), cost, `${ms} ms`)
  t.end()
})

t.test('it is rounded once, on the total, as the rate says', (t) => {
  const table: [price: string, fee: string, decimals: number, costs: Record<RoundingMode, string>][] = [
    // 0.004 and 0.004: rounded apart they would be nothing.
    ['0.24', '0.004', 2, { up: '0.01', down: '0.00', half_up: '0.01', half_even: '0.01' }],
    ['0.3', '0', 2, { up: '0.01', down: '0.00', half_up: '0.01', half_even: '0.00' }],
    ['0.9', '0', 2, { up: '0.02', down: '0.01', half_up: '0.02', half_even: '0.02' }],
    ['1.5', '0', 2, { up: '0.03', down: '0.02', half_up: '0.03', half_even: '0.02' }],
    ['1.500001', '0', 2, { up: '0.03', down: '0.02', half_up: '0.03', half_even: '0.03' }],
    ['1.2', '0', 2, { up: '0.02', down: '0.02', half_up: '0.02', half_even: '0.02' }],
    ['1270', '0', 0, { up: '22.00', down: '21.00', half_up: '21.00', half_even: '21.00' }],
    ['1290', '0', 0, { up: '22.00', down: '21.00', half_up: '22.00', half_even: '22.00' }],
    // A millionth's half: below what an amount can say, and rounded all the same.
    ['0.00003', '0', 6, { up: '0.000001', down: '0.00', half_up: '0.000001', half_even: '0.00' }],
    ['0.00009', '0', 6, { up: '0.000002', down: '0.000001', half_up: '0.000002', half_even: '0.000002' }],
  ]
  for (const [price, fee, decimals, costs] of table)
    for (const [mode, cost] of Object.entries(costs) as [RoundingMode, string][]) {
      const rate = priced(price, { connectionFee: parseMoney(fee), rounding: { mode, decimals } })
      t.equal(
        formatMoney(rateLeg(rate, 1_000).cost),
        cost,
        `1 s at ${price} and ${fee}, ${mode} to ${decimals}`,
      )
    }
  t.end()
})

t.test('what cannot be billed is refused', (t) => {
  for (const ms of [-1, 0.5, NaN, Infinity, 2 ** 53]) t.throws(() => costOf(1n, ms), RangeError, String(ms))
  t.throws(() => costOf(-1n, 1000), RangeError, 'a price below 0')
  const nonsense: Partial<Terms>[] = [
    { connectionFee: -1n },
    { minimumSeconds: -1 },
    { incrementSeconds: 0.5 },
    { graceSeconds: NaN },
    { rounding: { mode: 'up', decimals: 7 } },
    { rounding: { mode: 'up', decimals: -1 } },
    { minimumCost: -10_000n },
    { minimumCost: 20_000n, maximumCost: 10_000n },
    // Half a hundredth.
    { maximumCost: 5_000n },
    { validFrom: 5, validTo: 5 },
  ]
  for (const terms of nonsense) {
    t.throws(() => rateLeg(priced('1', terms), 1_000), RangeError)
    t.throws(() => longestMs(priced('1', terms), 1n), RangeError)
  }
  t.end()
})

t.test('every cost is what exact fractions say, never below 0, in the decimals of the rate', (t) => {
  fc.assert(
    fc.property(anyRate, anyTime, (rate, ms) => {
      const { cost } = rateLeg(rate, ms)
      return (
        cost >= 0n && cost % 10n ** BigInt(6 - rate.rounding.decimals) === 0n && cost === exactCost(rate, ms)
      )
    }),
    { numRuns: 5_000 },
  )
  t.end()
})

t.test('a longer call is never cheaper', (t) => {
  const near = fc.integer({ min: 0, max: 70_000 })
  fc.assert(
    fc.property(anyRate, anyTime, fc.oneof(near, anyTime), (rate, ms, more) => {
      const [shorter, longer] = [rateLeg(rate, ms), rateLeg(rate, ms + more)]
      return shorter.cost <= longer.cost && shorter.chargedMs <= longer.chargedMs
    }),
    { numRuns: 5_000 },
  )
  t.end()
})

t.test('whole minutes on plain terms are exact', (t) => {
  fc.assert(
    fc.property(
      fc.bigInt({ min: 0n, max: 10n ** 14n }),
      fc.integer({ min: 0, max: 10_000 }),
      (cents, minutes) => costOf(cents * 10_000n, minutes * 60_000) === cents * 10_000n * BigInt(minutes),
    ),
  )
  t.end()
})

t.test('the longest time for an amount costs no more, and a millisecond longer does', (t) => {
  const table: [rate: Priced, amount: string, ms: number][] = [
    [priced('600'), '600', 60_000],
    [priced('600'), '0', 0],
    [priced('600'), '-1', 0],
    [priced('0'), '0', Infinity],
    [priced('600', { minimumSeconds: 30, incrementSeconds: 6 }), '599.99', 54_000],
    [priced('600', { minimumSeconds: 30, incrementSeconds: 6 }), '299.99', 0],
    [priced('600', { graceSeconds: 3, minimumSeconds: 60 }), '0', 2_999],
    [priced('600', { maximumCost: parseMoney('100') }), '100', Infinity],
    [priced('600', { rounding: { mode: 'down', decimals: 0 } }), '0.5', 99],
    // 0.5, 1.5 and 2.5 are half way: to 0, to 2 and to 2.
    [priced('600', { rounding: { mode: 'half_even', decimals: 0 } }), '0', 50],
    [priced('600', { rounding: { mode: 'half_even', decimals: 0 } }), '1', 149],
    [priced('600', { rounding: { mode: 'half_even', decimals: 0 } }), '2', 250],
    [priced('600', { rounding: { mode: 'half_up', decimals: 0 } }), '2', 249],
    [priced('600', { rounding: { mode: 'up', decimals: 0 } }), '2.9', 200],
    [priced('600', { connectionFee: parseMoney('5') }), '4.99', 0],
    [priced('600', { connectionFee: parseMoney('5'), graceSeconds: 2 }), '4.99', 1_999],
    [priced('600', { minimumCost: parseMoney('5') }), '4.99', 0],
    [priced('600', { minimumCost: parseMoney('5') }), '5', 500],
    [priced('0', { connectionFee: parseMoney('5') }), '5', Infinity],
    // More ms than can be counted.
    [priced('0.000001'), '1000000000', Infinity],
  ]
  for (const [rate, amount, ms] of table) t.equal(longestMs(rate, parseMoney(amount)), ms, `for ${amount}`)
  const isLongest = (rate: Rate, amount: Money) => {
    const longest = longestMs(rate, amount)
    if (longest === Infinity) return costCeiling(rate, Number.MAX_SAFE_INTEGER) <= amount
    if (amount < 0n) return longest === 0
    return costCeiling(rate, longest) <= amount && costCeiling(rate, longest + 1) > amount
  }
  fc.assert(
    fc.property(anyRate, anyTime, fc.bigInt({ min: -2n, max: 2n }), (rate, ms, aside) =>
      isLongest(rate, costCeiling(rate, ms) + aside),
    ),
    { numRuns: 5_000 },
  )
  fc.assert(fc.property(anyRate, anyAmount, isLongest), { numRuns: 5_000 })
  t.end()
})

t.test('what is reserved for a time covers every leg that ends within it', (t) => {
  fc.assert(
    fc.property(anyRate, anyTime, anyTime, (rate, a, b) => {
      return rateLeg(rate, Math.min(a, b)).cost <= costCeiling(rate, Math.max(a, b))
    }),
  )
  t.end()
})

t.test('a rate is in force from its first moment up to its end, which is not in it', (t) => {
  const rate = { ...plainTerms, validFrom: 100, validTo: 200 }
  t.same(
    [99, 100, 199, 200].map((at) => isValidAt(rate, at)),
    [false, true, true, false],
  )
  t.ok(isValidAt(plainTerms, 0))
  t.end()
})

t.test('a frozen rate is read back as it was', (t) => {
  fc.assert(
    fc.property(anyRate, (rate) => {
      const again = rateFromSnapshot(JSON.parse(JSON.stringify(rateSnapshot(rate))))
      assert.deepEqual(again, rate)
    }),
    { numRuns: 200 },
  )
  const part1 = { prefix: '8490', prefixEntered: '090', description: 'Mobile', pricePerMinute: '500.00' }
  t.same(rateFromSnapshot(part1), { ...plainTerms, ...part1, pricePerMinute: parseMoney('500') })
  t.same(rateSnapshot(rateFromSnapshot(part1)), part1, 'plain terms take no room on the channel')
  t.end()
})

t.test('what is no frozen rate is refused', (t) => {
  const good = { prefix: '84', prefixEntered: '84', description: '', pricePerMinute: '1' }
  t.doesNotThrow(() => rateFromSnapshot(good))
  const bad: unknown[] = [
    undefined,
    null,
    'rate',
    [],
    {},
    { ...good, prefix: 84 },
    { ...good, pricePerMinute: 1 },
    { ...good, pricePerMinute: '1e3' },
    { ...good, pricePerMinute: '-1' },
    { ...good, incrementSeconds: '6' },
    { ...good, incrementSeconds: -6 },
    { ...good, graceSeconds: 0.5 },
    { ...good, rounding: 'up' },
    { ...good, rounding: { mode: 'sideways', decimals: 2 } },
    { ...good, rounding: { mode: 'up', decimals: 9 } },
    { ...good, maximumCost: null },
  ]
  for (const json of bad) t.throws(() => rateFromSnapshot(json), RangeError, JSON.stringify(json))
  t.end()
})
