import fc from 'fast-check'
import t from 'tap'
import { normalNumber, normalPrefix, type Country } from '../src/numbering/normal-form.js'

t.test('however a Vietnamese number is written, it has one normal form', async (t) => {
  for (const written of ['0901234567', '84901234567', '+84901234567', '0084901234567', '901234567']) {
    t.equal(normalNumber(written, 'VN'), '84901234567', written)
  }
})

t.test('extensions, short codes and names stay as they came', async (t) => {
  for (const written of ['1000', '113', '*98', 'anonymous', '', 'alice', '+', '12345']) {
    t.equal(normalNumber(written, 'VN'), written)
  }
})

t.test('a prefix is too short to be a number: its trunk prefix tells', async (t) => {
  const table: [string, Country, string][] = [
    ['090', 'VN', '8490'],
    ['84', 'VN', '84'],
    ['+84', 'VN', '84'],
    ['0084', 'VN', '84'],
    ['09', 'VN', '849'],
    ['020', 'GB', '4420'],
    ['06', 'IT', '3906'],
    ['1', 'US', '1'],
    ['8495', 'RU', '7495'],
    ['', 'VN', ''],
  ]
  for (const [entered, country, normal] of table)
    t.equal(normalPrefix(entered, country), normal, `${entered} ${country}`)
})

t.test('a rate entered by its trunk prefix is found by each number that it was meant for', async () => {
  fc.assert(
    fc.property(fc.stringMatching(/^0[35789][0-9]{8}$/), fc.integer({ min: 2, max: 9 }), (number, length) =>
      normalNumber(number, 'VN').startsWith(normalPrefix(number.slice(0, length), 'VN')),
    ),
  )
})

t.test('the normal form of a normal form is itself, of foreign numbers too', async (t) => {
  fc.assert(
    fc.property(fc.stringMatching(/^(\+84|0084|0)[35789][0-9]{8}$/), (number) => {
      const normal = normalNumber(number, 'VN')
      return normalNumber(normal, 'VN') === normal
    }),
  )
  for (const written of ['+6566402798', '+12125550123', '+442079460018', '+81312345678', '+33123456789']) {
    const normal = normalNumber(written, 'VN')
    t.equal(normal, written.slice(1))
    t.equal(normalNumber(normal, 'VN'), normal)
  }
})

t.test('a country where nobody dials a trunk prefix', async (t) => {
  t.equal(normalNumber('2125550123', 'US'), '12125550123')
  t.equal(normalNumber('12125550123', 'US'), '12125550123')
  t.equal(normalNumber('0612345678', 'IT'), '390612345678')
})
