import { createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import { FreeSwitchServer, type FreeSwitchResponse } from 'esl'
import { dialString, eventNames } from '../scenario.js'
import type { BenchServer } from './server.js'

const silent = () => undefined
/** In ms: a bridge lasts as long as the talk. */
const bridgeTimeoutMs = 24 * 60 * 60 * 1000

/** The server of the `esl` package, used as its documentation says, with the events that Linger asks for. */
export async function startEslPackage(): Promise<BenchServer> {
  const server = new FreeSwitchServer({
    all_events: false,
    logger: { debug: silent, info: silent, error: silent },
  })
  server.on('error', (error) => {
    process.stderr.write(`esl: ${error.message}\n`)
  })
  server.on('connection', (call) => {
    serve(call).catch((error: unknown) => {
      process.stderr.write(`esl: ${String(error)}\n`)
    })
  })
  const port = await freePort()
  await server.listen({ host: '127.0.0.1', port })
  return { port, close: () => void server.close() }
}

async function serve(call: FreeSwitchResponse): Promise<void> {
  // Without a listener of our own the package says `exit` 4 s later, whatever the handler does.
  call.once('cleanup_linger', silent)
  const final = call.onceAsync('CHANNEL_HANGUP_COMPLETE', undefined, 'the end of the call')
  await call.linger()
  await call.event_json(...eventNames)
  await call.command('bridge', dialString, bridgeTimeoutMs)
  await final
  await call.exit()
}

/** Its `listen` says neither which port it got nor that one is taken. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
