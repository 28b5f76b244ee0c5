import type pg from 'pg'
import { copyIn, copyLine } from '../../src/store/copy.js'
import { inTransaction } from '../../src/store/database.js'

/** The tables that a commit fills, and a column by which the rows of a call are found. */
const tables = ['call_keys', 'cdrs', 'charges', 'ledger'] as const

/** One call's rows of each table, as COPY takes them. */
export type CopiedCall = readonly (readonly string[])[]

/** The columns of each table. What the database numbers itself it numbers here too. */
async function columnsOf(pool: pg.Pool): Promise<string[]> {
  return Promise.all(
    tables.map(async (table) => {
      const { rows } = await pool.query<{ name: string }>(
        `SELECT quote_ident(column_name) AS name FROM information_schema.columns
        WHERE table_schema = current_schema() AND table_name = $1 AND is_identity = 'NO' ORDER BY ordinal_position`,
        [table],
      )
      return rows.map(({ name }) => name).join(', ')
    }),
  )
}

/** Reads back what was committed for these calls, in their order. */
export async function readCalls(pool: pg.Pool, callUuids: readonly string[]): Promise<CopiedCall[]> {
  const columns = await columnsOf(pool)
  const lines = new Map<string, string[][]>(callUuids.map((uuid) => [uuid, tables.map(() => [])]))
  for (const [i, table] of tables.entries()) {
    const { rows } = await pool.query<(string | null)[]>({
      text: `SELECT call_uuid, ${columns[i] ?? ''} FROM ${table} WHERE call_uuid = ANY ($1)`,
      values: [callUuids],
      rowMode: 'array',
      types: { getTypeParser: () => (text: string) => text },
    })
    for (const [uuid, ...values] of rows) lines.get(uuid ?? '')?.[i]?.push(copyLine(values))
  }
  return [...lines.values()]
}

/**
 * Writes the rows of calls by COPY into the same tables, with their keys, checks and indexes, so many calls a
 * transaction: no look at whether a call is new, no balance, no reservation.
 */
export async function copyCalls(
  pool: pg.Pool,
  calls: readonly CopiedCall[],
  { lanes, size }: { readonly lanes: number; readonly size: number },
): Promise<void> {
  const columns = await columnsOf(pool)
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < calls.length) {
      const batch = calls.slice(next, (next += size))
      await inTransaction(pool, async (client) => {
        for (const [i, table] of tables.entries())
          await copyIn(
            client,
            `${table} (${columns[i] ?? ''})`,
            batch.flatMap((call) => call[i] ?? []),
            (line) => line,
          )
      })
    }
  }
  await Promise.all(Array.from({ length: lanes }, lane))
}
