import { Type, type FastifyPluginCallbackTypebox, type TSchema } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import type pg from 'pg'
import type { Page } from '../store/cursor.js'
import { flowId } from '../store/flow-schemas.js'
import { holdFlows, type FlowQuery, type Tenants } from '../store/flows.js'
import { access } from './access.js'
import { audited } from './audited.js'
import { merged } from './beyond.js'
import type { AdminDependencies } from './dependencies.js'
import { fromStore, Problem } from './errors.js'
import { echo } from './field-errors.js'
import {
  cursor,
  defaultLimit,
  limit,
  noQuery,
  page,
  problems,
  queryTenant,
  security,
  tenantParams,
} from './schemas.js'
import { changeHeaders, deleteHeaders, expectedVersion, withVersion } from './versions.js'

const mostItems = 500
const closed = { additionalProperties: false }

/** Menus or opening hours, as a resource. */
export interface FlowResource<Flow extends { readonly id: string; readonly version: number }> {
  kind: 'menu' | 'hours'
  /** Below /v1. */
  path: string
  /** In the names of operations: `Menus`, `Menu`. */
  names: { many: string; one: string }
  /** In summaries. */
  words: { many: string; one: string }
  /** Of what is sent to make one, what is sent to change one, and what is shown: all but tenant, id and version. */
  sent: Record<string, TSchema>
  changes: Record<string, TSchema>
  shown: Record<string, TSchema>
  /** One as it is sent, and what else is shown of it. */
  example: object
  exampleRest: object
  list: (query: FlowQuery) => Promise<Page<Tenants<Flow>>>
  get: (db: pg.Pool | pg.ClientBase, tenant: string, id: string) => Promise<Flow | undefined>
  load: (tenant: string, id: string, version: number) => Promise<Flow | undefined>
  /** @throws Problem, ChangeRefused */
  save: (client: pg.ClientBase, saving: Saving<Flow>) => Promise<Flow>
  delete: (client: pg.ClientBase, tenant: string, id: string, expectedVersion?: number) => Promise<void>
  /** As it is shown, but for tenant, id and version. */
  document: (flow: Flow) => object
}

export interface Saving<Flow> {
  readonly request: FastifyRequest
  readonly tenant: string
  readonly id: string
  /** Of the fields that are sent to make one. */
  readonly document: Readonly<Record<string, unknown>>
  /** Undefined: it is new. */
  readonly before: Flow | undefined
  readonly expectedVersion: number | undefined
}

type App = Parameters<FastifyPluginCallbackTypebox<AdminDependencies>>[0]

