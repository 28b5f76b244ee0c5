import fc from 'fast-check'
import t from 'tap'

import { formatMoney, parseMoney } from '../src/billing/money.js'
import { costOf } from '../src/billing/rating.js'

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

t.test('what cannot be billed is refused', (t) => {
  for (const ms of [-1, 0.5, NaN, Infinity, 2 ** 53]) t.throws(() => costOf(1n, ms), RangeError, String(ms))
  t.throws(() => costOf(-1n, 1000), RangeError, 'a price below 0')
  t.end()
})

const price = fc.bigInt({ min: 0n, max: 10n ** 15n })
const time = fc.integer({ min: 0, max: 31 * 86_400_000 })

t.test('no cost is further than half a hundredth from the exact quotient, and a half goes up', (t) => {
  fc.assert(
    fc.property(price, time, (price, ms) => {
      const cost = costOf(price, ms)
      const hundredth = 10_000n
      // cost - ½ hundredth <= price × ms / 60,000 < cost + ½ hundredth, times 2 × 60,000.
      const exact = 2n * price * BigInt(ms)
      return (
        cost % hundredth === 0n &&
        (2n * cost - hundredth) * 60_000n <= exact &&
        exact < (2n * cost + hundredth) * 60_000n
      )
    }),
  )
  t.end()
})

t.test('a longer call is never cheaper, and whole minutes are exact', (t) => {
  fc.assert(
    fc.property(
      price,
      time,
      time,
      (price, a, b) => costOf(price, Math.min(a, b)) <= costOf(price, Math.max(a, b)),
    ),
  )
  fc.assert(
    fc.property(
      fc.bigInt({ min: 0n, max: 10n ** 9n }),
      fc.integer({ min: 0, max: 10_000 }),
      (cents, minutes) => {
        return costOf(cents * 10_000n, minutes * 60_000) === cents * 10_000n * BigInt(minutes)
      },
    ),
  )
  t.end()
})
