import type pg from 'pg'

import type { Direction } from '../numbering/direction.js'
import type { Country } from '../numbering/normal-form.js'
import { plannedNumbers } from '../numbering/number-plan.js'
import { anyText, countedId, pageOf, readCursor, type Page } from './cursor.js'
import { hasNul } from './database.js'
import type { PlanEntry, Reference } from './flow.js'
import { checkPlanEntryShape } from './flow-check.js'
import { setReferences } from './references.js'
import { brokenConstraint, ChangeRefused, noTenant } from './refusal.js'
import { within, type Db } from './within.js'

/** An entry as it is sent; its numbers as they are typed. */
export type PlanEntryDraft = Omit<PlanEntry, 'id' | 'tenantId'>

export interface SavedPlanEntry extends PlanEntry {
  /** Counts up with each change. */
  readonly version: number
  /** What its numbers are looked up by: their normal form, where there is one. */
  readonly normal: string
  readonly normalTo?: string
}

interface PlanEntryRow {
  readonly id: string
  readonly tenant_id: string
  readonly direction: Direction | null
  readonly kind: PlanEntry['kind']
  readonly number: string
  readonly number_to: string | null
  readonly entered: string
  readonly entered_to: string | null
  readonly step: PlanEntry['step']
  readonly version: number
}
const columns = 'id, tenant_id, direction, kind, number, number_to, entered, entered_to, step, version'

/**
 * Adds an entry to a tenant's number plan. Its numbers are looked up in normal form and as they were typed.
 *
 * @param db a pool, or a transaction of the caller's; one that was refused must be rolled back
 * @param references what its step leads to; that must exist (src/routes/check.ts tells them)
 * @throws ChangeRefused `invalid`, `not_found` (the tenant), `taken`, `missing`
 */
export function addPlanEntry(
  db: Db,
  tenantId: string,
  draft: PlanEntryDraft,
  references: readonly Reference[],
): Promise<SavedPlanEntry> {
  return within(db, async (client) => {
    const values = await columnValues(client, tenantId, draft)
    const row = await written(
      client.query<PlanEntryRow>(
        `INSERT INTO number_plan (tenant_id, direction, kind, number, number_to, entered, entered_to, step)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING ${columns}`,
        values,
      ),
    )
    await refer(client, row, references)
    return entryOf(row)
  })
}

/**
 * Puts another entry in an entry's place.
 *
 * @param expectedVersion that was read; undefined: whatever there is
 * @throws ChangeRefused as `addPlanEntry`, `not_found` when there is none, `conflict`
 */
export function changePlanEntry(
  db: Db,
  tenantId: string,
  id: number,
  draft: PlanEntryDraft,
  references: readonly Reference[],
  expectedVersion?: number,
): Promise<SavedPlanEntry> {
  return within(db, async (client) => {
    const values = await columnValues(client, tenantId, draft)
    await lockEntry(client, tenantId, id, expectedVersion)
    const row = await written(
      client.query<PlanEntryRow>(
        `UPDATE number_plan SET direction = $2, kind = $3, number = $4, number_to = $5, entered = $6, entered_to = $7,
          step = $8, version = version + 1, updated_at = now()
        WHERE tenant_id = $1 AND id = $9 RETURNING ${columns}`,
        [...values, id],
      ),
    )
    await refer(client, row, references)
    return entryOf(row)
  })
}

/** @throws ChangeRefused `not_found`, `conflict` */
export function deletePlanEntry(
  db: Db,
  tenantId: string,
  id: number,
  expectedVersion?: number,
): Promise<void> {
  return within(db, async (client) => {
    await lockEntry(client, tenantId, id, expectedVersion)
    await client.query('DELETE FROM number_plan WHERE tenant_id = $1 AND id = $2', [tenantId, id])
  })
}

export async function getPlanEntry(
  db: Db,
  tenantId: string,
  id: number,
): Promise<SavedPlanEntry | undefined> {
  if (hasNul(tenantId) || !isId(id)) return undefined
  const { rows } = await db.query<PlanEntryRow>(
    `SELECT ${columns} FROM number_plan WHERE tenant_id = $1 AND id = $2`,
    [tenantId, id],
  )
  return rows[0] && entryOf(rows[0])
}

/** As it is, and as it stays until the transaction ends. */
export async function holdPlanEntry(
  client: pg.ClientBase,
  tenantId: string,
  id: number,
): Promise<SavedPlanEntry | undefined> {
  if (hasNul(tenantId) || !isId(id)) return undefined
  // In the order in which a change locks them.
  await client.query('SELECT FROM tenants WHERE id = $1 FOR SHARE', [tenantId])
  await client.query('SELECT FROM number_plan WHERE tenant_id = $1 AND id = $2 FOR UPDATE', [tenantId, id])
  return getPlanEntry(client, tenantId, id)
}

/** The entry for the very numbers of another one, in its direction. @throws ChangeRefused `invalid`, `not_found` */
export async function findPlanEntry(
  client: pg.ClientBase,
  tenantId: string,
  draft: PlanEntryDraft,
): Promise<SavedPlanEntry | undefined> {
  const [, direction, kind, number, to] = await columnValues(client, tenantId, draft)
  const { rows } = await client.query<PlanEntryRow>(
    `SELECT ${columns} FROM number_plan WHERE tenant_id = $1 AND direction IS NOT DISTINCT FROM $2 AND kind = $3
      AND number = $4 AND number_to IS NOT DISTINCT FROM $5`,
    [tenantId, direction, kind, number, to],
  )
  return rows[0] && entryOf(rows[0])
}

