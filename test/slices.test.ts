import assert from 'node:assert/strict'

import fc from 'fast-check'
import t from 'tap'

import { parseMoney } from '../src/billing/money.js'
import { costCeiling, type Rate } from '../src/billing/rating.js'
import { holdingFor, isFree, untilMs } from '../src/billing/slices.js'
import { perMillisecond } from './support/credit.js'

const seconds = (most: number) => fc.integer({ min: 1, max: most }).map((s) => s * 1000)
const times = fc.record({ sliceMs: seconds(3_600), leastMs: seconds(60), guardMs: seconds(5) })
const wholeMoney = (most: number) => fc.integer({ min: 0, max: most }).map((n) => BigInt(n) * 1_000_000n)
const rate = fc
  .record({
    pricePerMinute: fc.bigInt({ min: 1n, max: 10n ** 12n }),
    connectionFee: wholeMoney(1_000),
    minimumSeconds: fc.nat({ max: 120 }),
    incrementSeconds: fc.nat({ max: 120 }),
    graceSeconds: fc.nat({ max: 20 }),
    minimumCost: wholeMoney(100),
    maximumCost: wholeMoney(1_000_000),
    rounding: fc.record({
      mode: fc.constantFrom('up', 'down', 'half_up', 'half_even'),
      decimals: fc.integer({ min: 0, max: 6 }),
    }),
  })
  .filter(({ minimumCost, maximumCost }) => minimumCost <= maximumCost)
  .map((terms): Rate => ({ ...perMillisecond, ...terms }))

t.test('what is held pays for the leg, however late within the guard it ends', async () => {
  const held = fc.bigInt({ min: 0n, max: 10n ** 15n })
  fc.assert(
    fc.property(rate, held, seconds(100_000), times, (rate, held, maxMs, times) => {
      const until = untilMs(rate, held, maxMs, times)
      assert.equal(until % 1000, 0, 'whole seconds')
      assert.ok(until >= 0 && until <= maxMs)
      if (until > 0) assert.ok(costCeiling(rate, until + times.guardMs) <= held)
    }),
  )
})

t.test('a leg that holds what it wants lasts for the slice', async () => {
  fc.assert(
    fc.property(rate, seconds(100_000), seconds(100_000), times, (rate, fromMs, maxMs, times) => {
      fc.pre(fromMs < maxMs)
      const { want, least } = holdingFor(rate, fromMs, maxMs, times)
      assert.ok(least <= want)
      assert.ok(untilMs(rate, want, maxMs, times) >= Math.min(fromMs + times.sliceMs, maxMs))
      const leastMs = Math.min(times.leastMs, times.sliceMs)
      assert.ok(untilMs(rate, least, maxMs, times) >= Math.min(fromMs + leastMs, maxMs))
      assert.equal(least > 0n, want > 0n, 'only what costs nothing in a whole slice is free')
    }),
  )
})

t.test('a slice is rounded up to the increment, and what is paid for is used', async (t) => {
  const times = { sliceMs: 300_000, leastMs: 1_000, guardMs: 2_000 }
  const byTheMinute = { ...perMillisecond, minimumSeconds: 60, incrementSeconds: 60 }
  const { want, least } = holdingFor(byTheMinute, 0, 3_600_000, times)
  t.equal(want, parseMoney('3000'), '302 s are 6 minutes')
  t.equal(untilMs(byTheMinute, want, 3_600_000, times), 358_000)
  t.equal(least, parseMoney('500'), 'less than a minute cannot be bought')
  t.equal(untilMs(byTheMinute, least, 3_600_000, times), 58_000)
})

t.test('free is what costs nothing to its very end', async (t) => {
  const times = { sliceMs: 300_000, leastMs: 1_000, guardMs: 2_000 }
  t.ok(isFree({ ...perMillisecond, pricePerMinute: 0n }, 3_600_000, times))
  t.notOk(isFree({ ...perMillisecond, pricePerMinute: 5_000n }, 3_600_000, times))
  const almost = { ...perMillisecond, graceSeconds: 3_601 }
  t.notOk(isFree(almost, 3_600_000, times), 'the switch may be late, and then it costs')
})
