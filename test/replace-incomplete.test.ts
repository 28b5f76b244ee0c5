import assert from 'node:assert/strict'

import pg from 'pg'
import t, { type Test } from 'tap'

import { auditBooks, auditMode } from '../src/store/audit.js'
import { listCdrs } from '../src/store/cdrs.js'
import { commitRecords, type CallRecord } from '../src/store/commit.js'
import { readCommitted } from '../src/store/committed.js'
import { inTransaction } from '../src/store/database.js'
import type { LowBalance } from '../src/store/low-balance.js'
import { replaceIncomplete } from '../src/store/replace-incomplete.js'
import { listTransactions } from '../src/store/transactions.js'
import { booksOf, incompleteCall, makeTenants, paidCall, unansweredCall } from './support/call-records.js'
import { creditOn, heldBy, legOf, makePayer, untilWaiting } from './support/credit.js'
import { testDatabase } from './support/services.js'

const { pool, url } = await testDatabase(t)

/** A story at whose end the books add up. */
function story(name: string, tell: (t: Test) => Promise<void>): void {
  t.test(name, async (t) => {
    await tell(t)
    t.same((await inTransaction(pool, auditBooks, auditMode)).findings, [], 'the books add up')
  })
}

async function onlyCdr(callUuid: string) {
  const { items } = await listCdrs(pool, { limit: 10, callUuid })
  assert.equal(items.length, 1, 'there is exactly one CDR')
  return items[0]!
}

/** Of a call, the first one first: `debit -250.00`. */
async function linesOf(tenant: string, callUuid: string): Promise<string[]> {
  const page = await listTransactions(pool, tenant, { limit: 10, callUuid })
  return page!.items.map(({ kind, amount }) => `${kind} ${amount}`).reverse()
}

async function spentBy(tenant: string): Promise<string | undefined> {
  const { rows } = await pool.query<{ spent: string }>('SELECT spent FROM balances WHERE tenant_id = $1', [
    tenant,
  ])
  return rows[0]?.spent
}

/** Commits the call as incomplete, then puts the real record in its place. */
async function replace(incomplete: CallRecord, real: CallRecord): Promise<boolean> {
  assert.equal((await commitRecords(pool, [incomplete])).size, 1)
  return replaceIncomplete(pool, real)
}

const stories: readonly [
  why: string,
  incompleteMs: number,
  realMs: number,
  lines: string[],
  spent: string,
][] = [
  [
    'a call that went on after its last sign of life',
    30_000,
    60_000,
    ['debit -250.00', 'adjustment -250.00'],
    '500',
  ],
  ['a call that ended before it', 60_000, 12_000, ['debit -500.00', 'adjustment 400.00'], '100'],
  ['a call that was not answered at all', 60_000, 0, ['debit -500.00', 'adjustment 500.00'], '0'],
  ['a call that seemed not to be answered', 0, 60_000, ['adjustment -500.00'], '500'],
  ['a call that ended just then', 60_000, 60_000, ['debit -500.00'], '500'],
  ['a call that cost nothing', 0, 0, [], '0'],
]

for (const [i, [why, incompleteMs, realMs, lines, spent]] of stories.entries())
  story(`${why}: its record takes the place of the incomplete one`, async (t) => {
    const tenant = await makePayer(pool, `story${i}`, '10000')
    const real =
      realMs === 0 ? unansweredCall({ tenant: tenant.id }) : paidCall(realMs, { tenant: tenant.id })
    const incomplete = incompleteCall(real, incompleteMs)
    t.ok(await replace(incomplete, real))
    t.match(await onlyCdr(real.callUuid), {
      source: 'session',
      billed_ms: realMs,
      hangup_cause: real.hangupCause,
      b_leg_uuid: real.bLegUuid,
      charges: real.charges.map(({ legUuid, cost }) => ({ leg_uuid: legUuid, cost })),
    })
    t.same(await linesOf(tenant.id, real.callUuid), lines)
    t.equal(Number(await spentBy(tenant.id)), Number(spent))
    t.match(await booksOf(pool, tenant.id), {
      balance: `${10_000 - Number(spent)}.000000`,
      cdrs: `${spent}.000000`,
      breaks: 0,
    })
  })

story('the line says what it is for', async (t) => {
  const [tenant] = await makeTenants(pool, 'line', 1)
  const real = paidCall(60_000, { tenant: tenant! })
  await replace(incompleteCall(real, 30_000), real)
  const page = await listTransactions(pool, tenant!, { limit: 1, kind: 'adjustment' })
  t.match(page?.items, [
    {
      amount: '-250.00',
      balanceAfter: '-500.00',
      callUuid: real.callUuid,
      description: 'Call cost, corrected by a later record',
      idempotencyKey: null,
    },
  ])
})

