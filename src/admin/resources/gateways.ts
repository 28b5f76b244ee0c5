import { Type, type FastifyPluginCallbackTypebox, type Static } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import {
  changeGateway,
  createGateway,
  deleteGateway,
  getGateway,
  listGateways,
  namesOfOthers,
} from '../../store/gateway-settings.js'
import {
  gatewayChange,
  gatewayDraft,
  gatewayFields,
  type GatewayRecord,
} from '../../store/gateway-schemas.js'
import { access, boundTenant } from '../access.js'
import { asShown } from '../as-shown.js'
import { audited } from '../audited.js'
import { withoutCarrierCost } from '../carrier-cost.js'
import type { AdminDependencies, GatewayStatus } from '../dependencies.js'
import { fromStore, Problem } from '../errors.js'
import {
  cursor,
  defaultLimit,
  limit,
  moment,
  noQuery,
  nullable,
  page,
  problems,
  queryTenant,
  security,
} from '../schemas.js'
import { changeHeaders, deleteHeaders, expectedVersion, withVersion } from '../versions.js'

const mostItems = 500

const hidden = 'hidden from a key that is bound to a tenant while others have a gateway of this name, too'

const gatewaySchema = asShown(
  Type.Object(
    {
      id: Type.Integer(),
      tenant: Type.String({ description: 'Whose calls go over it' }),
      ...gatewayFields,
      prefix: Type.String({ description: 'Of the numbers that it serves, in normal form; empty: of all' }),
      prefix_entered: Type.String({ description: 'The same, as it was entered' }),
      effective_max_calls: nullable(Type.Integer(), {
        description: `The smallest max_calls of its name, whosever: that counts. Null: as many as there are, or ${hidden}`,
      }),
      effective_max_calls_per_second: nullable(Type.Integer(), {
        description: `The same of calls that begin in a second. Null: as many as there are, or ${hidden}`,
      }),
      version: Type.Integer({ description: 'Counts up with each change; for If-Match' }),
      state: Type.Enum(['up', 'resting', 'trial'], {
        description:
          'As this server sees it. It rests after failures in a row, and while a switch says that it is down; ' +
          'then one call tries it',
      }),
      failures: nullable(Type.Integer(), { description: `In a row, up to now. Null: ${hidden}` }),
      rests_until: nullable(moment('When a call tries it again'), { description: 'Null: it does not rest' }),
      last_cause: nullable(Type.String(), {
        description: `FreeSWITCH's cause of the last call that it did not take; null: it took all, or ${hidden}`,
      }),
      down_on: Type.Array(Type.String(), { description: 'Switches that say themselves that it is down' }),
      calls: nullable(Type.Integer(), {
        description: `Calls over it now that this server has. Null: ${hidden}`,
      }),
      calls_everywhere: nullable(Type.Integer(), {
        description: `The same of all servers; null: it has no effective_max_calls, Redis is away, or ${hidden}`,
      }),
    },
    {
      additionalProperties: false,
      description: 'A gateway, and how it does',
      examples: [
        {
          id: 7,
          tenant: 'demo',
          name: 'carrier1',
          prefix: '8490',
          prefix_entered: '090',
          priority: 100,
          carrier_cost_per_minute: '320.00',
          max_calls: 60,
          max_calls_per_second: 10,
          number_format: 'international',
          strip_digits: 0,
          prepend: '',
          caller_id: 'caller',
          caller_id_number: null,
          caller_id_name: null,
          caller_id_header: null,
          codecs: ['PCMA', 'PCMU'],
          progress_seconds: 8,
          effective_max_calls: 60,
          effective_max_calls_per_second: 10,
          version: 2,
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
  ),
)
type Shown = Static<typeof gatewaySchema>

const params = Type.Object({
  id: Type.Integer({ minimum: 1, maximum: 2_147_483_647, description: 'Id of the gateway', examples: [7] }),
})

export const gateways: FastifyPluginCallbackTypebox<AdminDependencies> = (app, dependencies, done) => {
  const { pool } = dependencies
  const operation = (operationId: string, summary: string) => ({
    operationId,
    summary,
    security,
    tags: ['gateways'],
  })
  /** With how they do. */
  const shown = async (request: FastifyRequest, found: readonly GatewayRecord[]): Promise<Shown[]> => {
    const states = await dependencies.gatewayStatus(
      found.map(({ name, effective_max_calls: maxCalls }) => ({
        name,
        ...(maxCalls !== null && { maxCalls }),
      })),
    )
    const own = boundTenant(request)
    const names = found.map(({ name }) => name)
    const shared = own === undefined ? new Set<string>() : await fromStore(namesOfOthers(pool, own, names))
    return found.flatMap((gateway, index) => {
      const state = states[index]
      if (state === undefined) return []
      const seen = { ...withoutCarrierCost(request, gateway), ...stateFields(state) }
      return [shared.has(gateway.name) ? { ...seen, ...trafficOfOthers } : seen]
    })
  }
  const shownOne = async (request: FastifyRequest, gateway: GatewayRecord): Promise<Shown> => {
    const [one] = await shown(request, [gateway])
    if (one === undefined) throw new Error('nobody said how the gateway does')
    return one
  }

  app.get(
    '/gateways',
    {
      config: access('read', 'own'),
      schema: {
        ...operation('listGateways', 'Gateways, with their state, in the order in which they were made'),
        querystring: Type.Object(
          { limit: limit(mostItems), cursor, tenant: queryTenant },
          { additionalProperties: false },
        ),
        response: { 200: page(gatewaySchema), ...problems() },
      },
    },
    async (request) => {
      const { limit: most = defaultLimit, cursor: from, tenant } = request.query
      const { items, next } = await fromStore(
        listGateways(pool, {
          limit: most,
          ...(from !== undefined && { cursor: from }),
          ...(tenant !== undefined && { tenant }),
        }),
      )
      return { items: await shown(request, items), next }
    },
  )

  app.post(
    '/gateways',
    {
      config: access('admin', 'no'),
      schema: {
        ...operation('createGateway', "Lets a tenant's calls go over a gateway of the switches"),
        querystring: noQuery,
        body: gatewayDraft,
        response: { 201: { ...gatewaySchema, description: 'It is there' }, ...problems(404, 409, 413, 415) },
      },
    },
    async (request, reply) => {
      const made = await audited(request, pool, async (client, note) => {
        const after = await createGateway(client, request.body)
        note({ tenant: after.tenant, target: `gateway ${after.id}`, after })
        return after
      })
      return reply.code(201).send(withVersion(reply, await shownOne(request, made)))
    },
  )

  app.get(
    '/gateways/:id',
    {
      config: access('read', 'own'),
      schema: {
        ...operation('getGateway', 'A gateway, with its state'),
        querystring: noQuery,
        params,
        response: { 200: gatewaySchema, ...problems(404) },
      },
    },
    async (request, reply) => {
      const { id } = request.params
      const own = boundTenant(request)
      const found = await fromStore(getGateway(pool, id))
      if (found === undefined || (own !== undefined && found.tenant !== own))
        throw new Problem('not_found', `There is no gateway ${id}.`)
      return withVersion(reply, await shownOne(request, found))
    },
  )

  app.patch(
    '/gateways/:id',
    {
      config: access('admin', 'no'),
      schema: {
        ...operation('changeGateway', 'Changes what the body names of a gateway; the rest stays'),
        description: "It stays its tenant's. Calls over it go on as they are.",
        querystring: noQuery,
        params,
        headers: changeHeaders,
        body: gatewayChange,
        response: {
          200: { ...gatewaySchema, description: 'As it is now' },
          ...problems(404, 409, 412, 413, 415, 428),
        },
      },
    },
    async (request, reply) => {
      const { id } = request.params
      const version = expectedVersion(request)
      const changed = await audited(request, pool, async (client, note) => {
        const { before, after } = await changeGateway(client, id, request.body, version)
        if (after.version !== before.version)
          note({ tenant: after.tenant, target: `gateway ${id}`, before, after })
        return after
      })
      return withVersion(reply, await shownOne(request, changed))
    },
  )

  app.delete(
    '/gateways/:id',
    {
      config: access('admin', 'no'),
      schema: {
        ...operation('deleteGateway', "Lets no more of a tenant's calls go over a gateway"),
        description: 'Calls over it go on to their end: nothing else refers to it.',
        querystring: noQuery,
        params,
        headers: deleteHeaders,
        response: { 204: Type.Null({ description: 'It is gone' }), ...problems(404, 412) },
      },
    },
    async (request, reply) => {
      const { id } = request.params
      const version = expectedVersion(request)
      await audited(request, pool, async (client, note) => {
        const before = await deleteGateway(client, id, version)
        note({ tenant: before.tenant, target: `gateway ${id}`, before })
      })
      return reply.code(204).send(null)
    },
  )

  done()
}

/** What tells of calls, and of limits, that are other tenants'. */
const trafficOfOthers = {
  ...{ effective_max_calls: null, effective_max_calls_per_second: null },
  ...{ failures: null, last_cause: null, calls: null, calls_everywhere: null },
}

function stateFields(status: GatewayStatus) {
  return {
    state: status.state,
    failures: status.failures,
    rests_until: status.restsUntil === undefined ? null : new Date(status.restsUntil).toISOString(),
    last_cause: status.lastCause ?? null,
    down_on: [...status.downOn],
    calls: status.calls,
    calls_everywhere: status.callsEverywhere ?? null,
  }
}
