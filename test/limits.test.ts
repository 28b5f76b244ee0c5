import { randomUUID } from 'node:crypto'
import { EventEmitter, once } from 'node:events'

import { pino } from 'pino'
import t, { type Test } from 'tap'

import { CallLimits, type CallLimitsOptions, type Limited } from '../src/billing/limits.js'
import { checkRedis, connectRedis } from '../src/screening/redis.js'
import { Line } from './support/outage.js'
import { testRedis } from './support/services.js'
import { until } from './support/wire.js'

const { url } = await testRedis(t)
const silent = pino({ level: 'silent' })

async function node(
  t: { teardown(end: () => void): void },
  options: Partial<CallLimitsOptions> & { url?: string } = {},
): Promise<CallLimits> {
  const redis = connectRedis(options.url ?? url, silent)
  await checkRedis(redis)
  const limits = new CallLimits({ redis, log: silent, timeoutMs: 20_000, ...options })
  t.teardown(() => {
    limits.close()
    redis.disconnect()
  })
  return limits
}

/** Asks until a call gets a place. */
function untilFree(limits: CallLimits, tenant: Limited): Promise<void> {
  return until(async () => (await limits.begin(tenant, randomUUID())) === undefined)
}

/** Asks until then, and fails if a call gets a place. */
async function untilPast(t: Test, moment: number, limits: CallLimits, tenant: Limited): Promise<void> {
  await until(async () => {
    if ((await limits.begin(tenant, randomUUID())) === undefined)
      t.fail('a place of a call in progress was given away')
    return performance.now() >= moment
  })
}

t.test('a tenant has as many calls at once as it may, over all nodes', async (t) => {
  const nodes = [await node(t), await node(t), await node(t)]
  const tenant = { id: 'at-once', maxCalls: 10 }
  const calls = Array.from({ length: 30 }, (_, i) => ({ limits: nodes[i % 3]!, uuid: randomUUID() }))
  const answers = await Promise.all(calls.map(({ limits, uuid }) => limits.begin(tenant, uuid)))
  const inside = calls.filter((_, i) => answers[i] === undefined)
  t.equal(inside.length, 10)
  t.equal(answers.filter((answer) => answer === 'max_calls').length, 20)

  const [first] = inside
  first!.limits.end(tenant.id, first!.uuid)
  t.equal(await first!.limits.begin(tenant, randomUUID()), undefined, 'a call that ends makes room')
  t.equal(await nodes[0]!.begin(tenant, randomUUID()), 'max_calls')
})

t.test('a call takes one place, however often it asks', async (t) => {
  const [one, other] = [await node(t), await node(t)]
  const tenant = { id: 'one-place', maxCalls: 2 }
  const call = randomUUID()
  for (const limits of [one, one, other]) t.equal(await limits.begin(tenant, call), undefined)
  t.equal(await one.begin(tenant, randomUUID()), undefined)
  t.equal(await one.begin(tenant, randomUUID()), 'max_calls')
})

t.test('tenants do not share their places, and one without limits is not asked about', async (t) => {
  const limits = await node(t)
  t.equal(await limits.begin({ id: 'closed', maxCalls: 0 }, randomUUID()), 'max_calls')
  t.equal(
    await limits.begin({ id: 'closed-too', maxCallsPerSecond: 0 }, randomUUID()),
    'max_calls_per_second',
  )
  t.equal(await limits.begin({ id: 'open', maxCalls: 1 }, randomUUID()), undefined)
  limits.close()
  t.equal(await limits.begin({ id: 'unlimited' }, randomUUID()), undefined)
})

t.test('gateways have places of their own, whatever tenants are named', async (t) => {
  const tenants = await node(t)
  const gateways = await node(t, { of: 'gateways' })
  const one = { id: 'same-name', maxCalls: 1 }
  t.equal(await tenants.begin(one, randomUUID()), undefined)
  const call = randomUUID()
  t.equal(await gateways.begin(one, call), undefined)
  t.equal(await gateways.begin(one, randomUUID()), 'max_calls')
  t.strictSame(await gateways.counts(['same-name', 'other']), [1, 0])
  gateways.end('same-name', call)
  t.equal(await gateways.begin(one, randomUUID()), undefined)
  t.strictSame(await tenants.counts([]), [])
})

