import { join } from 'node:path'
import fc from 'fast-check'
import { Redis } from 'ioredis'
import t from 'tap'
import { startBuiltInRedis } from '../src/embedded/redis-built-in.js'
import { normalNumber, type Country } from '../src/numbering/normal-form.js'
import { parseEntry } from '../src/screening/entry.js'
import { Blacklist, VipList } from '../src/screening/lists.js'
import type { Addition, Listed, NumberList } from '../src/screening/number-list.js'
import { checkRedis, connectRedis, RedisAway } from '../src/screening/redis.js'
import { Screening } from '../src/screening/screen.js'
import { logLines } from './support/log-lines.js'
import { Line } from './support/outage.js'
import { temporaryFolder, testRedis } from './support/services.js'

const { log } = logLines()
const { url: realUrl } = await testRedis(t)
const folder = await temporaryFolder(t)
const builtIn = await startBuiltInRedis({
  dir: join(folder, 'redis'),
  portFile: join(folder, 'port'),
  password: 'lists-test',
  log,
})
t.teardown(() => builtIn.stop())

const addition: Addition = { reason: 'spam', addedBy: 'key-1', ttlSeconds: 60 }

function entryOf(list: NumberList, text: string) {
  const entry = list.parse(text)
  if (!entry) throw new Error(`${text} cannot be entered`)
  return entry
}

/** The list from page to page. */
async function pages(list: NumberList, limit: number): Promise<Listed[][]> {
  const found: Listed[][] = []
  let cursor: string | undefined
  do {
    const page = await list.page({ cursor, limit })
    if (!page) throw new Error('a cursor was not taken back')
    found.push(page.items)
    cursor = page.next ?? undefined
  } while (cursor !== undefined)
  return found
}

t.test('what can be entered, and under which names it stands then', async (t) => {
  const cases: [text: string, entered: string, normal: string, tags: string[]][] = [
    ['0901234567', '0901234567', '84901234567', ['84901234567', '+84901234567', '0901234567']],
    ['+84 (90) 123-45.67', '+84901234567', '84901234567', ['84901234567', '+84901234567', '0901234567']],
    ['84901234567', '84901234567', '84901234567', ['84901234567', '+84901234567', '0901234567']],
    ['12133734253', '12133734253', '12133734253', ['12133734253', '+12133734253']],
    ['113', '113', '113', ['113']],
    ['090*', '090*', '8490*', ['prefix:8490', 'prefix:090']],
    ['+8490*', '8490*', '8490*', ['prefix:8490', 'prefix:090']],
    ['Anonymous', 'anonymous', 'anonymous', ['anonymous']],
  ]
  for (const [text, entered, normal, tags] of cases)
    t.match(parseEntry(text, 'VN'), { entered, normal, tags }, text)
  for (const text of [
    '',
    ' ',
    '+',
    '*',
    'x',
    '09x',
    '090**',
    '*090',
    '1'.repeat(33),
    '٠٩٠',
    '+84\n',
    '090,1',
    '++84',
  ]) {
    t.equal(parseEntry(text, 'VN'), undefined, JSON.stringify(text))
  }
})

t.test('whatever is entered, its normal form is the same entry', async (t) => {
  // Found by the property below.
  for (const zeros of ['0000000000*', '000000000000000*'])
    t.equal(parseEntry(parseEntry(zeros, 'VN')!.normal, 'VN')!.normal, parseEntry(zeros, 'VN')!.normal, zeros)
  const digits = fc.stringMatching(/^\+?[0-9]{1,15}$/)
  const countries = fc.constantFrom<Country[]>('VN', 'US', 'IT', 'HU')
  fc.assert(
    fc.property(digits, countries, fc.constantFrom('', '*'), (number, country, star) => {
      const entry = parseEntry(number + star, country)
      if (!entry) return false
      // A number that exists nowhere may have a normal form that reads as another one.
      const isNumber =
        /^[1-9]/.test(entry.normal) && normalNumber(`+${entry.normal}`, country) === entry.normal
      fc.pre(entry.kind === 'prefix' || isNumber)
      const again = parseEntry(entry.normal, country)
      const readings = [again?.normal, again?.alternative?.normal]
      return readings.includes(entry.normal) && entry.tags.includes(entry.enteredTag)
    }),
    { numRuns: 300 },
  )
})