export function flowRoutes<Flow extends { readonly id: string; readonly version: number }>(
  app: App,
  pool: pg.Pool,
  resource: FlowResource<Flow>,
): void {
  const { kind, path, names, words } = resource
  const item = `${path}/:tenant/:id`
  const operation = (operationId: string, summary: string) => ({
    operationId,
    tags: [path.slice(1)],
    summary,
    security,
  })
  const params = Type.Object({ ...tenantParams.properties, id: flowId })
  const shownSchema = Type.Object(
    {
      tenant: Type.String(),
      id: Type.String({ description: 'Chosen by who made it; part of a path: socket host:port/menu/main' }),
      version: Type.Integer({
        description: 'Counts up with each change; calls keep the one they began with',
      }),
      ...resource.shown,
    },
    {
      ...closed,
      description: kind === 'menu' ? 'A menu' : 'Opening hours',
      examples: [{ tenant: 'demo', id: 'main', version: 3, ...resource.exampleRest, ...resource.example }],
    },
  )
  const shown = (tenant: string, flow: Flow) => ({
    ...{ tenant, id: flow.id, version: flow.version },
    ...resource.document(flow),
  })
  const target = (tenant: string, id: string) => `${kind} ${tenant}/${id}`
  const refuseUnknown = (id: string): never => {
    throw new Problem('not_found', `There ${kind === 'menu' ? 'is' : 'are'} no ${kind} ${echo(id)}.`)
  }

  app.get(
    path,
    {
      config: access('read', 'own'),
      schema: {
        ...operation(`list${names.many}`, `${words.many}, by their tenants and ids`),
        querystring: Type.Object({ limit: limit(mostItems), cursor, tenant: queryTenant }, closed),
        response: { 200: page(shownSchema), ...problems() },
      },
    },
    async ({ query: { limit: most = defaultLimit, cursor: from, tenant } }) => {
      const found = await fromStore(
        resource.list({
          limit: most,
          ...(from !== undefined && { cursor: from }),
          ...(tenant !== undefined && { tenantId: tenant }),
        }),
      )
      return { items: found.items.map((flow) => shown(flow.tenantId, flow)), next: found.next }
    },
  )

  app.post(
    path,
    {
      config: access('admin', 'own'),
      schema: {
        ...operation(`create${names.one}`, `Makes ${words.one}`),
        querystring: noQuery,
        body: Type.Unsafe<{ tenant: string; id: string }>(
          Type.Object(
            { ...tenantParams.properties, id: flowId, ...resource.sent },
            { ...closed, examples: [{ tenant: 'demo', id: 'main', ...resource.example }] },
          ),
        ),
        response: { 201: shownSchema, ...problems(404, 409, 413, 415) },
      },
    },
    async (request, reply) => {
      const { tenant, id, ...document } = request.body
      const made = await audited(request, pool, async (client, note) => {
        const saving = { request, tenant, id, document, before: undefined, expectedVersion: 0 }
        const after = shown(tenant, await resource.save(client, saving))
        note({ tenant, target: target(tenant, id), after })
        return after
      })
      return reply.code(201).send(withVersion(reply, made))
    },
  )

  app.get(
    item,
    {
      config: access('read', 'own'),
      schema: {
        ...operation(`get${names.one}`, `Shows ${words.one} as now, or as of an earlier version`),
        params,
        querystring: Type.Object(
          {
            version: Type.Optional(
              Type.Integer({
                ...{ minimum: 1, maximum: 2 ** 31 - 1 },
                description: 'An earlier one, even if it was deleted since. Default: the one that there is',
              }),
            ),
          },
          closed,
        ),
        response: { 200: shownSchema, ...problems(404) },
      },
    },
    async ({ params: { tenant, id }, query: { version } }, reply) => {
      const found = await fromStore(
        version === undefined ? resource.get(pool, tenant, id) : resource.load(tenant, id, version),
      )
      if (found === undefined) return refuseUnknown(id)
      return withVersion(reply, shown(tenant, found))
    },
  )

  app.patch(
    item,
    {
      config: access('admin', 'own'),
      schema: {
        ...operation(`change${names.one}`, `Changes ${words.one}: a new version`),
        description: 'What is left out stays as it is. Calls that are in it keep it.',
        params,
        querystring: noQuery,
        headers: changeHeaders,
        body: Type.Unsafe<object>(
          Type.Object(resource.changes, { ...closed, examples: [{ name: 'Another name' }] }),
        ),
        response: { 200: shownSchema, ...problems(404, 412, 413, 415, 428) },
      },
    },
    async (request, reply) => {
      const { tenant, id } = request.params
      const expected = expectedVersion(request)
      const changed = await audited(request, pool, async (client, note) => {
        await holdFlows(client, tenant)
        const before = await resource.get(client, tenant, id)
        if (before === undefined) return refuseUnknown(id)
        // As it would be sent: null is what it does not have.
        const sent = merged(resource.document(before), request.body)
        const saving = { request, tenant, id, document: sent, before, expectedVersion: expected }
        const after = shown(tenant, await resource.save(client, saving))
        note({ tenant, target: target(tenant, id), before: shown(tenant, before), after })
        return after
      })
      return withVersion(reply, changed)
    },
  )

  app.delete(
    item,
    {
      config: access('admin', 'own'),
      schema: {
        ...operation(`delete${names.one}`, `Deletes ${words.one} that nothing leads to`),
        description: 'Calls that are in it keep it.',
        params,
        querystring: noQuery,
        headers: deleteHeaders,
        response: { 204: Type.Null({ description: 'It is gone' }), ...problems(404, 409, 412) },
      },
    },
    async (request, reply) => {
      const { tenant, id } = request.params
      const expected = expectedVersion(request)
      await audited(request, pool, async (client, note) => {
        await holdFlows(client, tenant)
        const before = await resource.get(client, tenant, id)
        if (before === undefined) return refuseUnknown(id)
        await resource.delete(client, tenant, id, expected)
        note({ tenant, target: target(tenant, id), before: shown(tenant, before) })
      })
      return reply.code(204).send(null)
    },
  )
}
