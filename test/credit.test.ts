import { randomUUID } from 'node:crypto'

import { pino } from 'pino'
import t from 'tap'

import type { Granted, Refused } from '../src/billing/credit.js'
import { parseMoney } from '../src/billing/money.js'
import { CreditAway, type Reserve } from '../src/billing/reservation-queue.js'
import { readBalance } from '../src/store/balances.js'
import { commitRecords } from '../src/store/commit.js'
import { inTransaction, openPool } from '../src/store/database.js'
import { reserveCredit } from '../src/store/reservations.js'
import { booksOf } from './support/call-records.js'
import { creditOn, heldBy, legOf, makePayer, perMillisecond, recordOf } from './support/credit.js'
import { topUp, untilWaiting } from './support/credit.js'
import { Line } from './support/outage.js'
import { testDatabase } from './support/services.js'

const { pool, url } = await testDatabase(t)
const credit = creditOn(pool)
const units = parseMoney

function granted(answer: Granted | Refused): Granted {
  if (answer.kind === 'refused') throw new Error(`refused: ${answer.reason}`)
  return answer
}

t.test('a leg is authorised for a slice, for which the money is held', async (t) => {
  const tenant = await makePayer(pool, 'slice', '10000')
  const leg = legOf(tenant)
  t.same(await credit.authorise(leg), { kind: 'granted', untilMs: 300_000, isLast: false })
  // 302 s: the switch may be 2 s late.
  t.match(await heldBy(pool, tenant), { reserved: units('2516.67'), held: units('2516.67') })
  t.match(await readBalance(pool, tenant.id), {
    balance: '10000.00',
    reserved: '2516.67',
    available: '7483.33',
  })
})

t.test('asking a second time, the answer having been lost, reserves nothing more', async (t) => {
  const tenant = await makePayer(pool, 'again', '10000')
  const leg = legOf(tenant)
  const answers = await Promise.all([
    credit.authorise(leg),
    credit.authorise(leg),
    creditOn(pool).authorise(leg),
  ])
  for (const answer of answers) t.equal(granted(answer).untilMs, 300_000)
  t.match(await heldBy(pool, tenant), { reserved: units('2516.67'), held: units('2516.67') })
})

t.test('thirty calls at once on credit for one: one passes', async (t) => {
  const tenant = await makePayer(pool, 'thirty', '2516.67')
  const nodes = [credit, creditOn(pool), creditOn(pool)]
  const answers = await Promise.all(
    Array.from({ length: 30 }, (_, i) => nodes[i % 3]!.authorise(legOf(tenant))),
  )
  t.equal(answers.filter(({ kind }) => kind === 'granted').length, 1)
  t.equal(answers.filter((answer) => answer.kind === 'refused' && answer.reason === 'no_credit').length, 29)
  t.match(await heldBy(pool, tenant), { reserved: units('2516.67'), held: units('2516.67') })
})

t.test('with money for less than a slice a leg may last as long as there is money', async (t) => {
  const tenant = await makePayer(pool, 'short', '500')
  // A minute, less the 2 s by which the switch may be late.
  t.same(await credit.authorise(legOf(tenant)), { kind: 'granted', untilMs: 58_000, isLast: true })
  t.match(await heldBy(pool, tenant), { reserved: units('500') })
  t.match(await credit.authorise(legOf(tenant)), { kind: 'refused', reason: 'no_credit' })
})

t.test('money for less than a second is not enough', async (t) => {
  const tenant = await makePayer(pool, 'crumbs', '24.99')
  t.match(await credit.authorise(legOf(tenant)), { kind: 'refused', reason: 'no_credit' })
  await topUp(pool, tenant.id, '0.01')
  t.same(await credit.authorise(legOf(tenant)), { kind: 'granted', untilMs: 1_000, isLast: true })
})

t.test('slices are added until the money ends, and again when money comes in', async (t) => {
  const tenant = await makePayer(pool, 'longer', '6000')
  const leg = legOf(tenant)
  t.equal(granted(await credit.authorise(leg)).untilMs, 300_000)
  t.same(await credit.extend(leg, 300_000), { kind: 'granted', untilMs: 600_000, isLast: false })
  t.match(await heldBy(pool, tenant), { reserved: units('5016.67'), held: units('5016.67') })
  t.same(await credit.extend(leg, 600_000), { kind: 'granted', untilMs: 718_000, isLast: true })
  t.match(await heldBy(pool, tenant), { reserved: units('6000'), held: units('6000') })
  t.match(await credit.extend(leg, 718_000), { kind: 'refused', reason: 'no_credit' })
  await topUp(pool, tenant.id, '1000')
  t.same(await credit.extend(leg, 718_000), { kind: 'granted', untilMs: 838_000, isLast: true })
})

