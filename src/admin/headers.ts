import cors from '@fastify/cors'
import helmet from '@fastify/helmet'
import type { FastifyInstance } from 'fastify'

/**
 * What every answer tells a browser: to guess no types, to frame nothing, to load nothing from elsewhere.
 *
 * @param origins pages of these may use the API; none: no page of another origin may
 */
export async function sendSafely(app: FastifyInstance, origins: readonly string[]): Promise<void> {
  await app.register(helmet, {
    // Whether there is TLS is the matter of who puts it in front.
    hsts: false,
    contentSecurityPolicy: { directives: { 'upgrade-insecure-requests': null } },
  })
  if (origins.length === 0) return
  await app.register(cors, {
    origin: [...origins],
    methods: ['GET', 'POST', 'PATCH', 'DELETE'],
    allowedHeaders: ['authorization', 'content-type', 'if-match', 'idempotency-key'],
    exposedHeaders: ['etag', 'retry-after'],
    maxAge: 600,
  })
}
