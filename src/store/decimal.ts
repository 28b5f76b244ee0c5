import { formatMoney, parseMoney } from '../billing/money.js'

/** A NUMERIC as PostgreSQL writes it, `320.500000`, as it is shown: `320.50`. */
export function decimal<T extends string | null | undefined>(numeric: T): T {
  return (typeof numeric === 'string' ? formatMoney(parseMoney(numeric)) : numeric) as T
}
