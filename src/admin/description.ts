import { readFile } from 'node:fs/promises'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import { accessWords } from './access.js'

/** The page loads what is its own, and asks this server alone. */
const pagePolicy =
  "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"

/** Describes the routes that are registered from now on, in /openapi.json and, for people, at /docs. */
export async function describeApi(app: FastifyInstance): Promise<void> {
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
          bearer: {
            type: 'http',
            scheme: 'bearer',
            description: 'An API key with the role read, operate or admin; it may be bound to a tenant',
          },
        },
      },
    },
    refResolver: { buildLocalReference: (json) => json.$id as string },
    transform: ({ schema, url, route }) => {
      const needed = route.config?.access
      if (needed === undefined) return { schema, url }
      const { description } = schema
      const words = accessWords(needed)
      return {
        schema: { ...schema, description: description === undefined ? words : `${description}\n\n${words}` },
        url,
      }
    },
  })
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: true,
    transformStaticCSP: () => pagePolicy,
  })
  app.get('/openapi.json', { schema: { hide: true } }, () => app.swagger())
}

async function ownVersion(): Promise<string> {
  const file = await readFile(new URL('../../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(file) as { version: string }).version
}
