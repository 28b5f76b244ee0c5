import { once } from 'node:events'
import t from 'tap'
import { execute, exit, getvar } from '../src/esl/command.js'
import { CallerGone, Overloaded, ProtocolError } from '../src/esl/errors.js'
import { answer, connectionPair, outcome, type Pair } from './support/connection.js'
import { jsonEvent, reply } from './support/frames.js'
import { until } from './support/wire.js'

t.test('commands wait for a peer that does not read, and go out in order when it does', async (t) => {
  const { connection, socket, far } = await connectionPair(t, { maxQueuedBytes: 50_000_000 })
  far.pause()
  const sent: Promise<string>[] = []
  const argument = 'x'.repeat(50_000)
  while (!socket.writableNeedDrain) sent.push(connection.send(execute(`app${sent.length}`, argument)))
  for (let more = 0; more < 20; more++) sent.push(connection.send(execute(`app${sent.length}`, argument)))
  t.ok(socket.writableLength < 200_000, 'what waits is not in the socket')
  answer(far, (command) => reply(/app\d+/.exec(command)?.[0] ?? ''))
  far.resume()
  t.same(
    await Promise.all(sent),
    sent.map((_, index) => `app${index}`),
  )
})

t.test('more commands than may wait end the connection with Overloaded', async (t) => {
  const { connection, socket, far } = await connectionPair(t, { maxQueuedBytes: 100_000 })
  far.pause()
  const sent: Promise<unknown>[] = []
  while (!connection.isClosed) sent.push(outcome(connection.send(execute('set', 'x'.repeat(10_000)))))
  t.match(connection.closedBy, Overloaded)
  t.ok(socket.destroyed)
  const results = await Promise.all(sent)
  t.ok(results.every((result) => result instanceof Overloaded))
})

t.test('a connection that is paused makes its peer wait, and then has all of it', async (t) => {
  const { connection, socket, far } = await connectionPair(t)
  let count = 0
  connection.onEvent = () => count++
  connection.pause()
  const packet = jsonEvent('E', 'x'.repeat(10_000)).repeat(100)
  for (let packets = 0; packets < 30; packets++) far.write(packet)
  const clock = await connectionPair(t)
  answer(clock.far, () => reply('+OK'))
  for (let turns = 0; turns < 100; turns++) await clock.connection.send(getvar('a'))
  t.ok(socket.bytesRead < 1_000_000, `${socket.bytesRead} bytes were read`)
  t.ok(far.writableLength > 10_000_000, 'the rest waits at the peer')
  t.equal(count, 0)
  connection.resume()
  await until(() => count === 3000)
})

t.test('a handler may pause in the middle of a packet', async (t) => {
  const { connection, far } = await connectionPair(t)
  const seen: string[] = []
  connection.onEvent = ({ name }) => {
    seen.push(name)
    connection.pause()
  }
  far.write(jsonEvent('E1') + jsonEvent('E2') + jsonEvent('E3'))
  await until(() => seen.length === 1)
  connection.resume()
  t.same(seen, ['E1', 'E2'])
  connection.resume()
  t.same(seen, ['E1', 'E2', 'E3'])
  connection.close()
  connection.resume()
  t.equal(seen.length, 3)
})

t.test('CallerGone, which ends calls, has no stack; what is thrown after it has one', (t) => {
  const cause = new ProtocolError('odd')
  const gone = new CallerGone('the socket is closed', { cause })
  t.notMatch(gone.stack, /\n +at /)
  t.equal(gone.cause, cause)
  t.equal(gone.code, 'CALLER_GONE')
  t.match(new ProtocolError('odd').stack, /\n +at /)
  t.end()
})

