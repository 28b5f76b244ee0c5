import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fastify } from 'fastify'
import t, { type Test } from 'tap'
import { answerClientError, answerError } from '../src/admin/errors.js'
import { takeUploads, uploaded } from '../src/admin/upload.js'

/** A server whose requests must be whole at once, but for what `/file` takes. */
async function start(t: Test) {
  const app = fastify({
    requestTimeout: 100,
    http: { connectionsCheckingInterval: 20, requestTimeout: 100 },
    clientErrorHandler: answerClientError,
  })
  app.setErrorHandler(answerError)
  app.post('/json', () => ({}))
  await app.register((scope, _, done) => {
    takeUploads(scope, 'text/csv')
    scope.post('/file', async (request, reply) => {
      let bytes = 0
      for await (const chunk of uploaded(request, reply)) bytes += chunk.length
      return { bytes }
    })
    done()
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  t.teardown(() => app.close())
  const { port } = app.server.address() as AddressInfo
  return (path: string, type: string) => {
    const headers = { 'content-type': type, 'transfer-encoding': 'chunked' }
    const request = httpRequest({ port, host: '127.0.0.1', method: 'POST', path, headers })
    request.on('error', () => undefined)
    t.teardown(() => request.destroy())
    return request
  }
}

async function answerTo(answered: Promise<unknown[]>): Promise<[number | undefined, unknown]> {
  const [answer] = (await answered) as [IncomingMessage]
  return [answer.statusCode, JSON.parse((await answer.toArray()).join(''))]
}

t.test('a file may take longer than other requests, as long as something comes of it', async (t) => {
  const open = await start(t)
  const slow = open('/file', 'text/csv')
  slow.write('a')
  // Each is begun after the file, and over before it.
  for (let round = 0; round < 3; round++) {
    const other = open('/json', 'application/json')
    const answered = once(other, 'response')
    other.write('{')
    t.match(await answerTo(answered), [408, { type: 'urn:linger:problem:timeout' }])
    slow.write('b')
  }
  const answered = once(slow, 'response')
  slow.end('c')
  t.strictSame(await answerTo(answered), [200, { bytes: 5 }])
})

t.test('what the route of a file does not take is as short of time as anything else', async (t) => {
  const open = await start(t)
  const other = open('/file', 'application/json')
  const refused = once(other, 'response')
  other.write('{')
  t.match(await answerTo(refused), [415, {}])
})
