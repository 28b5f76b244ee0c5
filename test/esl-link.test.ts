import { once } from 'node:events'
import t, { type Test } from 'tap'
import { CommandRefused, LinkDown, ReplyTimeout, UnsafeArgument } from '../src/esl/errors.js'
import type { Event } from '../src/esl/event.js'
import { Link, type LinkOptions } from '../src/esl/link.js'
import { outcome } from './support/connection.js'
import { apiResponse, reply } from './support/frames.js'
import {
  eventFrame,
  finalEvent,
  InboundPeer,
  jobEvent,
  jobMadeAt,
  jobReply,
  jobUuidOf,
} from './support/inbound-peer.js'
import { logLines } from './support/log-lines.js'
import { framesIn, bytesOf, transcript, until } from './support/wire.js'

type Knobs = Partial<Omit<LinkOptions, 'host' | 'port' | 'log'>>

/** A link that tries again at once, what it heard and what it logged. */
function linkTo(t: Test, port: number, knobs: Knobs = {}) {
  const { log, lines } = logLines()
  const link = new Link({
    host: '127.0.0.1',
    port,
    password: 'ClueCon',
    log,
    firstDelayMs: 1,
    longestDelayMs: 1,
    ...knobs,
  })
  t.teardown(() => link.close())
  const events: Event[] = []
  const turns: string[] = []
  link.onEvent((event) => events.push(event))
  link.onUp(() => turns.push('up'))
  link.onDown(() => turns.push('down'))
  return { link, events, turns, lines }
}

async function linked(t: Test, knobs?: Knobs) {
  const peer = await InboundPeer.listen(t)
  const seen = linkTo(t, peer.port, knobs)
  await until(() => seen.link.isUp)
  return { peer, ...seen }
}

t.test('a link authenticates, subscribes and knows whom it hears', async (t) => {
  const { peer, link, turns, lines } = await linked(t)
  const [auth, subscribe, status] = peer.end.commands
  t.equal(auth, 'auth ClueCon')
  t.equal(
    subscribe,
    'event json CHANNEL_CREATE CHANNEL_PROGRESS CHANNEL_ANSWER CHANNEL_BRIDGE CHANNEL_HANGUP_COMPLETE ' +
      'BACKGROUND_JOB HEARTBEAT CUSTOM callcenter::info sofia::register sofia::gateway_state',
  )
  t.match(status, /^bgapi status\nJob-UUID: [0-9a-f-]{36}$/)
  t.strictSame(turns, ['up'])
  t.match(link, {
    name: `127.0.0.1:${peer.port}`,
    isUp: true,
    trouble: undefined,
    coreUuid: peer.coreUuid,
    switchName: 'vm',
    lastHeardAt: jobMadeAt,
  })
  t.match(lines, [{ level: 30, switch: link.name, switchName: 'vm', coreUuid: peer.coreUuid }])
})

t.test('events arrive with their values as they are', async (t) => {
  const { peer, link, events } = await linked(t)
  const headers = JSON.parse(finalEvent) as Record<string, string>
  const odd = {
    ...headers,
    'Event-Date-Timestamp': '1795208625000001',
    variable_text: 'one: two: three',
    variable_control: 'a\u0085b\u007fc\nd',
    variable_number: '+84901234567',
    variable_name: 'Nguyễn Văn A 😀',
  }
  events.length = 0
  const frames = [
    finalEvent,
    JSON.stringify(odd),
    JSON.stringify({ ...headers, 'Event-Name': 'NEW_IN_1_12' }),
  ]
  peer.say(frames.map(eventFrame).join(''))
  await until(() => events.length === 3)
  const [first, second, third] = events
  for (const [name, value] of Object.entries(headers)) {
    if (first?.get(name) !== value) t.fail(`${name} is ${String(first?.get(name))}, not ${value}`)
  }
  t.equal(first?.name, 'CHANNEL_HANGUP_COMPLETE')
  t.equal(second?.get('variable_text'), 'one: two: three')
  t.equal(second?.get('variable_control'), 'a\u0085b\u007fc\nd')
  t.equal(second?.get('variable_name'), 'Nguyễn Văn A 😀')
  t.equal(third?.name, 'NEW_IN_1_12', 'also those that nobody knows yet')
  t.equal(link.lastHeardAt, Number(headers['Event-Date-Timestamp']))
})

