import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { getvar } from '../src/esl/command.js'
import { CommandRefused, ProtocolError, ReplyTimeout } from '../src/esl/errors.js'
import type { IncomingCall } from '../src/esl/listener.js'
import { apiResponse, jsonEvent, reply } from './support/frames.js'
import { channelData, handshakeCommands, Peer } from './support/peer.js'
import { callOf, listen } from './support/served.js'
import { isCollected, until } from './support/wire.js'

t.test('we speak first, all of it in one packet, and hand the channel over', async (t) => {
  const served = await listen(t)
  const peer = new Peer(t, served.listener)
  const [packet] = (await once(peer.socket, 'data')) as [Buffer]
  t.match(
    packet.toString(),
    /^connect\n\nlinger 30\n\nmyevents json\n\nnixevent CHANNEL_STATE (?:[A-Z_]+ )*[A-Z_]+\n\nevent json RECORD_STOP\n\n$/,
  )
  t.notMatch(
    packet.toString(),
    /HANGUP|BRIDGE|ANSWER|EXECUTE_COMPLETE/,
    'what a call lives by is not taken off',
  )
  peer.say(channelData('a-uuid') + reply('+OK').repeat(handshakeCommands - 1))
  await until(() => served.calls.length === 1)
  const [{ channel, isOverCapacity, connection }] = served.calls as [IncomingCall]
  t.equal(channel.get('Unique-ID'), 'a-uuid')
  t.equal(channel.get('Caller-Destination-Number'), '0901234567')
  t.match(channel.get('variable_switch_r_sdp'), /^v=0\r\n/)
  t.equal(isOverCapacity, false)
  t.equal(served.listener.calls, 1)
  const answered = connection.send(getvar('a'))
  await peer.hears(handshakeCommands + 1)
  peer.say(reply('1'))
  t.equal(await answered, '1')
  peer.socket.end()
  await until(() => served.listener.calls === 0)
  t.same(served.errors, [])
})

t.test('a socket without `full` is told of in the log, and its call is served', async (t) => {
  const served = await listen(t)
  const peer = new Peer(t, served.listener)
  await peer.hears(handshakeCommands)
  peer.say(channelData('a') + reply('-ERR not controlling a session').repeat(handshakeCommands - 1))
  await until(() => served.calls.length === 1 && served.errors.length === handshakeCommands - 1)
  for (const { error } of served.errors) t.match(error, CommandRefused)
  t.equal(served.calls[0]?.connection.isClosed, false)
})

t.test('an address that is not allowed gets nothing', async (t) => {
  const served = await listen(t)
  const stranger = new Peer(t, served.listener, '127.0.0.2')
  await stranger.closed()
  t.equal(stranger.received, '')
  t.equal(served.errors[0]?.about.remoteAddress, '127.0.0.2')
  await Peer.call(t, served.listener, 'a')
  await until(() => served.calls.length === 1)
  t.equal(served.errors.length, 1)
})

t.test(
  'a call over capacity is connected and handed over to be refused, one that was ours never',
  async (t) => {
    const served = await listen(t, {
      maxCalls: 2,
      isKnownCall: (channel) => channel.has('variable_linger_call'),
    })
    const { listener } = served
    const peers = new Map<string, Peer>()
    for (const uuid of ['a', 'b', 'over-1', 'over-2', 'over-3']) {
      peers.set(uuid, await Peer.call(t, listener, uuid))
      await until(() => callOf(served, uuid) !== undefined)
      t.equal(callOf(served, uuid)?.isOverCapacity, uuid.startsWith('over'), uuid)
    }
    t.equal(listener.calls, 2)
    await Peer.call(t, listener, 'known', 'variable_linger_call: eyJ2IjoxfQ')
    await until(() => callOf(served, 'known') !== undefined)
    t.equal(callOf(served, 'known')?.isOverCapacity, false)
    t.equal(listener.calls, 3)
    for (const uuid of ['a', 'b']) peers.get(uuid)?.socket.end()
    await until(() => listener.calls === 1)
    await Peer.call(t, listener, 'next')
    await until(() => callOf(served, 'next') !== undefined)
    t.equal(callOf(served, 'next')?.isOverCapacity, false, 'calls that are being refused take no place')
  },
)

t.test('a peer that does not finish the handshake is let go at its deadline, and told of once', async (t) => {
  const served = await listen(t, { handshakeTimeoutMs: 60 })
  const silent = new Peer(t, served.listener)
  const slow = new Peer(t, served.listener)
  await slow.hears(handshakeCommands)
  slow.say(channelData('slow').slice(0, 500))
  await Promise.all([silent.closed(), slow.closed()])
  await until(() => served.errors.length === 2)
  for (const { error, about } of served.errors) {
    t.match(error, ReplyTimeout)
    t.match(about.remoteAddress, /^127\.0\.0\.1:\d+$/)
  }
  t.same(served.calls, [])
})