t.test('no more calls begin in a second than may, over all nodes', async (t) => {
  const nodes = [await node(t), await node(t)]
  const tenant = { id: 'per-second', maxCallsPerSecond: 5 }
  const from = performance.now()
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, i) => nodes[i % 2]!.begin(tenant, randomUUID())),
  )
  t.equal(answers.filter((answer) => answer === undefined).length, 5)
  t.equal(answers.filter((answer) => answer === 'max_calls_per_second').length, 15)
  await untilFree(nodes[0]!, tenant)
  t.ok(performance.now() - from >= 999, 'the sixth begins a second after the first')
  const redis = connectRedis(url, silent)
  t.teardown(() => {
    redis.disconnect()
  })
  await checkRedis(redis)
  // Moments long past, as a tenant that has had calls all the time has left them.
  const longPast = Array.from({ length: 20 }, (_, i) => String(i))
  await redis.rpush('linger:{steady}:begun', ...longPast)
  t.equal(await nodes[0]!.begin({ ...tenant, id: 'steady' }, randomUUID()), undefined)
  t.equal(await redis.llen('linger:{steady}:begun'), 5, 'no more is remembered than is needed')
})

t.test("a dead node's places lapse; a node that lives keeps its own", async (t) => {
  const leaseMs = 1_000
  const dead = await node(t, { leaseMs })
  const alive = await node(t, { leaseMs, heartbeatMs: 50 })
  const tenant = { id: 'dead', maxCalls: 2 }
  t.equal(await dead.begin(tenant, randomUUID()), undefined)
  t.equal(await alive.begin(tenant, randomUUID()), undefined)
  t.equal(await alive.begin(tenant, randomUUID()), 'max_calls')
  dead.close()
  const from = performance.now()
  await untilFree(alive, tenant)
  // Now both places are the living node's, whose heartbeat keeps them beyond any lease.
  await untilPast(t, from + 1.5 * leaseMs, dead, tenant)
  t.pass('no call got in')
})

t.test('the place of a call that another node takes over goes with it', async (t) => {
  const leaseMs = 1_000
  const dead = await node(t, { leaseMs })
  const heir = await node(t, { leaseMs, heartbeatMs: 50 })
  const tenant = { id: 'heir', maxCalls: 1 }
  const call = randomUUID()
  await dead.begin(tenant, call)
  dead.close()
  heir.adopt(tenant, call)
  const from = performance.now()
  await untilPast(t, from + 1.5 * leaseMs, dead, tenant)
  heir.end(tenant.id, call)
  await untilFree(dead, tenant)
})

t.test('a call that was given to another node does not lose its place to its own end here', async (t) => {
  const [one, other] = [await node(t), await node(t)]
  const tenant = { id: 'given', maxCalls: 1 }
  const call = randomUUID()
  await one.begin(tenant, call)
  t.equal(one.forget(tenant.id, call), true)
  other.adopt(tenant, call)
  one.end(tenant.id, call)
  t.equal(await one.begin(tenant, randomUUID()), 'max_calls')
  t.equal(one.forget(tenant.id, call), false)
})

t.test('Redis away: each node counts its own calls, and says so once', async (t) => {
  const line = await Line.to(t, url)
  const said = new EventEmitter()
  const lines: string[] = []
  const log = pino(
    {},
    {
      write: (text) => {
        const { msg } = JSON.parse(text) as { msg: string }
        lines.push(msg)
        said.emit(msg)
      },
    },
  )
  const limits = await node(t, { url: line.url(url), log, heartbeatMs: 50 })
  const tenant = { id: 'away', maxCalls: 2 }
  const busy = { id: 'busy', maxCallsPerSecond: 1 }
  t.equal(await limits.begin(tenant, randomUUID()), undefined)
  await line.cut()
  const call = randomUUID()
  t.equal(await limits.begin(tenant, call), undefined)
  t.equal(await limits.begin(tenant, randomUUID()), 'max_calls')
  t.equal(await limits.begin(busy, randomUUID()), undefined)
  t.equal(await limits.begin(busy, randomUUID()), 'max_calls_per_second')
  limits.end(tenant.id, call)
  t.equal(await limits.begin(tenant, randomUUID()), undefined)

  const other = await node(t)
  const back = once(said, 'the limits of tenants hold over all nodes again')
  await line.mend()
  await back
  // The heartbeat puts back the places that Redis was not told of.
  await until(async () => {
    if ((await other.begin(tenant, call)) !== undefined) return true
    other.end(tenant.id, call)
    return false
  })
  t.same(lines, [
    'Redis is away: the limits of tenants hold for each node alone',
    'the limits of tenants hold over all nodes again',
  ])
})
