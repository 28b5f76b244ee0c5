import t from 'tap'

import { normalNumber, type Country } from '../src/numbering/normal-form.js'
import { isTollAllowed, numberClass, type NumberClass, type Place } from '../src/numbering/number-class.js'

const places: Readonly<Record<string, Place>> = {
  VN: { country: 'VN', localPrefixes: ['8424'], emergencyNumbers: new Set(['113', '115']) },
  US: { country: 'US', localPrefixes: ['1212', '1646'], emergencyNumbers: new Set(['911']) },
  DE: { country: 'DE', localPrefixes: [], emergencyNumbers: new Set(['110', '112']) },
  XX: { country: 'XX' as Country, localPrefixes: [], emergencyNumbers: new Set() },
}

t.test('a number is of one class, seen from where its caller is', (t) => {
  const table: [from: string, dialled: string, numberClass: NumberClass][] = [
    ['VN', '113', 'emergency'],
    ['VN', '02438251234', 'local'],
    ['VN', '02838251234', 'domestic'],
    ['VN', '0901234567', 'domestic'],
    ['VN', '1080', 'domestic'],
    ['VN', '18001091', 'local'],
    ['VN', '19001234', 'premium'],
    ['VN', '+4930123456', 'international'],
    ['VN', '+449098790000', 'premium'],
    ['VN', '+80012345678', 'international'],
    ['VN', '+979123456789', 'premium'],
    ['VN', '+84123', 'domestic'],
    ['VN', '+99912345678', 'international'],
    ['US', '911', 'emergency'],
    ['US', '+12125550123', 'local'],
    ['US', '+16465550123', 'local'],
    ['US', '+14155550123', 'domestic'],
    ['US', '+18005550199', 'local'],
    ['US', '+19005550123', 'premium'],
    // North America's calling code, and another country's price: the fraudster's favourites.
    ['US', '+18765551234', 'international'],
    ['US', '+84901234567', 'international'],
    ['DE', '112', 'emergency'],
    ['DE', '113', 'domestic'],
    ['DE', '030123456', 'domestic'],
    ['DE', '09001234567', 'premium'],
    ['DE', '08001234567', 'local'],
    ['DE', '+43112345678', 'international'],
    ['XX', '+4930123456', 'international'],
  ]
  for (const [from, dialled, expected] of table) {
    const place = places[from]!
    t.equal(numberClass(normalNumber(dialled, place.country), place), expected, `${dialled} from ${from}`)
  }
  t.end()
})

t.test('text that is no number has a class, too', (t) => {
  for (const text of ['', '*98', 'alice', '\0', '+', '9'.repeat(200)])
    t.match(numberClass(text, places.VN!), /^(domestic|international)$/)
  t.end()
})

t.test('an extension calls the classes that it may, and always for help', (t) => {
  const classes: NumberClass[] = ['emergency', 'local', 'domestic', 'international', 'premium']
  const allowed = (tollAllow?: NumberClass[]) =>
    classes.filter((numberClass) => isTollAllowed(numberClass, tollAllow && new Set(tollAllow)))
  t.same(allowed(), classes, 'who has no list may call everything')
  t.same(allowed([]), ['emergency'])
  t.same(allowed(['local', 'domestic']), ['emergency', 'local', 'domestic'])
  t.same(allowed(['premium']), ['emergency', 'premium'])
  t.end()
})
