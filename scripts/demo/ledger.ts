import type pg from 'pg'
import { formatMoney, parseMoney } from '../../src/billing/money.js'
import { inTransaction } from '../../src/store/database.js'

export interface LedgerLine {
  readonly id: string
  readonly kind: string
  readonly description: string
  readonly callUuid: string
  /** Decimal; below 0 when money left. */
  readonly amount: string
  readonly balanceAfter: string
}

/** What these calls left in the ledger, in the order in which the balance changed. Reads, and cannot write. */
export function ledgerOf(pool: pg.Pool, callUuids: readonly string[]): Promise<LedgerLine[]> {
  return inTransaction(
    pool,
    async (client) => {
      const { rows } = await client.query<Record<keyof LedgerLine, string>>(
        `SELECT id, kind, description, call_uuid AS "callUuid", amount, balance_after AS "balanceAfter"
        FROM ledger WHERE call_uuid = ANY($1) ORDER BY id`,
        [callUuids],
      )
      return rows.map((row) => ({ ...row, amount: money(row.amount), balanceAfter: money(row.balanceAfter) }))
    },
    'READ ONLY',
  )
}

function money(text: string): string {
  return formatMoney(parseMoney(text))
}
