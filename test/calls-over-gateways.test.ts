import t, { type Test } from 'tap'
import { eventFrame, InboundPeer } from './support/inbound-peer.js'
import { testLinger, type TestLinger } from './support/linger.js'
import type { Call, CallOptions, CallOutcome } from './support/switch/call.js'
import { farEnds, type FarEnd, type FarEndChoice } from './support/switch/far-end.js'
import { SimulatedSwitch } from './support/switch/switch.js'
import { until } from './support/wire.js'

/** How a call finds its way over several carriers: each story with a server of its own. */

t.jobs = 2

const sw = new SimulatedSwitch()
t.teardown(() => {
  sw.destroy()
})

const mobile = '0901234567'

/** The demo tenant has `carrier1`. */
const threeCarriers = `
  UPDATE gateways SET priority = 10;
  INSERT INTO gateways (tenant_id, name, priority) VALUES ('demo', 'carrier2', 20), ('demo', 'carrier3', 30);`

function dial(linger: TestLinger, options: Partial<CallOptions> = {}): Call {
  const farEnd = farEnds.answers(1_000)
  return sw.call({ to: [linger.esl], caller: '1000', called: mobile, farEnd, ...options })
}

/** @param each what each carrier does; those that are not named answer */
function carriers(each: Readonly<Record<string, FarEnd>>): FarEndChoice {
  return (dialString) => each[carrierOf(dialString)] ?? farEnds.answers(1_000)
}

function carrierOf(dialString: string): string {
  return dialString.split('/')[2] ?? ''
}

/** The carriers that were dialled, in their order. */
function tried({ legs }: CallOutcome): string[] {
  return legs.map(({ dialString }) => carrierOf(dialString))
}

async function gateways(linger: TestLinger): Promise<Record<string, Record<string, unknown>>> {
  const { status, body } = await linger.http('GET', '/v1/gateways')
  if (status !== 200) throw new Error(JSON.stringify(body))
  const { items } = body as { items: Record<string, unknown>[] }
  return Object.fromEntries(items.map((gateway) => [String(gateway.name), gateway]))
}

/** Until a change of the configuration, or a rest, is over. */
async function eventually(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo()));
}

t.test('a carrier that fails leads to the next one, the far end that refuses does not', async (t) => {
  // Rested carriers are another story.
  const linger = await testLinger(t, {}, { sql: threeCarriers })
  const failing: [string, FarEnd][] = [
    ['503 from the carrier', farEnds.congested],
    ['nobody listens there', farEnds.unreachable],
    ['502', { refusesWith: 502 }],
    ['no answer to the INVITE', { refusesWith: 408 }],
    ['the switch knows it to be down', { failsWith: 'GATEWAY_DOWN' }],
    ['no common codec', { refusesWith: 488 }],
    ['an account without money', { refusesWith: 402 }],
    ['an account that is closed', { refusesWith: 403 }],
  ]
  for (const [how, farEnd] of failing) {
    const one = await dial(linger, { farEnd: carriers({ carrier1: farEnd }) }).ended
    t.strictSame(tried(one), ['carrier1', 'carrier2'], how)
    const two = await dial(linger, { farEnd: carriers({ carrier1: farEnd, carrier2: farEnd }) }).ended
    t.strictSame(tried(two), ['carrier1', 'carrier2', 'carrier3'], how)
    t.match(await linger.cdr(two.uuid), {
      gateway: 'carrier3',
      hangup_cause: 'NORMAL_CLEARING',
      charges: [{ gateway: 'carrier3', billed_ms: 1_000 }],
    })
    // It works again.
    await dial(linger, { farEnd: farEnds.busy }).ended
  }
  const refusing: [string, FarEnd, string][] = [
    ['404', farEnds.notFound, 'UNALLOCATED_NUMBER'],
    ['480', farEnds.unavailable, 'NO_USER_RESPONSE'],
    ['486', farEnds.busy, 'USER_BUSY'],
    ['603', farEnds.rejects, 'CALL_REJECTED'],
    ['nobody takes the call', farEnds.noAnswer, 'NO_ANSWER'],
  ]
  for (const [how, farEnd, cause] of refusing) {
    const call = await dial(linger, { farEnd: carriers({ carrier1: farEnd }) }).ended
    t.strictSame(tried(call), ['carrier1'], how)
    t.match(await linger.cdr(call.uuid), { hangup_cause: cause, hung_up_by: 'called', charges: [] })
  }
  const away = farEnds.unreachable
  const none = await dial(linger, { farEnd: () => away }).ended
  t.strictSame(tried(none), ['carrier1', 'carrier2', 'carrier3'])
  t.match(await linger.cdr(none.uuid), { hangup_cause: 'NORMAL_TEMPORARY_FAILURE', gateway: 'carrier3' })
})

