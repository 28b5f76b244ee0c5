import { randomUUID } from 'node:crypto'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { parseMoney } from '../src/billing/money.js'
import { Journal, journalFolder } from '../src/journal/journal.js'
import { book } from '../src/store/ledger.js'
import { auditBooks, auditMode } from '../src/store/audit.js'
import { inTransaction } from '../src/store/database.js'
import { testLinger, type TestLinger } from './support/linger.js'
import { Line } from './support/outage.js'
import type { Call, CallOptions, CallOutcome } from './support/switch/call.js'
import { farEnds } from './support/switch/far-end.js'
import { SimulatedSwitch } from './support/switch/switch.js'

/** What a tenant's money, and its limits, mean for its calls: each story with a server of its own. */

// Talks that outlast a slice take their time; there is none to be had by playing them one by one. Slices of 6 s leave
// three to extend them in, for a server that starts beside them may keep this process for one or two.
t.jobs = 4

const sw = new SimulatedSwitch()
t.teardown(() => {
  sw.destroy()
})

/** 500 a minute. */
const mobile = '0901234567'

/** What the demo tenant has left is `amount`, and what was taken stands in the ledger. */
const withBalance = (amount: string): string => `
  WITH taken AS (
    UPDATE balances SET balance = ${amount} WHERE tenant_id = 'demo' RETURNING balance
  )
  INSERT INTO ledger (tenant_id, kind, amount, balance_after, description)
  SELECT 'demo', 'adjustment', ${amount} - 1000000, balance, 'for the test' FROM taken;`

function dial(linger: TestLinger, options: Partial<CallOptions> = {}): Call {
  return sw.call({ to: [linger.esl], caller: '1000', called: mobile, ...options })
}

async function balance(linger: TestLinger): Promise<Record<string, string>> {
  return (await linger.http('GET', '/v1/tenants/demo/balance')).body as Record<string, string>
}

/** The API commands that the server gave, in their order. */
function apiCommands({ connections }: CallOutcome): string[] {
  return connections.flatMap(({ commands }) =>
    commands.flatMap(({ line }) => (line.startsWith('api ') ? [line.slice('api '.length)] : [])),
  )
}

function dialled(call: CallOutcome): string[] {
  return call.connections.flatMap(({ commands }) =>
    commands.flatMap(({ headers }) =>
      headers.get('execute-app-name') === 'bridge' ? [headers.get('execute-app-arg') ?? ''] : [],
    ),
  )
}

async function booksAddUp(t: Pick<Test, 'same'>, linger: TestLinger): Promise<void> {
  await linger.server.delivered()
  t.same((await inTransaction(linger.pool, auditBooks, auditMode)).findings, [])
}

t.test('a call holds a slice while it talks, and pays what it talked', async (t) => {
  const linger = await testLinger(t)
  const call = dial(linger, { farEnd: farEnds.answers(), speed: 1 })
  await call.until('CHANNEL_BRIDGE')
  // 302 s at 500 a minute: a slice, and what the switch's scheduler may be late by.
  t.match(await balance(linger), { balance: '1000000.00', reserved: '2516.67', available: '997483.33' })
  call.hangup()
  const outcome = await call.ended
  t.match(dialled(outcome), [/execute_on_answer='sched_hangup \+300 ALLOTTED_TIMEOUT'/])
  const { cost } = await linger.cdr(outcome.uuid)
  const after = await balance(linger)
  t.match(after, { reserved: '0.00' })
  t.equal(parseMoney(after.balance ?? ''), parseMoney('1000000') - parseMoney(String(cost)))
  await booksAddUp(t, linger)
})

t.test('thirty calls at once on credit for one: one passes', async (t) => {
  // It is about who gets the credit, not about who waits too long for it on a busy machine.
  const linger = await testLinger(t, { CREDIT_TIMEOUT_MS: '20000' }, { sql: withBalance('2516.67') })
  const calls = Array.from({ length: 30 }, () => dial(linger, { farEnd: farEnds.answers(60_000) }))
  const outcomes = await Promise.all(calls.map((call) => call.ended))
  const passed = outcomes.filter(({ legs }) => legs.length > 0)
  t.equal(passed.length, 1)
  for (const { uuid } of passed) await linger.cdr(uuid)
  for (const { uuid, cause } of outcomes.filter(({ legs }) => legs.length === 0)) {
    t.equal(cause, 'OUTGOING_CALL_BARRED')
    t.match(await linger.cdr(uuid), { refusal: 'the tenant has no credit for it', cost: '0.00' })
  }
  t.match(await balance(linger), { balance: '2016.67', reserved: '0.00' })
  await booksAddUp(t, linger)
})

