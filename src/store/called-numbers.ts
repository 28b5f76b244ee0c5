import type pg from 'pg'

import { pages, pageSize, readAnew } from './changes.js'
import type { Part } from './follower.js'
import { NumberIndex, type DidRow, type PlanRow } from './number-index.js'

const didColumns = 'number, tenant_id, extension'
const planColumns = 'id, tenant_id, direction, kind, number, number_to, entered, step::text AS step'

/**
 * DIDs and number plans of all tenants in memory, both as many as 100,000. What changed is read alone; what has to be
 * read as a whole is read page by page, and calls go by what was known before until it is all there.
 */
export class CalledNumbers implements Part {
  readonly name = 'numbers'
  readonly #pool: pg.Pool
  #version: string | undefined
  now = new NumberIndex()

  constructor(pool: pg.Pool) {
    this.#pool = pool
  }

  get version(): string | undefined {
    return this.#version
  }

  async refresh(): Promise<void> {
    this.#version = await readAnew(this.#pool, this.name, this.#version, {
      whole: async (client) => {
        this.now = await readWhole(client)
      },
      some: async (client, changed) => {
        const keysOf = (table: string) =>
          changed.filter(({ source }) => source === table).map(({ key }) => key)
        await readDids(client, keysOf('numbers'), this.now)
        await readPlanned(client, keysOf('number_plan'), this.now)
      },
    })
  }
}

async function readWhole(client: pg.ClientBase): Promise<NumberIndex> {
  const index = new NumberIndex()
  for (let after = ''; ;) {
    const { rows } = await client.query<DidRow>(
      `SELECT ${didColumns} FROM numbers WHERE number COLLATE "C" > $1 ORDER BY number COLLATE "C" LIMIT $2`,
      [after, pageSize],
    )
    for (const row of rows) index.setDid(row)
    const last = rows.at(-1)
    if (last === undefined) break
    after = last.number
  }
  for (let after = '0'; ;) {
    const { rows } = await client.query<PlanRow>(
      `SELECT ${planColumns} FROM number_plan WHERE id > $1 ORDER BY id LIMIT $2`,
      [after, pageSize],
    )
    for (const row of rows) index.addPlanned(row)
    const last = rows.at(-1)
    if (last === undefined) return index
    after = last.id
  }
}

async function readDids(client: pg.ClientBase, numbers: readonly string[], index: NumberIndex) {
  for (const page of pages(numbers)) {
    const { rows } = await client.query<DidRow>(`SELECT ${didColumns} FROM numbers WHERE number = ANY($1)`, [
      page,
    ])
    for (const number of page) index.deleteDid(number)
    for (const row of rows) index.setDid(row)
  }
}

async function readPlanned(client: pg.ClientBase, ids: readonly string[], index: NumberIndex) {
  const now: PlanRow[] = []
  for (const page of pages(ids)) {
    const { rows } = await client.query<PlanRow>(
      `SELECT ${planColumns} FROM number_plan WHERE id = ANY($1)`,
      [page],
    )
    now.push(...rows)
  }
  // All that is gone first: another entry may have its numbers now.
  for (const id of ids) index.deletePlanned(id)
  for (const row of now) index.addPlanned(row)
}
