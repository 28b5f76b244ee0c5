import { Type, type FastifyPluginCallbackTypebox, type Static } from '@fastify/type-provider-typebox'
import { allowedEntry, allowedNumber, type Entry } from '../../screening/entry.js'
import { Blacklist, VipList } from '../../screening/lists.js'
import type { Listed, NumberList } from '../../screening/number-list.js'
import { access } from '../access.js'
import { keyIdOf } from '../auth.js'
import type { AdminDependencies } from '../dependencies.js'
import { Problem, refuseCursor, refuseInvalid } from '../errors.js'
import { echo, type FieldError } from '../field-errors.js'
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

const defaultTtlSeconds = 86_400
const longestTtlSeconds = 10 * 365 * 86_400
/** Numbers of one request; a longer list goes in several. */
const mostNumbers = 500
const mostItems = 500

const entrySchema = Type.Object(
  {
    number: Type.String({ description: 'As it was entered, or as another program wrote it' }),
    normal_form: Type.String({ description: 'International digits; entries with the same one are the same' }),
    kind: Type.Enum(['number', 'prefix', 'anonymous']),
    reason: nullable(Type.String()),
    added_by: nullable(Type.String(), { description: 'Id of the API key; null: another program added it' }),
    added_at: nullable(moment('When it was added'), { description: 'Null: another program added it' }),
    ttl_seconds: nullable(Type.Integer({ minimum: 0 }), {
      description: 'Until it expires, rounded up; null: it stays',
    }),
    expires_at: nullable(moment('To the second'), { description: 'Null: it stays' }),
  },
  {
    additionalProperties: false,
    description: 'An entry',
    examples: [
      {
        number: '0901234567',
        normal_form: '84901234567',
        kind: 'number',
        reason: 'spam',
        added_by: '0b7e7f4e-2f0a-4c5b-9f3e-8a3f0f9d2a10',
        added_at: '2025-01-31T08:00:00.000Z',
        ttl_seconds: 86400,
        expires_at: '2025-02-01T08:00:00.000Z',
      },
    ],
  },
)
const items = Type.Object({ items: Type.Array(entrySchema) }, { additionalProperties: false })

interface AdditionBody {
  number?: string
  numbers?: string[]
  ttl_seconds?: number
  reason?: string
}

const numberText = (allowed: string) => Type.String({ minLength: 1, maxLength: 64, description: allowed })

const additionFields = (allowed: string) => ({
  number: Type.Optional(numberText(allowed)),
  numbers: Type.Optional(Type.Array(numberText(allowed), { minItems: 1, maxItems: mostNumbers })),
  reason: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
})

const numberOrNumbers = {
  additionalProperties: false,
  oneOf: [{ required: ['number'] }, { required: ['numbers'] }],
}

/** One of the two lists, as a resource. */
interface ListResource {
  list: NumberList
  path: string
  tag: string
  /** As in "is not on the blacklist". */
  phrase: string
  allowed: string
  addition: ReturnType<typeof Type.Unsafe<AdditionBody>>
  /** What else there is to say of a number that is not in the list. */
  remark: (entry: Entry) => Promise<string>
}

export const blacklist: FastifyPluginCallbackTypebox<AdminDependencies> = (app, dependencies, done) => {
  const list = new Blacklist(dependencies.redis, dependencies.country)
  listRoutes(app, {
    list,
    path: '/blacklist',
    tag: 'blacklist',
    phrase: 'on the blacklist',
    allowed: allowedEntry,
    addition: Type.Unsafe<AdditionBody>(
      Type.Object(
        {
          ...additionFields(allowedEntry),
          ttl_seconds: Type.Optional(
            Type.Integer({
              minimum: 1,
              maximum: longestTtlSeconds,
              default: defaultTtlSeconds,
              description: `Seconds until it expires. Default ${defaultTtlSeconds}, a day`,
            }),
          ),
        },
        {
          ...numberOrNumbers,
          examples: [
            { number: '0901234567', ttl_seconds: 3600, reason: 'spam' },
            { numbers: ['+84901234567', '8490*', 'anonymous'] },
          ],
        },
      ),
    ),
    remark: async (entry) => {
      const covering = await list.coveredBy(entry)
      return covering === undefined ? '' : `; but its calls are refused because of the entry ${covering}`
    },
  })
  done()
}

export const vip: FastifyPluginCallbackTypebox<AdminDependencies> = (app, dependencies, done) => {
  listRoutes(app, {
    list: new VipList(dependencies.redis, dependencies.country),
    path: '/vip',
    tag: 'vip',
    phrase: 'a VIP',
    allowed: allowedNumber,
    addition: Type.Unsafe<AdditionBody>(
      Type.Object(additionFields(allowedNumber), {
        ...numberOrNumbers,
        examples: [{ number: '0901234567', reason: 'the director' }],
      }),
    ),
    remark: () => Promise.resolve(''),
  })
  done()
}

