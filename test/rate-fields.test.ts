import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { explainLeg } from '../src/billing/explain.js'
import { formatMoney } from '../src/billing/money.js'
import { rateFaults, rateFields, type RateTexts } from '../src/billing/rate-fields.js'
import { rateLeg } from '../src/billing/rating.js'
import { formatMoment, parseMoment } from '../src/common/moment.js'
import { rowOf } from '../src/store/deck-rates.js'
import { anyRate, anyTime, plainRate } from './support/rates.js'
import { testDatabase } from './support/services.js'

const { pool } = await testDatabase(t)

const anySeconds = fc.oneof(
  fc.constantFrom('0', '6', '1000000', '1000001', '-1', '1.5', ''),
  fc.nat().map(String),
)
const anyPrice = fc.oneof(
  fc.constantFrom(
    '0',
    '1',
    '0.5',
    '0.005',
    '1.000000',
    '1.0000001',
    '-1',
    'NaN',
    'Infinity',
    '1e3',
    ' 1',
    '',
    '9'.repeat(18),
    '9'.repeat(19),
  ),
  fc.nat().map((cents) => String(cents / 100)),
)
const anyMoment = fc.oneof(
  fc.constantFrom(
    '2030-01-01T00:00:00Z',
    '2030-01-01T07:00:00+07:00',
    '2030-02-30T00:00:00Z',
    '0001-01-01T00:00:00+01:00',
    '9999-12-31T23:59:59.999999Z',
    'infinity',
    'now',
    '2030-01-01T24:00:00Z',
    '2030-01-01T00:00:60Z',
  ),
  fc
    .date({ min: new Date('1900-01-01'), max: new Date('2200-01-01'), noInvalidDate: true })
    .map((date) => date.toISOString()),
)
const anyTexts: fc.Arbitrary<RateTexts> = fc.record({
  prefix: fc.oneof(
    fc.constantFrom('', '84', '84x', '+84', '1'.repeat(32), '1'.repeat(33)),
    fc.stringMatching(/^[0-9]{0,5}$/),
  ),
  prefix_entered: fc.constantFrom('', '090', 'a\0'),
  description: fc.constantFrom('', 'Việt Nam', 'a\0'),
  price_per_minute: anyPrice,
  connection_fee: anyPrice,
  minimum_seconds: anySeconds,
  increment_seconds: anySeconds,
  grace_seconds: anySeconds,
  minimum_cost: fc.option(anyPrice, { freq: 3 }),
  maximum_cost: fc.option(anyPrice, { freq: 3 }),
  valid_from: fc.option(anyMoment),
  valid_to: fc.option(anyMoment),
  rounding_mode: fc.constantFrom('up', 'down', 'half_up', 'half_even', 'sideways', ''),
  rounding_decimals: fc.constantFrom('0', '2', '6', '7', '-1', ''),
})
/** Wrong in a field or two: of what is wrong all over not much is learned. */
const sound: RateTexts = {
  ...{ prefix: '84', prefix_entered: '84', description: '', price_per_minute: '1', connection_fee: '0' },
  ...{
    minimum_seconds: '0',
    increment_seconds: '0',
    grace_seconds: '0',
    minimum_cost: null,
    maximum_cost: null,
  },
  ...{ valid_from: null, valid_to: null, rounding_mode: 'half_up', rounding_decimals: '2' },
}
const someWrong = fc
  .tuple(anyTexts, fc.subarray([...rateFields], { maxLength: 4 }))
  .map(([texts, fields]) => ({
    ...sound,
    ...Object.fromEntries(fields.map((field) => [field, texts[field]])),
  }))

t.test('a rate without faults is one that the table takes', async (t) => {
  await pool.query(`INSERT INTO decks (id, name, currency) VALUES ('checked', 'Checked', 'EUR')`)
  const client = await pool.connect()
  let [taken, refused] = [0, 0]
  await fc.assert(
    fc.asyncProperty(someWrong, async (rate) => {
      if (rateFaults(rate).length > 0) {
        refused++
        return
      }
      await client.query('BEGIN')
      await client.query(
        `INSERT INTO rates (deck_id, ${rateFields.join(', ')})
        VALUES ('checked', ${rateFields.map((_, i) => `$${i + 1}`).join(', ')})`,
        rowOf(rate),
      )
      await client.query('ROLLBACK')
      taken++
    }),
    { numRuns: 600 },
  )
  client.release()
  t.ok(taken > 100 && refused > 100, `${taken} were taken, ${refused} refused`)
})

