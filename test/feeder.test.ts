import { EventEmitter, once } from 'node:events'

import type pg from 'pg'
import { pino } from 'pino'
import t, { type Test } from 'tap'

import { Environment } from '../src/journal/environment.js'
import { Feeder, type FeederOptions } from '../src/journal/feeder.js'
import { Journal } from '../src/journal/journal.js'
import { openPool } from '../src/store/database.js'
import { booksOf, makeTenants, paidCall } from './support/call-records.js'
import { Line } from './support/outage.js'
import { temporaryFolder, testDatabase } from './support/services.js'

const { pool, url } = await testDatabase(t)
const silent = pino({ level: 'silent' })
const away = 'PostgreSQL does not commit: call records wait'
const back = 'PostgreSQL commits again'

/** A logger whose lines a test can wait for: an event for each, named by its message. */
function listeningLog() {
  const said = new EventEmitter()
  const lines: string[] = []
  const log = pino(
    {},
    {
      write(text: string) {
        const { msg } = JSON.parse(text) as { msg: string }
        lines.push(msg)
        said.emit(msg)
      },
    },
  )
  return { log, lines, said }
}

async function testJournal(t: Pick<Test, 'teardown'>, dir?: string): Promise<Journal> {
  const journal = await Journal.open({
    dir: dir ?? (await temporaryFolder(t)),
    log: silent,
    reserveBytes: 2 ** 20,
  })
  t.teardown(() => journal.close())
  return journal
}

function feed(
  t: Pick<Test, 'teardown'>,
  journal: Journal,
  options: Partial<Omit<FeederOptions, 'journal'>> = {},
): Feeder {
  const feeder = new Feeder({ journal, pool, log: silent, ...options })
  t.teardown(() => feeder.close())
  return feeder
}

/** A pool whose connections go over a line that can be cut. */
async function distantPool(t: Pick<Test, 'teardown'>): Promise<{ line: Line; distant: pg.Pool }> {
  const line = await Line.to(t, url)
  const distant = openPool(line.url(url), { max: 4 })
  t.teardown(() => distant.end())
  return { line, distant }
}

async function makeTenant(id: string): Promise<void> {
  await pool.query(`INSERT INTO tenants (id, name, country, currency) VALUES ($1, $1, 'VN', 'VND')`, [id])
}

t.test('records that come together are delivered, each exactly once', async (t) => {
  const tenants = await makeTenants(pool, 'together', 10)
  const journal = await testJournal(t)
  const feeder = feed(t, journal, { maxBatch: 50 })
  const calls = Array.from({ length: 1_000 }, (_, i) => paidCall(60_000, { tenant: tenants[i % 10]! }))
  await Promise.all([...calls, ...calls.slice(0, 100)].map((call) => journal.append(call)))
  t.ok(await feeder.drain())
  t.equal(journal.pending, 0)
  for (const tenant of tenants)
    t.match(await booksOf(pool, tenant), {
      balance: '-50000.000000',
      ledger: '-50000.000000',
      calls: 100,
      breaks: 0,
    })
})

t.test('what a process before this one left is delivered', async (t) => {
  const [tenant] = await makeTenants(pool, 'before', 1)
  const dir = await temporaryFolder(t)
  const before = await testJournal(t, dir)
  await Promise.all(Array.from({ length: 120 }, () => before.append(paidCall(60_000, { tenant: tenant! }))))
  await before.close()
  t.ok(await feed(t, await testJournal(t, dir)).drain())
  t.match(await booksOf(pool, tenant!), { ledger: '-60000.000000', balance: '-60000.000000', calls: 120 })
})

t.test('what another process puts into the journal is delivered, too', async (t) => {
  const [tenant] = await makeTenants(pool, 'other', 1)
  const dir = await temporaryFolder(t)
  const journal = await testJournal(t, dir)
  const feeder = feed(t, journal)
  await journal.append(paidCall(60_000, { tenant: tenant! }))
  await feeder.drain()
  // Its key sorts before all that this process makes, and nobody tells the feeder.
  const env = Environment.open(dir)
  const text = JSON.stringify({ v: 1, record: paidCall(60_000, { tenant: tenant! }) })
  await env.write([{ on: 'records', key: '0000000000000001-another', text }])
  await env.close()
  t.ok(await feeder.drain())
  t.match(await booksOf(pool, tenant!), { calls: 2, balance: '-1000.000000' })
})

