import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { decodeCallState, isHandedOn } from '../src/call/state.js'
import { saveFlows } from '../src/routes/flow-file.js'
import { Routes } from '../src/routes/registry.js'
import { testLinger, type TestLinger } from './support/linger.js'
import { temporaryFolder } from './support/services.js'
import type { Call, CallOptions } from './support/switch/call.js'
import { farEnds } from './support/switch/far-end.js'
import { SimulatedSwitch } from './support/switch/switch.js'
import { until } from './support/wire.js'

/** Calls that are handed on to a dialplan of the operator's own: looked at and given back, or transferred to it. */

const caller = '0987654321'

/** Own routes: one that dials before it gives the call back, and one that transfers it to what is no destination. */
async function routes(t: Test): Promise<string> {
  const dir = await temporaryFolder(t)
  const text = (name: string, body: string) =>
    `export default { name: '${name}', summary: 'For the test', async run(call) { ${body} } }`
  const tries = 'await call.dialGateway(call.gateways()[0]); '
  await writeFile(join(dir, 'tries.mjs'), text('tries', tries + 'await call.giveBack()'))
  const wrong = "await call.transfer({ destination: 'a b' }).catch(() => undefined); "
  await writeFile(join(dir, 'wrong.mjs'), text('wrong', wrong + "await call.ring([call.extension('1001')])"))
  return dir
}

