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
    // The library throws at it.
    ['02', 'WS', '02'],
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

t.test('what is dialled within a country, and by its switches, comes out as it is meant', async (t) => {
  // As dialled, and its normal form; without one it stays as it is.
  const table: Record<string, readonly (readonly [dialled: string, normal?: string])[]> = {
    VN: [
      ...([['113'], ['115'], ['1080'], ['1001'], ['*98'], ['#31#0901234567']] as const),
      ['18001234', '8418001234'],
      ['1900123456', '841900123456'],
      ['02412345678', '842412345678'],
    ],
    US: [
      ...([['911'], ['611'], ['411'], ['*67'], ['0'], ['1411'], ['5550123']] as const),
      ['8005550100', '18005550100'],
      ['011442079460018', '442079460018'],
    ],
    GB: [
      ...([['999'], ['112'], ['118118'], ['116123']] as const),
      ['08001111', '448001111'],
      ['02079460018', '442079460018'],
      ['00442079460018', '442079460018'],
    ],
    DE: [
      ...([['110'], ['112'], ['116117'], ['11833'], ['22833']] as const),
      ['015112345678', '4915112345678'],
      ['0180512345', '49180512345'],
    ],
    FR: [...([['15'], ['112'], ['3611'], ['118712']] as const), ['0123456789', '33123456789']],
    IT: [
      ...([['112'], ['1522'], ['187']] as const),
      ['0612345678', '390612345678'],
      ['800123456', '39800123456'],
    ],
    AU: [
      ...([['000'], ['131234']] as const),
      ['1300123456', '611300123456'],
      ['0011442079460018', '442079460018'],
    ],
    RU: [...([['112']] as const), ['84951234567', '74951234567'], ['9161234567', '79161234567']],
    SG: [
      ...([['999'], ['995'], ['1800']] as const),
      ['61234567', '6561234567'],
      ['18001234567', '6518001234567'],
    ],
    BR: [...([['190'], ['192']] as const), ['011999998888', '5511999998888'], ['40041234', '5540041234']],
    IN: [...([['112'], ['100']] as const), ['09812345678', '919812345678'], ['18001801234', '9118001801234']],
    JP: [...([['110'], ['119']] as const), ['0312345678', '81312345678'], ['0120123456', '81120123456']],
  }
  for (const [country, numbers] of Object.entries(table))
    for (const [dialled, normal = dialled] of numbers) {
      t.equal(normalNumber(dialled, country as Country), normal, `${dialled} in ${country}`)
      t.equal(normalNumber(normal, country as Country), normal, `${normal} is its own normal form`)
      if (normal !== dialled) t.equal(normalNumber(`+${normal}`, country as Country), normal, `+${normal}`)
    }
})

t.test('after a plus come international digits, even of what is no number', async (t) => {
  for (const country of ['VN', 'US', 'IT'] as const) {
    t.equal(normalNumber('+112', country), '112', 'not the 12 of North America')
    t.equal(normalNumber('+911', country), '911')
    t.equal(normalNumber('+84 090', country), '+84 090', 'nor is anything taken out')
    t.equal(normalPrefix('+11', country), '11')
  }
})

t.test('whoever has no number has no normal form', async (t) => {
  for (const number of ['', 'anonymous', 'Restricted', '0000000000', '+0000000000', '0', '000'])
    for (const country of ['VN', 'US', 'IT', 'AU'] as const) t.equal(normalNumber(number, country), number)
})

t.test('codes of a switch are no prefixes of public numbers', async (t) => {
  for (const code of ['*98', '#31#', '98*', 'alice']) t.equal(normalPrefix(code, 'VN'), code)
})
