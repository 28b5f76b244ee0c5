import { Type, type FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { checkRedis } from '../../screening/redis.js'
import { checkDatabase } from '../../store/database.js'
import { Problem, problemType } from '../errors.js'
import { problem } from '../schemas.js'
import type { AdminDependencies, Check, RabbitStatus, SwitchStatus } from '../dependencies.js'

const checks = Type.Array(
  Type.Object(
    {
      name: Type.String(),
      ok: Type.Boolean(),
      detail: Type.Optional(Type.String({ description: 'What is wrong' })),
    },
    { additionalProperties: false },
  ),
)

const alive = Type.Object(
  {
    status: Type.Literal('ok'),
    unscreened_calls: Type.Integer({
      minimum: 0,
      description: 'Calls since the start for which the lists could not be asked',
    }),
  },
  { additionalProperties: false, description: 'It is', examples: [{ status: 'ok', unscreened_calls: 0 }] },
)

const ready = Type.Object(
  { status: Type.Literal('ready'), checks },
  {
    additionalProperties: false,
    description: 'It can',
    examples: [{ status: 'ready', checks: [{ name: 'redis', ok: true }] }],
  },
)
const notReady = Type.Object({ ...problem.properties, checks }, { additionalProperties: false })

/** For load balancers and monitors: open, and cheap. */
export const health: FastifyPluginCallbackTypebox<AdminDependencies> = (app, dependencies, done) => {
  const { pool, redis, screening, catalog, switches, rabbit, readiness } = dependencies

  app.get(
    '/health',
    {
      schema: {
        operationId: 'getHealth',
        tags: ['health'],
        summary: 'Whether the server is alive',
        response: { 200: alive },
      },
    },
    () => ({ status: 'ok' as const, unscreened_calls: screening.failures }),
  )

  app.get(
    '/ready',
    {
      schema: {
        operationId: 'getReadiness',
        tags: ['health'],
        summary: 'Whether the server can take calls, and if not, what is away and why',
        response: {
          200: ready,
          503: { description: 'It cannot', content: { [problemType]: { schema: notReady } } },
        },
      },
    },
    async (_request, reply) => {
      const results = await Promise.all([
        check('postgresql', checkDatabase(pool)),
        check('redis', checkRedis(redis)),
        Promise.resolve(checkCatalog(catalog.ready)),
        readiness(),
      ])
      const vital = results.flat()
      const failed = vital.filter(({ ok }) => !ok)
      // Shown, no more: while one switch restarts, the calls of the others come in all the same.
      const all = [...vital, ...switches().map(checkSwitch), ...[rabbit()].flatMap(checkRabbit)]
      if (failed.length === 0) return { status: 'ready' as const, checks: all }
      const detail = failed.map(({ name, detail }) => `${name}: ${detail ?? 'not ready'}`).join('; ')
      const body = { ...new Problem('not_ready', detail).toJSON(), checks: all }
      return reply.code(503).type(problemType).send(body)
    },
  )

  done()
}

/** What it does not take waits in the journal: calls go on. */
function checkRabbit(status: RabbitStatus | undefined): Check[] {
  if (status === undefined) return []
  const { isUp, trouble, lost } = status
  const gone = lost === 0 ? undefined : `${lost} events were lost since the start, for want of space`
  const detail = [trouble, gone].filter((part) => part !== undefined).join('; ')
  return [{ name: 'rabbitmq', ok: isUp && trouble === undefined, ...(detail !== '' && { detail }) }]
}

async function check(name: string, asked: Promise<unknown>): Promise<Check> {
  try {
    await asked
    return { name, ok: true }
  } catch (error) {
    return { name, ok: false, detail: (error as Error).message }
  }
}

function checkCatalog(ok: boolean): Check {
  return {
    name: 'catalog',
    ok,
    ...(!ok && { detail: 'tenants, gateways and rates are as they were last read' }),
  }
}

function checkSwitch({ name, isUp, trouble }: SwitchStatus): Check {
  return { name: `switch ${name}`, ok: isUp, ...(!isUp && trouble !== undefined && { detail: trouble }) }
}
