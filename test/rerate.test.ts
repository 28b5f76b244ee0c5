import assert from 'node:assert/strict'

import t, { type Test } from 'tap'

import { parseMoney } from '../src/billing/money.js'
import { plainTerms, type Rate } from '../src/billing/rating.js'
import { auditBooks, auditMode } from '../src/store/audit.js'
import { commitRecords, type CallRecord } from '../src/store/commit.js'
import { difference, readCommitted } from '../src/store/committed.js'
import { readCdr } from '../src/store/cdrs.js'
import { inTransaction } from '../src/store/database.js'
import { importRates } from '../src/store/rates.js'
import { replaceIncomplete } from '../src/store/replace-incomplete.js'
import { rerateCall } from '../src/store/rerate.js'
import { transactionsOfCall } from '../src/store/transactions.js'
import { booksOf, incompleteCall, paidCall, unansweredCall } from './support/call-records.js'
import { makePayer } from './support/credit.js'
import { testDatabase } from './support/services.js'

const { pool } = await testDatabase(t)

/** A story at whose end the books add up. */
function story(name: string, tell: (t: Test) => Promise<void>): void {
  t.test(name, async (t) => {
    await tell(t)
    t.same((await inTransaction(pool, auditBooks, auditMode)).findings, [], 'the books add up')
  })
}

function rateOf(prefix: string, price: string, terms: Partial<Rate> = {}): Rate {
  return {
    ...plainTerms,
    ...{ prefix, prefixEntered: prefix, description: 'Mobile', pricePerMinute: parseMoney(price), ...terms },
  }
}

/** A tenant whose deck has exactly these rates. */
async function payer(id: string, rates: readonly Rate[], terms: Record<string, string> = {}) {
  await pool.query(`INSERT INTO decks (id, name, currency) VALUES ($1, $1, 'VND') ON CONFLICT DO NOTHING`, [
    id,
  ])
  await importRates(pool, id, rates, { isWhole: true })
  const tenant = await makePayer(pool, id, '10000', terms)
  await pool.query('UPDATE tenants SET deck_id = $1 WHERE id = $1', [id])
  return tenant.id
}

const rerate = (callUuid: string, isDry = false) =>
  inTransaction(pool, (client) => rerateCall(client, callUuid, { reason: 'late price', isDry }))

async function linesOf(callUuid: string): Promise<string[]> {
  return (await transactionsOfCall(pool, callUuid)).map(({ kind, amount }) => `${kind} ${amount}`)
}

story('a call is rated anew: the old cost comes back, the new one is debited', async (t) => {
  const tenant = await payer('anew', [rateOf('8490', '500')])
  const call = paidCall(60_000, { tenant })
  await commitRecords(pool, [call])
  await importRates(
    pool,
    'anew',
    [rateOf('849', '100'), rateOf('8490', '300', { connectionFee: parseMoney('7') })],
    {
      isWhole: true,
    },
  )
  const plan = await rerate(call.callUuid, true)
  t.match(plan, { isChange: true, costBefore: '500.00', cost: '307.00', currency: 'VND', tenant })
  t.same(await linesOf(call.callUuid), ['debit -500.00'], 'a dry run writes nothing')
  t.match(await rerate(call.callUuid), { isChange: true, costBefore: '500.00', cost: '307.00' })
  t.same(await linesOf(call.callUuid), ['debit -500.00', 'refund 500.00', 'debit -307.00'])
  t.match(await readCdr(pool, call.callUuid), {
    cost: '307.00',
    charges: [
      { cost: '307.00', price_per_minute: '300.00', terms: { connection_fee: '7.00' }, carrier_cost: null },
    ],
  })
  t.match(await booksOf(pool, tenant), { balance: '9693.000000', cdrs: '307.000000', breaks: 0 })

  t.match(await rerate(call.callUuid), { isChange: false, costBefore: '307.00', cost: '307.00' })
  t.equal((await linesOf(call.callUuid)).length, 3, 'unchanged rates book nothing')
  t.match(await booksOf(pool, tenant), { balance: '9693.000000', lines: 4 })

  await importRates(pool, 'anew', [rateOf('8490', '0')], { isWhole: true })
  t.match(await rerate(call.callUuid), { cost: '0.00' })
  t.same((await linesOf(call.callUuid)).slice(3), ['refund 307.00'], 'nothing is no line of the ledger')
  await importRates(pool, 'anew', [rateOf('8490', '600')], { isWhole: true })
  await rerate(call.callUuid)
  t.same((await linesOf(call.callUuid)).slice(4), ['debit -600.00'])
  t.match(await booksOf(pool, tenant), { balance: '9400.000000', cdrs: '600.000000', breaks: 0 })
})

