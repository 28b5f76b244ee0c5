import { formatMoney, parseMoney } from '../billing/money.js'

/**
 * A tenant's balance fell below its threshold. Told once each time that it does: it must have been at the
 * threshold or above in between, because money came in or the threshold was lowered. Amounts are decimal strings.
 */
export interface LowBalance {
  readonly tenant: string
  readonly balance: string
  readonly threshold: string
  /** ISO 4217. */
  readonly currency: string
}

/** @param row as PostgreSQL gives it */
export function lowBalance(row: {
  readonly tenant_id: string
  readonly balance: string
  readonly low_balance: string
  readonly currency: string
}): LowBalance {
  return {
    tenant: row.tenant_id,
    balance: formatMoney(parseMoney(row.balance)),
    threshold: formatMoney(parseMoney(row.low_balance)),
    currency: row.currency,
  }
}
