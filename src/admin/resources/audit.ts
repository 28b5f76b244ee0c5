import { Type, type FastifyPluginCallbackTypebox, type Static } from '@fastify/type-provider-typebox'
import { listAuditLines, type SeenAuditLine } from '../../store/audit-lines.js'
import { access, boundTenant } from '../access.js'
import { withoutWhatIsOthers } from '../carrier-cost.js'
import type { AdminDependencies } from '../dependencies.js'
import { fromStore } from '../errors.js'
import {
  cursor,
  defaultLimit,
  limit,
  moment,
  momentText,
  nullable,
  page,
  problems,
  queryTenant,
  readMoments,
  security,
} from '../schemas.js'

const mostItems = 500

/** A resource as the API shows it, whichever. */
const anything = (description: string) =>
  Type.Unsafe<object | null>({ type: ['object', 'null'], additionalProperties: true, description })

const lineSchema = Type.Object(
  {
    id: Type.String(),
    at: moment('When it was done'),
    key: Type.String({ description: 'Id of the API key that did it' }),
    address: nullable(Type.String(), {
      description:
        'Where it was asked from. Null: hidden from a key that is bound to a tenant, as a key that is not did it',
    }),
    action: Type.String({ description: "The operation's name in openapi.json" }),
    tenant: nullable(Type.String(), { description: "Null: it is no tenant's" }),
    target: Type.String({ description: 'What was changed' }),
    before: anything('As it was; null: it was not there'),
    after: anything('As it was then; null: it was gone'),
    failure: nullable(Type.String(), {
      description: 'Why what the line before it announces was not done; null: it was',
    }),
  },
  {
    additionalProperties: false,
    description: 'A change',
    examples: [
      {
        id: '4711',
        at: '2025-01-31T08:00:00.000Z',
        key: '0b7e7f4e-2f0a-4c5b-9f3e-8a3f0f9d2a10',
        address: '127.0.0.1',
        action: 'changeExtension',
        tenant: 'demo',
        target: 'extension demo/1000',
        before: { display_name: null, version: 1 },
        after: { display_name: 'Lan', version: 2 },
        failure: null,
      },
    ],
  },
)

const short = (description: string) =>
  Type.Optional(Type.String({ minLength: 1, maxLength: 256, description }))

export const audit: FastifyPluginCallbackTypebox<AdminDependencies> = (app, { pool }, done) => {
  app.get(
    '/audit',
    {
      config: access('admin', 'own'),
      schema: {
        operationId: 'listAudit',
        tags: ['keys'],
        summary: 'Who changed what and when, the latest first',
        description: 'A key that is bound to a tenant does not see what was done to keys.',
        security,
        querystring: Type.Object(
          {
            limit: limit(mostItems),
            cursor,
            tenant: queryTenant,
            key: Type.Optional(Type.String({ format: 'uuid', description: 'Only what this API key did' })),
            action: short('Only this operation: topUpTenant'),
            target: short('Only what was changed there: extension demo/1000'),
            from: momentText('The first from then on'),
            to: momentText('The last before then'),
          },
          { additionalProperties: false },
        ),
        response: { 200: page(lineSchema), ...problems() },
      },
    },
    async (request) => {
      const { query } = request
      const { limit: most, key, ...filters } = query
      const seenBy = boundTenant(request)
      const found = await fromStore(
        listAuditLines(pool, {
          ...filters,
          ...readMoments(query),
          ...(key !== undefined && { keyId: key }),
          ...(seenBy !== undefined && { seenBy }),
          limit: most ?? defaultLimit,
        }),
      )
      const items = found.items.map((line) => ({
        ...shown(line),
        before: withoutWhatIsOthers(request, line.before),
        after: withoutWhatIsOthers(request, line.after),
      }))
      return { items, next: found.next }
    },
  )
  done()
}

function shown({ keyId, at, ...line }: SeenAuditLine): Static<typeof lineSchema> {
  return { ...line, key: keyId, at: at.toISOString() }
}
