import { Type, type FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { allowedEntry, allowedNumber, type Entry } from '../../screening/entry.js'
import { Blacklist, VipList } from '../../screening/lists.js'
import type { Listed, NumberList } from '../../screening/number-list.js'
import { access } from '../access.js'
import { announced } from '../audited.js'
import { keyIdOf } from '../auth.js'
import type { AdminDependencies } from '../dependencies.js'
import { Problem, refuseCursor, refuseInvalid } from '../errors.js'
import { echo, type FieldError } from '../field-errors.js'
import { listFileRoutes } from '../list-files.js'
import {
  defaultTtlSeconds,
  entrySchema,
  longestReason,
  longestTtlSeconds,
  operationOf,
  shown,
  type ListResource,
} from '../list-schemas.js'
import { cursor, defaultLimit, limit, noQuery, page, problems } from '../schemas.js'

/** Numbers of one request; a longer list goes in several. */
const mostNumbers = 500
const mostItems = 500

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
  reason: Type.Optional(Type.String({ minLength: 1, maxLength: longestReason })),
})

const numberOrNumbers = {
  additionalProperties: false,
  oneOf: [{ required: ['number'] }, { required: ['numbers'] }],
}

export const blacklist: FastifyPluginCallbackTypebox<AdminDependencies> = (app, dependencies, done) => {
  const list = new Blacklist(dependencies.redis, dependencies.country)
  const resource: ListResource = {
    ...{ list, path: '/blacklist', tag: 'blacklist', phrase: 'on the blacklist', allowed: allowedEntry },
    expires: true,
    remark: async (entry) => {
      const covering = await list.coveredBy(entry)
      return covering === undefined ? '' : `; but its calls are refused because of the entry ${covering}`
    },
  }
  const addition = Type.Unsafe<AdditionBody>(
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
  )
  void app.register(listFileRoutes(dependencies, resource))
  listRoutes(app, dependencies, { ...resource, addition })
  done()
}

export const vip: FastifyPluginCallbackTypebox<AdminDependencies> = (app, dependencies, done) => {
  const resource: ListResource = {
    list: new VipList(dependencies.redis, dependencies.country),
    ...{ path: '/vip', tag: 'vip', phrase: 'a VIP', allowed: allowedNumber, expires: false },
    remark: () => Promise.resolve(''),
  }
  const addition = Type.Unsafe<AdditionBody>(
    Type.Object(additionFields(allowedNumber), {
      ...numberOrNumbers,
      examples: [{ number: '0901234567', reason: 'the director' }],
    }),
  )
  void app.register(listFileRoutes(dependencies, resource))
  listRoutes(app, dependencies, { ...resource, addition })
  done()
}

type App = Parameters<FastifyPluginCallbackTypebox<AdminDependencies>>[0]

interface WithAddition extends ListResource {
  addition: ReturnType<typeof Type.Unsafe<AdditionBody>>
}

function listRoutes(app: App, { pool }: AdminDependencies, resource: WithAddition): void {
  const { list, path, tag, phrase, allowed, expires, addition, remark } = resource
  const byNumber = Type.Object({ number: { ...numberText(allowed), examples: ['0901234567'] } })
  const target = ({ normal }: Entry) => `${tag} ${normal}`

  app.get(
    path,
    {
      config: access('read', 'any'),
      schema: {
        ...operationOf(resource, 'list', 'The list, in no particular order'),
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
        ...operationOf(resource, 'add', 'Adds one number or many; what is there already is renewed'),
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
      const { ttl_seconds: ttlSeconds = defaultTtlSeconds, reason = null } = request.body
      const entries = parseAll(list, allowed, request.body)
      const addedBy = keyIdOf(request)
      const written = { reason, ...(expires && { ttl_seconds: ttlSeconds }) }
      const [only, ...others] = entries
      const before = only && others.length === 0 ? await list.find(only) : undefined
      const change =
        only && others.length === 0
          ? {
              target: target(only),
              before: before && shown(before),
              after: { number: only.entered, normal_form: only.normal, kind: only.kind, ...written },
            }
          : { target: tag, after: { numbers: entries.map(({ entered }) => entered), ...written } }
      const result = await announced(request, pool, { tenant: null, ...change }, () =>
        list.add(entries, { ttlSeconds, reason, addedBy }),
      )
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
        ...operationOf(resource, 'get', 'Looks a number up'),
        querystring: noQuery,
        params: byNumber,
        response: { 200: entrySchema, ...problems(404) },
      },
    },
    async ({ params: { number } }) => shown((await found(number)).listed),
  )

  app.delete(
    `${path}/:number`,
    {
      config: access('operate', 'no'),
      schema: {
        ...operationOf(resource, 'remove', 'Removes a number, whichever way it was entered'),
        querystring: noQuery,
        params: byNumber,
        response: { 204: Type.Null({ description: 'It is removed' }), ...problems(404) },
      },
    },
    async (request, reply) => {
      const { entry, listed } = await found(request.params.number)
      const change = { tenant: null, target: `${tag} ${listed.normalForm}`, before: shown(listed) }
      await announced(request, pool, change, () => list.remove(entry))
      request.log.info({ list: tag, by: keyIdOf(request), removed: listed.normalForm }, 'list changed')
      return reply.code(204).send(null)
    },
  )

  /** @throws Problem when it is not in the list */
  async function found(number: string): Promise<{ entry: Entry; listed: Listed }> {
    const parsed = list.parse(number)
    const entry = parsed ?? list.verbatim(number)
    const listed = await list.find(entry)
    if (listed) return { entry, listed }
    if (!parsed) return refuseInvalid([wrongNumber('number', number, allowed)])
    throw new Problem('not_found', `${parsed.entered} is not ${phrase}${await remark(parsed)}.`)
  }
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
