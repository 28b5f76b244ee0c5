import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { eventFrame, InboundPeer } from './support/inbound-peer.js'
import { testLinger, type LogLine, type TestLinger } from './support/linger.js'
import { Line } from './support/outage.js'
import type { Call, CallOptions, CallOutcome } from './support/switch/call.js'
import { farEnds, type FarEnd, type FarEndChoice } from './support/switch/far-end.js'
import { SimulatedSwitch } from './support/switch/switch.js'
import { until } from './support/wire.js'

/** How a call finds its way over several carriers: each story is a tenant's, with carriers of its own names. */

t.jobs = 4

const sw = new SimulatedSwitch()
t.teardown(() => {
  sw.destroy()
})

const mobile = '0901234567'

/** A tenant with three carriers, `ID-1` to `ID-3`, tried in that order; its account code is its id. */
function tenant(id: string, more = ''): string {
  return `
    INSERT INTO tenants (id, name, country, currency, deck_id, emergency_numbers)
      VALUES ('${id}', '${id}', 'VN', 'VND', 'demo', '{112,113,114,115}');
    INSERT INTO accounts (code, tenant_id) VALUES ('${id}', '${id}');
    UPDATE balances SET balance = 1000000 WHERE tenant_id = '${id}';
    INSERT INTO gateways (tenant_id, name, priority)
      VALUES ('${id}', '${id}-1', 10), ('${id}', '${id}-2', 20), ('${id}', '${id}-3', 30);
    ${more}`
}

/** Whoever is rested there rests for good. */
const linger = await testLinger(
  t,
  { GATEWAY_REST_SECONDS: '3600', LOG_LEVEL: 'info' },
  {
    sql: [
      tenant('fails'),
      tenant('silent', "UPDATE tenants SET ring_seconds = 20 WHERE id = 'silent'"),
      tenant('hasty', "UPDATE tenants SET ring_seconds = 5 WHERE id = 'hasty'"),
      tenant('patient', "UPDATE gateways SET progress_seconds = 6 WHERE name = 'patient-1'"),
      tenant('unsuited', "UPDATE gateways SET strip_digits = 20 WHERE name = 'unsuited-1'"),
      tenant(
        'unfit',
        "UPDATE gateways SET strip_digits = 20 WHERE tenant_id = 'unfit'; UPDATE tenants SET allows_unrated = true WHERE id = 'unfit'",
      ),
      tenant(
        'full',
        "DELETE FROM gateways WHERE name = 'full-3'; UPDATE gateways SET max_calls = 1 WHERE tenant_id = 'full'",
      ),
      tenant('left', "UPDATE gateways SET max_calls = 1 WHERE name = 'left-1'"),
      tenant(
        'moved',
        `UPDATE gateways SET max_calls = 1 WHERE name = 'moved-1';
        INSERT INTO extensions (tenant_id, number) VALUES ('moved', '1000');`,
      ),
      tenant('rests'),
      tenant('all-rest'),
      tenant(
        'cheap',
        `UPDATE tenants SET gateway_order = 'cost' WHERE id = 'cheap';
        UPDATE gateways SET carrier_cost_per_minute = 320 WHERE name = 'cheap-2';
        UPDATE gateways SET carrier_cost_per_minute = 310.5 WHERE name = 'cheap-3';`,
      ),
      tenant(
        'shown',
        `UPDATE tenants SET caller_id_number = '842873000001', caller_id_name = 'ACME Việt' WHERE id = 'shown';
        UPDATE gateways SET prepend = '+', caller_id = 'tenant', caller_id_header = 'pid' WHERE name = 'shown-1';
        UPDATE gateways SET number_format = 'national', caller_id = 'fixed', caller_id_number = '0999999',
          codecs = '{PCMA,G722}' WHERE name = 'shown-2';
        UPDATE gateways SET strip_digits = 2, prepend = '00', caller_id = 'anonymous' WHERE name = 'shown-3';`,
      ),
    ].join(';'),
  },
)

function dial(of: string, options: Partial<CallOptions> = {}, at: TestLinger = linger): Call {
  const farEnd = farEnds.answers(1_000)
  const variables = { accountcode: of }
  return sw.call({ to: [at.esl], caller: '1000', called: mobile, variables, farEnd, ...options })
}

