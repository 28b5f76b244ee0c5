import { Type, type FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { readBalance } from '../../store/balances.js'
import { echo } from '../field-errors.js'
import { fromStore, Problem } from '../errors.js'
import { money, noQuery, problems, security } from '../schemas.js'
import type { AdminDependencies } from '../dependencies.js'

const balance = Type.Object(
  {
    balance: money('Money paid in less money charged'),
    reserved: money('Of the balance, held for calls in progress'),
    available: money('What may still be spent: balance less reserved'),
    currency: Type.String({ description: 'ISO 4217' }),
  },
  {
    additionalProperties: false,
    description: 'The balance',
    examples: [{ balance: '999500.00', reserved: '0.00', available: '999500.00', currency: 'VND' }],
  },
)

export const tenants: FastifyPluginCallbackTypebox<AdminDependencies> = (app, { pool }, done) => {
  app.get(
    '/tenants/:id/balance',
    {
      schema: {
        operationId: 'getBalance',
        tags: ['tenants'],
        summary: "A tenant's balance",
        security,
        querystring: noQuery,
        params: Type.Object({
          id: Type.String({
            minLength: 1,
            maxLength: 64,
            description: 'Id of the tenant',
            examples: ['demo'],
          }),
        }),
        response: { 200: balance, ...problems(404) },
      },
    },
    async ({ params: { id } }) => {
      const found = await fromStore(readBalance(pool, id))
      if (!found) throw new Problem('not_found', `There is no tenant ${echo(id)}.`)
      return found
    },
  )

  done()
}
