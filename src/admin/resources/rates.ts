import { Type, type FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { momentAllowed, prefixAllowed } from '../../billing/rate-fields.js'
import { normalNumber } from '../../numbering/normal-form.js'
import { prefixReader } from '../../numbering/prefix-reader.js'
import { hasNul } from '../../store/database.js'
import { addRate, changeRate, deleteRate, findRate, listRates, noRate } from '../../store/deck-rates.js'
import { findDeck } from '../../store/decks.js'
import { access } from '../access.js'
import { audited } from '../audited.js'
import type { AdminDependencies } from '../dependencies.js'
import { fromStore, refuseInvalid } from '../errors.js'
import { echo } from '../field-errors.js'
import {
  changeableFields,
  checkedCountry,
  checkedRateId,
  checkedTexts,
  country,
  draftFields,
  newTexts,
  rateSchema,
  shownRate,
  textsOf,
} from '../rate-schemas.js'
import { typedPrefix } from '../rate-texts.js'
import { parseMoment, formatMoment } from '../../common/moment.js'
import { cursor, defaultLimit, limit, noQuery, page, problems, security } from '../schemas.js'
import { changeHeaders, deleteHeaders, expectedVersion, withVersion } from '../versions.js'
import { deckParams, refuseUnknownDeck } from './decks.js'

const mostItems = 1_000

const rateParams = Type.Object({
  ...deckParams.properties,
  rate: Type.String({
    minLength: 1,
    maxLength: 100,
    description: 'Id of the rate: 8490, 8490@2025-01-31T08:00:00Z, * for that of every number',
    examples: ['8490'],
  }),
})

export const rates: FastifyPluginCallbackTypebox<AdminDependencies> = (app, dependencies, done) => {
  const { pool } = dependencies
  const operation = (operationId: string, summary: string) => ({
    operationId,
    tags: ['decks'],
    summary,
    security,
  })

  app.get(
    '/decks/:deck/rates',
    {
      config: access('read', 'no'),
      schema: {
        ...operation('listRates', 'Rates of a deck, by their prefixes'),
        params: deckParams,
        querystring: Type.Object(
          {
            limit: limit(mostItems),
            cursor,
            prefix: Type.Optional(
              Type.String({
                minLength: 1,
                maxLength: 100,
                description: 'Only those whose prefix begins so, as somebody types it: 090, +84 90',
              }),
            ),
            number: Type.Optional(
              Type.String({
                minLength: 1,
                maxLength: 64,
                description: 'Only those that a number begins with, as somebody dials it',
              }),
            ),
            country,
            valid_at: Type.Optional(
              Type.String({ minLength: 1, maxLength: 40, description: 'Only those in force then; RFC 3339' }),
            ),
          },
          { additionalProperties: false },
        ),
        response: { 200: page(rateSchema), ...problems(404) },
      },
    },
    async ({ query, params: { deck } }) => {
      const dialledIn = checkedCountry(query.country, dependencies.country)
      const asked = {
        limit: query.limit ?? defaultLimit,
        cursor: query.cursor,
        prefix: query.prefix === undefined ? undefined : checkedPrefix(query.prefix, prefixReader(dialledIn)),
        number: query.number === undefined ? undefined : normalNumber(query.number, dialledIn),
        validAt: checkedMoment('valid_at', query.valid_at),
      }
      if (!(await fromStore(findDeck(pool, deck)))) return refuseUnknownDeck(deck)
      if (hasNul(asked.number)) return { items: [], next: null }
      const found = await fromStore(listRates(pool, deck, asked))
      return { items: found.items.map(shownRate), next: found.next }
    },
  )

  app.post(
    '/decks/:deck/rates',
    {
      config: access('admin', 'no'),
      schema: {
        ...operation('createRate', 'Adds a rate to a deck'),
        querystring: noQuery,
        params: deckParams,
        body: Type.Object(draftFields, {
          additionalProperties: false,
          examples: [
            {
              prefix: '091',
              country: 'VN',
              description: 'Vietnam, mobile',
              price_per_minute: '480',
              minimum_seconds: 6,
              increment_seconds: 1,
            },
          ],
        }),
        response: { 201: rateSchema, ...problems(404, 409, 413, 415) },
      },
    },
    async (request, reply) => {
      const { prefix, country: given, ...terms } = request.body
      const { deck } = request.params
      const normal = prefixReader(checkedCountry(given, dependencies.country))
      const draft = checkedTexts(newTexts(typedPrefix(prefix, normal), textsOf(terms)))
      const rate = await audited(request, pool, async (client, note) => {
        const made = shownRate(await addRate(client, deck, draft))
        note({ tenant: null, target: `rate ${deck}/${made.id}`, after: made })
        return made
      })
      return reply.code(201).send(withVersion(reply, rate))
    },
  )

  app.get(
    '/decks/:deck/rates/:rate',
    {
      config: access('read', 'no'),
      schema: {
        ...operation('getRate', 'A rate'),
        querystring: noQuery,
        params: rateParams,
        response: { 200: rateSchema, ...problems(404) },
      },
    },
    async ({ params: { deck, rate: id } }, reply) => {
      const key = checkedRateId(deck, id)
      const rate = await fromStore(findRate(pool, deck, key))
      if (!rate) throw noRate(deck, key)
      return withVersion(reply, shownRate(rate))
    },
  )

  app.patch(
    '/decks/:deck/rates/:rate',
    {
      config: access('admin', 'no'),
      schema: {
        ...operation('changeRate', 'Changes a rate'),
        description: 'Calls that were dialled before keep the rate that they were dialled at.',
        querystring: noQuery,
        params: rateParams,
        headers: changeHeaders,
        body: Type.Object(changeableFields, {
          additionalProperties: false,
          examples: [{ price_per_minute: '520.5', valid_to: null }],
        }),
        response: { 200: rateSchema, ...problems(404, 412, 413, 415, 428) },
      },
    },
    async (request, reply) => {
      const { deck, rate: id } = request.params
      const expected = expectedVersion(request)
      const key = checkedRateId(deck, id)
      const change = textsOf(request.body)
      const rate = await audited(request, pool, async (client, note) => {
        const { before, after } = await changeRate(client, deck, key, expected, (now) =>
          checkedTexts({ ...now, ...change }),
        )
        const made = shownRate(after)
        if (after !== before)
          note({ tenant: null, target: `rate ${deck}/${made.id}`, before: shownRate(before), after: made })
        return made
      })
      return withVersion(reply, rate)
    },
  )

  app.delete(
    '/decks/:deck/rates/:rate',
    {
      config: access('admin', 'no'),
      schema: {
        ...operation('deleteRate', 'Deletes a rate'),
        querystring: noQuery,
        params: rateParams,
        headers: deleteHeaders,
        response: { 204: Type.Null({ description: 'It is deleted' }), ...problems(404, 412) },
      },
    },
    async (request, reply) => {
      const { deck, rate: id } = request.params
      const expected = expectedVersion(request)
      const key = checkedRateId(deck, id)
      await audited(request, pool, async (client, note) => {
        const before = shownRate(await deleteRate(client, deck, key, expected))
        note({ tenant: null, target: `rate ${deck}/${before.id}`, before })
      })
      return reply.code(204).send(null)
    },
  )

  done()
}

/** @throws Problem */
function checkedPrefix(typed: string, normal: (prefix: string) => string): string {
  const { prefix } = typedPrefix(typed, normal)
  if (prefix !== null && /^[0-9]{0,32}$/.test(prefix)) return prefix
  return refuseInvalid([{ field: 'prefix', detail: `is ${echo(typed)}; allowed is ${prefixAllowed}` }])
}

/** @returns in UTC, to the µs; @throws Problem */
export function checkedMoment(field: string, text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  // In a query a + is a blank.
  const micros = parseMoment(text.replace(/ (?=[0-9]{2}:[0-9]{2}$)/, '+'))
  if (micros !== undefined) return formatMoment(micros)
  return refuseInvalid([{ field, detail: `is ${echo(text)}; allowed is ${momentAllowed}` }])
}
