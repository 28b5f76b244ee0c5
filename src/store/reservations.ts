import type pg from 'pg'

import { formatMoney, parseMoney } from '../billing/money.js'
import {
  CreditAway,
  type Reservation,
  type ReservationRequest,
  type Shortage,
} from '../billing/reservation-queue.js'
import { rowParameters, type Column } from './columns.js'
import { isServerTrouble } from './errors.js'

/** The parameters of `reserve_credit` (sql/007_credit.sql) behind the tenant. */
const columns: readonly Column<ReservationRequest>[] = [
  { name: 'call_uuids', type: 'text', value: (r) => r.callUuid },
  { name: 'attempt_ids', type: 'text', value: (r) => r.attemptId },
  { name: 'after_ids', type: 'text', value: (r) => r.after?.attemptId },
  { name: 'after_costs', type: 'numeric', value: (r) => r.after && formatMoney(r.after.cost) },
  { name: 'wants', type: 'numeric', value: (r) => formatMoney(r.want) },
  { name: 'leasts', type: 'numeric', value: (r) => formatMoney(r.least) },
]

const parameters = columns.map(({ type }, i) => `$${i + 2}::${type}[]`).join(', ')

/**
 * Reserves for legs of one tenant: one statement, one transaction, one round trip. Answers in the order of the
 * requests.
 *
 * @throws CreditAway when PostgreSQL does not answer, or not now; whether it reserved is not known then
 */
export async function reserveCredit(
  db: pg.Pool | pg.ClientBase,
  tenantId: string,
  requests: readonly ReservationRequest[],
): Promise<Reservation[]> {
  try {
    const { rows } = await db.query<{ held: string; refusal: Shortage | null }>({
      name: 'reserve_credit_1',
      text: `SELECT held::numeric(24, 6), refusal FROM reserve_credit($1, ${parameters})`,
      values: [tenantId, ...rowParameters(columns, requests)],
    })
    return rows.map(({ held, refusal }) => ({ held: parseMoney(held), shortage: refusal ?? undefined }))
  } catch (error) {
    if (!isServerTrouble(error)) throw error
    throw new CreditAway(error instanceof Error ? error.message : String(error), { cause: error })
  }
}