t.test('each event of the recordings arrives, cut anywhere', async (t) => {
  const { peer, events } = await linked(t)
  const recorded = ['inbound-callcenter-events', 'inbound-monitor-and-originate']
    .flatMap((name) => framesIn(bytesOf(transcript(name))))
    .filter(({ contentType }) => contentType === 'text/event-json')
  events.length = 0
  const bytes = Buffer.from(recorded.map(({ body }) => eventFrame(body)).join(''))
  peer.end.socket.setNoDelay(true)
  for (let start = 0; start < bytes.length; start += 997) {
    if (!peer.end.socket.write(bytes.subarray(start, start + 997))) await once(peer.end.socket, 'drain')
  }
  await until(() => events.length === recorded.length)
  t.ok(recorded.length > 10)
  t.strictSame(
    events.map((event) => event.get('Event-Sequence')),
    recorded.map(({ body }) => (JSON.parse(body) as Record<string, string>)['Event-Sequence']),
  )
})

t.test('a wrong password is said to be one, once, and stands in no log', async (t) => {
  const peer = await InboundPeer.listen(t)
  const { link, lines, turns } = linkTo(t, peer.port, { password: 'NotClueCon' })
  await until(() => peer.ends.length === 4)
  t.equal(link.isUp, false)
  t.equal(link.trouble, 'FreeSWITCH refuses the password')
  t.match(lines, [{ level: 50, switch: link.name, trouble: 'FreeSWITCH refuses the password' }])
  t.notMatch(JSON.stringify(lines), 'NotClueCon')
  const refused = (await outcome(link.api('status'))) as Error
  t.ok(refused instanceof LinkDown)
  t.match(refused.message, 'FreeSWITCH refuses the password')
  t.notMatch(JSON.stringify([refused, refused.stack, refused.cause]), 'NotClueCon')
  t.strictSame(turns, [])
})

t.test('after a refusal it waits long, after a failure it begins with a short time', async (t) => {
  for (const { knobs, least, most } of [
    { knobs: { password: 'wrong' }, least: 15_000, most: 30_000 },
    { knobs: {}, least: 500, most: 1000 },
  ]) {
    const peer = await InboundPeer.listen(t)
    peer.script = (command) => (command.startsWith('event') ? reply('-ERR not now') : undefined)
    const { link, lines } = linkTo(t, peer.port, { firstDelayMs: 1000, longestDelayMs: 30_000, ...knobs })
    await until(() => lines.length > 0)
    const retryMs = Number(lines[0]?.retryMs)
    t.ok(retryMs >= least && retryMs <= most, `${link.trouble}: ${retryMs} ms`)
  }
})

t.test('the delays grow up to the longest, and begin anew when the link was up for a while', async (t) => {
  const peer = await InboundPeer.listen(t)
  // Each time a different trouble, so that each is logged.
  const fail = (): string =>
    `Content-Type: text/plain\nContent-Length: ${9_000_000_000 + peer.ends.length}\n\n`
  peer.script = fail
  const knobs = { firstDelayMs: 4, longestDelayMs: 32 }
  const { link, lines } = linkTo(t, peer.port, knobs)
  await until(() => lines.length === 6)
  const delays = lines.map(({ retryMs }) => Number(retryMs))
  for (const [index, mostMs] of [4, 8, 16, 32, 32, 32].entries()) {
    const delayMs = delays[index] ?? 0
    t.ok(delayMs >= mostMs / 2 && delayMs <= mostMs, `${delayMs} ms of ${mostMs} at most`)
  }
  peer.script = () => undefined
  await until(() => link.isUp)
  const upAt = performance.now()
  await until(() => performance.now() - upAt > knobs.firstDelayMs)
  lines.length = 0
  peer.cut()
  await until(() => lines.length > 0)
  t.ok(Number(lines[0]?.retryMs) <= 4)
})

