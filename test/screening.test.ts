import fc from 'fast-check'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { normalNumber } from '../src/numbering/normal-form.js'
import { checkRedis, connectRedis } from '../src/screening/redis.js'
import { Screening, type Caller, type ScreeningOptions } from '../src/screening/screen.js'
import { logLines } from './support/log-lines.js'
import { Line } from './support/outage.js'
import { testRedis } from './support/services.js'
import { WatchedLine } from './support/watched-line.js'

const { url } = await testRedis(t)
/** What other programs do with the lists. */
const others = new Redis(url)
t.teardown(() => {
  others.disconnect()
})
t.beforeEach(() => others.flushdb())

/** Where Redis is not meant to be slow, a busy machine must not make it so. */
const patient = { timeoutMs: 10_000 }

/** A client as the server makes it, and the screening on it. */
async function screeningOver(t: Test, via = url, options: Partial<ScreeningOptions> = patient) {
  const { log, lines, warnings } = logLines()
  const redis = connectRedis(via, log)
  t.teardown(() => {
    redis.disconnect()
  })
  await checkRedis(redis)
  const screening = new Screening({ redis, log, ...options })
  return { redis, screening, lines, warnings }
}

/** Unlike events.once, does not mind the errors that come before. */
function heard(redis: Redis, event: 'ready' | 'close'): Promise<void> {
  return new Promise((resolve) => {
    redis.once(event, resolve)
  })
}

function caller(raw: string, isAnonymous = false): Caller {
  return { raw, normal: normalNumber(raw, 'VN'), isAnonymous }
}

const passes = { isBlacklisted: false, isVip: false, isDegraded: false }
const refused = { ...passes, isBlacklisted: true }
const unscreened = { ...passes, isDegraded: true }
const warning = 'screening is out: callers pass unscreened until Redis answers'

t.test('a caller is blacklisted by each of the names that may stand for the number', async (t) => {
  const { screening } = await screeningOver(t)
  const cases: [entry: string, caller: Caller, isBlacklisted: boolean][] = [
    ['0901234567', caller('0901234567'), true],
    ['84901234567', caller('0901234567'), true],
    ['84901234567', caller('+84901234567'), true],
    ['+84901234567', caller('+84901234567'), true],
    ['84901234567', caller('0901234568'), false],
    ['0901234567', caller('84901234567'), false],
    ['1000', caller('1000'), true],
    ['sipvicious', caller('sipvicious'), true],
    ['prefix:8490', caller('0901234567'), true],
    ['prefix:090', caller('0901234567'), true],
    ['prefix:8490', caller('+84901234567'), true],
    ['prefix:84901234567', caller('0901234567'), true],
    ['prefix:849012345678', caller('0901234567'), false],
    ['prefix:8491', caller('0901234567'), false],
    ['prefix:10', caller('1000'), true],
    ['anonymous', caller('anonymous'), true],
    ['anonymous', caller('0901234567', true), true],
    ['anonymous', caller(''), true],
    ['anonymous', caller('0901234567'), false],
    ['84901234567', caller('0901234567', true), true],
  ]
  for (const [entry, who, isBlacklisted] of cases) {
    await others.flushdb()
    await others.set(`phone:blacklist:${entry}`, '1', 'EX', 60)
    t.strictSame(
      await screening.screen(who),
      { ...passes, isBlacklisted },
      `${entry} and ${JSON.stringify(who)}`,
    )
  }
  t.equal(screening.failures, 0)
})

t.test('whatever a number is, each of its prefixes keeps it out, and no other prefix does', async (t) => {
  const { screening } = await screeningOver(t)
  const digits = fc.stringMatching(/^[0-9]{7,15}$/)
  await fc.assert(
    fc.asyncProperty(digits, fc.nat(), fc.boolean(), async (number, at, isInternational) => {
      await others.flushdb()
      const prefix = number.slice(0, 1 + (at % number.length))
      const who = caller(isInternational ? `+${number}` : number)
      await others.set(`phone:blacklist:prefix:${prefix}`, '1', 'EX', 60)
      const { isBlacklisted } = await screening.screen(who)
      await others.rename(`phone:blacklist:prefix:${prefix}`, `phone:blacklist:prefix:${prefix}x`)
      const { isBlacklisted: isAfterwards } = await screening.screen(who)
      return isBlacklisted && !isAfterwards
    }),
    { numRuns: 50 },
  )
})

