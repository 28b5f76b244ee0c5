import type pg from 'pg'

import { parseMoney, type Money } from '../billing/money.js'
import { PrefixTable } from '../billing/prefix-table.js'
import type { Country } from '../numbering/normal-form.js'

export interface Tenant {
  readonly id: string
  readonly name: string
  /** What national numbers are read by. */
  readonly country: Country
  /** ISO 4217. */
  readonly currency: string
  /** SIP domain of its extensions; without one, the domain that a call came with. */
  readonly domain?: string
  readonly maxCallSeconds: number
  readonly ringSeconds: number
  readonly emergencyNumbers: ReadonlySet<string>
}

export interface Extension {
  readonly number: string
  readonly displayName?: string
}

export interface Gateway {
  readonly id: number
  /** As the switch knows it. */
  readonly name: string
  /** Normal form; empty: every number. */
  readonly prefix: string
  /** Lowest first. */
  readonly priority: number
  readonly carrierCostPerMinute?: Money
}

/** Whose a call is; the extension is not known when only the tenant was named. */
export interface Owner {
  readonly tenant: Tenant
  readonly extension?: string
}

export type ExtensionOwner = Required<Owner>

/** Rows of the tables of the same names. */
export interface DirectoryRows {
  readonly tenants: readonly {
    id: string
    name: string
    country: string
    currency: string
    domain: string | null
    deck_id: string | null
    max_call_seconds: number
    ring_seconds: number
    emergency_numbers: string[]
  }[]
  readonly extensions: readonly {
    tenant_id: string
    number: string
    auth_username: string
    display_name: string | null
  }[]
  readonly accounts: readonly { code: string; tenant_id: string; extension: string | null }[]
  readonly numbers: readonly { number: string; tenant_id: string; extension: string | null }[]
  readonly gateways: readonly {
    tenant_id: string
    id: number
    name: string
    prefix: string
    priority: number
    carrier_cost_per_minute: string | null
  }[]
}

/** @param client in a transaction that sees one moment (REPEATABLE READ) */
export async function readDirectory(client: pg.ClientBase): Promise<DirectoryRows> {
  const read = async <K extends keyof DirectoryRows>(sql: string) =>
    (await client.query<DirectoryRows[K][number]>(sql)).rows
  return {
    tenants: await read<'tenants'>(
      `SELECT id, name, country, currency, domain, deck_id, max_call_seconds, ring_seconds, emergency_numbers
      FROM tenants`,
    ),
    extensions: await read<'extensions'>(
      `SELECT tenant_id, number, coalesce(auth_username, number) AS auth_username, display_name FROM extensions`,
    ),
    accounts: await read<'accounts'>('SELECT code, tenant_id, extension FROM accounts'),
    numbers: await read<'numbers'>('SELECT number, tenant_id, extension FROM numbers'),
    gateways: await read<'gateways'>(
      `SELECT tenant_id, id, name, prefix, priority, carrier_cost_per_minute FROM gateways ORDER BY priority, id`,
    ),
  }
}

interface TenantEntry {
  readonly tenant: Tenant
  readonly deckId: string | null
  readonly extensions: Map<string, Extension>
  gateways: PrefixTable<Gateway[]>
}

const noGateways = new PrefixTable<Gateway[]>([])

/** Tenants and what is theirs, as one moment of the database had them. Immutable once built. */
export class Directory {
  readonly #tenants = new Map<string, TenantEntry>()
  readonly #accounts = new Map<string, Owner>()
  readonly #numbers = new Map<string, Owner>()
  readonly #byAuthUser = new Map<string, ExtensionOwner[]>()
  readonly #byExtension = new Map<string, ExtensionOwner[]>()

