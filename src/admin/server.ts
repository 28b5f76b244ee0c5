import { fastify, LogController, type FastifyBaseLogger, type FastifyInstance } from 'fastify'
import { guardAccess } from './access.js'
import { Authentication } from './auth.js'
import { takeJson } from './bodies.js'
import type { AdminDependencies } from './dependencies.js'
import { describeApi } from './description.js'
import { answerClientError, answerError, answerNotFound } from './errors.js'
import { guessesOf, limitRates } from './limits.js'
import { audit } from './resources/audit.js'
import { bookings } from './resources/bookings.js'
import { callActions } from './resources/call-actions.js'
import { calls } from './resources/calls.js'
import { cdrExport } from './resources/cdr-export.js'
import { cdrs } from './resources/cdrs.js'
import { costs } from './resources/costs.js'
import { decks } from './resources/decks.js'
import { discarded } from './resources/discarded.js'
import { extensions } from './resources/extensions.js'
import { hours, menus } from './resources/flows.js'
import { gateways } from './resources/gateways.js'
import { health } from './resources/health.js'
import { journal } from './resources/journal.js'
import { keys } from './resources/keys.js'
import { blacklist, vip } from './resources/lists.js'
import { numbers } from './resources/numbers.js'
import { plan } from './resources/plan.js'
import { stats } from './resources/stats.js'
import { rateFiles } from './resources/rate-files.js'
import { rates } from './resources/rates.js'
import { switches } from './resources/switches.js'
import { tenants } from './resources/tenants.js'
import { transactions } from './resources/transactions.js'
import { problem } from './schemas.js'
import { sendSafely } from './headers.js'
import { compileValidator } from './validator.js'

const bodyLimitBytes = 64 * 1024
/** For the whole request, head and body; a client that sends it drop by drop is cut off. */
const requestTimeoutMs = 30_000
/** A number of 64 characters, every one of them percent-escaped in UTF-8. */
const longestParameter = 64 * 9

/** What is under /v1: a file a resource. */
const resources = [
  audit,
  blacklist,
  bookings,
  callActions,
  calls,
  cdrExport,
  cdrs,
  costs,
  decks,
  discarded,
  extensions,
  gateways,
  journal,
  hours,
  keys,
  menus,
  numbers,
  plan,
  stats,
  rateFiles,
  rates,
  switches,
  tenants,
  transactions,
  vip,
]

/** Makes the admin API; it does not listen yet. Everything under /v1 needs an admin key. */
export async function buildAdmin(dependencies: AdminDependencies): Promise<FastifyInstance> {
  const { keyPool, rateLimits, trustedProxies } = dependencies
  const loggerInstance: FastifyBaseLogger = dependencies.log
  const app = fastify({
    loggerInstance,
    // A line for each request says little; what changes something logs it.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: bodyLimitBytes,
    requestTimeout: requestTimeoutMs,
    trustProxy: trustedProxies ?? false,
    routerOptions: { maxParamLength: longestParameter },
    frameworkErrors: answerError,
    clientErrorHandler: answerClientError,
  })
  app.setValidatorCompiler(compileValidator)
  app.setErrorHandler(answerError)
  app.setNotFoundHandler(answerNotFound)
  app.addSchema(problem)
  takeJson(app)

  await sendSafely(app, dependencies.corsOrigins ?? [])
  await describeApi(app)
  await app.register(health, dependencies)
  await app.register(
    async (v1) => {
      v1.decorateRequest('apiKey', undefined)
      await limitRates(v1, rateLimits)
      const authentication = new Authentication({ pool: keyPool, guesses: guessesOf(v1, rateLimits) })
      v1.addHook('onRequest', (request) => authentication.check(request))
      v1.decorate('authentication', authentication)
      guardAccess(v1)
      for (const resource of resources) await v1.register(resource, dependencies)
    },
    { prefix: '/v1' },
  )
  for (const plugin of dependencies.plugins ?? []) await app.register(plugin)
  return app
}
