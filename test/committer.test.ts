import { EventEmitter, once } from 'node:events'

import { pino } from 'pino'
import t from 'tap'

import { Committer } from '../src/store/committer.js'
import { openPool } from '../src/store/database.js'
import { booksOf, makeTenants, paidCall } from './support/call-records.js'
import { Line } from './support/outage.js'
import { testDatabase } from './support/services.js'

const { pool, url } = await testDatabase(t)
const silent = pino({ level: 'silent' })

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

t.test('records that come together are committed, each exactly once', async (t) => {
  const tenants = await makeTenants(pool, 'together', 10)
  const committer = new Committer({ pool, log: silent, maxBatch: 50 })
  const calls = Array.from({ length: 1_000 }, (_, i) => paidCall(60_000, { tenant: tenants[i % 10]! }))
  const settled = Promise.all([...calls, ...calls.slice(0, 100)].map((call) => committer.commit(call)))
  t.equal(committer.pending, 1_100)
  await committer.drain()
  t.equal(committer.pending, 0)
  const answers = await settled
  t.equal(answers.filter((answer) => answer === 'new').length, 1_000)
  t.equal(answers.filter((answer) => answer === 'known').length, 100)
  for (const tenant of tenants)
    t.match(await booksOf(pool, tenant), {
      balance: '-50000.000000',
      ledger: '-50000.000000',
      calls: 100,
      breaks: 0,
    })
})

t.test('a record is readable as soon as its commit resolves', async (t) => {
  const committer = new Committer({ pool, log: silent })
  const call = paidCall(60_000)
  t.equal(await committer.commit(call), 'new')
  const { rowCount } = await pool.query('SELECT FROM cdrs WHERE call_uuid = $1', [call.callUuid])
  t.equal(rowCount, 1)
  t.equal(await committer.commit(call), 'known')
})

t.test('a poison record harms only itself', async (t) => {
  const [tenant] = await makeTenants(pool, 'poison', 1)
  const committer = new Committer({ pool, log: silent })
  const poison = [
    { ...paidCall(60_000, { tenant: tenant! }), billedMs: -1 },
    { ...paidCall(60_000, { tenant: tenant! }), cost: '1.00' },
    paidCall(60_000, { tenant: 'nobody' }),
  ]
  const calls = Array.from({ length: 200 }, () => paidCall(60_000, { tenant: tenant! }))
  calls.splice(100, 0, ...poison)
  const answers = await Promise.allSettled(calls.map((call) => committer.commit(call)))
  for (const [i, answer] of answers.entries()) {
    const call = calls[i]!
    if (!poison.includes(call)) t.match(answer, { status: 'fulfilled', value: 'new' })
    else
      t.match(answer, {
        status: 'rejected',
        reason: { name: 'CommitError', code: 'refused', message: call.callUuid },
      })
  }
  t.match(await booksOf(pool, tenant!), { ledger: '-100000.000000', balance: '-100000.000000', calls: 200 })
  t.equal(committer.pending, 0)
})

t.test('the database goes away and comes back: nothing is lost, nothing is billed twice', async (t) => {
  const [tenant] = await makeTenants(pool, 'outage', 1)
  const line = await Line.to(t, url)
  const { log, lines, said } = listeningLog()
  const distant = openPool(line.url(url), { max: 4 })
  t.teardown(() => distant.end())
  const committer = new Committer({ pool: distant, log, maxBatch: 20 })
  const calls = Array.from({ length: 400 }, () => paidCall(60_000, { tenant: tenant! }))

  const first = calls.slice(0, 300).map((call) => committer.commit(call))
  const away = once(said, 'PostgreSQL does not commit: call records wait')
  // Statements are under way now: of some the answer is lost, and they are committed all the same.
  await Promise.race(first)
  await line.cut()
  await away
  const second = calls.slice(300).map((call) => committer.commit(call))
  t.ok(committer.pending >= 100, 'they wait')
  const back = once(said, 'PostgreSQL commits again')
  await line.mend()
  await back
  await committer.drain()
  const answers = await Promise.all([...first, ...second])
  t.equal(answers.length, 400)
  t.match(await booksOf(pool, tenant!), {
    ledger: '-200000.000000',
    balance: '-200000.000000',
    calls: 400,
    breaks: 0,
  })
  t.same(
    lines,
    ['PostgreSQL does not commit: call records wait', 'PostgreSQL commits again'],
    'each said once',
  )
})

t.test('connections that the server ends under the committer lose nothing', async (t) => {
  const [tenant] = await makeTenants(pool, 'killed', 1)
  const { log, said } = listeningLog()
  const own = openPool(url, { max: 4 })
  t.teardown(() => own.end())
  const committer = new Committer({ pool: own, log, maxBatch: 10 })
  const calls = Array.from({ length: 300 }, () => paidCall(60_000, { tenant: tenant! }))
  for (let from = 0; from < calls.length; from += 100) {
    const answers = calls.slice(from, from + 100).map((call) => committer.commit(call))
    await answers[0]
    const hit = once(said, 'PostgreSQL does not commit: call records wait')
    // All of this database's connections that run the commit statement right now.
    await pool.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%call_keys%'`,
    )
    await Promise.race([hit, Promise.all(answers)])
    await Promise.all(answers)
  }
  t.match(await booksOf(pool, tenant!), {
    ledger: '-150000.000000',
    balance: '-150000.000000',
    calls: 300,
    breaks: 0,
  })
})

t.test('a drain that is given up says so for every record that is not known to be committed', async (t) => {
  const line = await Line.to(t, url)
  const distant = openPool(line.url(url), { max: 4 })
  t.teardown(() => distant.end())
  await line.cut()
  const { log, said } = listeningLog()
  const committer = new Committer({ pool: distant, log, maxBatch: 2 })
  const away = once(said, 'PostgreSQL does not commit: call records wait')
  const calls = Array.from({ length: 7 }, () => paidCall(60_000))
  const answers = Promise.allSettled(calls.map((call) => committer.commit(call)))
  await away
  const patience = new AbortController()
  const drained = committer.drain(patience.signal)
  patience.abort()
  await drained
  t.equal(committer.pending, 0)
  for (const [i, answer] of (await answers).entries())
    t.match(answer, {
      status: 'rejected',
      reason: { name: 'CommitError', code: 'aborted', message: calls[i]!.callUuid },
    })
  await t.rejects(committer.commit(paidCall(1)), { code: 'aborted' }, 'and for one that comes later')
  await committer.drain(AbortSignal.abort())
})