t.test('a carrier that gives no sign in its time leads to the next one', async (t) => {
  const linger = await testLinger(
    t,
    {},
    { sql: `${threeCarriers} UPDATE gateways SET progress_seconds = 6 WHERE name = 'carrier1'` },
  )
  const silent = await dial(linger, { farEnd: carriers({ carrier1: {} }) }).ended
  t.strictSame(tried(silent), ['carrier1', 'carrier2'])
  t.equal(silent.legs[0]?.cause, 'PROGRESS_TIMEOUT')
  const slow = await dial(linger, {
    farEnd: carriers({ carrier1: { ringsAfterMs: 4_000, answersAfterMs: 20_000, hangsUpAfterMs: 1_000 } }),
  }).ended
  t.strictSame(tried(slow), ['carrier1'], 'one that rings has its time')
})

t.test(
  'a full carrier is passed over, and a call for which all are full is refused; an emergency is not',
  async (t) => {
    const linger = await testLinger(
      t,
      {},
      {
        sql: `${threeCarriers}
        DELETE FROM gateways WHERE name = 'carrier3';
        UPDATE gateways SET max_calls = 1;`,
      },
    )
    const one = dial(linger, { farEnd: farEnds.answers(), speed: 1 })
    await one.until('CHANNEL_BRIDGE')
    const two = dial(linger, { farEnd: farEnds.answers(), speed: 1 })
    await two.until('CHANNEL_BRIDGE')
    t.match(await gateways(linger), {
      carrier1: { max_calls: 1, calls: 1, calls_everywhere: 1, state: 'up' },
      carrier2: { max_calls: 1, calls: 1, calls_everywhere: 1, state: 'up' },
    })
    const refused = await dial(linger).ended
    t.strictSame(tried(refused), [])
    t.match(await linger.cdr(refused.uuid), {
      hangup_cause: 'NORMAL_CIRCUIT_CONGESTION',
      refusal: 'the gateways for this number have as many calls as they may',
      hung_up_by: 'server',
      cost: '0.00',
    })
    const emergency = await dial(linger, { called: '115', farEnd: farEnds.answers(1_000) }).ended
    t.strictSame(tried(emergency), ['carrier1'])
    one.hangup()
    t.strictSame(tried(await one.ended), ['carrier1'])
    const next = await dial(linger, { farEnd: farEnds.answers(1_000) }).ended
    t.strictSame(tried(next), ['carrier1'], 'a call that ends makes room')
    two.hangup()
    t.strictSame(tried(await two.ended), ['carrier2'])
    for (const { uuid } of [one, two]) await linger.cdr(uuid)
    await linger.cdr(next.uuid)
    const { body } = await linger.http('GET', '/v1/tenants/demo/balance')
    t.match(body, { reserved: '0.00' }, 'nothing stays reserved for what was not dialled')
  },
)

t.test(
  'a carrier that fails three times is left alone, tried again after its rest, and comes back',
  async (t) => {
    const linger = await testLinger(t, { GATEWAY_REST_SECONDS: '1' }, { sql: threeCarriers })
    const away = { farEnd: carriers({ carrier1: farEnds.unreachable }) }
    const begun = Date.now()
    for (let call = 0; call < 3; call++)
      t.strictSame(tried(await dial(linger, away).ended), ['carrier1', 'carrier2'])
    // A busy machine may take longer than the rest for three calls.
    const fourth = tried(await dial(linger, away).ended)
    if (Date.now() - begun < 1_000) t.strictSame(fourth, ['carrier2'], 'it rests')
    const resting = (await gateways(linger)).carrier1
    t.ok(Number(resting?.failures) >= 3)
    t.match(resting, { state: /resting|trial/, last_cause: 'NORMAL_TEMPORARY_FAILURE', rests_until: /T.*Z$/ })
    await eventually(async () => tried(await dial(linger).ended).includes('carrier1'))
    t.match((await gateways(linger)).carrier1, { state: 'up', failures: 0, rests_until: null })
    t.strictSame(tried(await dial(linger).ended), ['carrier1'])
    t.match(
      linger.logged.filter(({ msg }) => msg === 'the gateway is rested'),
      [{ gateway: 'carrier1', cause: 'NORMAL_TEMPORARY_FAILURE' }],
    )
  },
)

