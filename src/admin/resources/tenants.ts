import { Type, type FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { readBalance } from '../../store/balances.js'
import { changeTenant, createTenant, deleteTenant, getTenant, listTenants } from '../../store/tenants.js'
import { tenantChange, tenantDraft, tenantFields } from '../../store/tenant-schemas.js'
import { access } from '../access.js'
import { asShown } from '../as-shown.js'
import { audited } from '../audited.js'
import type { AdminDependencies } from '../dependencies.js'
import { fromStore, refuseUnknownTenant } from '../errors.js'
import {
  cursor,
  defaultLimit,
  limit,
  moment,
  money,
  noQuery,
  nullable,
  page,
  problems,
  queryTenant,
  security,
  tenantParams,
} from '../schemas.js'
import { changeHeaders, deleteHeaders, expectedVersion, withVersion } from '../versions.js'

const mostItems = 500
/** A thousand blocked destinations with their descriptions. */
const bodyLimit = 512 * 1024

const blockedDestinations = Type.Array(
  Type.Object(
    {
      prefix: Type.String({ description: 'Normal form; empty: every number' }),
      prefix_entered: Type.String({ description: 'The same, as it was entered' }),
      description: Type.String({ description: 'Why' }),
    },
    { additionalProperties: false },
  ),
  { description: 'What it may not call, whatever it costs' },
)

const tenantSchema = asShown(
  Type.Object(
    {
      id: Type.String(),
      ...tenantFields,
      blocked_destinations: blockedDestinations,
      version: Type.Integer({ description: 'Counts up with each change; for If-Match' }),
      created_at: moment('When it was created'),
    },
    {
      additionalProperties: false,
      description: 'A tenant',
      examples: [
        {
          id: 'demo',
          name: 'Demo',
          country: 'VN',
          currency: 'VND',
          time_zone: 'Asia/Ho_Chi_Minh',
          domain: 'demo.example.com',
          deck: 'standard',
          inbound_deck: null,
          billing: 'prepaid',
          credit_limit: null,
          low_balance: '50000.00',
          daily_spend_cap: null,
          maximum_call_cost: null,
          max_calls: 60,
          max_calls_per_second: null,
          max_call_seconds: 14400,
          ring_seconds: 60,
          emergency_numbers: ['112', '113', '114', '115'],
          local_prefixes: ['8424'],
          allows_unrated: false,
          gateway_order: 'priority',
          caller_id_number: '842412345678',
          caller_id_name: 'Demo',
          record_directions: ['inbound'],
          hold_music: null,
          account_codes: ['demo'],
          blocked_destinations: [{ prefix: '1900', prefix_entered: '1900', description: 'Premium rate' }],
          version: 3,
          created_at: '2025-01-31T08:00:00.000Z',
        },
      ],
    },
  ),
)

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
  const operation = (operationId: string, summary: string) => ({
    operationId,
    summary,
    security,
    tags: ['tenants'],
  })

  app.get(
    '/tenants',
    {
      config: access('read', 'own'),
      schema: {
        ...operation('listTenants', 'Tenants, by their ids; of a key that is bound to one, that one'),
        querystring: Type.Object(
          { limit: limit(mostItems), cursor, tenant: queryTenant },
          { additionalProperties: false },
        ),
        response: { 200: page(tenantSchema), ...problems() },
      },
    },
    async ({ query: { limit: most = defaultLimit, cursor: from, tenant: id } }) =>
      fromStore(
        listTenants(pool, {
          limit: most,
          ...(from !== undefined && { cursor: from }),
          ...(id !== undefined && { id }),
        }),
      ),
  )

  app.post(
    '/tenants',
    {
      bodyLimit,
      config: access('admin', 'no'),
      schema: {
        ...operation('createTenant', 'Creates a tenant; its balance is 0'),
        querystring: noQuery,
        body: tenantDraft,
        response: { 201: { ...tenantSchema, description: 'It is there' }, ...problems(409, 413, 415) },
      },
    },
    async (request, reply) => {
      const made = await audited(request, pool, async (client, note) => {
        const after = await createTenant(client, request.body)
        note({ tenant: after.id, target: `tenant ${after.id}`, after })
        return after
      })
      return reply.code(201).send(withVersion(reply, made))
    },
  )

  app.get(
    '/tenants/:tenant',
    {
      config: access('read', 'own'),
      schema: {
        ...operation('getTenant', 'A tenant'),
        querystring: noQuery,
        params: tenantParams,
        response: { 200: tenantSchema, ...problems(404) },
      },
    },
    async ({ params: { tenant: id } }, reply) => {
      const found = await fromStore(getTenant(pool, id))
      return found ? withVersion(reply, found) : refuseUnknownTenant(id)
    },
  )

  app.patch(
    '/tenants/:tenant',
    {
      bodyLimit,
      config: access('admin', 'no'),
      schema: {
        ...operation('changeTenant', 'Changes what the body names of a tenant; the rest stays'),
        description:
          'A list is replaced as a whole. The country stays while there is a number plan, and the currency while there ' +
          'is a ledger. Its calls in progress keep what they began with.',
        querystring: noQuery,
        params: tenantParams,
        headers: changeHeaders,
        body: tenantChange,
        response: {
          200: { ...tenantSchema, description: 'As it is now' },
          ...problems(404, 409, 412, 413, 415, 428),
        },
      },
    },
    async (request, reply) => {
      const { tenant: id } = request.params
      const version = expectedVersion(request)
      const changed = await audited(request, pool, async (client, note) => {
        const { before, after } = await changeTenant(client, id, request.body, version)
        if (after.version !== before.version) note({ tenant: id, target: `tenant ${id}`, before, after })
        return after
      })
      return withVersion(reply, changed)
    },
  )

  app.delete(
    '/tenants/:tenant',
    {
      config: access('admin', 'no'),
      schema: {
        ...operation('deleteTenant', 'Deletes a tenant that nothing hangs on'),
        description:
          'What it has of extensions, numbers, gateways, menus, hours, plan entries and keys must be gone before. One ' +
          'that has had calls or a ledger line stays for good.',
        querystring: noQuery,
        params: tenantParams,
        headers: deleteHeaders,
        response: { 204: Type.Null({ description: 'It is gone' }), ...problems(404, 409, 412) },
      },
    },
    async (request, reply) => {
      const { tenant: id } = request.params
      const version = expectedVersion(request)
      await audited(request, pool, async (client, note) => {
        const before = await deleteTenant(client, id, version)
        note({ tenant: id, target: `tenant ${id}`, before })
      })
      return reply.code(204).send(null)
    },
  )
  app.get(
    '/tenants/:tenant/balance',
    {
      config: access('read', 'own'),
      schema: {
        ...operation('getBalance', "A tenant's balance"),
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