t.test('a switch that restarts is found again, with the same subscriptions', async (t) => {
  const { peer, link, turns, lines, events } = await linked(t)
  const [, subscribed] = peer.end.commands
  await peer.stop()
  await until(() => !link.isUp)
  await until(() => link.trouble?.includes('nobody listens there (connect ECONNREFUSED') === true)
  t.equal(link.coreUuid, peer.coreUuid, 'of the one that was heard last')
  peer.coreUuid = 'b3f0a1c2-0000-4000-8000-000000000001'
  await peer.start()
  await until(() => link.isUp)
  t.equal(link.coreUuid, peer.coreUuid)
  t.equal(link.trouble, undefined)
  t.strictSame(turns, ['up', 'down', 'up'])
  t.equal(peer.end.commands[1], subscribed)
  events.length = 0
  peer.say(eventFrame(finalEvent))
  await until(() => events.length === 1)
  t.strictSame(
    lines.map(({ level, trouble }) => [level, trouble]),
    [
      [30, undefined],
      [40, 'FreeSWITCH closed the connection'],
      [40, lines[2]?.trouble],
      [30, undefined],
    ],
    'each trouble is told once',
  )
})

t.test('a link that breaks rejects what waits for it', async (t) => {
  const { peer, link, turns } = await linked(t)
  peer.script = (command) => (command.startsWith('bgapi originate') ? jobReply(jobUuidOf(command)) : '')
  const job = outcome(link.bgapi('originate', ['user/1001', '&park']))
  const inFlight = outcome(link.api('uuid_exists', ['one']))
  const waiting = outcome(link.api('uuid_exists', ['two']))
  await peer.hears('api uuid_exists one')
  const whenDown: boolean[] = []
  link.onDown(() => whenDown.push(link.isUp))
  const { socket } = peer.end
  socket.resetAndDestroy()
  for (const one of [job, inFlight, waiting]) {
    const error = (await one) as LinkDown
    t.ok(error instanceof LinkDown)
    t.match(error, { code: 'LINK_DOWN', message: /is down: .*ECONNRESET/ })
  }
  t.notOk(peer.ends[0]?.commands.includes('api uuid_exists two'), 'one at a time')
  t.strictSame(whenDown, [false])
  peer.script = (command) => (command.startsWith('api') ? apiResponse('true') : undefined)
  await until(() => link.isUp)
  t.equal(await link.api('uuid_exists', ['three']), 'true')
  t.strictSame(turns, ['up', 'down', 'up'])
})

t.test('background jobs get their own results, in whichever order those come', async (t) => {
  const { peer, link, events } = await linked(t)
  peer.script = (command) => jobReply(jobUuidOf(command))
  const first = link.bgapi('originate', ['user/1001', '&park'])
  const second = link.bgapi('originate', ['user/1002', '&park'])
  const third = outcome(link.bgapi('originate', ['user/nobody', '&park']))
  const jobs = await Promise.all(
    ['1001', '1002', 'nobody'].map(async (user) =>
      jobUuidOf(await peer.hears(`bgapi originate user/${user}`)),
    ),
  )
  t.equal(new Set(jobs).size, 3)
  events.length = 0
  const [one = '', two = '', three = ''] = jobs
  peer.say(
    jobEvent('00000000-0000-4000-8000-00000000abcd', "+OK another client's\n") +
      jobEvent(three, '-ERR SUBSCRIBER_ABSENT\n') +
      jobEvent(two, '+OK two: 2\n') +
      jobEvent(one, '+OK one\n'),
  )
  t.equal(await first, '+OK one\n')
  t.equal(await second, '+OK two: 2\n')
  const refused = (await third) as CommandRefused
  t.ok(refused instanceof CommandRefused)
  t.match(refused, { command: 'bgapi originate', reply: '-ERR SUBSCRIBER_ABSENT' })
  t.equal(events.length, 4, 'those who listen hear them too')
})

t.test('a job that is refused, and one whose result never comes', async (t) => {
  for (const [name, jobTimeoutMs, expected] of [
    ['refused', 600_000, { code: 'COMMAND_REFUSED', reply: '-ERR no: not this: one' }],
    ['lost', 20, { code: 'REPLY_TIMEOUT', message: 'FreeSWITCH did not reply to bgapi lost within 20 ms' }],
  ] as const) {
    const { peer, link, turns } = await linked(t, { jobTimeoutMs })
    peer.script = (command) =>
      command.includes('refused') ? reply('-ERR no: not this: one') : jobReply(jobUuidOf(command))
    t.match(await outcome(link.bgapi(name, [])), expected)
    t.strictSame(turns, ['up'], 'the link stays')
  }
})