story('the rate that was in force when the leg was answered counts', async (t) => {
  const answered = Date.parse('2025-11-05T10:00:00Z') * 1000
  const tenant = await payer('valid', [
    rateOf('8490', '100', { validTo: answered }),
    rateOf('8490', '200', { validFrom: answered, validTo: answered + 1 }),
    rateOf('8490', '300', { validFrom: answered + 1 }),
  ])
  const call = paidCall(60_000, { tenant, startedAt: answered })
  await commitRecords(pool, [call])
  t.match(await rerate(call.callUuid), { costBefore: '500.00', cost: '200.00' })
})

story('legs at the inbound tariff are rated by it, an extension by exactly its number', async (t) => {
  const tenant = await payer('inbound', [rateOf('84', '900')])
  await pool.query(`UPDATE tenants SET inbound_deck_id = id, deck_id = NULL WHERE id = 'inbound'`)
  const inbound = (called: string): CallRecord => {
    const call = paidCall(60_000, { tenant, called, direction: 'inbound' })
    return { ...call, charges: call.charges.map((charge) => ({ ...charge, gateway: null, number: '1000' })) }
  }
  const did = inbound('842812345678')
  const extension = inbound('8400')
  await pool.query(`INSERT INTO extensions (tenant_id, number) VALUES ('inbound', '8400')`)
  await commitRecords(pool, [did, extension])
  t.match(await rerate(did.callUuid), { cost: '900.00', charges: [{ number: '1000', prefix: '84' }] })
  await t.rejects(rerate(extension.callUuid), {
    code: 'unratable',
    message: /to "8400", .* has no rate: in "inbound"/,
  })
  await importRates(pool, 'inbound', [rateOf('8400', '60')])
  t.match(await rerate(extension.callUuid), { cost: '60.00' })
})

story('what cannot be rated is refused, and says why', async (t) => {
  const tenant = await payer('refused', [rateOf('8491', '500')])
  const call = paidCall(60_000, { tenant })
  await commitRecords(pool, [call])
  await t.rejects(rerate(call.callUuid), {
    code: 'unratable',
    message: /^leg ".*" to "84901234567", answered at 20.*Z, has no rate: in "refused"$/,
  })
  await pool.query(`UPDATE tenants SET allows_unrated = true WHERE id = 'refused'`)
  t.match(await rerate(call.callUuid, true), { cost: '0.00', charges: [{ description: 'no rate' }] })
  await pool.query(`UPDATE tenants SET allows_unrated = false, deck_id = NULL WHERE id = 'refused'`)
  await t.rejects(rerate(call.callUuid), { message: /its tenant has no deck$/ })
  await pool.query(`UPDATE cdrs SET currency = 'EUR' WHERE call_uuid = $1`, [call.callUuid])
  await t.rejects(rerate(call.callUuid), { message: /was charged in EUR, and its tenant pays in VND now/ })
  for (const uuid of ['nobody', '\0']) await t.rejects(rerate(uuid), { code: 'not_found' })
  t.same(await linesOf(call.callUuid), ['debit -500.00'])
  const free = unansweredCall({ tenant: null, currency: null })
  await commitRecords(pool, [free])
  t.match(await rerate(free.callUuid), { isChange: false, cost: '0.00' })
})

story('ten at once: one of them books', async (t) => {
  const tenant = await payer('race', [rateOf('8490', '300')])
  const call = paidCall(60_000, { tenant })
  await commitRecords(pool, [call])
  const all = await Promise.all(Array.from({ length: 10 }, () => rerate(call.callUuid)))
  t.equal(all.filter(({ isChange }) => isChange).length, 1)
  t.same(await linesOf(call.callUuid), ['debit -500.00', 'refund 500.00', 'debit -300.00'])
})

story('a balance that falls below its threshold by it is told of, once', async (t) => {
  const tenant = await payer('low', [rateOf('8490', '900')], { low_balance: '9300' })
  const call = paidCall(60_000, { tenant })
  await commitRecords(pool, [call])
  const { low } = await rerate(call.callUuid)
  t.same(low, { tenant, balance: '9100.00', threshold: '9300.00', currency: 'VND' })
  await importRates(pool, 'low', [rateOf('8490', '1000')], { isWhole: true })
  t.equal((await rerate(call.callUuid)).low, undefined)
})

