import type pg from 'pg'

import { inTransaction, oneMoment } from './database.js'
import { readVersion, type Part } from './follower.js'

/** A row that was added, changed or taken away, by its table and what names it there. */
export interface Changed {
  readonly source: string
  readonly tenantId: string
  readonly key: string
}

/** How many versions are kept of what changed (sql/010_number_plan.sql). */
const keptVersions = 1000n
/** More rows than these are read faster all together. */
const mostChanges = 4_000

/**
 * @param since version that was read last
 * @param now version that `client`'s transaction sees
 * @returns undefined when that is not known, or is too much: everything is to be read
 */
async function readChanged(
  client: pg.ClientBase,
  part: Part['name'],
  since: string,
  now: string,
): Promise<readonly Changed[] | undefined> {
  const behind = BigInt(now) - BigInt(since)
  // Below 0: the database was put back to an earlier day.
  if (behind < 0n || behind >= keptVersions) return undefined
  const { rows } = await client.query<{ source: string | null; tenant_id: string; key: string }>(
    `SELECT DISTINCT source, tenant_id, key FROM catalog_changes WHERE part = $1 AND version > $2 LIMIT $3`,
    [part, since, mostChanges + 1],
  )
  if (rows.length > mostChanges) return undefined
  const changed: Changed[] = []
  for (const { source, tenant_id: tenantId, key } of rows) {
    if (source === null) return undefined
    changed.push({ source, tenantId, key })
  }
  return changed
}

/** How a part is read anew. */
export interface Reading {
  /** All of it. */
  readonly whole: (client: pg.ClientBase) => Promise<void>
  /** What is not as it was. */
  readonly some: (client: pg.ClientBase, changed: readonly Changed[]) => Promise<void>
}

/**
 * Reads what of a part has changed, as it was at one moment.
 *
 * @param since version that was read last; undefined: none was
 * @returns the version that is read now
 */
export function readAnew(
  pool: pg.Pool,
  part: Part['name'],
  since: string | undefined,
  { whole, some }: Reading,
): Promise<string> {
  return inTransaction(
    pool,
    async (client) => {
      const version = await readVersion(client, part)
      const changed = since === undefined ? undefined : await readChanged(client, part, since, version)
      await (changed === undefined ? whole(client) : some(client, changed))
      return version
    },
    oneMoment,
  )
}

/** So many rows are read, and taken in, at a time: no call waits for longer than that. */
export const pageSize = 500

export function pages<T>(items: readonly T[]): T[][] {
  return Array.from({ length: Math.ceil(items.length / pageSize) }, (_, page) =>
    items.slice(page * pageSize, (page + 1) * pageSize),
  )
}
