import type pg from 'pg'

import { isTimeZone } from '../common/local-time.js'
import { isCountry, type Country } from '../numbering/normal-form.js'
import { setAccountCodes } from './accounts.js'
import { setBlockedDestinations } from './blocked-destinations.js'
import { anyText, pageOf, readCursor, type Page } from './cursor.js'
import { hasNul } from './database.js'
import { decimal } from './decimal.js'
import { normalEntered } from './entered-prefix.js'
import { checkVersion, lockDirectory, lockTenant } from './locking.js'
import { ChangeRefused, noTenant, quoted } from './refusal.js'
import type { TenantChange, TenantDraft, TenantRecord } from './tenant-schemas.js'
import { refuseOldPrefixes, refuseTenantInUse } from './tenant-use.js'
import { within, type Db } from './within.js'
import { assignments, insertion, writing, type Refusals, type Values } from './written.js'

/** What an admin reads and changes of tenants; what calls look up is in directory.ts. */

type Row = Omit<TenantRecord, 'created_at'> & { readonly created_at: Date }

const columns = `id, name, country, currency, time_zone, domain, deck_id AS deck, inbound_deck_id AS inbound_deck,
  billing, credit_limit, low_balance, daily_spend_cap, maximum_call_cost, max_calls, max_calls_per_second,
  max_call_seconds, ring_seconds, emergency_numbers, local_prefixes, allows_unrated, gateway_order, caller_id_number,
  caller_id_name, record_directions, hold_music,
  ARRAY(
    SELECT code FROM accounts WHERE tenant_id = tenants.id AND extension IS NULL ORDER BY code COLLATE "C"
  ) AS account_codes,
  (
    SELECT coalesce(jsonb_agg(jsonb_build_object(
      'prefix', prefix, 'prefix_entered', prefix_entered, 'description', description
    ) ORDER BY prefix COLLATE "C"), '[]') FROM blocked_destinations WHERE tenant_id = tenants.id
  ) AS blocked_destinations,
  version, created_at`

export interface TenantQuery {
  /** Tenants a page. */
  readonly limit: number
  /** `next` of the page before. */
  readonly cursor?: string
  /** Only this one. */
  readonly id?: string
}

/** Tenants, by their ids. @throws CursorError */
export async function listTenants(db: Db, { limit, cursor, id }: TenantQuery): Promise<Page<TenantRecord>> {
  const [after] = cursor === undefined ? [''] : readCursor(cursor, [anyText])
  if (hasNul(id)) return { items: [], next: null }
  const { rows } = await db.query<Row>(
    `SELECT ${columns} FROM tenants WHERE id COLLATE "C" > $1 AND ($2::text IS NULL OR id = $2)
    ORDER BY id COLLATE "C" LIMIT $3`,
    [after, id ?? null, limit + 1],
  )
  return pageOf(rows, limit, recordOf, (row) => [row.id])
}

export async function getTenant(db: Db, id: string): Promise<TenantRecord | undefined> {
  if (hasNul(id)) return undefined
  const { rows } = await db.query<Row>(`SELECT ${columns} FROM tenants WHERE id = $1`, [id])
  return rows[0] && recordOf(rows[0])
}

/**
 * @param db a pool, or a transaction of the caller's; one that was refused must be rolled back
 * @throws ChangeRefused `invalid`, `missing` (a deck), `taken` (its id, domain or account code)
 */
export function createTenant(db: Db, draft: TenantDraft): Promise<TenantRecord> {
  return within(db, async (client) => {
    await lockDirectory(client)
    const country = checkedCountry(draft.country)
    const { sql, parameters } = insertion({ ...valuesOf(draft, country), id: draft.id })
    await checkDecks(client, draft)
    await writing('tenants', refusals, client.query(`INSERT INTO tenants ${sql}`, parameters))
    await setWhatBelongs(client, { tenantId: draft.id, country }, draft)
    return readWritten(client, draft.id)
  })
}

/**
 * Changes what `change` names of a tenant.
 *
 * @param expectedVersion that was read; undefined: whatever there is
 * @throws ChangeRefused as `createTenant`, `not_found`, `conflict`, and `in_use`: its country while it has a number plan,
 *   or prefixes that `change` does not replace, its currency while it has a ledger
 */
export function changeTenant(
  db: Db,
  id: string,
  change: TenantChange,
  expectedVersion?: number,
): Promise<{ readonly before: TenantRecord; readonly after: TenantRecord }> {
  return within(db, async (client) => {
    await lockDirectory(client)
    const { version } = await lockTenant(client, id, 'NO KEY UPDATE')
    checkVersion(`the tenant ${quoted(id)}`, version, expectedVersion)
    const before = await readWritten(client, id)
    const country = checkedCountry(change.country ?? before.country, change.country === undefined)
    if (country !== before.country) await refuseOldPrefixes(client, before, change)
    const changed = assignments(valuesOf(change, country), 2)
    await checkDecks(client, { ...before, ...change })
    if (changed)
      await writing(
        'tenants',
        refusals,
        client.query(`UPDATE tenants SET ${changed.sql} WHERE id = $1`, [id, ...changed.parameters]),
      )
    await setWhatBelongs(client, { tenantId: id, country }, change)
    return { before, after: await readWritten(client, id) }
  })
}