t.test('a peer that is no FreeSWITCH is let go', async (t) => {
  const served = await listen(t)
  const stranger = new Peer(t, served.listener)
  stranger.say('HTTP/1.1 400 Bad Request\n\n')
  await stranger.closed()
  const nameless = new Peer(t, served.listener)
  nameless.say('Event-Name: CHANNEL_DATA\nContent-Type: command/reply\nReply-Text: +OK\n\n')
  await nameless.closed()
  const passerBy = new Peer(t, served.listener)
  await once(passerBy.socket, 'connect')
  passerBy.socket.destroy()
  await until(() => served.errors.length === 3)
  t.match(served.errors[0]?.error, ProtocolError)
  t.match(served.errors[1]?.error, { code: 'PROTOCOL', message: 'channel data without Unique-ID' })
  t.same(served.calls, [])
})

t.test('a connection that is reset before it is accepted does no harm', async (t) => {
  const served = await listen(t)
  // Nothing is accepted between the two signals: this thread sleeps.
  const signals = new Int32Array(new SharedArrayBuffer(8))
  const worker = new Worker(
    `const { workerData: { port, signals } } = require('node:worker_threads')
     Atomics.wait(signals, 0, 0)
     const socket = require('node:net').connect(port, '127.0.0.1', () => {
       socket.resetAndDestroy()
       setImmediate(() => { Atomics.store(signals, 1, 1); Atomics.notify(signals, 1) })
     })`,
    { eval: true, workerData: { port: served.listener.address.port, signals } },
  )
  await once(worker, 'online')
  Atomics.store(signals, 0, 1)
  Atomics.notify(signals, 0)
  Atomics.wait(signals, 1, 0)
  await once(worker, 'exit')
  await Peer.call(t, served.listener, 'a')
  await until(() => served.calls.length === 1)
  t.same(served.errors, [])
})

t.test('what goes wrong in one call is told once, with its uuid, and leaves the others alone', async (t) => {
  const served = await listen(t, {
    onCall: async (call) => {
      const uuid = call.channel.get('Unique-ID')
      if (uuid === 'rejects') throw new Error('a bug')
      call.connection.onEvent = () => {
        throw new Error('a bug in a handler')
      }
      if (uuid === 'waits') await call.connection.send(getvar('never answered'.replaceAll(' ', '_')))
      else await call.connection.closed()
    },
  })
  const sound = await Peer.call(t, served.listener, 'sound')
  await (await Peer.call(t, served.listener, 'rejects')).closed()
  for (const uuid of ['throws', 'waits']) {
    const peer = await Peer.call(t, served.listener, uuid)
    peer.say(jsonEvent('CHANNEL_ANSWER'))
    await peer.closed()
  }
  await until(() => served.errors.length >= 3)
  t.same(
    served.errors.map(({ error, about }) => [error.message, about.callUuid]),
    [
      ['a bug', 'rejects'],
      ['a bug in a handler', 'throws'],
      ['a bug in a handler', 'waits'],
    ],
  )
  t.equal(served.listener.calls, 1)
  sound.socket.end()
  await until(() => served.listener.calls === 0)
  t.equal(served.errors.length, 3)
})

t.test('a silent call is asked after: it goes on while the switch knows it, and no longer', async (t) => {
  const served = await listen(t, { idleMs: 20 })
  const peer = await Peer.call(t, served.listener, 'a-uuid')
  for (let probes = 1; probes <= 3; probes++) {
    await peer.hears(handshakeCommands + probes)
    t.equal(peer.commands.at(-1), 'api uuid_exists a-uuid')
    t.equal(served.listener.calls, 1)
    peer.say(apiResponse(probes < 3 ? 'true' : 'false'))
  }
  await peer.closed()
  t.match(served.errors, [{ error: { message: 'the switch no longer knows the call' } }])
})

t.test('a switch that has vanished without a word is noticed', async (t) => {
  const served = await listen(t, { idleMs: 20, connection: { replyTimeoutMs: 50 } })
  const peer = await Peer.call(t, served.listener, 'a')
  await peer.closed()
  t.match(served.errors, [{ error: { code: 'REPLY_TIMEOUT' }, about: { callUuid: 'a' } }])
  t.equal(served.listener.calls, 0)
})

t.test("the channel's data is let go while the call goes on", async (t) => {
  let channel: WeakRef<object> | undefined
  const served = await listen(t, {
    onCall: (call) => {
      channel = new WeakRef(call.channel)
      return call.connection.closed()
    },
  })
  await Peer.call(t, served.listener, 'a')
  await until(() => channel !== undefined)
  await isCollected(channel!)
  t.equal(served.listener.calls, 1)
})
