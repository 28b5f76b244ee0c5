import { Type, type FastifyPluginCallbackTypebox, type Static } from '@fastify/type-provider-typebox'
import {
  addDeck,
  changeDeck,
  countRates,
  deckUse,
  deleteDeck,
  findDeck,
  listDecks,
  mostCounted,
  type Deck,
} from '../../store/decks.js'
import type { Db } from '../../store/within.js'
import { access } from '../access.js'
import { audited } from '../audited.js'
import type { AdminDependencies } from '../dependencies.js'
import { fromStore, Problem, refuseInvalid } from '../errors.js'
import { echo, type FieldError } from '../field-errors.js'
import { cursor, defaultLimit, limit, moment, noQuery, page, problems, security } from '../schemas.js'
import { changeHeaders, deleteHeaders, expectedVersion, withVersion } from '../versions.js'

const mostItems = 500

const deckFields = {
  id: Type.String(),
  name: Type.String(),
  currency: Type.String({ description: 'ISO 4217' }),
  version: Type.Integer({ description: 'For If-Match; counts up. Its rates have their own' }),
  created_at: moment('When it was made'),
}
const example = {
  id: 'retail',
  name: 'Retail',
  currency: 'VND',
  version: 1,
  created_at: '2025-01-31T08:00:00.000Z',
} as const
const listedSchema = Type.Object(deckFields, {
  additionalProperties: false,
  description: 'A deck of rates',
  examples: [example],
})
const deckSchema = Type.Object(
  {
    ...deckFields,
    rates: Type.Object(
      {
        count: Type.Integer({ minimum: 0 }),
        is_exact: Type.Boolean({ description: `False: there are more, which nobody counted` }),
      },
      { additionalProperties: false, description: `Its rates, counted up to ${mostCounted}` },
    ),
    used_by: Type.Object(
      {
        count: Type.Integer({ minimum: 0, description: 'Tenants that have it' }),
        tenants: Type.Array(
          Type.Object(
            {
              id: Type.String(),
              as_deck: Type.Boolean({ description: 'It pays these rates for calls to the outside' }),
              as_inbound_deck: Type.Boolean({ description: 'It pays these rates for being called' }),
            },
            { additionalProperties: false },
          ),
          { description: 'The first ones of them' },
        ),
      },
      { additionalProperties: false, description: 'Whose deck it is' },
    ),
  },
  {
    additionalProperties: false,
    description: 'A deck of rates, and who has it',
    examples: [
      {
        ...example,
        rates: { count: 212, is_exact: true },
        used_by: { count: 1, tenants: [{ id: 'demo', as_deck: true, as_inbound_deck: false }] },
      },
    ],
  },
)

/** Of what is under a deck. */
export const deckParams = Type.Object({
  deck: Type.String({ minLength: 1, maxLength: 64, description: 'Id of the deck', examples: ['demo'] }),
})

const name = Type.String({ minLength: 1, maxLength: 200, description: 'For people' })
const currency = Type.String({
  minLength: 3,
  maxLength: 3,
  description: 'ISO 4217. Only tenants of this currency can have it',
})

