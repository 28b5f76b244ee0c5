import { BlockList } from 'node:net'
import type { Test } from 'tap'
import { Listener, type IncomingCall, type ListenerOptions } from '../../src/esl/listener.js'

function allowing(...addresses: string[]): BlockList {
  const allow = new BlockList()
  for (const address of addresses) allow.addAddress(address)
  return allow
}

export interface Served {
  readonly listener: Listener
  readonly calls: IncomingCall[]
  readonly errors: { error: Error; about: { remoteAddress: string; callUuid?: string } }[]
}

/** A listener whose calls last until their connection closes. */
export async function listen(t: Test, options: Partial<ListenerOptions> = {}): Promise<Served> {
  const calls: IncomingCall[] = []
  const errors: Served['errors'] = []
  const listener = await Listener.listen({
    host: '127.0.0.1',
    port: 0,
    allow: allowing('127.0.0.1'),
    maxCalls: 1000,
    lingerSeconds: 30,
    onCall: async (call) => {
      calls.push(call)
      await call.connection.closed()
    },
    onError: (error, about) => errors.push({ error, about: { ...about } }),
    ...options,
  })
  t.teardown(() => listener.close({ deadlineMs: 0 }))
  return { listener, calls, errors }
}

export function callOf({ calls }: Served, uuid: string): IncomingCall | undefined {
  return calls.find(({ channel }) => channel.get('Unique-ID') === uuid)
}