t.test(
  'what is left is less than a slice: the call is cut when the money ends, and not a unit later',
  async (t) => {
    // 62 s at 500 a minute: 60 s and the guard.
    const linger = await testLinger(t, {}, { sql: withBalance('516.67') })
    const outcome = await dial(linger, { farEnd: farEnds.answers() }).ended
    t.match(dialled(outcome), [/sched_hangup \+60 ALLOTTED_TIMEOUT/])
    const cdr = await linger.cdr(outcome.uuid)
    t.match(cdr, { hangup_cause: 'ALLOTTED_TIMEOUT', hung_up_by: 'server' })
    t.ok((cdr.billed_ms as number) >= 59_000 && (cdr.billed_ms as number) <= 62_000, String(cdr.billed_ms))
    const { balance: left = '' } = await balance(linger)
    t.ok(parseMoney(left) >= 0n, `${left} is left`)
    await booksAddUp(t, linger)
  },
)

t.test(
  'a talk longer than a slice goes on: the new timer is set before the old one is taken off',
  async (t) => {
    const linger = await testLinger(t, { CREDIT_SLICE_SECONDS: '6' })
    const outcome = await dial(linger, { farEnd: farEnds.answers(11_000), speed: 1 }).ended
    t.equal(outcome.cause, 'NORMAL_CLEARING')
    t.match(await linger.cdr(outcome.uuid), { billed_ms: 11_000, cost: '91.67' })
    const [leg] = outcome.legs
    const commands = apiCommands(outcome)
      .filter((command) => /^sched_|linger_timers/.test(command))
      .slice(1)
    const names = commands.flatMap((command) => /^sched_api \d+ (linger-\S+)/.exec(command)?.[1] ?? [])
    const until = (seconds: number) => Math.floor(leg!.answeredAt! / 1e6) + seconds
    const [first = '', second = ''] = names
    t.equal(new Set(names).size, 2, 'each timer has its own name')
    t.same(commands, [
      // Whoever comes next must find both, should this server die between the two.
      `uuid_setvar ${leg!.uuid} linger_timers ${leg!.uuid}+${first}`,
      `sched_api ${until(12)} ${first} uuid_kill ${leg!.uuid} ALLOTTED_TIMEOUT`,
      `sched_del ${leg!.uuid}`,
      `uuid_setvar ${leg!.uuid} linger_timers ${first}+${second}`,
      `sched_api ${until(18)} ${second} uuid_kill ${leg!.uuid} ALLOTTED_TIMEOUT`,
      `sched_del ${first}`,
      // The talk is over: nothing stays behind on the switch.
      `sched_del ${second}`,
    ])
    t.match(await balance(linger), { reserved: '0.00' })
    await booksAddUp(t, linger)
  },
)

t.test('no more credit: the caller hears a tone, then both are cut off; nothing is overdrawn', async (t) => {
  // 7 s and the guard.
  const linger = await testLinger(t, { CREDIT_SLICE_SECONDS: '6' }, { sql: withBalance('75.00') })
  const outcome = await dial(linger, { farEnd: farEnds.answers(), speed: 1 }).ended
  t.equal(outcome.cause, 'ALLOTTED_TIMEOUT')
  t.match(
    apiCommands(outcome).filter((command) => command.startsWith('uuid_broadcast')),
    [`uuid_broadcast ${outcome.uuid} tone_stream://%(200,0,900) aleg`],
  )
  const cdr = await linger.cdr(outcome.uuid)
  t.match(cdr, { hangup_cause: 'ALLOTTED_TIMEOUT', hung_up_by: 'server' })
  t.ok((cdr.billed_ms as number) > 6_000, 'the rest of the money was talked, too')
  const { balance: left = '' } = await balance(linger)
  t.ok(parseMoney(left) >= 0n, `${left} is left`)
  await booksAddUp(t, linger)
})

