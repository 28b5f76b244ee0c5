import { Redis } from 'ioredis'
import { pino } from 'pino'
import t from 'tap'
import { callEvent, type CallEvent } from '../src/events/call-event.js'
import { CallStats } from '../src/events/stats.js'
import { connectRedis } from '../src/screening/redis.js'
import { snapshot } from './support/call-events.js'
import { logLines } from './support/log-lines.js'
import { Line } from './support/outage.js'
import { testRedis } from './support/services.js'
import { until } from './support/wire.js'

const { url } = await testRedis(t)
const log = pino({ level: 'silent' })
const reader = new Redis(url)
t.teardown(() => {
  reader.disconnect()
})

function change(tenant: string, uuid: string, status: string): CallEvent {
  return callEvent(snapshot({ tenant, uuid, status }))!
}

/** Resolves when a set has so many calls. */
async function callsAre(key: string, count: number): Promise<void> {
  while ((await reader.scard(key)) !== count);
}

t.test('calls are in the sets of the statuses that they have had, for a day', async (t) => {
  const redis = connectRedis(url, log)
  t.teardown(() => {
    redis.disconnect()
  })
  const stats = new CallStats({ redis, log })
  for (const uuid of ['a', 'b', 'c', 'a']) stats.add(change('acme', uuid, 'ringing'))
  stats.add(change('acme', 'a', 'answered'))
  stats.add(change('other', 'd', 'ringing'))
  await callsAre('stats:calls:acme:ringing', 3)
  await callsAre('stats:calls:acme:answered', 1)
  t.same(await reader.smembers('stats:calls:other:ringing'), ['d'])
  const ttl = await reader.ttl('stats:calls:acme:ringing')
  t.ok(ttl > 86_000 && ttl <= 86_400)
  // Nor does a call that comes later make it live longer.
  await reader.expire('stats:calls:acme:ringing', 1_000)
  stats.add(change('acme', 'e', 'ringing'))
  await stats.close()
  t.equal(await reader.scard('stats:calls:acme:ringing'), 4)
  t.ok((await reader.ttl('stats:calls:acme:ringing')) <= 1_000)
})

t.test('Redis away: what fits waits, the rest is counted, and it is said once each time', async (t) => {
  const line = await Line.to(t, url)
  const { log, lines, warnings } = logLines()
  const redis = connectRedis(line.url(url), pino({ level: 'silent' }))
  t.teardown(() => {
    redis.disconnect()
  })
  const stats = new CallStats({ redis, log, maxPending: 100 })
  stats.add(change('away', 'before', 'ringing'))
  await callsAre('stats:calls:away:ringing', 1)
  await line.cut()
  for (let n = 0; n < 150; n++) stats.add(change('away', `call ${n}`, 'ringing'))
  t.equal(stats.dropped, 50)
  t.equal(warnings().length, 1)
  await line.mend()
  await callsAre('stats:calls:away:ringing', 101)
  stats.add(change('away', 'after', 'ringing'))
  await callsAre('stats:calls:away:ringing', 102)
  t.equal(stats.dropped, 50)
  await line.cut()
  for (let n = 0; n < 110; n++) stats.add(change('away', `later ${n}`, 'ringing'))
  await line.mend()
  await callsAre('stats:calls:away:ringing', 202)
  const away = 'Redis is away for long: statistics of calls are lost'
  const back = 'Redis takes statistics of calls again'
  await until(() => warnings().length === 4)
  t.same(warnings(), [away, back, away, back])
  t.same(
    lines.flatMap(({ lost }) => lost ?? []),
    [50, 10],
  )
  await stats.close()
})