t.test('a node that took a call over learns what was granted, and goes on from there', async (t) => {
  const tenant = await makePayer(pool, 'takeover', '10000')
  const leg = legOf(tenant)
  await credit.authorise(leg)
  await credit.extend(leg, 300_000)
  const other = creditOn(pool)
  t.equal(granted(await other.extend(leg, 0)).untilMs, 600_000)
  t.equal(granted(await other.extend(leg, 600_000)).untilMs, 900_000)
})

t.test('no leg is granted more than it may last', async (t) => {
  const tenant = await makePayer(pool, 'longest', '10000')
  const leg = legOf(tenant, { maxSeconds: 400 })
  t.equal(granted(await credit.authorise(leg)).untilMs, 300_000)
  t.same(await credit.extend(leg, 300_000), { kind: 'granted', untilMs: 400_000, isLast: false })
  t.same(await credit.extend(leg, 400_000), { kind: 'granted', untilMs: 400_000, isLast: false })
  t.match(await heldBy(pool, tenant), { reserved: units('3350') })
})

t.test('what costs nothing is granted without a question', async (t) => {
  const unasked: Reserve = () => Promise.reject(new Error('nobody is to be asked'))
  const tenant = { id: 'nobody', billing: 'prepaid' as const }
  const deaf = creditOn(pool, { reserve: unasked })
  const whole = { kind: 'granted', untilMs: 3_600_000, isLast: false }
  t.same(await deaf.authorise(legOf(tenant, { isEmergency: true })), whole)
  t.same(await deaf.authorise(legOf(tenant, { rate: undefined })), whole)
  t.same(await deaf.authorise(legOf(tenant, { rate: { ...perMillisecond, pricePerMinute: 0n } })), whole)
  const late = legOf(tenant, { rate: { ...perMillisecond, graceSeconds: 400 } })
  t.same(await deaf.authorise(late), { kind: 'granted', untilMs: 300_000, isLast: false })
  await t.rejects(deaf.extend(late, 300_000), { message: 'nobody is to be asked' }, 'from then on it costs')
})

t.test('the commit of the call releases all that was held for it', async (t) => {
  const tenant = await makePayer(pool, 'release', '10000')
  const first = legOf(tenant)
  const second = { ...first, attemptId: '2' }
  const other = legOf(tenant)
  await Promise.all([first, second, other].map((leg) => credit.authorise(leg)))
  t.match(await heldBy(pool, tenant), { reserved: units('7550.01'), held: units('7550.01') })
  await commitRecords(pool, [recordOf(first, 60_000)])
  t.match(await heldBy(pool, tenant), {
    balance: units('9500'),
    reserved: units('2516.67'),
    held: units('2516.67'),
  })
  await commitRecords(pool, [recordOf(first, 60_000)])
  t.match(await heldBy(pool, tenant), { reserved: units('2516.67') }, 'once')
})

t.test('also when the call cost nothing', async (t) => {
  const tenant = await makePayer(pool, 'unanswered', '10000')
  const leg = legOf(tenant)
  await credit.authorise(leg)
  await commitRecords(pool, [recordOf(leg)])
  t.match(await heldBy(pool, tenant), { balance: units('10000'), reserved: 0n, held: 0n })
  t.match(await booksOf(pool, tenant.id), { lines: 1 })
})

t.test('one commit releases for many calls of many tenants', async (t) => {
  const tenants = await Promise.all(
    Array.from({ length: 20 }, (_, i) => makePayer(pool, `many${i}`, '100000')),
  )
  const legs = tenants.flatMap((tenant) => Array.from({ length: 10 }, () => legOf(tenant)))
  await Promise.all(legs.map((leg) => credit.authorise(leg)))
  const open = legs.filter((_, i) => i % 10 === 9)
  const over = legs.filter((_, i) => i % 10 !== 9)
  await commitRecords(
    pool,
    over.map((leg, i) => recordOf(leg, i % 3 === 0 ? undefined : 60_000)),
  )
  for (const { tenant } of open)
    t.match(await heldBy(pool, tenant), { reserved: units('2516.67'), held: units('2516.67') })
})

