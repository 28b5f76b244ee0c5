import assert from 'node:assert/strict'

import pg from 'pg'
import { pino } from 'pino'
import t, { type Test } from 'tap'

import { CdrMonths } from '../src/cdr-months.js'
import { auditBooks, auditMode } from '../src/store/audit.js'
import { listCdrs } from '../src/store/cdrs.js'
import { commitRecords } from '../src/store/commit.js'
import { inTransaction, openPool } from '../src/store/database.js'
import { ensurePartitions } from '../src/store/partitions.js'
import { dropOldCdrs, type Retention } from '../src/store/retention.js'
import { booksOf, makeTenants, paidCall, unansweredCall } from './support/call-records.js'
import { logLines } from './support/log-lines.js'
import { testDatabase } from './support/services.js'

const log = pino({ level: 'silent' })

/** Calls of three months, and some of months that have no table. */
async function months(t: Test) {
  const { pool, url } = await testDatabase(t)
  await ensurePartitions(pool, new Date('2025-03-10T00:00:00Z'))
  const [tenant, other] = (await makeTenants(pool, 'kept', 2)) as [string, string]
  const days = ['2024-06-01', '2025-02-01', '2025-02-28', '2025-03-01', '2025-03-31', '2025-04-01']
  const calls = days.flatMap((day) => {
    const startedAt = Date.parse(`${day}T12:00:00Z`) * 1000
    return [
      paidCall(60_000, { tenant, startedAt }),
      paidCall(30_000, { tenant: other, startedAt }),
      unansweredCall({ tenant: null, currency: null, startedAt }),
    ]
  })
  await commitRecords(pool, calls)
  const count = async (table: string) =>
    (await pool.query<{ count: number }>(`SELECT count(*)::integer AS count FROM ${table}`)).rows[0]?.count
  const drop = (now: string, retention: Retention = { unit: 'months', count: 2 }) =>
    dropOldCdrs(pool, { retention, now: new Date(now), log, pauseMs: 1 })
  const findings = async () => (await inTransaction(pool, auditBooks, auditMode)).findings
  const days_ = async () =>
    (await listCdrs(pool, { limit: 100, tenant })).items
      .map(({ started_at: at }) => at.slice(0, 10))
      .reverse()
  return { pool, url, tenant, other, calls, count, drop, findings, daysLeft: days_ }
}

t.test('months that are over for long enough are dropped, and the books still add up', async (t) => {
  const { pool, tenant, calls, count, drop, findings, daysLeft } = await months(t)
  const before = await booksOf(pool, tenant)
  t.same(await drop('2025-04-30T23:59:59Z'), [], 'February is kept for two months after its end')
  t.same(
    await daysLeft(),
    ['2025-02-01', '2025-02-28', '2025-03-01', '2025-03-31', '2025-04-01'],
    'a stray is not',
  )
  t.same(await findings(), [])
  t.same(await drop('2025-05-01T00:00:00Z'), ['2025_02'])
  t.same(await daysLeft(), ['2025-03-01', '2025-03-31', '2025-04-01'])
  t.same(await findings(), [])
  t.equal(await count('charges'), 6, 'their charges went with them')
  t.equal(await count('call_keys'), 18, 'their calls are known')
  t.match(await booksOf(pool, tenant), {
    balance: before.balance,
    ledger: before.ledger,
    lines: before.lines,
  })

  t.same(await drop('2025-05-01T00:00:00Z'), [], 'again, it does nothing')
  t.equal((await commitRecords(pool, calls)).size, 0, 'what comes late again is not billed again')
  t.match(await booksOf(pool, tenant), { balance: before.balance, lines: before.lines })
  t.same(await findings(), [])

  const late = paidCall(60_000, { tenant, startedAt: Date.parse('2025-02-14T00:00:00Z') * 1000 })
  t.equal((await commitRecords(pool, [late])).size, 1, 'a call that was never known has its CDR')
  t.same(await findings(), [])
  await drop('2025-05-01T00:00:00Z')
  t.same(await daysLeft(), ['2025-03-01', '2025-03-31', '2025-04-01'], 'until the next time')
  t.same(await findings(), [])
  const { rows } = await pool.query(
    `SELECT relname FROM pg_class WHERE relname LIKE 'dropped_cdrs_%' AND relkind = 'r'`,
  )
  t.same(rows, [])
})

t.test('a retention in days keeps a month until its last day is old enough', async (t) => {
  const { drop } = await months(t)
  const days = { unit: 'days', count: 62 } as const
  t.same(await drop('2025-05-01T23:59:59Z', days), [])
  // The first of March is 62 days before the second of May.
  t.same(await drop('2025-05-02T00:00:00Z', days), ['2025_02'])
})