t.test(
  'when all carriers rest, the one that rests least is tried all the same; an emergency tries them all',
  async (t) => {
    const linger = await testLinger(t, { GATEWAY_REST_SECONDS: '3600' }, { sql: threeCarriers })
    const away = farEnds.unreachable
    for (let call = 0; call < 3; call++) await dial(linger, { farEnd: () => away }).ended
    const call = await dial(linger).ended
    t.strictSame(tried(call), ['carrier1'], 'it was the first to be rested')
    t.match(await linger.cdr(call.uuid), { gateway: 'carrier1', billed_ms: 1_000 })
    t.match((await gateways(linger)).carrier1, { state: 'up' }, 'and it works')

    for (let again = 0; again < 3; again++) await dial(linger, { farEnd: () => away }).ended
    const emergency = await dial(linger, {
      called: '113',
      farEnd: carriers({ carrier2: away, carrier3: away }),
    }).ended
    t.strictSame(tried(emergency).at(-1), 'carrier1')
    t.equal(tried(emergency).length, 3, 'until one takes it')
  },
)

t.test('the cheapest carrier first, where the tenant wants that', async (t) => {
  const linger = await testLinger(
    t,
    {},
    {
      sql: `${threeCarriers}
        UPDATE tenants SET gateway_order = 'cost';
        UPDATE gateways SET carrier_cost_per_minute = 320 WHERE name = 'carrier2';
        UPDATE gateways SET carrier_cost_per_minute = 310.5 WHERE name = 'carrier3';`,
    },
  )
  const away = farEnds.unreachable
  const call = await dial(linger, { farEnd: () => away }).ended
  t.strictSame(tried(call), ['carrier3', 'carrier2', 'carrier1'], 'one whose cost is not known comes last')
  await linger.pool.query(`UPDATE gateways SET carrier_cost_per_minute = 320 WHERE name = 'carrier1'`)
  // In force within 2 s; each call must not rest them.
  await eventually(async () => {
    const answered = await dial(linger, { farEnd: carriers({ carrier3: farEnds.congested }) }).ended
    await dial(linger).ended
    return tried(answered)[1] === 'carrier1'
  })
  t.pass('of equal ones the lower priority')
})

t.test('each carrier is told the number and the caller as it wants them', async (t) => {
  const linger = await testLinger(
    t,
    {},
    {
      sql: `${threeCarriers}
        UPDATE tenants SET caller_id_number = '842873000001', caller_id_name = 'ACME Việt';
        UPDATE gateways SET prepend = '+', caller_id = 'tenant', caller_id_header = 'pid' WHERE name = 'carrier1';
        UPDATE gateways SET number_format = 'national', caller_id = 'fixed', caller_id_number = '0999999',
          codecs = '{PCMA,G722}' WHERE name = 'carrier2';
        UPDATE gateways SET strip_digits = 2, prepend = '00', caller_id = 'anonymous' WHERE name = 'carrier3';`,
    },
  )
  const { legs, connections } = await dial(linger, { farEnd: () => farEnds.unreachable }).ended
  t.match(legs, [
    { dialString: 'sofia/gateway/carrier1/+84901234567', callerIdNumber: '842873000001' },
    { dialString: 'sofia/gateway/carrier2/0901234567', callerIdNumber: '0999999' },
    { dialString: 'sofia/gateway/carrier3/00901234567', callerIdNumber: 'anonymous' },
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
  const { legs: emergency } = await dial(linger, { called: '113', farEnd: () => farEnds.unreachable }).ended
  t.match(emergency, [
    { dialString: 'sofia/gateway/carrier1/113', callerIdNumber: '842873000001' },
    { dialString: 'sofia/gateway/carrier2/113', callerIdNumber: '0999999' },
    { dialString: 'sofia/gateway/carrier3/113', callerIdNumber: '842873000001' },
  ])
})

t.test('a carrier that the switch itself sees down is rested until it sees it up', async (t: Test) => {
  const peer = await InboundPeer.listen(t)
  const linger = await testLinger(
    t,
    { FREESWITCH: `esl://:${peer.password}@127.0.0.1:${peer.port}` },
    { sql: threeCarriers },
  )
  await peer.hears('bgapi status')
  const tells = (status: string) => {
    peer.say(
      eventFrame(
        JSON.stringify({
          'Event-Name': 'CUSTOM',
          'Event-Subclass': 'sofia::gateway_state',
          'FreeSWITCH-Switchname': 'vm',
          Gateway: 'carrier1',
          State: 'NOREG',
          'Ping-Status': status,
        }),
      ),
    )
  }
  tells('DOWN')
  await eventually(async () => (await gateways(linger)).carrier1?.state === 'resting')
  t.match((await gateways(linger)).carrier1, { down_on: ['vm'], failures: 0 })
  t.strictSame(tried(await dial(linger).ended), ['carrier2'])
  tells('UP')
  await eventually(async () => (await gateways(linger)).carrier1?.state === 'up')
  t.strictSame(tried(await dial(linger).ended), ['carrier1'])
  await linger.server.close({ deadlineMs: 0 })
  await until(() => peer.end.socket.closed)
})
