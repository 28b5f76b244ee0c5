import { once } from 'node:events'
import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import { api, connect, execute, exit, getvar, type Command } from '../src/esl/command.js'
import { Connection, type ConnectionOptions } from '../src/esl/connection.js'
import { CallerGone, CommandRefused, Overloaded, ProtocolError, ReplyTimeout } from '../src/esl/errors.js'
import type { Event } from '../src/esl/event.js'
import { bytesOf, framesIn, headersIn, socketPair, transcript, until } from './support/wire.js'

interface Pair {
  readonly connection: Connection
  /** Our end of the wire, below the connection. */
  readonly socket: Socket
  /** FreeSWITCH's end. */
  readonly far: Socket
}

async function connectionPair(t: Test, options?: ConnectionOptions): Promise<Pair> {
  const { near, far } = await socketPair(t)
  return { connection: new Connection(near, options), socket: near, far }
}

/** Answers each command that arrives, in order. */
function answer(far: Socket, replyTo: (command: string) => string): void {
  let rest = ''
  far.on('data', (chunk: Buffer) => {
    const commands = (rest + chunk.toString()).split('\n\n')
    rest = commands.pop() ?? ''
    for (const command of commands) far.write(replyTo(command))
  })
}

const reply = (text: string) => `Content-Type: command/reply\nReply-Text: ${text}\n\n`
const output = (text: string) => `Content-Type: api/response\nContent-Length: ${text.length}\n\n${text}`
const event = (name: string, filler = '') => {
  const body = JSON.stringify({ 'Event-Name': name, filler })
  return `Content-Length: ${body.length}\nContent-Type: text/event-json\n\n${body}`
}

/** What a promise came to, as something to compare. */
async function outcome(promise: Promise<unknown>): Promise<unknown> {
  return promise.catch((error: unknown) => error)
}

t.test('under load each command gets its own reply, and events come in their order', async (t) => {
  const { connection, far } = await connectionPair(t)
  const events: string[] = []
  connection.onEvent = ({ name }) => events.push(name)
  let count = 0
  answer(far, (command) => {
    const name = command.replace(/^(?:getvar|api echo) /, '')
    const said = command.startsWith('api') ? output(name) : reply(name)
    return ++count % 3 === 0 ? event(`E${count}`) + said : said + event(`E${count}`)
  })
  const commands = Array.from({ length: 3000 }, (_, index): Command => {
    return index % 2 === 0 ? getvar(`v${index}`) : api('echo', [`v${index}`])
  })
  const replies = await Promise.all(commands.map((command) => connection.send(command)))
  t.same(
    replies,
    commands.map((_, index) => `v${index}`),
  )
  await until(() => events.length === commands.length)
  t.same(
    events,
    commands.map((_, index) => `E${index + 1}`),
  )
})

t.test('several commands go in one packet and have a reply each', async (t) => {
  const { connection, far } = await connectionPair(t)
  const replies = connection.sendAll([getvar('a'), getvar('b'), exit()])
  const [packet] = (await once(far, 'data')) as [Buffer]
  t.equal(packet.toString(), 'getvar a\n\ngetvar b\n\nexit\n\n')
  far.write(reply('1') + reply('-ERR no') + reply('+OK bye'))
  t.equal(await replies[0], '1')
  await t.rejects(replies[1]!, CommandRefused)
  t.equal(await replies[2], '+OK bye')
})

t.test('a refusal is an error that names the command, and the connection goes on', async (t) => {
  const { connection, far } = await connectionPair(t)
  answer(far, (command) => {
    if (command.startsWith('api'))
      return output(command.includes('x') ? '-ERR No such channel!\n' : '-USAGE: <uuid>\n')
    return reply(command.includes('good') ? '+OK' : '-ERR command not found')
  })
  t.match(await outcome(connection.send(getvar('bad'))), {
    code: 'COMMAND_REFUSED',
    command: 'getvar',
    reply: '-ERR command not found',
  })
  t.match(await outcome(connection.send(api('uuid_kill', ['x']))), { reply: '-ERR No such channel!' })
  t.match(await outcome(connection.send(api('uuid_kill'))), CommandRefused)
  t.equal(await connection.send(getvar('good')), '+OK')
  t.equal(connection.isClosed, false)
})

t.test('a reply is given as it was written, the one to connect with the whole channel', async (t) => {
  const { connection, far } = await connectionPair(t)
  const [channelData] = framesIn(bytesOf(transcript('one-write-handshake')))
  const replies = connection.sendAll([connect(), getvar('a'), api('status'), connect()])
  far.write(channelData!.head + '\n\n' + reply('%2B84: 90%20') + output(' two\nlines\n') + reply('-ERR busy'))
  t.equal(await replies[0], channelData!.head)
  t.equal(await replies[1], '%2B84: 90%20', 'only channel data is percent-encoded')
  t.equal(await replies[2], ' two\nlines\n')
  await t.rejects(replies[3]!, CommandRefused)
})

t.test('a reply that comes late ends the connection, and is nobody else’s', async (t) => {
  const { connection, far } = await connectionPair(t)
  const first = outcome(connection.send(getvar('a'), 30))
  const second = outcome(connection.send(getvar('b')))
  t.match(await first, { code: 'REPLY_TIMEOUT', message: 'FreeSWITCH did not reply to getvar within 30 ms' })
  t.match(await second, ReplyTimeout)
  t.equal(connection.isClosed, true)
  t.match(connection.closedBy, ReplyTimeout)
  far.write(reply('late'))
  t.match(await outcome(connection.send(getvar('c'))), CallerGone)
})

