import type pg from 'pg'

import { ChangeRefused, quoted } from './refusal.js'

/** Whose account codes they are: an extension's, or the tenant's own. */
export interface AccountOwner {
  readonly tenantId: string
  readonly extension?: string
}

/**
 * Gives an owner exactly these account codes.
 *
 * @param client in a transaction that has locked the directory
 * @throws ChangeRefused `taken`: a code is somebody else's; only of the same tenant's it is told whose
 */
export async function setAccountCodes(
  client: pg.ClientBase,
  { tenantId, extension }: AccountOwner,
  codes: readonly string[],
): Promise<void> {
  const owner = [tenantId, extension ?? null]
  await client.query(
    `DELETE FROM accounts WHERE tenant_id = $1 AND extension IS NOT DISTINCT FROM $2 AND code <> ALL ($3::text[])`,
    [...owner, codes],
  )
  if (codes.length === 0) return
  await client.query(
    `INSERT INTO accounts (code, tenant_id, extension)
    SELECT DISTINCT code, $1, $2 FROM unnest($3::text[]) AS given (code) ON CONFLICT (code) DO NOTHING`,
    [...owner, codes],
  )
  const { rows } = await client.query<{ code: string; tenant_id: string; extension: string | null }>(
    `SELECT code, tenant_id, extension FROM accounts
    WHERE code = ANY ($3) AND (tenant_id <> $1 OR extension IS DISTINCT FROM $2) ORDER BY code LIMIT 1`,
    [...owner, codes],
  )
  const [other] = rows
  if (other === undefined) return
  const whose =
    other.tenant_id !== tenantId
      ? 'is taken'
      : other.extension === null
        ? "is the tenant's own"
        : `is that of the extension ${quoted(other.extension)}`
  throw new ChangeRefused('taken', `the account code ${quoted(other.code)} ${whose}`, {
    field: 'account_codes',
  })
}
