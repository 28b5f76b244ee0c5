import type pg from 'pg'

import type { Country } from '../numbering/normal-form.js'
import { plannedNumbers } from '../numbering/number-plan.js'
import { hasNul } from './database.js'
import { checkPlanEntryShape } from './flow-check.js'
import type { PlanEntryDraft } from './number-plan.js'

/**
 * Whether all numbers that an entry would make the tenant's own are its already: each is one of its DIDs, or all of
 * them are within another inbound entry of its plan. Of an entry that makes none so (sql/010_number_plan.sql has
 * `claims`), they are. It stays true until the transaction ends.
 *
 * @throws ChangeRefused `invalid`
 */
export async function ownsNumbers(
  client: pg.ClientBase,
  tenantId: string,
  draft: PlanEntryDraft,
): Promise<boolean> {
  checkPlanEntryShape(draft)
  if (draft.direction !== 'inbound' || hasNul(tenantId)) return true
  const { rows } = await client.query<{ country: Country }>(
    'SELECT country FROM tenants WHERE id = $1 FOR SHARE',
    [tenantId],
  )
  const [tenant] = rows
  if (tenant === undefined) return true
  const { kind, number, to } = plannedNumbers(draft.kind, draft.number, draft.to, tenant.country)
  if (!claimable.test(number)) return true
  // Whoever changes whose a number is has this lock.
  await client.query(`SELECT FROM catalog_version WHERE part = 'numbers' FOR NO KEY UPDATE`)
  const { rows: found } = await client.query<{ is_own: boolean }>(
    `SELECT EXISTS (
        SELECT FROM number_plan WHERE claims AND tenant_id = $1 AND CASE kind
          WHEN 'prefix' THEN starts_with($3, number)
          WHEN 'range' THEN $2 <> 'prefix' AND length(number) = length($3) AND $3 >= number AND $4 <= number_to
          ELSE $2 <> 'prefix' AND number = $3 AND number = $4
        END
      ) OR $2 <> 'prefix' AND (
        SELECT count(*) = $5::bigint + 1 FROM numbers
        WHERE tenant_id = $1 AND number COLLATE "C" BETWEEN $3 AND $4 AND length(number) = length($3)
      ) AS is_own`,
    [
      tenantId,
      kind,
      number,
      to ?? number,
      kind === 'range' ? String(BigInt(to ?? number) - BigInt(number)) : '0',
    ],
  )
  return found[0]?.is_own === true
}

/** As the table has it: shorter numbers may be several tenants'. */
const claimable = /^[0-9]{7}/
