import assert from 'node:assert/strict'

import fc from 'fast-check'
import { pino } from 'pino'
import t, { type Test } from 'tap'

import { Feeder } from '../src/journal/feeder.js'
import { Journal } from '../src/journal/journal.js'
import { auditBooks, auditMode } from '../src/store/audit.js'
import { listCdrs } from '../src/store/cdrs.js'
import type { CallRecord } from '../src/store/commit.js'
import { inTransaction, openPool } from '../src/store/database.js'
import type { LowBalance } from '../src/store/low-balance.js'
import { booksOf, incompleteCall, makeTenants, paidCall, unansweredCall } from './support/call-records.js'
import { makePayer } from './support/credit.js'
import { temporaryFolder, testDatabase } from './support/services.js'

const { pool, url } = await testDatabase(t)
const log = pino({ level: 'silent' })

/** A node as far as its records go: a journal, and connections of its own. */
async function node(t: Pick<Test, 'teardown'>, onLowBalance?: (low: LowBalance) => void) {
  const journal = await Journal.open({ dir: await temporaryFolder(t), log, reserveBytes: 2 ** 20 })
  t.teardown(() => journal.close())
  const own = openPool(url, { max: 4 })
  t.teardown(() => own.end())
  // Small batches: more of them at the same time.
  const feeder = new Feeder({ journal, pool: own, log, maxBatch: 7, ...(onLowBalance && { onLowBalance }) })
  t.teardown(() => feeder.close())
  return { journal, feeder }
}

type Node = Awaited<ReturnType<typeof node>>

function drain(nodes: readonly Node[]): Promise<boolean[]> {
  return Promise.all(nodes.map(({ feeder }) => feeder.drain()))
}

async function proveBooks(): Promise<void> {
  assert.deepEqual((await inTransaction(pool, auditBooks, auditMode)).findings, [])
}

async function onlyCdr(callUuid: string) {
  const { items } = await listCdrs(pool, { limit: 10, callUuid })
  assert.equal(items.length, 1, 'there is exactly one CDR')
  return items[0]!
}

function ordersOf<T>(items: readonly T[]): T[][] {
  return items.length === 0
    ? [[]]
    : items.flatMap((item, i) => ordersOf(items.toSpliced(i, 1)).map((rest) => [item, ...rest]))
}

/** What four makers of records may say of one call: two who guess, two who know. */
const makers = ['incomplete', 'session', 'json_cdr', 'incomplete again'] as const
const orders = ordersOf(makers)

/** A call that costs 500, and was guessed to cost 250, then 750. */
function fourRecords(tenant: string): Record<(typeof makers)[number], CallRecord> {
  const session = paidCall(60_000, { tenant })
  return {
    incomplete: incompleteCall(session, 30_000),
    session,
    json_cdr: { ...session, source: 'json_cdr' },
    'incomplete again': incompleteCall(session, 90_000),
  }
}

async function checkCalls(t: Test, tenant: string, calls: readonly CallRecord[]): Promise<void> {
  const cost = 500 * calls.length
  t.match(await booksOf(pool, tenant), {
    balance: `-${cost}.000000`,
    ledger: `-${cost}.000000`,
    cdrs: `${cost}.000000`,
    calls: calls.length,
    breaks: 0,
  })
  const { items } = await listCdrs(pool, { limit: calls.length + 1, tenant })
  assert.equal(items.length, calls.length)
  const byUuid = new Map(items.map((cdr) => [cdr.call_uuid, cdr]))
  for (const { callUuid, charges } of calls) {
    const cdr = byUuid.get(callUuid)
    assert(cdr)
    assert.match(cdr.source, /^(?:session|json_cdr)$/)
    assert.deepEqual(
      cdr.charges.map(({ leg_uuid: leg, cost }) => [leg, cost]),
      [[charges[0]?.legUuid, '500.00']],
    )
  }
  await proveBooks()
}

t.test(
  'what a session, mod_json_cdr and two who guess say, one after the other, in every order',
  async (t) => {
    const [tenant] = await makeTenants(pool, 'orders', 1)
    const nodes = [await node(t), await node(t)]
    const calls = orders.map((order) => ({ order, records: fourRecords(tenant!) }))
    for (let turn = 0; turn < makers.length; turn++) {
      // The two nodes in turn.
      const { journal } = nodes[turn % 2]!
      await Promise.all(calls.map(({ order, records }) => journal.append(records[order[turn]!])))
      await drain(nodes)
      await proveBooks()
    }
    await checkCalls(
      t,
      tenant!,
      calls.map(({ records }) => records.session),
    )
    t.same(
      nodes.map(({ journal }) => journal.aside),
      [0, 0],
    )
    const { rows } = await pool.query<{ kind: string; lines: number }>(
      `SELECT kind, count(*)::integer AS lines FROM ledger WHERE tenant_id = $1 GROUP BY kind ORDER BY kind`,
      [tenant],
    )
    // Half of the orders begin with a guess.
    t.same(rows, [
      { kind: 'adjustment', lines: 12 },
      { kind: 'debit', lines: 24 },
    ])
  },
)

