import { once } from 'node:events'
import t from 'tap'
import { api, connect, exit, getvar, type Command } from '../src/esl/command.js'
import { CallerGone, CommandRefused, ReplyTimeout } from '../src/esl/errors.js'
import type { Event } from '../src/esl/event.js'
import { answer, connectionPair, outcome } from './support/connection.js'
import { apiResponse, jsonEvent, reply } from './support/frames.js'
import { bytesOf, framesIn, headersIn, transcript, until } from './support/wire.js'

t.test('under load each command gets its own reply, and events come in their order', async (t) => {
  const { connection, far } = await connectionPair(t)
  const events: string[] = []
  connection.onEvent = ({ name }) => events.push(name)
  let count = 0
  answer(far, (command) => {
    const name = command.replace(/^(?:getvar|api echo) /, '')
    const said = command.startsWith('api') ? apiResponse(name) : reply(name)
    return ++count % 3 === 0 ? jsonEvent(`E${count}`) + said : said + jsonEvent(`E${count}`)
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
      return apiResponse(command.includes('x') ? '-ERR No such channel!\n' : '-USAGE: <uuid>\n')
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
  far.write(
    channelData!.head + '\n\n' + reply('%2B84: 90%20') + apiResponse(' two\nlines\n') + reply('-ERR busy'),
  )
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
  const quick = connection.send(getvar('a'), 500)
  const slow = connection.send(getvar('b'), 5_000)
  far.write(reply('1'))
  t.equal(await quick, '1')
  setTimeout(() => far.write(reply('2')), 700)
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
  far.write(jsonEvent('E0') + reply('r1') + jsonEvent('E1') + jsonEvent('E2') + reply('r2') + jsonEvent('E3'))
  await Promise.all(taken)
  await until(() => seen.length === 6)
  t.same(seen, ['E0', 'r1', 'E1', 'E2', 'r2', 'E3'])
})

t.test('the last event is seen although the peer closes right behind it', async (t) => {
  const packet = reply('+OK') + jsonEvent('E1') + reply('+OK') + jsonEvent('CHANNEL_HANGUP_COMPLETE')
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