t.test('a call whose record is committed gets no more, and leaves nothing held', async (t) => {
  const tenant = await makePayer(pool, 'over', '10000')
  const leg = legOf(tenant)
  await credit.authorise(leg)
  await commitRecords(pool, [recordOf(leg, 1_000)])
  t.match(await credit.extend(leg, 300_000), { kind: 'refused', reason: 'call_over' })
  t.match(await credit.authorise({ ...leg, attemptId: '2' }), { kind: 'refused', reason: 'call_over' })
  t.match(await heldBy(pool, tenant), { reserved: 0n, held: 0n })
})

t.test(
  'an authorisation that meets the commit of its own call leaves nothing held, whoever is first',
  async (t) => {
    for (const first of ['authorise', 'commit'] as const) {
      const tenant = await makePayer(pool, `meets-${first}`, '10000')
      const leg = legOf(tenant)
      const work = {
        authorise: () => credit.authorise(leg),
        commit: () => commitRecords(pool, [recordOf(leg, 60_000)]),
      }
      // Both begin, and see the database, before either can do anything.
      const done = await inTransaction(pool, async (client) => {
        await client.query('SELECT FROM balances WHERE tenant_id = $1 FOR UPDATE', [tenant.id])
        const one = work[first]()
        await untilWaiting(pool, 1)
        const other = work[first === 'authorise' ? 'commit' : 'authorise']()
        await untilWaiting(pool, 2)
        return [one, other]
      })
      await Promise.all(done)
      t.match(
        await heldBy(pool, tenant),
        { balance: units('9500'), reserved: 0n, held: 0n },
        `${first} first`,
      )
    }
  },
)

t.test('a second gateway is tried on the credit that the first did not need', async (t) => {
  const tenant = await makePayer(pool, 'failover', '2516.67')
  const first = legOf(tenant)
  await credit.authorise(first)
  const second = { ...first, attemptId: '2' }
  t.match(
    await credit.authorise(second),
    { kind: 'refused', reason: 'no_credit' },
    'the first may still be there',
  )
  const after = { attemptId: '1', cost: 0n }
  t.equal(granted(await credit.authorise({ ...second, after })).untilMs, 300_000)
  t.equal(granted(await credit.authorise({ ...second, after })).untilMs, 300_000, 'also when asked again')
  t.match(await heldBy(pool, tenant), { reserved: units('2516.67'), held: units('2516.67') })
  await commitRecords(pool, [recordOf(first, 302_000)])
  t.match(await heldBy(pool, tenant), { balance: 0n, reserved: 0n, held: 0n })
})

t.test('a leg that ended keeps its cost; the next has the rest of what it held', async (t) => {
  const tenant = await makePayer(pool, 'transfer', '2516.67')
  const first = legOf(tenant)
  await credit.authorise(first)
  const second = { ...first, attemptId: '2', after: { attemptId: '1', cost: units('500') } }
  t.same(await credit.authorise(second), { kind: 'granted', untilMs: 240_000, isLast: true })
  const { rows } = await pool.query<{ amount: string }>(
    'SELECT amount FROM reservations WHERE tenant_id = $1 ORDER BY attempt_id',
    [tenant.id],
  )
  t.same(
    rows.map(({ amount }) => units(amount)),
    [units('500'), units('2016.67')],
  )
})

t.test('postpaid: down to the credit limit, or without bound', async (t) => {
  const limited = await makePayer(pool, 'limited', '0', { billing: 'postpaid', credit_limit: '3000' })
  t.equal(granted(await credit.authorise(legOf(limited))).untilMs, 300_000)
  t.same(await credit.authorise(legOf(limited)), { kind: 'granted', untilMs: 56_000, isLast: true })
  t.match(await credit.authorise(legOf(limited)), { kind: 'refused', reason: 'no_credit' })
  t.match(await readBalance(pool, limited.id), { available: '0.00', creditLimit: '3000.00' })

  const trusted = await makePayer(pool, 'trusted', '0', { billing: 'postpaid' })
  const answers = await Promise.all(Array.from({ length: 50 }, () => credit.authorise(legOf(trusted))))
  t.ok(answers.every((answer) => granted(answer).untilMs === 300_000))
  t.match(await readBalance(pool, trusted.id), { available: '-125833.50', creditLimit: null })
})

t.test('a prepaid tenant may be given credit', async (t) => {
  const tenant = await makePayer(pool, 'overdraft', '500', { credit_limit: '500' })
  t.same(await credit.authorise(legOf(tenant)), { kind: 'granted', untilMs: 118_000, isLast: true })
})