t.test('a VIP is one by the number as it came or in normal form', async (t) => {
  const { screening } = await screeningOver(t)
  const vip = { ...passes, isVip: true }
  t.strictSame(await screening.screen(caller('0901234567')), passes)
  await others.sadd('phone:vip', '84901234567', '0281234567', '1000')
  t.strictSame(await screening.screen(caller('0901234567')), vip)
  t.strictSame(await screening.screen(caller('84901234567')), vip)
  t.strictSame(await screening.screen(caller('0281234567')), vip)
  t.strictSame(await screening.screen(caller('+84281234567')), passes)
  t.strictSame(await screening.screen(caller('1000')), vip)
  await others.set('phone:blacklist:1000', '1')
  t.strictSame(await screening.screen(caller('1000')), { ...vip, isBlacklisted: true }, 'the call decides')
})

t.test("what stands in a caller's number is a name and nothing else", async (t) => {
  const { screening } = await screeningOver(t)
  await others.set('keep', 'me')
  for (const raw of [
    '\r\nFLUSHDB\r\n',
    '*1\r\n$7\r\nFLUSHDB\r\n',
    '\0',
    '*',
    'ấ\ud800',
    '"',
    'x'.repeat(5000),
  ]) {
    t.strictSame(await screening.screen(caller(raw)), passes)
  }
  t.equal(await others.get('keep'), 'me')
})

t.test('a call costs one round trip: one packet with all the questions', async (t) => {
  const line = await WatchedLine.to(t, url)
  const { screening } = await screeningOver(t, line.url(url))
  line.requests = []
  await screening.screen(caller('0901234567'))
  t.equal(line.requests.length, 1)
  t.strictSame(line.requests[0]?.match(/exists|sismember/gi), ['exists', 'sismember', 'sismember'])

  line.requests = []
  await Promise.all(['0901234567', '0901234568', '1000'].map((raw) => screening.screen(caller(raw))))
  t.equal(line.requests.length, 1, 'and calls of the same moment share it')
})

t.test('Redis killed: callers pass at once, one warning, and it works again when it is back', async (t) => {
  const line = await Line.to(t, url)
  let now = 0
  const { redis, screening, lines, warnings } = await screeningOver(t, line.url(url), {
    ...patient,
    now: () => now,
  })
  await others.set('phone:blacklist:0901234567', '1')
  t.strictSame(await screening.screen(caller('0901234567')), refused)

  const closed = heard(redis, 'close')
  const asked = screening.screen(caller('0901234567'))
  await line.cut()
  await closed
  await asked
  const failedBefore = screening.failures
  for (let i = 0; i < 10; i++) t.strictSame(await screening.screen(caller('0901234567')), unscreened)
  t.equal(screening.failures, failedBefore + 10)
  t.strictSame(warnings(), ['Redis is away, trying again for ever', warning])

  const ready = heard(redis, 'ready')
  await line.mend()
  await ready
  now += 1000
  t.strictSame(await screening.screen(caller('0901234567')), refused)
  const last = lines.at(-1)
  t.equal(last?.msg, 'screening works again')
  t.equal(last?.unscreened, screening.failures)
  t.equal(warnings().length, 2)
})

t.test('Redis slower than 200 ms: the caller passes, and later answers are heard again', async (t) => {
  const line = await WatchedLine.to(t, url)
  let now = 0
  const { redis, screening, warnings } = await screeningOver(t, line.url(url), { now: () => now })
  await others.set('phone:blacklist:0901234567', '1')

  line.hold()
  const start = performance.now()
  t.strictSame(await screening.screen(caller('0901234567')), unscreened)
  const tookMs = performance.now() - start
  t.ok(tookMs >= 195 && tookMs < 2000, `after ${tookMs} ms`)
  line.requests = []
  for (let i = 0; i < 5; i++) t.strictSame(await screening.screen(caller('0901234567')), unscreened)
  t.strictSame(line.requests, [], 'while Redis stands still nothing more is asked, so nothing piles up')
  t.equal(screening.failures, 6)
  t.strictSame(warnings(), [warning])

  line.release()
  await redis.ping()
  t.strictSame(await screening.screen(caller('0901234567')), refused)

  line.hold()
  t.strictSame(await screening.screen(caller('0901234567')), unscreened)
  line.release()
  await redis.ping()
  t.equal(warnings().length, 1, 'an answer between two late ones does not end the outage')
  now += 1000
  t.strictSame(await screening.screen(caller('0901234567')), refused)
  line.hold()
  t.strictSame(await screening.screen(caller('0901234567')), unscreened)
  t.equal(warnings().length, 2, 'the next outage is told')
})

