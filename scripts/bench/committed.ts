import pg from 'pg'
import type { Services } from './services-process.js'

export interface Committed {
  readonly cdrs: number
  readonly debits: number
  /** Decimal, in VND. */
  readonly spent: string
}

/**
 * What the calls of `whole` left in PostgreSQL.
 * @throws when they left too little: a server that loses records is fast, and of no use
 */
export async function checkCommitted(
  services: Services | undefined,
  calls: number,
): Promise<Committed | undefined> {
  if (services === undefined) return undefined
  const client = new pg.Client({ connectionString: services.databaseUrl })
  await client.connect()
  try {
    const { rows } = await client.query<{
      cdrs: number
      debits: number
      spent: string
      balance_fell: string
    }>(
      `SELECT (SELECT count(*)::integer FROM cdrs WHERE cost > 0) AS cdrs,
        count(*)::integer AS debits,
        -coalesce(sum(amount), 0) AS spent,
        1000000 - (SELECT balance FROM balances WHERE tenant_id = 'demo') AS balance_fell
      FROM ledger WHERE kind = 'debit'`,
    )
    const [row] = rows
    if (row?.cdrs !== calls || row.debits !== calls || Number(row.spent) !== Number(row.balance_fell))
      throw new Error(`(d) billed ${calls} calls wrongly: ${JSON.stringify(row)}`)
    return { cdrs: row.cdrs, debits: row.debits, spent: row.spent }
  } finally {
    await client.end()
  }
}
