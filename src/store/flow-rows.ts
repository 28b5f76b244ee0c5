import type { Hours, Menu } from './flow.js'

export type FlowKind = 'menu' | 'hours'

/** A row of `flows`, or of `flow_versions`. */
export interface FlowRow {
  readonly tenant_id: string
  readonly kind: FlowKind
  readonly id: string
  readonly version: number
  /** All but id and version. It was checked when it was saved (flow-schemas.ts). */
  readonly definition: object
}

export const flowColumns = 'tenant_id, kind, id, version, definition'

export function menuOf({ id, version, definition }: FlowRow): Menu {
  return { ...(definition as Omit<Menu, 'id' | 'version'>), id, version }
}

export function hoursOf({ id, version, definition }: FlowRow): Hours {
  return { ...(definition as Omit<Hours, 'id' | 'version'>), id, version }
}