t.test('a connection on which nothing comes back is given up for a new one', async (t) => {
  const line = await WatchedLine.to(t, url)
  // It gives up before the connection is given up, and afterwards a busy machine has as long to answer.
  const { redis, screening } = await screeningOver(t, line.url(url), { timeoutMs: 2_000 })
  line.hold()
  const closed = heard(redis, 'close')
  t.strictSame(await screening.screen(caller('1000')), unscreened)
  await closed
  const ready = heard(redis, 'ready')
  line.release()
  await ready
  t.strictSame(await screening.screen(caller('1000')), passes)
})

t.test('a process that was busy itself does not blame Redis', async (t) => {
  const line = await WatchedLine.to(t, url)
  const { screening } = await screeningOver(t, line.url(url), {})
  line.onAnswered = () => {
    line.onAnswered = undefined
    const end = performance.now() + 300
    while (performance.now() < end);
  }
  t.strictSame(await screening.screen(caller('1000')), passes)
  t.equal(screening.failures, 0)
})

t.test('where it is set so, callers are refused while Redis is away', async (t) => {
  const line = await Line.to(t, url)
  const { redis, screening, warnings } = await screeningOver(t, line.url(url), {
    ...patient,
    failOpen: false,
  })
  const closed = heard(redis, 'close')
  await line.cut()
  await closed
  t.strictSame(await screening.screen(caller('1000')), { ...unscreened, isBlacklisted: true })
  t.match(warnings(), [/away/, /callers are refused until Redis answers/])
})

t.test('a broken VIP set does not open the blacklist', async (t) => {
  const { screening, lines } = await screeningOver(t)
  await others.set('phone:vip', 'not a set')
  await others.set('phone:blacklist:1000', '1')
  t.strictSame(await screening.screen(caller('1000')), { ...refused, isDegraded: true })
  t.strictSame(await screening.screen(caller('1001')), unscreened)
  t.match(lines.at(-1)?.reason, /WRONGTYPE/)
})

t.test('the log never holds the password, whatever Redis says', async (t) => {
  const { log, lines } = logLines()
  const wrong = new URL(url)
  wrong.username = 'nobody'
  wrong.password = 'geheim-123'
  const redis = connectRedis(wrong.href, log)
  t.teardown(() => {
    redis.disconnect()
  })
  const closed = heard(redis, 'close')
  await t.rejects(checkRedis(redis), { message: /^Redis at 127\.0\.0\.1:\d+: WRONGPASS/ })
  await closed
  t.match(lines[0], { msg: 'Redis is away, trying again for ever', reason: /WRONGPASS/ })
  t.notMatch(JSON.stringify(lines), /geheim-123/)
})

t.test('the check of Redis names it and says what is wrong', async (t) => {
  const line = await WatchedLine.to(t, url)
  const { redis } = await screeningOver(t, line.url(url))
  line.hold()
  await t.rejects(checkRedis(redis, 30), { message: /^Redis at 127\.0\.0\.1:\d+: no answer within 30 ms$/ })

  const dead = await Line.to(t, url)
  const deadUrl = dead.url(url)
  await dead.cut()
  const { log } = logLines()
  const client = connectRedis(deadUrl, log)
  t.teardown(() => {
    client.disconnect()
  })
  await t.rejects(checkRedis(client), { message: /^Redis at 127\.0\.0\.1:\d+: connect ECONNREFUSED/ })
  await t.rejects(checkRedis(client), { message: /connect ECONNREFUSED/ }, 'and at once the next time')
})
