import { Type, type FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import {
  changeExtension,
  createExtension,
  deleteExtension,
  getExtension,
  listExtensions,
} from '../../store/extensions.js'
import { extensionChange, extensionDraft, extensionFields } from '../../store/extension-schemas.js'
import { access, boundTenant } from '../access.js'
import { asShown } from '../as-shown.js'
import { audited } from '../audited.js'
import type { AdminDependencies } from '../dependencies.js'
import { fromStore, Problem } from '../errors.js'
import { echo } from '../field-errors.js'
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

const extensionSchema = asShown(
  Type.Object(
    {
      tenant: Type.String({ description: 'Whose it is' }),
      number: Type.String({ description: 'What is dialled to reach it within the tenant' }),
      ...extensionFields,
      version: Type.Integer({ description: 'Counts up with each change; for If-Match' }),
    },
    {
      additionalProperties: false,
      description: 'An extension',
      examples: [
        {
          tenant: 'demo',
          number: '1002',
          auth_username: null,
          display_name: 'Reception',
          toll_allow: ['local', 'domestic'],
          account_codes: ['1002'],
          version: 1,
        },
      ],
    },
  ),
)

const params = Type.Object({
  ...tenantParams.properties,
  number: Type.String({ minLength: 1, maxLength: 64, description: 'Its number', examples: ['1002'] }),
})

/** By these a call is told to be whose it is, over all tenants: not for one of them to choose. */
const tellingFields = ['auth_username', 'account_codes'] as const
const onTelling =
  'A key that is bound to a tenant sets neither auth_username nor account_codes: by these a call is told to be whose it is.'

export const extensions: FastifyPluginCallbackTypebox<AdminDependencies> = (app, { pool }, done) => {
  const operation = (operationId: string, summary: string) => ({
    operationId,
    summary,
    security,
    tags: ['extensions'],
  })

  app.get(
    '/extensions',
    {
      config: access('read', 'own'),
      schema: {
        ...operation('listExtensions', 'Extensions, by tenant and number'),
        querystring: Type.Object(
          {
            limit: limit(mostItems),
            cursor,
            tenant: queryTenant,
            beginning: Type.Optional(
              Type.String({ minLength: 1, maxLength: 32, description: 'Only those whose number begins so' }),
            ),
          },
          { additionalProperties: false },
        ),
        response: { 200: page(extensionSchema), ...problems() },
      },
    },
    async ({ query: { limit: most = defaultLimit, cursor: from, tenant, beginning } }) =>
      fromStore(
        listExtensions(pool, {
          limit: most,
          ...(from !== undefined && { cursor: from }),
          ...(tenant !== undefined && { tenant }),
          ...(beginning !== undefined && { beginning }),
        }),
      ),
  )

  app.post(
    '/extensions',
    {
      config: access('admin', 'own'),
      schema: {
        ...operation('createExtension', 'Creates an extension'),
        description: `${onTelling} It makes extensions of 1 to 6 digits that no other tenant has, unless each of the two has a SIP domain.`,
        querystring: noQuery,
        body: extensionDraft,
        response: {
          201: { ...extensionSchema, description: 'It is there' },
          ...problems(404, 409, 413, 415),
        },
      },
    },
    async (request, reply) => {
      const isTenantsOwn = boundTenant(request) !== undefined
      if (isTenantsOwn) refuseTelling(request.body)
      const made = await audited(request, pool, async (client, note) => {
        const after = await createExtension(client, request.body, { isTenantsOwn })
        note({ tenant: after.tenant, target: targetOf(after), after })
        return after
      })
      return reply.code(201).send(withVersion(reply, made))
    },
  )

  app.get(
    '/extensions/:tenant/:number',
    {
      config: access('read', 'own'),
      schema: {
        ...operation('getExtension', 'An extension'),
        querystring: noQuery,
        params,
        response: { 200: extensionSchema, ...problems(404) },
      },
    },
    async ({ params: { tenant, number } }, reply) => {
      const found = await fromStore(getExtension(pool, tenant, number))
      if (!found) throw new Problem('not_found', `There is no extension ${echo(number)}.`)
      return withVersion(reply, found)
    },
  )

  app.patch(
    '/extensions/:tenant/:number',
    {
      config: access('admin', 'own'),
      schema: {
        ...operation('changeExtension', 'Changes what the body names of an extension; the rest stays'),
        description: `Its number stays: menus, numbers and the number plan name it by that. ${onTelling}`,
        querystring: noQuery,
        params,
        headers: changeHeaders,
        body: extensionChange,
        response: {
          200: { ...extensionSchema, description: 'As it is now' },
          ...problems(404, 409, 412, 413, 415, 428),
        },
      },
    },
    async (request, reply) => {
      const { tenant, number } = request.params
      if (boundTenant(request) !== undefined) refuseTelling(request.body)
      const version = expectedVersion(request)
      const changed = await audited(request, pool, async (client, note) => {
        const { before, after } = await changeExtension(client, tenant, number, request.body, version)
        if (after.version !== before.version) note({ tenant, target: targetOf(after), before, after })
        return after
      })
      return withVersion(reply, changed)
    },
  )

  app.delete(
    '/extensions/:tenant/:number',
    {
      config: access('admin', 'own'),
      schema: {
        ...operation('deleteExtension', 'Deletes an extension that nothing leads to'),
        description:
          'Menus, entries of the number plan and numbers that lead to it must lead elsewhere before. Its account codes ' +
          'go with it.',
        querystring: noQuery,
        params,
        headers: deleteHeaders,
        response: { 204: Type.Null({ description: 'It is gone' }), ...problems(404, 409, 412) },
      },
    },
    async (request, reply) => {
      const { tenant, number } = request.params
      const version = expectedVersion(request)
      await audited(request, pool, async (client, note) => {
        const before = await deleteExtension(client, tenant, number, version)
        note({ tenant, target: targetOf(before), before })
      })
      return reply.code(204).send(null)
    },
  )

  done()
}

function targetOf({ tenant, number }: { readonly tenant: string; readonly number: string }): string {
  return `extension ${tenant}/${number}`
}

/** @throws Problem `forbidden` */
function refuseTelling(body: Partial<Record<(typeof tellingFields)[number], unknown>>): void {
  for (const field of tellingFields)
    if (body[field] !== undefined)
      throw new Problem('forbidden', `A key is needed that is bound to no tenant: the body has ${field}.`)
}
