import t from 'tap'
import type { Leg } from '../src/call/legs/legs.js'
import { mayOutlive, outliving, type CallersEnd } from '../src/call/legs/outliving.js'
import { plainTerms } from '../src/billing/rating.js'
import { Event } from '../src/esl/event.js'

/** Which legs the record of a call waits for when its caller has gone: it is money. */

const endedAt = 1_800_000_000_000_000
const second = 1e6
const maxTalkMs = 3_600_000

const rate = { ...plainTerms, prefix: '8490', prefixEntered: '090', description: '', pricePerMinute: 500n }
const leg: Leg = {
  uuid: 'leg',
  attempt: {
    id: 'a',
    target: 'gateway:carrier1',
    gateway: { name: 'carrier1' },
    number: '84901234567',
    rate,
  },
  answeredAt: endedAt - 60 * second,
  bridgedAt: endedAt - 60 * second,
  endedAt,
  endIsExact: false,
}
const left: Leg = { ...leg, hasLeft: true }
const free: Leg = { ...left, attempt: { ...left.attempt, rate: undefined } }

function final(more: Readonly<Record<string, string>> = {}): Event {
  const event = new Event('CHANNEL_HANGUP_COMPLETE').set('variable_end_uepoch', String(endedAt))
  for (const [name, value] of Object.entries(more)) event.set(`variable_${name}`, value)
  return event
}
const transferred = { transfer_disposition: 'replaced' }
const originated = { ...transferred, originated_legs: 'ringing;Outbound Call;84901234567' }

interface Case extends Partial<CallersEnd> {
  readonly has?: boolean | undefined
  readonly isLinked?: boolean
  readonly told?: readonly string[]
  /** s after the caller's end */
  readonly after?: number
  readonly waits: boolean
  readonly there?: readonly string[]
}

const json = { isDocumented: true }
const link = { isLinked: true }
const cases: Readonly<Record<string, Case>> = {
  'one that the switch has': { legs: [left], has: true, waits: true, there: ['leg'] },
  'one that never left, and that the switch has': { legs: [leg], has: true, waits: true, there: ['leg'] },
  'one that the switch has, of whose caller nobody tells': {
    ...{ legs: [left], final: undefined, has: true, waits: true, there: ['leg'] },
  },
  'one that the switch no longer has': { ...link, legs: [left], has: false, waits: false },
  'one of which a link will tell': { ...link, legs: [left], waits: true },
  'one of which mod_json_cdr will tell': { ...json, legs: [left], final: final(transferred), waits: true },
  'one that mod_json_cdr should have told of by now': { ...json, legs: [left], waits: false },
  'one of which nobody will tell': { legs: [left], final: final(transferred), waits: false },
  'one whose caller’s end nobody tells either': { ...link, legs: [left], final: undefined, waits: false },
  'one that ended with its caller': { ...link, legs: [leg], waits: false },
  'one at the last second that it may talk': { ...link, legs: [left], after: 3_539, waits: true },
  'one that cannot talk any more': { ...link, legs: [left], after: 3_540, waits: false },
  'one that costs nothing': { ...link, legs: [free], has: true, waits: false },
  'one whose own word is there': { ...link, legs: [{ ...left, endIsExact: true }], has: true, waits: false },
  'one that rang when its caller was transferred, and that the switch has': {
    ...{ legs: [], final: final(originated), has: true, waits: true, there: ['ringing'] },
  },
  'one that rang, and of which a link will tell': {
    ...link,
    legs: [],
    final: final(originated),
    waits: true,
  },
  'one that rang, and of which mod_json_cdr will tell': {
    ...{ ...json, legs: [], final: final(originated), waits: true },
  },
  'one that rang, and of which was told': {
    ...{ ...link, legs: [], final: final(originated), told: ['ringing'], waits: false },
  },
  'one that rang, and cannot talk any more': {
    ...{ ...link, legs: [], final: final(originated), after: 3_600, waits: false },
  },
}

for (const [name, { has, isLinked = false, told, after = 1, waits, there = [], ...end }] of Object.entries(
  cases,
))
  t.test(`${name} is ${waits ? '' : 'not '}waited for`, async (t) => {
    const whole = { switchName: 'vm', legs: [], final: final(), isDocumented: false, maxTalkMs, ...end }
    const elsewhere = { has: () => Promise.resolve(has), isLinked: () => isLinked }
    const now = endedAt / 1000 + after * 1000
    const found = await outliving(whole, elsewhere, new Set(told), now)
    t.match(found, { isWaitedFor: waits, there })
    t.equal(found.there.length, there.length)
  })

t.test('worth asking for are those that left, or rang, and may cost something', async (t) => {
  t.equal(mayOutlive({ legs: [left], final: final() }), true)
  t.equal(mayOutlive({ legs: [], final: final(originated) }), true)
  t.equal(mayOutlive({ legs: [leg, free], final: final(transferred) }), false)
})
