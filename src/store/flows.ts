import type pg from 'pg'

import { anyText, pageOf, readCursor, type Page } from './cursor.js'
import { hasNul } from './database.js'
import type { Hours, Menu, Reference } from './flow.js'
import { checkHoursShape, checkMenuShape } from './flow-check.js'
import { flowColumns, hoursOf, menuOf, type FlowKind, type FlowRow } from './flow-rows.js'
import { refuseIfReferred, setReferences } from './references.js'
import { ChangeRefused, noTenant, quoted } from './refusal.js'
import { within, type Db } from './within.js'

/**
 * Saves a menu: a new one, or a new version of the one with its id. Calls that began with the version before keep it.
 *
 * @param db a pool, or a transaction of the caller's; one that was refused must be rolled back
 * @param references what it leads to; that must exist (src/routes/check.ts tells them)
 * @param expectedVersion of the one that is to be changed; 0: there must be none yet; undefined: whatever there is
 * @returns it with its new version
 * @throws ChangeRefused `invalid`, `not_found`, `conflict`, `missing`
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

export interface FlowQuery {
  /** A page. */
  readonly limit: number
  /** `next` of the page before. */
  readonly cursor?: string
}

/** A tenant's menus, by their ids. @throws CursorError */
export function listMenus(db: Db, tenantId: string, query: FlowQuery): Promise<Page<Menu>> {
  return listFlows(db, tenantId, 'menu', query, menuOf)
}

export function listHours(db: Db, tenantId: string, query: FlowQuery): Promise<Page<Hours>> {
  return listFlows(db, tenantId, 'hours', query, hoursOf)
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
    const { rows } = await client.query<{ version: number }>(
      `INSERT INTO flows (tenant_id, kind, id, definition) VALUES ($1, $2, $3, $4)
      ON CONFLICT (tenant_id, kind, id) DO UPDATE SET definition = excluded.definition RETURNING version`,
      [tenantId, kind, id, JSON.stringify(definition)],
    )
    await setReferences(client, tenantId, { kind, id }, references)
    const [row] = rows
    if (row === undefined) throw new Error('PostgreSQL did not say the version that it made')
    return row.version
  })
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
  // Whoever changes any has this lock in the end: taken first, two who make the same one come one after the other.
  await client.query(`SELECT FROM catalog_version WHERE part = 'flows' FOR NO KEY UPDATE`)
  const { rows } = await client.query<{ version: number }>(
    `SELECT version FROM flows WHERE tenant_id = $1 AND kind = $2 AND id = $3 FOR ${lock}`,
    [tenantId, kind, id],
  )
  const version = rows[0]?.version ?? 0
  if (expectedVersion === undefined || expectedVersion === version) return version
  if (version === 0) throw noFlow(place)
  throw new ChangeRefused(
    'conflict',
    expectedVersion === 0
      ? `${articles[kind]} ${kind} ${quoted(id)} already`
      : `somebody changed the ${kind} ${quoted(id)}: there is version ${version} now, not ${expectedVersion}`,
  )
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

async function listFlows<T>(
  db: Db,
  tenantId: string,
  kind: FlowKind,
  { limit, cursor }: FlowQuery,
  shown: (row: FlowRow) => T,
): Promise<Page<T>> {
  const [after] = cursor === undefined ? [''] : readCursor(cursor, [anyText])
  if (hasNul(tenantId)) return { items: [], next: null }
  const { rows } = await db.query<FlowRow>(
    `SELECT ${flowColumns} FROM flows WHERE tenant_id = $1 AND kind = $2 AND id > $3 ORDER BY id LIMIT $4`,
    [tenantId, kind, after, limit + 1],
  )
  return pageOf(rows, limit, shown, ({ id }) => [id])
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
