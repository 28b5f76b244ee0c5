import { Type, type FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { access } from '../access.js'
import { announced } from '../audited.js'
import type { AdminDependencies } from '../dependencies.js'
import { Problem, refuseCursor } from '../errors.js'
import { echo } from '../field-errors.js'
import { fromJournal } from '../from-journal.js'
import { asideSchema, partsOfAside, shownAside, wholeAside, wholeAsideSchema } from '../journal-records.js'
import {
  cursor,
  defaultLimit,
  limit,
  moment,
  noQuery,
  nullable,
  page,
  problems,
  security,
} from '../schemas.js'

const mostItems = 500
const count = (description: string) => Type.Integer({ minimum: 0, description })

const stateSchema = Type.Object(
  {
    node: Type.String({
      description: 'Whose journal it is: each node has its own, and tells of that one alone',
    }),
    pending: count('Call records that are not in PostgreSQL yet'),
    oldest_pending_at: nullable(moment('When the oldest of them was written'), {
      description: 'Null: there is none',
    }),
    delivering: Type.Boolean({ description: 'Whether PostgreSQL took what was last offered to it' }),
    set_aside: count('Call records that cannot be delivered, until somebody deals with them'),
    full: Type.Boolean({ description: 'Whether new calls are refused' }),
    trouble: nullable(Type.String(), { description: 'Why they are' }),
    events: Type.Object(
      {
        pending: count('Events that RabbitMQ has not taken yet'),
        lost: count('Events that were lost since the start, for want of space'),
      },
      { additionalProperties: false },
    ),
  },
  {
    additionalProperties: false,
    description: 'The journal of this node',
    examples: [
      {
        node: '8a3f0f9d2a100b7e',
        pending: 0,
        oldest_pending_at: null,
        delivering: true,
        set_aside: 1,
        full: false,
        trouble: null,
        events: { pending: 0, lost: 0 },
      },
    ],
  },
)

const retried = Type.Object(
  { retried: count('Records that are due again; those that cannot be delivered will be set aside again') },
  { additionalProperties: false, description: 'They are on their way', examples: [{ retried: 1 }] },
)

export const asideParams = Type.Object({
  id: Type.String({
    minLength: 1,
    maxLength: 64,
    description: 'Id of the record',
    examples: ['1738310464123456-0f9d2a108a3f'],
  }),
})

export const journal: FastifyPluginCallbackTypebox<AdminDependencies> = (app, dependencies, done) => {
  const { pool, journal: own, node, isDelivering } = dependencies
  const operation = (operationId: string, summary: string) => ({
    ...{ operationId, tags: ['journal'], summary, security },
  })

  app.get(
    '/journal',
    {
      config: access('read', 'no'),
      schema: {
        ...operation('getJournal', 'What of this node is not in PostgreSQL or RabbitMQ yet'),
        querystring: noQuery,
        response: { 200: stateSchema, ...problems() },
      },
    },
    () => {
      const { pending, oldestPending, aside, isFull, trouble, events } = own
      return {
        node,
        pending,
        oldest_pending_at: oldestPending === undefined ? null : new Date(oldestPending).toISOString(),
        delivering: isDelivering(),
        set_aside: aside,
        full: isFull,
        trouble: trouble ?? null,
        events: { pending: events.pending, lost: events.dropped },
      }
    },
  )

  app.get(
    '/journal/aside',
    {
      config: access('read', 'no'),
      schema: {
        ...operation('listAside', 'Call records of this node that cannot be delivered, the oldest first'),
        querystring: Type.Object({ limit: limit(mostItems), cursor }, { additionalProperties: false }),
        response: { 200: page(asideSchema), ...problems() },
      },
    },
    ({ query }) => {
      const most = query.limit ?? defaultLimit
      if (query.cursor !== undefined && !isId.test(query.cursor)) return refuseCursor()
      const found = own.asideShelf.read(most + 1, query.cursor)
      const items = found.slice(0, most)
      return { items: items.map(shownAside), next: found.length > most ? (items.at(-1)?.id ?? null) : null }
    },
  )

  app.get(
    '/journal/aside/:id',
    {
      config: access('read', 'no'),
      schema: {
        ...operation('getAside', 'One of them, whole'),
        params: asideParams,
        querystring: noQuery,
        response: { 200: wholeAsideSchema, ...problems(404) },
      },
    },
    ({ params: { id } }) => wholeAside(own.asideShelf.find(id) ?? refuseUnknownRecord(id)),
  )

  app.post(
    '/journal/aside/retry',
    {
      config: access('operate', 'no'),
      schema: {
        ...operation('retryAllAside', 'Delivers all that is set aside on this node once more'),
        querystring: noQuery,
        response: { 202: retried, ...problems() },
      },
    },
    async (request, reply) => {
      const change = { tenant: null, target: `journal of ${node}`, before: { set_aside: own.aside } }
      const count = await announced(request, pool, change, () => fromJournal(own.asideShelf.retryAll()))
      return reply.code(202).send({ retried: count })
    },
  )

  app.post(
    '/journal/aside/:id/retry',
    {
      config: access('operate', 'no'),
      schema: {
        ...operation('retryAside', 'Delivers a record once more, when what kept it has been mended'),
        params: asideParams,
        querystring: noQuery,
        response: { 202: retried, ...problems(404, 409) },
      },
    },
    async (request, reply) => {
      const { id } = request.params
      const record = own.asideShelf.find(id) ?? refuseUnknownRecord(id)
      const change = {
        tenant: partsOfAside(record.aside).tenant,
        target: `journal record ${id}`,
        before: shownAside(record),
      }
      const isDue = await announced(request, pool, change, () => fromJournal(own.asideShelf.retry(id)))
      // Somebody else was faster.
      if (!isDue) return refuseUnknownRecord(id)
      return reply.code(202).send({ retried: 1 })
    },
  )

  done()
}

/** As the journal makes them, and what an admin may have put there by hand. */
const isId = /^[\x20-\x7e]{1,64}$/

/** @throws the problem of a record that is not, or not any more, set aside on this node */
export function refuseUnknownRecord(id: string): never {
  throw new Problem('not_found', `No record ${echo(id)} is set aside on this node.`)
}