t.test('whoever closes, all that waits is rejected with CallerGone, once', async (t) => {
  const cases: [who: string, close: (pair: Pair) => void, closedBy: RegExp | undefined][] = [
    [
      'we do',
      ({ connection }) => {
        connection.close()
      },
      undefined,
    ],
    [
      'we do, for a reason',
      ({ connection }) => {
        connection.close(new Error('reason'))
      },
      /reason/,
    ],
    ['the peer ends', ({ far }) => far.end(), undefined],
    ['the peer resets', ({ far }) => far.resetAndDestroy(), /ECONNRESET/],
    ['an error', ({ socket }) => socket.destroy(new Error('EPIPE')), /EPIPE/],
    ['the socket is destroyed', ({ socket }) => socket.destroy(), undefined],
    ['the peer talks rubbish', ({ far }) => far.write('HTTP/1.1 200 OK\n\n'), /Content-Type/],
    ['the peer stops inside a head', ({ far }) => far.end('Content-Type: comm'), /18 bytes into a frame/],
    ['the peer stops inside a body', ({ far }) => far.end(jsonEvent('E').slice(0, -3)), /bytes into a frame/],
    [
      'the peer replies to nothing',
      ({ far }) => far.write(reply('1') + reply('2') + reply('3')),
      /no command/,
    ],
  ]
  for (const [who, close, closedBy] of cases) {
    const pair = await connectionPair(t)
    const waiting = pair.connection.sendAll([getvar('a'), getvar('b')]).map(outcome)
    const closed = [pair.connection.closed(), pair.connection.closed()]
    close(pair)
    await Promise.all(closed)
    const results = await Promise.all(waiting)
    if (who !== 'the peer replies to nothing') for (const result of results) t.match(result, CallerGone, who)
    t.equal(pair.connection.isClosed, true)
    if (closedBy === undefined) t.equal(pair.connection.closedBy, undefined, who)
    else t.match(pair.connection.closedBy?.message, closedBy, who)
    const before = pair.connection.closedBy
    pair.connection.close(new Error('again'))
    t.equal(pair.connection.closedBy, before, 'a second close changes nothing')
    await pair.connection.closed()
    t.match(await outcome(pair.connection.send(getvar('c'))), { code: 'CALLER_GONE', cause: before })
    for (const sent of pair.connection.sendAll([getvar('d'), exit()]))
      t.match(await outcome(sent), CallerGone)
  }
})

t.test('what was written before a close arrives', async (t) => {
  const { connection, far } = await connectionPair(t)
  let received = ''
  far.on('data', (chunk: Buffer) => (received += chunk.toString()))
  const sent = outcome(connection.send(exit()))
  connection.close()
  await once(far, 'close')
  t.equal(received, 'exit\n\n')
  t.match(await sent, CallerGone)
})

t.test('a peer that has stopped reading cannot keep a closed socket open', async (t) => {
  const { connection, socket, far } = await connectionPair(t)
  far.pause()
  const sent: Promise<unknown>[] = []
  while (socket.writableLength === 0) sent.push(outcome(connection.send(execute('set', 'x'.repeat(8_000)))))
  t.equal(socket.writableNeedDrain, false)
  connection.close()
  await Promise.all(sent)
  await once(socket, 'close')
})

t.test('a handler that throws ends its own connection and no other', async (t) => {
  const broken = await connectionPair(t)
  const sound = await connectionPair(t)
  const names: string[] = []
  broken.connection.onEvent = () => {
    throw new Error('a bug')
  }
  sound.connection.onEvent = ({ name }) => names.push(name)
  const waiting = outcome(broken.connection.send(getvar('a')))
  for (const { far } of [broken, sound]) far.write(jsonEvent('E1') + jsonEvent('E2'))
  await broken.connection.closed()
  t.equal(broken.connection.closedBy?.message, 'a bug')
  t.match(await waiting, CallerGone)
  await until(() => names.length === 2)
  t.equal(sound.connection.isClosed, false)

  const notified = await connectionPair(t)
  notified.connection.onDisconnectNotice = () => {
    throw new Error('another bug')
  }
  notified.far.write('Content-Type: text/disconnect-notice\nContent-Disposition: disconnect\n\n')
  await notified.connection.closed()
  t.equal(notified.connection.closedBy?.message, 'another bug')

  const late = await connectionPair(t)
  late.connection.onEvent = () => {
    throw new Error('a bug behind a reply')
  }
  const answered = late.connection.send(getvar('a'))
  late.far.write(reply('1') + jsonEvent('E'))
  t.equal(await answered, '1')
  await late.connection.closed()
  t.equal(late.connection.closedBy?.message, 'a bug behind a reply')
})

t.test('an event that is no JSON ends its own connection and no other', async (t) => {
  const broken = await connectionPair(t)
  const sound = await connectionPair(t)
  for (const { connection } of [broken, sound]) connection.onEvent = (event) => event.get('Unique-ID')
  const rubbish = '{"Event-Name":"CHANNEL_ANSWER",rubbish'
  broken.far.write(`Content-Length: ${rubbish.length}\nContent-Type: text/event-json\n\n${rubbish}`)
  await broken.connection.closed()
  t.match(broken.connection.closedBy, ProtocolError)
  const xml = await connectionPair(t)
  xml.connection.onEvent = () => undefined
  xml.far.write('Content-Length: 3\nContent-Type: text/event-xml\n\n<a>')
  await xml.connection.closed()
  t.match(xml.connection.closedBy, ProtocolError)
  t.equal(sound.connection.isClosed, false)
})