t.test('money comes in while the last of it runs out: the talk goes on', async (t) => {
  const linger = await testLinger(t, { CREDIT_SLICE_SECONDS: '6' }, { sql: withBalance('75.00') })
  let topUp: Promise<unknown> | undefined
  const outcome = await dial(linger, {
    farEnd: farEnds.answers(14_000),
    speed: 1,
    onEvent: (event) => {
      // The tone: it is played when the end is near.
      if (event.name !== 'CHANNEL_EXECUTE' || event.get('Application') !== 'playback') return
      topUp ??= book(linger.pool, {
        tenant: 'demo',
        kind: 'topup',
        amount: parseMoney('1000'),
        description: 'Paid in',
        idempotencyKey: randomUUID(),
      })
    },
  }).ended
  await topUp
  t.ok(topUp, 'the caller was warned')
  t.equal(outcome.cause, 'NORMAL_CLEARING')
  t.match(await linger.cdr(outcome.uuid), { billed_ms: 14_000, cost: '116.67' })
  await booksAddUp(t, linger)
})

t.test('the second gateway is tried on the credit that the first one did not need', async (t) => {
  const linger = await testLinger(
    t,
    {},
    {
      sql: `${withBalance('2516.67')}
        INSERT INTO gateways (tenant_id, name, prefix, prefix_entered, priority)
        VALUES ('demo', 'carrier2', '', '', 200)`,
    },
  )
  const outcome = await dial(linger, {
    farEnd: (dialString) => (dialString.includes('carrier1') ? farEnds.congested : farEnds.answers(60_000)),
  }).ended
  t.match(dialled(outcome), [/sched_hangup \+300 .*carrier1/, /sched_hangup \+300 .*carrier2/])
  t.match(await linger.cdr(outcome.uuid), { cost: '500.00', charges: [{ gateway: 'carrier2' }] })
  t.match(await balance(linger), { balance: '2016.67', reserved: '0.00' })
  await booksAddUp(t, linger)
})

t.test(
  'PostgreSQL is away: prepaid calls are refused, one that talks lasts to the end of its slice',
  async (t) => {
    const front = await testLinger(t)
    const line = await Line.to(t, front.databaseUrl)
    const settings = { CREDIT_SLICE_SECONDS: '4', CREDIT_TIMEOUT_MS: '1000' }
    const linger = await testLinger(t, settings, { databaseUrl: line.url(front.databaseUrl) })
    const talking = dial(linger, { farEnd: farEnds.answers(), speed: 1 })
    await talking.until('CHANNEL_BRIDGE')
    await line.cut()
    const refused = await dial(linger, { farEnd: farEnds.answers(1_000) }).ended
    t.equal(refused.cause, 'NORMAL_TEMPORARY_FAILURE')
    t.same(refused.legs, [])
    const internal = await dial(linger, { called: '1001', farEnd: farEnds.answers(1_000) }).ended
    t.equal(internal.legs.length, 1, 'what costs nothing needs nobody')
    const emergency = await dial(linger, { called: '115', farEnd: farEnds.answers(1_000) }).ended
    t.equal(emergency.legs.length, 1)
    t.equal((await talking.ended).cause, 'ALLOTTED_TIMEOUT')
    await line.mend()
    await linger.server.delivered()
    t.match(await front.cdr(refused.uuid), { refusal: /PostgreSQL is away/ })
    const { billed_ms: billedMs } = await front.cdr(talking.uuid)
    t.ok((billedMs as number) >= 3_000 && (billedMs as number) <= 6_000, String(billedMs))
    t.match(await balance(front), { reserved: '0.00' })
    await booksAddUp(t, front)
  },
)

t.test('PostgreSQL is back before the slice of a call ends: the call goes on', async (t) => {
  const front = await testLinger(t)
  const line = await Line.to(t, front.databaseUrl)
  const settings = { CREDIT_SLICE_SECONDS: '6', CREDIT_TIMEOUT_MS: '1000' }
  const linger = await testLinger(t, settings, { databaseUrl: line.url(front.databaseUrl) })
  const talking = dial(linger, { farEnd: farEnds.answers(8_000), speed: 1 })
  await talking.until('CHANNEL_BRIDGE')
  await line.cut()
  // The next slice was asked for, in vain.
  while (!linger.logged.some(({ msg }) => msg.startsWith('credit cannot be reserved')))
    await linger.http('GET', '/health')
  await line.mend()
  t.equal((await talking.ended).cause, 'NORMAL_CLEARING')
  t.match(await linger.cdr(talking.uuid), { billed_ms: 8_000 })
  await booksAddUp(t, front)
})