t.test('what the table refuses has a fault, in the field that it is in', (t) => {
  const wrong: [Partial<RateTexts>, string][] = [
    [{ connection_fee: '-1' }, 'connection_fee'],
    [{ price_per_minute: 'NaN' }, 'price_per_minute'],
    [{ increment_seconds: '-1' }, 'increment_seconds'],
    [{ rounding_decimals: '7' }, 'rounding_decimals'],
    [{ rounding_mode: 'sideways' }, 'rounding_mode'],
    [{ minimum_cost: '2', maximum_cost: '1' }, 'minimum_cost'],
    [{ maximum_cost: '0.005' }, 'maximum_cost'],
    [{ minimum_cost: '0.5', rounding_decimals: '0' }, 'minimum_cost'],
    [{ valid_from: 'infinity' }, 'valid_from'],
    [{ valid_from: '2030-01-01T00:00:00Z', valid_to: '2030-01-01T07:00:00+07:00' }, 'valid_to'],
    [{ prefix: '84x' }, 'prefix'],
    [{ description: '\ud800' }, 'description'],
  ]
  for (const [texts, field] of wrong)
    t.match(rateFaults({ ...sound, ...texts }), [{ field }], JSON.stringify(texts))
  t.strictSame(
    rateFaults({ ...sound, minimum_cost: '1.50000', maximum_cost: '1.5', rounding_decimals: '1' }),
    [],
  )
  t.end()
})

t.test('a moment is read to the microsecond, in whatever zone, and written in UTC', (t) => {
  const moments: [string, string | undefined][] = [
    ['2025-01-31T15:00:00.000001+07:00', '2025-01-31T08:00:00.000001Z'],
    ['2025-01-31t08:00:00z', '2025-01-31T08:00:00.000Z'],
    ['1969-12-31T23:59:59.999999Z', '1969-12-31T23:59:59.999999Z'],
    ['0001-01-01T00:00:00Z', '0001-01-01T00:00:00.000Z'],
    ['0001-01-01T00:00:00+00:01', undefined],
    ['9999-12-31T23:59:59-00:01', undefined],
    ['2023-02-29T00:00:00Z', undefined],
    ['2025-01-31T08:00:00', undefined],
    ['2025-01-31T08:00:00.0000001Z', undefined],
    ['0000-12-31T00:00:00Z', undefined],
  ]
  for (const [text, expected] of moments) {
    const micros = parseMoment(text)
    t.equal(micros === undefined ? undefined : formatMoment(micros), expected, text)
  }
  t.end()
})

t.test('how a cost is reckoned ends at the cost of a call', (t) => {
  fc.assert(
    fc.property(anyRate, anyTime, (rate, billedMs) => {
      const { cost, chargedMs, steps, increments } = explainLeg(rate, billedMs)
      assert.deepEqual({ cost, chargedMs }, rateLeg(rate, billedMs))
      assert.ok(cost === 0n ? steps.length > 0 : steps.at(-1)?.includes(formatMoney(cost)), steps.join(' '))
      if (increments > 0)
        assert.equal(chargedMs, (rate.minimumSeconds + increments * rate.incrementSeconds) * 1000)
    }),
  )
  const steps = (terms: object, ms: number) => explainLeg(plainRate('84', 500_000_000n, terms), ms).steps
  t.strictSame(steps({}, 2_540), [
    '2.54 s are charged.',
    '2.54 s at 500.00 a minute come to 21.166666….',
    'Rounded half up to 2 decimals that is 21.17.',
  ])
  t.strictSame(steps({ graceSeconds: 3 }, 2_540), ['2.54 s are less than the 3 s of grace: it is free.'])
  t.strictSame(steps({}, 0), ['What lasted no time costs nothing.'])
  t.strictSame(steps({ minimumSeconds: 30, maximumCost: 100_000_000n }, 1), [
    'Of 0.001 s the minimum of 30 s is charged.',
    '30 s at 500.00 a minute come to 250.00.',
    'It costs at most 100.00.',
  ])
  t.end()
})
