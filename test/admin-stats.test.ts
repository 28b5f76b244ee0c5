import t from 'tap'
import { BegunCalls } from '../src/call/remote/begun-calls.js'
import { callTotals } from '../src/store/call-totals.js'
import { commitRecords } from '../src/store/commit.js'
import { inTransaction } from '../src/store/database.js'
import { startAdminApi } from './support/admin-api.js'
import { makeTenants, paidCall, unansweredCall } from './support/call-records.js'

/** What calls did lately; what they do now is told in admin-calls.test.ts, where there are any. */

const api = await startAdminApi(t)
const { ask, database, others, contract, makeKey } = api
const ago = (seconds: number): number => (Date.now() - seconds * 1000) * 1000

t.before(async () => {
  const [alpha = '', beta = ''] = await makeTenants(database.pool, 'stats', 2)
  const calls = [
    paidCall(60_000, { tenant: alpha, startedAt: ago(100) }),
    paidCall(30_000, { tenant: alpha, startedAt: ago(200), route: 'menu' }),
    unansweredCall({ tenant: alpha, startedAt: ago(300), hangupCause: 'USER_BUSY' }),
    unansweredCall({ tenant: alpha, startedAt: ago(300), route: null, hangupCause: 'NO_ROUTE_DESTINATION' }),
    // It began before the window, and ended in it.
    paidCall(1_200_000, { tenant: alpha, startedAt: ago(4_000) }),
    // Before the window.
    paidCall(90_000, { tenant: alpha, startedAt: ago(7_000) }),
    paidCall(10_000, { tenant: beta, startedAt: ago(50) }),
  ]
  await commitRecords(database.pool, calls)
  await others.sadd(`stats:calls:${alpha}:ringing`, 'a', 'b', 'c')
  await others.sadd(`stats:calls:${alpha}:hangup`, 'a')
  await others.sadd(`stats:calls:${beta}:queued`, 'd')
  await api.dependencies.catalog.reload()
})

t.test('a window of a tenant is told by cause, route, answers and length, beside its sets', async (t) => {
  const { json } = await ask(t, 'GET', '/v1/stats?tenant=stats1')
  t.match(json(), {
    tenant: 'stats1',
    nodes: { asked: 1, answered: 1, trouble: null },
    now: { calls: 0, by_tenant: {}, by_route: {}, by_state: {} },
    begun: { per_second: 0, most_per_second: 0 },
    window: {
      seconds: 3600,
      calls: 5,
      answered: 3,
      answer_seizure_ratio: 0.6,
      average_length_ms: 430_000,
    },
  })
  const { window, statuses } = json() as { window: Record<string, object>; statuses: unknown }
  t.strictSame(window.by_cause, { NORMAL_CLEARING: 3, USER_BUSY: 1, NO_ROUTE_DESTINATION: 1 })
  t.strictSame(window.by_route, { dial: 3, menu: 1 })
  t.strictSame(window.by_tenant, { stats1: 5 })
  t.strictSame(statuses, [
    { tenant: 'stats1', ringing: 3, answered: 0, queued: 0, bridged: 0, transferred: 0, hangup: 1 },
  ])
  const longer = await ask(t, 'GET', '/v1/stats?tenant=stats1&window_seconds=7200')
  t.match(longer.json(), { window: { calls: 6, answer_seizure_ratio: 0.6667, average_length_ms: 345_000 } })
  const empty = await ask(t, 'GET', '/v1/stats?tenant=stats1&window_seconds=1')
  t.match(empty.json(), { window: { calls: 0, answer_seizure_ratio: null, average_length_ms: null } })
})

t.test('without a tenant it is told of all; a bound key sees its own alone', async (t) => {
  const all = (await ask(t, 'GET', '/v1/stats')).json()
  t.match(all, { tenant: null, window: { calls: 6, by_tenant: { stats1: 5, stats2: 1 } } })
  t.same(
    (all.statuses as { tenant: string }[]).map(({ tenant }) => tenant),
    ['stats1', 'stats2'],
  )
  const key = await makeKey('read', 'stats2')
  t.match((await ask(t, 'GET', '/v1/stats', { key })).json(), {
    tenant: 'stats2',
    window: { calls: 1, by_tenant: { stats2: 1 } },
    statuses: [{ tenant: 'stats2', queued: 1 }],
  })
  t.equal((await ask(t, 'GET', '/v1/stats?tenant=stats1', { key })).status, 404)
})

