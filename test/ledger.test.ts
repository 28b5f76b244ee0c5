import { randomUUID } from 'node:crypto'

import t from 'tap'

import { formatMoney, parseMoney } from '../src/billing/money.js'
import { commitRecords } from '../src/store/commit.js'
import { book, type Booking } from '../src/store/ledger.js'
import type { LowBalance } from '../src/store/low-balance.js'
import { booksOf } from './support/call-records.js'
import { creditOn, legOf, makePayer, recordOf } from './support/credit.js'
import { testDatabase } from './support/services.js'

const { pool } = await testDatabase(t)

function booking(tenant: string, amount: string, changes: Partial<Booking> = {}): Booking {
  const idempotencyKey = randomUUID()
  return {
    tenant,
    kind: 'topup',
    amount: parseMoney(amount),
    description: 'Paid in',
    idempotencyKey,
    ...changes,
  }
}

t.test(
  'top-ups, refunds and adjustments are lines of the ledger, and the balance is their sum',
  async (t) => {
    const { id } = await makePayer(pool, 'lines', '0')
    const callUuid = randomUUID()
    t.match(await book(pool, booking(id, '1000')), {
      isNew: true,
      line: { tenant: id, kind: 'topup', amount: '1000.00', balanceAfter: '1000.00', description: 'Paid in' },
    })
    t.match(await book(pool, booking(id, '21.17', { kind: 'refund', callUuid })), {
      line: { kind: 'refund', amount: '21.17', balanceAfter: '1021.17', callUuid },
    })
    t.match(await book(pool, booking(id, '-1500.5', { kind: 'adjustment' })), {
      line: { kind: 'adjustment', amount: '-1500.50', balanceAfter: '-479.33', callUuid: null },
    })
    t.match(await booksOf(pool, id), { balance: '-479.330000', ledger: '-479.330000', lines: 3, breaks: 0 })
  },
)

t.test('the same key a second time books nothing and answers the first line', async (t) => {
  const { id } = await makePayer(pool, 'twice', '0')
  const first = booking(id, '1000')
  const { line } = await book(pool, first)
  await book(pool, booking(id, '1'))
  t.same(await book(pool, { ...first, description: 'Again' }), { line, isNew: false })
  t.match(await booksOf(pool, id), { balance: '1001.000000', lines: 2 })
})

t.test('a key stands for one booking', async (t) => {
  const { id } = await makePayer(pool, 'reused', '0')
  const first = booking(id, '1000')
  await book(pool, first)
  const reused = { name: 'LedgerError', code: 'key_reused', message: /topup of 1000\.00/ }
  await t.rejects(book(pool, { ...first, amount: parseMoney('1000.01') }), reused)
  await t.rejects(book(pool, { ...first, kind: 'adjustment' }), reused)
  const refund = booking(id, '21.17', { kind: 'refund', callUuid: 'one' })
  await book(pool, refund)
  await t.rejects(book(pool, { ...refund, callUuid: 'other' }), {
    code: 'key_reused',
    message: /refund of 21\.17 for call "one"/,
  })
  t.match(await booksOf(pool, id), { balance: '1021.170000', lines: 2 })
  const other = await makePayer(pool, 'other', '0')
  t.equal((await book(pool, { ...first, tenant: other.id })).isNew, true, "another tenant's keys are its own")
})

t.test('the same booking from twenty connections at once is booked once', async (t) => {
  const { id } = await makePayer(pool, 'race', '0')
  const one = booking(id, '1000')
  const answers = await Promise.all(Array.from({ length: 20 }, () => book(pool, one)))
  t.equal(answers.filter(({ isNew }) => isNew).length, 1)
  t.equal(new Set(answers.map(({ line }) => line.id)).size, 1)
  t.match(await booksOf(pool, id), { balance: '1000.000000', lines: 1 })

  const rivals = Array.from({ length: 20 }, (_, i) => ({
    ...one,
    idempotencyKey: 'rivals',
    amount: BigInt(i + 1),
  }))
  const outcomes = await Promise.allSettled(rivals.map((rival) => book(pool, rival)))
  t.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1)
  for (const outcome of outcomes)
    if (outcome.status === 'rejected') t.match(outcome.reason, { code: 'key_reused' })
  t.match(await booksOf(pool, id), { lines: 2, breaks: 0 })
})

