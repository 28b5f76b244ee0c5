import { BlockList } from 'node:net'
import { Channel } from '../../../src/channel/channel.js'
import { CallerGone } from '../../../src/esl/errors.js'
import { Listener, type IncomingCall } from '../../../src/esl/listener.js'
import { dialString } from '../scenario.js'
import type { BenchServer } from './server.js'

/** Linger's listener and channel with a route that bridges and ends; no session, no money, no database. */
export async function startLinger(): Promise<BenchServer> {
  const allow = new BlockList()
  allow.addSubnet('127.0.0.0', 8)
  const listener = await Listener.listen({
    host: '127.0.0.1',
    port: 0,
    allow,
    maxCalls: 100_000,
    lingerSeconds: 30,
    onCall: serve,
    onError: (error) => {
      if (!(error instanceof CallerGone)) process.stderr.write(`${error.message}\n`)
    },
  })
  return { port: listener.address.port, close: () => listener.close({ deadlineMs: 0 }) }
}

function serve({ connection, channel: data }: IncomingCall): Promise<void> {
  return run(new Channel(connection, data.get('Unique-ID') ?? '', () => undefined))
}

async function run(channel: Channel): Promise<void> {
  try {
    await channel.bridge(dialString)
    await channel.hangup('NORMAL_CLEARING')
  } catch (error) {
    if (!(error instanceof CallerGone)) throw error
  }
  await channel.finalEvent(20_000)
  await channel.exit()
}
