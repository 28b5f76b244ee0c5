import assert from 'node:assert/strict'

import fc from 'fast-check'
import t from 'tap'

import { parseMoney } from '../src/billing/money.js'
import { PackedRates } from '../src/billing/packed-rates.js'
import { PrefixTable } from '../src/billing/prefix-table.js'
import { longestPrefix, PrefixTrieBuilder } from '../src/billing/prefix-trie.js'
import { isValidAt, rateLeg, type Rate } from '../src/billing/rating.js'
import { DeckBuilder, deckOf } from '../src/billing/tariff.js'
import { normalNumber, normalPrefix } from '../src/numbering/normal-form.js'
import { anyRate, plainRate } from './support/rates.js'

function rate(prefixEntered: string, price: string, description = ''): Rate {
  return plainRate(normalPrefix(prefixEntered, 'VN'), parseMoney(price), { prefixEntered, description })
}

/** Few digits, so that prefixes meet. */
function digits(maxLength: number): fc.Arbitrary<string> {
  return fc.array(fc.constantFrom('0', '1', '2', '9'), { maxLength }).map((digits) => digits.join(''))
}

t.test('a minute to 0901234567 costs 500 at 090, beside 84 at 600', (t) => {
  const deck = deckOf([rate('84', '600', 'Vietnam'), rate('090', '500', 'Mobile Viettel')])
  const mobile = deck.find(normalNumber('0901234567', 'VN'), 0)
  t.match(mobile, { prefix: '8490', prefixEntered: '090', description: 'Mobile Viettel' })
  t.equal(rateLeg(mobile!, 60_000).cost, parseMoney('500'))
  t.match(deck.find(normalNumber('+842412345678', 'VN'), 0), { prefix: '84' })
  t.equal(deck.find(normalNumber('+4930123456', 'VN'), 0), undefined, 'no rate for Germany')
  t.equal(deck.find('1001', 0), undefined, 'an extension has no rate')
  t.end()
})

t.test('the empty prefix is for every number that has no better one', (t) => {
  const entries: [string, string][] = [
    ['', 'any'],
    ['84', 'Vietnam'],
    ['8490', 'mobile'],
  ]
  const table = new PrefixTable(entries)
  const deck = deckOf(entries.map(([prefix, description]) => plainRate(prefix, 1n, { description })))
  const numbers: [number: string, found: string][] = [
    ['4930123456', 'any'],
    ['', 'any'],
    ['8', 'any'],
    ['84', 'Vietnam'],
    ['849', 'Vietnam'],
    ['84901234567', 'mobile'],
    ['8490#1', 'mobile'],
    ['sip:8490', 'any'],
    ['849０', 'Vietnam'],
  ]
  for (const [number, found] of numbers) {
    t.equal(table.find(number), found, number)
    t.equal(deck.find(number, 0)?.description, found, number)
  }
  t.end()
})

t.test('a deck without rates has no price for anything', (t) => {
  t.equal(deckOf([]).find('84901234567', 0), undefined)
  t.equal(new DeckBuilder().build().find('', 0), undefined)
  t.end()
})

t.test('the longest prefix wins, whatever the deck and the number', (t) => {
  fc.assert(
    fc.property(fc.uniqueArray(digits(6), { maxLength: 60 }), digits(9), (prefixes, number) => {
      const table = new PrefixTable(prefixes.map((prefix) => [prefix, prefix]))
      const deck = deckOf(prefixes.map((prefix) => plainRate(prefix, 1n)))
      const matching = prefixes.filter((prefix) => number.startsWith(prefix))
      const longest = matching.sort((a, b) => b.length - a.length)[0]
      return table.find(number) === longest && deck.find(number, 0)?.prefix === longest
    }),
    { numRuns: 1_000 },
  )
  t.end()
})

t.test('a prefix may have all of its 32 digits', (t) => {
  const longest = '9'.repeat(longestPrefix)
  const deck = deckOf([plainRate(longest, 1n), plainRate('9', 2n)])
  t.equal(deck.find(longest, 0)?.pricePerMinute, 1n)
  t.equal(deck.find(longest + '9', 0)?.pricePerMinute, 1n)
  t.equal(deck.find(longest.slice(1), 0)?.pricePerMinute, 2n)
  t.throws(() => deckOf([plainRate(longest + '9', 1n)]), RangeError)
  t.end()
})

