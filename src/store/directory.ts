import { parseMoney, type Money } from '../billing/money.js'
import { PrefixTable } from '../billing/prefix-table.js'
import type { Country } from '../numbering/normal-form.js'
import type { Direction } from '../numbering/direction.js'
import type { NumberClass } from '../numbering/number-class.js'
import type { DirectoryRows } from './directory-rows.js'
import { gatewayTable, type Gateway, type GatewayOrder } from './gateways.js'

export type { Gateway } from './gateways.js'

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
  /** Normal form: numbers that begin so are local to it. */
  readonly localPrefixes: readonly string[]
  /** IANA: whose midnight ends its day. */
  readonly timeZone: string
  /** It may call, for nothing, what has no rate. */
  readonly allowsUnrated: boolean
  readonly billing: 'prepaid' | 'postpaid'
  /** The most that all its calls of a day may cost, and that one call may, all of its legs together. */
  readonly dailySpendCap?: Money
  readonly maximumCallCost?: Money
  /** Calls at once, and that begin in a second, over all nodes; without it, as many as there are. */
  readonly maxCalls?: number
  readonly maxCallsPerSecond?: number
  /** Its calls that are recorded, unless their route wants otherwise. */
  readonly recordDirections: ReadonlySet<Direction>
  /** What who is put on hold hears; without it, what the switch has for that. */
  readonly holdMusic?: string
  /** Presented over gateways that present the tenant. */
  readonly callerIdNumber?: string
  readonly callerIdName?: string
}

export interface Extension {
  readonly number: string
  /** The SIP account that its phone registers with. */
  readonly authUsername?: string
  readonly displayName?: string
  /** What it may call; without it, everything. */
  readonly tollAllow?: ReadonlySet<NumberClass>
}

/** Whose a call is; the extension is not known when only the tenant was named. */
export interface Owner {
  readonly tenant: Tenant
  readonly extension?: string
}

export type ExtensionOwner = Required<Owner>

interface TenantEntry {
  readonly tenant: Tenant
  readonly deckId: string | undefined
  readonly inboundDeckId: string | undefined
  readonly extensions: Map<string, Extension>
  readonly gatewayOrder: GatewayOrder
  gateways: PrefixTable<readonly Gateway[]>
  blocked: PrefixTable<true>
}

const noGateways = new PrefixTable<readonly Gateway[]>([])
const nothingBlocked = new PrefixTable<true>([])

/** Tenants and what is theirs, as one moment of the database had them. Immutable once built. */
export class Directory {
  readonly #tenants = new Map<string, TenantEntry>()
  readonly #accounts = new Map<string, Owner>()
  readonly #byAuthUser = new Map<string, ExtensionOwner[]>()
  readonly #byExtension = new Map<string, ExtensionOwner[]>()

  constructor(rows: DirectoryRows) {
    for (const row of rows.tenants) this.#tenants.set(row.id, tenantEntry(row))
    for (const row of rows.extensions) {
      const entry = this.#tenants.get(row.tenant_id)
      if (!entry) continue
      const { number } = row
      entry.extensions.set(number, extensionOf(row))
      const owner = { tenant: entry.tenant, extension: number }
      addTo(this.#byAuthUser, row.auth_username, owner)
      addTo(this.#byExtension, number, owner)
    }
    for (const row of rows.accounts) this.#setOwner(this.#accounts, row.code, row)
    for (const [tenantId, ofTenant] of byTenant(rows.gateways)) {
      const entry = this.#tenants.get(tenantId)
      if (entry) entry.gateways = gatewayTable(ofTenant, entry.gatewayOrder)
    }
    for (const [tenantId, ofTenant] of byTenant(rows.blocked)) {
      const entry = this.#tenants.get(tenantId)
      if (entry) entry.blocked = new PrefixTable(ofTenant.map(({ prefix }) => [prefix, true]))
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

  get hasSeveralTenants(): boolean {
    return this.#tenants.size > 1
  }

  deckId(tenantId: string): string | undefined {
    return this.#tenants.get(tenantId)?.deckId
  }

  inboundDeckId(tenantId: string): string | undefined {
    return this.#tenants.get(tenantId)?.inboundDeckId
  }

  /** Every deck that some tenant has. */
  deckIds(): Set<string> {
    const ids = new Set<string>()
    for (const { deckId, inboundDeckId } of this.#tenants.values()) {
      if (deckId !== undefined) ids.add(deckId)
      if (inboundDeckId !== undefined) ids.add(inboundDeckId)
    }
    return ids
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

  extension(tenantId: string, number: string): Extension | undefined {
    return this.#tenants.get(tenantId)?.extensions.get(number)
  }

  gateways(tenantId: string, number: string): readonly Gateway[] {
    return this.#tenants.get(tenantId)?.gateways.find(number) ?? []
  }

  isBlocked(tenantId: string, number: string): boolean {
    return this.#tenants.get(tenantId)?.blocked.find(number) ?? false
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
    localPrefixes: row.local_prefixes,
    timeZone: row.time_zone,
    allowsUnrated: row.allows_unrated,
    billing: row.billing,
    recordDirections: new Set(row.record_directions),
    ...(row.hold_music !== null && { holdMusic: row.hold_music }),
    ...(row.max_calls !== null && { maxCalls: row.max_calls }),
    ...(row.max_calls_per_second !== null && { maxCallsPerSecond: row.max_calls_per_second }),
    ...(row.caller_id_number !== null && { callerIdNumber: row.caller_id_number }),
    ...(row.caller_id_name !== null && { callerIdName: row.caller_id_name }),
    ...(row.daily_spend_cap !== null && { dailySpendCap: parseMoney(row.daily_spend_cap) }),
    ...(row.maximum_call_cost !== null && { maximumCallCost: parseMoney(row.maximum_call_cost) }),
  }
  return {
    tenant,
    deckId: row.deck_id ?? undefined,
    inboundDeckId: row.inbound_deck_id ?? undefined,
    extensions: new Map(),
    gatewayOrder: row.gateway_order,
    gateways: noGateways,
    blocked: nothingBlocked,
  }
}

function extensionOf(row: DirectoryRows['extensions'][number]): Extension {
  const { number, auth_username: authUsername, display_name: displayName, toll_allow: tollAllow } = row
  return {
    number,
    authUsername,
    ...(displayName !== null && { displayName }),
    ...(tollAllow !== null && { tollAllow: new Set(tollAllow) }),
  }
}

function byTenant<R extends { readonly tenant_id: string }>(rows: readonly R[]): Map<string, R[]> {
  const tenants = new Map<string, R[]>()
  for (const row of rows) addTo(tenants, row.tenant_id, row)
  return tenants
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
