import { Type, type FastifyPluginCallbackTypebox, type Static } from '@fastify/type-provider-typebox'
import { listTransactions, transactionKinds, type Transaction } from '../../store/transactions.js'
import { access } from '../access.js'
import type { AdminDependencies } from '../dependencies.js'
import { fromStore, refuseUnknownTenant } from '../errors.js'
import {
  cursor,
  defaultLimit,
  limit,
  moment,
  money,
  nullable,
  page,
  problems,
  security,
  tenantParams,
} from '../schemas.js'

const mostItems = 500

export const transaction = Type.Object(
  {
    id: Type.String({ description: 'Number of the line; a later line of the tenant has a higher one' }),
    kind: Type.Enum([...transactionKinds], { description: 'A debit is the cost of a call' }),
    amount: money('What the balance changed by: below 0 when money left'),
    balance_after: money('The balance after it'),
    description: Type.String(),
    call_uuid: nullable(Type.String(), { description: 'The call that was charged or refunded' }),
    idempotency_key: nullable(Type.String(), {
      description: 'What it was booked under; null: it came without one',
    }),
    created_at: moment('When it was booked'),
  },
  {
    additionalProperties: false,
    description: 'A line of the ledger',
    examples: [
      {
        id: '4711',
        kind: 'topup',
        amount: '500000.00',
        balance_after: '1499500.00',
        description: 'Bank transfer of 31 January',
        call_uuid: null,
        idempotency_key: 'bank-2025-01-31-0042',
        created_at: '2025-01-31T08:00:00.000Z',
      },
    ],
  },
)

export const transactions: FastifyPluginCallbackTypebox<AdminDependencies> = (app, { pool }, done) => {
  app.get(
    '/tenants/:tenant/transactions',
    {
      config: access('read', 'own'),
      schema: {
        operationId: 'listTransactions',
        tags: ['tenants'],
        summary: "Lines of a tenant's ledger, the latest first",
        security,
        params: tenantParams,
        querystring: Type.Object(
          {
            limit: limit(mostItems),
            cursor,
            kind: Type.Optional(Type.Enum([...transactionKinds], { description: 'Only lines of this kind' })),
            call_uuid: Type.Optional(
              Type.String({
                minLength: 1,
                maxLength: 256,
                description: 'Only the debit and the refunds of this call',
              }),
            ),
          },
          { additionalProperties: false },
        ),
        response: { 200: page(transaction), ...problems(404) },
      },
    },
    async ({ params: { tenant: id }, query }) => {
      const found = await fromStore(
        listTransactions(pool, id, {
          limit: query.limit ?? defaultLimit,
          ...(query.cursor !== undefined && { cursor: query.cursor }),
          ...(query.kind !== undefined && { kind: query.kind }),
          ...(query.call_uuid !== undefined && { callUuid: query.call_uuid }),
        }),
      )
      if (!found) return refuseUnknownTenant(id)
      return { items: found.items.map(shownTransaction), next: found.next }
    },
  )

  done()
}

/** A line as the API shows it. */
export function shownTransaction(line: Transaction): Static<typeof transaction> {
  return {
    id: line.id,
    kind: line.kind,
    amount: line.amount,
    balance_after: line.balanceAfter,
    description: line.description,
    call_uuid: line.callUuid,
    idempotency_key: line.idempotencyKey,
    created_at: line.createdAt.toISOString(),
  }
}
