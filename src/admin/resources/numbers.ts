import { Type, type FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { changeNumber, createNumbers, deleteNumber, getNumber, listNumbers } from '../../store/numbers.js'
import { numberChange, numberDraft, type NumberRecord } from '../../store/number-schemas.js'
import { access, boundTenant } from '../access.js'
import { audited } from '../audited.js'
import type { AdminDependencies } from '../dependencies.js'
import { fromStore, Problem } from '../errors.js'
import { echo } from '../field-errors.js'
import {
  cursor,
  defaultLimit,
  limit,
  noQuery,
  nullable,
  page,
  problems,
  queryTenant,
  security,
} from '../schemas.js'
import { changeHeaders, deleteHeaders, expectedVersion, withVersion } from '../versions.js'

const mostItems = 1000
/** A thousand numbers of the longest. */
const bodyLimit = 128 * 1024

const example = { number: '842412345678', tenant: 'demo', extension: '1000', version: 1 }
const numberSchema = Type.Object(
  {
    number: Type.String({ description: 'Normal form: international digits' }),
    tenant: Type.String({ description: 'Whose it is' }),
    extension: nullable(Type.String(), { description: 'The extension that it rings; null: none of them' }),
    version: Type.Integer({ description: 'Counts up with each change; for If-Match' }),
  },
  {
    additionalProperties: false,
    description: 'A number that callers from outside reach a tenant at',
    examples: [example],
  },
)
const items = Type.Object(
  { items: Type.Array(numberSchema) },
  {
    additionalProperties: false,
    description: 'They are there, in the order in which they were sent',
    examples: [{ items: [example] }],
  },
)

const params = Type.Object({
  number: Type.String({
    minLength: 1,
    maxLength: 64,
    description: "In normal form, or as it is dialled in DEFAULT_COUNTRY (with a bound key: in its tenant's)",
    examples: ['842412345678'],
  }),
})

export const numbers: FastifyPluginCallbackTypebox<AdminDependencies> = (app, dependencies, done) => {
  const { pool, catalog } = dependencies
  const operation = (operationId: string, summary: string) => ({
    operationId,
    summary,
    security,
    tags: ['numbers'],
  })
  const countryOf = (tenant: string | undefined) =>
    (tenant === undefined ? undefined : catalog.tenant(tenant)?.country) ?? dependencies.country
  /** As it is in the table, of those that the key may see. @throws Problem */
  const find = async (request: FastifyRequest, typed: string): Promise<NumberRecord> => {
    const own = boundTenant(request)
    const found = await fromStore(getNumber(pool, typed, countryOf(own)))
    if (found === undefined || (own !== undefined && found.tenant !== own))
      throw new Problem('not_found', `There is no number ${echo(typed)}.`)
    return found
  }

  app.get(
    '/numbers',
    {
      config: access('read', 'own'),
      schema: {
        ...operation('listNumbers', 'Numbers that callers from outside reach tenants at, in their order'),
        querystring: Type.Object(
          {
            limit: limit(mostItems),
            cursor,
            tenant: queryTenant,
            extension: Type.Optional(
              Type.String({
                minLength: 1,
                maxLength: 32,
                description: 'Only those that ring this extension',
              }),
            ),
            beginning: Type.Optional(
              Type.String({
                minLength: 1,
                maxLength: 64,
                description:
                  "Only those that begin so, in normal form or as it is dialled in the tenant's country; of no tenant, " +
                  "in the server's",
              }),
            ),
          },
          { additionalProperties: false },
        ),
        response: { 200: page(numberSchema), ...problems() },
      },
    },
    async ({ query: { limit: most = defaultLimit, cursor: from, tenant, extension, beginning } }) =>
      fromStore(
        listNumbers(pool, {
          limit: most,
          country: countryOf(tenant),
          ...(from !== undefined && { cursor: from }),
          ...(tenant !== undefined && { tenant }),
          ...(extension !== undefined && { extension }),
          ...(beginning !== undefined && { beginning }),
        }),
      ),
  )

  app.post(
    '/numbers',
    {
      bodyLimit,
      config: access('admin', 'no'),
      schema: {
        ...operation('createNumbers', 'Gives a tenant a number, or several: all or none'),
        querystring: noQuery,
        body: numberDraft,
        response: { 201: items, ...problems(404, 409, 413, 415) },
      },
    },
    async (request, reply) => {
      const { tenant, number, numbers: several, extension = null } = request.body
      const draft = {
        tenant,
        extension,
        numbers: several ?? (number === undefined ? [] : [number]),
        fieldOf: (place: number) => (several === undefined ? 'number' : `numbers[${place}]`),
      }
      const made = await audited(request, pool, async (client, note) => {
        const created = await createNumbers(client, draft)
        for (const after of created) note({ tenant, target: `number ${after.number}`, after })
        return created
      })
      return reply.code(201).send({ items: made })
    },
  )

  app.get(
    '/numbers/:number',
    {
      config: access('read', 'own'),
      schema: {
        ...operation('getNumber', 'A number'),
        querystring: noQuery,
        params,
        response: { 200: numberSchema, ...problems(404) },
      },
    },
    async (request, reply) => withVersion(reply, await find(request, request.params.number)),
  )

  app.patch(
    '/numbers/:number',
    {
      config: access('admin', 'no'),
      schema: {
        ...operation('changeNumber', 'Lets a number ring another extension, or gives it to another tenant'),
        querystring: noQuery,
        params,
        headers: changeHeaders,
        body: numberChange,
        response: {
          200: { ...numberSchema, description: 'As it is now' },
          ...problems(404, 409, 412, 413, 415, 428),
        },
      },
    },
    async (request, reply) => {
      const version = expectedVersion(request)
      const { number } = await find(request, request.params.number)
      const changed = await audited(request, pool, async (client, note) => {
        const { before, after } = await changeNumber(client, number, request.body, version)
        if (after.version === before.version) return after
        const target = `number ${number}`
        // Each of two tenants finds what it lost or got, and not who had it before or has it now.
        if (before.tenant === after.tenant) note({ tenant: after.tenant, target, before, after })
        else {
          note({ tenant: before.tenant, target, before })
          note({ tenant: after.tenant, target, after })
        }
        return after
      })
      return withVersion(reply, changed)
    },
  )

  app.delete(
    '/numbers/:number',
    {
      config: access('admin', 'no'),
      schema: {
        ...operation('deleteNumber', 'Takes a number away from its tenant'),
        querystring: noQuery,
        params,
        headers: deleteHeaders,
        response: { 204: Type.Null({ description: 'It is gone' }), ...problems(404, 412) },
      },
    },
    async (request, reply) => {
      const version = expectedVersion(request)
      const { number } = await find(request, request.params.number)
      await audited(request, pool, async (client, note) => {
        const before = await deleteNumber(client, number, version)
        note({ tenant: before.tenant, target: `number ${number}`, before })
      })
      return reply.code(204).send(null)
    },
  )

  done()
}
