import type pg from 'pg'

import type { Direction } from '../numbering/direction.js'
import type { NumberClass } from '../numbering/number-class.js'
import { selectGateways, type GatewayOrder, type GatewayRow } from './gateways.js'

/** Rows of the tables of the same names. */
export interface DirectoryRows {
  readonly tenants: readonly {
    id: string
    name: string
    country: string
    currency: string
    domain: string | null
    deck_id: string | null
    inbound_deck_id: string | null
    allows_unrated: boolean
    local_prefixes: string[]
    time_zone: string
    daily_spend_cap: string | null
    maximum_call_cost: string | null
    billing: 'prepaid' | 'postpaid'
    max_calls: number | null
    max_calls_per_second: number | null
    max_call_seconds: number
    ring_seconds: number
    emergency_numbers: string[]
    record_directions: Direction[]
    hold_music: string | null
    gateway_order: GatewayOrder
    caller_id_number: string | null
    caller_id_name: string | null
  }[]
  readonly extensions: readonly {
    tenant_id: string
    number: string
    auth_username: string
    display_name: string | null
    toll_allow: NumberClass[] | null
  }[]
  readonly accounts: readonly { code: string; tenant_id: string; extension: string | null }[]
  readonly gateways: readonly GatewayRow[]
  readonly blocked: readonly { tenant_id: string; prefix: string }[]
}

export const noRows: DirectoryRows = {
  tenants: [],
  extensions: [],
  accounts: [],
  gateways: [],
  blocked: [],
}

/**
 * @param client in a transaction that sees one moment (REPEATABLE READ)
 * @param tenantId only what is this one's. Default: everybody's
 */
export async function readDirectory(client: pg.ClientBase, tenantId?: string): Promise<DirectoryRows> {
  const values = tenantId === undefined ? [] : [tenantId]
  const read = async <K extends keyof DirectoryRows>(sql: string, idColumn = 'tenant_id') => {
    const wanted = tenantId === undefined ? sql : `SELECT * FROM (${sql}) AS rows WHERE ${idColumn} = $1`
    return (await client.query<DirectoryRows[K][number]>(wanted, values)).rows
  }
  return {
    tenants: await read<'tenants'>(
      `SELECT id, name, country, currency, domain, deck_id, inbound_deck_id, allows_unrated, local_prefixes, time_zone,
        daily_spend_cap, maximum_call_cost, billing, max_calls, max_calls_per_second, max_call_seconds, ring_seconds, emergency_numbers, record_directions, hold_music,
        gateway_order, caller_id_number, caller_id_name
      FROM tenants`,
      'id',
    ),
    extensions: await read<'extensions'>(
      `SELECT tenant_id, number, coalesce(auth_username, number) AS auth_username, display_name, toll_allow
      FROM extensions`,
    ),
    accounts: await read<'accounts'>('SELECT code, tenant_id, extension FROM accounts'),
    gateways: await read<'gateways'>(selectGateways),
    blocked: await read<'blocked'>('SELECT tenant_id, prefix FROM blocked_destinations'),
  }
}
