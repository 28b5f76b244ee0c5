import { pino } from 'pino'
import t, { type Test } from 'tap'
import type { CallEvent } from '../src/events/call-event.js'
import { Journal, journalFolder } from '../src/journal/journal.js'
import { saveFlows } from '../src/routes/flow-file.js'
import { Routes } from '../src/routes/registry.js'
import { eventsIn } from './support/call-events.js'
import { testLinger } from './support/linger.js'
import { Line } from './support/outage.js'
import type { CallOptions } from './support/switch/call.js'
import type { Action, Destination } from './support/switch/dialplan.js'
import { farEnds, type FarEndChoice } from './support/switch/far-end.js'
import { SimulatedSwitch } from './support/switch/switch.js'

/** Everything that consumers are told of whole calls, on two nodes that no RabbitMQ takes events from. */

const did = '842812345678'
const queueDid = '842812345679'
const transferDid = '842812345670'
const mobile = '0901234567'
const outsider = '0987654321'
const settings = { AMQP_URL: 'amqp://127.0.0.1:1', LOG_LEVEL: 'fatal', SECOND_SOURCE_SECONDS: '30' }

const sw = new SimulatedSwitch()
t.teardown(() => {
  sw.destroy()
})
const first = await testLinger(t, settings, {
  sql: `INSERT INTO numbers (number, tenant_id, extension) VALUES ('${did}', 'demo', '1001'), ('${queueDid}', 'demo', NULL),
      ('${transferDid}', 'demo', NULL);
    UPDATE extensions SET auth_username = 'phone-1001' WHERE tenant_id = 'demo' AND number = '1001'`,
})
await saveFlows(first.pool, new Routes(), 'demo', {
  menus: {
    closed: {
      name: 'closed',
      prompt: ['ivr/closed.wav'],
      choices: { '1': { route: 'ring', arguments: { extensions: ['1001'] } } },
      timeoutMs: 1_000,
      interDigitMs: 500,
    },
  },
  numbers: [
    {
      direction: 'inbound',
      kind: 'exact',
      number: transferDid,
      step: { route: 'transfer', arguments: { destination: '7000' } },
    },
    {
      direction: 'inbound',
      kind: 'exact',
      number: queueDid,
      step: {
        route: 'queue',
        arguments: { queue: 'sales', otherwise: { route: 'menu', arguments: { menu: 'closed' } } },
      },
    },
  ],
})
const second = await testLinger(t, settings, { databaseUrl: first.databaseUrl, redisUrl: first.redisUrl })
await first.server.reload()
/** As the switch reaches the first one, for a call whose server dies. */
const line = await Line.to(t, `tcp://${first.esl.host}:${first.esl.port}`)
const { hostname: host, port } = new URL(line.url('tcp://any:1'))
const mortal: Destination = { host, port: Number(port) }

function call(options: Partial<CallOptions>) {
  return sw.call({
    to: [first.esl],
    caller: outsider,
    profile: 'external',
    called: did,
    speed: 1,
    ...options,
  })
}

/** The called phone transfers its caller to a mobile, who talks for a while. */
function transferred(to: Destination): Partial<CallOptions> {
  const farEnd: FarEndChoice = (dialString) =>
    dialString.includes('1001')
      ? { answersAfterMs: 0, refers: { by: 'called', afterMs: 100, to: mobile } }
      : farEnds.answers(200)
  return { farEnd, transferDialplan: () => [{ socket: [to] }] }
}

const says = (status: string): Action => ({ application: 'set', argument: `CALL_STATUS=${status}` })
const published: Action = { socket: [{ ...first.esl, path: 'event' }] }

