import type pg from 'pg'

import { anyText, pageOf, readCursor, type Page } from './cursor.js'
import { hasNul } from './database.js'
import type { Hours, Menu, Reference } from './flow.js'
import { checkHoursShape, checkMenuShape } from './flow-check.js'
import { flowColumns, hoursOf, menuOf, type FlowKind, type FlowRow } from './flow-rows.js'
import { refuseIfReferred, setReferences } from './references.js'
import { brokenConstraint, ChangeRefused, noTenant, quoted } from './refusal.js'
import { within, type Db } from './within.js'

/**
 * Saves a menu: a new one, or a new version of the one with its id. Calls that began with the version before keep it.
 *
 * @param db a pool, or a transaction of the caller's; one that was refused must be rolled back
 * @param references what it leads to; that must exist (src/routes/check.ts tells them)
 * @param expectedVersion of the one that is to be changed; 0: there must be none yet; undefined: whatever there is
 * @returns it with its new version
 * @throws ChangeRefused `invalid`, `not_found`, `conflict`, `taken` (there is one, and there must be none), `missing`
 */
export async function saveMenu(
  db: Db,
  tenantId: string,
  menu: Omit<Menu, 'version'>,
  references: readonly Reference[],
  expectedVersion?: number,
): Promise<Menu> {
  const { id, definition } = partsOf(menu)
  checkMenuShape(definition)
  const version = await saveFlow(
    db,
    { tenantId, kind: 'menu', id },
    { definition, references, expectedVersion },
  )
  return { ...definition, id, version }
}

/** The same of opening hours, which refer to nothing. */
export async function saveHours(
  db: Db,
  tenantId: string,
  hours: Omit<Hours, 'version'>,
  expectedVersion?: number,
): Promise<Hours> {
  const { id, definition } = partsOf(hours)
  checkHoursShape(definition)
  const version = await saveFlow(
    db,
    { tenantId, kind: 'hours', id },
    { definition, references: [], expectedVersion },
  )
  return { ...definition, id, version }
}

/**
 * Calls that are in it keep it.
 *
 * @throws ChangeRefused `not_found`, `conflict`, `in_use`: something leads to it
 */
export function deleteMenu(db: Db, tenantId: string, id: string, expectedVersion?: number): Promise<void> {
  return deleteFlow(db, { tenantId, kind: 'menu', id }, expectedVersion)
}

export function deleteHours(db: Db, tenantId: string, id: string, expectedVersion?: number): Promise<void> {
  return deleteFlow(db, { tenantId, kind: 'hours', id }, expectedVersion)
}

/** As it is now. */
export async function getMenu(db: Db, tenantId: string, id: string): Promise<Menu | undefined> {
  const row = await readFlow(db, { tenantId, kind: 'menu', id })
  return row && menuOf(row)
}

export async function getHours(db: Db, tenantId: string, id: string): Promise<Hours | undefined> {
  const row = await readFlow(db, { tenantId, kind: 'hours', id })
  return row && hoursOf(row)
}

/** A menu as it was, even if it was deleted since. */
export async function loadMenu(
  db: Db,
  tenantId: string,
  id: string,
  version: number,
): Promise<Menu | undefined> {
  const row = await readFlow(db, { tenantId, kind: 'menu', id }, version)
  return row && menuOf(row)
}

/** Nobody else changes menus and hours, of any tenant, before the transaction ends: what is read now is what is saved over. */
export async function holdFlows(client: pg.ClientBase, tenantId: string): Promise<void> {
  if (!hasNul(tenantId)) await client.query('SELECT FROM tenants WHERE id = $1 FOR KEY SHARE', [tenantId])
  await lockAllFlows(client)
}

/** The same of hours. */
export async function loadHours(
  db: Db,
  tenantId: string,
  id: string,
  version: number,
): Promise<Hours | undefined> {
  const row = await readFlow(db, { tenantId, kind: 'hours', id }, version)
  return row && hoursOf(row)
}

export interface FlowQuery {
  /** Without it, of all tenants. */
  readonly tenantId?: string
  /** A page. */
  readonly limit: number
  /** `next` of the page before. */
  readonly cursor?: string
}

/** What is listed of all tenants says whose it is. */
export type Tenants<T> = T & { readonly tenantId: string }

/** Menus by their tenants and ids. @throws CursorError */
export function listMenus(db: Db, query: FlowQuery): Promise<Page<Tenants<Menu>>> {
  return listFlows(db, 'menu', query, menuOf)
}

export function listHours(db: Db, query: FlowQuery): Promise<Page<Tenants<Hours>>> {
  return listFlows(db, 'hours', query, hoursOf)
}

interface Place {
  readonly tenantId: string
  readonly kind: FlowKind
  readonly id: string
}

interface Saved {
  readonly definition: object
  readonly references: readonly Reference[]
  readonly expectedVersion: number | undefined
}

function saveFlow(db: Db, place: Place, saved: Saved): Promise<number> {
  const { tenantId, kind, id } = place
  const { definition, references, expectedVersion } = saved
  checkId(id)
  if (hasNul(tenantId)) throw noTenant(tenantId)
  return within(db, async (client) => {
    const { rowCount } = await client.query('SELECT FROM tenants WHERE id = $1 FOR KEY SHARE', [tenantId])
    if (rowCount === 0) throw noTenant(tenantId)
    // No key is changed: whoever begins to refer to it need not wait.
    await lockFlow(client, place, expectedVersion, 'NO KEY UPDATE')
    const { rows } = await written(
      client.query<{ version: number }>(
        `INSERT INTO flows (tenant_id, kind, id, definition) VALUES ($1, $2, $3, $4)
        ON CONFLICT (tenant_id, kind, id) DO UPDATE SET definition = excluded.definition RETURNING version`,
        [tenantId, kind, id, JSON.stringify(definition)],
      ),
    )
    await setReferences(client, tenantId, { kind, id }, references)
    const [row] = rows
    if (row === undefined) throw new Error('PostgreSQL did not say the version that it made')
    return row.version
  })
}