t.test('the same from two nodes at the same time, however it is divided among them', async (t) => {
  const [tenant] = await makeTenants(pool, 'races', 1)
  const nodes = [await node(t), await node(t)]
  const calls = orders.flatMap((order) =>
    // Bit i: which node has the i-th record. The two are alike: the last one is always the first node's.
    Array.from({ length: 2 ** (makers.length - 1) }, (_, division) => ({
      order,
      division,
      records: fourRecords(tenant!),
    })),
  )
  await Promise.all(
    calls.flatMap(({ order, division, records }) =>
      order.map((maker, turn) => nodes[(division >> turn) & 1]!.journal.append(records[maker])),
    ),
  )
  await drain(nodes)
  await checkCalls(
    t,
    tenant!,
    calls.map(({ records }) => records.session),
  )
  t.same(
    nodes.map(({ journal }) => journal.aside),
    [0, 0],
  )
})

t.test('random guesses and records of random tenants, in any order: the records count', async () => {
  let run = 0
  const tenantOf = fc.option(fc.nat({ max: 2 }), { nil: null })
  const draft = fc.record({
    guesses: fc.array(fc.record({ tenant: tenantOf, ms: fc.nat({ max: 99_999 }), lateUs: fc.nat() }), {
      minLength: 1,
      maxLength: 3,
    }),
    tenant: tenantOf,
    ms: fc.nat({ max: 99_999 }),
    tellers: fc.array(fc.constantFrom('session', 'link', 'json_cdr'), { minLength: 1, maxLength: 3 }),
  })
  const nodes = [await node(t), await node(t), await node(t)]
  await fc.assert(
    fc.asyncProperty(
      fc.array(draft, { minLength: 1, maxLength: 30 }),
      fc.array(fc.nat(), { minLength: 180, maxLength: 180 }),
      async (drafts, picks) => {
        const tenants = await makeTenants(pool, `random${++run}-`, 3)
        const payer = (tenant: number | null) =>
          tenant === null ? { tenant: null, currency: null } : { tenant: tenants[tenant]!, currency: 'VND' }
        // Of nobody's call nothing is charged.
        const call = (tenant: number | null, ms: number) =>
          tenant === null ? unansweredCall(payer(null)) : paidCall(ms, payer(tenant))
        const calls = drafts.map(({ guesses, tenant, ms, tellers }) => {
          const real = call(tenant, ms)
          return {
            real,
            records: [
              ...tellers.map((source) => ({ ...real, source })),
              ...guesses.map((guess) =>
                incompleteCall(real, guess.tenant === null ? 0 : guess.ms, {
                  ...payer(guess.tenant),
                  startedAt: real.startedAt + guess.lateUs,
                }),
              ),
            ],
          }
        })
        const shuffled = calls
          .flatMap(({ records }) => records)
          .map((record, i) => ({ record, place: picks[i]! }))
          .sort((a, b) => a.place - b.place)
        await Promise.all(
          shuffled.map(({ record, place }) => nodes[place % nodes.length]!.journal.append(record)),
        )
        await drain(nodes)
        for (const { journal } of nodes) assert.equal(journal.aside, 0)
        for (const { real, records } of calls) {
          const { tenant, cost, source, started_at: startedAt } = await onlyCdr(real.callUuid)
          assert.deepEqual([tenant, Number(cost)], [real.tenant, Number(real.cost)])
          assert.ok(records.some((record) => record.source === source && source !== 'incomplete'))
          assert.equal(Date.parse(startedAt), Math.floor(real.startedAt / 1000))
        }
        await proveBooks()
      },
    ),
    { numRuns: 8, endOnFailure: true },
  )
})

t.test('a guess is dropped when anything is known of its call, and the first one counts', async (t) => {
  const [tenant, other] = await makeTenants(pool, 'guess', 2)
  const { journal, feeder } = await node(t)
  const real = paidCall(60_000, { tenant: tenant! })
  const first = incompleteCall(paidCall(0, { tenant: tenant! }), 30_000)
  for (const record of [
    real,
    incompleteCall(real, 90_000),
    incompleteCall(real, 90_000, { tenant: other!, startedAt: real.startedAt + 1 }),
    first,
    first,
    incompleteCall(first, 60_000),
  ]) {
    await journal.append(record)
    await feeder.drain()
  }
  t.equal(journal.aside, 0)
  t.match(await onlyCdr(first.callUuid), { source: 'incomplete', cost: '250.00' })
  t.match(await booksOf(pool, tenant!), { balance: '-750.000000', lines: 2, calls: 2 })
  t.match(await booksOf(pool, other!), { lines: 0 })
})