type App = Parameters<FastifyPluginCallbackTypebox<AdminDependencies>>[0]

function listRoutes(app: App, { list, path, tag, phrase, allowed, addition, remark }: ListResource): void {
  const operation = (id: string, summary: string) => ({
    operationId: `${id}${tag.charAt(0).toUpperCase()}${tag.slice(1)}`,
    tags: [tag],
    summary,
    security,
  })
  const byNumber = Type.Object({ number: { ...numberText(allowed), examples: ['0901234567'] } })

  app.get(
    path,
    {
      config: access('read', 'any'),
      schema: {
        ...operation('list', 'The list, in no particular order'),
        querystring: Type.Object({ limit: limit(mostItems), cursor }, { additionalProperties: false }),
        response: { 200: page(entrySchema), ...problems() },
      },
    },
    async ({ query }) => {
      const found = await list.page({ cursor: query.cursor, limit: query.limit ?? defaultLimit })
      if (!found) return refuseCursor()
      return { items: found.items.map(shown), next: found.next }
    },
  )

  app.post(
    path,
    {
      config: access('operate', 'no'),
      schema: {
        ...operation('add', 'Adds one number or many; what is there already is renewed'),
        querystring: noQuery,
        body: addition,
        response: {
          200: { ...items, description: 'All were there already' },
          201: { ...items, description: 'At least one is new' },
          ...problems(413, 415),
        },
      },
    },
    async (request, reply) => {
      const { ttl_seconds: ttlSeconds, reason } = request.body
      const entries = parseAll(list, allowed, request.body)
      const addedBy = keyIdOf(request)
      const result = await list.add(entries, {
        ttlSeconds: ttlSeconds ?? defaultTtlSeconds,
        reason: reason ?? null,
        addedBy,
      })
      request.log.info(
        { list: tag, by: addedBy, entries: entries.length, added: result.added },
        'list changed',
      )
      return reply.code(result.added > 0 ? 201 : 200).send({ items: result.items.map(shown) })
    },
  )

  app.get(
    `${path}/:number`,
    {
      config: access('read', 'any'),
      schema: {
        ...operation('get', 'Looks a number up'),
        querystring: noQuery,
        params: byNumber,
        response: { 200: entrySchema, ...problems(404) },
      },
    },
    async ({ params: { number } }) => {
      const parsed = list.parse(number)
      const found = await list.find(parsed ?? list.verbatim(number))
      if (found) return shown(found)
      if (!parsed) return refuseInvalid([wrongNumber('number', number, allowed)])
      throw new Problem('not_found', `${parsed.entered} is not ${phrase}${await remark(parsed)}.`)
    },
  )

  app.delete(
    `${path}/:number`,
    {
      config: access('operate', 'no'),
      schema: {
        ...operation('remove', 'Removes a number, whichever way it was entered'),
        querystring: noQuery,
        params: byNumber,
        response: { 204: Type.Null({ description: 'It is removed' }), ...problems(404) },
      },
    },
    async (request, reply) => {
      const { number } = request.params
      const parsed = list.parse(number)
      const entry = parsed ?? list.verbatim(number)
      if (await list.remove(entry)) {
        request.log.info({ list: tag, by: keyIdOf(request), removed: entry.normal }, 'list changed')
        return reply.code(204).send(null)
      }
      if (!parsed) return refuseInvalid([wrongNumber('number', number, allowed)])
      throw new Problem('not_found', `${parsed.entered} is not ${phrase}${await remark(parsed)}.`)
    },
  )
}

/** Each entry once. @throws Problem that names every number that is wrong */
function parseAll(list: NumberList, allowed: string, body: AdditionBody): Entry[] {
  const entries = new Map<string, Entry>()
  const errors: FieldError[] = []
  for (const [index, text] of (body.numbers ?? [body.number ?? '']).entries()) {
    const entry = list.parse(text)
    if (entry) entries.set(entry.normal, entry)
    else errors.push(wrongNumber(body.numbers ? `numbers[${index}]` : 'number', text, allowed))
  }
  if (errors.length > 0) refuseInvalid(errors)
  return [...entries.values()]
}

function wrongNumber(field: string, text: string, allowed: string): FieldError {
  return { field, detail: `is ${echo(text)}; allowed is ${allowed}` }
}

function shown(listed: Listed): Static<typeof entrySchema> {
  return {
    number: listed.number,
    normal_form: listed.normalForm,
    kind: listed.kind,
    reason: listed.reason,
    added_by: listed.addedBy,
    added_at: listed.addedAt,
    ttl_seconds: listed.ttlSeconds,
    expires_at: listed.expiresAt,
  }
}