async function linked(t: Test, settings: Readonly<Record<string, string>> = {}) {
  const sw = new SimulatedSwitch()
  t.teardown(() => {
    sw.destroy()
  })
  const { port } = await sw.listenInbound({ password: 'ClueCon' })
  const linger = await testLinger(t, {
    FREESWITCH: `esl://:ClueCon@127.0.0.1:${port}`,
    SECOND_SOURCE_SECONDS: '1',
    ROUTES_DIR: await routes(t),
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

/** With the settings as they are. */
const world = await linked(t)

t.test('checkphone tells the dialplan of a caller, and gives the call back', async (t) => {
  const { linger } = world
  await linger.http('POST', '/v1/blacklist', { number: caller })
  await linger.http('POST', '/v1/vip', { number: '0912000000' })
  const table: readonly [caller: string, blacklisted: string, vip: string][] = [
    [caller, 'true', 'false'],
    ['0912000000', 'false', 'true'],
    ['0912111111', 'false', 'false'],
  ]
  const calls = table.map(([number]) => call(world, 'checkphone', { caller: number }))
  for (const [i, [, blacklisted, vip]] of table.entries()) {
    const outcome = await calls[i]!.ended
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
      is_blacklisted: blacklisted === 'true',
      is_vip: vip === 'true',
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
  // Whoever calls for help is asked for nothing: neither refused nor looked up, and the dialplan's own way is taken.
  await world.linger.http('POST', '/v1/blacklist', { number: '1000' })
  const emergencies = ['checkphone', 'event'].map((path) => {
    const variables = { CUSTOMER_ID: '113', CALL_STATUS: 'queued' }
    return { path, ended: call(world, path, { caller: '1000', called: '113', variables }).ended }
  })
  for (const { path, ended } of emergencies) {
    const emergency = await ended
    t.equal(emergency.variable('given_back'), 'yes', path)
    t.same(emergency.legs, [], 'we dial nothing')
    if (path === 'checkphone') t.equal(emergency.variable('blacklisted'), 'false')
    t.match(await world.linger.cdr(emergency.uuid), {
      route: path,
      hangup_cause: 'USER_BUSY',
      refusal: null,
      is_blacklisted: false,
    })
  }
  const { rows } = await world.linger.pool.query("SELECT FROM cdrs WHERE called = '113'")
  t.equal(rows.length, 2)
  for (const path of ['reject', 'nowhere', 'checkphone/x']) {
    const dialled = await call(world, path, { caller: '1000', called: '113', farEnd: farEnds.answers(500) })
      .ended
    t.same(
      dialled.legs.map(({ number }) => number),
      ['113'],
      'any other route is replaced by the emergency service',
    )
  }
})

t.test('a call that was given back and comes back on another path is one call with one CDR', async (t) => {
  const { linger } = world
  const outcome = await call(world, 'checkphone', {
    caller: '1000',
    called: '0901234567',
    nextActions: [{ socket: [linger.esl] }],
    farEnd: farEnds.answers(60_000),
  }).ended
  const cdr = await linger.cdr(outcome.uuid)
  t.match(cdr, { route: 'dial', source: 'session', cost: '500.00', taken_over: false })
  await onlyCdr(t, linger, outcome.uuid)
  const again = await call(world, 'checkphone', {
    caller,
    called: '842873001234',
    nextActions: [{ socket: [{ ...linger.esl, path: 'checkphone' }] }, { application: 'answer' }],
  }).ended
  t.equal(again.connections.length, 2)
  t.match(await linger.cdr(again.uuid), { route: 'checkphone', taken_over: false })
})

t.test(
  'what a dialplan dials, of a call that we dialled in vain and gave back, costs nothing here',
  async (t) => {
    const { linger } = world
    const outcome = await call(world, 'tries', {
      caller: '1000',
      called: '0901234567',
      variables: { continue_on_fail: 'true' },
      nextActions: [{ application: 'bridge', argument: 'sofia/gateway/trunk/0901234567' }],
      farEnd: (dialled) => (dialled.includes('carrier1') ? farEnds.congested : farEnds.answers(60_000)),
    }).ended
    t.match(outcome.legs, [{ answeredAt: undefined }, { dialString: /trunk/ }])
    t.ok(outcome.legs[1]?.answeredAt)
    t.match(await linger.cdr(outcome.uuid), {
      source: 'link',
      route: 'tries',
      gateway: null,
      b_leg_uuid: null,
      billed_ms: 0,
      cost: '0.00',
      charges: [],
    })
    t.equal((await linger.cdr(outcome.uuid)).charges.length, 0)
    const again = await call(world, 'tries', {
      caller: '1000',
      called: '0901234567',
      nextActions: [{ socket: [{ ...linger.esl, path: 'tries' }] }, { application: 'answer' }],
      farEnd: farEnds.congested,
    }).ended
    t.equal(again.legs.length, 2, 'a route to which a call comes back begins anew: nobody has died')
  },
)

/** Calls to numbers that their tenant's plan transfers: to whichever context, at real speed. */
t.test('a call that is transferred is served or left alone, and is one call with one CDR', async (t) => {
  // The final event is waited for from the hangup on, however long the call lasts.
  const world = await linked(t, { FINAL_EVENT_SECONDS: '1' })
  const { sw, linger } = world
  const numbers = ['842873001230', '842873001231', '842873001232', '842873001233', '842873001234']
  const [plain = '', back = '', same = '', round = '', played = ''] = numbers
  for (const number of numbers)
    await linger.pool.query("INSERT INTO numbers (number, tenant_id) VALUES ($1, 'demo')", [number])
  const transferred = (number: string, destination: string, context: string) => ({
    ...{ direction: 'inbound', kind: 'exact', number },
    step: { route: 'transfer', arguments: { destination, context } },
  })
  await saveFlows(linger.pool, new Routes(), 'demo', {
    numbers: [
      transferred(plain, '5000', 'plain'),
      transferred(back, played, 'ours'),
      transferred(same, same, 'plain'),
      transferred(round, round, 'ours'),
      {
        ...{ direction: 'inbound', kind: 'exact', number: played },
        step: {
          route: 'play',
          arguments: {
            sounds: ['b.wav', 'c.wav'],
            then: { route: 'ring', arguments: { extensions: ['1001'] } },
          },
        },
      },
    ],
  })
  await linger.server.reload()
  const dial = (called: string) =>
    sw.call({
      to: [linger.esl],
      ...{ caller, called },
      speed: 1,
      promptMs: 1_300,
      farEnd: farEnds.answers(500),
      transferDialplan: ({ context }) =>
        context === 'ours' ? [{ socket: [linger.esl] }] : [{ application: 'playback', argument: 'a.wav' }],
    })
  const [toPlain, toUs, toSame, inCircles] = [dial(plain), dial(back), dial(same), dial(round)]

  for (const left of [toPlain, toSame]) {
    const outcome = await left.ended
    t.same(outcome.heard, ['a.wav'])
    t.equal(outcome.cause, 'NORMAL_CLEARING')
    t.equal(outcome.connections.length, 1)
    const cdr = await linger.cdr(outcome.uuid)
    t.match(cdr, { source: 'session', route: 'transfer', taken_over: false, refusal: null, cost: '0.00' })
    t.ok((cdr.duration_ms as number) >= 1_300, 'to its end')
    await onlyCdr(t, linger, outcome.uuid)
  }

  const served = await toUs.ended
  t.equal(served.connections.length, 2)
  t.same(served.heard, ['b.wav', 'c.wav'], 'nobody takes it away from its new session')
  t.match(served.legs, [{ number: '1001', cause: 'NORMAL_CLEARING' }])
  t.match(await linger.cdr(served.uuid), {
    source: 'session',
    route: 'play',
    direction: 'inbound',
    called: back,
    b_leg_uuid: served.legs[0]?.uuid,
    taken_over: false,
  })
  await onlyCdr(t, linger, served.uuid)

  const { uuid, cause, connections } = await inCircles.ended
  t.equal(cause, 'EXCHANGE_ROUTING_ERROR')
  t.equal(connections.length, 11, 'ten transfers')
  t.match(await linger.cdr(uuid), {
    source: 'session',
    refusal: 'it was transferred more than 10 times',
    taken_over: false,
  })
  await onlyCdr(t, linger, uuid)

  const wrong = await call(world, 'wrong', { caller: '1000', farEnd: farEnds.answers(500) }).ended
  t.match(wrong.legs, [{ number: '1001', cause: 'NORMAL_CLEARING' }])
  const state = decodeCallState(wrong.variable('linger_call'))
  t.equal(state && isHandedOn(state), false, 'what is not transferred is still its route’s')
  t.notOk(linger.logged.some(({ msg }) => msg.includes('without the final event')))
})

t.test('event publishes what the channel says, and gives the call back', async (t) => {
  const { linger } = world
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
  await until(async () => (await redis.exists('stats:calls:11223344:queued')) === 1)
  t.same(await redis.smembers('stats:calls:11223344:queued'), ['call-1'])
  await until(async () => (await redis.ttl('stats:calls:11223344:queued')) > 0)
  t.ok((await redis.ttl('stats:calls:11223344:queued')) > 86_000)
})

async function onlyCdr(t: Test, { server, pool }: TestLinger, uuid: string): Promise<void> {
  await server.delivered()
  const { rows } = await pool.query('SELECT FROM cdrs WHERE call_uuid = $1', [uuid])
  t.equal(rows.length, 1)
}
