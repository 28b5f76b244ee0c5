import { Type, type FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { readBalance } from '../../store/balances.js'
import { access } from '../access.js'
import { fromStore, refuseUnknownTenant } from '../errors.js'
import { money, noQuery, nullable, problems, security, tenantParams } from '../schemas.js'
import type { AdminDependencies } from '../dependencies.js'

const balance = Type.Object(
  {
    balance: money('Money paid in less money charged'),
    reserved: money('Of the balance, held for calls in progress'),
    available: money('What may still be spent: balance less reserved, and the credit limit if there is one'),
    billing: Type.Enum(['prepaid', 'postpaid']),
    credit_limit: nullable(money('How far below 0 the balance may go'), {
      description: 'Null: postpaid, without a limit',
    }),
    currency: Type.String({ description: 'ISO 4217' }),
  },
  {
    additionalProperties: false,
    description: 'The balance',
    examples: [
      {
        balance: '999500.00',
        reserved: '0.00',
        available: '999500.00',
        billing: 'prepaid',
        credit_limit: '0.00',
        currency: 'VND',
      },
    ],
  },
)

export const tenants: FastifyPluginCallbackTypebox<AdminDependencies> = (app, { pool }, done) => {
  app.get(
    '/tenants/:tenant/balance',
    {
      config: access('read', 'own'),
      schema: {
        operationId: 'getBalance',
        tags: ['tenants'],
        summary: "A tenant's balance",
        security,
        querystring: noQuery,
        params: tenantParams,
        response: { 200: balance, ...problems(404) },
      },
    },
    async ({ params: { tenant: id } }) => {
      const found = await fromStore(readBalance(pool, id))
      if (!found) return refuseUnknownTenant(id)
      const { creditLimit, ...rest } = found
      return { ...rest, credit_limit: creditLimit }
    },
  )

  done()
}
