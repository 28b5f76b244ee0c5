import fc from 'fast-check'
import t from 'tap'

import { parseMoney } from '../src/billing/money.js'
import { PrefixTable } from '../src/billing/prefix-table.js'
import { costOf, type Rate } from '../src/billing/rating.js'
import { RateDeck } from '../src/billing/tariff.js'
import { normalNumber, normalPrefix } from '../src/numbering/normal-form.js'

function rate(prefixEntered: string, price: string, description = ''): Rate {
  return {
    prefix: normalPrefix(prefixEntered, 'VN'),
    prefixEntered,
    description,
    pricePerMinute: parseMoney(price),
  }
}

t.test('a minute to 0901234567 costs 500 at 090, beside 84 at 600', (t) => {
  const deck = new RateDeck([rate('84', '600', 'Vietnam'), rate('090', '500', 'Mobile Viettel')])
  const mobile = deck.find(normalNumber('0901234567', 'VN'))
  t.match(mobile, { prefix: '8490', prefixEntered: '090', description: 'Mobile Viettel' })
  t.equal(costOf(mobile!.pricePerMinute, 60_000), parseMoney('500'))
  t.match(deck.find(normalNumber('+842412345678', 'VN')), { prefix: '84' })
  t.equal(deck.find(normalNumber('+4930123456', 'VN')), undefined, 'no rate for Germany')
  t.equal(deck.find('1001'), undefined, 'an extension has no rate')
  t.end()
})

t.test('the empty prefix is for every number that has no better one', (t) => {
  const table = new PrefixTable([
    ['', 'any'],
    ['84', 'Vietnam'],
    ['8490', 'mobile'],
  ])
  t.equal(table.find('4930123456'), 'any')
  t.equal(table.find(''), 'any')
  t.equal(table.find('8'), 'any')
  t.equal(table.find('84'), 'Vietnam')
  t.equal(table.find('849'), 'Vietnam')
  t.equal(table.find('84901234567'), 'mobile')
  t.end()
})

t.test('a deck without rates has no price for anything', (t) => {
  t.equal(new RateDeck([]).find('84901234567'), undefined)
  t.end()
})

t.test('the longest prefix wins, whatever the deck and the number', (t) => {
  const digits = (max: number) =>
    fc.array(fc.constantFrom('0', '1', '2', '3'), { maxLength: max }).map((digits) => digits.join(''))
  fc.assert(
    fc.property(fc.uniqueArray(digits(6)), digits(9), (prefixes, number) => {
      const table = new PrefixTable(prefixes.map((prefix) => [prefix, prefix]))
      const matching = prefixes.filter((prefix) => number.startsWith(prefix))
      return table.find(number) === matching.sort((a, b) => b.length - a.length)[0]
    }),
  )
  t.end()
})
