import fc from 'fast-check'
import t from 'tap'

import { formatMoney, parseMoney } from '../src/billing/money.js'

t.test('an amount is read to the last decimal', (t) => {
  const table: [text: string, money: bigint][] = [
    ['0', 0n],
    ['500', 500_000_000n],
    ['21.17', 21_170_000n],
    ['0.5', 500_000n],
    ['0.000001', 1n],
    ['-0.000001', -1n],
    ['-500.00', -500_000_000n],
    ['007', 7_000_000n],
    ['1000000.000000', 1_000_000_000_000n],
    ['999999999999999999.999999', 999_999_999_999_999_999_999_999n],
  ]
  for (const [text, money] of table) t.equal(parseMoney(text), money, text)
  t.end()
})

t.test('what is no amount is refused by name', (t) => {
  const table = [
    '',
    ' ',
    '1,5',
    '1.',
    '.5',
    '+1',
    '1e3',
    '0x10',
    'NaN',
    'Infinity',
    '--1',
    '1 000',
    '١',
    '1\n',
  ]
  table.push('0.0000001', '1000000000000000000', '5; DROP TABLE ledger')
  for (const text of table)
    t.throws(
      () => parseMoney(text),
      { name: 'RangeError', message: JSON.stringify(text) },
      JSON.stringify(text),
    )
  t.end()
})

t.test('an amount is written with two decimals, and more when it has more', (t) => {
  const table: [money: bigint, text: string][] = [
    [0n, '0.00'],
    [500_000_000n, '500.00'],
    [500_000n, '0.50'],
    [100_000n, '0.10'],
    [999_978_830_000n, '999978.83'],
    [125_000n, '0.125'],
    [1n, '0.000001'],
    [10n, '0.00001'],
    [-21_170_000n, '-21.17'],
    [-1n, '-0.000001'],
    [1_000_000_000_000n, '1000000.00'],
  ]
  for (const [money, text] of table) t.equal(formatMoney(money), text)
  t.end()
})

t.test('what was written is read as the same amount', (t) => {
  const limit = 10n ** 24n - 1n
  fc.assert(
    fc.property(fc.bigInt({ min: -limit, max: limit }), (money) => parseMoney(formatMoney(money)) === money),
  )
  t.end()
})