t.test(
  'PostgreSQL is away: a postpaid tenant notices nothing, nor a prepaid one that may overdraw',
  async (t) => {
    for (const [settings, sql] of [
      [{}, `UPDATE tenants SET billing = 'postpaid'`],
      [{ CREDIT_REFUSE_WHEN_AWAY: 'false' }, ''],
    ] as const) {
      const front = await testLinger(t, {}, { sql })
      const line = await Line.to(t, front.databaseUrl)
      const linger = await testLinger(
        t,
        { CREDIT_TIMEOUT_MS: '1000', CREDIT_SLICE_SECONDS: '6', ...settings },
        { databaseUrl: line.url(front.databaseUrl) },
      )
      await line.cut()
      const { uuid, cause } = await dial(linger, { farEnd: farEnds.answers(8_000), speed: 1 }).ended
      t.equal(cause, 'NORMAL_CLEARING')
      await line.mend()
      await linger.server.delivered()
      t.match(await front.cdr(uuid), { billed_ms: 8_000, cost: '66.67' })
      t.match(await balance(front), { reserved: '0.00' })
      await booksAddUp(t, front)
    }
  },
)

t.test('the event socket is lost: what a leg holds is held until it is surely over', async (t) => {
  const sql = 'UPDATE tenants SET ring_seconds = 1'
  const settings = { CREDIT_SLICE_SECONDS: '3', SECOND_SOURCE_SECONDS: '1' }
  const linger = await testLinger(t, settings, { sql })
  const line = await Line.to(t, `tcp://${linger.esl.host}:${linger.esl.port}`)
  const { hostname: host, port } = new URL(line.url('tcp://any:1'))
  const cutOff = async (to: { host: string; port: number }) => {
    const call = dial(linger, { to: [to], farEnd: farEnds.answers(), speed: 1 })
    await call.until('CHANNEL_BRIDGE')
    await line.cut()
    while (!linger.logged.some((entry) => entry.call === call.uuid && entry.msg.includes('stays open')))
      await linger.http('GET', '/health')
    return call.uuid
  }
  const first = await cutOff({ host, port: Number(port) })
  t.match(await balance(linger), { reserved: '41.67' }, 'for 5 s')
  t.match(await linger.cdr(first), { source: 'incomplete' })
  t.match(await balance(linger), { reserved: '0.00' })
  await booksAddUp(t, linger)

  await line.mend()
  const second = await cutOff({ host, port: Number(port) })
  await linger.server.close({ deadlineMs: 0 })
  const { rows } = await linger.pool.query('SELECT FROM cdrs WHERE call_uuid = $1', [second])
  t.same(rows, [], 'the server stops before that: nothing is released')
  const journal = await Journal.open({ dir: journalFolder(linger.dataDir), log: pino({ level: 'silent' }) })
  t.match(journal.openCalls(), [{ uuid: second, data: { tenant: 'demo' } }], 'the journal knows the call')
  await journal.close()
})

t.test('a tenant with a limit: one call more is refused, until one ends', async (t) => {
  const linger = await testLinger(t, {}, { sql: 'UPDATE tenants SET max_calls = 1' })
  const talking = dial(linger, { farEnd: farEnds.answers(), speed: 1 })
  await talking.until('CHANNEL_BRIDGE')
  const refused = await dial(linger).ended
  t.equal(refused.cause, 'NORMAL_CIRCUIT_CONGESTION')
  t.match(await linger.cdr(refused.uuid), { refusal: /max_calls/ })
  const emergency = await dial(linger, { called: '115', farEnd: farEnds.answers(1_000) }).ended
  t.equal(emergency.legs.length, 1)
  talking.hangup()
  await talking.ended
  t.equal((await dial(linger, { farEnd: farEnds.answers(1_000) }).ended).legs.length, 1)
})

t.test('what a tenant or an extension may not call is refused, and says why', async (t) => {
  const linger = await testLinger(
    t,
    {},
    {
      sql: `INSERT INTO blocked_destinations (tenant_id, prefix, prefix_entered) VALUES ('demo', '8428', '028');
        INSERT INTO rates (deck_id, prefix, prefix_entered, price_per_minute) VALUES ('demo', '1', '+1', 900);
        UPDATE extensions SET toll_allow = '{local,domestic}' WHERE number = '1001'`,
    },
  )
  for (const [caller, called, refusal] of [
    ['1000', '02838221234', 'the tenant blocks this destination'],
    ['1001', '0012125550123', 'the extension may not call international numbers (toll_allow)'],
    ['1000', '0012125550123', null],
    ['1001', mobile, null],
    ['1001', '115', null],
  ] as const) {
    const { uuid, legs } = await dial(linger, { caller, called, farEnd: farEnds.answers(1_000) }).ended
    t.match(await linger.cdr(uuid), { refusal }, `${caller} calls ${called}`)
    t.equal(legs.length, refusal === null ? 1 : 0)
  }
})

