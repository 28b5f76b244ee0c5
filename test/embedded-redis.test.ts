import { spawnSync } from 'node:child_process'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { existsSync, readFileSync } from 'node:fs'
import { Redis } from 'ioredis'
import { pino } from 'pino'
import t from 'tap'
import { startEmbeddedRedis } from '../src/embedded/redis.js'
import { commandLine, waitUntil } from '../src/embedded/processes.js'
import { killHard, refusalBesides, startParent } from './support/embedded.js'
import { temporaryFolder } from './support/services.js'

const log = pino({ level: 'silent' })

const realPath = process.env.PATH ?? ''
const pathWithout = realPath
  .split(delimiter)
  .filter((folder) => !existsSync(join(folder, 'redis-server')))
  .join(delimiter)
const hasServer = spawnSync('redis-server', ['--version'], { stdio: 'ignore' }).status === 0

const kinds = [
  { kind: 'built-in', path: pathWithout, skip: false },
  { kind: 'redis-server', path: realPath, skip: hasServer ? false : 'no redis-server on PATH' },
] as const

t.afterEach(() => {
  process.env.PATH = realPath
})

/** One of each type, binary text, a key that ends, a second database. */
async function fill(client: Redis): Promise<void> {
  await client.set('text', Buffer.from([0, 13, 10, 255]))
  await client.set('phone:blacklist:84901234567', '1', 'EX', 86_400)
  await client.sadd('phone:vip', 'a', 'b')
  await client.hset('hash', { one: '1', two: '2' })
  await client.rpush('list', 'x', 'y', 'x')
  await client.zadd('sorted', 1.5, 'low', 2, 'high')
  await client.xadd('stream', '1-1', 'field', 'value')
  await client.xgroup('CREATE', 'stream', 'readers', '0')
  await client.select(3)
  await client.set('elsewhere', 'three')
  await client.select(0)
}

async function contents(client: Redis): Promise<unknown> {
  const ttl = await client.ttl('phone:blacklist:84901234567')
  const everything = {
    text: (await client.getBuffer('text'))?.toString('hex'),
    hasTtl: ttl > 86_000 && ttl <= 86_400,
    vip: await client.smismember('phone:vip', 'a', 'b', 'c'),
    hash: await client.hgetall('hash'),
    list: await client.lrange('list', 0, -1),
    sorted: await client.zrange('sorted', 0, '+inf', 'BYSCORE'),
    stream: await client.xrange('stream', '-', '+'),
    groups: ((await client.xinfo('GROUPS', 'stream')) as unknown[]).length,
    elsewhere: await client.select(3).then(() => client.get('elsewhere')),
  }
  await client.select(0)
  return everything
}

const expected = {
  text: '000d0aff',
  hasTtl: true,
  vip: [1, 1, 0],
  hash: { one: '1', two: '2' },
  list: ['x', 'y', 'x'],
  sorted: ['low', 'high'],
  stream: [['1-1', ['field', 'value']]],
  groups: 1,
  elsewhere: 'three',
}

