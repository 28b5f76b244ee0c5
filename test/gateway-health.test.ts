import { pino } from 'pino'
import t from 'tap'
import { GatewayHealth, type GatewayHealthOptions } from '../src/call/gateways/gateway-health.js'
import { Event } from '../src/esl/event.js'
import { logLines } from './support/log-lines.js'

const names = ['a', 'b', 'c'].map((name) => ({ name }))
const away = { isConnected: false, cause: 'NETWORK_OUT_OF_ORDER' }
const busy = { isConnected: false, cause: 'USER_BUSY' }
const talked = { isConnected: true, cause: 'NORMAL_CLEARING' }
const restMs = 1_000

/** Gateways whose clock stands still until it is told to go on. */
function health(options: Partial<GatewayHealthOptions> = {}) {
  const clock = { now: 1_000_000 }
  const gateways = new GatewayHealth({
    log: pino({ level: 'silent' }),
    restMs,
    now: () => clock.now,
    ...options,
  })
  const order = (switchName?: string) => gateways.order(names, switchName).map(({ name }) => name)
  const call = (name: string, result: Parameters<ReturnType<GatewayHealth['begin']>['ended']>[0]) => {
    gateways.begin(name).ended(result)
  }
  const fail = (name: string, times: number) => {
    for (let time = 0; time < times; time++) call(name, away)
  }
  return { gateways, clock, order, call, fail }
}

function told(name: string, status: string, switchName: string): Event {
  return new Event('CUSTOM')
    .set('Event-Subclass', 'sofia::gateway_state')
    .set('FreeSWITCH-Switchname', switchName)
    .set('Gateway', name)
    .set('State', 'NOREG')
    .set('Ping-Status', status)
}

t.test('a gateway that fails three times in a row is rested, and comes last', async (t) => {
  const { gateways, order, fail } = health()
  fail('a', 2)
  t.strictSame(order(), ['a', 'b', 'c'])
  fail('a', 1)
  t.strictSame(order(), ['b', 'c', 'a'])
  t.match(gateways.state('a'), {
    state: 'resting',
    failures: 3,
    restsUntil: 1_001_000,
    lastCause: 'NETWORK_OUT_OF_ORDER',
  })
  t.match(gateways.state('b'), { state: 'up', failures: 0, restsUntil: undefined, lastCause: undefined })
})

t.test('whatever shows that it works in between ends the row', async (t) => {
  const { order, call, gateways } = health()
  for (const sign of [busy, { isConnected: false, cause: 'CALL_REJECTED', sipStatus: 403 }]) {
    for (const result of [away, away, sign, away, away]) call('a', result)
    t.strictSame(order(), ['a', 'b', 'c'], sign.cause)
    call('a', busy)
  }
  for (const result of [away, away]) call('a', result)
  const use = gateways.begin('a')
  use.works()
  call('a', away)
  t.equal(gateways.isResting('a', undefined), false, 'one that rings works')
})

t.test('what says nothing of now does not', async (t) => {
  const { gateways, call, fail } = health()
  const long = gateways.begin('a')
  long.works()
  fail('a', 2)
  call('a', { isConnected: false, cause: 'NO_ANSWER' })
  call('a', undefined)
  long.ended(talked)
  fail('a', 1)
  t.equal(gateways.isResting('a', undefined), true, 'a talk that ends was begun long ago')
})

t.test('after the rest one call tries it: works it, all come back; fails it, the rest doubles', async (t) => {
  const { gateways, clock, order, fail } = health()
  fail('a', 3)
  const rests: number[] = []
  for (let round = 0; round < 7; round++) {
    const { restsUntil = 0 } = gateways.state('a')
    rests.push(restsUntil - clock.now)
    clock.now = restsUntil
    t.match(gateways.state('a'), { state: 'trial' })
    t.strictSame(order(), ['a', 'b', 'c'])
    const trial = gateways.begin('a')
    t.strictSame(order(), ['b', 'c', 'a'], 'the others wait for what becomes of it')
    trial.ended(away)
    t.match(gateways.state('a'), { state: 'resting', failures: 4 + round })
  }
  t.strictSame(rests, [1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000], 'up to the longest')
  clock.now += 20_000
  const trial = gateways.begin('a')
  trial.works()
  t.match(gateways.state('a'), { state: 'up', failures: 0, restsUntil: undefined, calls: 1 })
  t.strictSame(order(), ['a', 'b', 'c'], 'while the call still talks')
  trial.ended(talked)
  trial.ended()
  t.match(gateways.state('a'), { calls: 0 })
})