/** @param each what the first, the second and the third carrier do; those that are not named answer */
function carriers(...each: readonly (FarEnd | undefined)[]): FarEndChoice {
  return (dialString) => each[Number(/-([123])\//.exec(dialString)?.[1]) - 1] ?? farEnds.answers(1_000)
}

/** The carriers that were dialled, in their order, by their numbers. */
function tried({ legs }: CallOutcome): string {
  return legs.map(({ dialString }) => /-([123])\//.exec(dialString)?.[1]).join()
}

/** As an admin sees them, by their numbers. */
async function gateways(
  of: string,
  at: TestLinger = linger,
): Promise<Record<string, Record<string, unknown>>> {
  const { status, body } = await at.http('GET', `/v1/gateways?tenant=${of}`)
  if (status !== 200) throw new Error(JSON.stringify(body))
  const { items } = body as { items: Record<string, unknown>[] }
  return Object.fromEntries(items.map((gateway) => [String(gateway.name).slice(-1), gateway]))
}

function logged(msg: string, of: Partial<LogLine>): LogLine[] {
  const wanted = Object.entries({ ...of, msg })
  return linger.logged.filter((line) => wanted.every(([field, value]) => line[field] === value))
}

t.test('a carrier that fails leads to the next one, the far end that refuses does not', async (t) => {
  const account = { refusesWith: 402 }
  const one = await dial('fails', { farEnd: carriers(farEnds.congested) }).ended
  t.equal(tried(one), '1,2')
  const two = await dial('fails', { farEnd: carriers(farEnds.congested, account) }).ended
  t.equal(tried(two), '1,2,3')
  t.match(await linger.cdr(two.uuid), {
    gateway: 'fails-3',
    hangup_cause: 'NORMAL_CLEARING',
    charges: [{ gateway: 'fails-3', billed_ms: 1_000 }],
  })
  const refused = await dial('fails', { farEnd: carriers(farEnds.notFound) }).ended
  t.equal(tried(refused), '1')
  t.match(await linger.cdr(refused.uuid), {
    hangup_cause: 'UNALLOCATED_NUMBER',
    hung_up_by: 'called',
    charges: [],
  })
  const none = await dial('fails', { farEnd: () => farEnds.unreachable }).ended
  t.equal(tried(none), '1,2,3')
  t.match(await linger.cdr(none.uuid), { hangup_cause: 'NORMAL_TEMPORARY_FAILURE', gateway: 'fails-3' })
})

t.test('a carrier that gives no sign in its time leads to the next one', async (t) => {
  const silent = await dial('patient', { farEnd: carriers({}) }).ended
  t.equal(tried(silent), '1,2')
  t.equal(silent.legs[0]?.cause, 'PROGRESS_TIMEOUT')
  const slow = await dial('patient', {
    farEnd: carriers({ ringsAfterMs: 4_000, answersAfterMs: 20_000, hangsUpAfterMs: 1_000 }),
  }).ended
  t.equal(tried(slow), '1', 'one that rings has its time')
})

t.test('a carrier that is silently dead leads to the next one when the ring time is over', async (t) => {
  for (let call = 0; call < 2; call++) {
    const dead = await dial('silent', { farEnd: carriers({}) }).ended
    t.equal(tried(dead), '1,2')
    t.equal(dead.legs[0]?.cause, 'PROGRESS_TIMEOUT')
  }
  const answered = await dial('silent', {
    dialplan: [{ application: 'answer' }, { socket: [linger.esl] }],
    farEnd: carriers({}),
  }).ended
  t.equal(tried(answered), '1,2', 'for a caller who was answered before, too')
  t.match((await gateways('silent'))['1'], { state: 'resting', last_cause: 'PROGRESS_TIMEOUT' })
  t.equal(tried(await dial('silent').ended), '2', 'and is left alone after three calls')

  const inVain = await dial('silent', { farEnd: carriers(undefined, farEnds.noAnswer) }).ended
  t.equal(tried(inVain), '2')
  t.match(
    await linger.cdr(inVain.uuid),
    { hangup_cause: 'NO_ANSWER', hung_up_by: 'called' },
    'a phone that rings in vain is not rung again',
  )
  const hasty = await dial('hasty', { farEnd: carriers({}) }).ended
  t.equal(tried(hasty), '1', 'in a few seconds nothing is learnt')
  t.match(await linger.cdr(hasty.uuid), { hangup_cause: 'NO_ANSWER' })
})

t.test('a carrier that cannot be told the number is passed over', async (t) => {
  const call = await dial('unsuited').ended
  t.equal(tried(call), '2')
  t.match(await linger.cdr(call.uuid), { gateway: 'unsuited-2', billed_ms: 1_000 })
  const line = { call: call.uuid, gateway: 'unsuited-1', number: '84901234567' }
  t.equal(logged('the gateway cannot be told this number', line).length, 1)
  for (const called of [mobile, 'reception']) {
    const refused = await dial('unfit', { called }).ended
    t.equal(tried(refused), '')
    t.match(await linger.cdr(refused.uuid), {
      hangup_cause: 'INVALID_NUMBER_FORMAT',
      refusal: 'by the rules of its gateways nothing is left of the number',
      hung_up_by: 'server',
    })
  }
})

t.test(
  'a full carrier is passed over, and a call for which all are full is refused; an emergency is not',
  async (t) => {
    const one = dial('full', { farEnd: farEnds.answers(), speed: 1 })
    await one.until('CHANNEL_BRIDGE')
    const two = dial('full', { farEnd: farEnds.answers(), speed: 1 })
    await two.until('CHANNEL_BRIDGE')
    const taken = { max_calls: 1, calls: 1, calls_everywhere: 1, state: 'up' }
    t.match(await gateways('full'), { 1: taken, 2: taken })
    const refused = await dial('full').ended
    t.equal(tried(refused), '')
    t.match(await linger.cdr(refused.uuid), {
      hangup_cause: 'NORMAL_CIRCUIT_CONGESTION',
      refusal: 'the gateways for this number have as many calls as they may',
      hung_up_by: 'server',
      cost: '0.00',
    })
    t.equal(logged('the gateway is passed over', { call: refused.uuid }).length, 2, 'each is asked once')
    const emergency = await dial('full', { called: '115', farEnd: farEnds.answers(1_000) }).ended
    t.equal(tried(emergency), '1')
    one.hangup()
    t.equal(tried(await one.ended), '1')
    const next = await dial('full', { farEnd: farEnds.answers(1_000) }).ended
    t.equal(tried(next), '1', 'a call that ends makes room')
    two.hangup()
    t.equal(tried(await two.ended), '2')
    for (const { uuid } of [one, two, next]) await linger.cdr(uuid)
    const { body } = await linger.http('GET', '/v1/tenants/full/balance')
    t.match(body, { reserved: '0.00' }, 'nothing stays reserved for what was not dialled')
  },
)

t.test('a carrier has the call that talks on without its server, too', async (t) => {
  const line = await Line.to(t, `tcp://${linger.esl.host}:${linger.esl.port}`)
  const { hostname: host, port } = new URL(line.url('tcp://any:1'))
  const farEnd = farEnds.answers()
  const call = dial('left', { to: [{ host, port: Number(port) }], farEnd, speed: 1 })
  await call.until('CHANNEL_BRIDGE')
  await line.cut()
  while ((await gateways('left'))['1']?.calls !== 0) await delay(20)
  t.equal((await gateways('left'))['1']?.calls_everywhere, 1)
  t.equal(tried(await dial('left').ended), '2')
  call.hangup()
  t.equal(tried(await call.ended), '1')
})

t.test(
  'a carrier has the call that was transferred and is a call of its own, until that one ends',
  async (t) => {
    const farEnd = carriers({ answersAfterMs: 0, refers: { by: 'caller', afterMs: 300, to: '0907654321' } })
    const call = dial('moved', { farEnd, speed: 1, transferDialplan: () => [{ socket: [linger.esl] }] })
    const outcome = await call.ended
    t.equal(tried(outcome), '1,2', 'it is a call too many for whom it was transferred to')
    t.match(await linger.cdr(outcome.legs[0]!.uuid), {
      gateway: 'moved-2',
      variables: { transferred_from: call.uuid },
    })
    t.equal(tried(await dial('moved').ended), '1', 'its end makes room')
  },
)

t.test('a carrier that fails three times is left alone', async (t) => {
  const away = { farEnd: carriers(farEnds.unreachable) }
  for (let call = 0; call < 3; call++) t.equal(tried(await dial('rests', away).ended), '1,2')
  t.equal(tried(await dial('rests').ended), '2')
  t.match((await gateways('rests'))['1'], {
    state: 'resting',
    failures: 3,
    last_cause: 'NORMAL_TEMPORARY_FAILURE',
    rests_until: /T.*Z$/,
  })
  t.match(logged('the gateway is rested', { gateway: 'rests-1' }), [{ cause: 'NORMAL_TEMPORARY_FAILURE' }])
})

t.test(
  'when all carriers rest, the one that rests least is tried all the same; an emergency tries them all',
  async (t) => {
    const away = farEnds.unreachable
    for (let call = 0; call < 3; call++) await dial('all-rest', { farEnd: () => away }).ended
    const call = await dial('all-rest').ended
    t.equal(tried(call), '1', 'it was the first to be rested')
    t.match(await linger.cdr(call.uuid), { gateway: 'all-rest-1', billed_ms: 1_000 })
    t.match((await gateways('all-rest'))['1'], { state: 'up' }, 'and it works')

    for (let again = 0; again < 3; again++) await dial('all-rest', { farEnd: () => away }).ended
    const farEnd = carriers(undefined, away, away)
    const emergency = await dial('all-rest', { called: '113', farEnd }).ended
    t.match(tried(emergency), /^[23],[23],1$/, 'until one takes it')
  },
)

t.test('the cheapest carrier first, where the tenant wants that', async (t) => {
  const away = farEnds.unreachable
  const call = await dial('cheap', { farEnd: () => away }).ended
  t.equal(tried(call), '3,2,1', 'one whose cost is not known comes last')
  await linger.pool.query(`UPDATE gateways SET carrier_cost_per_minute = 320 WHERE name = 'cheap-1'`)
  await linger.server.reload()
  const second = await dial('cheap', { farEnd: () => away }).ended
  t.equal(tried(second), '3,1,2', 'of equal ones the lower priority')
})

t.test('each carrier is told the number and the caller as it wants them', async (t) => {
  const { legs, connections } = await dial('shown', { farEnd: () => farEnds.unreachable }).ended
  t.match(legs, [
    { dialString: 'sofia/gateway/shown-1/+84901234567', callerIdNumber: '842873000001' },
    { dialString: 'sofia/gateway/shown-2/0901234567', callerIdNumber: '0999999' },
    { dialString: 'sofia/gateway/shown-3/00901234567', callerIdNumber: 'anonymous' },
  ])
  const bridges = connections.flatMap(({ commands }) =>
    commands.flatMap(({ headers }) =>
      headers.get('execute-app-name') === 'bridge' ? [headers.get('execute-app-arg') ?? ''] : [],
    ),
  )
  t.match(bridges, [
    /origination_caller_id_name='ACME Việt',sip_cid_type=pid\}/,
    /absolute_codec_string=\^\^:PCMA:G722,/,
    /origination_privacy=screen\+hide_name\+hide_number\}/,
  ])
  const { legs: emergency } = await dial('shown', { called: '113', farEnd: () => farEnds.unreachable }).ended
  t.match(emergency, [
    { dialString: 'sofia/gateway/shown-1/113', callerIdNumber: '842873000001' },
    { dialString: 'sofia/gateway/shown-2/113', callerIdNumber: '0999999' },
    { dialString: 'sofia/gateway/shown-3/113', callerIdNumber: '842873000001' },
  ])
})

t.test('a carrier comes back when its rest is over, or when the switch says so', async (t) => {
  const peer = await InboundPeer.listen(t)
  const other = await testLinger(
    t,
    { GATEWAY_REST_SECONDS: '1', FREESWITCH: `esl://:${peer.password}@127.0.0.1:${peer.port}` },
    { sql: `${tenant('comes-back')};${tenant('seen-down')}` },
  )
  await peer.hears('bgapi status')
  const state = async (of: string) => (await gateways(of, other))['1']?.state
  const isIn = async (of: string, wanted: string) => {
    while ((await state(of)) !== wanted) await delay(20)
  }
  const away = { farEnd: carriers(farEnds.unreachable, farEnds.busy) }
  // Of a leg that was answered the link's own word would be awaited.
  const busy = { farEnd: farEnds.busy }
  for (let call = 0; call < 3; call++) await dial('comes-back', away, other).ended
  await isIn('comes-back', 'trial')
  t.equal(tried(await dial('comes-back', busy, other).ended), '1')
  t.match((await gateways('comes-back', other))['1'], { state: 'up', failures: 0, rests_until: null })

  const tells = (status: string) => {
    peer.say(
      eventFrame(
        JSON.stringify({
          'Event-Name': 'CUSTOM',
          'Event-Subclass': 'sofia::gateway_state',
          'FreeSWITCH-Switchname': 'vm',
          Gateway: 'seen-down-1',
          State: 'NOREG',
          'Ping-Status': status,
        }),
      ),
    )
  }
  tells('DOWN')
  await isIn('seen-down', 'resting')
  t.match((await gateways('seen-down', other))['1'], { down_on: ['vm'], failures: 0 })
  t.equal(tried(await dial('seen-down', busy, other).ended), '2')
  tells('UP')
  await isIn('seen-down', 'up')
  t.equal(tried(await dial('seen-down', busy, other).ended), '1')
  await other.server.close({ deadlineMs: 0 })
  await until(() => peer.end.socket.closed)
})
