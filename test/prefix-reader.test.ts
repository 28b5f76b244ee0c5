import assert from 'node:assert/strict'
import fc from 'fast-check'
import { getCountries } from 'libphonenumber-js'
import t from 'tap'
import { normalPrefix } from '../src/numbering/normal-form.js'
import { prefixReader } from '../src/numbering/prefix-reader.js'

const digits = fc.stringMatching(/^[0-9]{0,10}$/)
/** Those where something could be stripped are rare among all. */
const anyPrefix = fc.oneof(
  digits,
  digits.map((text) => `+${text}`),
  fc
    .tuple(
      fc.constantFrom('', '+', '00'),
      fc.constantFrom('84', '1', '7', '44', '39', '36', '54', '998'),
      digits,
    )
    .map((parts) => parts.join('')),
  fc.tuple(fc.constantFrom('0', '8', '06', '01', '90'), digits).map((parts) => parts.join('')),
  fc.string({ maxLength: 6 }),
)

t.test('a quick look at a prefix finds what its country’s rules find, in every country', async (t) => {
  const read = new Map(getCountries().map((country) => [country, prefixReader(country)]))
  const often = fc.constantFrom('VN', 'US', 'DE', 'GB', 'IT', 'FR', 'RU', 'BR', 'AR', 'MX', 'HU', 'JE')
  const anyCountry = fc.oneof(often, fc.constantFrom(...getCountries()))
  fc.assert(
    fc.property(anyCountry as fc.Arbitrary<'VN'>, anyPrefix, (country, prefix) => {
      assert.equal(read.get(country)?.(prefix), normalPrefix(prefix, country), `${prefix} in ${country}`)
    }),
    { numRuns: 6_000 },
  )
  t.equal(prefixReader('VN')('090'), '8490')
  t.equal(
    prefixReader('VN')('8406000000'),
    normalPrefix('8406000000', 'VN'),
    'a trunk prefix behind its own code',
  )
  t.equal(prefixReader('VN')('+84090'), '8490', 'what somebody wrote twice')
  t.equal(prefixReader('XX' as 'VN')('84'), '84', 'a country that nobody knows')
})