for (const [kind, url] of [
  ['Redis', realUrl],
  ['the built-in Redis', builtIn.url],
] as const) {
  await t.test(`the lists over ${kind}`, async (t) => {
    const others = new Redis(url)
    const redis = connectRedis(url, log)
    await checkRedis(redis)
    t.teardown(() => {
      others.disconnect()
      redis.disconnect()
    })
    const blacklist = new Blacklist(redis, 'VN')
    const vips = new VipList(redis, 'VN')
    const screening = new Screening({ redis, log })
    const isRefused = async (raw: string) =>
      (await screening.screen({ raw, normal: normalNumber(raw, 'VN'), isAnonymous: false })).isBlacklisted
    t.beforeEach(() => others.flushdb())

    t.test('a number is written as it was entered and in normal form, with its time to live', async (t) => {
      const { items, added } = await blacklist.add([entryOf(blacklist, '0901234567')], addition)
      t.equal(added, 1)
      t.match(items, [
        {
          kind: 'number',
          number: '0901234567',
          normalForm: '84901234567',
          reason: 'spam',
          addedBy: 'key-1',
          addedAt: /^\d{4}-\d\d-\d\dT[\d:.]+Z$/,
          expiresAt: /^\d{4}-\d\d-\d\dT[\d:]+\.000Z$/,
          ttlSeconds: 60,
        },
      ])
      for (const key of ['phone:blacklist:0901234567', 'phone:blacklist:84901234567']) {
        t.equal(await others.get(key), '1')
        const ttl = await others.ttl(key)
        t.ok(ttl > 55 && ttl <= 60, `${key} lives ${ttl} s`)
      }
      const keys = await others.keys('*')
      for (const key of keys) t.ok((await others.ttl(key)) > 0, `${key} goes away by itself`)
      t.equal(keys.length, 3, 'the two names and the note')
    })

    t.test('an entry is found and removed in whichever way it is spelled', async (t) => {
      const spellings = ['0901234567', '+84901234567', '84901234567', '+84 90 123 45 67']
      for (const added of spellings) {
        for (const asked of spellings) {
          await blacklist.add([entryOf(blacklist, added)], addition)
          t.match(await blacklist.find(entryOf(blacklist, asked)), { reason: 'spam', ttlSeconds: 60 })
          t.equal(await isRefused('0901234567'), true)
          t.equal(await blacklist.remove(entryOf(blacklist, asked)), true)
          t.strictSame(await others.keys('*'), [], `${added} removed as ${asked} leaves nothing`)
          t.equal(await isRefused('0901234567'), false)
        }
      }
      t.equal(await blacklist.remove(entryOf(blacklist, '0901234567')), false)
      t.equal(await blacklist.find(entryOf(blacklist, '0901234567')), undefined)
    })

    t.test('prefixes and anonymous are entries too', async (t) => {
      const entries = ['090*', 'anonymous'].map((text) => entryOf(blacklist, text))
      await blacklist.add(entries, addition)
      t.strictSame((await others.keys('phone:*')).sort(), [
        'phone:blacklist:anonymous',
        'phone:blacklist:prefix:090',
        'phone:blacklist:prefix:8490',
      ])
      t.equal(await isRefused('+84901234567'), true)
      t.match(await blacklist.find(entryOf(blacklist, '8490*')), { kind: 'prefix', number: '090*' })
      t.equal(await blacklist.coveredBy(entryOf(blacklist, '0901234567')), '8490*')
      t.equal(await blacklist.coveredBy(entryOf(blacklist, '0911234567')), undefined)
      t.equal(await blacklist.remove(entryOf(blacklist, '+8490*')), true)
      t.equal(await isRefused('0901234567'), false)
      t.equal(await blacklist.remove(entryOf(blacklist, 'ANONYMOUS')), true)
      t.strictSame(await others.keys('*'), [])
    })

    t.test('what another program wrote is seen, found and removed', async (t) => {
      await others.set('phone:blacklist:0901234567', '1', 'EX', 86400)
      await others.set('phone:blacklist:sip:evil@example.org', '1')
      await others.set('phone:blacklist:prefix:091', '1', 'EX', 100)
      const [items] = await pages(blacklist, 10)
      t.match(
        items?.sort((a, b) => (a.number < b.number ? -1 : 1)),
        [
          { kind: 'number', number: '0901234567', normalForm: '84901234567', reason: null, addedBy: null },
          { kind: 'prefix', number: '091*', normalForm: '8491*', ttlSeconds: 100 },
          {
            kind: 'number',
            number: 'sip:evil@example.org',
            addedAt: null,
            ttlSeconds: null,
            expiresAt: null,
          },
        ],
      )
      t.match(await blacklist.find(entryOf(blacklist, '84901234567')), {
        number: '0901234567',
        ttlSeconds: 86400,
      })
      t.equal(await blacklist.remove(entryOf(blacklist, '84901234567')), true)
      t.equal(await isRefused('0901234567'), false)
      t.equal(await blacklist.remove(entryOf(blacklist, '8491*')), true)
      t.equal(await blacklist.remove(blacklist.verbatim('sip:evil@example.org')), true)
      t.strictSame(await others.keys('*'), [])
    })

    t.test(
      'digits that read as a foreign number and as a national one are the entry that was made',
      async (t) => {
        const foreign = { number: '+376312345', normalForm: '376312345', reason: 'spam' }
        await blacklist.add([entryOf(blacklist, '+376312345')], addition)
        t.match(await blacklist.find(entryOf(blacklist, '376312345')), foreign)
        t.match(await pages(blacklist, 10), [[foreign]])
        t.equal(await blacklist.remove(entryOf(blacklist, '376312345')), true)
        t.strictSame(await others.keys('*'), [])

        const national = { number: '376312345', normalForm: '84376312345', reason: 'spam' }
        await blacklist.add([entryOf(blacklist, '376312345')], addition)
        t.equal(await isRefused('+376312345'), true, 'as the CDR shows the caller')
        t.match(await blacklist.find(entryOf(blacklist, '376312345')), national)
        t.match(await pages(blacklist, 10), [[national]])
        await blacklist.add([entryOf(blacklist, '+376312345')], addition)
        t.equal((await pages(blacklist, 10)).flat().length, 2)
        t.equal(await blacklist.remove(entryOf(blacklist, '376312345')), true)
        t.equal(await blacklist.remove(entryOf(blacklist, '84376312345')), true)
        t.strictSame(await others.keys('*'), [])
      },
    )

    t.test('adding again renews the entry under all of its names', async (t) => {
      await others.set('phone:blacklist:+84901234567', '1')
      await blacklist.add([entryOf(blacklist, '0084901234567')], { ...addition, ttlSeconds: 9000 })
      const again = await blacklist.add([entryOf(blacklist, '0901234567')], { ...addition, reason: null })
      t.equal(again.added, 0)
      for (const key of await others.keys('*'))
        t.ok((await others.ttl(key)) <= 60, `${key} expires with the rest`)
      t.match(await blacklist.find(entryOf(blacklist, '+84901234567')), {
        number: '0901234567',
        reason: null,
      })
      t.equal(await blacklist.remove(entryOf(blacklist, '84901234567')), true)
      t.strictSame(await others.keys('*'), [])
    })

    t.test('a list shows every entry once, page by page', async (t) => {
      const numbers = Array.from({ length: 250 }, (_, i) => `090${String(1234000 + i)}`)
      await blacklist.add(
        numbers.map((number) => entryOf(blacklist, number)),
        addition,
      )
      await others.mset(Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`other:${i}`, 'x'])))
      for (const limit of [7, 100, 500]) {
        const found = await pages(blacklist, limit)
        t.ok(
          found.every((items) => items.length <= limit),
          `no page is longer than ${limit}`,
        )
        t.strictSame(
          found
            .flat()
            .map(({ number }) => number)
            .sort(),
          numbers,
        )
      }
      t.equal(await blacklist.page({ cursor: 'x', limit: 1 }), undefined)
      t.equal(await blacklist.page({ cursor: Buffer.from('x:1').toString('base64url'), limit: 1 }), undefined)
    })

    t.test('VIPs are numbers in a set, with a note beside, for good', async (t) => {
      t.equal(vips.parse('090*'), undefined)
      t.equal(vips.parse('anonymous'), undefined)
      const { items, added } = await vips.add([entryOf(vips, '0901234567')], addition)
      t.equal(added, 1)
      t.match(items, [{ number: '0901234567', reason: 'spam', ttlSeconds: null, expiresAt: null }])
      t.strictSame((await others.smembers('phone:vip')).sort(), ['0901234567', '84901234567'])
      t.equal(await others.ttl('phone:vip'), -1)
      await others.sadd('phone:vip', '1000', '+84281234567')
      t.strictSame(
        (await pages(vips, 1))
          .flat()
          .map(({ number }) => number)
          .sort(),
        ['+84281234567', '0901234567', '1000'],
      )
      t.equal((await vips.add([entryOf(vips, '02812 34567')], addition)).added, 0)
      for (const number of ['84901234567', '0281234567', '1000']) {
        t.equal(await vips.remove(entryOf(vips, number)), true, number)
        t.equal(await vips.remove(entryOf(vips, number)), false)
      }
      t.strictSame(await others.keys('*'), [])
    })

    t.test('a VIP list too large for a page of Redis is walked all the same', async (t) => {
      const numbers = Array.from({ length: 800 }, (_, i) => String(12133730000 + i))
      await others.sadd('phone:vip', ...numbers)
      const found = await pages(vips, 300)
      t.strictSame(
        found
          .flat()
          .map(({ number }) => number)
          .sort(),
        numbers,
      )
    })

    t.test('another program that writes over our notes harms nothing else', async (t) => {
      await blacklist.add([entryOf(blacklist, '1000')], addition)
      for (const text of [
        '',
        'null',
        '{',
        '[]',
        '{"entered":5}',
        '{"normal":"1000","tags":5}',
        '{"normal":"1000","tags":[]}',
      ]) {
        await others.set('linger:blacklist:1000', text)
        t.match(await blacklist.find(entryOf(blacklist, '1000')), { number: '1000', reason: null }, text)
      }
      await others.del('linger:blacklist:1000')
      await others.sadd('linger:blacklist:1000', 'a set')
      t.match(await blacklist.find(entryOf(blacklist, '1000')), { number: '1000', reason: null })
      await others.set('phone:vip', 'not a set')
      await t.rejects(vips.find(entryOf(vips, '1000')), {
        code: 'redis_away',
        message: 'Redis refuses: WRONGTYPE',
      })
    })

    t.test('with Redis away each method says so at once', async (t) => {
      const line = await Line.to(t, url)
      const client = connectRedis(line.url(url), log)
      t.teardown(() => {
        client.disconnect()
      })
      await checkRedis(client)
      await line.cut()
      const list = new Blacklist(client, 'VN')
      const entry = entryOf(list, '1000')
      for (const asked of [
        () => list.add([entry], addition),
        () => list.find(entry),
        () => list.coveredBy(entry),
        () => list.remove(entry),
        () => list.page({ limit: 1 }),
        () => new VipList(client, 'VN').page({ limit: 1 }),
      ]) {
        const error = await asked().catch((error: unknown) => error)
        t.ok(error instanceof RedisAway)
        t.match(error, { code: 'redis_away', message: 'Redis is away' })
      }
    })
  })
}