let asked = 0
let onMenu: () => void = () => undefined
const inMenu = new Promise<void>((resolve) => {
  onMenu = resolve
})
const calls = {
  plain: call({ caller: '1000', profile: 'internal', called: mobile, farEnd: farEnds.answers(100) }),
  transferredHere: call(transferred(first.esl)),
  transferredThere: call(transferred(second.esl)),
  transferredByRoute: call({
    called: transferDid,
    transferDialplan: () => [
      { application: 'answer' },
      { application: 'hangup', argument: 'NORMAL_CLEARING' },
    ],
  }),
  dialplans: call({
    caller: '1000',
    profile: 'internal',
    called: mobile,
    farEnd: farEnds.answers(100),
    dialplan: [says('ivr'), published, says('sorted'), published, { socket: [first.esl] }],
  }),
  otherCallId: call({
    caller: '1000',
    profile: 'internal',
    variables: { CALL_ID: 'theirs', CALL_STATUS: 'ivr' },
    dialplan: [{ socket: [{ ...first.esl, path: 'checkphone' }] }, published],
  }),
  agent: call({
    to: [{ ...first.esl, path: 'queue/support' }],
    queue: { agentAfterMs: 50, agent: { name: '1001@default', hangsUpAfterMs: 100 } },
  }),
  group: call({
    to: [{ ...first.esl, path: 'ring/1000,1001' }],
    farEnd: (dialString) => (dialString.includes('1001') ? farEnds.answers(100) : farEnds.noAnswer),
  }),
  takenOver: call({
    called: queueDid,
    dialplan: [{ socket: [mortal] }, { socket: [mortal, second.esl] }],
    queue: { leavesAfterMs: 50 },
    digits: ['', '1'],
    promptMs: 20,
    farEnd: farEnds.answers(100),
    onEvent: (event) => {
      if (
        event.name === 'CHANNEL_EXECUTE' &&
        event.get('Application') === 'play_and_get_digits' &&
        ++asked === 1
      )
        onMenu()
    },
  }),
}
await inMenu
await line.cut()
for (const [name, { ended }] of Object.entries(calls)) {
  const { uuid } = await ended
  // Nobody tells of how the dialplan's own went on.
  if (name !== 'otherCallId') await first.cdr(uuid)
}
const told: CallEvent[] = []
for (const { server, dataDir } of [first, second]) {
  await server.close({ deadlineMs: 0 })
  const journal = await Journal.open({ dir: journalFolder(dataDir), log: pino({ level: 'silent' }) })
  told.push(...eventsIn(journal.events))
  await journal.close()
}

/** In the order of their sequences. */
function eventsOf(t: Test, name: keyof typeof calls): CallEvent[] {
  const { uuid } = calls[name]
  const events = told.filter(({ unique_id }) => unique_id === uuid)
  t.equal(new Set(events.map(({ id }) => id)).size, events.length, 'each has an id of its own')
  t.equal(new Set(events.map(({ sequence }) => sequence)).size, events.length, 'and a number of its own')
  const inOrder = events.toSorted((one, other) => one.sequence - other.sequence)
  // What a dialplan says is told by the server's clock, all else by the switch's.
  const times = inOrder
    .filter(({ id }) => !id.startsWith(`${uuid}:${uuid}`))
    .map(({ timestamp }) => timestamp)
  t.same(times, times.toSorted(), 'their numbers rise with time')
  return inOrder
}

const statuses = (events: readonly CallEvent[]) =>
  events.map(({ call_status, sequence }) => [call_status, sequence])

t.test('a call over a gateway', async (t) => {
  const events = eventsOf(t, 'plain')
  t.same(statuses(events), [
    ['ringing', 1],
    ['answered', 2],
    ['bridged', 3],
    ['hangup', 999_999_999],
  ])
  for (const event of events)
    t.match(event, {
      call_id: calls.plain.uuid,
      linked_id: calls.plain.uuid,
      customer_id: 'demo',
      direction: 'outbound',
      phone_number: '84901234567',
      agent_exten: '1000',
      queue_name: '',
      dial_mode: '',
    })
  t.match(events, [
    { answer_time: '', end_time: '', metrics: { ring: 0, answer: 0, outbound: 1 } },
    { end_time: '', metrics: { ring: 1, answer: 1 } },
    { trunk: 'carrier1', end_time: '' },
    { trunk: 'carrier1', end_time: /^\d{4}-/ },
  ])
})

