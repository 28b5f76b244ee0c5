import type pg from 'pg'

import { isShortNumber } from '../numbering/normal-form.js'
import { setAccountCodes } from './accounts.js'
import { anyText, pageOf, readCursor, type Page } from './cursor.js'
import { hasNul } from './database.js'
import type { ExtensionChange, ExtensionDraft, ExtensionRecord } from './extension-schemas.js'
import { checkVersion, lockDirectory, lockTenant } from './locking.js'
import { refuseIfReferred } from './references.js'
import { ChangeRefused, quoted } from './refusal.js'
import { within, type Db } from './within.js'
import { assignments, insertion, writing, type Refusals, type Values } from './written.js'

/** What an admin reads and changes of extensions; what calls look up is in directory.ts. */

const columns = `tenant_id AS tenant, number, auth_username, display_name, toll_allow,
  ARRAY(
    SELECT code FROM accounts a WHERE a.tenant_id = extensions.tenant_id AND a.extension = extensions.number
    ORDER BY code COLLATE "C"
  ) AS account_codes, version`

export interface ExtensionQuery {
  /** Extensions a page. */
  readonly limit: number
  /** `next` of the page before. */
  readonly cursor?: string
  readonly tenant?: string
  /** Those whose number begins so. */
  readonly beginning?: string
}

/** Extensions, by tenant and number. @throws CursorError */
export async function listExtensions(
  db: Db,
  { limit, cursor, tenant, beginning }: ExtensionQuery,
): Promise<Page<ExtensionRecord>> {
  const [afterTenant, afterNumber] = cursor === undefined ? ['', ''] : readCursor(cursor, [anyText, anyText])
  if (hasNul(tenant) || hasNul(beginning)) return { items: [], next: null }
  const { rows } = await db.query<ExtensionRecord>(
    `SELECT ${columns} FROM extensions
    WHERE (tenant_id, number) > ($1, $2) AND ($3::text IS NULL OR tenant_id = $3)
      AND ($4::text IS NULL OR starts_with(number, $4))
    ORDER BY tenant_id, number LIMIT $5`,
    [afterTenant, afterNumber, tenant ?? null, beginning ?? null, limit + 1],
  )
  return pageOf(
    rows,
    limit,
    (row) => row,
    (row) => [row.tenant, row.number],
  )
}

export async function getExtension(
  db: Db,
  tenantId: string,
  number: string,
): Promise<ExtensionRecord | undefined> {
  if (hasNul(tenantId) || hasNul(number)) return undefined
  const { rows } = await db.query<ExtensionRecord>(
    `SELECT ${columns} FROM extensions WHERE tenant_id = $1 AND number = $2`,
    [tenantId, number],
  )
  return rows[0]
}

export interface CreationOptions {
  /**
   * Whoever creates it speaks for its tenant alone. A channel is whose account code, user name or number it has, over all
   * tenants: so the number must be a short one, which no caller from outside has, and no name that calls of another tenant
   * are told by.
   */
  readonly isTenantsOwn?: boolean
}

/**
 * @param db a pool, or a transaction of the caller's; one that was refused must be rolled back
 * @throws ChangeRefused `invalid`, `not_found` (the tenant), `taken` (its number, user name or account code)
 */
export function createExtension(
  db: Db,
  draft: ExtensionDraft,
  { isTenantsOwn = false }: CreationOptions = {},
): Promise<ExtensionRecord> {
  return within(db, async (client) => {
    await lockDirectory(client)
    const { tenant: tenantId, number, account_codes: codes } = draft
    await lockTenant(client, tenantId, 'KEY SHARE')
    if (isTenantsOwn) await refuseAmbiguous(client, tenantId, number)
    const { sql, parameters } = insertion({ ...valuesOf(draft), tenant_id: tenantId, number })
    await writing('extensions', refusals, client.query(`INSERT INTO extensions ${sql}`, parameters))
    if (codes !== undefined) await setAccountCodes(client, { tenantId, extension: number }, codes)
    return readWritten(client, tenantId, number)
  })
}

/**
 * Changes what `change` names of an extension.
 *
 * @param expectedVersion that was read; undefined: whatever there is
 * @throws ChangeRefused `not_found`, `conflict`, `taken` (its user name or account code)
 */
export function changeExtension(
  db: Db,
  tenantId: string,
  number: string,
  change: ExtensionChange,
  expectedVersion?: number,
): Promise<{ readonly before: ExtensionRecord; readonly after: ExtensionRecord }> {
  return within(db, async (client) => {
    await lockDirectory(client)
    await lockTenant(client, tenantId, 'KEY SHARE')
    await lockExtension(client, tenantId, number, { lock: 'NO KEY UPDATE', expectedVersion })
    const before = await readWritten(client, tenantId, number)
    const changed = assignments(valuesOf(change), 3)
    if (changed)
      await writing(
        'extensions',
        refusals,
        client.query(`UPDATE extensions SET ${changed.sql} WHERE tenant_id = $1 AND number = $2`, [
          tenantId,
          number,
          ...changed.parameters,
        ]),
      )
    const { account_codes: codes } = change
    if (codes !== undefined) await setAccountCodes(client, { tenantId, extension: number }, codes)
    return { before, after: await readWritten(client, tenantId, number) }
  })
}

