import type { Direction } from '../numbering/direction.js'
import { findNumber, NumberTable, type PlannedNumbers } from '../numbering/number-plan.js'
import type { Step } from './flow.js'

/** A row of `numbers`. */
export interface DidRow {
  readonly number: string
  readonly tenant_id: string
  readonly extension: string | null
}

/** A row of `number_plan`. */
export interface PlanRow {
  readonly id: string
  readonly tenant_id: string
  readonly direction: Direction | null
  readonly kind: PlannedNumbers['kind']
  readonly number: string
  readonly number_to: string | null
  readonly entered: string
  /** JSON: parsed when a call asks for it, so that 100,000 of them need little memory and no call can change one. */
  readonly step: string
}

interface DidOwner {
  readonly tenantId: string
  readonly extension: string | undefined
}

interface Planned extends PlannedNumbers {
  readonly id: string
  readonly tenantId: string
  readonly direction: Direction | 'any'
  readonly step: string
}

/** An entry of a number plan. */
export interface FoundEntry {
  readonly id: number
  readonly step: Step
}

/** As sql/010_number_plan.sql has `claims`: shorter ones may be several tenants'. */
const claimable = /^[0-9]{7}/

type Tables = Partial<Record<Direction | 'any', NumberTable<Planned>>>

/** Called numbers of all tenants: whose they are, and where they lead. Rows come and go one by one. */
export class NumberIndex {
  readonly #dids = new Map<string, DidOwner>()
  readonly #planned = new Map<string, Planned>()
  readonly #byTenant = new Map<string, Tables>()
  /** Inbound entries of all tenants that claim their numbers: no two have one in common (sql/010_number_plan.sql). */
  readonly #claims = new NumberTable<Planned>()

  setDid({ number, tenant_id: tenantId, extension }: DidRow): void {
    this.#dids.set(number, { tenantId, extension: extension ?? undefined })
  }

  deleteDid(number: string): void {
    this.#dids.delete(number)
  }

  /** @param row of an entry that is not in here */
  addPlanned(row: PlanRow): void {
    const { id, kind, number, entered, step } = row
    const planned: Planned = {
      ...{ id, kind, number, entered, step, tenantId: row.tenant_id, direction: row.direction ?? 'any' },
      ...(row.number_to !== null && { to: row.number_to }),
    }
    this.#planned.set(id, planned)
    const tables = this.#byTenant.get(planned.tenantId) ?? {}
    this.#byTenant.set(planned.tenantId, tables)
    const table = (tables[planned.direction] ??= new NumberTable())
    table.add(planned, planned)
    if (isClaim(planned)) this.#claims.add(claimed(planned), planned)
  }

  deletePlanned(id: string): void {
    const planned = this.#planned.get(id)
    if (planned === undefined) return
    this.#planned.delete(id)
    this.#byTenant.get(planned.tenantId)?.[planned.direction]?.remove(planned)
    if (isClaim(planned)) this.#claims.remove(claimed(planned))
  }

  /** Whose DID it is: by the table of numbers, else by the inbound entries of the number plans. */
  owner(number: string): DidOwner | undefined {
    const owner = this.#dids.get(number)
    if (owner) return owner
    const claim = findNumber([this.#claims], number, number)
    return claim && { tenantId: claim.tenantId, extension: undefined }
  }

  /** Whether a number that nobody can have alone (an extension's, 1900, a name) is for callers from outside at a tenant. */
  isReachedAt(tenantId: string, number: string): boolean {
    if (claimable.test(number)) return false
    return findNumber([this.#byTenant.get(tenantId)?.inbound], number, number) !== undefined
  }

  /** Where a called number leads; an entry for the direction comes before one for any. */
  find(tenantId: string, direction: Direction, called: string, calledRaw: string): FoundEntry | undefined {
    const tables = this.#byTenant.get(tenantId)
    const planned = tables && findNumber([tables[direction], tables.any], called, calledRaw)
    // It was checked when it was saved.
    return planned && { id: Number(planned.id), step: JSON.parse(planned.step) as Step }
  }
}

function isClaim({ direction, number }: Planned): boolean {
  return direction === 'inbound' && claimable.test(number)
}

/** By normal form alone: what two tenants of different countries entered may look the same. */
function claimed(planned: Planned): PlannedNumbers {
  return { ...planned, entered: planned.number }
}