export interface PlanQuery {
  /** Without it, of all tenants. */
  readonly tenantId?: string
  /** Entries a page. */
  readonly limit: number
  /** `next` of the page before. */
  readonly cursor?: string
  readonly kind?: PlanEntry['kind']
  readonly direction?: Direction
  /** Those whose number begins so, in normal form or as it was typed. */
  readonly beginning?: string
}

/** Entries by their tenants and numbers. @throws CursorError */
export async function listPlanEntries(db: Db, query: PlanQuery): Promise<Page<SavedPlanEntry>> {
  const { tenantId, limit, cursor, kind, direction, beginning } = query
  const parameters: (string | number)[] = []
  const parameter = (value: string | number) => `$${parameters.push(value)}`
  const conditions: string[] = []
  if (tenantId !== undefined) conditions.push(`tenant_id = ${parameter(tenantId)}`)
  if (cursor !== undefined) {
    const place = readCursor(cursor, [anyText, anyText, countedId])
    conditions.push(`(tenant_id, number, id) > (${place.map(parameter).join(', ')})`)
  }
  if (kind !== undefined) conditions.push(`kind = ${parameter(kind)}`)
  if (direction !== undefined) conditions.push(`direction = ${parameter(direction)}`)
  if (beginning !== undefined) {
    const text = parameter(beginning)
    conditions.push(`(starts_with(number, ${text}) OR starts_with(entered, ${text}))`)
  }
  if (hasNul(tenantId) || hasNul(beginning)) return { items: [], next: null }
  const { rows } = await db.query<PlanEntryRow>(
    `SELECT ${columns} FROM number_plan ${conditions.length > 0 ? `WHERE ${conditions.join(' AND ')}` : ''}
    ORDER BY tenant_id, number, id LIMIT ${parameter(limit + 1)}`,
    parameters,
  )
  return pageOf(rows, limit, entryOf, (row) => [row.tenant_id, row.number, row.id])
}

async function columnValues(
  client: pg.ClientBase,
  tenantId: string,
  draft: PlanEntryDraft,
): Promise<(string | null)[]> {
  checkPlanEntryShape(draft)
  if (hasNul(tenantId)) throw noTenant(tenantId)
  // It stays that country while the entry is written (sql/010_number_plan.sql).
  const { rows } = await client.query<{ country: Country }>(
    'SELECT country FROM tenants WHERE id = $1 FOR SHARE',
    [tenantId],
  )
  const [tenant] = rows
  if (tenant === undefined) throw noTenant(tenantId)
  const { direction, kind, number, to, step } = draft
  const planned = plannedNumbers(kind, number, to, tenant.country)
  return [
    ...[tenantId, direction ?? null, kind, planned.number, planned.to ?? null],
    ...[number, to ?? null, JSON.stringify(step)],
  ]
}

/** Another one who changes it, or deletes it, comes after this transaction. */
async function lockEntry(
  client: pg.ClientBase,
  tenantId: string,
  id: number,
  expectedVersion: number | undefined,
): Promise<void> {
  const { rows } =
    hasNul(tenantId) || !isId(id)
      ? { rows: [] }
      : await client.query<{ version: number }>(
          'SELECT version FROM number_plan WHERE tenant_id = $1 AND id = $2 FOR UPDATE',
          [tenantId, id],
        )
  const [row] = rows
  if (row === undefined) throw new ChangeRefused('not_found', `the number plan has no entry ${id}`)
  if (expectedVersion !== undefined && expectedVersion !== row.version)
    throw new ChangeRefused(
      'conflict',
      `the entry was changed meanwhile: this is version ${row.version}, not ${expectedVersion}`,
    )
}

/** What the tables themselves refuse, in words. */
const refusals: Readonly<Record<string, string>> = {
  number_plan_numbers: 'there is an entry for the same numbers and direction already',
  number_plan_inbound:
    'an inbound entry is for numbers that a tenant can have: a prefix of 7 digits at least, a range of a million at most',
  number_plan_step_check: 'step: it is too large',
}

async function written(query: Promise<pg.QueryResult<PlanEntryRow>>): Promise<PlanEntryRow> {
  try {
    const { rows } = await query
    const [row] = rows
    if (row === undefined) throw new Error('PostgreSQL did not say what it has written')
    return row
  } catch (error) {
    const broken = brokenConstraint(error)
    if (broken === undefined) throw error
    const isTaken = ['number_plan_numbers', 'number_plan_overlap', 'number_plan_claim'].includes(broken.name)
    throw new ChangeRefused(isTaken ? 'taken' : 'invalid', refusals[broken.name] ?? broken.message, {
      cause: error,
    })
  }
}

function refer(client: pg.ClientBase, row: PlanEntryRow, references: readonly Reference[]): Promise<void> {
  const { tenant_id: tenantId, id, kind, entered, entered_to: to } = row
  const numbers =
    kind === 'range' ? `${entered} to ${to}` : kind === 'exact' ? entered : `what begins with "${entered}"`
  return setReferences(client, tenantId, { kind: 'plan', id, numbers }, references)
}

function isId(id: number): boolean {
  return Number.isSafeInteger(id) && id > 0
}

function entryOf(row: PlanEntryRow): SavedPlanEntry {
  const { direction, kind, entered, entered_to: to, step, version } = row
  return {
    ...{
      id: Number(row.id),
      tenantId: row.tenant_id,
      kind,
      number: entered,
      step,
      version,
      normal: row.number,
    },
    ...(row.number_to !== null && { normalTo: row.number_to }),
    ...(direction !== null && { direction }),
    ...(to !== null && { to }),
  }
}