/**
 * Deletes an extension that nothing leads to; its account codes go with it.
 *
 * @returns it as it was
 * @throws ChangeRefused `not_found`, `conflict`, `in_use`
 */
export function deleteExtension(
  db: Db,
  tenantId: string,
  number: string,
  expectedVersion?: number,
): Promise<ExtensionRecord> {
  return within(db, async (client) => {
    await lockDirectory(client)
    await lockTenant(client, tenantId, 'KEY SHARE')
    await lockExtension(client, tenantId, number, { lock: 'UPDATE', expectedVersion })
    await refuseIfReferred(client, tenantId, { kind: 'extension', id: number })
    await refuseIfCalled(client, tenantId, number)
    const before = await readWritten(client, tenantId, number)
    await writing(
      'extensions',
      refusals,
      client.query('DELETE FROM extensions WHERE tenant_id = $1 AND number = $2', [tenantId, number]),
    )
    return before
  })
}

const refusals: Refusals = {
  extensions_pkey: {
    code: 'taken',
    field: 'number',
    detail: 'the tenant has an extension of this number already',
  },
  extensions_auth_username: {
    code: 'taken',
    field: 'auth_username',
    detail: 'another extension of the tenant has this user name, or it as its number',
  },
}

/** Its own columns. */
function valuesOf({ auth_username, display_name, toll_allow }: ExtensionChange): Values {
  return { auth_username, display_name, toll_allow }
}

/** Nobody changes it, and at UPDATE nobody begins to lead to it, before the transaction ends. */
async function lockExtension(
  client: pg.ClientBase,
  tenantId: string,
  number: string,
  {
    lock,
    expectedVersion,
  }: { readonly lock: 'NO KEY UPDATE' | 'UPDATE'; readonly expectedVersion: number | undefined },
): Promise<void> {
  if (hasNul(number)) throw noExtension(number)
  const { rows } = await client.query<{ version: number }>(
    `SELECT version FROM extensions WHERE tenant_id = $1 AND number = $2 FOR ${lock}`,
    [tenantId, number],
  )
  const [row] = rows
  if (row === undefined) throw noExtension(number)
  checkVersion(`the extension ${quoted(number)}`, row.version, expectedVersion)
}

/** @throws ChangeRefused `invalid`, `taken` */
async function refuseAmbiguous(client: pg.ClientBase, tenantId: string, number: string): Promise<void> {
  if (!/^[0-9]+$/.test(number) || !isShortNumber(number))
    throw new ChangeRefused(
      'invalid',
      `is ${quoted(number)}; allowed to a key of its tenant is a number of 1 to 6 digits`,
      { field: 'number' },
    )
  // By a name that several tenants have, a channel is told only with a domain.
  const { rowCount } = await client.query(
    `SELECT FROM extensions e JOIN tenants t ON t.id = e.tenant_id, tenants own
    WHERE own.id = $1 AND t.id <> $1 AND (t.domain IS NULL OR own.domain IS NULL)
      AND $2 IN (e.number, e.auth_username) LIMIT 1`,
    [tenantId, number],
  )
  if (rowCount !== 0)
    throw new ChangeRefused(
      'taken',
      `another tenant has an extension ${quoted(number)}, and without a SIP domain of each of the two their calls cannot be told apart`,
      { field: 'number' },
    )
}

/** Numbers that are named; who has more need not read them all to know what to do. */
const mostNamed = 10

/** @throws ChangeRefused `in_use`: DIDs ring it */
async function refuseIfCalled(client: pg.ClientBase, tenantId: string, extension: string): Promise<void> {
  const { rows } = await client.query<{ number: string; total: number }>(
    `SELECT number, count(*) OVER ()::integer AS total FROM numbers WHERE tenant_id = $1 AND extension = $2
    ORDER BY number COLLATE "C" LIMIT ${mostNamed}`,
    [tenantId, extension],
  )
  const [first] = rows
  if (first === undefined) return
  const more = first.total > rows.length ? ` and ${first.total - rows.length} more` : ''
  const list = rows.map(({ number }) => number).join(', ')
  throw new ChangeRefused(
    'in_use',
    `the extension ${quoted(extension)} cannot be deleted: the ${first.total === 1 ? 'number' : 'numbers'} ${list}${more} ${first.total === 1 ? 'leads' : 'lead'} to it`,
  )
}

async function readWritten(
  client: pg.ClientBase,
  tenantId: string,
  number: string,
): Promise<ExtensionRecord> {
  const found = await getExtension(client, tenantId, number)
  if (found === undefined) throw noExtension(number)
  return found
}

function noExtension(number: string): ChangeRefused {
  return new ChangeRefused('not_found', `there is no extension ${quoted(number)}`)
}