t.test('the shortest deadline counts, whatever was sent before with a longer one', async (t) => {
  const { connection, far } = await connectionPair(t)
  const started = performance.now()
  const answered = connection.send(getvar('a'), 60_000)
  far.write(reply('1'))
  t.equal(await answered, '1')
  t.match(await outcome(connection.send(getvar('b'), 30)), { message: /within 30 ms/ })
  const other = await connectionPair(t)
  const slow = outcome(other.connection.send(getvar('a'), 60_000))
  t.match(await outcome(other.connection.send(getvar('b'), 30)), { message: /within 30 ms/ })
  t.match(await slow, ReplyTimeout)
  t.ok(performance.now() - started < 10_000)
})

t.test('a reply in time leaves no deadline behind', async (t) => {
  const { connection, far } = await connectionPair(t)
  const quick = connection.send(getvar('a'), 40)
  const slow = connection.send(getvar('b'), 5_000)
  far.write(reply('1'))
  t.equal(await quick, '1')
  setTimeout(() => far.write(reply('2')), 120)
  t.equal(await slow, '2', 'the first deadline has passed meanwhile')
})

t.test('an event in the same packet as a reply is seen after whoever awaited the reply', async (t) => {
  const { connection, far } = await connectionPair(t)
  const seen: string[] = []
  connection.onEvent = ({ name }) => seen.push(name)
  const take = async (sent: Promise<string>) => {
    const text = await sent
    // As deep as a verb is: its taker's taker is to have run, too.
    for (let depth = 0; depth < 20; depth++) await Promise.resolve()
    seen.push(text)
  }
  const taken = [take(connection.send(getvar('a'))), take(connection.send(getvar('b')))]
  far.write(event('E0') + reply('r1') + event('E1') + event('E2') + reply('r2') + event('E3'))
  await Promise.all(taken)
  await until(() => seen.length === 6)
  t.same(seen, ['E0', 'r1', 'E1', 'E2', 'r2', 'E3'])
})

t.test('the last event is seen although the peer closes right behind it', async (t) => {
  const packet = reply('+OK') + event('E1') + reply('+OK') + event('CHANNEL_HANGUP_COMPLETE')
  for (const ending of ['end', 'error'] as const) {
    const { connection, socket, far } = await connectionPair(t)
    const seen: string[] = []
    connection.onEvent = ({ name }) => seen.push(name)
    const replies = connection.sendAll([exit(), exit()])
    const left = outcome(connection.send(exit()))
    if (ending === 'end') {
      far.end(packet)
    } else {
      socket.once('data', () => socket.destroy(new Error('ECONNRESET')))
      far.write(packet)
    }
    await connection.closed()
    t.same(seen, ['E1', 'CHANNEL_HANGUP_COMPLETE'], ending)
    t.same(await Promise.all(replies), ['+OK', '+OK'])
    t.match(await left, CallerGone)
    t.equal(connection.closedBy?.message, ending === 'end' ? undefined : 'ECONNRESET')
  }
})

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
  for (const result of await Promise.all(sent)) t.match(result, Overloaded)
})

t.test('a connection that is paused makes its peer wait, and then has all of it', async (t) => {
  const { connection, socket, far } = await connectionPair(t)
  let count = 0
  connection.onEvent = () => count++
  connection.pause()
  const packet = event('E', 'x'.repeat(10_000)).repeat(100)
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
  far.write(event('E1') + event('E2') + event('E3'))
  await until(() => seen.length === 1)
  connection.resume()
  t.same(seen, ['E1', 'E2'])
  connection.resume()
  t.same(seen, ['E1', 'E2', 'E3'])
  connection.close()
  connection.resume()
  t.equal(seen.length, 3)
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
    ['the peer stops inside a body', ({ far }) => far.end(event('E').slice(0, -3)), /bytes into a frame/],
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
  for (const { far } of [broken, sound]) far.write(event('E1') + event('E2'))
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
  late.far.write(reply('1') + event('E'))
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

t.test(
  'events come in each format, notices are told apart, what was not asked for is passed over',
  async (t) => {
    for (const name of ['plain', 'json', 'xml']) {
      const { connection, far } = await connectionPair(t)
      const bytes = bytesOf(transcript(`${name}-answer-caller-hangs-up`))
      const frames = framesIn(bytes)
      const commands = frames.filter(({ contentType }) => contentType === 'command/reply').map(() => exit())
      const events: Event[] = []
      const notices: string[] = []
      connection.onEvent = (event) => events.push(event)
      connection.onDisconnectNotice = (disposition) => notices.push(disposition)
      const replies = connection.sendAll(commands)
      far.write('Content-Type: log/data\nContent-Length: 3\n\nlogContent-Type: of/the-future\n\n')
      far.end(bytes)
      await connection.closed()
      await Promise.all(replies)
      const expected = frames.filter(({ contentType }) => contentType === `text/event-${name}`)
      t.equal(events.length, expected.length)
      for (const event of events) t.match(event.get('Unique-ID'), /^[\da-f-]{36}$/)
      if (name === 'plain') {
        t.same(
          events.map((event) => event.get('Event-Sequence')),
          expected.map(({ body }) => headersIn(body).get('Event-Sequence')),
        )
      }
      t.same(notices, ['linger', 'disconnect'])
    }
  },
)

t.test('a silent peer is seen in when it was last heard', async (t) => {
  const { connection, far } = await connectionPair(t)
  const before = connection.lastHeardAt
  await until(() => performance.now() > before + 1)
  const answered = connection.send(getvar('a'))
  far.write(reply('1'))
  await answered
  t.ok(connection.lastHeardAt > before)
  t.match(connection.remoteAddress, /^127\.0\.0\.1:\d+$/)
})
