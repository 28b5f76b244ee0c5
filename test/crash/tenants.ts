import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import { parseMoney } from '../../src/billing/money.js'
import { plainTerms, type Rate } from '../../src/billing/rating.js'
import { saveFlows } from '../../src/routes/flow-file.js'
import { Routes } from '../../src/routes/registry.js'
import { inTransaction } from '../../src/store/database.js'
import { book } from '../../src/store/ledger.js'

/** By the millisecond. */
export const plainRate: Rate = {
  ...plainTerms,
  prefix: '8490',
  prefixEntered: '090',
  description: 'Mobile Viettel',
  pricePerMinute: parseMoney('600'),
}
/** A fee, then in steps. */
export const steppedRate: Rate = {
  ...plainRate,
  connectionFee: parseMoney('15'),
  minimumSeconds: 2,
  incrementSeconds: 1,
}

export interface CrashTenant {
  readonly id: string
  readonly billing: 'prepaid' | 'postpaid'
  readonly rate: Rate
  readonly gateways: readonly string[]
  /** It has hardly any money: its calls are ended by that. */
  readonly isPoor: boolean
}

const rich = {
  billing: 'prepaid',
  rate: plainRate,
  gateways: ['carrier1', 'carrier2'],
  isPoor: false,
} as const
/** What the number of its own costs its owner when it is called. */
export const inboundRate: Rate = {
  ...plainTerms,
  prefix: '842899900001',
  prefixEntered: '02899900001',
  description: 'Own number',
  pricePerMinute: parseMoney('60'),
}

/** Prepaid, with more money than its calls can cost. */
export const richTenant: CrashTenant = { ...rich, id: 'crash-rich' }
/** Pays for the calls to its own number, too. */
export const steppedTenant: CrashTenant = { ...rich, id: 'crash-stepped', rate: steppedRate }
export const postpaidTenant: CrashTenant = { ...rich, id: 'crash-postpaid', billing: 'postpaid' }
export const poorTenants: readonly CrashTenant[] = ['crash-poor1', 'crash-poor2', 'crash-poor3'].map(
  (id) => ({
    ...rich,
    id,
    isPoor: true,
  }),
)
export const tenants: readonly CrashTenant[] = [richTenant, steppedTenant, postpaidTenant, ...poorTenants]

/** Leads to a menu of the rich one. */
export const menuNumber = '02899900002'

const flows = {
  menus: {
    main: { name: 'Main', prompt: ['ivr/main.wav'], choices: { '1': { menu: 'more' } }, timeoutMs: 1_000 },
    more: {
      name: 'More',
      prompt: ['ivr/more.wav'],
      choices: { '1': { route: 'dial', arguments: { number: '0901234567' } } },
      timeoutMs: 1_000,
    },
  },
  numbers: [
    {
      ...{ direction: 'inbound', kind: 'exact', number: menuNumber },
      step: { route: 'menu', arguments: { menu: 'main' } },
    },
  ],
}

/** Some seconds of talk. */
const poorBalance = '120'
const richBalance = '100000000'

/**
 * Makes the tenants; and, beside the server's own tables, what remembers the most that a call ever had reserved
 * (`crash_reserved`) and each prepaid balance that was below 0 (`crash_overdrawn`).
 */
export async function makeTenants(pool: pg.Pool): Promise<void> {
  await inTransaction(pool, async (client) => {
    await client.query(`
      INSERT INTO decks (id, name, currency) VALUES ('crash-inbound', 'Own numbers', 'VND');
      INSERT INTO rates (deck_id, prefix, prefix_entered, description, price_per_minute)
        VALUES ('crash-inbound', '842899900001', '02899900001', 'Own number', 60)`)
    for (const { id, billing, rate, gateways } of tenants) {
      await client.query(`INSERT INTO decks (id, name, currency) VALUES ($1, $1, 'VND')`, [id])
      await client.query(
        `INSERT INTO rates (deck_id, prefix, prefix_entered, description, price_per_minute, connection_fee,
          minimum_seconds, increment_seconds)
        VALUES ($1, '8490', '090', 'Mobile Viettel', 600, $2, $3, $4)`,
        [id, rate.connectionFee === 0n ? '0' : '15', rate.minimumSeconds, rate.incrementSeconds],
      )
      await client.query(
        `INSERT INTO tenants (id, name, country, currency, billing, deck_id, inbound_deck_id, max_calls,
          emergency_numbers)
        VALUES ($1, $1, 'VN', 'VND', $2, $1, CASE $1 WHEN 'crash-stepped' THEN 'crash-inbound' END, 10000, '{115}')`,
        [id, billing],
      )
      for (const extension of ['1000', '1001'])
        await client.query(`INSERT INTO extensions (tenant_id, number) VALUES ($1, $2)`, [id, extension])
      await client.query(
        `INSERT INTO accounts (code, tenant_id, extension) VALUES ($1, $1, NULL), ($1 || '-1000', $1, '1000')`,
        [id],
      )
      for (const [index, gateway] of gateways.entries())
        await client.query(`INSERT INTO gateways (tenant_id, name, priority) VALUES ($1, $2, $3)`, [
          id,
          gateway,
          100 + index,
        ])
    }
    await client.query(`
      INSERT INTO numbers (number, tenant_id, extension) VALUES ('842899900001', 'crash-stepped', '1000');
      CREATE TABLE crash_reserved (call_uuid text PRIMARY KEY, most numeric NOT NULL);
      CREATE FUNCTION crash_note_reserved() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        INSERT INTO crash_reserved
          SELECT NEW.call_uuid, sum(amount) FROM reservations WHERE call_uuid = NEW.call_uuid
          ON CONFLICT (call_uuid) DO UPDATE SET most = greatest(crash_reserved.most, excluded.most);
        RETURN NULL;
      END $$;
      CREATE TRIGGER crash_reserved AFTER INSERT OR UPDATE ON reservations
        FOR EACH ROW EXECUTE FUNCTION crash_note_reserved();
      CREATE TABLE crash_overdrawn (tenant_id text, balance numeric);
      CREATE FUNCTION crash_note_overdrawn() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        INSERT INTO crash_overdrawn SELECT id, NEW.balance FROM tenants
          WHERE id = NEW.tenant_id AND billing = 'prepaid';
        RETURN NULL;
      END $$;
      CREATE TRIGGER crash_overdrawn AFTER UPDATE ON balances
        FOR EACH ROW WHEN (NEW.balance < 0) EXECUTE FUNCTION crash_note_overdrawn()`)
  })
  await saveFlows(pool, new Routes(), richTenant.id, flows)
  for (const { id, isPoor } of tenants) await topUp(pool, id, isPoor ? poorBalance : richBalance)
}

/** A little more for a tenant that is out of money. */
export function helpPoor(pool: pg.Pool, tenant: string): Promise<void> {
  return topUp(pool, tenant, '60')
}

async function topUp(pool: pg.Pool, tenant: string, amount: string): Promise<void> {
  const description = 'Paid in'
  await book(pool, {
    tenant,
    kind: 'topup',
    amount: parseMoney(amount),
    description,
    idempotencyKey: randomUUID(),
  })
}