t.test('a poison record is set aside with the reason, and the rest goes on', async (t) => {
  const [tenant, late] = await makeTenants(pool, 'poison', 2)
  await pool.query('DELETE FROM tenants WHERE id = $1', [late])
  const dir = await temporaryFolder(t)
  const journal = await testJournal(t, dir)
  const poison = [
    { ...paidCall(60_000, { tenant: tenant! }), billedMs: -1 },
    { ...paidCall(60_000, { tenant: tenant! }), cost: '1.00' },
    paidCall(60_000, { tenant: late! }),
  ]
  const calls = Array.from({ length: 200 }, () => paidCall(60_000, { tenant: tenant! }))
  calls.splice(100, 0, ...poison)
  await Promise.all(calls.map((call) => journal.append(call)))
  const env = Environment.open(dir)
  await env.write([
    { on: 'records', key: '0000000000000001-newer', text: '{"v":2,"record":{}}' },
    { on: 'records', key: '0000000000000002-damaged', text: '{"v":1,"rec' },
    { on: 'records', key: '0000000000000003-other', text: '{"v":1,"record":{"v":1}}' },
  ])
  await env.close()
  const { log, lines } = listeningLog()
  const feeder = feed(t, journal, { log })
  t.ok(await feeder.drain())
  t.match(await booksOf(pool, tenant!), { ledger: '-100000.000000', balance: '-100000.000000', calls: 200 })
  t.equal(journal.aside, 6)
  const reasons = journal.readAside(10).map(({ reason }) => reason)
  t.match(reasons, [
    /the entry is of version 2, which this release does not know/,
    /the entry is damaged/,
    /no call record/,
    /cdrs.*billed_ms/,
    /costs 1.00, but its charges do not add up to that/,
    /balance_after|tenant/,
  ])
  t.match(JSON.parse(journal.readAside(10).at(-1)!.entry), { record: poison[2] }, 'it is all there')
  t.equal(lines.filter((line) => line === 'a call record cannot be delivered: it is set aside').length, 6)

  await makeTenants(pool, 'poison', 2).catch(() => undefined)
  await pool.query(`INSERT INTO tenants (id, name, country, currency) VALUES ($1, $1, 'VN', 'VND')`, [late])
  t.equal(await journal.retryAside(), 6)
  t.ok(await feeder.drain())
  t.equal(journal.aside, 5)
  t.match(await booksOf(pool, late!), { ledger: '-500.000000', balance: '-500.000000', calls: 1 })
})

t.test('two records of a call that differ in whose, when or how much: nobody guesses', async (t) => {
  await makeTenant('first')
  await makeTenant('other')
  const journal = await testJournal(t)
  const feeder = feed(t, journal)
  const startedAt = Date.now() * 1000
  const call = paidCall(60_000, { tenant: 'first', startedAt })
  const { callUuid } = call
  await journal.append(call)
  await feeder.drain()
  await Promise.all(
    [
      call,
      paidCall(90_000, { tenant: 'first', startedAt, callUuid }),
      paidCall(60_000, { tenant: 'first', startedAt: startedAt + 1, callUuid }),
      paidCall(60_000, { tenant: 'other', startedAt, callUuid }),
    ].map((record) => journal.append(record)),
  )
  await feeder.drain()
  t.same(
    journal
      .readAside(10)
      .map(({ reason }) => reason.replace(callUuid, 'X').replaceAll(String(startedAt), 'S')),
    [
      'call X has a record already, which costs 500.000000; this one costs 750.00',
      `call X has a record already, of a call that began at S; this one began at ${startedAt + 1} (µs)`,
      'call X has a record already, of tenant first; this one is of other',
    ],
  )
  t.match(await booksOf(pool, 'first'), { balance: '-500.000000', lines: 1, calls: 1 })
  t.match(await booksOf(pool, 'other'), { lines: 0, calls: 0 })
  // Both in one batch: the first one counts.
  const twin = paidCall(60_000, { tenant: 'first' })
  await Promise.all([
    journal.append(twin),
    journal.append({
      ...paidCall(30_000, { tenant: 'first', callUuid: twin.callUuid, startedAt: twin.startedAt }),
    }),
  ])
  await feeder.drain()
  t.equal(journal.aside, 4)
})

t.test('what was set aside is tried again at the next start', async (t) => {
  const dir = await temporaryFolder(t)
  const first = await testJournal(t, dir)
  await first.append(paidCall(60_000, { tenant: 'nobody-yet' }))
  const feeder = feed(t, first)
  await feeder.drain()
  t.equal(first.aside, 1)
  await feeder.close()
  await first.close()
  await makeTenant('nobody-yet')
  const second = await testJournal(t, dir)
  t.equal(second.aside, 0)
  t.ok(await feed(t, second).drain())
  t.match(await booksOf(pool, 'nobody-yet'), { calls: 1, balance: '-500.000000' })
})

