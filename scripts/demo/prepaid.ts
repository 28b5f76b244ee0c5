import type pg from 'pg'
import { formatMoney, parseMoney } from '../../src/billing/money.js'
import { inTransaction } from '../../src/store/database.js'
import type { Admin } from './admin.js'

/** A tenant whose money is for one short call, at a rate that says more than a price. */
export const prepaidTenant = 'demo-prepaid'

/**
 * Makes the tenant, if a demo before has not.
 * @returns whether it is new: its servers know it within 2 s
 */
export function makePrepaidTenant(pool: pg.Pool): Promise<boolean> {
  return inTransaction(pool, async (client) => {
    const { rowCount } = await client.query(
      `INSERT INTO decks (id, name, currency) VALUES ($1, 'Demo, prepaid', 'VND') ON CONFLICT DO NOTHING`,
      [prepaidTenant],
    )
    if (rowCount === 0) return false
    await client.query(
      `INSERT INTO rates (deck_id, prefix, prefix_entered, description, price_per_minute, connection_fee,
        minimum_seconds, increment_seconds)
      VALUES ($1, '8490', '090', 'Mobile Viettel, 6/6', 600, 15, 6, 6)`,
      [prepaidTenant],
    )
    await client.query(
      `INSERT INTO tenants (id, name, country, currency, deck_id) VALUES ($1, 'Demo, prepaid', 'VN', 'VND', $1)`,
      [prepaidTenant],
    )
    await client.query(`INSERT INTO accounts (code, tenant_id) VALUES ($1, $1)`, [prepaidTenant])
    await client.query(`INSERT INTO gateways (tenant_id, name) VALUES ($1, 'carrier1')`, [prepaidTenant])
    return true
  })
}

/** Brings its balance to exactly this. @returns what was booked for it */
export async function setBalance(admin: Admin, target: string): Promise<string | undefined> {
  const { balance } = await admin.balance(prepaidTenant)
  const missing = parseMoney(target) - parseMoney(balance)
  if (missing === 0n) return undefined
  const amount = formatMoney(missing)
  if (missing > 0n) {
    await admin.book(prepaidTenant, 'topups', { amount, description: 'npm run demo' })
    return `POST /v1/tenants/${prepaidTenant}/topups {"amount": "${amount}"}`
  }
  await admin.book(prepaidTenant, 'adjustments', { amount, description: 'npm run demo' })
  return `POST /v1/tenants/${prepaidTenant}/adjustments {"amount": "${amount}"}`
}