for (const { kind, path, skip } of kinds) {
  t.test(`the embedded Redis, ${kind}`, { skip }, async (t) => {
    t.test('keeps every type, its time to live, password and port over a restart', async (t) => {
      process.env.PATH = path
      const dataDir = await temporaryFolder(t)
      const first = await startEmbeddedRedis({ dataDir, log })
      t.equal(first.kind, kind)
      const client = new Redis(first.url)
      await fill(client)
      t.same(await contents(client), expected)
      await client.set('short', '1', 'PX', 100)
      const ended = Date.now() + 100
      client.disconnect()
      await first.stop()
      await first.stop()
      await waitUntil(() => Date.now() > ended, 1_000)

      const second = await startEmbeddedRedis({ dataDir, log })
      t.equal(second.url, first.url)
      const again = new Redis(second.url)
      t.same(await contents(again), expected)
      t.equal(await again.get('short'), null, 'what ended while it was down stays ended')
      again.disconnect()
      await second.stop()
    })

    t.test('answers what the server asks of it, in pipelines and transactions', async (t) => {
      process.env.PATH = path
      const redis = await startEmbeddedRedis({ dataDir: await temporaryFolder(t), log })
      const client = new Redis(redis.url)
      await client.mset({ 'phone:blacklist:1': '1', 'phone:blacklist:2': '1', other: '1' })
      const pipeline = client.pipeline().mget('phone:blacklist:1', 'none').smismember('phone:vip', '1', '2')
      t.same(await pipeline.exec(), [
        [null, ['1', null]],
        [null, [0, 0]],
      ])
      t.same(await client.multi().incr('n').incr('n').exec(), [
        [null, 1],
        [null, 2],
      ])
      const found: string[] = []
      for await (const keys of client.scanStream({ match: 'phone:blacklist:*', count: 1 })) {
        found.push(...(keys as string[]))
      }
      t.same(found.sort(), ['phone:blacklist:1', 'phone:blacklist:2'])
      t.equal(await client.set('once', '1', 'EX', 10, 'NX'), 'OK')
      t.equal(await client.set('once', '2', 'EX', 10, 'NX'), null)
      t.equal(await client.eval("return redis.call('GET', KEYS[1])", 1, 'once'), '1')
      client.disconnect()
      await redis.stop()
    })

    t.test('refuses a wrong password and none, and listens on 127.0.0.1 only', async (t) => {
      process.env.PATH = path
      const dataDir = await temporaryFolder(t)
      const redis = await startEmbeddedRedis({ dataDir, log })
      const { port } = new URL(redis.url)
      for (const [url, message] of [
        [redis.url.replace(/:[^:@]+@/, ':guessed@'), /WRONGPASS/],
        [`redis://127.0.0.1:${port}`, /NOAUTH/],
      ] as const) {
        const client = new Redis(url, { retryStrategy: () => null, lazyConnect: true })
        client.on('error', () => undefined)
        await t.rejects(client.get('text'), { message })
        client.disconnect()
      }
      t.equal(await refusalBesides(Number(port)), 'ECONNREFUSED')
      t.equal((await stat(join(dataDir, 'redis/password'))).mode & 0o777, 0o600)
      await redis.stop()
    })

    t.test('loses nothing that was written when its server is killed', async (t) => {
      process.env.PATH = path
      const dataDir = await temporaryFolder(t)
      const { parent, url } = await startParent([dataDir, 'redis'])
      const client = new Redis(url, { retryStrategy: () => null })
      client.on('error', () => undefined)
      await fill(client)
      const server = Number(/process_id:(\d+)/.exec(await client.info('server'))?.[1])
      if (kind === 'redis-server') t.notMatch(commandLine(server), new URL(url).password)
      // The redis-server has written what it answered; the built-in one writes within a moment.
      if (kind === 'built-in') t.ok(await waitUntil(snapshotHas(dataDir, 'elsewhere'), 10_000))
      await killHard(parent)

      const next = await startEmbeddedRedis({ dataDir, log })
      t.equal(next.kind, kind)
      const again = new Redis(next.url)
      t.same(await contents(again), expected)
      if (kind === 'redis-server')
        t.equal(commandLine(server), '', 'the redis-server of the killed one is gone')
      again.disconnect()
      client.disconnect()
      await next.stop()
    })
  })
}

function snapshotHas(dataDir: string, key: string): () => boolean {
  const file = join(dataDir, 'redis/built-in/snapshot')
  return () => existsSync(file) && readFileSync(file, 'latin1').includes(key)
}

t.test('the embedded Redis, between its two kinds', { skip: kinds[1].skip }, async (t) => {
  t.test('stays the built-in one where that has the data, though there is a redis-server now', async (t) => {
    const dataDir = await temporaryFolder(t)
    process.env.PATH = pathWithout
    const before = await startEmbeddedRedis({ dataDir, log })
    const client = new Redis(before.url)
    await client.set('kept', '1')
    client.disconnect()
    await before.stop()
    process.env.PATH = realPath
    const after = await startEmbeddedRedis({ dataDir, log })
    t.equal(after.kind, 'built-in')
    const again = new Redis(after.url)
    t.equal(await again.get('kept'), '1')
    again.disconnect()
    await after.stop()
  })

  t.test('refuses to start empty when the redis-server that has the data is gone', async (t) => {
    const dataDir = await temporaryFolder(t)
    await (await startEmbeddedRedis({ dataDir, log })).stop()
    process.env.PATH = pathWithout
    await t.rejects(startEmbeddedRedis({ dataDir, log }), {
      name: 'ServiceError',
      message: /holds the data of a redis-server, which is no longer on PATH/,
    })
  })
})

t.test('a snapshot that cannot be read is not taken for an empty one', async (t) => {
  const dataDir = await temporaryFolder(t)
  process.env.PATH = pathWithout
  const redis = await startEmbeddedRedis({ dataDir, log })
  const client = new Redis(redis.url)
  await client.set('kept', '1')
  client.disconnect()
  await redis.stop()
  const snapshot = join(dataDir, 'redis/built-in/snapshot')
  const whole = await readFile(snapshot)
  await writeFile(snapshot, whole.subarray(0, whole.length / 2))
  await t.rejects(startEmbeddedRedis({ dataDir, log }), { message: /snapshot cannot be read/ })
  await writeFile(snapshot, whole)
  await (await startEmbeddedRedis({ dataDir, log })).stop()
})