t.test('records that the server fails at, time and again, get out of the way of the rest', async (t) => {
  const [tenant] = await makeTenants(pool, 'killer', 1)
  await pool.query(`
    CREATE FUNCTION cancel() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      RAISE EXCEPTION 'canceling statement due to statement timeout' USING ERRCODE = 'query_canceled';
    END $$;
    CREATE TRIGGER cancel BEFORE INSERT ON cdrs FOR EACH ROW WHEN (NEW.caller_name = 'killer')
      EXECUTE FUNCTION cancel()`)
  t.teardown(() => pool.query('DROP FUNCTION cancel() CASCADE'))
  const journal = await testJournal(t)
  const calls = Array.from({ length: 100 }, (_, i) =>
    paidCall(60_000, { tenant: tenant!, callerName: [0, 1, 40].includes(i) ? 'killer' : 'caller' }),
  )
  await Promise.all(calls.map((call) => journal.append(call)))
  const feeder = feed(t, journal, { maxBatch: 20 })
  t.ok(await feeder.drain())
  t.match(await booksOf(pool, tenant!), { calls: 97, breaks: 0 })
  t.match(
    journal.readAside(10).map(({ reason }) => reason),
    Array(3).fill('canceling statement due to statement timeout'),
  )
})

t.test('the database goes away and comes back: nothing is lost, nothing is billed twice', async (t) => {
  const [tenant] = await makeTenants(pool, 'outage', 1)
  const { line, distant } = await distantPool(t)
  const { log, lines, said } = listeningLog()
  const journal = await testJournal(t)
  const feeder = feed(t, journal, { pool: distant, log, maxBatch: 20 })
  const calls = Array.from({ length: 400 }, () => paidCall(60_000, { tenant: tenant! }))

  const gone = once(said, away)
  // Statements are under way now: of some the answer is lost, and they are committed all the same.
  await Promise.all(calls.slice(0, 300).map((call) => journal.append(call)))
  await line.cut()
  await journal.append(calls[300]!)
  await gone
  t.ok(feeder.isAway)
  await Promise.all(calls.slice(301).map((call) => journal.append(call)))
  t.ok(journal.pending >= 100, 'they wait')
  const returned = once(said, back)
  await line.mend()
  await returned
  t.ok(await feeder.drain())
  t.notOk(feeder.isAway)
  t.match(await booksOf(pool, tenant!), {
    ledger: '-200000.000000',
    balance: '-200000.000000',
    calls: 400,
    breaks: 0,
  })
  t.same(lines, [away, back], 'each said once')
})

t.test('connections that the server ends under the feeder lose nothing', async (t) => {
  const [tenant] = await makeTenants(pool, 'killed', 1)
  const own = openPool(url, { max: 4 })
  t.teardown(() => own.end())
  const journal = await testJournal(t)
  const feeder = feed(t, journal, { pool: own, maxBatch: 10 })
  for (let round = 0; round < 3; round++) {
    await Promise.all(
      Array.from({ length: 100 }, () => journal.append(paidCall(60_000, { tenant: tenant! }))),
    )
    // All of this database's connections that run the commit statement right now.
    await pool.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%call_keys%'`,
    )
    t.ok(await feeder.drain())
  }
  t.match(await booksOf(pool, tenant!), {
    ledger: '-150000.000000',
    balance: '-150000.000000',
    calls: 300,
    breaks: 0,
  })
})

t.test('a drain that is given up leaves the rest to the next start', async (t) => {
  const [tenant] = await makeTenants(pool, 'patience', 1)
  const { line, distant } = await distantPool(t)
  await line.cut()
  const { log, said } = listeningLog()
  const dir = await temporaryFolder(t)
  const journal = await testJournal(t, dir)
  const feeder = feed(t, journal, { pool: distant, log, maxBatch: 2 })
  const gone = once(said, away)
  await Promise.all(Array.from({ length: 7 }, () => journal.append(paidCall(60_000, { tenant: tenant! }))))
  await gone
  const patience = new AbortController()
  const drained = feeder.drain(patience.signal)
  patience.abort()
  t.notOk(await drained)
  await feeder.close()
  t.notOk(await feeder.drain(), 'nor does a closed one wait')
  t.equal(journal.pending, 7)
  await journal.close()
  t.ok(await feed(t, await testJournal(t, dir)).drain())
  t.match(await booksOf(pool, tenant!), { calls: 7 })
})