story('a call whose real start is in another month moves there', async (t) => {
  const [tenant] = await makeTenants(pool, 'month', 1)
  const startedAt = Date.parse('2025-10-31T23:59:59.999Z') * 1000 + 999
  const real = paidCall(60_000, { tenant: tenant!, startedAt })
  t.ok(await replace(incompleteCall(real, 30_000, { startedAt: startedAt + 1 }), real))
  t.match(await onlyCdr(real.callUuid), { started_at: '2025-10-31T23:59:59.999Z', cost: '500.00' })
  t.match((await readCommitted(pool, [real.callUuid])).get(real.callUuid), { startedAt })
  t.equal((await commitRecords(pool, [real])).size, 0, 'it is known there')
})

story('two records that name different tenants: the one gets its money back, the other pays', async (t) => {
  const [first, second] = await makeTenants(pool, 'whose', 2)
  const table: [string, string | null, number, string | null, number, string[], string[]][] = [
    ['nobody, then somebody', null, 0, first!, 60_000, ['adjustment -500.00'], []],
    ['somebody, then nobody', first!, 60_000, null, 0, ['debit -500.00', 'adjustment 500.00'], []],
    [
      'one, then the other',
      first!,
      60_000,
      second!,
      30_000,
      ['debit -500.00', 'adjustment 500.00'],
      ['adjustment -250.00'],
    ],
    ['the other, then the one', second!, 0, first!, 30_000, ['adjustment -250.00'], []],
    ['nobody, then nobody', null, 0, null, 0, [], []],
  ]
  for (const [why, was, wasMs, is, isMs, ofFirst, ofSecond] of table) {
    const draft = { tenant: is, currency: is === null ? null : 'VND' }
    const real = isMs === 0 ? unansweredCall(draft) : paidCall(isMs, draft)
    const incomplete = incompleteCall(real, wasMs, { tenant: was, currency: was === null ? null : 'VND' })
    t.ok(await replace(incomplete, real), why)
    t.match(await onlyCdr(real.callUuid), { tenant: is, cost: real.charges[0]?.cost ?? '0.00' }, why)
    t.same(await linesOf(first!, real.callUuid), ofFirst, why)
    t.same(await linesOf(second!, real.callUuid), ofSecond, why)
  }
  t.match(await booksOf(pool, first!), { balance: '-750.000000', ledger: '-750.000000', breaks: 0 })
  t.match(await booksOf(pool, second!), { balance: '-250.000000', ledger: '-250.000000', breaks: 0 })
})

story('a record that cannot be debited changes nothing', async (t) => {
  const [tenant] = await makeTenants(pool, 'refused', 1)
  const good = paidCall(60_000, { tenant: tenant! })
  const incomplete = incompleteCall(good, 30_000)
  await commitRecords(pool, [incomplete])
  const table: [why: string, record: CallRecord, error: { name?: string; code: string }][] = [
    ['money of nobody', { ...good, tenant: null }, { code: '23502' }],
    ['money of a tenant that is gone', { ...good, tenant: 'gone' }, { code: '23502' }],
    ['dearer than its charges', { ...good, cost: '500.01' }, { name: 'CommitError', code: 'refused' }],
    ['billed for less than nothing', { ...good, billedMs: -1 }, { code: '23514' }],
  ]
  for (const [why, record, error] of table) await t.rejects(replaceIncomplete(pool, record), error, why)
  t.match(await onlyCdr(good.callUuid), { source: 'incomplete', charges: [{ cost: '250.00' }] })
  t.match(await booksOf(pool, tenant!), { balance: '-250.000000', lines: 1, cdrs: '250.000000' })
})

story('once, and only in the place of an incomplete one', async (t) => {
  const [tenant] = await makeTenants(pool, 'once', 1)
  const real = paidCall(60_000, { tenant: tenant! })
  t.notOk(await replaceIncomplete(pool, real), 'nothing is there')
  const incomplete = incompleteCall(real, 30_000)
  await commitRecords(pool, [incomplete])
  t.notOk(await replaceIncomplete(pool, incompleteCall(real, 45_000)), 'another guess')
  t.ok(await replaceIncomplete(pool, { ...real, source: 'json_cdr' }))
  const before = await booksOf(pool, tenant!)
  t.notOk(await replaceIncomplete(pool, { ...real, source: 'json_cdr' }), 'a second time')
  t.notOk(await replaceIncomplete(pool, paidCall(90_000, { ...real, tenant: tenant! })), 'another real one')
  t.notOk(await replaceIncomplete(pool, incomplete), 'nor by an incomplete one')
  t.match(await onlyCdr(real.callUuid), { source: 'json_cdr', cost: '500.00' })
  t.same(await booksOf(pool, tenant!), before)
})

