import { Type, type FastifyPluginCallbackTypebox, type Static } from '@fastify/type-provider-typebox'
import { listGateways, type ListedGateway } from '../../store/gateways.js'
import { access } from '../access.js'
import type { AdminDependencies, GatewayStatus } from '../dependencies.js'
import { fromStore } from '../errors.js'
import { cursor, defaultLimit, limit, moment, money, nullable, page, problems, security } from '../schemas.js'

const mostItems = 500

const gatewaySchema = Type.Object(
  {
    name: Type.String({ description: 'As the switches know it' }),
    tenant: Type.String({ description: 'Whose calls go over it' }),
    prefix: Type.String({ description: 'Of the numbers that it serves, in normal form; empty: of all' }),
    prefix_entered: Type.String({ description: 'The same, as it was entered' }),
    priority: Type.Integer({ description: 'Of several for a number the lowest is tried first' }),
    carrier_cost_per_minute: nullable(money('What the carrier takes')),
    max_calls: nullable(Type.Integer(), {
      description: 'Calls at once over all nodes, whosever; null: as many as there are',
    }),
    max_calls_per_second: nullable(Type.Integer(), {
      description: 'The same of calls that begin in a second',
    }),
    state: Type.Enum(['up', 'resting', 'trial'], {
      description:
        'As this server sees it. It rests after failures in a row, and while a switch says that it is down; ' +
        'then one call tries it',
    }),
    failures: Type.Integer({ description: 'In a row, up to now' }),
    rests_until: nullable(moment('When a call tries it again'), { description: 'Null: it does not rest' }),
    last_cause: nullable(Type.String(), {
      description: "FreeSWITCH's cause of the last call that it did not take; null: it took all",
    }),
    down_on: Type.Array(Type.String(), { description: 'Switches that say themselves that it is down' }),
    calls: Type.Integer({ description: 'Calls over it now that this server has' }),
    calls_everywhere: nullable(Type.Integer(), {
      description: 'The same of all servers; null: it has no max_calls, or Redis is away',
    }),
  },
  {
    additionalProperties: false,
    description: 'A gateway, and how it does',
    examples: [
      {
        name: 'carrier1',
        tenant: 'demo',
        prefix: '8490',
        prefix_entered: '090',
        priority: 100,
        carrier_cost_per_minute: '320.00',
        max_calls: 60,
        max_calls_per_second: 10,
        state: 'resting',
        failures: 4,
        rests_until: '2025-01-31T08:00:30.000Z',
        last_cause: 'NORMAL_TEMPORARY_FAILURE',
        down_on: [],
        calls: 3,
        calls_everywhere: 17,
      },
    ],
  },
)

export const gateways: FastifyPluginCallbackTypebox<AdminDependencies> = (app, dependencies, done) => {
  app.get(
    '/gateways',
    {
      config: access('read', 'own'),
      schema: {
        operationId: 'listGateways',
        tags: ['gateways'],
        summary: 'Gateways, with their state',
        security,
        querystring: Type.Object(
          {
            limit: limit(mostItems),
            cursor,
            tenant: Type.Optional(
              Type.String({ minLength: 1, maxLength: 64, description: 'Only those of this tenant' }),
            ),
          },
          { additionalProperties: false },
        ),
        response: { 200: page(gatewaySchema), ...problems() },
      },
    },
    async ({ query }) => {
      const found = await fromStore(
        listGateways(dependencies.pool, {
          limit: query.limit ?? defaultLimit,
          ...(query.cursor !== undefined && { cursor: query.cursor }),
          ...(query.tenant !== undefined && { tenant: query.tenant }),
        }),
      )
      const states = await dependencies.gatewayStatus(found.items)
      const items = found.items.flatMap((gateway, index) => {
        const state = states[index]
        return state === undefined ? [] : [shown(gateway, state)]
      })
      return { items, next: found.next }
    },
  )
  done()
}

function shown(gateway: ListedGateway, status: GatewayStatus): Static<typeof gatewaySchema> {
  return {
    name: gateway.name,
    tenant: gateway.tenant,
    prefix: gateway.prefix,
    prefix_entered: gateway.prefixEntered,
    priority: gateway.priority,
    carrier_cost_per_minute: gateway.carrierCostPerMinute,
    max_calls: gateway.maxCalls ?? null,
    max_calls_per_second: gateway.maxCallsPerSecond ?? null,
    state: status.state,
    failures: status.failures,
    rests_until: status.restsUntil === undefined ? null : new Date(status.restsUntil).toISOString(),
    last_cause: status.lastCause ?? null,
    down_on: [...status.downOn],
    calls: status.calls,
    calls_everywhere: status.callsEverywhere ?? null,
  }
}
