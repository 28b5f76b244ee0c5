import { pino } from 'pino'
import t from 'tap'
import { formatMoney, parseMoney } from '../src/billing/money.js'
import { Journal, journalFolder } from '../src/journal/journal.js'
import { testLinger, type TestLinger } from './support/linger.js'
import { Line } from './support/outage.js'
import { temporaryFolder } from './support/services.js'
import { farEnds } from './support/switch/far-end.js'
import { SimulatedSwitch } from './support/switch/switch.js'
import type { Call, CallOptions } from './support/switch/call.js'

/** Calls when something else fails: each story with a server of its own. */

// They wait for time-outs more than they work.
t.jobs = 3

const sw = new SimulatedSwitch()
t.teardown(() => {
  sw.destroy()
})

function dial(linger: TestLinger, options: Partial<CallOptions> = {}): Call {
  return sw.call({ to: [linger.esl], caller: '1000', called: '0901234567', ...options })
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
    const all = await linger.cdrs(4)
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
  let found = await dial(linger, { farEnd: choice(farEnds.congested) }).ended
  while (found.legs.length < 2) found = await dial(linger, { farEnd: choice(farEnds.congested) }).ended
  t.match(await linger.cdr(found.uuid), {
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

t.test(
  'PostgreSQL goes while calls talk: they end as ever, and their records are committed when it is back',
  async (t) => {
    const front = await testLinger(t)
    const line = await Line.to(t, front.databaseUrl)
    const linger = await testLinger(t, { MAX_CALLS: '50' }, { databaseUrl: line.url(front.databaseUrl) })
    const calls = Array.from({ length: 20 }, () => dial(linger, { farEnd: farEnds.answers(), speed: 1 }))
    await Promise.all(calls.map((call) => call.until('CHANNEL_BRIDGE')))
    await line.cut()
    for (const call of calls) call.hangup()
    const outcomes = await Promise.all(calls.map((call) => call.ended))
    t.ok(
      outcomes.every(({ connections: [socket] }) => socket?.received.includes('exit\n')),
      'they are let go at once: their records are on the disk',
    )
    t.match(await linger.http('GET', '/health'), { status: 200 })
    t.match(await linger.http('GET', '/ready'), { status: 503 })
    await line.mend()
    await linger.server.delivered()
    const all = await front.cdrs(20)
    t.equal(all.length, 20)
    const cost = all.reduce((sum, cdr) => sum + parseMoney(String(cdr.cost)), 0n)
    t.match((await front.http('GET', '/v1/tenants/demo/balance')).body, {
      balance: formatMoney(parseMoney('1000000') - cost),
      reserved: '0.00',
    })
  },
)

t.test('a server that ends while PostgreSQL is away: the next one on its journal delivers', async (t) => {
  const front = await testLinger(t)
  const line = await Line.to(t, front.databaseUrl)
  const dataDir = await temporaryFolder(t)
  const through = { databaseUrl: line.url(front.databaseUrl), dataDir }
  const linger = await testLinger(t, {}, through)
  const call = dial(linger, { farEnd: farEnds.answers(), speed: 1 })
  await call.until('CHANNEL_BRIDGE')
  await line.cut()
  call.hangup()
  await call.ended
  t.match(await linger.http('GET', '/ready'), { status: 503 })
  await linger.server.close({ deadlineMs: 0 })
  t.match(
    linger.logged.find(({ msg }) => msg.includes('wait in the journal')),
    { records: 1 },
  )
  await line.mend()
  const next = await testLinger(t, {}, through)
  await next.server.delivered()
  t.match(await front.cdrs(1), [{ call_uuid: call.uuid, source: 'session' }])
})

t.test(
  'a final event that does not come in time: the call is billed to the last sign of life and marked',
  async (t) => {
    const linger = await testLinger(t, {
      FINAL_EVENT_SECONDS: '1',
      LINGER_SECONDS: '2',
      SECOND_SOURCE_SECONDS: '1',
    })
    const { uuid } = await dial(linger, {
      farEnd: farEnds.answers(2_540),
      finalEventDelayMs: 60_000,
      // Not instant: such a clock jumps to the delayed event while the server is still waiting for it.
      speed: 10,
    }).ended
    t.match(await linger.cdr(uuid), { source: 'incomplete', billed_ms: 2_540, cost: '21.17' })
    t.match(linger.logged, [{ call: uuid, msg: /without the final event/ }])
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
    const { rows } = await linger.pool.query<{ call_uuid: string }>('SELECT call_uuid FROM cdrs')
    t.same(rows, [{ call_uuid: ending.uuid }])
    const journal = await Journal.open({ dir: journalFolder(linger.dataDir), log: pino({ level: 'silent' }) })
    t.match(journal.openCalls(), [{ uuid: staying.uuid }], 'nobody has the other one yet: it is known here')
    await journal.close()
  },
)

t.test('a server that listens no more: the dialplan falls through to the next host at once', async (t) => {
  const linger = await testLinger(t)
  const gone = await testLinger(t)
  await gone.server.close({ deadlineMs: 0 })
  const { legs } = await dial(linger, { to: [gone.esl, linger.esl], farEnd: farEnds.answers(1_000) }).ended
  t.equal(legs.length, 1)
  t.equal((await linger.cdrs(1)).length, 1)
})
