import t from 'tap'
import { parseMoney } from '../src/billing/money.js'
import { decodeLegState } from '../src/call/state.js'
import { testLinger, type Cdr } from './support/linger.js'
import { farEnds } from './support/switch/far-end.js'
import { SimulatedSwitch } from './support/switch/switch.js'
import { until } from './support/wire.js'
import type { CallOptions, CallOutcome } from './support/switch/call.js'

/** Calls as their callers live them, on the simulated switch, against a whole server. */

const linger = await testLinger(t, { LOG_LEVEL: 'warn' })
const sw = new SimulatedSwitch()
t.teardown(() => {
  sw.destroy()
})

const mobile = '0901234567'

/** A call to its end; then its CDR is committed. */
async function play(options: Partial<CallOptions>): Promise<{ outcome: CallOutcome; cdr: Cdr }> {
  const outcome = await sw.call({ to: [linger.esl], caller: '1000', called: mobile, ...options }).ended
  return { outcome, cdr: await linger.cdr(outcome.uuid) }
}

async function balance(): Promise<Record<string, string>> {
  return (await linger.http('GET', '/v1/tenants/demo/balance')).body as Record<string, string>
}

async function debits(uuid: string): Promise<unknown[]> {
  const { rows } = await linger.pool.query<Record<string, unknown>>(
    'SELECT kind, description, amount::text FROM ledger WHERE call_uuid = $1',
    [uuid],
  )
  return rows
}

t.test('a minute to a Viettel mobile costs 500: the CDR, one debit and the balance say so', async (t) => {
  t.match(await balance(), { balance: '1000000.00', available: '1000000.00', currency: 'VND' })
  const { outcome, cdr } = await play({ farEnd: farEnds.answers(60_000, 1_500) })
  t.equal(outcome.cause, 'NORMAL_CLEARING')
  t.match(cdr, {
    tenant: 'demo',
    direction: 'outbound',
    caller: '1000',
    called: '84901234567',
    billed_ms: 60_000,
    cost: '500.00',
    currency: 'VND',
    source: 'session',
    hangup_cause: 'NORMAL_CLEARING',
    hung_up_by: 'called',
    gateway: 'carrier1',
    route: 'dial',
    a_leg_uuid: outcome.uuid,
    b_leg_uuid: outcome.legs[0]?.uuid,
  })
  t.match(cdr.charges, [
    { prefix: '8490', description: 'Mobile Viettel', price_per_minute: '500.00', cost: '500.00' },
  ])
  t.same(await debits(outcome.uuid), [{ kind: 'debit', description: 'Call cost', amount: '-500.000000' }])
  t.match(await balance(), { balance: '999500.00', reserved: '0.00', available: '999500.00' })
})

t.test('2,540 ms cost 21.17, whoever hangs up', async (t) => {
  const called = await play({ farEnd: farEnds.answers(2_540) })
  t.match(called.cdr, { billed_ms: 2_540, cost: '21.17', hung_up_by: 'called' })
  const caller = await play({ farEnd: { answersAfterMs: 20, callerHangsUpAfterMs: 2_540 } })
  t.match(caller.cdr, { billed_ms: 2_540, cost: '21.17', hung_up_by: 'caller' })
})

t.test('any other Vietnamese number is 600 a minute', async (t) => {
  const { cdr } = await play({ called: '02838221234', farEnd: farEnds.answers(60_000) })
  t.match(cdr, { called: '842838221234', cost: '600.00', charges: [{ prefix: '84' }] })
})

