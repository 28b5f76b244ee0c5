import t from 'tap'

import { readBalance } from '../src/store/balances.js'
import { listCdrs } from '../src/store/cdrs.js'
import { commitRecords } from '../src/store/commit.js'
import { makeTenants, paidCall, unansweredCall } from './support/call-records.js'
import { testDatabase } from './support/services.js'

const { pool } = await testDatabase(t)

t.test('a CDR tells everything about its call', async (t) => {
  const startedAt = Date.parse('2025-11-21T08:00:00.123Z') * 1000 + 456
  const draft = paidCall(60_000, {
    startedAt,
    answeredAt: startedAt + 2_000_000,
    bridgedAt: startedAt + 2_000_100,
    endedAt: startedAt + 62_000_000,
    durationMs: 62_000,
    ringMs: 2_000,
    isVip: true,
    isTakenOver: true,
    mos: '4.5',
    recordingPath: '/recordings/1.wav',
    recordingUrl: 'https://files.example.com/1.wav',
    carrierCost: '301.500000',
  })
  const [charge] = draft.charges
  const call = {
    ...draft,
    charges: [
      { ...charge!, answeredAt: startedAt + 2_000_000, endedAt: draft.endedAt, carrierCost: '301.5' },
    ],
  }
  await commitRecords(pool, [call])
  const { items, next } = await listCdrs(pool, { limit: 10, callUuid: call.callUuid })
  t.equal(next, null)
  t.same(items, [
    {
      call_uuid: call.callUuid,
      tenant: 'demo',
      direction: 'outbound',
      caller: '1000',
      called: '84901234567',
      caller_raw: '1000',
      called_raw: '0901234567',
      caller_name: 'Extension 1000',
      started_at: '2025-11-21T08:00:00.123Z',
      answered_at: '2025-11-21T08:00:02.123Z',
      bridged_at: '2025-11-21T08:00:02.123Z',
      ended_at: '2025-11-21T08:01:02.123Z',
      duration_ms: 62_000,
      ring_ms: 2_000,
      answered_ms: 60_000,
      bridged_ms: 60_000,
      billed_ms: 60_000,
      hangup_cause: 'NORMAL_CLEARING',
      q850_cause: 16,
      sip_status: 200,
      hung_up_by: 'caller',
      gateway: 'carrier1',
      route: 'dial',
      cost: '500.00',
      carrier_cost: '301.50',
      currency: 'VND',
      source: 'session',
      is_vip: true,
      is_blacklisted: false,
      taken_over: true,
      refusal: null,
      a_leg_uuid: call.callUuid,
      b_leg_uuid: call.bLegUuid,
      sip_call_id: `${call.callUuid}@192.0.2.1`,
      switch_name: 'fs1',
      codec: 'PCMU',
      mos: '4.50',
      recording_path: '/recordings/1.wav',
      recording_url: 'https://files.example.com/1.wav',
      variables: { read_codec: 'PCMU' },
      charges: [
        {
          leg_uuid: charge!.legUuid,
          gateway: 'carrier1',
          number: '84901234567',
          prefix: '8490',
          prefix_entered: '090',
          description: 'Mobile Viettel',
          price_per_minute: '500.00',
          terms: {},
          answered_at: '2025-11-21T08:00:02.123Z',
          ended_at: '2025-11-21T08:01:02.123Z',
          billed_ms: 60_000,
          charged_ms: 60_000,
          cost: '500.00',
          carrier_cost: '301.50',
        },
      ],
    },
  ])
})

t.test('a record of a release that knew of no takeover is of none', async (t) => {
  const call = unansweredCall()
  t.notOk('isTakenOver' in call)
  await commitRecords(pool, [call])
  t.match(await listCdrs(pool, { limit: 1, callUuid: call.callUuid }), { items: [{ taken_over: false }] })
})

t.test('pages show every call once, the latest first, whatever is committed in between', async (t) => {
  const [tenant, other] = await makeTenants(pool, 'pages', 2)
  const second = 1_000_000
  const start = Date.parse('2025-10-31T23:59:50Z') * 1000
  // Over the end of a month, and five at the very same moment.
  const moments = [
    ...Array.from({ length: 20 }, (_, i) => start + i * second),
    ...Array<number>(5).fill(start),
  ]
  const calls = moments.map((startedAt) => unansweredCall({ tenant: tenant!, startedAt }))
  await commitRecords(pool, [...calls, unansweredCall({ tenant: other!, startedAt: start })])
  const seen: string[] = []
  let cursor: string | null = null
  let pages = 0
  do {
    const page = await listCdrs(pool, { limit: 4, tenant: tenant!, ...(cursor === null ? {} : { cursor }) })
    t.ok(page.items.length > 0, 'no page is empty')
    seen.push(...page.items.map((item) => item.call_uuid))
    cursor = page.next
    pages++
    // A newer call belongs before the first page; it shifts nothing.
    await commitRecords(pool, [unansweredCall({ tenant: tenant!, startedAt: start + 100 * second + pages })])
  } while (cursor !== null)
  t.equal(pages, 7)
  const ofOne = (uuid: string) => calls.find((call) => call.callUuid === uuid)!.startedAt
  t.equal(new Set(seen).size, 25)
  t.same(
    seen.map(ofOne),
    moments.toSorted((a, b) => b - a),
  )
})

t.test('a full last page has no next one', async (t) => {
  const [tenant] = await makeTenants(pool, 'full', 1)
  await commitRecords(pool, [unansweredCall({ tenant: tenant! }), unansweredCall({ tenant: tenant! })])
  t.match(await listCdrs(pool, { limit: 2, tenant: tenant! }), { items: [{}, {}], next: null })
  t.same(await listCdrs(pool, { limit: 2, callUuid: 'nobody' }), { items: [], next: null })
})

t.test('a cursor that the list did not give is refused', async (t) => {
  const make = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const table = ['', 'x', '%00', make(1), make([]), make(['1', 2]), make(['x', 'y']), make(['1; --', 'y'])]
  table.push(make(['1', 'a\0']), make(['9'.repeat(20), 'a']))
  for (const cursor of table)
    await t.rejects(listCdrs(pool, { limit: 1, cursor }), { name: 'CursorError' }, cursor)
})

t.test('no text of a query is an error to PostgreSQL', async (t) => {
  for (const text of ['\0', `' OR 1=1 --`, '\ud800', '%'])
    for (const query of [{ callUuid: text }, { tenant: text }])
      t.same(await listCdrs(pool, { limit: 1, ...query }), { items: [], next: null })
})

t.test('a balance is what is left, and what of it may be spent', async (t) => {
  const [tenant] = await makeTenants(pool, 'balance', 1)
  t.same(await readBalance(pool, tenant!), {
    balance: '0.00',
    reserved: '0.00',
    available: '0.00',
    billing: 'prepaid',
    creditLimit: '0.00',
    currency: 'VND',
  })
  await commitRecords(pool, [paidCall(2_540, { tenant: tenant! })])
  await pool.query('UPDATE balances SET reserved = 500.125 WHERE tenant_id = $1', [tenant])
  t.same(await readBalance(pool, tenant!), {
    balance: '-21.17',
    reserved: '500.125',
    available: '-521.295',
    billing: 'prepaid',
    creditLimit: '0.00',
    currency: 'VND',
  })
  t.equal(await readBalance(pool, 'nobody'), undefined)
  t.equal(await readBalance(pool, '\0'), undefined)
})
