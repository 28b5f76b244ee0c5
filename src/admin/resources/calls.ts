import { Type, type FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { callStates, type LiveCallView, type Place } from '../../common/live-call.js'
import { pageOf, readCursor } from '../../store/cursor.js'
import { CursorError } from '../../store/errors.js'
import { access } from '../access.js'
import { callSchema, nodesSchema, shownCall, shownNodes } from '../call-views.js'
import type { AdminDependencies } from '../dependencies.js'
import { refuseCursor } from '../errors.js'
import { callParams, findCall } from '../find-call.js'
import {
  cursor,
  defaultLimit,
  limit,
  noQuery,
  nullable,
  problems,
  queryTenant,
  security,
} from '../schemas.js'

const mostItems = 1000
const number = (description: string) =>
  Type.Optional(Type.String({ minLength: 1, maxLength: 64, description }))

const list = Type.Object(
  {
    items: Type.Array(callSchema),
    next: nullable(Type.String(), {
      description: 'The cursor of the next page; null: this is the last one',
    }),
    total: Type.Integer({ description: 'Calls on all pages' }),
    nodes: nodesSchema,
  },
  { additionalProperties: false, description: 'A page, the call that came last first' },
)

export const calls: FastifyPluginCallbackTypebox<AdminDependencies> = (app, dependencies, done) => {
  app.get(
    '/calls',
    {
      config: access('read', 'own'),
      schema: {
        operationId: 'listCalls',
        tags: ['calls'],
        summary: 'Calls in progress, on all servers',
        security,
        querystring: Type.Object(
          {
            limit: limit(mostItems),
            cursor,
            tenant: queryTenant,
            direction: Type.Optional(Type.Enum(['inbound', 'outbound', 'internal'])),
            state: Type.Optional(Type.Enum([...callStates])),
            route: number('Only those that began with this route'),
            gateway: number('Only those that ring or talk over this gateway'),
            caller: number('As it came, or in normal form'),
            called: number('As it came, or in normal form'),
          },
          { additionalProperties: false },
        ),
        response: { 200: list, ...problems() },
      },
    },
    async ({ query: { limit: most = defaultLimit, cursor: from, ...filter } }) => {
      const after = from === undefined ? undefined : placeIn(from)
      // One more than asked for says that there is a next page.
      const found = await dependencies.calls.list(filter, most + 1, after)
      return {
        ...pageOf(found.items, most, shownCall, placeOf),
        total: found.total,
        nodes: shownNodes(found.nodes),
      }
    },
  )

  app.get(
    '/calls/:uuid',
    {
      config: access('read', 'own'),
      schema: {
        operationId: 'getCall',
        tags: ['calls'],
        summary: 'A call in progress',
        security,
        params: callParams,
        querystring: noQuery,
        response: { 200: callSchema, ...problems(404) },
      },
    },
    async (request) => shownCall(await findCall(dependencies, request, request.params.uuid)),
  )
  done()
}

function placeOf({ startedAt, uuid }: LiveCallView): readonly string[] {
  return [String(startedAt), uuid]
}

/** @throws the problem of a cursor that no page of this list gave */
function placeIn(text: string): Place {
  try {
    const [startedAt, uuid] = readCursor(text, [/^[0-9]{1,16}$/, /^[^\0]{1,512}$/])
    return { startedAt: Math.min(Number(startedAt), Number.MAX_SAFE_INTEGER), uuid }
  } catch (error) {
    if (error instanceof CursorError) refuseCursor()
    throw error
  }
}