t.test('a call may not cost more than its tenant allows', async (t) => {
  const tenant = await makePayer(pool, 'percall', '100000', { maximum_call_cost: '3000' })
  const leg = legOf(tenant)
  t.equal(granted(await credit.authorise(leg)).untilMs, 300_000)
  t.same(await credit.extend(leg, 300_000), { kind: 'granted', untilMs: 358_000, isLast: true })
  t.match(await credit.extend(leg, 358_000), { kind: 'refused', reason: 'call_cap' })
  t.match(await credit.authorise({ ...leg, attemptId: '2' }), { kind: 'refused', reason: 'call_cap' })
  t.equal(granted(await credit.authorise(legOf(tenant))).untilMs, 300_000, 'another call may')
})

t.test('nor all calls of a day, by the clock of the tenant', async (t) => {
  // Where it is about noon: no day shall end in the middle of this. POSIX counts to the west.
  const west = new Date().getUTCHours() - 12
  const time_zone = `Etc/GMT${west < 0 ? west : `+${west}`}`
  const tenant = await makePayer(pool, 'perday', '100000', { daily_spend_cap: '3000', time_zone })
  const leg = legOf(tenant)
  t.equal(granted(await credit.authorise(leg)).untilMs, 300_000)
  t.same(await credit.authorise(legOf(tenant)), { kind: 'granted', untilMs: 56_000, isLast: true })
  t.match(await credit.authorise(legOf(tenant)), { kind: 'refused', reason: 'daily_cap' })
  await commitRecords(pool, [recordOf(leg, 60_000)])
  // 483.33 are held by the other call, 500 are spent.
  t.same(await credit.authorise(legOf(tenant)), { kind: 'granted', untilMs: 240_000, isLast: true })
  const { rows } = await pool.query(
    `SELECT spent, spent_on = (now() AT TIME ZONE $2)::date AS is_today FROM balances WHERE tenant_id = $1`,
    [tenant.id, time_zone],
  )
  t.same(rows, [{ spent: '500.000000', is_today: true }])
  // The next day: what was spent counts no more, what calls hold does.
  await pool.query('UPDATE balances SET spent_on = spent_on - 1 WHERE tenant_id = $1', [tenant.id])
  t.equal(granted(await credit.authorise(legOf(tenant))).untilMs, 58_000)
})

t.test('a tenant that is gone gets nothing', async (t) => {
  const tenant = { id: 'gone', billing: 'prepaid' as const }
  t.match(await credit.authorise(legOf(tenant)), { kind: 'refused', reason: 'no_tenant' })
})

t.test('calls of two tenants with the same uuid do not touch each other', async (t) => {
  const [one, other] = [await makePayer(pool, 'twin1', '10000'), await makePayer(pool, 'twin2', '10000')]
  const callUuid = randomUUID()
  await credit.authorise(legOf(one, { callUuid }))
  await credit.authorise(legOf(other, { callUuid }))
  await commitRecords(pool, [recordOf(legOf(one, { callUuid }), 60_000)])
  t.match(await heldBy(pool, one), { balance: units('9500'), reserved: 0n, held: 0n })
  t.match(await heldBy(pool, other), {
    balance: units('10000'),
    reserved: units('2516.67'),
    held: units('2516.67'),
  })
})

t.test('whatever is in an id is kept as text, and its call releases it', async (t) => {
  const tenant = await makePayer(pool, 'text', '1000000')
  for (const text of [`'); DROP TABLE reservations; --`, '{"a",NULL}', '\\', '"', 'a\0b', '${x}', 'ễ 😀']) {
    const leg = legOf(tenant, { callUuid: text, attemptId: text })
    t.equal(granted(await credit.authorise(leg)).untilMs, 300_000)
    await commitRecords(pool, [recordOf(leg)])
  }
  t.match(await heldBy(pool, tenant), { reserved: 0n, held: 0n })
})

t.test('a leg at a price beyond all money harms only itself', async (t) => {
  const tenant = await makePayer(pool, 'poison', '0', { billing: 'postpaid' })
  const dear = { ...perMillisecond, pricePerMinute: parseMoney('999999999999999999') }
  const legs = [legOf(tenant), legOf(tenant, { rate: dear }), legOf(tenant)]
  const [first, poison, last] = await Promise.allSettled(legs.map((leg) => credit.authorise(leg)))
  t.match([first, last], [{ value: { untilMs: 300_000 } }, { value: { untilMs: 300_000 } }])
  t.equal(poison?.status, 'rejected')
  t.match(await heldBy(pool, tenant), { reserved: units('5033.34'), held: units('5033.34') })
})