story('ten nodes at once: one of them does it', async (t) => {
  const [tenant] = await makeTenants(pool, 'race', 1)
  const real = paidCall(60_000, { tenant: tenant! })
  await commitRecords(pool, [incompleteCall(real, 30_000)])
  // Each finds it incomplete: they wait in line where the first one holds the key.
  const answers = await inTransaction(pool, async (client) => {
    await client.query('SELECT FROM call_keys WHERE call_uuid = $1 FOR UPDATE', [real.callUuid])
    const asked = Array.from({ length: 8 }, () => replaceIncomplete(pool, real))
    await untilWaiting(pool, 8)
    return { asked }
  })
  t.equal((await Promise.all(answers.asked)).filter(Boolean).length, 1)
  t.match(await booksOf(pool, tenant!), { balance: '-500.000000', lines: 2, cdrs: '500.000000', calls: 1 })
})

story(
  'a node that dies in the middle of it leaves the incomplete one, and the next does it all',
  async (t) => {
    const tenant = await makePayer(pool, 'crash', '1000')
    const real = paidCall(60_000, { tenant: tenant.id })
    await commitRecords(pool, [incompleteCall(real, 30_000)])
    const before = await booksOf(pool, tenant.id)
    await inTransaction(pool, async (client) => {
      await client.query('SELECT FROM balances WHERE tenant_id = $1 FOR UPDATE', [tenant.id])
      const dying = replaceIncomplete(pool, real)
      const outcome = t.rejects(dying, 'its connection is gone')
      // CDR, charges and key are written, the money is not.
      await untilWaiting(pool, 1)
      await client.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      )
      await outcome
    })
    t.same(await booksOf(pool, tenant.id), before)
    t.match(await onlyCdr(real.callUuid), { source: 'incomplete', charges: [{ cost: '250.00' }] })
    t.ok(await replaceIncomplete(pool, real))
    t.match(await booksOf(pool, tenant.id), { balance: '500.000000', lines: 3, cdrs: '500.000000' })
  },
)

story('what is reserved for the call, by whichever tenant, is released', async (t) => {
  const [first, second] = [await makePayer(pool, 'holds1', '10000'), await makePayer(pool, 'holds2', '10000')]
  const real = paidCall(60_000, { tenant: second.id })
  const { callUuid } = real
  t.match(await creditOn(pool).authorise(legOf(second, { callUuid })), { kind: 'granted' })
  await commitRecords(pool, [incompleteCall(real, 30_000, { tenant: first.id })])
  t.not((await heldBy(pool, second)).held, 0n, 'the commit knew nothing of it')
  t.ok(await replaceIncomplete(pool, real))
  t.same(await heldBy(pool, second), { balance: 9_500_000_000n, reserved: 0n, held: 0n })
  t.same(await heldBy(pool, first), { balance: 10_000_000_000n, reserved: 0n, held: 0n })
  // Also when no money moves.
  const free = unansweredCall({ tenant: second.id })
  await creditOn(pool).authorise(legOf(second, { callUuid: free.callUuid }))
  t.ok(await replace(incompleteCall(free, 0, { tenant: first.id }), free))
  t.same(await heldBy(pool, second), { balance: 9_500_000_000n, reserved: 0n, held: 0n })
})