t.test("after a reply that does not come nothing is sent, and a late one is nobody's", async (t) => {
  const { peer, link, turns } = await linked(t, { replyTimeoutMs: 200 })
  peer.script = (command) => (command.startsWith('api') ? '' : undefined)
  const late = outcome(link.api('uuid_getvar', ['one', 'name']))
  const next = outcome(link.api('uuid_getvar', ['two', 'name']))
  await peer.hears('api uuid_getvar one')
  const { end } = peer
  t.match(await late, {
    code: 'REPLY_TIMEOUT',
    message: 'FreeSWITCH did not reply to uuid_getvar within 200 ms',
  })
  t.ok((await late) instanceof ReplyTimeout)
  end.socket.write(apiResponse('of one'))
  t.match(await next, { code: 'LINK_DOWN' })
  peer.script = (command) => (command.startsWith('api') ? apiResponse('of two') : undefined)
  await until(() => link.isUp)
  t.equal(await link.api('uuid_getvar', ['two', 'name']), 'of two')
  t.equal(end.commands.filter((command) => command.startsWith('api')).length, 1)
  t.strictSame(turns, ['up', 'down', 'up'])
})

t.test('whoever accepts and says nothing is given up', async (t) => {
  const peer = await InboundPeer.listen(t)
  peer.greeting = ''
  const { link } = linkTo(t, peer.port, { replyTimeoutMs: 20 })
  await until(() => peer.ends.length === 3)
  t.equal(link.trouble, 'FreeSWITCH did not reply to connect within 20 ms')
})

t.test('silence counts as dead, and a heartbeat as life', async (t) => {
  const { peer, link, events, turns } = await linked(t, { silenceMs: 100 })
  const beating = setInterval(() => {
    peer.say(eventFrame('{"Event-Name":"HEARTBEAT"}'))
  }, 10)
  await until(() => events.length > 30)
  clearInterval(beating)
  t.strictSame(turns, ['up'])
  await until(() => turns.length > 1)
  t.equal(turns[1], 'down')
  await until(() => link.isUp)
  t.equal(peer.ends.length, 2)
})

t.test('a switch that refuses this address is said to do so', async (t) => {
  const peer = await InboundPeer.listen(t)
  const text = 'Access Denied, go away.\n'
  peer.greeting = `Content-Type: text/rude-rejection\nContent-Length: ${text.length}\n\n${text}`
  const { link, lines } = linkTo(t, peer.port)
  await until(() => peer.ends.length === 2)
  t.equal(link.trouble, 'FreeSWITCH refuses this address (apply-inbound-acl)')
  t.match(lines, [{ level: 50 }])
})

t.test('what is no event socket ends the connection, and no more than that', async (t) => {
  const { peer, link, events, lines } = await linked(t, { maxFrameBytes: 20_000 })
  const garbage: [bytes: string, trouble: RegExp][] = [
    // One level of the stack each, in the package's own parser.
    ['\n\n'.repeat(60_000), /^a frame without Content-Type$/],
    ['\0'.repeat(1000), /^binary bytes/],
    [reply('+OK nobody asked'), /^a command\/reply to no command$/],
    [apiResponse('nobody asked'), /^a api\/response to no command$/],
    [eventFrame('[1,2'), /^an event without a name$/],
    [eventFrame('{"Event-Name":"HEARTBEAT\\n'), /^an event that is no JSON$/],
    [
      eventFrame(JSON.stringify({ 'Event-Name': 'HEARTBEAT', filler: 'x'.repeat(20_000) })),
      /^a body of 200\d\d bytes, more than 20000$/,
    ],
    ['x'.repeat(300_000), /^a head of more than/],
  ]
  for (const [bytes, trouble] of garbage) {
    const count = peer.ends.length
    events.length = lines.length = 0
    peer.say(bytes)
    await until(() => link.isUp && peer.ends.length > count)
    t.match(lines, [{ level: 40, trouble }, { level: 30 }])
    t.strictSame(
      events.map(({ name }) => name),
      ['BACKGROUND_JOB'],
      'nothing of it is heard',
    )
  }
})

