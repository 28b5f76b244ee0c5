import fc from 'fast-check'
import t from 'tap'
import { gatewayDialString, isDiallable } from '../src/numbering/dial-string.js'
import { gatewayNumber, type NumberRules } from '../src/numbering/gateway-number.js'
import type { Country } from '../src/numbering/normal-form.js'
import { plainNumberRules } from './support/gateways.js'

const vietnam = { country: 'VN' as Country, emergencyNumbers: new Set(['113', '1155555']) }

t.test('a gateway is told a number as it wants it', async (t) => {
  const table: [string, Partial<NumberRules>, string][] = [
    ['84901234567', {}, '84901234567'],
    ['84901234567', { prepend: '+' }, '+84901234567'],
    ['84901234567', { prepend: '00' }, '0084901234567'],
    ['84901234567', { stripDigits: 2, prepend: '0' }, '0901234567'],
    ['84901234567', { prepend: '9931#' }, '9931#84901234567'],
    ['84901234567', { format: 'national' }, '0901234567'],
    ['842838221234', { format: 'national' }, '02838221234'],
    ['12125550123', { format: 'national' }, '0012125550123'],
    ['84901234567', { format: 'national', stripDigits: 1, prepend: '+84' }, '+84901234567'],
    // No number that any plan knows: as it is.
    ['999999999999', { format: 'national' }, '999999999999'],
  ]
  for (const [number, rules, expected] of table)
    t.equal(gatewayNumber(number, { ...plainNumberRules, ...rules }, vietnam), expected)
  t.equal(
    gatewayNumber(
      '12125550123',
      { ...plainNumberRules, format: 'national' },
      { country: 'US', emergencyNumbers: new Set() },
    ),
    '2125550123',
  )
})

t.test('what is in no international form is dialled as it is', async (t) => {
  const rules: NumberRules = { format: 'national', stripDigits: 2, prepend: '+' }
  for (const number of ['113', '1155555', '1080', '123456'])
    t.equal(gatewayNumber(number, rules, vietnam), number, number)
})

t.test('a number of which nothing is left is not dialled', async (t) => {
  t.equal(gatewayNumber('84901234567', { ...plainNumberRules, stripDigits: 11 }, vietnam), undefined)
})

t.test('whatever the rules and the number: one that a dial string takes, or none', async (t) => {
  let taken = 0
  fc.assert(
    fc.property(
      // Of few calling codes: what the library knows of each is read, slowly, when it is met first.
      fc.oneof(fc.stringMatching(/^(84|1|39|49)?[0-9]{1,12}$/), fc.string({ unit: 'binary' })),
      fc.record({
        format: fc.constantFrom('international', 'national'),
        stripDigits: fc.nat(20),
        prepend: fc.stringMatching(/^\+?[0-9*#]{0,16}$/),
      }),
      fc.constantFrom<Country>('VN', 'US', 'IT', 'DE'),
      (number, rules, country) => {
        const told = gatewayNumber(number, rules, { ...vietnam, country })
        if (told === undefined || !isDiallable(told)) return true
        taken++
        return gatewayDialString('g', told, { callerNumber: '1000', ringSeconds: 1, maxSeconds: 1 }).endsWith(
          `/${told}`,
        )
      },
    ),
    { numRuns: 300 },
  )
  t.ok(taken > 50, `${taken} were taken`)
})
