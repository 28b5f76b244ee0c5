import { Type, type FastifyPluginCallbackTypebox, type Static } from '@fastify/type-provider-typebox'
import { getKey, listKeys, makeKey, revokeKey, roles, type ListedKey } from '../../store/api-keys.js'
import { hasNul } from '../../store/database.js'
import { access } from '../access.js'
import { audited } from '../audited.js'
import { keyIdOf, type Authentication } from '../auth.js'
import type { AdminDependencies } from '../dependencies.js'
import { fromStore, Problem, refuseInvalid, refuseUnknownTenant } from '../errors.js'
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
  readMoments,
  security,
} from '../schemas.js'

declare module 'fastify' {
  interface FastifyInstance {
    authentication: Authentication
  }
}

const mostItems = 500
const mostPerMinute = 10_000_000

const example = {
  id: '0b7e7f4e-2f0a-4c5b-9f3e-8a3f0f9d2a10',
  role: 'operate',
  tenant: 'demo',
  description: 'Help desk',
  requests_per_minute: null,
  created_at: '2025-01-31T08:00:00.000Z',
  created_by: '6ecd8c99-4036-403d-bf84-cf8400f67836',
  expires_at: '2026-01-31T00:00:00.000Z',
  last_used_at: null,
  revoked_at: null,
} as const

const keyFields = {
  id: Type.String({ description: 'Says which key it is without saying the key' }),
  role: Type.Enum([...roles], {
    description:
      '`read` sees; `operate` also changes the lists and what happens to live calls; `admin` also changes ' +
      'everything else',
  }),
  tenant: nullable(Type.String(), { description: 'The only tenant that it may see; null: all' }),
  description: Type.String(),
  requests_per_minute: nullable(Type.Integer(), {
    description: 'How often it may ask each node; null: as the setting HTTP_RATE_LIMIT says',
  }),
  created_at: moment('When it was made'),
  created_by: nullable(Type.String(), { description: 'The key that made it; null: the server itself' }),
  expires_at: nullable(moment('From then on it is good for nothing'), { description: 'Null: never' }),
  last_used_at: nullable(moment('To the minute'), { description: 'Null: never' }),
  revoked_at: nullable(moment('Since then it is good for nothing'), { description: 'Null: it is good' }),
}
const keySchema = Type.Object(keyFields, {
  additionalProperties: false,
  description: 'A key, all but itself',
  examples: [example],
})
const madeSchema = Type.Object(
  { ...keyFields, key: Type.String({ description: 'The key. It is shown here and nowhere else' }) },
  {
    additionalProperties: false,
    description: 'It is made',
    examples: [{ ...example, key: 'linger_d0n7T3llAnyb0dyTh1sK3yIsOnlyAnExampleAndN0Good' }],
  },
)

const byId = Type.Object({
  id: Type.String({ format: 'uuid', description: 'Id of the key', examples: [example.id] }),
})

