import fc from 'fast-check'
import t from 'tap'
import { parseMoney } from '../src/billing/money.js'
import { plainTerms } from '../src/billing/rating.js'
import type { Attempt, Leg } from '../src/call/legs/legs.js'
import {
  decodeCallState,
  decodeLegState,
  encodeCallState,
  encodeLegState,
  type CallState,
} from '../src/call/state.js'
import { resume } from '../src/call/takeover.js'
import { recorded } from './support/recorded.js'

/** What a call remembers on its channel, and what the next server reads off it. */

const attempt: Attempt = {
  id: 'attempt1',
  target: 'gateway:carrier1',
  gateway: { name: 'carrier1', carrierCostPerMinute: parseMoney('300.125') },
  number: '84901234567',
  rate: {
    ...plainTerms,
    prefix: '8490',
    prefixEntered: '090',
    description: 'Di động “Viettel”',
    pricePerMinute: parseMoney('500'),
    minimumSeconds: 30,
    incrementSeconds: 6,
  },
}
const state: CallState = {
  node: 'node1',
  takeovers: 0,
  tenant: 'demo',
  direction: 'outbound',
  caller: '84912406496',
  called: '84901234567',
  destination: '0901234567',
  route: 'dial',
  args: {},
  isVip: true,
  startedAt: 1795207538128768,
  legs: [],
  results: [],
  steps: [],
  isGivenBack: false,
  attempt,
}

t.test('a state comes back as it was written, and nothing in it could end a command', async (t) => {
  const leg: Leg = {
    uuid: 'leg1',
    attempt: { ...attempt, gateway: undefined, rate: undefined },
    answeredAt: 1,
    bridgedAt: 2,
    endedAt: 3,
    endIsExact: true,
  }
  const whole: CallState = {
    ...state,
    isBlacklisted: true,
    isTransferred: true,
    transfers: 3,
    recording: { path: '/rec/b.wav', isOver: true, earlier: ['/rec/a.wav'] },
    adminRecords: false,
    legs: [leg],
    results: [{ target: 'gateway:carrier0', isConnected: false, cause: 'USER_BUSY' }],
  }
  t.same(decodeCallState(encodeCallState(whole)), whole)
  t.same(decodeCallState(encodeCallState({ ...state, attempt: undefined })), { ...state, attempt: undefined })
  const legState = { callUuid: 'call1', tenant: 'demo', attempt }
  t.same(decodeLegState(encodeLegState(legState)), legState)
  const granted = { ...legState, extension: '1000', grantedMs: 300_000 }
  t.same(decodeLegState(encodeLegState(granted)), granted)
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const told = { ...state, destination: text, caller: text }
      const written = encodeCallState(told)
      return (
        /^[A-Za-z0-9_-]+$/.test(written) &&
        decodeCallState(written)?.destination === Buffer.from(text).toString()
      )
    }),
  )
})

t.test('what is no state of this release is none: the call is known, no more', async (t) => {
  const of = (json: unknown) => Buffer.from(JSON.stringify(json)).toString('base64url')
  const plain = JSON.parse(Buffer.from(encodeCallState(state), 'base64url').toString()) as object
  for (const [what, text] of [
    ['nothing', ''],
    ['the text of another program', 'hello'],
    ['no object', of('x')],
    ['another release', of({ ...plain, v: 2 })],
    ['a direction that there is not', of({ ...plain, direction: 'up' })],
    ['legs that are none', of({ ...plain, legs: [{ uuid: 5 }] })],
    [
      'a price that is none',
      of({ ...plain, attempt: { id: 'a', target: 'b', number: '1', rate: { prefix: '' } } }),
    ],
  ] as const)
    t.equal(decodeCallState(text), undefined, what)
  t.equal(decodeLegState('eyJ2IjoxfQ'), undefined)
})

t.test(
  'a caller who comes back after a talk brings its leg along (recording takeover-after-bridge-2)',
  async (t) => {
    const { channel } = recorded('takeover-after-bridge-2')
    const leg = {
      uuid: '3c8c77a3-b5e4-4538-8ebd-de0bcf65c911',
      attempt,
      answeredAt: 1795207538148748,
      bridgedAt: 1795207538188779,
      endIsExact: false,
    }
    t.same(resume(state, channel), {
      legs: [{ ...leg, endedAt: 1795207541208784 }],
      results: [{ target: 'gateway:carrier1', isConnected: true, cause: 'NORMAL_CLEARING' }],
    })
    channel.set('variable_linger_left_2', '1795207541168999')
    t.match(resume(state, channel).legs, [{ endedAt: 1795207541168999 }], 'its dialplan noted when that was')
    channel.set('variable_linger_left_2', '1795207538140000')
    t.match(resume(state, channel).legs, [{ endedAt: 1795207541208784 }], 'unless that was before the talk')
    channel
      .set('variable_linger_left_1', '1795207541168888')
      .set('variable_linger_left_2', '1795207541200000')
    t.match(
      resume(state, channel).legs,
      [{ endedAt: 1795207541168888 }],
      'another server was not there either',
    )
    const before = {
      ...state,
      legs: [{ ...leg, endedAt: 1795207541168752 }],
      attempt: { ...attempt, id: 'attempt2' },
    }
    t.match(resume(before, channel), { legs: before.legs, results: [] }, 'a leg that was known is no new one')
  },
)

t.test('a caller whose gateway refused while no server was there comes back with the cause', async (t) => {
  const { channel } = recorded('takeover-while-talking-2')
  t.same(resume(state, channel), { legs: [], results: [] }, 'nothing was dialled')
  channel.set('variable_originate_disposition', 'USER_BUSY')
  t.same(resume(state, channel), {
    legs: [],
    results: [{ target: 'gateway:carrier1', isConnected: false, cause: 'USER_BUSY' }],
  })
  channel.set('variable_originate_disposition', 'failure')
  t.same(resume(state, channel).results, [], 'no cause')
  t.same(resume({ ...state, attempt: undefined }, channel), { legs: [], results: [] })
})

t.test('a leg that was transferred away is not over because its caller comes back', async (t) => {
  const { channel } = recorded('takeover-after-bridge-2')
  channel.delete('variable_bridge_hangup_cause')
  t.match(resume(state, channel).legs, [{ hasLeft: true, endedAt: 1795207541208784, endIsExact: false }])
})

t.test('a leg that was transferred here brings nobody along whom it had talked to before', async (t) => {
  const { channel } = recorded('refer-by-caller-2')
  const before = channel.get('variable_bridge_uuid')
  t.match(resume(state, channel).legs, [{ uuid: before }], 'as it looks')
  const knows = { ...state, ...(before !== undefined && { bridgedBefore: before }) }
  t.same(resume(knows, channel), { legs: [], results: [] })
})

t.test('a caller who is charged himself is so from his answer on, which his channel tells', async (t) => {
  const { channel } = recorded('takeover-while-talking-2')
  const own: Leg = {
    uuid: 'caller',
    attempt: { ...attempt, target: 'answered', gateway: undefined },
    answeredAt: undefined,
    bridgedAt: 0,
    endedAt: undefined,
    endIsExact: false,
  }
  const answeredAt = Number(channel.get('Caller-Channel-Answered-Time'))
  t.ok(answeredAt > 0)
  const { legs } = resume({ ...state, attempt: undefined, legs: [own] }, channel)
  t.match(legs, [{ answeredAt, endedAt: undefined }])
  t.match(resume({ ...state, legs: [{ ...own, answeredAt: 7 }] }, channel).legs, [{ answeredAt: 7 }])
})
