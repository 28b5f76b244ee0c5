import t from 'tap'
import { testLinger, type TestLinger } from './support/linger.js'
import { Line } from './support/outage.js'
import { farEnds } from './support/switch/far-end.js'
import { SimulatedSwitch } from './support/switch/switch.js'
import type { Call, CallOptions } from './support/switch/call.js'

/** Calls when something else fails: each story with a server of its own. */

const sw = new SimulatedSwitch()
t.teardown(() => {
  sw.destroy()
})

function dial(linger: TestLinger, options: Partial<CallOptions> = {}): Call {
  return sw.call({ to: [linger.esl], caller: '1000', called: '0901234567', ...options })
}

async function cdrs(linger: TestLinger): Promise<Record<string, unknown>[]> {
  const { body } = await linger.http('GET', '/v1/cdrs?limit=100')
  return (body as { items: Record<string, unknown>[] }).items
}

t.test(
  'over MAX_CALLS a new call hears SIP 503 and has its CDR; one that was ours, and an emergency, are served',
  async (t) => {
    const linger = await testLinger(t, { MAX_CALLS: '1' })
    const talking = dial(linger, { farEnd: farEnds.answers(), speed: 1 })
    await talking.until('CHANNEL_BRIDGE')
    const refused = await dial(linger).ended
    t.equal(refused.cause, 'NORMAL_TEMPORARY_FAILURE')
    t.ok(refused.connections[0]?.wasConnected)
    t.match(refused.connections[0]?.received, /execute-app-name: respond\nexecute-app-arg: 503 /)
    const ours = await dial(linger, {
      variables: { linger_call: 'eyJ2IjoxfQ' },
      farEnd: farEnds.answers(1_000),
    }).ended
    t.equal(ours.legs.length, 1)
    const emergency = await dial(linger, { called: '115', farEnd: farEnds.answers(1_000) }).ended
    t.equal(emergency.legs.length, 1)
    talking.hangup()
    await talking.ended
    const all = await cdrs(linger)
    t.equal(all.length, 4)
    t.match(
      all.find((cdr) => cdr.call_uuid === refused.uuid),
      { tenant: 'demo', refusal: /MAX_CALLS/, cost: '0.00' },
    )
    t.same(linger.logged, [])
  },
)

t.test('a gateway that fails is followed by the next; a callee who is busy is not', async (t) => {
  const linger = await testLinger(t)
  await linger.pool.query(
    "INSERT INTO gateways (tenant_id, name, prefix, prefix_entered, priority) VALUES ('demo', 'carrier2', '', '', 200)",
  )
  const choice = (first: object) => (dialString: string) =>
    dialString.includes('carrier1') ? first : farEnds.answers(60_000)
  // The change is in force within 2 s.
  for (;;) {
    const { legs } = await dial(linger, { farEnd: choice(farEnds.congested) }).ended
    if (legs.length === 2) break
  }
  const [newest] = await cdrs(linger)
  t.match(newest, {
    gateway: 'carrier2',
    cost: '500.00',
    hangup_cause: 'NORMAL_CLEARING',
    charges: [{ gateway: 'carrier2' }],
  })
  for (const [name, farEnd, cause] of [
    ['busy', farEnds.busy, 'USER_BUSY'],
    ['rejected', farEnds.rejects, 'CALL_REJECTED'],
    ['no answer', farEnds.noAnswer, 'NO_ANSWER'],
  ] as const) {
    const outcome = await dial(linger, { farEnd: choice(farEnd) }).ended
    t.equal(outcome.cause, cause, name)
    t.equal(outcome.legs.length, 1, `${name}: the second gateway is left alone`)
  }
  const dead = await dial(linger, { farEnd: choice(farEnds.unreachable) }).ended
  t.equal(dead.legs.length, 2, 'nobody listens there: the next one')
})

