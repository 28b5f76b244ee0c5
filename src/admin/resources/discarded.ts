import { Type, type FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import type { ShelvedRecord } from '../../journal/aside-shelf.js'
import { hasNul } from '../../store/database.js'
import { findDiscarded, keepDiscarded, listDiscarded, markRestored } from '../../store/discarded-records.js'
import { access } from '../access.js'
import { audited } from '../audited.js'
import { keyIdOf } from '../auth.js'
import type { AdminDependencies } from '../dependencies.js'
import { fromStore, Problem, refuseInvalid } from '../errors.js'
import { echo } from '../field-errors.js'
import { fromJournal } from '../from-journal.js'
import {
  asideSchema,
  asMoment,
  discardedSchema,
  partsOfAside,
  shownAside,
  shownDiscarded,
  wholeDiscarded,
  wholeDiscardedSchema,
} from '../journal-records.js'
import { cursor, defaultLimit, limit, noQuery, page, problems, security } from '../schemas.js'
import { asideParams, refuseUnknownRecord } from './journal.js'

const mostItems = 500

const discardBody = Type.Object(
  {
    reason: Type.String({
      minLength: 1,
      maxLength: 500,
      description: 'Why it shall never be delivered; it is kept with the record',
    }),
  },
  { additionalProperties: false, examples: [{ reason: "The carrier's invoice says 480" }] },
)

export const discarded: FastifyPluginCallbackTypebox<AdminDependencies> = (app, dependencies, done) => {
  const { pool, journal, node } = dependencies
  const operation = (operationId: string, summary: string) => ({
    ...{ operationId, tags: ['journal'], summary, security },
  })

  const keep = (request: FastifyRequest, record: ShelvedRecord, reason: string) =>
    audited(request, pool, async (client, note) => {
      const { id, aside, text } = record
      const { record: kept, isNew } = await keepDiscarded(client, {
        ...{ id, node, entry: text, reason, by: keyIdOf(request) },
        setAsideReason: aside?.reason ?? null,
        setAsideAt: asMoment(aside?.at),
        parts: partsOfAside(aside),
      })
      const { tenant } = kept
      if (isNew)
        note({
          tenant,
          target: `journal record ${id}`,
          before: shownAside(record),
          after: shownDiscarded(kept),
        })
      return kept
    })

  app.post(
    '/journal/aside/:id/discard',
    {
      config: access('admin', 'no'),
      schema: {
        ...operation(
          'discardAside',
          'Gives up a record that is set aside: it is kept, and its call closed without cost',
        ),
        description:
          'The record is kept in PostgreSQL and taken out of the journal. If its call has no CDR, it gets one without ' +
          "cost, of the source `incomplete`, which releases what the call holds of its tenant's money; a real record " +
          'of the call that arrives later takes its place. Asked again, it answers the same.',
        params: asideParams,
        querystring: noQuery,
        body: discardBody,
        response: { 200: discardedSchema, ...problems(404, 413, 415) },
      },
    },
    async (request) => {
      const { id } = request.params
      const { reason } = request.body
      if (hasNul(reason) || reason.trim() === '')
        return refuseInvalid([
          { field: 'reason', detail: `is ${echo(reason)}; allowed is a text that says why` },
        ])
      const kept = await fromJournal(
        journal.asideShelf.discard(id, (record) => keep(request, record, reason)),
      )
      // Nobody heard that it was done, perhaps.
      const known = kept ?? (await fromStore(findDiscarded(pool, id)))
      return shownDiscarded(known ?? refuseUnknownRecord(id))
    },
  )

  app.get(
    '/journal/discarded',
    {
      config: access('read', 'no'),
      schema: {
        ...operation('listDiscarded', 'Call records that were discarded on any node, the latest first'),
        querystring: Type.Object(
          {
            limit: limit(mostItems),
            cursor,
            call_uuid: Type.Optional(
              Type.String({ minLength: 1, maxLength: 256, description: 'Only those of this call' }),
            ),
          },
          { additionalProperties: false },
        ),
        response: { 200: page(discardedSchema), ...problems() },
      },
    },
    async ({ query }) => {
      const found = await fromStore(
        listDiscarded(pool, {
          limit: query.limit ?? defaultLimit,
          ...(query.cursor !== undefined && { cursor: query.cursor }),
          ...(query.call_uuid !== undefined && { callUuid: query.call_uuid }),
        }),
      )
      return { items: found.items.map(shownDiscarded), next: found.next }
    },
  )

  app.get(
    '/journal/discarded/:id',
    {
      config: access('read', 'no'),
      schema: {
        ...operation('getDiscarded', 'One of them, whole'),
        params: asideParams,
        querystring: noQuery,
        response: { 200: wholeDiscardedSchema, ...problems(404) },
      },
    },
    async ({ params: { id } }) =>
      wholeDiscarded((await fromStore(findDiscarded(pool, id))) ?? refuseNeverDiscarded(id)),
  )

  app.post(
    '/journal/discarded/:id/restore',
    {
      config: access('admin', 'no'),
      schema: {
        ...operation(
          'restoreDiscarded',
          'Sets a discarded record aside again, on this node and under a new id',
        ),
        params: asideParams,
        querystring: noQuery,
        response: { 200: asideSchema, ...problems(404) },
      },
    },
    async (request) => {
      const { id } = request.params
      const { entry } = await audited(request, pool, async (client, note) => {
        const before = await findDiscarded(client, id)
        const after = await markRestored(client, id, keyIdOf(request))
        if (before === undefined || after === undefined) return refuseNeverDiscarded(id)
        note({
          tenant: after.tenant,
          target: `journal record ${id}`,
          before: shownDiscarded(before),
          after: shownDiscarded(after),
        })
        return after
      })
      // Should this fail, it is asked for again: PostgreSQL has the record still.
      const restored = await fromJournal(journal.asideShelf.putBack(entry))
      return shownAside(restored)
    },
  )

  done()
}

/** @throws the problem of a record that nobody discarded */
function refuseNeverDiscarded(id: string): never {
  throw new Problem('not_found', `No record ${echo(id)} was discarded.`)
}