t.test('what could become another command is never sent', async (t) => {
  const { peer, link } = await linked(t)
  for (const argument of ['a\nexit', 'a\rb', '${system(id)}', 'two words', "o'clock", '']) {
    t.ok(
      (await outcome(link.api('uuid_exists', [argument]))) instanceof UnsafeArgument,
      JSON.stringify(argument),
    )
    t.ok((await outcome(link.bgapi('uuid_exists', [argument]))) instanceof UnsafeArgument)
  }
  peer.script = (command) => (command.startsWith('api') ? apiResponse('false') : undefined)
  t.equal(await link.api('uuid_exists', ['one']), 'false')
  t.equal(peer.end.commands.length, 4)
  const { link: other, lines } = linkTo(t, peer.port, { password: 'ClueCon\n\nexit' })
  await until(() => lines.length > 0)
  t.equal(other.isUp, false)
  t.notMatch(JSON.stringify(lines), 'ClueCon')
})

t.test('a listener that throws harms nobody', async (t) => {
  const peer = await InboundPeer.listen(t)
  const { link, events, turns, lines } = linkTo(t, peer.port)
  const fail = () => {
    throw new Error('a fault of its own')
  }
  link.onUp(fail)
  link.onDown(fail)
  const stop = link.onEvent(fail)
  const heard: string[] = []
  link.onEvent(({ name }) => heard.push(name))
  await until(() => link.isUp)
  peer.say(eventFrame(finalEvent))
  await until(() => events.length === 2)
  t.strictSame(heard, ['BACKGROUND_JOB', 'CHANNEL_HANGUP_COMPLETE'])
  const faults = () => lines.filter(({ level }) => level === 50)
  t.match(faults(), [{ err: { message: 'a fault of its own' }, switch: link.name }, {}, {}])
  stop()
  peer.cut()
  await until(() => turns.length === 3)
  t.equal(faults().length, 5, 'of going down and up, but of no event')
})

t.test('a reply is taken before the events that came behind it, and those before the end', async (t) => {
  const { peer, link, events, turns } = await linked(t)
  events.length = 0
  const order: string[] = []
  link.onEvent(({ name }) => order.push(name))
  link.onDown(() => order.push('down'))
  peer.script = (command, { socket }) => {
    if (!command.startsWith('api')) return undefined
    // As long as what is read at once: the end is then read in the same turn.
    const said = apiResponse('true') + eventFrame(finalEvent)
    const heartbeat = (filler: string) => eventFrame(`{"Event-Name":"HEARTBEAT","filler":"${filler}"}`)
    const fillerBytes = 65_536 - Buffer.byteLength(said + heartbeat('x'.repeat(10_000))) + 10_000
    socket.end(said + heartbeat('x'.repeat(fillerBytes)))
    return ''
  }
  await link.api('uuid_exists', ['one']).then((reply) => order.push(reply))
  await until(() => turns.length >= 2)
  t.strictSame(order.slice(0, 4), ['true', 'CHANNEL_HANGUP_COMPLETE', 'HEARTBEAT', 'down'])
})

t.test('outputs are told from refusals as FreeSWITCH means them', async (t) => {
  const { peer, link } = await linked(t)
  const outputs = ['-5', '+OK', '', '-ERR No such channel: one: two!\n', '-USAGE: <uuid>\n']
  peer.script = () => apiResponse(outputs.shift() ?? '')
  for (const output of ['-5', '+OK', '']) t.equal(await link.api('eval'), output)
  t.match(await outcome(link.api('eval')), {
    code: 'COMMAND_REFUSED',
    command: 'eval',
    reply: '-ERR No such channel: one: two!',
  })
  t.match(await outcome(link.api('eval')), { reply: '-USAGE: <uuid>' })
})

t.test('a closed link stays closed', async (t) => {
  const { peer, link, turns, lines } = await linked(t)
  peer.script = () => ''
  const inFlight = outcome(link.api('status'))
  await Promise.all([link.close(), link.close()])
  t.match(await inFlight, { code: 'LINK_DOWN', message: 'the link to FreeSWITCH is down: it is closed' })
  t.match(await outcome(link.bgapi('status', [])), { code: 'LINK_DOWN' })
  t.strictSame(turns, ['up', 'down'])
  t.equal(link.trouble, 'it is closed')
  t.equal(lines.length, 1, 'which is no trouble')
  const early = linkTo(t, peer.port)
  await early.link.close()
  t.equal(early.link.isUp, false)
})