/** The messages that are logged. */
function listening() {
  const lines: string[] = []
  const write = (text: string) => lines.push((JSON.parse(text) as { msg: string }).msg)
  return { log: pino({}, { write }), lines }
}

t.test(
  'PostgreSQL away: prepaid legs are refused, postpaid ones are not; both go on when it is back',
  async (t) => {
    const prepaid = await makePayer(pool, 'away-prepaid', '100000')
    const postpaid = await makePayer(pool, 'away-postpaid', '0', {
      billing: 'postpaid',
      credit_limit: '1000',
    })
    const line = await Line.to(t, url)
    const distant = openPool(line.url(url), { max: 2 })
    t.teardown(() => distant.end())
    const { log, lines } = listening()
    const credit = creditOn(distant, { log })
    const reckless = creditOn(distant, { refuseWhenAway: false })
    const talking = legOf(prepaid)
    t.equal(granted(await credit.authorise(talking)).untilMs, 300_000)

    await line.cut()
    t.match(await credit.authorise(legOf(prepaid)), { kind: 'refused', reason: 'away' })
    t.match(
      await credit.extend(talking, 300_000),
      { kind: 'refused', reason: 'away' },
      'it lasts until 300 s',
    )
    const trusted = legOf(postpaid)
    t.same(await credit.authorise(trusted), { kind: 'granted', untilMs: 300_000, isLast: false })
    t.same(await credit.extend(trusted, 300_000), { kind: 'granted', untilMs: 600_000, isLast: false })
    t.same(await reckless.authorise(legOf(prepaid)), { kind: 'granted', untilMs: 300_000, isLast: false })

    await line.mend()
    t.same(await credit.extend(talking, 300_000), { kind: 'granted', untilMs: 600_000, isLast: false })
    t.match(await credit.extend(trusted, 600_000), { kind: 'refused', reason: 'no_credit' })
    t.same(lines, [
      'credit cannot be reserved: prepaid legs are refused, postpaid ones are not',
      'credit can be reserved again',
    ])
  },
)

t.test('a tenant whose balance somebody keeps locked holds up no other', async (t) => {
  const [locked, free] = [
    await makePayer(pool, 'locked', '100000'),
    await makePayer(pool, 'unlocked', '100000'),
  ]
  const own = openPool(url, { max: 2 })
  t.teardown(() => own.end())
  const [hasty, credit] = [creditOn(own, { timeoutMs: 50 }), creditOn(own)]
  await inTransaction(pool, async (client) => {
    await client.query('SELECT FROM balances WHERE tenant_id = $1 FOR UPDATE', [locked.id])
    // Each of these has given up waiting; its statement has not, and has one of the two connections.
    for (let i = 0; i < 2; i++)
      t.match(await hasty.authorise(legOf(locked)), { kind: 'refused', reason: 'away' })
    t.equal(granted(await credit.authorise(legOf(free))).untilMs, 300_000)
  })
})

t.test('a connection that broke while nobody used it refuses nobody', async (t) => {
  const tenant = await makePayer(pool, 'broken', '100000')
  let asked = 0
  const credit = creditOn(pool, {
    reserve: (tenantId, requests) =>
      ++asked === 1 ? Promise.reject(new CreditAway('broken')) : reserveCredit(pool, tenantId, requests),
  })
  t.equal(granted(await credit.authorise(legOf(tenant))).untilMs, 300_000)
})

t.test('PostgreSQL that says nothing keeps no leg waiting', async (t) => {
  const silence: Reserve = () => new Promise(() => undefined)
  const credit = creditOn(pool, { reserve: silence, timeoutMs: 50 })
  const tenants = (billing: 'prepaid' | 'postpaid') => ({ id: billing, billing })
  const legs = Array.from({ length: 5 }, () => legOf(tenants('prepaid')))
  const first = credit.authorise(legs[0]!)
  const refused = { kind: 'refused', reason: 'away' }
  t.match(await first, refused)
  t.match(await Promise.all(legs.map((leg) => credit.authorise(leg))), Array(5).fill(refused))
  t.match(await credit.authorise(legOf(tenants('postpaid'))), { kind: 'granted', untilMs: 300_000 })
})