t.test('prefixes that come out of order, twice, or are none are refused', (t) => {
  for (const [first, second] of [
    ['84', '8'],
    ['84', '84'],
    ['84', '8٤'],
    ['84', '84+'],
  ] as const) {
    const builder = new PrefixTrieBuilder()
    builder.add(first, 1)
    t.throws(() => {
      builder.add(second, 2)
    }, RangeError)
  }
  t.end()
})

t.test('every rate is read as it was packed, many in a page and one beyond a page', (t) => {
  fc.assert(
    fc.property(fc.array(fc.array(anyRate, { minLength: 1, maxLength: 3 }), { maxLength: 5 }), (groups) => {
      const packed = new PackedRates()
      const addresses = groups.map((rates) => packed.add(rates))
      packed.trim()
      groups.forEach((rates, i) => {
        assert.deepEqual(
          packed.read(addresses[i]!, '123'),
          rates.map((rate) => ({ ...rate, prefix: '123' })),
        )
      })
    }),
    { numRuns: 200 },
  )
  const packed = new PackedRates()
  const large = plainRate('1', 10n ** 24n - 1n, { description: 'ệ'.repeat(1_000_000) })
  const small = plainRate('2', 5n)
  const addresses = [[small], [large], [small, large], [small]].map((rates) => packed.add(rates))
  packed.trim()
  t.strictSame(packed.read(addresses[0]!, '2'), [small])
  t.strictSame(packed.read(addresses[1]!, '1'), [large])
  t.same(packed.read(addresses[2]!, '2').length, 2)
  t.strictSame(packed.read(addresses[3]!, '2'), [small])
  t.throws(() => packed.add([plainRate('3', 1n << 80n)]), RangeError)
  t.throws(() => packed.add([plainRate('3', 1n, { prefixEntered: '3'.repeat(70_000) })]), RangeError)
  t.end()
})

t.test('of equal prefixes the one that is valid at the start of the leg wins', (t) => {
  const deck = deckOf([
    plainRate('84', 1n),
    plainRate('8490', 2n, { validTo: 100 }),
    plainRate('8490', 3n, { validFrom: 100, validTo: 300 }),
    // A new price needs no end of the old one.
    plainRate('8490', 4n, { validFrom: 200, validTo: 250 }),
  ])
  const table: [at: number, price: bigint][] = [
    [0, 2n],
    [99, 2n],
    [100, 3n],
    [199, 3n],
    [200, 4n],
    [249, 4n],
    [250, 3n],
    // None of them any more: the next shorter prefix.
    [300, 1n],
  ]
  for (const [at, price] of table) t.equal(deck.find('84901234567', at)?.pricePerMinute, price, `at ${at}`)
  t.end()
})

t.test('a changed deck answers as one built of the rates that it has now, and the old one as before', (t) => {
  const rates = fc.array(
    fc.record({ prefix: digits(4), price: fc.bigInt({ min: 0n, max: 9n }), from: fc.option(fc.nat(3)) }),
    { maxLength: 20 },
  )
  const numbers = fc.array(digits(6), { minLength: 1, maxLength: 10 })
  fc.assert(
    fc.property(
      rates,
      rates,
      fc.array(digits(4)),
      numbers,
      fc.nat(4),
      (before, added, removed, numbers, at) => {
        const rateOf = ({ prefix, price, from }: (typeof before)[number]) =>
          plainRate(prefix, price, from === null ? {} : { validFrom: from })
        const old = before.map(rateOf)
        const deck = deckOf(old)
        const changes = new Map<string, Rate[]>(removed.map((prefix) => [prefix, []]))
        for (const rate of added.map(rateOf))
          changes.set(rate.prefix, [...(changes.get(rate.prefix) ?? []), rate])
        const changed = deck.withChanges(changes)
        const now = [...old.filter(({ prefix }) => !changes.has(prefix)), ...[...changes.values()].flat()]
        for (const number of numbers) {
          assert.deepEqual(deck.find(number, at), slowFind(old, number, at))
          assert.deepEqual(changed.find(number, at), slowFind(now, number, at))
        }
        return changed.changed === changes.size
      },
    ),
    { numRuns: 300 },
  )
  t.end()
})

function slowFind(rates: readonly Rate[], number: string, at: number): Rate | undefined {
  return rates
    .filter((rate) => number.startsWith(rate.prefix) && isValidAt(rate, at))
    .reduce<Rate | undefined>((best, rate) => {
      if (best === undefined || rate.prefix.length > best.prefix.length) return rate
      const isLater = (rate.validFrom ?? -1) >= (best.validFrom ?? -1)
      return rate.prefix.length === best.prefix.length && isLater ? rate : best
    }, undefined)
}