t.test('what there is not, and what is too much, is refused', async (t) => {
  t.equal((await ask(t, 'GET', '/v1/stats?tenant=nobody')).status, 404)
  t.equal((await ask(t, 'GET', '/v1/stats?tenant=a%00b')).status, 404)
  for (const seconds of ['0', '2678401', '1.5', 'x', '-1'])
    t.match((await ask(t, 'GET', `/v1/stats?window_seconds=${seconds}`)).json(), {
      status: 400,
      errors: [{ field: 'window_seconds' }],
    })
})

t.test(
  'while Redis is away the sets are not told, and that other servers could not be asked is',
  async (t) => {
    await api.redisLine.cut()
    const { status, json } = await ask(t, 'GET', '/v1/stats?tenant=stats1')
    t.equal(status, 200)
    t.match(json(), { statuses: null, nodes: { trouble: /Redis is away/ }, window: { calls: 5 } })
    await api.redisLine.mend()
  },
)

t.test('CDRs that take too long to count keep nobody waiting', async (t) => {
  await inTransaction(database.pool, async (client) => {
    await client.query('LOCK TABLE cdrs IN ACCESS EXCLUSIVE MODE')
    await t.rejects(callTotals(database.pool, { windowSeconds: 60, withinMs: 20 }), { code: '57014' })
    const answer = await ask(t, 'GET', '/v1/stats?tenant=stats1')
    t.equal(answer.status, 422)
    t.match(answer.json(), { detail: /ask for a shorter window_seconds/ })
  })
  await api.databaseLine.cut()
  t.equal((await ask(t, 'GET', '/v1/stats?tenant=stats1')).status, 503)
  await api.databaseLine.mend()
})

t.test('the index of a tenant and a time finds the CDRs of a window', async (t) => {
  await inTransaction(database.pool, async (client) => {
    await client.query('SET LOCAL enable_seqscan = off')
    const { rows } = await client.query<{ 'QUERY PLAN': string }>(
      `EXPLAIN SELECT count(*) FROM cdrs WHERE started_at >= now() - make_interval(secs => 60 + (SELECT max(max_call_seconds) FROM tenants))
         AND ended_at >= now() - make_interval(secs => 60) AND tenant_id = 'stats1'`,
    )
    t.match(rows.map((row) => row['QUERY PLAN']).join('\n'), /Index.* Scan.*tenant_id_started_at/)
  })
})

t.test('calls that begin are counted by the second, for a minute', (t) => {
  const clock = { ms: 1_000_000 }
  const begun = new BegunCalls(() => clock.ms)
  begun.add('demo')
  begun.add(undefined)
  t.strictSame(begun.perSecond(), Array(60).fill(0), 'this second is not over')
  clock.ms += 1_000
  begun.add('other')
  t.equal(begun.perSecond().at(-1), 2)
  t.equal(begun.perSecond('demo').at(-1), 1)
  clock.ms += 59_000
  const minute = begun.perSecond()
  t.equal(minute[0], 2)
  t.equal(minute[1], 1)
  t.equal(
    minute.reduce((sum, calls) => sum + calls, 0),
    3,
  )
  clock.ms += 1_000
  t.equal(begun.perSecond()[0], 1)
  clock.ms += 10_000_000
  begun.add('demo')
  clock.ms += 1_000
  t.strictSame(begun.perSecond(), [...Array<number>(59).fill(0), 1], 'a quiet time leaves nothing behind')
  t.end()
})

t.test('every answer of the description was seen', (t) => {
  t.same(
    contract.unseen().filter((answer) => /^getStats (?!401|403|429)/.test(answer)),
    [],
  )
  t.end()
})