t.test(
  'a tenant that may call what has no rate pays nothing for it, and its leg has its charge',
  async (t) => {
    const linger = await testLinger(t, {}, { sql: 'UPDATE tenants SET allows_unrated = true' })
    const { uuid } = await dial(linger, { called: '0012125550123', farEnd: farEnds.answers(60_000) }).ended
    t.match(await linger.cdr(uuid), {
      cost: '0.00',
      billed_ms: 60_000,
      charges: [{ gateway: 'carrier1', prefix: '', description: 'no rate', cost: '0.00' }],
    })
  },
)

t.test('an inbound tariff: the called number costs its tenant, at its own rate and no other', async (t) => {
  const linger = await testLinger(
    t,
    {},
    {
      sql: `INSERT INTO decks (id, name, currency) VALUES ('in', 'Inbound', 'VND');
        INSERT INTO rates (deck_id, prefix, prefix_entered, description, price_per_minute, minimum_seconds, increment_seconds)
        VALUES ('in', '84281234', '0281234', 'Freephone', 120, 60, 60);
        UPDATE tenants SET inbound_deck_id = 'in';
        INSERT INTO numbers (number, tenant_id, extension) VALUES ('842812345678', 'demo', '1001')`,
    },
  )
  const outside = { caller: '0987654321', profile: 'external', farEnd: farEnds.answers(61_000) }
  const called = await dial(linger, { ...outside, called: '02812345678' }).ended
  t.match(await linger.cdr(called.uuid), {
    direction: 'inbound',
    cost: '240.00',
    charges: [
      {
        gateway: null,
        number: '1001',
        prefix_entered: '0281234',
        billed_ms: 61_000,
        charged_ms: 120_000,
        terms: { minimum_seconds: 60, increment_seconds: 60 },
      },
    ],
  })
  const internal = await dial(linger, { called: '1001', farEnd: farEnds.answers(61_000) }).ended
  t.match(await linger.cdr(internal.uuid), { cost: '0.00', charges: [] })
  await booksAddUp(t, linger)
})

t.test('a rate changes while a leg that was dialled at it talks: the leg keeps its own', async (t) => {
  const linger = await testLinger(t)
  const talking = dial(linger, { farEnd: farEnds.answers(), speed: 100 })
  await talking.until('CHANNEL_BRIDGE')
  await linger.pool.query(`UPDATE rates SET price_per_minute = 60000 WHERE prefix = '8490'`)
  // In force within 2 s.
  for (;;) {
    const { uuid } = await dial(linger, { farEnd: farEnds.answers(1_000) }).ended
    if ((await linger.cdr(uuid)).cost === '1000.00') break
  }
  talking.hangup()
  const { uuid } = await talking.ended
  t.match(await linger.cdr(uuid), { charges: [{ price_per_minute: '500.00' }] })
})

t.test('a balance that falls below its threshold is warned of once, and again after a top-up', async (t) => {
  const linger = await testLinger(t, {}, { sql: 'UPDATE tenants SET low_balance = 999600' })
  const told: unknown[] = []
  const listener = await linger.pool.connect()
  listener.on('notification', ({ payload }) => told.push(JSON.parse(payload ?? '')))
  await listener.query('LISTEN linger_events')
  const warnings = () => linger.logged.filter(({ event }) => event === 'low_balance')
  const minute = async () => {
    const { uuid } = await dial(linger, { farEnd: farEnds.answers(60_000) }).ended
    await linger.cdr(uuid)
  }
  await minute()
  t.match(warnings(), [{ tenant: 'demo', balance: '999500.00', threshold: '999600.00', currency: 'VND' }])
  await minute()
  t.equal(warnings().length, 1)
  await book(linger.pool, {
    tenant: 'demo',
    kind: 'topup',
    amount: parseMoney('1000'),
    description: 'Paid in',
    idempotencyKey: randomUUID(),
  })
  await minute()
  t.equal(warnings().length, 2, 'it was above it in between')
  // Notices come before the answer of a later query.
  await listener.query('SELECT')
  listener.release()
  t.match(told, [
    {
      event: 'low_balance',
      tenant: 'demo',
      balance: '999500.000000',
      threshold: '999600.000000',
      currency: 'VND',
    },
    { event: 'low_balance' },
  ])
})