t.test('bookings and calls at the same time: the ledger adds up', async (t) => {
  const { id } = await makePayer(pool, 'busy', '0')
  const payer = { id, billing: 'postpaid' as const }
  await Promise.all(
    Array.from({ length: 60 }, (_, i) =>
      i % 2 === 0
        ? book(pool, booking(id, String(i + 1)))
        : commitRecords(pool, [recordOf(legOf(payer), i * 1_000)]),
    ),
  )
  const books = await booksOf(pool, id)
  t.match(books, { lines: 60, breaks: 0 })
  t.equal(books.balance, books.ledger)
})

t.test('what cannot be booked is refused', async (t) => {
  const { id } = await makePayer(pool, 'refused', '0')
  const table: [why: string, booking: Booking, code: string][] = [
    ['nothing', booking(id, '0'), 'invalid'],
    ['a top-up of less than nothing', booking(id, '-1'), 'invalid'],
    ['a refund of less than nothing', booking(id, '-1', { kind: 'refund' }), 'invalid'],
    ['no key', booking(id, '1', { idempotencyKey: '' }), 'invalid'],
    ['a key without end', booking(id, '1', { idempotencyKey: 'x'.repeat(201) }), 'invalid'],
    ['a text with NUL', booking(id, '1', { description: 'a\0b' }), 'invalid'],
    ['more than a balance can be', booking(id, '1', { amount: 10n ** 25n }), 'invalid'],
    ['for nobody', booking('nobody', '1'), 'unknown_tenant'],
  ]
  for (const [why, one, code] of table) await t.rejects(book(pool, one), { name: 'LedgerError', code }, why)
  t.match(await booksOf(pool, id), { balance: '0.000000', lines: 0 })
})

t.test('a low balance is told once each time that it falls below the threshold', async (t) => {
  const tenant = await makePayer(pool, 'low', '1200', { low_balance: '1000' })
  const told: LowBalance[] = []
  const onLowBalance = (low: LowBalance) => told.push(low)
  const call = (seconds: number) =>
    commitRecords(pool, [recordOf(legOf(tenant), seconds * 1_000)], { onLowBalance })
  await call(12)
  t.same(told, [], '1,100 are left')
  await call(12)
  t.same(told, [], 'at the threshold is not below it')
  await call(60)
  t.same(told, [{ tenant: 'low', balance: '500.00', threshold: '1000.00', currency: 'VND' }])
  await call(6)
  await book(pool, booking('low', '100'), onLowBalance)
  await call(6)
  t.equal(told.length, 1, 'it was below all the time')
  await book(pool, booking('low', '500'), onLowBalance)
  await call(12)
  t.match(told.slice(1), [{ balance: '900.00' }], 'a top-up above it arms it again')
  await book(pool, booking('low', '1000'), onLowBalance)
  await book(pool, booking('low', '-1000', { kind: 'adjustment' }), onLowBalance)
  t.match(told.slice(2), [{ balance: '900.00' }], 'an adjustment tells as well')
})

t.test('money that comes in tells of no low balance, however little it is', async (t) => {
  const tenant = await makePayer(pool, 'little', '0', { low_balance: '1000' })
  const told: LowBalance[] = []
  const onLowBalance = (low: LowBalance) => told.push(low)
  await book(pool, booking('little', '600'), onLowBalance)
  t.same(told, [])
  const call = () => commitRecords(pool, [recordOf(legOf(tenant), 12_000)], { onLowBalance })
  await call()
  t.match(told, [{ balance: '500.00' }], 'what goes out does')
  await book(pool, booking('little', '100'), onLowBalance)
  await call()
  t.equal(told.length, 1, 'once')
})

t.test('two nodes whose commits cross the threshold together tell it once', async (t) => {
  for (let run = 0; run < 10; run++) {
    const tenant = await makePayer(pool, `together${run}`, '1000', { low_balance: '900' })
    let told = 0
    const records = Array.from({ length: 8 }, () => recordOf(legOf(tenant), 12_000))
    await Promise.all(records.map((one) => commitRecords(pool, [one, one], { onLowBalance: () => told++ })))
    t.equal(told, 1)
  }
})

t.test('a tenant without a threshold is told nothing; reservations do not count', async (t) => {
  const silent = await makePayer(pool, 'silent', '1')
  const tenant = await makePayer(pool, 'held', '3000', { low_balance: '1000' })
  const leg = legOf(tenant)
  await creditOn(pool).authorise(leg)
  const told: string[] = []
  await commitRecords(pool, [recordOf(legOf(silent), 60_000), recordOf(leg)], {
    onLowBalance: (low) => told.push(low.tenant),
  })
  t.same(told, [])
  t.equal(formatMoney(parseMoney((await booksOf(pool, 'silent')).balance)), '-499.00')
})
