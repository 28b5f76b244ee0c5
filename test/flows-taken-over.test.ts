import t from 'tap'
import { decodeCallState } from '../src/call/state.js'
import { stateVariable } from '../src/channel/channel.js'
import { Routes } from '../src/routes/registry.js'
import { saveFlows } from '../src/routes/flow-file.js'
import { testLinger } from './support/linger.js'
import { Line } from './support/outage.js'
import { testRedis } from './support/services.js'
import type { Call, CallOptions } from './support/switch/call.js'
import { farEnds } from './support/switch/far-end.js'
import { SimulatedSwitch } from './support/switch/switch.js'
import { until } from './support/wire.js'

/** Calls whose server dies while they are in a menu or a queue: they are where they were, with the next one. */

const did = '842873001234'
const sw = new SimulatedSwitch()
t.teardown(() => {
  sw.destroy()
})

interface Caller {
  readonly call: Call
  /** Resolves when digits are asked for, or a queue is entered, for the n-th time. */
  readonly waits: (times: number) => Promise<void>
}

const redis = await testRedis(t)
/** Redis as the first node reaches it. */
const redisLine = await Line.to(t, redis.url)
const settings = { SECOND_SOURCE_SECONDS: '30' }
const first = await testLinger(t, settings, {
  sql: `INSERT INTO numbers (number, tenant_id) VALUES ('${did}', 'demo')`,
  redisUrl: redisLine.url(redis.url),
})
const second = await testLinger(t, settings, { databaseUrl: first.databaseUrl, redisUrl: redis.url })
/** The first node as the switch reaches it: cut, that one is dead. */
const line = await Line.to(t, `tcp://${first.esl.host}:${first.esl.port}`)
const { hostname: host, port } = new URL(line.url('tcp://any:1'))
const toFirst = { host, port: Number(port) }

/** Saves flows of the tenant, which are in force on both nodes then. */
async function flows(document: object): Promise<void> {
  await saveFlows(first.pool, new Routes(), 'demo', document)
  await Promise.all([first.server.reload(), second.server.reload()])
}

function callIn(options: Partial<CallOptions>): Caller {
  const waiting = new Map<number, () => void>()
  let count = 0
  const call = sw.call({
    dialplan: [{ socket: [toFirst] }, { socket: [toFirst, second.esl] }],
    caller: '0987654321',
    called: did,
    speed: 1,
    onEvent: (event) => {
      if (event.name !== 'CHANNEL_EXECUTE') return
      if (!['play_and_get_digits', 'callcenter'].includes(String(event.get('Application')))) return
      waiting.get(++count)?.()
    },
    ...options,
  })
  return { call, waits: (times) => new Promise((resolve) => waiting.set(times, resolve)) }
}

t.afterEach(() => line.mend())

const menu = (name: string, choices: object) => ({
  name,
  prompt: [`ivr/${name}.wav`],
  choices,
  timeoutMs: 1_000,
  interDigitMs: 500,
})
const ring = (extension: string) => ({ route: 'ring', arguments: { extensions: [extension] } })
const step = {
  direction: 'inbound',
  kind: 'exact',
  number: did,
  step: { route: 'menu', arguments: { menu: 'main' } },
}
const twoLevels = {
  menus: { main: menu('main', { '1': { menu: 'sales' } }), sales: menu('sales', { '2': ring('1001') }) },
  numbers: [step],
}

t.test('in a menu of the second level the caller hears that one again, and goes on from it', async (t) => {
  await flows(twoLevels)
  const { call, waits } = callIn({ digits: ['1', '', '2'], farEnd: farEnds.answers(200), promptMs: 50 })
  await waits(2)
  await line.cut()
  const { heard, legs } = await call.ended
  t.same(
    heard.filter((sound) => sound.endsWith('.wav')),
    ['ivr/main.wav', 'ivr/sales.wav', 'ivr/sales.wav'],
    'the first choice is not asked for again',
  )
  t.same(
    legs.map(({ number }) => number),
    ['1001'],
  )
  const cdr = await first.cdr(call.uuid)
  t.match(cdr, { taken_over: true, route: 'menu', source: 'session', b_leg_uuid: legs[0]?.uuid })
})

t.test('a menu that was changed meanwhile is for that caller as it was', async (t) => {
  await flows(twoLevels)
  const { call, waits } = callIn({ digits: ['1', '', '2'], farEnd: farEnds.answers(200), promptMs: 50 })
  await waits(2)
  await flows({
    menus: { main: menu('main', { '1': ring('1000') }), sales: menu('sales', { '2': ring('1000') }) },
  })
  await line.cut()
  const { legs } = await call.ended
  t.same(
    legs.map(({ number }) => number),
    ['1001'],
  )
})