async function written<T>(query: Promise<T>): Promise<T> {
  try {
    return await query
  } catch (error) {
    if (brokenConstraint(error)?.name !== 'flows_definition_check') throw error
    throw new ChangeRefused('invalid', 'it is too large', { cause: error })
  }
}

async function deleteFlow(db: Db, place: Place, expectedVersion: number | undefined): Promise<void> {
  const { tenantId, kind, id } = place
  if (hasNul(tenantId) || hasNul(id)) throw noFlow(place)
  await within(db, async (client) => {
    // Nobody begins to refer to it before the transaction ends.
    if ((await lockFlow(client, place, expectedVersion, 'UPDATE')) === 0) throw noFlow(place)
    await refuseIfReferred(client, tenantId, { kind, id })
    await client.query('DELETE FROM flows WHERE tenant_id = $1 AND kind = $2 AND id = $3', [
      tenantId,
      kind,
      id,
    ])
  })
}

/** Nobody else changes flows before the transaction ends. @returns its version; 0: none */
async function lockFlow(
  client: pg.ClientBase,
  place: Place,
  expectedVersion: number | undefined,
  lock: 'NO KEY UPDATE' | 'UPDATE',
): Promise<number> {
  const { tenantId, kind, id } = place
  // Taken first, two who make the same one come one after the other.
  await lockAllFlows(client)
  const { rows } = await client.query<{ version: number }>(
    `SELECT version FROM flows WHERE tenant_id = $1 AND kind = $2 AND id = $3 FOR ${lock}`,
    [tenantId, kind, id],
  )
  const version = rows[0]?.version ?? 0
  if (expectedVersion === undefined || expectedVersion === version) return version
  if (version === 0) throw noFlow(place)
  if (expectedVersion === 0)
    throw new ChangeRefused('taken', `${articles[kind]} ${kind} ${quoted(id)} already`)
  throw new ChangeRefused(
    'conflict',
    `somebody changed the ${kind} ${quoted(id)}: there is version ${version} now, not ${expectedVersion}`,
  )
}

/** Whoever changes any has this lock in the end. */
async function lockAllFlows(client: pg.ClientBase): Promise<void> {
  await client.query(`SELECT FROM catalog_version WHERE part = 'flows' FOR NO KEY UPDATE`)
}

async function readFlow(
  db: Db,
  { tenantId, kind, id }: Place,
  version?: number,
): Promise<FlowRow | undefined> {
  if (hasNul(tenantId) || hasNul(id)) return undefined
  const { rows } =
    version === undefined
      ? await db.query<FlowRow>(
          `SELECT ${flowColumns} FROM flows WHERE tenant_id = $1 AND kind = $2 AND id = $3`,
          [tenantId, kind, id],
        )
      : await db.query<FlowRow>(
          `SELECT ${flowColumns} FROM flow_versions
          WHERE tenant_id = $1 AND kind = $2 AND id = $3 AND version = $4`,
          [tenantId, kind, id, version],
        )
  return rows[0]
}

async function listFlows<T extends object>(
  db: Db,
  kind: FlowKind,
  { tenantId, limit, cursor }: FlowQuery,
  shown: (row: FlowRow) => T,
): Promise<Page<Tenants<T>>> {
  const [afterTenant, afterId] = cursor === undefined ? ['', ''] : readCursor(cursor, [anyText, anyText])
  if (hasNul(tenantId)) return { items: [], next: null }
  const { rows } = await db.query<FlowRow>(
    `SELECT ${flowColumns} FROM flows
    WHERE kind = $1 AND ($2::text IS NULL OR tenant_id = $2) AND (tenant_id, id) > ($3, $4)
    ORDER BY tenant_id, id LIMIT $5`,
    [kind, tenantId ?? null, afterTenant, afterId, limit + 1],
  )
  return pageOf(
    rows,
    limit,
    (row) => ({ ...shown(row), tenantId: row.tenant_id }),
    ({ tenant_id: tenant, id }) => [tenant, id],
  )
}

function checkId(id: string): void {
  if (!/^[a-z0-9][a-z0-9_-]{0,62}$/.test(id))
    throw new ChangeRefused(
      'invalid',
      'id: up to 63 lower-case letters, digits, _ and -, a letter or digit first',
    )
}

const articles = { menu: 'there is a', hours: 'there are' } as const

function noFlow({ kind, id }: Place): ChangeRefused {
  return new ChangeRefused('not_found', `there ${kind === 'menu' ? 'is' : 'are'} no ${kind} ${quoted(id)}`)
}

/** What was read may be saved again: which version that was is for `expectedVersion` to say. */
function partsOf<T extends { readonly id: string }>(
  flow: T,
): { readonly id: string; readonly definition: Omit<T, 'id' | 'version'> } {
  const definition: { id?: string; version?: number } & Omit<T, 'id' | 'version'> = { ...flow }
  delete definition.id
  delete definition.version
  return { id: flow.id, definition }
}