t.test('the audit finds a CDR that is gone without having been dropped', async (t) => {
  const { pool, tenant, calls, drop, findings } = await months(t)
  await drop('2025-05-01T00:00:00Z')
  await pool.query(
    `INSERT INTO dropped_cdrs (started_before, tenant_id, calls, cost) VALUES ('2025-03-01', $1, 0, 1)`,
    [tenant],
  )
  t.match(await findings(), [
    { tenant, what: /dropped cost 1501\.000000, the ledger has debits of 1500\.000000/ },
  ])
  await pool.query('DELETE FROM dropped_cdrs WHERE calls = 0 AND cost = 1')
  await pool.query('DELETE FROM cdrs WHERE call_uuid = $1', [calls.at(-3)?.callUuid])
  await pool.query('DELETE FROM charges WHERE call_uuid = $1', [calls.at(-3)?.callUuid])
  t.match(await findings(), [
    { tenant, what: /costs 0, the ledger has a debit of 500/ },
    { what: /has no CDR/ },
  ])
})

t.test(
  'a month that somebody reads is taken away when he has done, and no commit waits for that',
  async (t) => {
    const { pool, url, tenant, drop, findings } = await months(t)
    const reader = new pg.Client(url)
    await reader.connect()
    t.teardown(() => reader.end())
    await reader.query('BEGIN')
    await reader.query('SELECT count(*) FROM cdrs')
    const dropping = drop('2025-05-01T00:00:00Z')
    let isOver = false
    const over = dropping.then((done) => {
      isOver = true
      return done
    })
    // As the server's own pool: a commit that waited for longer would be refused.
    const commits = openPool(url, { max: 2, lockTimeoutMs: 500 })
    t.teardown(() => commits.end())
    await untilTried(pool)
    for (let i = 0; i < 5; i++) {
      await commitRecords(commits, [paidCall(6_000, { tenant })])
      await untilTried(pool)
    }
    t.notOk(isOver, 'while it is read it stays')
    await reader.query('COMMIT')
    t.same(await over, ['2025_02'])
    t.same(await findings(), [])
  },
)

/** Somebody waits for the table of CDRs. */
async function untilTried(pool: pg.Pool): Promise<void> {
  for (;;) {
    const { rowCount } = await pool.query(
      `SELECT FROM pg_locks WHERE relation = 'cdrs'::regclass AND mode = 'AccessExclusiveLock' AND NOT granted`,
    )
    if (rowCount === 1) return
  }
}

t.test('of several nodes one does it, and what it was interrupted in goes on the next time', async (t) => {
  const { pool, count, drop, findings } = await months(t)
  const all = await Promise.all(Array.from({ length: 4 }, () => drop('2025-05-01T00:00:00Z')))
  t.same(all.flat(), ['2025_02'], 'one of them')
  // As after a crash between two steps.
  await pool.query(`CREATE TABLE dropped_cdrs_2025_01 (LIKE cdrs)`)
  await pool.query(`INSERT INTO dropped_cdrs_2025_01 SELECT * FROM cdrs WHERE started_at < '2025-03-02'`)
  await pool.query(`DELETE FROM cdrs WHERE started_at < '2025-03-02'`)
  await pool.query(`INSERT INTO dropped_cdrs (started_before, tenant_id, calls, cost)
    SELECT '2025-04-01', tenant_id, count(*), sum(cost) FROM dropped_cdrs_2025_01 GROUP BY tenant_id`)
  t.same(await findings(), [], 'meanwhile the books add up')
  t.equal(await count('charges'), 6)
  await drop('2025-05-01T00:00:00Z')
  t.equal(await count('charges'), 4)
  t.same(await findings(), [])
  await t.rejects(count('dropped_cdrs_2025_01'), { code: '42P01' })
})

t.test('a server drops them when it starts, and says so', async (t) => {
  const { pool, daysLeft } = await months(t)
  const { log: loud, lines } = logLines()
  const kept = await CdrMonths.start({ pool, retention: undefined, log: loud })
  await kept.close()
  t.equal((await daysLeft()).length, 6)
  const dropping = await CdrMonths.start({ pool, retention: { unit: 'months', count: 2 }, log: loud })
  while ((await daysLeft()).length > 0) assert.ok(lines.length < 100)
  await dropping.close()
  t.match(lines, [
    { month: 'cdrs_2025_02', calls: 6, msg: 'the CDRs of an old month were dropped' },
    { month: 'cdrs_2025_03' },
    { month: 'cdrs_2025_04' },
    { month: 'cdrs_2025_05', calls: 0 },
    { calls: 3, msg: 'old CDRs that were in no month were dropped' },
  ])
})
