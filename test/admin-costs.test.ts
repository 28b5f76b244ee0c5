import t, { type Test } from 'tap'
import { startAdminApi } from './support/admin-api.js'

const api = await startAdminApi(t)
const { pool } = api.database
await pool.query(`
  INSERT INTO decks (id, name, currency) VALUES ('spare', 'Spare', 'EUR'), ('in', 'In', 'VND');
  INSERT INTO rates (deck_id, prefix, prefix_entered, price_per_minute, connection_fee, minimum_seconds,
      increment_seconds, minimum_cost, valid_from, valid_to) VALUES
    ('demo', '8491', '091', 500, 10, 30, 6, 100, '2025-01-01Z', '2026-01-01Z'),
    ('demo', '8491', '091', 700, 0, 0, 0, NULL, '2026-01-01Z', NULL),
    ('spare', '49', '0', 1, 0, 60, 60, NULL, '-infinity', NULL),
    ('in', '842812345678', '028', 60, 0, 0, 0, NULL, '-infinity', NULL);
  INSERT INTO tenants (id, name, country, currency, deck_id, allows_unrated)
    VALUES ('free', 'Free', 'VN', 'VND', 'demo', true), ('bare', 'Bare', 'VN', 'VND', NULL, false);
  INSERT INTO gateways (tenant_id, name, prefix, prefix_entered, priority)
    VALUES ('demo', 'mobile2', '8491', '091', 20), ('demo', 'mobile1', '8491', '091', 10);
  INSERT INTO blocked_destinations (tenant_id, prefix, prefix_entered) VALUES ('demo', '84900', '0900');
  INSERT INTO numbers (number, tenant_id) VALUES ('842812345678', 'demo');
  UPDATE tenants SET inbound_deck_id = 'in' WHERE id = 'demo'`)
await api.dependencies.catalog.reload()

async function cost(t: Test, whose: string, query: Record<string, string>, status = 200) {
  const answer = await api.ask(t, 'GET', `/v1/${whose}/cost?${new URLSearchParams(query).toString()}`)
  t.equal(answer.status, status, answer.body)
  return answer.json()
}

t.test(
  'what a call would cost: the rate that wins, what of the time is charged, and how it is reckoned',
  async (t) => {
    const asked = { number: '0912345678', seconds: '61.5', at: '2025-06-01T00:00:00Z' }
    t.match(await cost(t, 'tenants/demo', asked), {
      ...{ tenant: 'demo', number: '0912345678', normal_form: '84912345678', class: 'domestic' },
      ...{
        at: '2025-06-01T00:00:00.000Z',
        deck: 'demo',
        currency: 'VND',
        is_inside: false,
        is_allowed: true,
        why: null,
      },
      rate: { id: '8491@2025-01-01T00:00:00.000Z', prefix: '8491', price_per_minute: '500.00', version: 1 },
      ...{ billed_ms: 61_500, charged_ms: 66_000, increments: 6, cost: '560.00' },
      steps: [
        'Of 61.5 s the minimum of 30 s and 6 × 6 s are charged: 66 s.',
        '66 s at 500.00 a minute come to 550.00.',
        'With the connection fee of 10.00 that is 560.00.',
      ],
      gateways: ['mobile1', 'mobile2'],
    })
    t.match(await cost(t, 'tenants/demo', { ...asked, seconds: '1' }), { charged_ms: 30_000, cost: '260.00' })
    t.match(await cost(t, 'tenants/demo', { ...asked, at: '2026-01-01T07:00:00+07:00' }), {
      rate: { price_per_minute: '700.00' },
      cost: '717.50',
    })
    t.match(await cost(t, 'tenants/demo', { ...asked, at: '2024-12-31T23:59:59.999999Z' }), {
      rate: { id: '84' },
      gateways: ['mobile1', 'mobile2'],
      cost: '615.00',
    })
    t.match(await cost(t, 'tenants/demo', { number: '0301234567', seconds: '0' }), {
      cost: '0.00',
      gateways: ['carrier1'],
    })
  },
)

t.test('a rate that has just been added is found', async (t) => {
  const body = { prefix: '0919', price_per_minute: '3' }
  t.equal((await api.ask(t, 'POST', '/v1/decks/demo/rates', { body })).status, 201)
  t.match(await cost(t, 'tenants/demo', { number: '0919345678', seconds: '60' }), { cost: '3.00' })
})

t.test('what costs nothing, or may not be called, says why', async (t) => {
  const of = (tenant: string, number: string) => cost(t, `tenants/${tenant}`, { number, seconds: '60' })
  t.match(await of('demo', '113'), {
    ...{
      class: 'emergency',
      rate: null,
      is_allowed: true,
      cost: '0.00',
      why: 'Emergency numbers cost nothing.',
    },
  })
  t.match(await of('demo', '0900123456'), {
    is_allowed: false,
    why: 'The tenant blocks this destination.',
    rate: { id: '8490' },
  })
  t.match(await of('demo', '+4930123456'), {
    ...{ is_allowed: false, rate: null, cost: null, class: 'international', deck: 'demo' },
    why: 'The deck has no rate for this number at that time.',
  })
  t.match(await of('free', '+4930123456'), { is_allowed: true, rate: null, cost: '0.00', why: /for nothing/ })
  t.match(await of('bare', '0912345678'), { is_allowed: false, deck: null, why: 'The tenant has no deck.' })
  t.match(await of('demo', '1001'), {
    is_inside: true,
    is_allowed: true,
    cost: '0.00',
    deck: 'in',
    gateways: [],
  })
  t.match(await of('demo', '02812345678'), {
    is_inside: true,
    rate: { prefix: '842812345678' },
    cost: '60.00',
  })
})

t.test('a deck that no tenant has is asked in the same way', async (t) => {
  t.match(await cost(t, 'decks/spare', { number: '030123456', seconds: '61', country: 'DE' }), {
    ...{ normal_form: '4930123456', deck: 'spare', currency: 'EUR', why: null, cost: '2.00', increments: 1 },
  })
  t.match(await cost(t, 'decks/spare', { number: '030123456', seconds: '61' }), {
    ...{ rate: null, cost: null, why: 'The deck has no rate for this number at that time.' },
  })
})

t.test('wrong questions are told what is allowed', async (t) => {
  for (const seconds of ['-1', '1.2345', '1e3', '10000001', 'x'])
    t.match(await cost(t, 'tenants/demo', { number: '113', seconds }, 400), {
      errors: [{ field: 'seconds' }],
    })
  for (const whose of ['tenants/demo', 'decks/demo']) {
    t.match(await cost(t, whose, { number: '113', seconds: '1', at: 'now' }, 400), {
      errors: [{ field: 'at' }],
    })
    t.match(await cost(t, whose, { number: 'a\0', seconds: '1' }, 400), { errors: [{ field: 'number' }] })
    await cost(t, whose, { seconds: '1' }, 400)
  }
  for (const whose of ['tenants/nobody', 'tenants/a%00', 'decks/nobody', 'decks/a%00'])
    await cost(t, whose, { number: '113', seconds: '1' }, 404)
})

t.test('its answers were all seen', async (t) => {
  const own = /^(getTenantCost|getDeckCost) /
  t.strictSame(
    api.contract.unseen().filter((answer) => own.test(answer) && !/ (401|403|429|503)$/.test(answer)),
    [],
  )
})