/**
 * Deletes a tenant that nothing hangs on; its account codes, blocked destinations and keys that are good for nothing go with it.
 *
 * @returns it as it was
 * @throws ChangeRefused `not_found`, `conflict`, `in_use`
 */
export function deleteTenant(db: Db, id: string, expectedVersion?: number): Promise<TenantRecord> {
  return within(db, async (client) => {
    await lockDirectory(client)
    const { version } = await lockTenant(client, id, 'UPDATE')
    checkVersion(`the tenant ${quoted(id)}`, version, expectedVersion)
    await refuseTenantInUse(client, id)
    const before = await readWritten(client, id)
    await writing('tenants', refusals, client.query('DELETE FROM tenants WHERE id = $1', [id]))
    return before
  })
}

const allowedZone = 'allowed is the name of a time zone, such as Asia/Ho_Chi_Minh'

/** The net below what was looked at before. */
const refusals: Refusals = {
  tenants_pkey: { code: 'taken', field: 'id', detail: 'there is a tenant with this id already' },
  tenants_domain: { code: 'taken', field: 'domain', detail: 'another tenant has this domain' },
  tenants_country_of_plan: {
    code: 'in_use',
    field: 'country',
    detail: 'the country cannot change while the number plan has entries, which are read by it',
  },
  tenants_currency_of_ledger: {
    code: 'in_use',
    field: 'currency',
    detail: 'the currency cannot change: the ledger, or what is reserved for calls, is in it',
  },
  // invalid_parameter_value, by the check of time_zone: there are names that only Node knows, AET.
  22023: {
    code: 'invalid',
    field: 'time_zone',
    detail: `is not one that PostgreSQL knows; ${allowedZone}`,
  },
  ledger_tenant_id_fkey: { code: 'in_use', detail: 'the tenant cannot be deleted: it has a ledger' },
}

/** Its own columns. */
function valuesOf({ country, ...change }: TenantChange, inCountry: Country): Values {
  const { time_zone: timeZone, local_prefixes: localPrefixes, deck, inbound_deck, ...rest } = change
  if (timeZone !== undefined && !isTimeZone(timeZone))
    throw new ChangeRefused('invalid', `is ${quoted(timeZone)}, which is none; ${allowedZone}`, {
      field: 'time_zone',
    })
  const values: Values = {
    ...rest,
    country,
    deck_id: deck,
    inbound_deck_id: inbound_deck,
    time_zone: timeZone,
    local_prefixes: localPrefixes?.map((prefix, place) =>
      normalEntered(`local_prefixes[${place}]`, prefix, inCountry),
    ),
  }
  return { ...values, account_codes: undefined, blocked_destinations: undefined, id: undefined }
}

/** @param isOld it has been its country before, by whoever wrote it */
function checkedCountry(country: string, isOld = false): Country {
  if (isOld || isCountry(country)) return country as Country
  throw new ChangeRefused(
    'invalid',
    `is ${quoted(country)}; allowed is a country that has telephone numbers, such as VN`,
    { field: 'country' },
  )
}

/** They stay until the transaction ends. */
async function checkDecks(
  client: pg.ClientBase,
  {
    currency,
    deck,
    inbound_deck,
  }: Pick<TenantRecord, 'currency'> & Pick<TenantChange, 'deck' | 'inbound_deck'>,
): Promise<void> {
  const named = Object.entries({ deck, inbound_deck }).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string',
  )
  if (named.length === 0) return
  const { rows } = await client.query<{ id: string; currency: string }>(
    'SELECT id, currency FROM decks WHERE id = ANY ($1) ORDER BY id FOR KEY SHARE',
    [named.map(([, id]) => id)],
  )
  for (const [field, id] of named) {
    const found = rows.find((row) => row.id === id)
    if (found === undefined)
      throw new ChangeRefused('missing', `is ${quoted(id)}; there is no such deck`, { field })
    if (found.currency !== currency)
      throw new ChangeRefused(
        'invalid',
        `is ${quoted(id)}, whose rates are in ${found.currency}; allowed is a deck in ${currency}, the tenant's currency`,
        { field },
      )
  }
}

async function setWhatBelongs(
  client: pg.ClientBase,
  tenant: { readonly tenantId: string; readonly country: Country },
  change: Pick<TenantChange, 'account_codes' | 'blocked_destinations'>,
): Promise<void> {
  const { account_codes: codes, blocked_destinations: destinations } = change
  if (codes !== undefined) await setAccountCodes(client, tenant, codes)
  if (destinations !== undefined) await setBlockedDestinations(client, tenant, destinations)
}

async function readWritten(client: pg.ClientBase, id: string): Promise<TenantRecord> {
  const found = await getTenant(client, id)
  if (found === undefined) throw noTenant(id)
  return found
}

function recordOf(row: Row): TenantRecord {
  return {
    ...row,
    credit_limit: decimal(row.credit_limit),
    low_balance: decimal(row.low_balance),
    daily_spend_cap: decimal(row.daily_spend_cap),
    maximum_call_cost: decimal(row.maximum_call_cost),
    created_at: row.created_at.toISOString(),
  }
}
