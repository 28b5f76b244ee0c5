import type { FastifyInstance } from 'fastify'
import { Problem } from './errors.js'

const json = 'application/json'
/** RFC 7396: what a PATCH is. */
const mergePatch = 'application/merge-patch+json'

/**
 * Lets the routes that are registered from now on take JSON. Many clients call every request JSON, also one without a
 * body: whether one is needed, the route's schema says.
 */
export function takeJson(app: FastifyInstance): void {
  // `__proto__` and its like are no fields of anything.
  const parse = app.getDefaultJsonParser('error', 'error')
  app.removeContentTypeParser(json)
  app.addContentTypeParser<string>(json, { parseAs: 'string' }, (request, body, done) => {
    if (body === '') done(null, undefined)
    else void parse(request, body, done)
  })
  app.addContentTypeParser<string>(mergePatch, { parseAs: 'string' }, (request, body, done) => {
    if (request.method !== 'PATCH')
      done(new Problem('unsupported_media_type', `Content-Type must be ${json}.`))
    else if (body === '') done(null, undefined)
    else void parse(request, body, done)
  })
  app.addHook('onRoute', ({ method, schema }) => {
    if (method === 'PATCH' && schema?.body !== undefined) schema.consumes ??= [json, mergePatch]
  })
}