export const decks: FastifyPluginCallbackTypebox<AdminDependencies> = (app, { pool }, done) => {
  const operation = (operationId: string, summary: string) => ({
    operationId,
    tags: ['decks'],
    summary,
    security,
  })

  app.get(
    '/decks',
    {
      config: access('read', 'no'),
      schema: {
        ...operation('listDecks', 'Decks of rates, by their ids'),
        querystring: Type.Object({ limit: limit(mostItems), cursor }, { additionalProperties: false }),
        response: { 200: page(listedSchema), ...problems() },
      },
    },
    async ({ query }) => {
      const found = await fromStore(
        listDecks(pool, { limit: query.limit ?? defaultLimit, cursor: query.cursor }),
      )
      return { items: found.items.map(listed), next: found.next }
    },
  )

  app.post(
    '/decks',
    {
      config: access('admin', 'no'),
      schema: {
        ...operation('createDeck', 'Makes a deck, without rates'),
        querystring: noQuery,
        body: Type.Object(
          {
            id: Type.String({ minLength: 1, maxLength: 63, description: 'a-z, 0-9, _ and -' }),
            name,
            currency,
          },
          {
            additionalProperties: false,
            examples: [{ id: 'retail', name: 'Retail', currency: 'VND' }],
          },
        ),
        response: { 201: deckSchema, ...problems(409, 413, 415) },
      },
    },
    async (request, reply) => {
      checkDeck(request.body)
      const deck = await audited(request, pool, async (client, note) => {
        const made = await shown(client, await addDeck(client, request.body))
        note({ tenant: null, target: `deck ${made.id}`, after: made })
        return made
      })
      return reply.code(201).send(withVersion(reply, deck))
    },
  )

  app.get(
    '/decks/:deck',
    {
      config: access('read', 'no'),
      schema: {
        ...operation('getDeck', 'A deck, and which tenants have it'),
        querystring: noQuery,
        params: deckParams,
        response: { 200: deckSchema, ...problems(404) },
      },
    },
    async ({ params: { deck: id } }, reply) => {
      const deck = await fromStore(findDeck(pool, id))
      if (!deck) return refuseUnknownDeck(id)
      return withVersion(reply, await fromStore(shown(pool, deck)))
    },
  )

  app.patch(
    '/decks/:deck',
    {
      config: access('admin', 'no'),
      schema: {
        ...operation('changeDeck', 'Changes a deck; its currency only while no tenant has it'),
        querystring: noQuery,
        params: deckParams,
        headers: changeHeaders,
        body: Type.Object(
          { name: Type.Optional(name), currency: Type.Optional(currency) },
          { additionalProperties: false, examples: [{ name: 'Retail 2025' }] },
        ),
        response: { 200: deckSchema, ...problems(404, 409, 412, 413, 415, 428) },
      },
    },
    async (request, reply) => {
      const { deck: id } = request.params
      const expected = expectedVersion(request)
      checkDeck(request.body)
      const deck = await audited(request, pool, async (client, note) => {
        const { before, after } = await changeDeck(client, id, request.body, expected)
        if (after !== before)
          note({ tenant: null, target: `deck ${id}`, before: listed(before), after: listed(after) })
        return shown(client, after)
      })
      return withVersion(reply, deck)
    },
  )

  app.delete(
    '/decks/:deck',
    {
      config: access('admin', 'no'),
      schema: {
        ...operation('deleteDeck', 'Deletes a deck with its rates, unless a tenant has it'),
        querystring: noQuery,
        params: deckParams,
        headers: deleteHeaders,
        response: { 204: Type.Null({ description: 'It is deleted' }), ...problems(404, 409, 412) },
      },
    },
    async (request, reply) => {
      const { deck: id } = request.params
      const expected = expectedVersion(request)
      await audited(request, pool, async (client, note) => {
        const rates = await countRates(client, id)
        const before = await deleteDeck(client, id, expected)
        note({ tenant: null, target: `deck ${id}`, before: { ...listed(before), rates: countOf(rates) } })
      })
      return reply.code(204).send(null)
    },
  )

  done()
}

/** @throws the problem of a path with a deck that there is not */
export function refuseUnknownDeck(id: string): never {
  throw new Problem('not_found', `There is no deck ${echo(id)}.`)
}

/** What the table's checks would say. */
function checkDeck(deck: { id?: string; name?: string; currency?: string }): void {
  const errors: FieldError[] = []
  const check = (field: keyof typeof deck, isAllowed: RegExp, allowed: string): void => {
    const value = deck[field]
    if (value !== undefined && !isAllowed.test(value))
      errors.push({ field, detail: `is ${echo(value)}; allowed is ${allowed}` })
  }
  check('id', /^[a-z0-9][a-z0-9_-]*$/, 'a text of a-z, 0-9, _ and -, which begins with a letter or a digit')
  check('name', /^[^\0\p{Surrogate}]+$/u, 'a text without the character NUL')
  check('currency', /^[A-Z]{3}$/, 'a currency of ISO 4217, such as VND')
  if (errors.length > 0) refuseInvalid(errors)
}

function listed({ id, name, currency, version, createdAt }: Deck): Static<typeof listedSchema> {
  return { id, name, currency, version, created_at: createdAt.toISOString() }
}

async function shown(db: Db, deck: Deck): Promise<Static<typeof deckSchema>> {
  const { count, tenants } = await deckUse(db, deck.id)
  return {
    ...listed(deck),
    rates: countOf(await countRates(db, deck.id)),
    used_by: {
      count,
      tenants: tenants.map(({ id, asDeck, asInboundDeck }) => ({
        id,
        as_deck: asDeck,
        as_inbound_deck: asInboundDeck,
      })),
    },
  }
}

function countOf(count: number): { count: number; is_exact: boolean } {
  return { count: Math.min(count, mostCounted), is_exact: count <= mostCounted }
}
