import type pg from 'pg'

import { normalPrefix } from '../numbering/normal-form.js'
import { inTransaction, lockFor } from './database.js'

/**
 * Gives a database without any tenant the tenant `demo`: two extensions, a gateway, two rates, and an opening
 * balance that stands in the ledger. Several servers may start at once.
 *
 * @returns whether it did
 */
export function seedDemo(pool: pg.Pool): Promise<boolean> {
  return inTransaction(pool, async (client) => {
    await lockFor(client, 'seed')
    const { rowCount } = await client.query('SELECT FROM tenants LIMIT 1')
    if (rowCount !== 0) return false
    await client.query(`INSERT INTO decks (id, name, currency) VALUES ('demo', 'Demo', 'VND')`)
    await client.query(
      `INSERT INTO rates (deck_id, prefix, prefix_entered, description, price_per_minute)
      VALUES ('demo', $1, '090', 'Mobile Viettel', 500), ('demo', $2, '84', 'Vietnam', 600)`,
      [normalPrefix('090', 'VN'), normalPrefix('84', 'VN')],
    )
    await client.query(`
      INSERT INTO tenants (id, name, country, currency, deck_id, emergency_numbers)
        VALUES ('demo', 'Demo', 'VN', 'VND', 'demo', '{112,113,114,115}');
      INSERT INTO extensions (tenant_id, number, display_name)
        VALUES ('demo', '1000', 'Extension 1000'), ('demo', '1001', 'Extension 1001');
      INSERT INTO accounts (code, tenant_id, extension)
        VALUES ('demo', 'demo', NULL), ('1000', 'demo', '1000'), ('1001', 'demo', '1001');
      INSERT INTO gateways (tenant_id, name) VALUES ('demo', 'carrier1');
      WITH opened AS (
        UPDATE balances SET balance = balance + 1000000, updated_at = now() WHERE tenant_id = 'demo'
        RETURNING tenant_id, balance
      )
      INSERT INTO ledger (tenant_id, kind, amount, balance_after, description, idempotency_key)
        SELECT tenant_id, 'topup', 1000000, balance, 'Opening balance', 'opening-balance' FROM opened`)
    return true
  })
}
