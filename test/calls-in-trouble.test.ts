import { pino } from 'pino'
import t from 'tap'
import { formatMoney, parseMoney } from '../src/billing/money.js'
import { Journal, journalFolder } from '../src/journal/journal.js'
import { testLinger, type TestLinger } from './support/linger.js'
import { Line } from './support/outage.js'
import { testDatabase, testRedis } from './support/services.js'
import { farEnds } from './support/switch/far-end.js'
import { SimulatedSwitch } from './support/switch/switch.js'
import type { Call, CallOptions } from './support/switch/call.js'
import { until } from './support/wire.js'

/** Calls when something else fails. */

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

t.test('the services of a server go away, and come back', async (t) => {
  const [database, redis] = await Promise.all([testDatabase(t), testRedis(t)])
  const [toPostgres, toRedis] = await Promise.all([Line.to(t, database.url), Line.to(t, redis.url)])
  const services = {
    databaseUrl: toPostgres.url(database.url),
    pool: database.pool,
    redisUrl: toRedis.url(redis.url),
  }
  const linger = await testLinger(t, { MAX_CALLS: '50' }, services)

  await t.test(
    'Redis dies: calls go through unscreened, one warning says so, and it heals by itself',
    async (t) => {
      await linger.http('POST', '/v1/blacklist', { number: '1000' })
      t.equal((await dial(linger).ended).cause, 'CALL_REJECTED')
      await toRedis.cut()
      for (let call = 0; call < 5; call++) {
        t.equal((await dial(linger, { farEnd: farEnds.answers(1_000) }).ended).cause, 'NORMAL_CLEARING')
      }
      t.equal(linger.logged.filter(({ msg }) => /screen/i.test(msg)).length, 1, JSON.stringify(linger.logged))
      t.match(await linger.http('GET', '/ready'), { status: 503 })
      await toRedis.mend()
      await until(async () => {
        const { cause } = await dial(linger, { farEnd: farEnds.answers(1_000) }).ended
        return cause === 'CALL_REJECTED'
      })
      t.match(await linger.http('GET', '/ready'), { status: 200 })
      await linger.http('DELETE', '/v1/blacklist/1000')
    },
  )

  await t.test(
    'PostgreSQL goes while calls talk: they end as ever, and their records are committed when it is back',
    async (t) => {
      await linger.server.delivered()
      const before = await balance(linger)
      const calls = Array.from({ length: 20 }, () => dial(linger, { farEnd: farEnds.answers(), speed: 1 }))
      await Promise.all(calls.map((call) => call.until('CHANNEL_BRIDGE')))
      await toPostgres.cut()
      for (const call of calls) call.hangup()
      const outcomes = await Promise.all(calls.map((call) => call.ended))
      t.ok(
        outcomes.every(({ connections: [socket] }) => socket?.received.includes('exit\n')),
        'they are let go at once: their records are on the disk',
      )
      t.match(await linger.http('GET', '/health'), { status: 200 })
      t.match(await linger.http('GET', '/ready'), { status: 503 })
      await toPostgres.mend()
      const cdrs = await Promise.all(outcomes.map(({ uuid }) => linger.cdr(uuid)))
      const cost = cdrs.reduce((sum, cdr) => sum + parseMoney(String(cdr.cost)), 0n)
      t.match(await balance(linger), {
        balance: formatMoney(parseMoney(before.balance ?? '') - cost),
        reserved: '0.00',
      })
    },
  )

  await t.test(
    'a server that ends while PostgreSQL is away: the next one on its journal delivers',
    async (t) => {
      const call = dial(linger, { farEnd: farEnds.answers(), speed: 1 })
      await call.until('CHANNEL_BRIDGE')
      await toPostgres.cut()
      call.hangup()
      await call.ended
      t.match(await linger.http('GET', '/ready'), { status: 503 })
      await linger.server.close({ deadlineMs: 0 })
      t.match(
        linger.logged.find(({ msg }) => msg.includes('wait in the journal')),
        { records: 1 },
      )
      await toPostgres.mend()
      const next = await testLinger(t, {}, linger)
      await next.server.delivered()
      t.match(await next.cdr(call.uuid), { source: 'session' })
    },
  )
})

async function balance(linger: TestLinger): Promise<Record<string, string>> {
  return (await linger.http('GET', '/v1/tenants/demo/balance')).body as Record<string, string>
}

t.test('a server goes, and another one stays', async (t) => {
  const going = await testLinger(t)
  // A final event that does not come need not be waited for as long as usual.
  const staying = await testLinger(t, { FINAL_EVENT_SECONDS: '1', LINGER_SECONDS: '2' })

  await t.test(
    'a drain waits for calls, then gives the rest to the next action of their dialplan, unbilled here',
    async (t) => {
      const options = { to: [going.esl], nextActions: [{ socket: [staying.esl] }], speed: 1 }
      const given = dial(going, { ...options, called: '1001', farEnd: farEnds.noAnswer })
      const ending = dial(going, { ...options, farEnd: farEnds.answers() })
      await Promise.all([given.until('CHANNEL_PROGRESS'), ending.until('CHANNEL_BRIDGE')])
      const closed = going.server.close({ deadlineMs: 500 })
      ending.hangup()
      t.equal((await ending.ended).cause, 'NORMAL_CLEARING')
      await closed
      given.hangup()
      await given.ended
      const { rows } = await going.pool.query<{ call_uuid: string }>('SELECT call_uuid FROM cdrs')
      t.same(rows, [{ call_uuid: ending.uuid }])
      const journal = await Journal.open({
        dir: journalFolder(going.dataDir),
        log: pino({ level: 'silent' }),
      })
      t.match(journal.openCalls(), [{ uuid: given.uuid }], 'nobody has the other one yet: it is known here')
      await journal.close()
    },
  )

  await t.test(
    'a server that listens no more: the dialplan falls through to the next host at once',
    async (t) => {
      const call = dial(staying, { to: [going.esl, staying.esl], farEnd: farEnds.answers(1_000) })
      const { legs, uuid } = await call.ended
      t.equal(legs.length, 1)
      t.match(await staying.cdr(uuid), { source: 'session' })
    },
  )

  await t.test(
    'a final event that does not come in time: the call is billed to the last sign of life and marked',
    async (t) => {
      const { uuid } = await dial(staying, {
        farEnd: farEnds.answers(2_540),
        finalEventDelayMs: 60_000,
        // Not instant: such a clock jumps to the delayed event while the server is still waiting for it.
        speed: 10,
      }).ended
      t.match(await staying.cdr(uuid), { source: 'incomplete', billed_ms: 2_540, cost: '21.17' })
      t.match(
        staying.logged.filter(({ call }) => call === uuid),
        [{ msg: /without the final event/ }],
      )
    },
  )
})