t.test('phones that ring together are not rung again after a talk', async (t) => {
  const group = { route: 'ring', arguments: { extensions: ['1000', '1001'] } }
  await flows({ numbers: [{ direction: 'inbound', kind: 'exact', number: did, step: group }] })
  const { call } = callIn({ farEnd: farEnds.answers(1_500) })
  const takerOf = () => decodeCallState(call.session.variable(stateVariable))?.attempt?.taker
  await until(() => takerOf() !== undefined)
  await line.cut()
  const { legs } = await call.ended
  t.same(legs.map(({ number }) => number).sort(), ['1000', '1001'])
  const cdr = await first.cdr(call.uuid)
  t.match(cdr, { taken_over: true, route: 'ring', b_leg_uuid: legs.find((leg) => leg.answeredAt)?.uuid })
})

t.test('in a queue the caller keeps waiting, and who is not served goes where the flow leads', async (t) => {
  const queue = { route: 'queue', arguments: { queue: 'support', otherwise: ring('1001') } }
  await flows({
    numbers: [{ direction: 'inbound', kind: 'exact', number: did, step: queue }],
  })
  const { call, waits } = callIn({
    queue: { leavesAfterMs: 1_000, why: 'TIMEOUT' },
    farEnd: farEnds.answers(200),
  })
  await waits(1)
  await line.cut()
  const { legs } = await call.ended
  t.same(
    legs.map(({ number }) => number),
    ['1001'],
    'after the queue, which is not entered again',
  )
  t.match(await first.cdr(call.uuid), { taken_over: true, route: 'queue' })
})

t.test(
  'in a menu after a queue the caller hears that one again, and neither waits nor chooses anew',
  async (t) => {
    const toMain = { route: 'menu', arguments: { menu: 'main' } }
    const queue = { route: 'queue', arguments: { queue: 'support', otherwise: toMain } }
    await flows({
      ...twoLevels,
      numbers: [{ direction: 'inbound', kind: 'exact', number: did, step: queue }],
    })
    const { call, waits } = callIn({
      queue: { leavesAfterMs: 200, why: 'TIMEOUT' },
      digits: ['1', '', '2'],
      farEnd: farEnds.answers(200),
      promptMs: 50,
    })
    await waits(3)
    await line.cut()
    const { heard, legs } = await call.ended
    t.same(
      heard.filter((sound) => sound.endsWith('.wav')),
      ['ivr/main.wav', 'ivr/sales.wav', 'ivr/sales.wav'],
    )
    t.same(
      legs.map(({ number }) => number),
      ['1001'],
    )
  },
)

t.test('PostgreSQL does not say how a changed menu was: the caller hears it as it is now', async (t) => {
  await flows(twoLevels)
  const { call, waits } = callIn({ digits: ['1', '', '2'], farEnd: farEnds.answers(200), promptMs: 50 })
  await waits(2)
  await flows({ menus: { sales: menu('sales', { '2': ring('1000') }) } })
  const client = await first.pool.connect()
  t.teardown(() => {
    client.release(true)
  })
  await client.query('BEGIN; LOCK TABLE flow_versions IN ACCESS EXCLUSIVE MODE')
  await line.cut()
  const { heard, legs } = await call.ended
  t.equal(heard.at(-1), 'ivr/sales.wav')
  t.same(
    legs.map(({ number }) => number),
    ['1000'],
  )
  t.match(
    second.logged.filter((line) => line.call === call.uuid),
    [{ menu: 'sales', reason: 'no answer within 1000 ms' }],
  )
})

t.test(
  'a call that is transferred to another node is that one’s, and takes no place here any more',
  async (t) => {
    const transfer = { route: 'transfer', arguments: { destination: '1001', context: 'second' } }
    await flows({
      numbers: [{ direction: 'inbound', kind: 'exact', number: did, step: transfer }],
    })
    await first.pool.query("UPDATE tenants SET max_calls = 1 WHERE id = 'demo'")
    await Promise.all([first.server.reload(), second.server.reload()])
    const options = {
      transferDialplan: () => [{ socket: [second.esl] }],
      farEnd: farEnds.answers(200),
    }
    const { legs, connections, uuid } = await callIn(options).call.ended
    t.equal(connections.length, 2)
    t.match(legs, [{ number: '1001', cause: 'NORMAL_CLEARING' }])
    t.match(await first.cdr(uuid), { source: 'session', route: 'dial', called: did, taken_over: false })
    const { rows } = await first.pool.query('SELECT FROM cdrs WHERE call_uuid = $1', [uuid])
    t.equal(rows.length, 1)
    // Without Redis the first node counts what it has itself.
    await redisLine.cut()
    const further = await callIn(options).call.ended
    t.match(further.legs, [{ number: '1001' }], 'it is not refused')
  },
)
