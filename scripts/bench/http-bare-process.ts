import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { cpuUsage } from 'node:process'
import { fastify } from 'fastify'
import { answer } from './worker.js'

/** Answers every request with the same JSON: what the machine can do at most. Answers `port` and `cpu`. */

const [kind, body = ''] = process.argv.slice(2)
const type = 'application/json; charset=utf-8'

async function start(): Promise<Server> {
  if (kind === 'fastify') {
    const app = fastify()
    app.get('/v1/blacklist/:number', (_request, reply) => reply.type(type).send(body))
    await app.listen({ host: '127.0.0.1', port: 0 })
    return app.server
  }
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': type, 'content-length': Buffer.byteLength(body) }).end(body)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return server
}

const server = await start()
answer(
  {
    port: () => (server.address() as AddressInfo).port,
    /** µs of CPU, user and system, since the process began. */
    cpu: () => {
      const { user, system } = cpuUsage()
      return user + system
    },
  },
  () => {
    server.closeAllConnections()
    server.close()
  },
)
