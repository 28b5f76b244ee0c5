import t, { type Test } from 'tap'
import { Routes } from '../src/routes/registry.js'
import { saveFlows } from '../src/routes/flow-file.js'
import { testLinger, type TestLinger } from './support/linger.js'
import { Line } from './support/outage.js'
import { testRedis } from './support/services.js'
import type { Call, CallOptions } from './support/switch/call.js'
import { farEnds } from './support/switch/far-end.js'
import { SimulatedSwitch } from './support/switch/switch.js'

/** Calls whose server dies while they are in a menu or a queue: they are where they were, with the next one. */

const did = '842873001234'
const sw = new SimulatedSwitch()
t.teardown(() => {
  sw.destroy()
})

interface Nodes {
  readonly first: TestLinger
  readonly second: TestLinger
  /** The first one as the switch reaches it: cut, that one is dead. */
  readonly line: Line
  /** Redis as the first one reaches it. */
  readonly redis: Line
  call(options: Partial<CallOptions>): Caller
}

interface Caller {
  readonly call: Call
  /** Resolves when digits are asked for, or a queue is entered, for the n-th time. */
  readonly waits: (times: number) => Promise<void>
}

async function twoNodes(t: Test, flows: object): Promise<Nodes> {
  const sql = `INSERT INTO numbers (number, tenant_id) VALUES ('${did}', 'demo')`
  const { url } = await testRedis(t)
  const redis = await Line.to(t, url)
  const first = await testLinger(t, { SECOND_SOURCE_SECONDS: '30' }, { sql, redisUrl: redis.url(url) })
  await saveFlows(first.pool, new Routes(), 'demo', flows)
  const services = { databaseUrl: first.databaseUrl, redisUrl: url }
  const second = await testLinger(t, { SECOND_SOURCE_SECONDS: '30' }, services)
  await first.server.reload()
  const line = await Line.to(t, `tcp://${first.esl.host}:${first.esl.port}`)
  const { hostname: host, port } = new URL(line.url('tcp://any:1'))
  const toFirst = { host, port: Number(port) }
  return {
    first,
    second,
    line,
    redis,
    call: (options) => {
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
    },
  }
}

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
  const nodes = await twoNodes(t, twoLevels)
  const { call, waits } = nodes.call({ digits: ['1', '', '2'], farEnd: farEnds.answers(200), promptMs: 50 })
  await waits(2)
  await nodes.line.cut()
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
  const cdr = await nodes.first.cdr(call.uuid)
  t.match(cdr, { taken_over: true, route: 'menu', source: 'session', b_leg_uuid: legs[0]?.uuid })
})

t.test('a menu that was changed meanwhile is for that caller as it was', async (t) => {
  const nodes = await twoNodes(t, twoLevels)
  const { call, waits } = nodes.call({ digits: ['1', '', '2'], farEnd: farEnds.answers(200), promptMs: 50 })
  await waits(2)
  await saveFlows(nodes.first.pool, new Routes(), 'demo', {
    menus: { main: menu('main', { '1': ring('1000') }), sales: menu('sales', { '2': ring('1000') }) },
  })
  await nodes.second.server.reload()
  await nodes.line.cut()
  const { legs } = await call.ended
  t.same(
    legs.map(({ number }) => number),
    ['1001'],
  )
})

t.test('in a queue the caller keeps waiting, and who is not served goes where the flow leads', async (t) => {
  const queue = { route: 'queue', arguments: { queue: 'support', otherwise: ring('1001') } }
  const nodes = await twoNodes(t, {
    numbers: [{ direction: 'inbound', kind: 'exact', number: did, step: queue }],
  })
  const { call, waits } = nodes.call({
    queue: { leavesAfterMs: 1_000, why: 'TIMEOUT' },
    farEnd: farEnds.answers(200),
  })
  await waits(1)
  await nodes.line.cut()
  const { legs } = await call.ended
  t.same(
    legs.map(({ number }) => number),
    ['1001'],
    'after the queue, which is not entered again',
  )
  t.match(await nodes.first.cdr(call.uuid), { taken_over: true, route: 'queue' })
})

t.test(
  'in a menu after a queue the caller hears that one again, and neither waits nor chooses anew',
  async (t) => {
    const toMain = { route: 'menu', arguments: { menu: 'main' } }
    const queue = { route: 'queue', arguments: { queue: 'support', otherwise: toMain } }
    const nodes = await twoNodes(t, {
      ...twoLevels,
      numbers: [{ direction: 'inbound', kind: 'exact', number: did, step: queue }],
    })
    const { call, waits } = nodes.call({
      queue: { leavesAfterMs: 200, why: 'TIMEOUT' },
      digits: ['1', '', '2'],
      farEnd: farEnds.answers(200),
      promptMs: 50,
    })
    await waits(3)
    await nodes.line.cut()
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
  const nodes = await twoNodes(t, twoLevels)
  const { call, waits } = nodes.call({ digits: ['1', '', '2'], farEnd: farEnds.answers(200), promptMs: 50 })
  await waits(2)
  await saveFlows(nodes.first.pool, new Routes(), 'demo', {
    menus: { sales: menu('sales', { '2': ring('1000') }) },
  })
  await nodes.second.server.reload()
  const client = await nodes.first.pool.connect()
  t.teardown(() => {
    client.release(true)
  })
  await client.query('BEGIN; LOCK TABLE flow_versions IN ACCESS EXCLUSIVE MODE')
  await nodes.line.cut()
  const { heard, legs } = await call.ended
  t.equal(heard.at(-1), 'ivr/sales.wav')
  t.same(
    legs.map(({ number }) => number),
    ['1000'],
  )
  t.match(
    nodes.second.logged.filter((line) => line.call === call.uuid),
    [{ menu: 'sales', reason: 'no answer within 1000 ms' }],
  )
})