story('what is spent of the day follows', async (t) => {
  const tenant = await payer('spent', [rateOf('8490', '300')])
  const spent = async () =>
    (await pool.query<{ spent: string }>('SELECT spent FROM balances WHERE tenant_id = $1', [tenant])).rows[0]
      ?.spent
  const today = paidCall(60_000, { tenant })
  const before = paidCall(60_000, { tenant })
  await commitRecords(pool, [today, before])
  await pool.query(`UPDATE cdrs SET committed_at = committed_at - interval '1 day' WHERE call_uuid = $1`, [
    before.callUuid,
  ])
  t.equal(await spent(), '1000.000000')
  await rerate(today.callUuid)
  t.equal(await spent(), '800.000000')
  await rerate(before.callUuid)
  t.equal(await spent(), '800.000000', 'what was spent yesterday gives nothing back today')
})

story(
  'a record that takes the place of an incomplete one that was rated anew corrects what it costs',
  async (t) => {
    const tenant = await payer('incomplete', [rateOf('8490', '300')])
    const real = paidCall(60_000, { tenant })
    await commitRecords(pool, [incompleteCall(real, 30_000)])
    await rerate(real.callUuid)
    t.ok(await replaceIncomplete(pool, real))
    t.same(await linesOf(real.callUuid), [
      ...['debit -250.00', 'refund 250.00', 'debit -150.00', 'adjustment -350.00'],
    ])
    t.match(await readCdr(pool, real.callUuid), { cost: '500.00', source: 'session' })
    await rerate(real.callUuid)
    t.same((await linesOf(real.callUuid)).slice(4), ['refund 500.00', 'debit -300.00'])
    t.match(await booksOf(pool, tenant), { balance: '9700.000000', cdrs: '300.000000', breaks: 0 })
    const committed = (await readCommitted(pool, [real.callUuid])).get(real.callUuid)
    t.match(committed, { cost: '500.000000', charges: [{ pricePerMinute: '500.000000' }] })
  },
)

story('the same record once more is no other one, whatever the call was rated at since', async (t) => {
  const tenant = await payer('again', [rateOf('8490', '300')])
  const call = paidCall(60_000, { tenant })
  await commitRecords(pool, [call])
  const committed = async () => (await readCommitted(pool, [call.callUuid])).get(call.callUuid)
  const before = await committed()
  await rerate(call.callUuid)
  await importRates(pool, 'again', [rateOf('8490', '400')], { isWhole: true })
  await rerate(call.callUuid)
  t.same(await committed(), before)
  t.equal(difference(call, await committed()), undefined)
  t.equal((await commitRecords(pool, [call])).size, 0)
  const other = { ...paidCall(90_000, { tenant, callUuid: call.callUuid, startedAt: call.startedAt }) }
  t.match(difference(other, await committed()), /which costs 500.000000; this one costs 750.00/)
  assert.ok(before)
})

t.test('the audit finds a rerating without its money, and money without its rerating', async (t) => {
  const tenant = await payer('forged', [rateOf('8490', '300')])
  const call = paidCall(60_000, { tenant })
  await commitRecords(pool, [call])
  const pretend = async (sql: string) => {
    const client = await pool.connect()
    try {
      await client.query('BEGIN')
      await client.query(sql)
      return (await auditBooks(client)).findings
    } finally {
      await client.query('ROLLBACK')
      client.release()
    }
  }
  const line = (kind: string, amount: number, after: number, number: number) =>
    `INSERT INTO ledger (tenant_id, kind, amount, balance_after, description, call_uuid, rerating)
    VALUES ('forged', '${kind}', ${amount}, ${after}, '', '${call.callUuid}', ${number});
    UPDATE balances SET balance = balance + ${amount} WHERE tenant_id = 'forged';`
  t.match(await pretend(line('refund', 500, 10_000, 1)), [
    { tenant, what: /costs 500.000000, .* debit of 0/ },
  ])
  t.match(await pretend(line('debit', -300, 9200, 1)), [
    { tenant, what: /costs 500.000000, .* debit of 800/ },
  ])
  for (const twice of [
    line('debit', -300, 9200, 1) + line('debit', -300, 8900, 1),
    line('topup', 300, 9800, 1),
    line('debit', -300, 9200, 0),
  ])
    await t.rejects(pretend(twice), { code: /^(23505|23514)$/ })
})
