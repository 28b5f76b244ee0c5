import { pino } from 'pino'
import t from 'tap'
import { formatMoney, parseMoney } from '../src/billing/money.js'
import { Journal, journalFolder } from '../src/journal/journal.js'
import { booksAddUp, costOf, talkedMs } from './support/books.js'
import { topUp } from './support/credit.js'
import { testLinger, type TestLinger } from './support/linger.js'
import { Line } from './support/outage.js'
import { testDatabase } from './support/services.js'
import type { Call, CallOptions, CallOutcome } from './support/switch/call.js'
import { farEnds } from './support/switch/far-end.js'
import { SimulatedSwitch } from './support/switch/switch.js'
import { ownTenant, type OwnTenant, type TenantOptions } from './support/tenants.js'
import { until } from './support/wire.js'

/** What a tenant's money, and its limits, mean for its calls: each story has a tenant of its own. */

// Talks that outlast a slice take their time; there is none to be had by playing them one by one.
t.jobs = 8

const sw = new SimulatedSwitch()
t.teardown(() => {
  sw.destroy()
})

const database = await testDatabase(t)
const toPostgres = await Line.to(t, database.url)
const through = { databaseUrl: toPostgres.url(database.url), pool: database.pool }

/** Slices of 6 s leave three to extend them in, for what else runs here may keep this process for one or two. */
const brief = { CREDIT_SLICE_SECONDS: '6' }
/** Whose database can be out of reach. */
const distant = { ...brief, CREDIT_TIMEOUT_MS: '1000' }
// All before the first talk: a server that starts takes long.
const [usual, sliced, strict, lenient, lost] = await Promise.all([
  testLinger(t),
  testLinger(t, brief),
  testLinger(t, distant, through),
  testLinger(t, { ...distant, CREDIT_REFUSE_WHEN_AWAY: 'false' }, through),
  testLinger(t, { CREDIT_SLICE_SECONDS: '3' }),
])

/** 500 a minute. */
const mobile = '0901234567'

interface Here extends OwnTenant {
  readonly linger: TestLinger
}

function tenantOn(linger: TestLinger, options?: TenantOptions): Promise<Here> {
  return ownTenant({ linger }, options)
}

function dial({ linger, tenant }: Here, options: Partial<CallOptions> = {}): Call {
  const variables = { accountcode: tenant }
  return sw.call({ to: [linger.esl], caller: '1000', called: mobile, variables, ...options })
}

