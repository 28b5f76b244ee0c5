import { randomUUID } from 'node:crypto'

import type pg from 'pg'
import t from 'tap'

import { parseMoney } from '../src/billing/money.js'
import type { ReservationRequest } from '../src/billing/reservation-queue.js'
import { commitRecords } from '../src/store/commit.js'
import { inTransaction } from '../src/store/database.js'
import { reserveCredit } from '../src/store/reservations.js'
import { heldBy, legOf, makePayer, recordOf } from './support/credit.js'
import { testDatabase } from './support/services.js'

const { pool } = await testDatabase(t)

/** At any moment it is another day in one of them than it is by UTC. */
const zones = { 'two hours west of the date line': 'Etc/GMT+12', 'two hours east': 'Pacific/Kiritimati' }

function request(want: string, least: string): ReservationRequest {
  return { callUuid: randomUUID(), attemptId: '1', want: parseMoney(want), least: parseMoney(least) }
}

/** @param days from the tenant's own today, which lasts as long as the transaction */
async function setSpent(client: pg.ClientBase, tenant: string, spent: string, days: number): Promise<void> {
  await client.query(
    `UPDATE balances SET spent = $2, spent_on = (now() AT TIME ZONE time_zone)::date + $3::integer
    FROM tenants WHERE id = tenant_id AND tenant_id = $1`,
    [tenant, spent, days],
  )
}

async function spentBy(client: pg.ClientBase, tenant: string): Promise<{ spent: string; day: number }> {
  const { rows } = await client.query<{ spent: string; day: number }>(
    `SELECT trim_scale(spent)::text AS spent, spent_on - (now() AT TIME ZONE time_zone)::date AS day
    FROM balances JOIN tenants ON id = tenant_id WHERE tenant_id = $1`,
    [tenant],
  )
  return rows[0]!
}

t.test("a day begins and ends at the tenant's own midnight", async (t) => {
  for (const [i, [where, time_zone]] of Object.entries(zones).entries()) {
    const tenant = await makePayer(pool, `zone${i}`, '100000', { daily_spend_cap: '3000', time_zone })
    // In one transaction it is one moment, whatever the clock says.
    await inTransaction(pool, async (client) => {
      const ask = async () => (await reserveCredit(client, tenant.id, [request('100', '100')]))[0]
      await setSpent(client, tenant.id, '3000', 0)
      t.match(await ask(), { shortage: 'daily_cap' }, `${where}: spent today`)
      await setSpent(client, tenant.id, '3000', -1)
      t.match(await ask(), { held: parseMoney('100'), shortage: undefined }, `${where}: spent yesterday`)
      // Its time zone was changed, or a clock.
      await setSpent(client, tenant.id, '3000', 1)
      t.match(await ask(), { shortage: 'daily_cap' }, `${where}: spent on a day that is yet to come`)
    })
  }
})

t.test("what a call cost counts on the tenant's own day, and only on that", async (t) => {
  for (const [i, [where, time_zone]] of Object.entries(zones).entries()) {
    const tenant = await makePayer(pool, `spends${i}`, '100000', { time_zone })
    await inTransaction(pool, async (client) => {
      const call = () => commitRecords(client, [recordOf(legOf(tenant), 60_000)])
      await call()
      t.same(await spentBy(client, tenant.id), { spent: '500', day: 0 }, `${where}: the first one`)
      await call()
      t.same(await spentBy(client, tenant.id), { spent: '1000', day: 0 }, `${where}: another one`)
      await setSpent(client, tenant.id, '1000', -1)
      await call()
      t.same(await spentBy(client, tenant.id), { spent: '500', day: 0 }, `${where}: the next day`)
      await setSpent(client, tenant.id, '500', 1)
      await call()
      t.same(
        await spentBy(client, tenant.id),
        { spent: '1000', day: 1 },
        `${where}: the day does not go back`,
      )
    })
  }
})

t.test('legs that are authorised together stay below the cap together', async (t) => {
  const tenant = await makePayer(pool, 'together', '100000', { daily_spend_cap: '250' })
  const answers = await reserveCredit(pool, tenant.id, [
    request('100', '100'),
    request('100', '100'),
    request('100', '10'),
    request('100', '10'),
  ])
  t.match(
    answers.map(({ held, shortage }) => shortage ?? held),
    [parseMoney('100'), parseMoney('100'), parseMoney('50'), 'daily_cap'],
  )
  t.match(await heldBy(pool, tenant), { reserved: parseMoney('250'), held: parseMoney('250') })
})
