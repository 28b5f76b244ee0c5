import { Type, type FastifyPluginCallbackTypebox, type Static } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import type pg from 'pg'
import { normalNumber } from '../../numbering/normal-form.js'
import type { Reference } from '../../store/flow.js'
import { planEntrySchema, type SentPlanEntry } from '../../store/flow-schemas.js'
import {
  addPlanEntry,
  changePlanEntry,
  deletePlanEntry,
  getPlanEntry,
  holdPlanEntry,
  listPlanEntries,
  type SavedPlanEntry,
} from '../../store/number-plan.js'
import { ownsNumbers } from '../../store/number-rights.js'
import { access, boundTenant } from '../access.js'
import { audited } from '../audited.js'
import { merged, refuseBeyond } from '../beyond.js'
import type { AdminDependencies } from '../dependencies.js'
import { fromStore, Problem, refuseUnknownTenant } from '../errors.js'
import {
  changes,
  direction,
  entryParams,
  entrySchema,
  found,
  lookUpQuery,
  sentExample,
} from '../plan-schemas.js'
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
} from '../schemas.js'
import { changeHeaders, deleteHeaders, expectedVersion, withVersion } from '../versions.js'

const mostItems = 500
const closed = { additionalProperties: false }

export const plan: FastifyPluginCallbackTypebox<AdminDependencies> = (app, dependencies, done) => {
  const { pool, catalog, flows } = dependencies
  const operation = (operationId: string, summary: string) => ({
    operationId,
    tags: ['plan'],
    summary,
    security,
  })

  /** @throws Problem `forbidden`, ChangeRefused `invalid` */
  const checked = async (
    client: pg.ClientBase,
    request: FastifyRequest,
    { tenant, sent, before }: { tenant: string; sent: SentPlanEntry; before: SavedPlanEntry | undefined },
  ): Promise<readonly Reference[]> => {
    const references = flows.checkStep(sent.step, 'step')
    refuseBeyond(request, () => {
      const domain = catalog.tenant(tenant)?.domain
      return {
        now: flows.stepReaches(sent.step, domain),
        before: before && flows.stepReaches(before.step, domain),
      }
    })
    if (boundTenant(request) !== undefined && !(await ownsNumbers(client, tenant, sent)))
      throw new Problem(
        'forbidden',
        'An inbound entry makes its numbers the tenant’s own, and these are not: a key is needed that is bound to no tenant.',
      )
    return references
  }

  app.get(
    '/plan',
    {
      config: access('read', 'own'),
      schema: {
        ...operation('listPlan', 'Entries of number plans, by their tenants and numbers'),
        querystring: Type.Object(
          {
            ...{ limit: limit(mostItems), cursor, tenant: queryTenant },
            kind: Type.Optional(Type.Enum(['exact', 'range', 'prefix'])),
            direction: Type.Optional(direction),
            beginning: Type.Optional(
              Type.String({
                ...{ minLength: 1, maxLength: 64 },
                description: 'Only those whose number begins so, in normal form or as it was entered',
              }),
            ),
          },
          closed,
        ),
        response: { 200: page(entrySchema), ...problems() },
      },
    },
    async ({ query: { limit: most = defaultLimit, cursor: from, tenant, ...filters } }) => {
      const { items, next } = await fromStore(
        listPlanEntries(pool, {
          limit: most,
          ...(from !== undefined && { cursor: from }),
          ...(tenant !== undefined && { tenantId: tenant }),
          ...filters,
        }),
      )
      return { items: items.map(shown), next }
    },
  )

  app.post(
    '/plan',
    {
      config: access('admin', 'own'),
      schema: {
        ...operation('createPlanEntry', 'Adds an entry to a number plan'),
        querystring: noQuery,
        body: Type.Object(
          { ...tenantParams.properties, ...planEntrySchema.properties },
          { ...closed, examples: [{ tenant: 'demo', ...sentExample }] },
        ),
        response: { 201: entrySchema, ...problems(404, 409, 413, 415) },
      },
    },
    async (request, reply) => {
      const { tenant, ...sent } = request.body
      const made = await audited(request, pool, async (client, note) => {
        const references = await checked(client, request, { tenant, sent, before: undefined })
        const after = shown(await addPlanEntry(client, tenant, sent, references))
        note({ tenant, target: targetOf(after), after })
        return after
      })
      return reply.code(201).send(withVersion(reply, made))
    },
  )

  app.get(
    '/plan/:tenant/lookup',
    {
      config: access('read', 'own'),
      schema: {
        ...operation('lookUpPlan', 'Where a called number would lead now'),
        description: 'As calls are looked up, by what this node has in memory.',
        params: tenantParams,
        querystring: lookUpQuery,
        response: { 200: found, ...problems(404) },
      },
    },
    (request) => {
      const { number: dialled, direction: way } = request.query
      const tenant = catalog.tenant(request.params.tenant)
      if (tenant === undefined) return refuseUnknownTenant(request.params.tenant)
      const normal = normalNumber(dialled, tenant.country)
      const entry = catalog.plan(tenant.id, way, normal, dialled)
      const did = catalog.byDid(normal)
      const isOwn = did?.tenant.id === tenant.id
      const extension =
        catalog.extension(tenant.id, dialled)?.number ?? (isOwn ? did.extension : undefined) ?? null
      return {
        normal_form: normal,
        entry: entry?.id ?? null,
        step: entry?.step ?? { route: 'dial' },
        owner: isOwn || boundTenant(request) === undefined ? (did?.tenant.id ?? null) : null,
        extension,
      }
    },
  )

  app.get(
    '/plan/:tenant/:id',
    {
      config: access('read', 'own'),
      schema: {
        ...operation('getPlanEntry', 'An entry of a number plan'),
        ...{ params: entryParams, querystring: noQuery },
        response: { 200: entrySchema, ...problems(404) },
      },
    },
    async ({ params: { tenant, id } }, reply) => {
      const entry = await fromStore(getPlanEntry(pool, tenant, id))
      if (entry === undefined) return refuseUnknown(id)
      return withVersion(reply, shown(entry))
    },
  )

  app.patch(
    '/plan/:tenant/:id',
    {
      config: access('admin', 'own'),
      schema: {
        ...operation('changePlanEntry', 'Changes an entry of a number plan'),
        description: 'What is left out stays as it is.',
        ...{ params: entryParams, querystring: noQuery, headers: changeHeaders },
        body: changes,
        response: { 200: entrySchema, ...problems(404, 409, 412, 413, 415, 428) },
      },
    },
    async (request, reply) => {
      const { tenant, id } = request.params
      const expected = expectedVersion(request)
      const changed = await audited(request, pool, async (client, note) => {
        const before = await holdPlanEntry(client, tenant, id)
        if (before === undefined) return refuseUnknown(id)
        const sent = merged(sentOf(before), request.body) as unknown as SentPlanEntry
        const references = await checked(client, request, { tenant, sent, before })
        const after = shown(await changePlanEntry(client, tenant, id, sent, references, expected))
        note({ tenant, target: targetOf(after), before: shown(before), after })
        return after
      })
      return withVersion(reply, changed)
    },
  )

  app.delete(
    '/plan/:tenant/:id',
    {
      config: access('admin', 'own'),
      schema: {
        ...operation('deletePlanEntry', 'Deletes an entry of a number plan'),
        ...{ params: entryParams, querystring: noQuery, headers: deleteHeaders },
        response: { 204: Type.Null({ description: 'It is gone' }), ...problems(404, 412) },
      },
    },
    async (request, reply) => {
      const { tenant, id } = request.params
      const expected = expectedVersion(request)
      await audited(request, pool, async (client, note) => {
        const before = await holdPlanEntry(client, tenant, id)
        if (before === undefined) return refuseUnknown(id)
        await deletePlanEntry(client, tenant, id, expected)
        note({ tenant, target: targetOf(shown(before)), before: shown(before) })
      })
      return reply.code(204).send(null)
    },
  )

  done()
}

function refuseUnknown(id: number): never {
  throw new Problem('not_found', `The number plan has no entry ${id}.`)
}

function targetOf({ tenant, id }: { tenant: string; id: number }): string {
  return `plan ${tenant}/${id}`
}

function sentOf({ direction: way, kind, number, to: last, step }: SavedPlanEntry): SentPlanEntry {
  return {
    ...{ kind, number, step },
    ...(way !== undefined && { direction: way }),
    ...(last !== undefined && { to: last }),
  }
}

function shown(entry: SavedPlanEntry): Static<typeof entrySchema> {
  const { tenantId, id, version, normal, normalTo = null } = entry
  const { direction: way = null, to: last = null, ...sent } = sentOf(entry)
  return {
    ...{ tenant: tenantId, id, version, direction: way, ...sent, to: last },
    ...{ normal_form: normal, normal_form_to: normalTo },
  }
}
