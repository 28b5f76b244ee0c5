import { pino } from 'pino'
import t from 'tap'

import { Feeder } from '../src/journal/feeder.js'
import { Journal } from '../src/journal/journal.js'
import { listCdrs } from '../src/store/cdrs.js'
import { commitRecords } from '../src/store/commit.js'
import { ensurePartitions } from '../src/store/partitions.js'
import { unansweredCall } from './support/call-records.js'
import { temporaryFolder, testDatabase } from './support/services.js'

const { pool } = await testDatabase(t)

async function partitions(): Promise<string[]> {
  const { rows } = await pool.query<{ name: string }>(
    `SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'cdrs'::regclass ORDER BY name`,
  )
  return rows.map(({ name }) => name)
}

async function tableOf(callUuid: string): Promise<string | undefined> {
  const { rows } = await pool.query<{ name: string }>(
    'SELECT tableoid::regclass::text AS name FROM cdrs WHERE call_uuid = $1',
    [callUuid],
  )
  return rows[0]?.name
}

t.test('the month before, this one and the next two get their tables, over the end of a year', async (t) => {
  const before = await partitions()
  await ensurePartitions(pool, new Date('2030-12-31T23:59:59.999Z'))
  const made = (await partitions()).filter((name) => !before.includes(name))
  t.same(made, ['cdrs_2030_11', 'cdrs_2030_12', 'cdrs_2031_01', 'cdrs_2031_02'])
  const edges = [
    '2030-11-30T23:59:59.999Z',
    '2030-12-01T00:00:00Z',
    '2031-02-28T23:59:59.999Z',
    '2031-03-01T00:00:00Z',
  ]
  const calls = edges.map((day) => unansweredCall({ startedAt: Date.parse(day) * 1000 }))
  await commitRecords(pool, calls)
  t.same(await Promise.all(calls.map(({ callUuid }) => tableOf(callUuid))), [
    'cdrs_2030_11',
    'cdrs_2030_12',
    'cdrs_2031_02',
    'cdrs_default',
  ])
})

t.test('again, and from several nodes at once, it changes nothing', async (t) => {
  const now = new Date('2032-06-15T12:00:00Z')
  await Promise.all(Array.from({ length: 5 }, () => ensurePartitions(pool, now)))
  const made = await partitions()
  t.equal(made.filter((name) => name.startsWith('cdrs_2032')).length, 4)
  await ensurePartitions(pool, now)
  t.same(await partitions(), made)
})

t.test('records that came before their table move into it, and stay known', async (t) => {
  const calls = [
    '2034-05-31T23:59:59Z',
    '2034-06-01T00:00:00Z',
    '2034-06-30T12:00:00Z',
    '2034-09-01T00:00:00Z',
  ].map((day) => unansweredCall({ startedAt: Date.parse(day) * 1000 }))
  await commitRecords(pool, calls)
  const before = await listCdrs(pool, { limit: 10 })
  t.equal(await tableOf(calls[1]!.callUuid), 'cdrs_default')
  await ensurePartitions(pool, new Date('2034-06-15T00:00:00Z'))
  t.same(await Promise.all(calls.map(({ callUuid }) => tableOf(callUuid))), [
    'cdrs_2034_05',
    'cdrs_2034_06',
    'cdrs_2034_06',
    'cdrs_default',
  ])
  t.equal((await commitRecords(pool, calls)).size, 0)
  t.same(await listCdrs(pool, { limit: 10 }), before)
})

t.test('tables are made while records of their months are committed, and none is lost', async (t) => {
  const months = Array.from({ length: 4 }, (_, i) => Date.UTC(2036, i, 10))
  const calls = Array.from({ length: 400 }, (_, i) => unansweredCall({ startedAt: months[i % 4]! * 1000 }))
  // A row that is on its way to cdrs_default when the month's table comes between is refused by PostgreSQL: to
  // the feeder that is no fault of the record.
  const log = pino({ level: 'silent' })
  const journal = await Journal.open({ dir: await temporaryFolder(t), log, reserveBytes: 2 ** 20 })
  await Promise.all(calls.map((call) => journal.append(call)))
  const feeder = new Feeder({ journal, pool, log, maxBatch: 5, lanes: 6 })
  await Promise.all([feeder.drain(), ensurePartitions(pool, new Date(Date.UTC(2036, 1, 1)))])
  t.equal(journal.aside, 0)
  await feeder.close()
  await journal.close()
  const { rows } = await pool.query(
    `SELECT count(*)::integer AS calls, count(*) FILTER (WHERE tableoid = 'cdrs_default'::regclass)::integer AS stray
    FROM cdrs WHERE started_at BETWEEN '2036-01-01' AND '2036-05-01'`,
  )
  t.same(rows, [{ calls: 400, stray: 0 }])
})