const places = { transferredHere: ['the same node', 4], transferredThere: ['another node', 1_000] } as const
for (const [name, [where, before]] of Object.entries(places))
  t.test(`a call that is transferred to a socket of ${where}`, async (t) => {
    const events = eventsOf(t, name as keyof typeof places)
    t.same(statuses(events), [
      ['ringing', 1],
      ['answered', 2],
      ['bridged', 3],
      ['transferred', 4],
      ['bridged', before + 1],
      ['hangup', 999_999_999],
    ])
    t.match(events, [
      { agent_exten: '', trunk: '' },
      { agent_exten: '1001', agent_account: 'phone-1001' },
      { agent_exten: '1001', agent_account: 'phone-1001', trunk: '' },
      { agent_exten: '1001' },
      { agent_exten: '', agent_account: '', trunk: 'carrier1' },
      { agent_exten: '', trunk: 'carrier1' },
    ])
    for (const event of events) t.match(event, { direction: 'inbound', phone_number: '84987654321' })
  })

t.test('of a call that its route transfers to a dialplan no more is told than its end', async (t) => {
  t.same(statuses(eventsOf(t, 'transferredByRoute')), [
    ['ringing', 1],
    ['transferred', 2],
    ['hangup', 999_999_999],
  ])
})

t.test('what a dialplan says of its call comes before what the call does later', async (t) => {
  const events = eventsOf(t, 'dialplans')
  t.same(statuses(events), [
    ['ivr', 1],
    ['sorted', 2],
    ['ringing', 3],
    ['answered', 4],
    ['bridged', 5],
    ['hangup', 999_999_999],
  ])
  t.same(new Set(events.map(({ customer_id }) => customer_id)), new Set(['demo']))
})

t.test('of a call that is only looked at no more is told than its dialplan says', async (t) => {
  const events = eventsOf(t, 'otherCallId')
  t.match(events, [{ call_id: 'theirs', call_status: 'ivr', sequence: 1 }])
  t.equal(events.length, 1)
})

t.test('a caller who waits for an agent, and talks to one', async (t) => {
  const events = eventsOf(t, 'agent')
  t.same(statuses(events), [
    ['ringing', 1],
    ['answered', 2],
    ['queued', 3],
    ['bridged', 4],
    ['hangup', 999_999_999],
  ])
  t.match(events.slice(2), [
    { queue_name: 'support@default', agent_exten: '', metrics: { queue: 1, ring: 0 } },
    { queue_name: 'support@default', agent_exten: '1001', agent_account: 'phone-1001', metrics: { ring: 1 } },
    {
      queue_name: 'support@default',
      agent_exten: '1001',
      agent_account: 'phone-1001',
      metrics: { queue: 1 },
    },
  ])
})

t.test('of the phones that ring together the one that answers is told', async (t) => {
  const events = eventsOf(t, 'group')
  t.match(events, [
    { call_status: 'ringing', agent_exten: '' },
    { call_status: 'answered', agent_exten: '' },
    { call_status: 'bridged', agent_exten: '1001', agent_account: 'phone-1001' },
    { call_status: 'hangup', agent_exten: '1001', agent_account: 'phone-1001' },
  ])
})

t.test('a call whose server dies has been where it was before, for the next one too', async (t) => {
  const events = eventsOf(t, 'takenOver')
  t.same(statuses(events), [
    ['ringing', 1],
    ['answered', 2],
    ['queued', 3],
    ['bridged', 1_001],
    ['hangup', 999_999_999],
  ])
  for (const event of events.slice(3))
    t.match(event, {
      queue_name: 'sales@default',
      agent_exten: '1001',
      metrics: { ivr: 1, queue: 1, ring: 1, answer: 1 },
    })
})
