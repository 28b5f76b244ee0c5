import type pg from 'pg'

import { ChangeRefused, quoted } from './refusal.js'
import type { TenantChange, TenantRecord } from './tenant-schemas.js'

/**
 * What hangs on a tenant. Of what may be millions it is only asked whether there is any; the rest is counted, so that
 * whoever is about to delete a whole number plan sees how much that is.
 */
interface Use {
  readonly extensions: number
  readonly gateways: number
  readonly numbers: number
  readonly menus: number
  readonly hours: number
  readonly plan_entries: number
  readonly keys: number
  readonly has_calls: boolean
  readonly has_ledger: boolean
  readonly has_reservations: boolean
}

/**
 * @param client in a transaction that has locked the tenant FOR UPDATE: it gets nothing more before that ends
 * @throws ChangeRefused `in_use`, saying by what
 */
export async function refuseTenantInUse(client: pg.ClientBase, id: string): Promise<void> {
  const { rows } = await client.query<Use>(
    `SELECT
      (SELECT count(*)::integer FROM extensions WHERE tenant_id = $1) AS extensions,
      (SELECT count(*)::integer FROM gateways WHERE tenant_id = $1) AS gateways,
      (SELECT count(*)::integer FROM numbers WHERE tenant_id = $1) AS numbers,
      (SELECT count(*)::integer FROM flows WHERE tenant_id = $1 AND kind = 'menu') AS menus,
      (SELECT count(*)::integer FROM flows WHERE tenant_id = $1 AND kind = 'hours') AS hours,
      (SELECT count(*)::integer FROM number_plan WHERE tenant_id = $1) AS plan_entries,
      (SELECT count(*)::integer FROM api_keys WHERE tenant_id = $1 AND revoked_at IS NULL
        AND (expires_at > now()) IS NOT FALSE) AS keys,
      EXISTS (SELECT FROM cdrs WHERE tenant_id = $1) AS has_calls,
      EXISTS (SELECT FROM ledger WHERE tenant_id = $1) AS has_ledger,
      EXISTS (SELECT FROM reservations WHERE tenant_id = $1) AS has_reservations`,
    [id],
  )
  const [use] = rows
  if (use === undefined) throw new Error('PostgreSQL did not say what there is of a tenant')
  const words = [
    ...counted(use.extensions, 'extension', 'extensions'),
    ...counted(use.gateways, 'gateway', 'gateways'),
    ...counted(use.numbers, 'number', 'numbers'),
    ...counted(use.menus, 'menu', 'menus'),
    ...counted(use.hours, 'set of hours', 'sets of hours'),
    ...counted(use.plan_entries, 'entry of the number plan', 'entries of the number plan'),
    ...counted(use.keys, 'API key', 'API keys'),
    ...(use.has_reservations ? ['money reserved for calls in progress'] : []),
  ]
  const past = [
    ...(use.has_calls ? ['call records'] : []),
    ...(use.has_ledger ? ['lines in its ledger'] : []),
  ]
  if (words.length + past.length === 0) return
  const kept = past.length === 0 ? '' : '; what has had calls or a ledger line is kept for good'
  throw new ChangeRefused(
    'in_use',
    `the tenant ${quoted(id)} cannot be deleted: it has ${[...words, ...past].join(', ')}${kept}`,
  )
}

/**
 * Prefixes are kept in the normal form that they had by the tenant's country: in another one it would be another.
 *
 * @param client in a transaction that has locked the tenant and the directory
 * @param before with its old country
 * @param change to another one
 * @throws ChangeRefused `in_use`, saying by what
 */
export async function refuseOldPrefixes(
  client: pg.ClientBase,
  before: TenantRecord,
  change: TenantChange,
): Promise<void> {
  const { rows } = await client.query<{ count: number }>(
    `SELECT count(*)::integer AS count FROM gateways WHERE tenant_id = $1 AND prefix <> ''`,
    [before.id],
  )
  const gateways = counted(rows[0]?.count ?? 0, 'gateway with a prefix', 'gateways with a prefix')
  const lists = (['blocked_destinations', 'local_prefixes'] as const).filter(
    (field) => before[field].length > 0 && change[field] === undefined,
  )
  const words = [...gateways, ...lists]
  if (words.length === 0) return
  const remedy = lists.length === 0 ? '' : `; send ${lists.join(' and ')} anew with it`
  throw new ChangeRefused(
    'in_use',
    `the country cannot change while the tenant has ${words.join(', ')}, which are read by it${remedy}`,
    { field: 'country' },
  )
}

function counted(count: number, one: string, many: string): string[] {
  return count === 0 ? [] : [`${count} ${count === 1 ? one : many}`]
}
