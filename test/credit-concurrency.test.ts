import assert from 'node:assert/strict'

import fc from 'fast-check'
import t from 'tap'

import type { Credit, Leg, Payer } from '../src/billing/credit.js'
import { formatMoney, parseMoney } from '../src/billing/money.js'
import { rateLeg, type Rate, type Terms } from '../src/billing/rating.js'
import { auditBooks, auditMode } from '../src/store/audit.js'
import { commitRecords, type CallRecord } from '../src/store/commit.js'
import { inTransaction, openPool } from '../src/store/database.js'
import { creditOn, heldBy, legOf, makePayer, perMillisecond, recordOf, topUp } from './support/credit.js'
import { testDatabase } from './support/services.js'

const { pool, url } = await testDatabase(t)
const guardMs = 2_000

/** A call as a property draws it; fractions are of 1,000. */
interface Draft {
  /** 0 is the hot tenant. */
  readonly tenant: number
  readonly price: number
  readonly terms: Partial<Terms>
  readonly node: number
  readonly extensions: number
  /** The first gateway fails, and a second one is tried. */
  readonly failsOver: boolean
  /** How much of the granted time it talks; beyond 1,000 the switch is late. 0: it is not answered. */
  readonly talks: number
  /** It is still in progress at the end. */
  readonly staysOpen: boolean
  /** Its record is committed twice, as a journal does whose answer was lost. */
  readonly isRepeated: boolean
}

const draft: fc.Arbitrary<Draft> = fc.record({
  tenant: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 2, arbitrary: fc.nat({ max: 7 }) }),
  price: fc.integer({ min: 1, max: 2_000 }),
  terms: fc.constantFrom<Partial<Terms>[]>(
    {},
    { minimumSeconds: 60, incrementSeconds: 60 },
    { connectionFee: parseMoney('30'), minimumSeconds: 30, incrementSeconds: 6 },
    { graceSeconds: 5, rounding: { mode: 'down', decimals: 0 } },
    { maximumCost: parseMoney('1000') },
  ),
  node: fc.nat({ max: 2 }),
  extensions: fc.nat({ max: 3 }),
  failsOver: fc.boolean(),
  talks: fc.oneof(fc.constant(0), fc.nat({ max: 1_000 }), fc.constant(1_001)),
  staysOpen: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
  isRepeated: fc.boolean(),
})
const deposit = fc.record({ tenant: fc.nat({ max: 7 }), amount: fc.integer({ min: 1, max: 5_000 }) })

/** What became of a call: the most that it could have cost, and what it holds if it is still open. */
interface Outcome {
  readonly leg: Leg
  readonly couldCost: bigint
  readonly cost: bigint
  readonly isOpen: boolean
}

async function live(draft: Draft, tenants: readonly Payer[], nodes: readonly Credit[]): Promise<Outcome> {
  const pricePerMinute = parseMoney(String(draft.price))
  const rate: Rate = { ...perMillisecond, ...draft.terms, pricePerMinute }
  const credit = nodes[draft.node]!
  let leg = legOf(tenants[draft.tenant]!, { rate })
  const commit = async (record: CallRecord) => {
    await Promise.all(
      draft.isRepeated
        ? [commitRecords(pool, [record]), commitRecords(pool, [record])]
        : [commitRecords(pool, [record])],
    )
  }
  let answer = await credit.authorise(leg)
  if (draft.failsOver && answer.kind === 'granted') {
    leg = { ...leg, attemptId: '2', after: { attemptId: '1', cost: 0n } }
    answer = await credit.authorise(leg)
    assert.equal(answer.kind, 'granted', 'what the first gateway did not need is enough for the second')
  }
  if (answer.kind === 'refused') {
    await commit(recordOf(leg))
    return { leg, couldCost: 0n, cost: 0n, isOpen: false }
  }
  let { untilMs } = answer
  for (let i = 0; i < draft.extensions; i++) {
    // Every other time by another node, which took the call over.
    const more = await (i % 2 === 0 ? credit : nodes[(draft.node + 1) % 3]!).extend(leg, untilMs)
    if (more.kind === 'refused') break
    assert.ok(more.untilMs > untilMs || untilMs === 3_600_000)
    ;({ untilMs } = more)
  }
  const talkedMs = draft.talks > 1_000 ? untilMs + guardMs : Math.floor((untilMs * draft.talks) / 1_000)
  const couldCost = rateLeg(rate, untilMs + guardMs).cost
  if (draft.staysOpen) return { leg, couldCost, cost: 0n, isOpen: true }
  // A last wish for more is under way while the call ends.
  const late = credit.extend(leg, untilMs)
  await commit(recordOf(leg, draft.talks === 0 ? undefined : talkedMs))
  await late
  return { leg, couldCost, cost: draft.talks === 0 ? 0n : rateLeg(rate, talkedMs).cost, isOpen: false }
}

