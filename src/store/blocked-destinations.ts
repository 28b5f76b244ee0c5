import type pg from 'pg'

import type { Country } from '../numbering/normal-form.js'
import { normalEntered } from './entered-prefix.js'
import { ChangeRefused, quoted } from './refusal.js'
import type { BlockedDestination } from './tenant-schemas.js'

/**
 * Blocks exactly these for a tenant.
 *
 * @param client in a transaction that has locked the directory
 * @param country of the tenant: what the prefixes are read by
 * @throws ChangeRefused `invalid`
 */
export async function setBlockedDestinations(
  client: pg.ClientBase,
  { tenantId, country }: { readonly tenantId: string; readonly country: Country },
  destinations: readonly BlockedDestination[],
): Promise<void> {
  const rows = normalRows(destinations, country)
  await client.query('DELETE FROM blocked_destinations WHERE tenant_id = $1 AND prefix <> ALL ($2::text[])', [
    tenantId,
    rows.map(({ prefix }) => prefix),
  ])
  await client.query(
    `INSERT INTO blocked_destinations (tenant_id, prefix, prefix_entered, description)
    SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[])
    ON CONFLICT (tenant_id, prefix)
    DO UPDATE SET prefix_entered = excluded.prefix_entered, description = excluded.description
    WHERE (blocked_destinations.prefix_entered, blocked_destinations.description)
      <> (excluded.prefix_entered, excluded.description)`,
    [
      tenantId,
      rows.map(({ prefix }) => prefix),
      rows.map(({ prefix_entered }) => prefix_entered),
      rows.map(({ description }) => description),
    ],
  )
}

function normalRows(
  destinations: readonly BlockedDestination[],
  country: Country,
): Required<BlockedDestination>[] {
  const places = new Map<string, number>()
  return destinations.map(({ prefix: given, prefix_entered: entered = given, description = '' }, place) => {
    const field = `blocked_destinations[${place}]`
    const prefix = normalEntered(`${field}.prefix`, given, country)
    if (normalEntered(`${field}.prefix_entered`, entered, country) !== prefix)
      throw new ChangeRefused('invalid', `is ${quoted(entered)}, which is not the prefix ${quoted(given)}`, {
        field: `${field}.prefix_entered`,
      })
    const earlier = places.get(prefix)
    if (earlier !== undefined)
      throw new ChangeRefused(
        'invalid',
        `is ${quoted(given)}, the same as blocked_destinations[${earlier}]`,
        { field: `${field}.prefix` },
      )
    places.set(prefix, place)
    return { prefix, prefix_entered: entered, description }
  })
}
