import type pg from 'pg'

import type { Country } from '../numbering/normal-form.js'
import { hasNul } from './database.js'
import { ChangeRefused, noTenant } from './refusal.js'

/**
 * The order in which whoever changes what belongs to tenants locks rows, so that no two wait for each other: the
 * directory (sql/015_versions.sql), the tenant, what is changed; what is apart from the directory, the tenant first.
 */

/**
 * - `KEY SHARE`: the tenant stays;
 * - `SHARE`: its settings stay as well, such as the country that numbers are read by;
 * - `NO KEY UPDATE`: they are about to be changed;
 * - `UPDATE`: it is about to go, and gets nothing more.
 */
export type TenantLock = 'KEY SHARE' | 'SHARE' | 'NO KEY UPDATE' | 'UPDATE'

export interface LockedTenant {
  readonly country: Country
  readonly currency: string
  readonly version: number
}

/** @throws ChangeRefused `not_found` */
export async function lockTenant(client: pg.ClientBase, id: string, lock: TenantLock): Promise<LockedTenant> {
  if (hasNul(id)) throw noTenant(id)
  const { rows } = await client.query<LockedTenant>(
    `SELECT country, currency, version FROM tenants WHERE id = $1 FOR ${lock}`,
    [id],
  )
  const [row] = rows
  if (row === undefined) throw noTenant(id)
  return row
}

/** Nobody else changes tenants, extensions or gateways before the transaction ends. */
export async function lockDirectory(client: pg.ClientBase): Promise<void> {
  await client.query(`SELECT FROM catalog_version WHERE part = 'directory' FOR NO KEY UPDATE`)
}

/** @param what as in "the extension demo/1000"; @throws ChangeRefused `conflict` */
export function checkVersion(what: string, version: number, expectedVersion: number | undefined): void {
  if (expectedVersion === undefined || expectedVersion === version) return
  throw new ChangeRefused(
    'conflict',
    `somebody changed ${what}: there is version ${version} now, not ${expectedVersion}`,
  )
}