  constructor(rows: DirectoryRows) {
    for (const row of rows.tenants) this.#tenants.set(row.id, tenantEntry(row))
    for (const row of rows.extensions) {
      const entry = this.#tenants.get(row.tenant_id)
      if (!entry) continue
      const { number, display_name: displayName } = row
      entry.extensions.set(number, displayName === null ? { number } : { number, displayName })
      const owner = { tenant: entry.tenant, extension: number }
      addTo(this.#byAuthUser, row.auth_username, owner)
      addTo(this.#byExtension, number, owner)
    }
    for (const row of rows.accounts) this.#setOwner(this.#accounts, row.code, row)
    for (const row of rows.numbers) this.#setOwner(this.#numbers, row.number, row)
    const gateways = new Map<string, Map<string, Gateway[]>>()
    for (const row of rows.gateways) {
      const ofTenant = gateways.get(row.tenant_id) ?? new Map<string, Gateway[]>()
      gateways.set(row.tenant_id, ofTenant)
      addTo(ofTenant, row.prefix, gatewayOf(row))
    }
    for (const [tenantId, byPrefix] of gateways) {
      const entry = this.#tenants.get(tenantId)
      if (entry) entry.gateways = new PrefixTable(byPrefix)
    }
  }

  #setOwner(
    owners: Map<string, Owner>,
    name: string,
    row: { readonly tenant_id: string; readonly extension: string | null },
  ): void {
    const tenant = this.#tenants.get(row.tenant_id)?.tenant
    if (tenant) owners.set(name, row.extension === null ? { tenant } : { tenant, extension: row.extension })
  }

  tenant(id: string): Tenant | undefined {
    return this.#tenants.get(id)?.tenant
  }

  deckId(tenantId: string): string | undefined {
    return this.#tenants.get(tenantId)?.deckId ?? undefined
  }

  byAccount(code: string): Owner | undefined {
    return this.#accounts.get(code)
  }

  byAuthUser(username: string, realm?: string): ExtensionOwner | undefined {
    return theOne(this.#byAuthUser.get(username), realm)
  }

  byTrustedExtension(number: string, domain?: string): ExtensionOwner | undefined {
    return theOne(this.#byExtension.get(number), domain)
  }

  byDid(number: string): Owner | undefined {
    return this.#numbers.get(number)
  }

  extension(tenantId: string, number: string): Extension | undefined {
    return this.#tenants.get(tenantId)?.extensions.get(number)
  }

  gateways(tenantId: string, number: string): readonly Gateway[] {
    return this.#tenants.get(tenantId)?.gateways.find(number) ?? []
  }
}

function tenantEntry(row: DirectoryRows['tenants'][number]): TenantEntry {
  const tenant: Tenant = {
    id: row.id,
    name: row.name,
    // libphonenumber reads numbers of a country that it does not know as international ones.
    country: row.country as Country,
    currency: row.currency,
    ...(row.domain === null ? {} : { domain: row.domain }),
    maxCallSeconds: row.max_call_seconds,
    ringSeconds: row.ring_seconds,
    emergencyNumbers: new Set(row.emergency_numbers),
  }
  return { tenant, deckId: row.deck_id, extensions: new Map(), gateways: noGateways }
}

function gatewayOf(row: DirectoryRows['gateways'][number]): Gateway {
  const { id, name, prefix, priority, carrier_cost_per_minute: carrierCost } = row
  const gateway = { id, name, prefix, priority }
  return carrierCost === null ? gateway : { ...gateway, carrierCostPerMinute: parseMoney(carrierCost) }
}

function addTo<T>(lists: Map<string, T[]>, key: string, value: T): void {
  const list = lists.get(key)
  if (list) list.push(value)
  else lists.set(key, [value])
}

/** Of several tenants with the same name the one that the domain belongs to; without a match it is nobody's. */
function theOne(owners: readonly ExtensionOwner[] | undefined, domain?: string): ExtensionOwner | undefined {
  if (!owners || owners.length === 1) return owners?.[0]
  const wanted = domain?.toLowerCase()
  return wanted === undefined
    ? undefined
    : owners.find(({ tenant }) => tenant.domain?.toLowerCase() === wanted)
}
