import type pg from 'pg'

import { pages, pageSize, readAnew } from './changes.js'
import type { Flows, Hours, Menu } from './flow.js'
import { flowColumns, hoursOf, menuOf, type FlowRow } from './flow-rows.js'
import type { Part } from './follower.js'

/** A tenant's menus and hours at one moment. Never changed: with each change there is a new one. */
class TenantFlows implements Flows {
  readonly #menus: ReadonlyMap<string, Menu>
  readonly #hours: ReadonlyMap<string, Hours>

  constructor(menus: ReadonlyMap<string, Menu>, hours: ReadonlyMap<string, Hours>) {
    this.#menus = menus
    this.#hours = hours
  }

  menu(id: string): Menu | undefined {
    return this.#menus.get(id)
  }

  hours(id: string): Hours | undefined {
    return this.#hours.get(id)
  }

  /** @param gone ids of menus and hours that there are no more; @param rows what there is now */
  with(gone: readonly Place[], rows: readonly FlowRow[]): TenantFlows {
    const menus = new Map(this.#menus)
    const hours = new Map(this.#hours)
    for (const { id } of gone) {
      menus.delete(id)
      hours.delete(id)
    }
    for (const row of rows)
      if (row.kind === 'menu') menus.set(row.id, menuOf(row))
      else hours.set(row.id, hoursOf(row))
    return new TenantFlows(menus, hours)
  }
}

interface Place {
  readonly tenantId: string
  readonly id: string
}

const none = new TenantFlows(new Map(), new Map())

/** Menus and opening hours of all tenants in memory; what changed is read alone. */
export class AllFlows implements Part {
  readonly name = 'flows'
  readonly #pool: pg.Pool
  #version: string | undefined
  #byTenant = new Map<string, TenantFlows>()

  constructor(pool: pg.Pool) {
    this.#pool = pool
  }

  get version(): string | undefined {
    return this.#version
  }

  /** As they are now, and as they stay for whoever keeps this. */
  of(tenantId: string): Flows {
    return this.#byTenant.get(tenantId) ?? none
  }

  async refresh(): Promise<void> {
    this.#version = await readAnew(this.#pool, this.name, this.#version, {
      whole: async (client) => {
        this.#byTenant = await readWhole(client)
      },
      some: async (client, changed) => {
        const places = changed.map(({ tenantId, key: id }) => ({ tenantId, id }))
        for (const page of pages(places)) take(this.#byTenant, page, await readPlaces(client, page))
      },
    })
  }
}

async function readWhole(client: pg.ClientBase): Promise<Map<string, TenantFlows>> {
  const flows = new Map<string, TenantFlows>()
  let after = ['', '', '']
  for (;;) {
    const { rows } = await client.query<FlowRow>(
      `SELECT ${flowColumns} FROM flows WHERE (tenant_id, kind, id) > ($1, $2, $3)
      ORDER BY tenant_id, kind, id LIMIT $4`,
      [...after, pageSize],
    )
    take(flows, [], rows)
    const last = rows.at(-1)
    if (last === undefined) return flows
    after = [last.tenant_id, last.kind, last.id]
  }
}

/** A menu and hours may have the same id: both are read. */
async function readPlaces(client: pg.ClientBase, places: readonly Place[]): Promise<FlowRow[]> {
  const { rows } = await client.query<FlowRow>(
    `SELECT ${flowColumns} FROM flows WHERE (tenant_id, id) IN (SELECT * FROM unnest($1::text[], $2::text[]))`,
    [places.map(({ tenantId }) => tenantId), places.map(({ id }) => id)],
  )
  return rows
}

function take(flows: Map<string, TenantFlows>, places: readonly Place[], rows: readonly FlowRow[]): void {
  const tenants = new Set([
    ...places.map(({ tenantId }) => tenantId),
    ...rows.map(({ tenant_id }) => tenant_id),
  ])
  for (const tenant of tenants) {
    const gone = places.filter(({ tenantId }) => tenantId === tenant)
    const present = rows.filter(({ tenant_id }) => tenant_id === tenant)
    flows.set(tenant, (flows.get(tenant) ?? none).with(gone, present))
  }
}