story('a balance that falls below its threshold by it is told of, once', async (t) => {
  const tenant = await makePayer(pool, 'low', '1000', { low_balance: '700' })
  const listener = new pg.Client(url)
  await listener.connect()
  t.teardown(() => listener.end())
  await listener.query('LISTEN linger_events')
  const notices: string[] = []
  listener.on('notification', ({ payload }) => notices.push(payload ?? ''))
  const told: LowBalance[] = []
  const onLowBalance = (low: LowBalance): void => void told.push(low)
  const real = paidCall(60_000, { tenant: tenant.id })
  await commitRecords(pool, [incompleteCall(real, 30_000)], { onLowBalance })
  t.same(told, [])
  t.ok(await replaceIncomplete(pool, real, { onLowBalance }))
  const low = { tenant: 'low', balance: '500.00', threshold: '700.00', currency: 'VND' }
  t.same(told, [low])

  // Lower still is no news; money that comes back is none, and arms the warning when it is enough.
  const lower = paidCall(12_000, { tenant: tenant.id })
  await replace(incompleteCall(lower, 6_000), lower)
  await commitRecords(pool, [incompleteCall(real, 60_000, { callUuid: 'long' })])
  const shorter = unansweredCall({ tenant: tenant.id, callUuid: 'long' })
  t.ok(await replaceIncomplete(pool, shorter, { onLowBalance }))
  t.same(told, [low])
  const { rows } = await pool.query(`SELECT balance, is_low FROM balances WHERE tenant_id = 'low'`)
  t.same(rows, [{ balance: '400.000000', is_low: true }])
  await listener.query('SELECT')
  t.match(
    notices.map((text) => JSON.parse(text) as object),
    [{ event: 'low_balance', tenant: 'low' }],
  )
})

story('what is spent of the day follows: of the day on which it was debited', async (t) => {
  const tenant = await makePayer(pool, 'day', '10000')
  const debitedYesterday = async (call: CallRecord): Promise<void> => {
    await commitRecords(pool, [call])
    await pool.query(`UPDATE cdrs SET committed_at = committed_at - interval '1 day' WHERE call_uuid = $1`, [
      call.callUuid,
    ])
  }
  const shorter = paidCall(30_000, { tenant: tenant.id })
  const longer = paidCall(90_000, { tenant: tenant.id })
  await debitedYesterday(incompleteCall(shorter, 60_000))
  await debitedYesterday(incompleteCall(longer, 60_000))
  // Two calls of 500 yesterday; 100 today.
  await pool.query(`UPDATE balances SET spent_on = spent_on - 1 WHERE tenant_id = 'day'`)
  await commitRecords(pool, [paidCall(12_000, { tenant: tenant.id })])
  t.equal(await spentBy('day'), '100.000000')
  t.ok(await replaceIncomplete(pool, shorter))
  t.equal(await spentBy('day'), '100.000000', 'what was spent yesterday gives nothing back today')
  t.ok(await replaceIncomplete(pool, longer))
  t.equal(await spentBy('day'), '350.000000', 'what is debited today counts today')

  const free = unansweredCall({ tenant: tenant.id })
  await commitRecords(pool, [incompleteCall(free, 60_000)])
  await pool.query(`UPDATE balances SET spent = 7 WHERE tenant_id = 'day'`)
  t.ok(await replaceIncomplete(pool, free))
  t.equal(await spentBy('day'), '0.000000', 'never less than nothing')
})

story('it waits for the balance of one tenant without holding that of the next, as batches do', async (t) => {
  const [first, second] = await makeTenants(pool, 'line-up', 2)
  for (const [was, is] of [
    [first!, second!],
    [second!, first!],
  ] as const) {
    const real = paidCall(60_000, { tenant: is })
    await commitRecords(pool, [incompleteCall(real, 30_000, { tenant: was })])
    const { replaced } = await inTransaction(pool, async (client) => {
      await client.query('SELECT FROM balances WHERE tenant_id = $1 FOR UPDATE', [first])
      const replaced = replaceIncomplete(pool, real)
      await untilWaiting(pool, 1)
      await t.resolves(
        pool.query('SELECT FROM balances WHERE tenant_id = $1 FOR UPDATE NOWAIT', [second]),
        'the other one is free',
      )
      return { replaced }
    })
    t.ok(await replaced)
  }
})

story('it and the batches of other calls, crossing each other in tenants, do not deadlock', async (t) => {
  const tenants = await makeTenants(pool, 'cross', 6)
  const reals = Array.from({ length: 60 }, (_, i) => paidCall(60_000, { tenant: tenants[i % 6]! }))
  await commitRecords(
    pool,
    reals.map((real, i) => incompleteCall(real, 30_000, { tenant: tenants[(i * 5 + 1) % 6]! })),
  )
  const others = Array.from({ length: 20 }, () =>
    tenants.map((tenant) => paidCall(60_000, { tenant })).toReversed(),
  )
  const replaced = reals.map((real) => replaceIncomplete(pool, real))
  await Promise.all(others.map((batch) => commitRecords(pool, [...batch, ...reals.slice(0, 20)])))
  t.ok((await Promise.all(replaced)).every(Boolean))
  for (const tenant of tenants)
    t.match(await booksOf(pool, tenant), { balance: '-15000.000000', calls: 30, breaks: 0 })
})