t.test(
  'the gateway is dialled in normal form, with the caller presented and its own hangup timer',
  async (t) => {
    const dialled: string[] = []
    await play({
      onEvent: (event) => {
        if (event.name === 'CHANNEL_EXECUTE' && event.get('Application') === 'bridge') {
          dialled.push(String(event.get('Application-Data')))
        }
      },
      farEnd: farEnds.answers(1_000),
    })
    const [, before, state, after] = /^(.*\[)linger_leg=([\w-]+),(.*)$/.exec(dialled.join('\n')) ?? []
    t.equal(before, '{originate_timeout=60,progress_timeout=59,origination_caller_id_number=1000}[')
    t.equal(
      after,
      "execute_on_answer='sched_hangup +300 ALLOTTED_TIMEOUT']sofia/gateway/carrier1/84901234567",
    )
    t.match(
      decodeLegState(state ?? ''),
      { tenant: 'demo', attempt: { target: 'gateway:carrier1', rate: { prefix: '8490' } } },
      'the leg itself knows what it costs',
    )
  },
)

t.test('1000 calls 1001: rung at its phone, and free', async (t) => {
  const { outcome, cdr } = await play({ called: '1001', farEnd: farEnds.answers(30_000) })
  t.match(cdr, {
    direction: 'internal',
    called: '1001',
    cost: '0.00',
    billed_ms: 0,
    charges: [],
    gateway: null,
  })
  t.equal(cdr.b_leg_uuid, outcome.legs[0]?.uuid)
  t.equal(cdr.bridged_ms, 29_980)
  t.same(await debits(outcome.uuid), [])
})

t.test(
  'a blacklisted number is refused unanswered, with a CDR; removed from the list, it gets through',
  async (t) => {
    const caller = '0912406496'
    const options = { caller, variables: { accountcode: 'demo' }, farEnd: farEnds.answers(1_000) }
    t.match(await linger.http('POST', '/v1/blacklist', { number: caller, ttl_seconds: 60, reason: 'test' }), {
      status: 201,
    })
    const refused = await play(options)
    t.equal(refused.outcome.cause, 'CALL_REJECTED')
    t.equal(refused.outcome.answeredAt, undefined)
    t.same(refused.outcome.legs, [])
    t.match(refused.cdr, {
      is_blacklisted: true,
      hangup_cause: 'CALL_REJECTED',
      answered_at: null,
      cost: '0.00',
      hung_up_by: 'server',
    })
    t.match(refused.cdr.refusal, /blacklisted/)
    t.match(await linger.http('DELETE', `/v1/blacklist/${caller}`), { status: 204 })
    const served = await play(options)
    t.equal(served.outcome.legs.length, 1)
    t.match(served.cdr, { is_blacklisted: false, hangup_cause: 'NORMAL_CLEARING' })
  },
)

t.test('a VIP carries the flag to the CDR', async (t) => {
  await linger.http('POST', '/v1/vip', { number: '1001' })
  const { cdr } = await play({ caller: '1001', farEnd: farEnds.answers(1_000) })
  t.match(cdr, { is_vip: true })
  await linger.http('DELETE', '/v1/vip/1001')
})

t.test(
  'whose call it is: account, authenticated user, trusted extension, DID; a From header proves nothing',
  async (t) => {
    await linger.pool.query(
      `INSERT INTO numbers (number, tenant_id, extension)
     VALUES ('842873000001', 'demo', '1001'), ('842873000002', 'demo', NULL)`,
    )
    await linger.server.reload()
    const answers = farEnds.answers(1_000)
    const table: [string, Partial<CallOptions>, Record<string, unknown>][] = [
      [
        'an account',
        { caller: '5550', profile: 'external', variables: { accountcode: 'demo' } },
        { tenant: 'demo', direction: 'outbound' },
      ],
      [
        'an extension as account',
        { caller: 'x', profile: 'external', variables: { accountcode: '1001' } },
        { tenant: 'demo', direction: 'outbound' },
      ],
      [
        'an authenticated user',
        { caller: '5550', profile: 'external', variables: { sip_auth_username: '1000' } },
        { tenant: 'demo' },
      ],
      ['an extension on a trusted profile', { caller: '1000' }, { tenant: 'demo', direction: 'outbound' }],
      [
        'an authorised extension on another',
        { caller: '1000', profile: 'external', variables: { sip_authorized: 'true' } },
        { tenant: 'demo' },
      ],
      [
        'an extension that only says so',
        { caller: '1000', profile: 'external' },
        { tenant: null, hangup_cause: 'UNALLOCATED_NUMBER' },
      ],
      [
        'an unknown account and a stranger',
        { caller: '5550', variables: { accountcode: 'nobody' } },
        { tenant: null },
      ],
      [
        'a called DID',
        { caller: '0912000000', called: '02873000001', profile: 'external' },
        { tenant: 'demo', direction: 'inbound', cost: '0.00' },
      ],
      ['a called DID from inside', { called: '02873000001' }, { tenant: 'demo', direction: 'internal' }],
      [
        'a DID that leads nowhere',
        { caller: '0912000000', called: '02873000002', profile: 'external' },
        { tenant: 'demo', hangup_cause: 'NO_ROUTE_DESTINATION' },
      ],
    ]
    for (const [who, options, expected] of table) {
      t.match((await play({ farEnd: answers, ...options })).cdr, expected, who)
    }
    const nobody = await play({ caller: '0912406496', profile: 'external' })
    t.match(nobody.cdr, {
      tenant: null,
      currency: null,
      hangup_cause: 'UNALLOCATED_NUMBER',
      caller: '84912406496',
    })
    t.match(nobody.cdr.refusal, /no tenant/)
  },
)

t.test('how a call ends is in its CDR', async (t) => {
  const table: [string, Partial<CallOptions>, Record<string, unknown>][] = [
    ['busy', { farEnd: farEnds.busy }, { hangup_cause: 'USER_BUSY', q850_cause: 17, hung_up_by: 'called' }],
    ['rejected', { farEnd: farEnds.rejects }, { hangup_cause: 'CALL_REJECTED', hung_up_by: 'called' }],
    ['not found', { farEnd: farEnds.notFound }, { hangup_cause: 'UNALLOCATED_NUMBER' }],
    ['not there', { farEnd: farEnds.unavailable }, { hangup_cause: 'NO_USER_RESPONSE' }],
    ['nobody answers', { farEnd: farEnds.noAnswer }, { hangup_cause: 'NO_ANSWER', hung_up_by: 'called' }],
    ['no gateway left', { farEnd: farEnds.congested }, { hangup_cause: 'NORMAL_TEMPORARY_FAILURE' }],
    [
      'the phone is off',
      { called: '1001', farEnd: farEnds.notRegistered },
      { hangup_cause: 'USER_NOT_REGISTERED' },
    ],
    [
      'the caller cancels',
      { farEnd: { ringsAfterMs: 20, callerCancelsAfterMs: 5_000 } },
      { hangup_cause: 'ORIGINATOR_CANCEL', hung_up_by: 'caller', sip_status: 487 },
    ],
  ]
  for (const [how, options, expected] of table) {
    const { cdr } = await play(options)
    t.match(cdr, { ...expected, cost: '0.00', answered_at: null, charges: [] }, how)
  }
})

t.test("a talk is ended by its leg's own timer at the tenant's longest call", async (t) => {
  await linger.pool.query(`UPDATE tenants SET max_call_seconds = 120`)
  await linger.server.reload()
  const call = await play({ farEnd: farEnds.answers() })
  await linger.pool.query(`UPDATE tenants SET max_call_seconds = 14400`)
  await linger.server.reload()
  t.match(call.cdr, { hangup_cause: 'ALLOTTED_TIMEOUT', hung_up_by: 'server' })
  t.ok(Math.abs((call.cdr.billed_ms as number) - 120_000) <= 1_000, `${String(call.cdr.billed_ms)} ms`)
})

t.test('the guard of the dialplan is taken off: a call longer than it goes on', async (t) => {
  const { outcome, cdr } = await play({ guardSeconds: 15, farEnd: farEnds.answers(60_000) })
  t.equal(outcome.cause, 'NORMAL_CLEARING')
  t.match(cdr, { billed_ms: 60_000 })
})

t.test('a destination without a rate is refused, and so is a route that is not there', async (t) => {
  const unrated = await play({ called: '+12125550123' })
  t.match(unrated.cdr, {
    hangup_cause: 'OUTGOING_CALL_BARRED',
    called: '12125550123',
    refusal: 'the destination has no rate',
  })
  t.same(unrated.outcome.legs, [])
  const lost = await play({ to: [{ ...linger.esl, path: 'nowhere' }] })
  t.match(lost.cdr, { hangup_cause: 'NO_ROUTE_DESTINATION', refusal: /unknown route: "nowhere"/ })
})

t.test('a recording that the dialplan began is found by its CDR', async (t) => {
  const { cdr } = await play({
    dialplan: [{ application: 'record_session', argument: '/recordings/one.wav' }, { socket: [linger.esl] }],
    farEnd: farEnds.answers(5_000),
  })
  t.match(cdr, { recording_path: '/recordings/one.wav', billed_ms: 5_000 })
})

t.test('an emergency call is neither screened nor billed nor refused', async (t) => {
  await linger.http('POST', '/v1/blacklist', { number: '1000' })
  const { outcome, cdr } = await play({ called: '113', farEnd: farEnds.answers(30_000) })
  t.equal(outcome.legs.length, 1)
  t.match(cdr, {
    called: '113',
    cost: '0.00',
    charges: [],
    hangup_cause: 'NORMAL_CLEARING',
    is_blacklisted: false,
  })
  await linger.http('DELETE', '/v1/blacklist/1000')
})

t.test('nothing that a caller sends becomes a command', async (t) => {
  const nasty = [
    '0901234567,sofia/gateway/x/1',
    '${system(id)}',
    "0901'234567",
    '090|091',
    '090\n\nexit',
    '{a=b}0901234567',
    '090 1234567',
  ]
  for (const text of nasty) {
    const asCalled = await play({ called: text })
    t.same(asCalled.outcome.expansions, [], `called ${JSON.stringify(text)}`)
    t.same(asCalled.outcome.legs, [])
    if (text.includes('\n')) continue
    const asCaller = await play({
      caller: text,
      variables: { accountcode: 'demo' },
      farEnd: farEnds.answers(1_000),
    })
    t.same(asCaller.outcome.expansions, [], `calling ${JSON.stringify(text)}`)
    t.equal(asCaller.outcome.legs.length, 1, 'who calls does not matter: the number is not presented')
    t.equal(asCaller.cdr.called, '84901234567')
  }
})

t.test('a caller whose name could forge what the switch says is refused before it says it', async (t) => {
  // FreeSWITCH writes the channel's name into its linger notice as it is.
  const forged = '{"Event-Name":"CHANNEL_HANGUP_COMPLETE","variable_end_uepoch":"1"}'
  const caller = `1000\nContent-Length: 0\n\nContent-Type: text/event-json\nContent-Length: ${forged.length}\n\n${forged}`
  const { outcome, cdr } = await play({
    caller,
    variables: { accountcode: 'demo' },
    farEnd: farEnds.answers(1_000),
  })
  t.same(outcome.legs, [])
  t.match(cdr, {
    tenant: 'demo',
    hangup_cause: 'CALL_REJECTED',
    source: 'incomplete',
    cost: '0.00',
    refusal: /line breaks/,
  })
})

t.test(
  'three hundred calls at once leave three hundred CDRs, and the ledger moves the balance',
  async (t) => {
    const before = await sums()
    const ends = Array.from({ length: 300 }, async (_, index) => {
      const farEnd = index % 5 === 4 ? farEnds.busy : farEnds.answers(1_000 + 137 * index, index)
      return sw.call({
        to: [linger.esl],
        caller: '1000',
        called: `09012${String(index).padStart(5, '0')}`,
        farEnd,
      }).ended
    })
    const uuids = (await Promise.all(ends)).map(({ uuid }) => uuid)
    // The last of them are let go of when their records are on the disk, which is before they are in PostgreSQL.
    await until(() => linger.server.calls === 0)
    await linger.server.delivered()
    const { rows } = await linger.pool.query<{ cdrs: string; cost: string; charges: string }>(
      `SELECT count(*)::text AS cdrs, sum(cost)::text AS cost,
            (SELECT count(*)::text FROM charges WHERE call_uuid = ANY ($1)) AS charges
       FROM cdrs WHERE call_uuid = ANY ($1)`,
      [uuids],
    )
    const after = await sums()
    t.match(rows[0], { cdrs: '300', charges: '240' })
    t.equal(parseMoney(before.balance) - parseMoney(after.balance), parseMoney(rows[0]!.cost))
    t.equal(after.ledger, after.balance)
  },
)

async function sums(): Promise<{ balance: string; ledger: string }> {
  const { rows } = await linger.pool.query<{ balance: string; ledger: string }>(
    `SELECT balance::text, (SELECT sum(amount)::text FROM ledger WHERE tenant_id = 'demo') AS ledger
       FROM balances WHERE tenant_id = 'demo'`,
  )
  return rows[0]!
}

t.test(
  'of all that, only a gateway that failed and routes that are none wanted somebody to look',
  async (t) => {
    const expected = /^gateway failed$|line breaks|leads to no route$/
    t.same(
      linger.logged.filter(({ msg }) => !expected.test(msg)),
      [],
    )
  },
)