t.test('no interleaving of calls, slices, commits and top-ups overdraws a prepaid tenant', async (t) => {
  const pools = Array.from({ length: 3 }, () => openPool(url, { max: 4 }))
  t.teardown(() => Promise.all(pools.map((pool) => pool.end())))
  const nodes = pools.map((pool) => creditOn(pool))
  let run = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(draft, { minLength: 20, maxLength: 80 }),
      fc.array(deposit, { maxLength: 20 }),
      fc.array(fc.integer({ min: 0, max: 20_000 }), { minLength: 8, maxLength: 8 }),
      fc.array(fc.nat({ max: 2_000 }), { minLength: 8, maxLength: 8 }),
      async (drafts, deposits, balances, limits) => {
        run++
        const tenants = await Promise.all(
          balances.map((balance, i) =>
            makePayer(
              pool,
              `run${run}-${i}`,
              String(balance),
              i % 2 === 0 ? {} : { credit_limit: String(limits[i]) },
            ),
          ),
        )
        let isQuiet = false
        const watch = async () => {
          while (!isQuiet) await assertNotOverdrawn(tenants)
        }
        const work = Promise.all([
          Promise.all(drafts.map((draft) => live(draft, tenants, nodes))),
          ...deposits.map(({ tenant, amount }) => topUp(pool, tenants[tenant]!.id, String(amount))),
        ]).finally(() => (isQuiet = true))
        const [[outcomes]] = await Promise.all([work, watch()])
        for (const [i, tenant] of tenants.entries()) {
          const own = outcomes.filter(({ leg }) => leg.tenant === tenant)
          const paidIn = deposits.reduce(
            (sum, one) => (one.tenant === i ? sum + BigInt(one.amount) : sum),
            BigInt(balances[i]!),
          )
          const { balance, reserved, held } = await heldBy(pool, tenant)
          const spent = own.reduce((sum, { cost }) => sum + cost, 0n)
          assert.equal(formatMoney(balance), formatMoney(paidIn * 1_000_000n - spent))
          assert.equal(reserved, held)
          // What open calls can still cost is held, and nothing else is.
          const open = own.filter(({ isOpen }) => isOpen)
          const couldCost = open.reduce((sum, one) => sum + one.couldCost, 0n)
          assert.ok(couldCost <= reserved, `${couldCost} <= ${reserved}`)
          if (open.length === 0) assert.equal(reserved, 0n)
        }
        await assertNotOverdrawn(tenants)
      },
    ),
    { numRuns: 12, endOnFailure: true },
  )
  t.match(await inTransaction(pool, auditBooks, auditMode), { findings: [] })
})

/** Of one moment in the middle of everything. */
async function assertNotOverdrawn(tenants: readonly Payer[]): Promise<void> {
  const { rows } = await pool.query(
    `SELECT tenant_id, balance, reserved, held FROM balances b JOIN tenants t ON t.id = b.tenant_id,
      LATERAL (SELECT coalesce(sum(amount), 0) AS held FROM reservations r WHERE r.tenant_id = b.tenant_id) r
    WHERE tenant_id = ANY($1) AND (balance + coalesce(credit_limit, 0) < reserved OR reserved <> held)`,
    [tenants.map(({ id }) => id)],
  )
  assert.deepEqual(rows, [])
}

t.test('connections that break in the middle leave nothing held but what is in progress', async (t) => {
  const tenant = await makePayer(pool, 'breaks', '1000000')
  const own = openPool(url, { max: 4 })
  t.teardown(() => own.end())
  const credit = creditOn(own)
  const legs = Array.from({ length: 200 }, () => legOf(tenant))
  const answers = legs.map((leg) => credit.authorise(leg))
  await Promise.race(answers)
  await pool.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%reserve_credit%'`,
  )
  const settled = await Promise.all(answers)
  // Whether it was told so or not, a leg holds its slice once or nothing.
  const { reserved, held } = await heldBy(pool, tenant)
  assert.equal(reserved, held)
  const slice = parseMoney('2516.67')
  t.equal(held % slice, 0n)
  const granted = settled.filter(({ kind }) => kind === 'granted').length
  t.ok(held / slice >= BigInt(granted) && held / slice <= 200n, `${granted} granted`)
  await commitRecords(
    pool,
    legs.map((leg) => recordOf(leg)),
  )
  t.match(await heldBy(pool, tenant), { reserved: 0n, held: 0n })
})
