import { topUp } from './credit.js'
import type { TestLinger } from './linger.js'

/** What is one story's on a server of several: calls, money and CDRs of a tenant are nobody else's. */
export interface OwnTenant {
  readonly tenant: string
  /** Somebody calls its number from outside; it rings extension 1001. */
  readonly outside: {
    readonly caller: string
    readonly called: string
    readonly profile: 'external'
    /** Nobody has said whose call it is. */
    readonly variables: Readonly<Record<string, string>>
  }
  /** That number in normal form. */
  readonly did: string
}

export interface TenantOptions {
  /** Default 1000000. */
  readonly balance?: string
  /** What else it has. */
  readonly sql?: (tenant: string) => string
}

let made = 0

/** A tenant like the demo one, at the same rates; its account code is its id. It is in force. */
export async function ownTenant<Here extends { readonly linger: Pick<TestLinger, 'pool' | 'server'> }>(
  here: Here,
  { balance = '1000000', sql = () => '' }: TenantOptions = {},
): Promise<Here & OwnTenant> {
  const { pool, server } = here.linger
  const tenant = `tenant${++made}`
  const ending = `1234${String(made).padStart(4, '0')}`
  const did = `8428${ending}`
  await pool.query(`
    INSERT INTO tenants (id, name, country, currency, deck_id, emergency_numbers)
      SELECT '${tenant}', '${tenant}', country, currency, deck_id, emergency_numbers FROM tenants WHERE id = 'demo';
    INSERT INTO extensions (tenant_id, number) VALUES ('${tenant}', '1000'), ('${tenant}', '1001');
    INSERT INTO accounts (code, tenant_id) VALUES ('${tenant}', '${tenant}');
    INSERT INTO gateways (tenant_id, name) VALUES ('${tenant}', 'carrier1');
    INSERT INTO numbers (number, tenant_id, extension) VALUES ('${did}', '${tenant}', '1001');
    ${sql(tenant)}`)
  if (Number(balance) > 0) await topUp(pool, tenant, balance)
  await server.reload()
  const outside = {
    caller: '0987654321',
    called: `028${ending}`,
    profile: 'external',
    variables: {},
  } as const
  return { ...here, tenant, outside, did }
}
