import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Redis } from 'ioredis'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { Nodes, type NodesOptions } from '../src/call/watch/nodes.js'
import { nodeId } from '../src/node-id.js'
import { checkRedis, connectRedis } from '../src/screening/redis.js'
import { Line } from './support/outage.js'
import { temporaryFolder, testRedis } from './support/services.js'

const { url } = await testRedis(t)
const silent = pino({ level: 'silent' })

async function client(t: Test, at = url): Promise<Redis> {
  const redis = connectRedis(at, silent)
  t.teardown(() => {
    redis.disconnect()
  })
  await checkRedis(redis, 20_000)
  return redis
}

/** A node whose clock the test turns. */
async function node(t: Test, id: string, options: Partial<NodesOptions> & { url?: string } = {}) {
  const clock = { ms: 0 }
  const redis = await client(t, options.url)
  const nodes = new Nodes({ id, redis, log: silent, now: () => clock.ms, ...options })
  t.teardown(() => nodes.close())
  const died: string[] = []
  nodes.onDead((id) => died.push(id))
  /** Heartbeats, one every five seconds. */
  const pass = async (seconds: number): Promise<void> => {
    for (const end = clock.ms + seconds * 1000; clock.ms < end;) {
      clock.ms += 5_000
      await nodes.beat()
    }
  }
  await nodes.beat()
  return { nodes, redis, clock, died, pass }
}

t.test('a node that says nothing for 20 seconds is dead, and told of once', async (t) => {
  const { nodes, pass, died } = await node(t, 'one')
  t.equal(nodes.isDead('never-there'), false)
  await pass(20)
  t.equal(nodes.isDead('never-there'), false, 'the first look was five seconds after it was asked for')
  await pass(5)
  t.equal(nodes.isDead('never-there'), true)
  await pass(60)
  t.strictSame(died, ['never-there'])
})

t.test('a node that lives is never dead, nor is this one', async (t) => {
  const one = await node(t, 'watcher')
  const other = await node(t, 'watched')
  for (const id of ['watcher', 'watched']) one.nodes.isDead(id)
  for (let i = 0; i < 12; i++) {
    await other.pass(5)
    await one.pass(5)
  }
  t.equal(one.nodes.isDead('watched'), false)
  t.equal(one.nodes.isDead('watcher'), false)
  await one.redis.del('linger:node:watcher')
  t.equal(one.nodes.isDead('watcher'), false)

  await other.nodes.close()
  await one.pass(25)
  t.equal(one.nodes.isDead('watched'), true, 'one that ends in order is gone at once')

  const again = await node(t, 'watched')
  await again.nodes.beat()
  await one.pass(5)
  t.equal(one.nodes.isDead('watched'), false, 'one that comes back lives')
})

t.test('what a node said lapses by itself when it is killed', async (t) => {
  const { redis } = await node(t, 'killed', { leaseMs: 20 })
  while ((await redis.exists('linger:node:killed')) === 1);
  t.equal(await redis.get('linger:node:killed'), null)
})

t.test('while Redis is away nobody is dead, and the time counts anew when it is back', async (t) => {
  const line = await Line.to(t, url)
  const { nodes, redis, pass, died } = await node(t, 'cut-off', { url: line.url(url) })
  nodes.isDead('other')
  await pass(20)
  await line.cut()
  await pass(60)
  t.equal(nodes.isDead('other'), false)
  const back = once(redis, 'ready')
  await line.mend()
  await back
  await pass(20)
  t.equal(nodes.isDead('other'), false)
  await pass(5)
  t.strictSame(died, ['other'])
  await line.cut()
  await pass(5)
  t.equal(nodes.isDead('other'), false, 'also one that was dead')
})

t.test('when this process stood still others may have, too: the time counts anew', async (t) => {
  const { nodes, clock, pass } = await node(t, 'sleeper')
  nodes.isDead('other')
  await pass(10)
  clock.ms += 3_600_000
  await pass(20)
  t.equal(nodes.isDead('other'), false)
  await pass(5)
  t.equal(nodes.isDead('other'), true)
})

t.test('a node says that it lives as soon as Redis is there', async (t) => {
  const line = await Line.to(t, url)
  await line.cut()
  const redis = connectRedis(line.url(url), silent)
  const nodes = new Nodes({ id: 'early', redis, log: silent, heartbeatMs: 1_000_000 })
  t.teardown(async () => {
    await nodes.close()
    redis.disconnect()
  })
  await line.mend()
  const other = await client(t)
  while ((await other.get('linger:node:early')) !== '1');
  t.pass('it is there')
})

t.test('the name of a node stays with its data', async (t) => {
  const dataDir = await temporaryFolder(t)
  const id = await nodeId(dataDir)
  t.match(id, /^[0-9a-f]{16}$/)
  t.equal(await nodeId(dataDir), id)
  t.not(await nodeId(await temporaryFolder(t)), id)
  await writeFile(join(dataDir, 'node-id'), 'half a na')
  t.match(await nodeId(dataDir), /^[0-9a-f]{16}$/, 'one that cannot be read is made anew')
})