t.test('two that know and do not agree, behind one that guessed: the first takes its place', async (t) => {
  const [tenant] = await makeTenants(pool, 'disagree', 1)
  const { journal, feeder } = await node(t)
  const real = paidCall(60_000, { tenant: tenant! })
  const { callUuid, startedAt } = real
  const twin = paidCall(90_000, { tenant: tenant!, callUuid, startedAt, source: 'json_cdr' })
  // In one batch, then one by one.
  await Promise.all([incompleteCall(real, 30_000), real, twin].map((record) => journal.append(record)))
  await feeder.drain()
  await journal.append({ ...real, source: 'link' })
  await journal.append(incompleteCall(real, 10_000))
  await feeder.drain()
  t.match(await onlyCdr(callUuid), { source: 'session', cost: '500.00' })
  t.same(
    journal.readAside(10).map(({ reason }) => reason.replace(callUuid, 'X')),
    ['call X has a record already, which costs 500.000000; this one costs 750.00'],
  )
  t.match(await booksOf(pool, tenant!), { balance: '-500.000000', lines: 2, calls: 1 })
})

t.test('two that agree as nearly as their sources can: the first counts, and nobody need look', async (t) => {
  const [tenant] = await makeTenants(pool, 'nearly', 1)
  const { journal, feeder } = await node(t)
  const real = paidCall(60_000, { tenant: tenant! })
  const { callUuid, startedAt } = real
  // The same leg, a frame longer, as its caller's events tell it.
  const longer = paidCall(60_020, { tenant: tenant!, callUuid, startedAt, source: 'json_cdr' })
  const [charge] = real.charges
  const legUuid = charge!.legUuid
  const charges = longer.charges.map((each) => ({ ...each, legUuid, endedAt: charge!.endedAt + 20_000 }))
  const asTold = { ...longer, charges }
  for (const record of [real, asTold]) {
    await journal.append(record)
    await feeder.drain()
  }
  t.match(await onlyCdr(callUuid), { source: 'session', cost: '500.00' })
  t.equal(journal.aside, 0)
  // Not if the price is another, nor if the leg is.
  const dearer = charges.map((each) => ({ ...each, pricePerMinute: '501' }))
  const another = charges.map((each) => ({ ...each, legUuid: 'another' }))
  for (const each of [dearer, another]) await journal.append({ ...asTold, charges: each })
  await feeder.drain()
  t.equal(journal.aside, 2)
  t.match(await booksOf(pool, tenant!), { balance: '-500.000000', lines: 1, calls: 1 })
})

t.test('a record that cannot take the place is set aside, and the rest of its batch goes on', async (t) => {
  const [tenant] = await makeTenants(pool, 'stuck', 1)
  const { journal, feeder } = await node(t)
  const real = paidCall(60_000, { tenant: tenant! })
  const good = paidCall(60_000, { tenant: tenant! })
  const guesses = [incompleteCall(real, 30_000), incompleteCall(good, 30_000)]
  await Promise.all(guesses.map((record) => journal.append(record)))
  await feeder.drain()
  await Promise.all([{ ...real, tenant: 'stuck-nobody' }, good].map((record) => journal.append(record)))
  t.ok(await feeder.drain())
  t.equal(journal.aside, 1)
  t.match(journal.readAside(10)[0]?.reason, /balance_after/)
  t.match(await onlyCdr(real.callUuid), { source: 'incomplete', cost: '250.00' })
  t.match(await onlyCdr(good.callUuid), { source: 'session', cost: '500.00' })
  t.match(await booksOf(pool, tenant!), { balance: '-750.000000', breaks: 0 })
})

t.test('whoever watches the balances of tenants hears of one that a correction took too low', async (t) => {
  const tenant = await makePayer(pool, 'watched', '1000', { low_balance: '700' })
  const told: LowBalance[] = []
  const { journal, feeder } = await node(t, (low) => told.push(low))
  const real = paidCall(60_000, { tenant: tenant.id })
  await journal.append(incompleteCall(real, 30_000))
  await feeder.drain()
  t.same(told, [])
  await journal.append(real)
  await feeder.drain()
  t.same(told, [{ tenant: 'watched', balance: '500.00', threshold: '700.00', currency: 'VND' }])
})

t.test('an id that PostgreSQL cannot store is known when it comes again', async (t) => {
  const [tenant] = await makeTenants(pool, 'nul', 1)
  const { journal, feeder } = await node(t)
  const real = paidCall(60_000, { tenant: tenant!, callUuid: 'a\0\ud800' })
  for (const record of [incompleteCall(real, 30_000), real, real, { ...real, source: 'link' as const }]) {
    await journal.append(record)
    t.ok(await feeder.drain())
  }
  t.equal(journal.aside, 0)
  t.match(await booksOf(pool, tenant!), { balance: '-500.000000', lines: 2, calls: 1 })
})
