import { createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import { bridgeMessage, handshake, lastEvent } from '../scenario.js'
import type { BenchServer } from './server.js'

/** Reads nothing but the one word that says that the call is over: no server can be cheaper. */
export async function startNothing(): Promise<BenchServer> {
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => undefined)
    // Split over two chunks the word would be missed: the tail of the one before is looked at as well.
    let tail = Buffer.alloc(0)
    let isOver = false
    socket.on('data', (chunk) => {
      if (isOver) return
      isOver =
        chunk.includes(lastEvent) ||
        Buffer.concat([tail, chunk.subarray(0, lastEvent.length)]).includes(lastEvent)
      // A copy: the view would keep the whole chunk.
      tail = Buffer.from(chunk.subarray(-lastEvent.length))
      if (isOver) socket.write('exit\n\n')
    })
    socket.write(handshake + bridgeMessage)
  })
  server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 })
  await once(server, 'listening')
  return { port: (server.address() as AddressInfo).port, close: () => server.close() }
}
