import { readFile } from 'node:fs/promises'
import swagger from '@fastify/swagger'
import { fastify, LogController, type FastifyBaseLogger, type FastifyInstance } from 'fastify'
import { Authentication } from './auth.js'
import type { AdminDependencies } from './dependencies.js'
import { answerClientError, answerError, answerNotFound } from './errors.js'
import { bookings } from './resources/bookings.js'
import { cdrs } from './resources/cdrs.js'
import { gateways } from './resources/gateways.js'
import { health } from './resources/health.js'
import { blacklist, vip } from './resources/lists.js'
import { switches } from './resources/switches.js'
import { tenants } from './resources/tenants.js'
import { transactions } from './resources/transactions.js'
import { problem } from './schemas.js'
import { compileValidator } from './validator.js'

const bodyLimitBytes = 64 * 1024
/** For the whole request, head and body; a client that sends it drop by drop is cut off. */
const requestTimeoutMs = 30_000
/** A number of 64 characters, every one of them percent-escaped in UTF-8. */
const longestParameter = 64 * 9

/** What is under /v1: a file a resource. */
const resources = [cdrs, tenants, bookings, transactions, blacklist, vip, switches, gateways]

/** Makes the admin API; it does not listen yet. Everything under /v1 needs an admin key. */
export async function buildAdmin(dependencies: AdminDependencies): Promise<FastifyInstance> {
  const { pool } = dependencies
  const loggerInstance: FastifyBaseLogger = dependencies.log
  const app = fastify({
    loggerInstance,
    // A line for each request says little; what changes something logs it.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: bodyLimitBytes,
    requestTimeout: requestTimeoutMs,
    routerOptions: { maxParamLength: longestParameter },
    frameworkErrors: answerError,
    clientErrorHandler: answerClientError,
  })
  app.setValidatorCompiler(compileValidator)
  app.setErrorHandler(answerError)
  app.setNotFoundHandler(answerNotFound)
  app.addSchema(problem)

  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Linger',
        version: await ownVersion(),
        description: 'Admin API of Linger, the call-control and billing server for FreeSWITCH.',
      },
      components: {
        securitySchemes: {
          bearer: { type: 'http', scheme: 'bearer', description: 'An API key with the role admin' },
        },
      },
    },
    refResolver: { buildLocalReference: (json) => json.$id as string },
  })
  await app.register(health, dependencies)
  await app.register(
    async (v1) => {
      const authentication = new Authentication(pool)
      v1.decorateRequest('apiKey', undefined)
      v1.addHook('onRequest', (request) => authentication.check(request))
      for (const resource of resources) await v1.register(resource, dependencies)
    },
    { prefix: '/v1' },
  )
  for (const plugin of dependencies.plugins ?? []) await app.register(plugin)
  app.get('/openapi.json', { schema: { hide: true } }, () => app.swagger())
  return app
}

async function ownVersion(): Promise<string> {
  const file = await readFile(new URL('../../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(file) as { version: string }).version
}