t.test('a caller who goes during the trial leaves it to the next one', async (t) => {
  const { gateways, clock, order, fail } = health()
  fail('a', 3)
  clock.now += restMs
  const trial = gateways.begin('a')
  trial.ended()
  t.match(gateways.state('a'), { state: 'trial', failures: 3 })
  t.strictSame(order(), ['a', 'b', 'c'])
})

t.test('calls that were under way when it was rested lengthen nothing', async (t) => {
  const { gateways, fail } = health()
  const under = [gateways.begin('a'), gateways.begin('a'), gateways.begin('a')]
  fail('a', 3)
  const before = gateways.state('a')
  for (const use of under) use.ended(away)
  t.strictSame(gateways.state('a'), { ...before, calls: 0 })
})

t.test('of those that rest, who has rested enough soonest comes first', async (t) => {
  const { order, clock, fail } = health()
  fail('b', 3)
  clock.now += 1
  fail('a', 3)
  clock.now += 1
  fail('c', 3)
  t.strictSame(order(), ['b', 'a', 'c'])
})

t.test(
  'a gateway that a switch sees down is rested for calls of that switch, until it sees it up',
  async (t) => {
    const { gateways, order, clock } = health()
    gateways.observe(told('a', 'UP', 'one'))
    t.match(gateways.state('a'), { state: 'up' })
    gateways.observe(told('a', 'DOWN', 'one'))
    t.strictSame(order('one'), ['b', 'c', 'a'])
    t.strictSame(order('two'), ['a', 'b', 'c'])
    t.match(gateways.state('a'), { state: 'resting', downOn: ['one'] })
    gateways.observe(told('a', 'UP', 'one'))
    t.strictSame(order('one'), ['a', 'b', 'c'])
    t.match(gateways.state('a'), { state: 'up', downOn: [] })

    gateways.observe(told('a', 'DOWN', 'one'))
    clock.now += 20 * restMs
    t.strictSame(order('one'), ['a', 'b', 'c'], 'the word that it is up again may have been missed')
  },
)

t.test('a switch that sees it up again ends what calls had learnt', async (t) => {
  const { gateways, fail } = health()
  fail('a', 3)
  gateways.observe(told('a', 'UP', 'one'))
  t.equal(gateways.isResting('a', 'one'), true, 'it was up all the time: that is no news')
  gateways.observe(told('a', 'DOWN', 'one'))
  gateways.observe(told('a', 'UP', 'one'))
  t.equal(gateways.isResting('a', 'one'), false)
})

t.test('other events of a link say nothing of gateways', async (t) => {
  const { gateways, order } = health()
  gateways.observe(new Event('CUSTOM').set('Event-Subclass', 'sofia::register').set('Gateway', 'a'))
  gateways.observe(new Event('CUSTOM').set('Event-Subclass', 'sofia::gateway_state'))
  gateways.observe(new Event('HEARTBEAT'))
  t.strictSame(order('one'), ['a', 'b', 'c'])
})

t.test('that a gateway is rested, and works again, is logged once', async (t) => {
  const { log, lines } = logLines()
  const { gateways, clock, fail } = health({ log })
  fail('a', 5)
  clock.now += restMs
  const trial = gateways.begin('a')
  trial.works()
  trial.works()
  t.match(
    lines.map(({ msg }) => msg),
    ['the gateway is rested', 'the gateway works again'],
  )
})