export const keys: FastifyPluginCallbackTypebox<AdminDependencies> = (app, { pool }, done) => {
  const operation = (operationId: string, summary: string) => ({
    operationId,
    tags: ['keys'],
    summary,
    security,
  })

  app.get(
    '/keys',
    {
      config: access('admin', 'no'),
      schema: {
        ...operation('listKeys', 'API keys, in the order in which they were made'),
        querystring: Type.Object(
          { limit: limit(mostItems), cursor, tenant: queryTenant },
          { additionalProperties: false },
        ),
        response: { 200: page(keySchema), ...problems() },
      },
    },
    async ({ query: { limit: most = defaultLimit, cursor: from, tenant } }) => {
      if (hasNul(tenant)) return { items: [], next: null }
      const found = await fromStore(
        listKeys(pool, {
          limit: most,
          ...(from !== undefined && { cursor: from }),
          ...(tenant !== undefined && { tenant }),
        }),
      )
      return { items: found.items.map(shown), next: found.next }
    },
  )

  app.post(
    '/keys',
    {
      config: access('admin', 'no'),
      schema: {
        ...operation('makeKey', 'Makes a key, and shows it this once'),
        querystring: noQuery,
        body: Type.Object(
          {
            role: Type.Enum([...roles]),
            tenant: Type.Optional(
              nullable(Type.String({ minLength: 1, maxLength: 64 }), {
                description: "Binds it to a tenant: it sees and changes only what is that tenant's",
              }),
            ),
            description: Type.String({
              minLength: 1,
              maxLength: 200,
              description: 'Whose it is, and what for',
            }),
            expires_at: Type.Optional(
              nullable(Type.String({ maxLength: 40, description: 'RFC 3339' }), {
                description: 'Null: never',
              }),
            ),
            requests_per_minute: Type.Optional(
              nullable(Type.Integer({ minimum: 1, maximum: mostPerMinute }), {
                description: 'How often it may ask each node; null: as the setting HTTP_RATE_LIMIT says',
              }),
            ),
          },
          {
            additionalProperties: false,
            examples: [
              {
                role: 'operate',
                tenant: 'demo',
                description: 'Help desk',
                expires_at: '2026-01-31T00:00:00Z',
              },
            ],
          },
        ),
        response: { 201: madeSchema, ...problems(404, 413, 415) },
      },
    },
    async (request, reply) => {
      const { role, tenant = null, description, requests_per_minute: perMinute = null } = request.body
      const { expires_at: expiresAt } = readMoments({ expires_at: request.body.expires_at ?? undefined })
      if (tenant !== null && hasNul(tenant)) return refuseUnknownTenant(tenant)
      if (hasNul(description))
        return refuseInvalid([
          { field: 'description', detail: 'allowed is a text without the character NUL' },
        ])
      if (expiresAt !== undefined && Date.parse(expiresAt) <= Date.now())
        return refuseInvalid([{ field: 'expires_at', detail: 'is past; allowed is a moment to come' }])
      const draft = {
        ...{ role, tenant, description, expiresAt: expiresAt ?? null },
        ...{ requestsPerMinute: perMinute, createdBy: keyIdOf(request) },
      }
      const { text, key } = await audited(request, pool, async (client, note) => {
        const made = await makeKey(client, draft)
        note({ tenant, target: `key ${made.key.id}`, after: shown(made.key) })
        return made
      })
      request.log.info({ key: key.id, role, tenant, by: keyIdOf(request) }, 'API key made')
      return reply.code(201).send({ ...shown(key), key: text })
    },
  )

  app.get(
    '/keys/:id',
    {
      config: access('admin', 'no'),
      schema: {
        ...operation('getKey', 'A key, all but itself'),
        querystring: noQuery,
        params: byId,
        response: { 200: keySchema, ...problems(404) },
      },
    },
    async ({ params: { id } }) => {
      const key = await fromStore(getKey(pool, id))
      if (!key) throw new Problem('not_found', `There is no API key ${id}.`)
      return shown(key)
    },
  )

  app.delete(
    '/keys/:id',
    {
      config: access('admin', 'no'),
      schema: {
        ...operation('revokeKey', 'Revokes a key; it stays listed'),
        description: 'This node refuses it at once, the others within 5 seconds.',
        querystring: noQuery,
        params: byId,
        response: { 204: Type.Null({ description: 'It is good for nothing now' }), ...problems(404, 409) },
      },
    },
    async (request, reply) => {
      const { id } = request.params
      await audited(request, pool, async (client, note) => {
        const { before, after } = await revokeKey(client, id)
        if (before.revokedAt !== null) return
        note({ tenant: after.tenant, target: `key ${after.id}`, before: shown(before), after: shown(after) })
      })
      app.authentication.forget()
      request.log.info({ key: id, by: keyIdOf(request) }, 'API key revoked')
      return reply.code(204).send(null)
    },
  )

  done()
}

function shown(key: ListedKey): Static<typeof keySchema> {
  return {
    id: key.id,
    role: key.role,
    tenant: key.tenant,
    description: key.description,
    requests_per_minute: key.requestsPerMinute,
    created_at: key.createdAt.toISOString(),
    created_by: key.createdBy,
    expires_at: key.expiresAt?.toISOString() ?? null,
    last_used_at: key.lastUsedAt?.toISOString() ?? null,
    revoked_at: key.revokedAt?.toISOString() ?? null,
  }
}
