import { Type, type FastifyPluginCallbackTypebox, type Static } from '@fastify/type-provider-typebox'
import type { Redis } from 'ioredis'
import pg from 'pg'
import { replies, RedisAway } from '../../screening/redis.js'
import { callTotals, type CallTotals } from '../../store/call-totals.js'
import { hasNul } from '../../store/database.js'
import { access } from '../access.js'
import { nodesSchema, shownNodes } from '../call-views.js'
import type { AdminDependencies } from '../dependencies.js'
import { fromStore, Problem, refuseUnknownTenant } from '../errors.js'
import { moment, nullable, problems, queryTenant, security } from '../schemas.js'

const longestWindowSeconds = 31 * 86_400
const defaultWindowSeconds = 3_600
/** Tenants whose sets are counted, where none is named. */
const mostTenants = 100
/** Of other programs' statuses, which a dialplan may make up, nobody knows. */
const statuses = ['ringing', 'answered', 'queued', 'bridged', 'transferred', 'hangup'] as const

const count = (description: string) => Type.Integer({ minimum: 0, description })
const counts = (description: string) => Type.Record(Type.String(), Type.Integer(), { description })
const closed = { additionalProperties: false } as const

const schema = Type.Object(
  {
    tenant: nullable(Type.String(), { description: 'Whose calls; null: all' }),
    nodes: nodesSchema,
    now: Type.Object(
      {
        calls: count('In progress, on all servers'),
        by_tenant: counts('The same of each tenant; of 100 at most, those with most'),
        by_route: counts('By the route with which they began; of 100 at most'),
        by_state: counts('By their state, as GET /v1/calls has it'),
      },
      { ...closed, description: 'Calls in progress' },
    ),
    begun: Type.Object(
      {
        per_second: Type.Number({ description: 'On average over the last 60 whole seconds' }),
        most_per_second: count('In the busiest of them'),
        seconds: Type.Array(Type.Integer(), {
          description: 'In each of them, the oldest first. Each server counts since its own start',
        }),
      },
      { ...closed, description: 'Calls that began lately, on all servers, whether or not they are over' },
    ),
    window: Type.Object(
      {
        from: moment('Since when'),
        seconds: count('How long it is'),
        calls: count('That ended in it and have their CDR'),
        answered: count('Of those, the ones whose caller was answered'),
        answer_seizure_ratio: nullable(Type.Number(), {
          description: 'Answered ones of all, 0 to 1; null: there are none',
        }),
        average_length_ms: nullable(Type.Integer(), {
          description: 'Of those answered, from the answer to the end; null: there are none',
        }),
        by_tenant: counts('Of 100 tenants at most, those with most'),
        by_route: counts('Of 100 at most'),
        by_cause: counts("By FreeSWITCH's hangup cause; of 100 at most"),
      },
      { ...closed, description: 'Calls that are over, of the CDRs in PostgreSQL' },
    ),
    statuses: nullable(
      Type.Array(
        Type.Object(
          {
            tenant: Type.String(),
            ...Object.fromEntries(statuses.map((status) => [status, Type.Integer()])),
          },
          closed,
        ),
      ),
      {
        description:
          'How many calls are in each of the Redis sets stats:calls:{tenant}:{status}, of those that had the ' +
          'status within a day; of the tenants above. Null: Redis is away',
      },
    ),
  },
  {
    ...closed,
    description: 'What calls do now, and did lately',
    examples: [
      {
        tenant: 'demo',
        nodes: { asked: 2, answered: 2, trouble: null },
        now: { calls: 3, by_tenant: { demo: 3 }, by_route: { dial: 2, menu: 1 }, by_state: { talking: 3 } },
        begun: { per_second: 0.05, most_per_second: 2, seconds: [0, 2, 1] },
        window: {
          from: '2025-01-31T08:00:00.000Z',
          seconds: 3600,
          calls: 120,
          answered: 90,
          answer_seizure_ratio: 0.75,
          average_length_ms: 64210,
          by_tenant: { demo: 120 },
          by_route: { dial: 120 },
          by_cause: { NORMAL_CLEARING: 92, USER_BUSY: 28 },
        },
        statuses: [
          { tenant: 'demo', ringing: 120, answered: 90, queued: 0, bridged: 88, transferred: 1, hangup: 118 },
        ],
      },
    ],
  },
)
type Stats = Static<typeof schema>

