import type pg from 'pg'

import type { Country } from '../numbering/normal-form.js'
import { pageOf, readCursor, type Page } from './cursor.js'
import { hasNul } from './database.js'
import { decimal } from './decimal.js'
import { normalEntered } from './entered-prefix.js'
import type { GatewayChange, GatewayDraft, GatewayRecord } from './gateway-schemas.js'
import { checkVersion, lockDirectory, lockTenant } from './locking.js'
import { ChangeRefused } from './refusal.js'
import { within, type Db } from './within.js'
import { assignments, insertion, writing, type Refusals, type Values } from './written.js'

/** What an admin reads and changes of gateways; what calls look up is in gateways.ts. */

const columns = `id, tenant_id AS tenant, name, prefix, prefix_entered, priority, carrier_cost_per_minute, max_calls,
  max_calls_per_second, number_format, strip_digits, prepend, caller_id, caller_id_number, caller_id_name,
  caller_id_header, codecs, progress_seconds,
  (SELECT min(max_calls) FROM gateways same WHERE same.name = gateways.name) AS effective_max_calls,
  (SELECT min(max_calls_per_second) FROM gateways same WHERE same.name = gateways.name)
    AS effective_max_calls_per_second,
  version`

const gatewayId = /^[1-9][0-9]{0,8}$/

export interface GatewayQuery {
  /** Gateways a page. */
  readonly limit: number
  /** `next` of the page before. */
  readonly cursor?: string
  readonly tenant?: string
}

/** All gateways, in the order in which they were made. @throws CursorError */
export async function listGateways(
  db: Db,
  { limit, cursor, tenant }: GatewayQuery,
): Promise<Page<GatewayRecord>> {
  const [after] = cursor === undefined ? ['0'] : readCursor(cursor, [gatewayId])
  if (hasNul(tenant)) return { items: [], next: null }
  const { rows } = await db.query<GatewayRecord>(
    `SELECT ${columns} FROM gateways WHERE id > $1 AND ($2::text IS NULL OR tenant_id = $2) ORDER BY id LIMIT $3`,
    [after, tenant ?? null, limit + 1],
  )
  return pageOf(rows, limit, recordOf, ({ id }) => [String(id)])
}

export async function getGateway(db: Db, id: number): Promise<GatewayRecord | undefined> {
  const { rows } = await db.query<GatewayRecord>(`SELECT ${columns} FROM gateways WHERE id = $1`, [id])
  return rows[0] && recordOf(rows[0])
}

/** @returns those of the names that others than `tenant` have gateways by, too */
export async function namesOfOthers(
  db: Db,
  tenant: string,
  names: readonly string[],
): Promise<ReadonlySet<string>> {
  const { rows } = await db.query<{ name: string }>(
    'SELECT DISTINCT name FROM gateways WHERE name = ANY ($1) AND tenant_id <> $2',
    [names, tenant],
  )
  return new Set(rows.map(({ name }) => name))
}

/**
 * @param db a pool, or a transaction of the caller's; one that was refused must be rolled back
 * @throws ChangeRefused `invalid`, `not_found` (the tenant), `taken`
 */
export function createGateway(db: Db, draft: GatewayDraft): Promise<GatewayRecord> {
  return within(db, async (client) => {
    await lockDirectory(client)
    const { tenant, ...fields } = draft
    const { country } = await lockTenant(client, tenant, 'SHARE')
    const { sql, parameters } = insertion({ tenant_id: tenant, ...valuesOf(fields, country) })
    const { rows } = await writing(
      'gateways',
      refusals,
      client.query<{ id: number }>(`INSERT INTO gateways ${sql} RETURNING id`, parameters),
    )
    return readWritten(client, rows[0]?.id ?? 0)
  })
}

/**
 * Changes what `change` names of a gateway. Calls over it go on as they were.
 *
 * @param expectedVersion that was read; undefined: whatever there is
 * @throws ChangeRefused `invalid`, `not_found`, `conflict`, `taken`
 */
export function changeGateway(
  db: Db,
  id: number,
  change: GatewayChange,
  expectedVersion?: number,
): Promise<{ readonly before: GatewayRecord; readonly after: GatewayRecord }> {
  return within(db, async (client) => {
    await lockDirectory(client)
    const country = await lockGateway(client, id, expectedVersion)
    const before = await readWritten(client, id)
    const changed = assignments(valuesOf(change, country), 2)
    if (changed)
      await writing(
        'gateways',
        refusals,
        client.query(`UPDATE gateways SET ${changed.sql} WHERE id = $1`, [id, ...changed.parameters]),
      )
    return { before, after: await readWritten(client, id) }
  })
}

/** Calls over it go on. @returns it as it was; @throws ChangeRefused `not_found`, `conflict` */
export function deleteGateway(db: Db, id: number, expectedVersion?: number): Promise<GatewayRecord> {
  return within(db, async (client) => {
    await lockDirectory(client)
    await lockGateway(client, id, expectedVersion)
    const before = await readWritten(client, id)
    await client.query('DELETE FROM gateways WHERE id = $1', [id])
    return before
  })
}

const refusals: Refusals = {
  gateways_tenant_id_prefix_name_key: {
    code: 'taken',
    field: 'name',
    detail: 'the tenant has a gateway of this name for this prefix already',
  },
  // The only check over several columns.
  gateways_check: {
    code: 'invalid',
    field: 'caller_id_number',
    detail: 'is missing; caller_id "fixed" needs it',
  },
}

function valuesOf({ prefix, ...rest }: GatewayChange, country: Country): Values {
  return {
    ...rest,
    prefix: prefix === undefined ? undefined : normalEntered('prefix', prefix, country, { codes: true }),
    prefix_entered: prefix,
  }
}

/** @returns its tenant's country, which stays until the transaction ends */
async function lockGateway(
  client: pg.ClientBase,
  id: number,
  expectedVersion: number | undefined,
): Promise<Country> {
  const { rows: owners } = await client.query<{ tenant_id: string }>(
    'SELECT tenant_id FROM gateways WHERE id = $1',
    [id],
  )
  const [owner] = owners
  if (owner === undefined) throw noGateway(id)
  const { country } = await lockTenant(client, owner.tenant_id, 'SHARE')
  const { rows } = await client.query<{ version: number; tenant_id: string }>(
    'SELECT version, tenant_id FROM gateways WHERE id = $1 FOR UPDATE',
    [id],
  )
  const [row] = rows
  if (row === undefined) throw noGateway(id)
  if (row.tenant_id !== owner.tenant_id)
    throw new ChangeRefused('conflict', `somebody gave the gateway ${id} to another tenant meanwhile`)
  checkVersion(`the gateway ${id}`, row.version, expectedVersion)
  return country
}

async function readWritten(client: pg.ClientBase, id: number): Promise<GatewayRecord> {
  const found = await getGateway(client, id)
  if (found === undefined) throw noGateway(id)
  return found
}

function noGateway(id: number): ChangeRefused {
  return new ChangeRefused('not_found', `there is no gateway ${id}`)
}

function recordOf(row: GatewayRecord): GatewayRecord {
  return { ...row, carrier_cost_per_minute: decimal(row.carrier_cost_per_minute) }
}
