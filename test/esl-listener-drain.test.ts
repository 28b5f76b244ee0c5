import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import { Released } from '../src/esl/listener.js'
import { reply } from './support/frames.js'
import { channelData, handshakeCommands, Peer } from './support/peer.js'
import { callOf, listen } from './support/served.js'
import { until } from './support/wire.js'

async function isRefused(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  return once(socket, 'connect').then(
    () => {
      socket.destroy()
      return false
    },
    (error: unknown) => (error as { code?: string }).code === 'ECONNREFUSED',
  )
}

t.test('a drain serves what is queued, then refuses, and waits for the calls that end in time', async (t) => {
  const served = await listen(t)
  const { listener } = served
  const { port } = listener.address
  const peers = Array.from({ length: 60 }, () => new Peer(t, listener))
  // They are connected now as far as the kernel goes, and none is accepted.
  await new Promise<void>((resolve) => {
    process.nextTick(resolve)
  })
  t.equal(listener.isDraining, false)
  const closing = listener.close({ deadlineMs: 60_000 })
  t.equal(listener.isDraining, true)
  for (const [index, peer] of peers.entries()) {
    await peer.hears(handshakeCommands)
    peer.say(channelData(`call-${index}`) + reply('+OK').repeat(3))
  }
  await until(() => served.calls.length === peers.length)
  await nextTurn()
  await nextTurn()
  t.equal(await isRefused(port), true)
  let isClosed = false
  void closing.then(() => (isClosed = true))
  for (const peer of peers.slice(1)) peer.socket.end()
  await until(() => listener.calls === 1)
  t.equal(isClosed, false)
  peers[0]?.socket.end()
  t.equal(await closing, 0)
  t.same(served.errors, [])
})

t.test('at the deadline of a drain the calls that are left are given to the next action', async (t) => {
  const served = await listen(t)
  const { listener } = served
  const talking = await Peer.call(t, listener, 'talking')
  const mute = await Peer.call(t, listener, 'mute')
  await until(() => served.calls.length === 2)
  const closing = listener.close({ deadlineMs: 50 })
  t.equal(listener.close({ deadlineMs: 60_000 }), closing, 'a second close waits for the same')
  await Promise.all([talking, mute].map((peer) => peer.hears(handshakeCommands + 1)))
  t.equal(talking.commands.at(-1), 'exit')
  talking.say(reply('+OK bye'))
  await until(() => callOf(served, 'talking')?.connection.isClosed === true)
  t.match(callOf(served, 'talking')?.connection.closedBy, Released)
  t.equal(await closing, 2, 'a switch that does not answer is not waited for')
  t.equal(callOf(served, 'mute')?.connection.isClosed, true)
  await Promise.all([talking.closed(), mute.closed()])
})

t.test('a drain without calls is over at once', async (t) => {
  const { listener } = await listen(t)
  const { port } = listener.address
  t.equal(await listener.close({ deadlineMs: 60_000 }), 0)
  t.equal(await isRefused(port), true)
})

t.test('a port that is in use is an error of the one who listens', async (t) => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.teardown(() => other.close())
  const { port } = other.address() as AddressInfo
  await t.rejects(listen(t, { port }), { code: 'EADDRINUSE' })
})
