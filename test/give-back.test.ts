import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { testLinger, type TestLinger } from './support/linger.js'
import type { Call, CallOptions } from './support/switch/call.js'
import { farEnds } from './support/switch/far-end.js'
import { SimulatedSwitch } from './support/switch/switch.js'

/** Routes for dialplans of the operator's own: they look at the call and give it back. */

const caller = '0987654321'

async function linked(t: Test, settings: Readonly<Record<string, string>> = {}) {
  const sw = new SimulatedSwitch()
  t.teardown(() => {
    sw.destroy()
  })
  const { port } = await sw.listenInbound({ password: 'ClueCon' })
  const linger = await testLinger(t, {
    FREESWITCH: `esl://:ClueCon@127.0.0.1:${port}`,
    SECOND_SOURCE_SECONDS: '1',
    ...settings,
  })
  return { sw, linger }
}

/** `socket …/PATH`, then what the dialplan makes of it. */
function call(
  { sw, linger }: { sw: SimulatedSwitch; linger: TestLinger },
  path: string,
  options: Partial<CallOptions> = {},
): Call {
  return sw.call({
    to: [{ ...linger.esl, path }],
    caller,
    called: '1000',
    nextActions: [
      { application: 'set', argument: 'given_back=yes' },
      { application: 'hangup', argument: 'USER_BUSY' },
    ],
    ...options,
  })
}

t.test('checkphone tells the dialplan of a caller, and gives the call back', async (t) => {
  const world = await linked(t)
  const { linger } = world
  await linger.http('POST', '/v1/blacklist', { number: caller })
  await linger.http('POST', '/v1/vip', { number: '0912000000' })
  const table: readonly [caller: string, blacklisted: string, vip: string][] = [
    [caller, 'true', 'false'],
    ['0912000000', 'false', 'true'],
    ['0912111111', 'false', 'false'],
  ]
  for (const [number, blacklisted, vip] of table) {
    const outcome = await call(world, 'checkphone', { caller: number }).ended
    t.equal(outcome.variable('blacklisted'), blacklisted)
    t.equal(outcome.variable('vip'), vip)
    t.equal(outcome.variable('given_back'), 'yes', "the dialplan's next action runs")
    t.equal(outcome.variable('socket_path'), undefined, 'the next socket action is no checkphone')
    t.match(await linger.cdr(outcome.uuid), {
      route: 'checkphone',
      hangup_cause: 'USER_BUSY',
      source: 'link',
      cost: '0.00',
      taken_over: false,
    })
  }
})

t.test('checkphone refuses a blacklisted caller by setting', async (t) => {
  const world = await linked(t, { CHECKPHONE_REFUSES: 'true' })
  await world.linger.http('POST', '/v1/blacklist', { number: caller })
  const outcome = await call(world, 'checkphone').ended
  t.equal(outcome.cause, 'CALL_REJECTED')
  t.equal(outcome.variable('given_back'), undefined)
  t.match(await world.linger.cdr(outcome.uuid), {
    refusal: 'the caller is blacklisted',
    is_blacklisted: true,
  })
})

t.test('a call that was given back and comes back on another path is one call with one CDR', async (t) => {
  const world = await linked(t)
  const { linger } = world
  const outcome = await call(world, 'checkphone', {
    caller: '1000',
    called: '0901234567',
    nextActions: [{ socket: [linger.esl] }],
    farEnd: farEnds.answers(60_000),
  }).ended
  const cdr = await linger.cdr(outcome.uuid)
  t.match(cdr, { route: 'dial', source: 'session', cost: '500.00', taken_over: false })
  const { rows } = await linger.pool.query('SELECT FROM cdrs WHERE call_uuid = $1', [outcome.uuid])
  t.equal(rows.length, 1)
})

t.test('event publishes what the channel says, and gives the call back', async (t) => {
  const world = await linked(t)
  const { linger, sw } = world
  const variables = {
    CALL_ID: 'call-1',
    CUSTOMER_ID: '11223344',
    DIRECTION: 'inbound',
    CALL_STATUS: 'queued',
    QUEUE_NAME: 'support',
    PHONE_DIAL: caller,
  }
  const outcome = await call(world, 'event', { variables }).ended
  t.equal(outcome.variable('given_back'), 'yes')
  const [connection] = outcome.connections
  t.notMatch(
    connection?.commands.map(({ line }) => line).join('\n'),
    'uuid_getvar',
    'what is not set has come with the call, too',
  )
  t.match(await linger.cdr(outcome.uuid), { route: 'event', source: 'link' })
  const redis = new Redis(linger.redisUrl)
  t.teardown(() => redis.quit())
  await linger.server.close({ deadlineMs: 0 })
  t.same(await redis.smembers('stats:calls:11223344:queued'), ['call-1'])
  t.ok((await redis.ttl('stats:calls:11223344:queued')) > 86_000)
  sw.destroy()
})
