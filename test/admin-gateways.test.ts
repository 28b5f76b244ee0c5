import t from 'tap'
import { answersOfGateways, startAdminApi } from './support/admin-api.js'

const api = await startAdminApi(t)
await api.database.pool.query(`
  INSERT INTO tenants (id, name, country, currency) VALUES ('other', 'Other', 'VN', 'VND');
  INSERT INTO gateways (tenant_id, name, prefix, prefix_entered, priority, carrier_cost_per_minute, max_calls)
    VALUES ('demo', 'carrier2', '8490', '090', 5, 320.5, 60), ('other', 'carrier2', '', '', 100, NULL, 20)`)

interface Page {
  items: Record<string, unknown>[]
  next: string | null
}

async function list(t: Parameters<typeof api.ask>[0], query = ''): Promise<Page> {
  const answer = await api.ask(t, 'GET', `/v1/gateways${query}`)
  t.equal(answer.status, 200)
  return answer.json() as unknown as Page
}

t.test('gateways are listed as they are configured, with how they do', async (t) => {
  const { items, next } = await list(t)
  t.equal(next, null)
  t.strictSame(
    items.map(({ tenant, name }) => `${String(tenant)} ${String(name)}`),
    ['demo carrier1', 'demo carrier2', 'other carrier2'],
  )
  t.strictSame(items[1], {
    name: 'carrier2',
    tenant: 'demo',
    prefix: '8490',
    prefix_entered: '090',
    priority: 5,
    carrier_cost_per_minute: '320.50',
    // Of two rows with one name the smallest counts.
    max_calls: 20,
    max_calls_per_second: null,
    state: 'up',
    failures: 0,
    rests_until: null,
    last_cause: null,
    down_on: [],
    calls: 0,
    calls_everywhere: 0,
  })
  t.match(items[0], { max_calls: null, calls_everywhere: null })
})

t.test('page by page, and by tenant', async (t) => {
  const first = await list(t, '?limit=2')
  t.equal(first.items.length, 2)
  const second = await list(t, `?limit=2&cursor=${first.next ?? ''}`)
  t.strictSame(
    [...first.items, ...second.items].map(({ tenant }) => tenant),
    ['demo', 'demo', 'other'],
  )
  t.equal(second.next, null)
  t.strictSame((await list(t, '?tenant=other')).items.length, 1)
  t.strictSame((await list(t, '?tenant=nobody')).items, [])
  t.strictSame((await list(t, '?tenant=a%00b')).items, [])
  for (const cursor of ['x', '0', '-1', '1e3', '9999999999'])
    t.equal((await api.ask(t, 'GET', `/v1/gateways?cursor=${cursor}`)).status, 400, cursor)
})

t.test('Redis away: nobody knows how many calls there are everywhere', async (t) => {
  await api.redisLine.cut()
  t.match((await list(t)).items, [{}, { calls: 0, calls_everywhere: null }, {}])
  await api.redisLine.mend()
})

t.test('its answers of its own were seen', async (t) => {
  t.strictSame(
    api.contract.unseen().filter((answer) => answersOfGateways.test(answer)),
    [],
  )
})