t.test('Redis dies: calls go through unscreened, one warning says so, and it heals by itself', async (t) => {
  const front = await testLinger(t)
  const line = await Line.to(t, front.redisUrl)
  const linger = await testLinger(t, {}, { redisUrl: line.url(front.redisUrl) })
  await linger.http('POST', '/v1/blacklist', { number: '1000' })
  t.equal((await dial(linger).ended).cause, 'CALL_REJECTED')
  await line.cut()
  for (let call = 0; call < 5; call++) {
    t.equal((await dial(linger, { farEnd: farEnds.answers(1_000) }).ended).cause, 'NORMAL_CLEARING')
  }
  t.equal(linger.logged.filter(({ msg }) => /screen/i.test(msg)).length, 1, JSON.stringify(linger.logged))
  t.match(await linger.http('GET', '/ready'), { status: 503 })
  await line.mend()
  while ((await dial(linger, { farEnd: farEnds.answers(1_000) }).ended).cause !== 'CALL_REJECTED');
  t.match(await linger.http('GET', '/ready'), { status: 200 })
})

t.test('PostgreSQL is away when calls end: their records are committed when it is back', async (t) => {
  const front = await testLinger(t)
  const line = await Line.to(t, front.databaseUrl)
  const linger = await testLinger(t, { MAX_CALLS: '50' }, { databaseUrl: line.url(front.databaseUrl) })
  await line.cut()
  const calls = Array.from({ length: 20 }, () => dial(linger, { farEnd: farEnds.answers(60_000) }))
  await Promise.all(calls.map((call) => call.hungUp))
  t.match(await linger.http('GET', '/health'), { status: 200 })
  t.match(await linger.http('GET', '/ready'), { status: 503 })
  await line.mend()
  while ((await cdrs(front)).length < 20);
  const { body } = await front.http('GET', '/v1/tenants/demo/balance')
  t.match(body, { balance: '990000.00' })
  await Promise.all(calls.map((call) => call.ended))
})

t.test(
  'a final event that does not come in time: the call is billed to the last sign of life and marked',
  async (t) => {
    const linger = await testLinger(t, { FINAL_EVENT_SECONDS: '1', LINGER_SECONDS: '2' })
    const { uuid } = await dial(linger, {
      farEnd: farEnds.answers(2_540),
      finalEventDelayMs: 60_000,
      // Not instant: such a clock jumps to the delayed event while the server is still waiting for it.
      speed: 10,
    }).ended
    const [cdr] = await cdrs(linger)
    t.match(cdr, { call_uuid: uuid, source: 'incomplete', billed_ms: 2_540, cost: '21.17' })
    t.match(linger.logged, [{ call: uuid, msg: /final event/ }])
  },
)

t.test(
  'a drain waits for calls, then gives the rest to the next action of their dialplan, unbilled here',
  async (t) => {
    const linger = await testLinger(t)
    const other = await testLinger(t)
    const options = { to: [linger.esl], nextActions: [{ socket: [other.esl] }], speed: 1 }
    const staying = dial(linger, { ...options, called: '1001', farEnd: farEnds.noAnswer })
    const ending = dial(linger, { ...options, farEnd: farEnds.answers() })
    await Promise.all([staying.until('CHANNEL_PROGRESS'), ending.until('CHANNEL_BRIDGE')])
    const closed = linger.server.close({ deadlineMs: 500 })
    ending.hangup()
    t.equal((await ending.ended).cause, 'NORMAL_CLEARING')
    await closed
    staying.hangup()
    await staying.ended
    t.same(
      (await cdrs(other)).filter(({ call_uuid }) => call_uuid === ending.uuid),
      [],
    )
    const { rows } = await linger.pool.query<{ call_uuid: string }>('SELECT call_uuid FROM cdrs')
    t.same(rows, [{ call_uuid: ending.uuid }])
  },
)

t.test('a server that listens no more: the dialplan falls through to the next host at once', async (t) => {
  const linger = await testLinger(t)
  const gone = await testLinger(t)
  await gone.server.close({ deadlineMs: 0 })
  const { legs } = await dial(linger, { to: [gone.esl, linger.esl], farEnd: farEnds.answers(1_000) }).ended
  t.equal(legs.length, 1)
  t.equal((await cdrs(linger)).length, 1)
})
