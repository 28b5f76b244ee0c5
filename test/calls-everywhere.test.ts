import { once } from 'node:events'
import net from 'node:net'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { LiveCalls, type LiveCall } from '../src/call/live.js'
import { CallsOfNodes } from '../src/call/remote/calls-everywhere.js'
import type { LiveCallView } from '../src/common/live-call.js'
import { connectRedis } from '../src/screening/redis.js'
import { logLines } from './support/log-lines.js'
import { testRedis } from './support/services.js'
import { until } from './support/wire.js'

/** Nodes that ask each other for their calls, over Redis; with whole servers: admin-calls.test.ts. */

const { url } = await testRedis(t)
const { log, lines } = logLines()

function client(t: Test, at = url): Redis {
  const redis = connectRedis(at, log)
  t.teardown(() => {
    redis.disconnect()
  })
  return redis
}

async function node(t: Test, name: string, at = url): Promise<{ calls: CallsOfNodes; live: LiveCalls }> {
  const live = new LiveCalls()
  const calls = new CallsOfNodes({ node: name, live, redis: client(t), subscriber: client(t, at), log })
  t.teardown(() => {
    calls.close()
  })
  await until(() => calls.isHearing)
  return { calls, live }
}

const view: Omit<LiveCallView, 'node'> = {
  ...{ uuid: 'call1', switchName: null, tenant: 'demo', direction: 'inbound' },
  ...{ caller: '1', called: '2', callerRaw: '1', calledRaw: '2', callerName: '', route: 'dial' },
  ...{ state: 'talking', startedAt: 1, answeredAt: null, bridgedAt: null, bLegUuid: null },
  ...{ dialled: null, gateway: null, isVip: false, recordingPath: null },
}

function call(is: Partial<typeof view> = {}): LiveCall {
  return {
    uuid: is.uuid ?? view.uuid,
    hear: () => undefined,
    checkpoint: () => undefined,
    supersede: () => undefined,
    describe: () => ({ ...view, ...is }),
    act: () => Promise.resolve({ done: true }),
  }
}

t.test('a connection that breaks as it subscribes anew ends no process', async (t) => {
  let breaks = 0
  const { hostname: host, port } = new URL(url)
  const sockets = new Set<net.Socket>()
  const line = net.createServer((near) => {
    const far = net.connect({ host, port: Number(port) })
    for (const socket of [near, far]) socket.on('error', () => undefined)
    sockets.add(near)
    near.on('close', () => far.destroy())
    near.on('data', (data) => {
      if (breaks > 0 && /subscribe/i.test(data.toString())) {
        breaks--
        near.destroy()
      } else far.write(data)
    })
    far.pipe(near)
  })
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    line.close()
  })
  line.listen(0, '127.0.0.1')
  await once(line, 'listening')
  const through = new URL(url)
  through.hostname = '127.0.0.1'
  through.port = String((line.address() as net.AddressInfo).port)
  const unheard: unknown[] = []
  const hear = (reason: unknown): void => {
    unheard.push(reason)
  }
  process.prependListener('unhandledRejection', hear)
  t.teardown(() => process.off('unhandledRejection', hear))
  const { calls } = await node(t, 'flapping', through.href)
  breaks = 2
  for (const socket of sockets) socket.destroy()
  await until(() => breaks === 0)
  await until(() => calls.isHearing)
  t.same(unheard, [])
})

t.test('what a call cannot tell of itself is logged where it is, and told as missing', async (t) => {
  const [asking, broken] = await Promise.all([node(t, 'asking'), node(t, 'broken')])
  broken.live.add({
    ...call(),
    describe: () => {
      throw new Error('no words')
    },
  })
  const { nodes } = await asking.calls.list({}, 10)
  t.match(nodes, { asked: 2, answered: 1, trouble: /1 of 2/ })
  t.match(lines.at(-1), { msg: 'what another server asked was not answered', from: 'asking', about: 'list' })
})

t.test('a call that is found is not waited for any longer, whoever else is silent', async (t) => {
  const [asking, having] = await Promise.all([node(t, 'asking'), node(t, 'having')])
  const silent = new Redis(url)
  t.teardown(() => {
    silent.disconnect()
  })
  await silent.subscribe(`linger:${silent.options.db ?? 0}:ask`)
  // One that was sent on is known to its former server, too: its answer is not the one that counts.
  asking.live.add(call({ state: 'handed_on' }))
  having.live.add(call())
  const found = await asking.calls.find('call1')
  t.match(found, { call: { node: 'having', state: 'talking' }, nodes: { trouble: null } })
  const missing = await asking.calls.find('call2')
  t.match(missing, { call: undefined, nodes: { asked: 3, answered: 2, trouble: /1 of 3/ } })
})

t.test('a call that went from node to node is one', async (t) => {
  const nodes = await Promise.all(['a', 'b', 'c'].map((name) => node(t, name)))
  const [a, b, c] = nodes
  // From a over b to c; from a to a dialplan; from a to one, and from there to another that is no server of ours.
  for (const [uuid, on] of [
    ['onC', [a, b]],
    ['nowhere', [a]],
    ['away', [a, b]],
  ] as const)
    for (const each of on) each!.live.add(call({ uuid, state: 'handed_on' }), each === a)
  c!.live.add(call({ uuid: 'onC' }))
  b!.live.add(call({ uuid: 'new', route: 'menu' }), true)
  for (const { calls } of nodes) {
    t.match(await calls.counts(), {
      calls: 4,
      byTenant: { demo: 4 },
      byRoute: { dial: 3, menu: 1 },
      byState: { handed_on: 2, talking: 2 },
      nodes: { asked: 3, trouble: null },
    })
    t.match(await calls.counts('demo'), { calls: 4 })
    t.match(await calls.counts('other'), { calls: 0, byState: {} })
    for (const limit of [1, 10]) {
      const { total, items } = await calls.list({}, limit)
      t.match([total, items.length], [4, Math.min(limit, 4)], 'as many as on all pages')
    }
    t.match((await calls.list({ route: 'menu' }, 10)).total, 1)
  }
})