async function balance({ linger, tenant }: Here): Promise<Record<string, string>> {
  return (await linger.http('GET', `/v1/tenants/${tenant}/balance`)).body as Record<string, string>
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

t.test('a call holds a slice while it talks, and pays what it talked', async (t) => {
  const here = await tenantOn(usual)
  const call = dial(here, { farEnd: farEnds.answers(), speed: 1 })
  await call.until('CHANNEL_BRIDGE')
  // 302 s at 500 a minute: a slice, and what the switch's scheduler may be late by.
  t.match(await balance(here), { balance: '1000000.00', reserved: '2516.67', available: '997483.33' })
  call.hangup()
  const outcome = await call.ended
  t.match(dialled(outcome), [/execute_on_answer='sched_hangup \+300 ALLOTTED_TIMEOUT'/])
  const { cost } = await here.linger.cdr(outcome.uuid)
  const after = await balance(here)
  t.match(after, { reserved: '0.00' })
  t.equal(parseMoney(after.balance ?? ''), parseMoney('1000000') - parseMoney(String(cost)))
  await booksAddUp(t, here.linger, here.tenant)
})

t.test('thirty calls at once on credit for one: one passes', async (t) => {
  const here = await tenantOn(usual, { balance: '2516.67' })
  const calls = Array.from({ length: 30 }, () => dial(here, { farEnd: farEnds.answers(), speed: 1 }))
  // While one talks nothing comes back for the others.
  await Promise.all(calls.map((call) => Promise.race([call.until('CHANNEL_BRIDGE'), call.hungUp])))
  for (const call of calls) if (call.isTalking) call.hangup()
  const outcomes = await Promise.all(calls.map((call) => call.ended))
  const passed = outcomes.filter(({ legs }) => legs.length > 0)
  t.equal(passed.length, 1)
  const cost = costOf(talkedMs(passed[0]!.legs[0]!))
  t.match(await here.linger.cdr(passed[0]!.uuid), { cost })
  for (const { uuid, cause } of outcomes.filter(({ legs }) => legs.length === 0)) {
    t.equal(cause, 'OUTGOING_CALL_BARRED')
    t.match(await here.linger.cdr(uuid), { refusal: 'the tenant has no credit for it', cost: '0.00' })
  }
  t.match(await balance(here), {
    balance: formatMoney(parseMoney('2516.67') - parseMoney(cost)),
    reserved: '0.00',
  })
  await booksAddUp(t, here.linger, here.tenant)
})

t.test(
  'what is left is less than a slice: the call is cut when the money ends, and not a unit later',
  async (t) => {
    // 62 s at 500 a minute: 60 s and the guard.
    const here = await tenantOn(usual, { balance: '516.67' })
    const outcome = await dial(here, { farEnd: farEnds.answers() }).ended
    t.match(dialled(outcome), [/sched_hangup \+60 ALLOTTED_TIMEOUT/])
    const cdr = await here.linger.cdr(outcome.uuid)
    t.match(cdr, { hangup_cause: 'ALLOTTED_TIMEOUT', hung_up_by: 'server' })
    t.ok((cdr.billed_ms as number) >= 59_000 && (cdr.billed_ms as number) <= 62_000, String(cdr.billed_ms))
    const { balance: left = '' } = await balance(here)
    t.ok(parseMoney(left) >= 0n, `${left} is left`)
    await booksAddUp(t, here.linger, here.tenant)
  },
)

t.test(
  'a talk longer than a slice goes on: the new timer is set before the old one is taken off',
  async (t) => {
    const here = await tenantOn(sliced)
    const outcome = await dial(here, { farEnd: farEnds.answers(11_000), speed: 1 }).ended
    t.equal(outcome.cause, 'NORMAL_CLEARING')
    t.match(await here.linger.cdr(outcome.uuid), { billed_ms: 11_000, cost: '91.67' })
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
    t.match(await balance(here), { reserved: '0.00' })
    await booksAddUp(t, here.linger, here.tenant)
  },
)

t.test('no more credit: the caller hears a tone, then both are cut off; nothing is overdrawn', async (t) => {
  // 7 s and the guard.
  const here = await tenantOn(sliced, { balance: '75' })
  const outcome = await dial(here, { farEnd: farEnds.answers(), speed: 1 }).ended
  t.equal(outcome.cause, 'ALLOTTED_TIMEOUT')
  t.match(
    apiCommands(outcome).filter((command) => command.startsWith('uuid_broadcast')),
    [`uuid_broadcast ${outcome.uuid} tone_stream://%(200,0,900) aleg`],
  )
  const cdr = await here.linger.cdr(outcome.uuid)
  t.match(cdr, { hangup_cause: 'ALLOTTED_TIMEOUT', hung_up_by: 'server' })
  t.ok((cdr.billed_ms as number) > 6_000, 'the rest of the money was talked, too')
  const { balance: left = '' } = await balance(here)
  t.ok(parseMoney(left) >= 0n, `${left} is left`)
  await booksAddUp(t, here.linger, here.tenant)
})

t.test('money comes in while the last of it runs out: the talk goes on', async (t) => {
  const here = await tenantOn(sliced, { balance: '75' })
  let paid: Promise<unknown> | undefined
  const outcome = await dial(here, {
    farEnd: farEnds.answers(14_000),
    speed: 1,
    onEvent: (event) => {
      // The tone: it is played when the end is near.
      if (event.name !== 'CHANNEL_EXECUTE' || event.get('Application') !== 'playback') return
      paid ??= topUp(here.linger.pool, here.tenant, '1000')
    },
  }).ended
  await paid
  t.ok(paid, 'the caller was warned')
  t.equal(outcome.cause, 'NORMAL_CLEARING')
  t.match(await here.linger.cdr(outcome.uuid), { billed_ms: 14_000, cost: '116.67' })
  await booksAddUp(t, here.linger, here.tenant)
})

t.test('the second gateway is tried on the credit that the first one did not need', async (t) => {
  const here = await tenantOn(usual, {
    balance: '2516.67',
    sql: (tenant) => `INSERT INTO gateways (tenant_id, name, prefix, prefix_entered, priority)
      VALUES ('${tenant}', 'carrier2', '', '', 200)`,
  })
  const outcome = await dial(here, {
    farEnd: (dialString) => (dialString.includes('carrier1') ? farEnds.congested : farEnds.answers(60_000)),
  }).ended
  t.match(dialled(outcome), [/sched_hangup \+300 .*carrier1/, /sched_hangup \+300 .*carrier2/])
  t.match(await here.linger.cdr(outcome.uuid), { cost: '500.00', charges: [{ gateway: 'carrier2' }] })
  t.match(await balance(here), { balance: '2016.67', reserved: '0.00' })
  await booksAddUp(t, here.linger, here.tenant)
})

/** Whom the caller dials, and transfers to an extension, by a dialplan whose guard fires before what is reserved is over. */
function transferred(here: Here, afterMs: number): Call {
  return dial(here, {
    farEnd: (dialString) =>
      dialString.includes('1001')
        ? farEnds.answers()
        : { answersAfterMs: 0, refers: { by: 'caller', afterMs, to: '1001' } },
    transferDialplan: () => [{ socket: [here.linger.esl], guardSeconds: 3 }],
    speed: 1,
  })
}

t.test('PostgreSQL goes away, and comes back', async (t) => {
  const linger = strict
  await t.test('before the slice of a call ends: the call goes on', async (t) => {
    const here = await tenantOn(linger)
    const talking = dial(here, { farEnd: farEnds.answers(8_000), speed: 1 })
    await talking.until('CHANNEL_BRIDGE')
    await toPostgres.cut()
    // The next slice was asked for, in vain.
    await until(() => linger.logged.some(({ msg }) => msg.startsWith('credit cannot be reserved')))
    await toPostgres.mend()
    t.equal((await talking.ended).cause, 'NORMAL_CLEARING')
    t.match(await linger.cdr(talking.uuid), { billed_ms: 8_000 })
    await booksAddUp(t, linger, here.tenant)
  })

  const here = await tenantOn(linger)
  const postpaid = await tenantOn(linger, {
    sql: (tenant) => `UPDATE tenants SET billing = 'postpaid' WHERE id = '${tenant}'`,
  })
  const overdrawing = await tenantOn(lenient)
  const transferring = await tenantOn(linger)
  // Once with the timer that the leg was dialled with, and once after that was moved, which lets it talk for 12 s.
  const extended = transferred(transferring, 5_000)
  await until(() => extended.legs[0]?.ownVariables.has('linger_timers') === true)
  const talking = dial(here, { farEnd: farEnds.answers(), speed: 1 })
  const unextended = transferred(transferring, 1_000)
  await Promise.all([talking.until('CHANNEL_BRIDGE'), unextended.until('CHANNEL_BRIDGE')])
  await toPostgres.cut()
  const trusted = [postpaid, overdrawing].map((place) =>
    dial(place, { farEnd: farEnds.answers(8_000), speed: 1 }),
  )
  const refused = await dial(here, { farEnd: farEnds.answers(1_000) }).ended
  const internal = await dial(here, { called: '1001', farEnd: farEnds.answers(1_000) }).ended
  const emergency = await dial(here, { called: '115', farEnd: farEnds.answers(1_000) }).ended
  const talked = await talking.ended
  const transfers = await Promise.all([unextended.ended, extended.ended])
  const trustedOutcomes = await Promise.all(trusted.map((call) => call.ended))
  await toPostgres.mend()
  await Promise.all([linger.server.delivered(), lenient.server.delivered()])

  await t.test('prepaid calls were refused, one that talked lasted to the end of its slice', async (t) => {
    t.equal(refused.cause, 'NORMAL_TEMPORARY_FAILURE')
    t.same(refused.legs, [])
    t.equal(internal.legs.length, 1, 'what costs nothing needs nobody')
    t.equal(emergency.legs.length, 1)
    t.equal(talked.cause, 'ALLOTTED_TIMEOUT')
    t.match(await linger.cdr(refused.uuid), { refusal: /PostgreSQL is away/ })
    const { billed_ms: billedMs } = await linger.cdr(talking.uuid)
    t.ok((billedMs as number) >= 5_000 && (billedMs as number) <= 8_000, String(billedMs))
    t.match(await balance(here), { reserved: '0.00' })
    await booksAddUp(t, linger, here.tenant)
  })

  await t.test(
    'legs that were transferred meanwhile talked for as long as was reserved for them',
    async (t) => {
      for (const [index, { uuid, legs }] of transfers.entries()) {
        const [leg, extension] = legs
        t.equal(extension?.number, '1001')
        t.equal(leg?.cause, 'ALLOTTED_TIMEOUT', "and not the dialplan's guard")
        const ms = talkedMs(leg!)
        const reserved = [6_000, 12_000][index]!
        t.ok(ms > reserved - 1_000 && ms <= reserved + 2_000, `${ms} of ${reserved} ms`)
        t.match(await linger.cdr(leg!.uuid), { charges: [], variables: { transferred_from: uuid } })
      }
    },
  )

  await t.test('a postpaid tenant noticed nothing, nor a prepaid one that may overdraw', async (t) => {
    for (const [index, place] of [postpaid, overdrawing].entries()) {
      const { uuid, cause } = trustedOutcomes[index]!
      t.equal(cause, 'NORMAL_CLEARING')
      t.match(await place.linger.cdr(uuid), { billed_ms: 8_000, cost: '66.67' })
      t.match(await balance(place), { reserved: '0.00' })
      await booksAddUp(t, place.linger, place.tenant)
    }
  })
})

t.test('the event socket is lost: what a leg holds is held until it is surely over', async (t) => {
  const linger = lost
  const here = await tenantOn(linger, {
    sql: (tenant) => `UPDATE tenants SET ring_seconds = 1 WHERE id = '${tenant}'`,
  })
  const line = await Line.to(t, `tcp://${linger.esl.host}:${linger.esl.port}`)
  const cutOff = async () => {
    const call = dial(here, { to: [line.address], farEnd: farEnds.answers(), speed: 1 })
    await call.until('CHANNEL_BRIDGE')
    await line.cut()
    await until(() =>
      linger.logged.some((entry) => entry.call === call.uuid && entry.msg.includes('stays open')),
    )
    return call.uuid
  }
  const first = await cutOff()
  t.match(await balance(here), { reserved: '41.67' }, 'for 5 s')
  t.match(await here.linger.cdr(first), { source: 'incomplete' })
  t.match(await balance(here), { reserved: '0.00' })
  await booksAddUp(t, here.linger, here.tenant)

  await line.mend()
  const second = await cutOff()
  await linger.server.close({ deadlineMs: 0 })
  const { rows } = await linger.pool.query('SELECT FROM cdrs WHERE call_uuid = $1', [second])
  t.same(rows, [], 'the server stops before that: nothing is released')
  const journal = await Journal.open({ dir: journalFolder(linger.dataDir), log: pino({ level: 'silent' }) })
  t.match(
    journal.openCalls(),
    [{ uuid: second, data: { tenant: here.tenant } }],
    'the journal knows the call',
  )
  await journal.close()
})

t.test('a tenant with a limit: one call more is refused, until one ends', async (t) => {
  const here = await tenantOn(usual, {
    sql: (tenant) => `UPDATE tenants SET max_calls = 1 WHERE id = '${tenant}'`,
  })
  const talking = dial(here, { farEnd: farEnds.answers(), speed: 1 })
  await talking.until('CHANNEL_BRIDGE')
  const refused = await dial(here).ended
  t.equal(refused.cause, 'NORMAL_CIRCUIT_CONGESTION')
  t.match(await here.linger.cdr(refused.uuid), { refusal: /max_calls/ })
  const emergency = await dial(here, { called: '115', farEnd: farEnds.answers(1_000) }).ended
  t.equal(emergency.legs.length, 1)
  talking.hangup()
  await talking.ended
  t.equal((await dial(here, { farEnd: farEnds.answers(1_000) }).ended).legs.length, 1)
})

/** SQL that gives a tenant rates of its own. */
const ownDeck = (tenant: string) => `
  INSERT INTO decks (id, name, currency) VALUES ('${tenant}', 'Own', 'VND');
  INSERT INTO rates (deck_id, prefix, prefix_entered, price_per_minute)
    VALUES ('${tenant}', '8490', '090', 500), ('${tenant}', '84', '84', 600), ('${tenant}', '1', '+1', 900);
  UPDATE tenants SET deck_id = '${tenant}' WHERE id = '${tenant}';`

t.test('what a tenant or an extension may not call is refused, and says why', async (t) => {
  const here = await tenantOn(usual, {
    sql: (tenant) => `${ownDeck(tenant)}
      INSERT INTO blocked_destinations (tenant_id, prefix, prefix_entered) VALUES ('${tenant}', '8428', '028');
      UPDATE extensions SET toll_allow = '{local,domestic}' WHERE tenant_id = '${tenant}' AND number = '1001'`,
  })
  for (const [caller, called, refusal] of [
    ['1000', '02838221234', 'the tenant blocks this destination'],
    ['1001', '0012125550123', 'the extension may not call international numbers (toll_allow)'],
    ['1000', '0012125550123', null],
    ['1001', mobile, null],
    ['1001', '115', null],
  ] as const) {
    const { uuid, legs } = await dial(here, { caller, called, farEnd: farEnds.answers(1_000) }).ended
    t.match(await here.linger.cdr(uuid), { refusal }, `${caller} calls ${called}`)
    t.equal(legs.length, refusal === null ? 1 : 0)
  }
})

t.test(
  'a tenant that may call what has no rate pays nothing for it, and its leg has its charge',
  async (t) => {
    const here = await tenantOn(usual, {
      sql: (tenant) => `UPDATE tenants SET allows_unrated = true WHERE id = '${tenant}'`,
    })
    const { uuid } = await dial(here, { called: '0012125550123', farEnd: farEnds.answers(60_000) }).ended
    t.match(await here.linger.cdr(uuid), {
      cost: '0.00',
      billed_ms: 60_000,
      charges: [{ gateway: 'carrier1', prefix: '', description: 'no rate', cost: '0.00' }],
    })
  },
)

t.test('an inbound tariff: the called number costs its tenant, at its own rate and no other', async (t) => {
  const here = await tenantOn(usual, {
    sql: (tenant) => `
      INSERT INTO decks (id, name, currency) VALUES ('in', 'Inbound', 'VND');
      INSERT INTO rates (deck_id, prefix, prefix_entered, description, price_per_minute, minimum_seconds, increment_seconds)
      VALUES ('in', '84281234', '0281234', 'Freephone', 120, 60, 60);
      UPDATE tenants SET inbound_deck_id = 'in' WHERE id = '${tenant}'`,
  })
  const called = await dial(here, { ...here.outside, farEnd: farEnds.answers(61_000) }).ended
  t.match(await here.linger.cdr(called.uuid), {
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
  const internal = await dial(here, { called: '1001', farEnd: farEnds.answers(61_000) }).ended
  t.match(await here.linger.cdr(internal.uuid), { cost: '0.00', charges: [] })
  await booksAddUp(t, here.linger, here.tenant)
})

t.test('a rate changes while a leg that was dialled at it talks: the leg keeps its own', async (t) => {
  const here = await tenantOn(usual, { sql: ownDeck })
  const talking = dial(here, { farEnd: farEnds.answers(), speed: 100 })
  await talking.until('CHANNEL_BRIDGE')
  const { pool, server } = here.linger
  await pool.query(
    `UPDATE rates SET price_per_minute = 60000 WHERE deck_id = '${here.tenant}' AND prefix = '8490'`,
  )
  await server.reload()
  const next = await dial(here, { farEnd: farEnds.answers(1_000) }).ended
  t.match(await here.linger.cdr(next.uuid), { cost: '1000.00' })
  talking.hangup()
  const { uuid } = await talking.ended
  t.match(await here.linger.cdr(uuid), { charges: [{ price_per_minute: '500.00' }] })
})

t.test('a balance that falls below its threshold is warned of once, and again after a top-up', async (t) => {
  const here = await tenantOn(usual, {
    sql: (tenant) => `UPDATE tenants SET low_balance = 999600 WHERE id = '${tenant}'`,
  })
  const { linger, tenant } = here
  const told: { tenant?: string }[] = []
  const listener = await linger.pool.connect()
  listener.on('notification', ({ payload }) => told.push(JSON.parse(payload ?? '') as object))
  await listener.query('LISTEN linger_events')
  const warnings = () =>
    linger.logged.filter((entry) => entry.event === 'low_balance' && entry.tenant === tenant)
  const minute = async () => {
    const { uuid } = await dial(here, { farEnd: farEnds.answers(60_000) }).ended
    await here.linger.cdr(uuid)
  }
  await minute()
  t.match(warnings(), [{ tenant, balance: '999500.00', threshold: '999600.00', currency: 'VND' }])
  await minute()
  t.equal(warnings().length, 1)
  await topUp(linger.pool, tenant, '1000')
  await minute()
  t.equal(warnings().length, 2, 'it was above it in between')
  // Notices come before the answer of a later query.
  await listener.query('SELECT')
  listener.release()
  t.match(
    told.filter((notice) => notice.tenant === tenant),
    [
      {
        event: 'low_balance',
        balance: '999500.000000',
        threshold: '999600.000000',
        currency: 'VND',
      },
      { event: 'low_balance' },
    ],
  )
})