export const stats: FastifyPluginCallbackTypebox<AdminDependencies> = (app, dependencies, done) => {
  const { pool, redis, calls, catalog } = dependencies
  app.get(
    '/stats',
    {
      config: access('read', 'own'),
      schema: {
        operationId: 'getStats',
        tags: ['stats'],
        summary: 'Calls now, calls a second, and how those of a window ended',
        security,
        querystring: Type.Object(
          {
            tenant: queryTenant,
            window_seconds: Type.Optional(
              Type.Integer({
                minimum: 1,
                maximum: longestWindowSeconds,
                default: defaultWindowSeconds,
                description:
                  'How far back CDRs are counted, by the ends of their calls, in seconds. Default 3600',
              }),
            ),
          },
          closed,
        ),
        response: { 200: schema, ...problems(404, 422) },
      },
    },
    async ({ query: { tenant, window_seconds: windowSeconds = defaultWindowSeconds } }) => {
      if (tenant !== undefined && (hasNul(tenant) || catalog.tenant(tenant) === undefined))
        return refuseUnknownTenant(tenant)
      const [live, totals] = await Promise.all([
        calls.counts(tenant),
        totalsOf(pool, { windowSeconds, ...(tenant !== undefined && { tenant }) }),
      ])
      const byTenant = mostOf(live.byTenant)
      const named =
        tenant === undefined ? [...Object.keys(byTenant), ...Object.keys(totals.byTenant)] : [tenant]
      const begun = live.begun.reduce((sum, calls) => sum + calls, 0)
      return {
        tenant: tenant ?? null,
        nodes: shownNodes(live.nodes),
        now: {
          calls: live.calls,
          by_tenant: byTenant,
          by_route: mostOf(live.byRoute),
          by_state: { ...live.byState },
        },
        begun: {
          per_second: rounded(begun / live.begun.length),
          most_per_second: Math.max(...live.begun),
          seconds: [...live.begun],
        },
        window: {
          from: totals.from,
          seconds: windowSeconds,
          calls: totals.calls,
          answered: totals.answered,
          answer_seizure_ratio: totals.calls === 0 ? null : rounded(totals.answered / totals.calls),
          average_length_ms: totals.averageMs,
          by_tenant: { ...totals.byTenant },
          by_route: { ...totals.byRoute },
          by_cause: { ...totals.byCause },
        },
        statuses: await statusesOf(redis, [...new Set(named)].slice(0, mostTenants)),
      }
    },
  )
  done()
}

/** @throws Problem when there are too many CDRs to be counted in time */
async function totalsOf(pool: pg.Pool, wanted: Parameters<typeof callTotals>[1]): Promise<CallTotals> {
  try {
    return await callTotals(pool, wanted)
  } catch (error) {
    if (error instanceof pg.DatabaseError && error.code === '57014')
      throw new Problem('too_much', 'These CDRs take too long to count: ask for a shorter window_seconds.', {
        cause: error,
      })
    return fromStore(Promise.reject(error as Error))
  }
}

/** @returns null when Redis is away */
async function statusesOf(redis: Redis, tenants: readonly string[]): Promise<Stats['statuses']> {
  const commands = redis.pipeline()
  for (const tenant of tenants)
    for (const status of statuses) commands.scard(`stats:calls:${tenant}:${status}`)
  try {
    const sizes = tenants.length === 0 ? [] : ((await replies(commands)) as number[])
    return tenants.map((tenant, i) => ({
      tenant,
      ...Object.fromEntries(statuses.map((status, j) => [status, sizes[i * statuses.length + j] ?? 0])),
    }))
  } catch (error) {
    if (error instanceof RedisAway) return null
    throw error
  }
}

function mostOf(byName: Readonly<Record<string, number>>): Record<string, number> {
  const all = Object.entries(byName).sort(([, a], [, b]) => b - a)
  return Object.fromEntries(all.slice(0, mostTenants))
}

function rounded(value: number): number {
  return Math.round(value * 10_000) / 10_000
}
