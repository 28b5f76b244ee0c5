import { randomUUID } from 'node:crypto'
import { pino } from 'pino'
import t from 'tap'
import { CallLimits } from '../src/billing/limits.js'
import { GatewayAccess } from '../src/call/gateways/gateway-access.js'
import { GatewayPlaces } from '../src/call/gateways/gateway-places.js'
import { GatewayHealth } from '../src/call/gateways/gateway-health.js'
import { checkRedis, connectRedis } from '../src/screening/redis.js'
import type { Gateway } from '../src/store/catalog.js'
import { noPlaces, plainNumberRules, presentsCaller } from './support/gateways.js'
import { Line } from './support/outage.js'
import { testRedis } from './support/services.js'

const { url } = await testRedis(t)
const log = pino({ level: 'silent' })

async function node(t: { teardown(end: () => void): void }, redisUrl = url): Promise<GatewayAccess> {
  const redis = connectRedis(redisUrl, log)
  await checkRedis(redis)
  const limits = new CallLimits({ redis, log, of: 'gateways', timeoutMs: 20_000 })
  t.teardown(() => {
    limits.close()
    redis.disconnect()
  })
  return new GatewayAccess({ health: new GatewayHealth({ log }), limits, places: noPlaces })
}

function gateway(name: string, limits: Pick<Gateway, 'maxCalls' | 'maxCallsPerSecond'> = {}): Gateway {
  const rules = { number: plainNumberRules, callerId: presentsCaller, codecs: [] }
  return { id: 1, name, prefix: '', priority: 100, ...rules, ...limits }
}

function asking(more: { evenIfResting?: boolean; isEmergency?: boolean } = {}) {
  return {
    attemptId: randomUUID(),
    switchName: 'one',
    evenIfResting: false,
    isEmergency: false,
    ...more,
  }
}

const away = { isConnected: false, cause: 'NETWORK_OUT_OF_ORDER' }

t.test(
  'a gateway has as many calls at once as it may, over all nodes; a call that ends makes room',
  async (t) => {
    const nodes = [await node(t), await node(t)]
    const limited = gateway('at-once', { maxCalls: 3 })
    const uses = await Promise.all(
      Array.from({ length: 8 }, (_, index) => nodes[index % 2]!.begin(limited, asking())),
    )
    const inside = uses.filter((use) => typeof use !== 'string')
    t.equal(inside.length, 3)
    t.strictSame(new Set(uses.filter((use) => typeof use === 'string')), new Set(['full']))
    const [shown] = await nodes[0]!.status([limited])
    t.equal(shown?.callsEverywhere, 3)
    t.equal(
      (shown?.calls ?? 0) + ((await nodes[1]!.status([limited]))[0]?.calls ?? 0),
      3,
      'each node knows its own: those that found no place are none',
    )
    inside[0]?.ended({ isConnected: true, cause: 'NORMAL_CLEARING' })
    inside[0]?.ended()
    t.type(await nodes[0]!.begin(limited, asking()), 'object')
    t.equal(await nodes[1]!.begin(limited, asking()), 'full')
  },
)

t.test('no more calls begin over it in a second than may', async (t) => {
  const access = await node(t)
  const limited = gateway('per-second', { maxCallsPerSecond: 2 })
  const answers = await Promise.all(Array.from({ length: 5 }, () => access.begin(limited, asking())))
  t.equal(answers.filter((use) => use === 'full').length, 3)
})

t.test('an emergency call finds a place where there is none, and takes it', async (t) => {
  const access = await node(t)
  const limited = gateway('emergency', { maxCalls: 0, maxCallsPerSecond: 0 })
  t.equal(await access.begin(limited, asking()), 'full')
  const use = await access.begin(limited, asking({ isEmergency: true }))
  t.type(use, 'object')
  while ((await access.status([limited]))[0]?.callsEverywhere !== 1);
  if (typeof use !== 'string') use.ended(away)
  while ((await access.status([limited]))[0]?.callsEverywhere !== 0);
})

t.test(
  'a gateway that rests is dialled for an emergency, and when it must be; of two calls one tries it',
  async (t) => {
    let now = 0
    const redis = connectRedis(url, log)
    await checkRedis(redis)
    const limits = new CallLimits({ redis, log, of: 'gateways' })
    t.teardown(() => {
      limits.close()
      redis.disconnect()
    })
    const health = new GatewayHealth({ log, restMs: 1_000, now: () => now })
    const access = new GatewayAccess({ health, limits, places: noPlaces })
    const carrier = gateway('resting')
    const dial = async (more = {}) => {
      const use = await access.begin(carrier, asking(more))
      if (typeof use !== 'string') use.ended(away)
      return typeof use === 'string' ? use : 'dialled'
    }
    for (let time = 0; time < 3; time++) t.equal(await dial(), 'dialled')
    t.equal(await dial(), 'resting')
    t.equal(await dial({ evenIfResting: true }), 'dialled')
    t.equal(await dial({ isEmergency: true }), 'dialled')
    now += 1_000
    const [one, other] = await Promise.all([access.begin(carrier, asking()), access.begin(carrier, asking())])
    t.type(one, 'object')
    t.equal(other, 'resting')
  },
)

t.test('whoever has a leg by the time that its session has left it keeps its place', async (t) => {
  const redis = connectRedis(url, log)
  await checkRedis(redis)
  const limits = new CallLimits({ redis, log, of: 'gateways', heartbeatMs: 20, timeoutMs: 20_000 })
  t.teardown(() => {
    limits.close()
    redis.disconnect()
  })
  const limited = gateway('handed-on', { maxCalls: 1 })
  const places = new GatewayPlaces({ catalog: { gateways: () => [limited] }, limits })
  const access = new GatewayAccess({ health: new GatewayHealth({ log }), limits, places })
  const asked = asking()
  const use = await access.begin(limited, asked)
  const attempt = { id: asked.attemptId, target: '', gateway: limited, number: '1', rate: undefined }
  const leg = { uuid: 'leg', callUuid: 'call', tenant: 'any', attempt, answeredAt: 0, now: 0, timers: [] }
  const [one, other] = [{}, {}]
  places.take(leg, one)
  places.take(leg, other)
  if (typeof use !== 'string') use.left()
  places.leave('leg', one)
  await redis.del('linger:gateway:{handed-on}:calls')
  while ((await access.status([limited]))[0]?.callsEverywhere !== 1);
  t.ok(places.keeps(asked.attemptId), 'it is renewed')
  places.free('leg')
  t.notOk(places.keeps(asked.attemptId))
  while ((await access.status([limited]))[0]?.callsEverywhere !== 0);
})

t.test('Redis is not asked about a gateway without limits, nor one away waited for', async (t) => {
  const line = await Line.to(t, url)
  const access = await node(t, line.url(url))
  await line.cut()
  const plain = gateway('plain')
  const use = await access.begin(plain, asking())
  t.type(use, 'object')
  t.match(await access.status([plain]), [{ state: 'up', calls: 1, callsEverywhere: undefined }])
})
