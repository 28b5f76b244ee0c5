import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { Janitor, type JanitorOptions } from '../src/call/watch/janitor.js'
import { Nodes } from '../src/call/watch/nodes.js'
import { openRecordJson } from '../src/call/open-record.js'
import { Orphans } from '../src/call/watch/orphans.js'
import { SecondSource } from '../src/call/watch/second-source.js'
import { encodeCallState } from '../src/call/state.js'
import type { SwitchLink } from '../src/call/watch/switches.js'
import { TakenCalls } from '../src/call/watch/taken.js'
import {
  isAbandoned,
  judgeLost,
  sightOf,
  type LostCall,
  type ParkedChannel,
  type SeenSwitch,
  type Sight,
  type Verdict,
} from '../src/call/watch/verdict.js'
import { LiveCalls, type LiveCall } from '../src/call/live.js'
import { decodeRecord } from '../src/journal/entry.js'
import { Journal } from '../src/journal/journal.js'
import type { CallRecord } from '../src/store/call-record.js'
import { commitRecords } from '../src/store/commit.js'
import { creditOn, recordOf } from './support/credit.js'
import {
  catalogOf,
  deadServersCall,
  linkedSwitch,
  redisOf,
  shared,
  sliceSeconds,
  type DeadServersCall,
} from './support/dead-server.js'
import { noPlaces } from './support/gateways.js'
import { temporaryFolder } from './support/services.js'
import type { Call } from './support/switch/call.js'
import type { SimulatedSwitch } from './support/switch/switch.js'
import { until } from './support/wire.js'

const silent = pino({ level: 'silent' })
const services = await shared(t)

t.test('what the switches say of a channel', async (t) => {
  const channels = (...uuids: string[]) => new Set(uuids)
  const table: [why: string, on: string | undefined, seen: SeenSwitch[], sight: Sight][] = [
    ['its switch has it', 'a', [{ switchName: 'a', channels: channels('call') }], 'listed'],
    ['its switch has others', 'a', [{ switchName: 'a', channels: channels('other') }], 'unlisted'],
    ['its switch cannot be asked', 'a', [{ switchName: 'a', channels: undefined }], 'unseen'],
    ['another switch has it', 'a', [{ switchName: 'b', channels: channels('call') }], 'listed'],
    ['only other switches are known', 'a', [{ switchName: 'b', channels: channels() }], 'unlinked'],
    ['there are no links', 'a', [], 'unlinked'],
    [
      'a switch that was never heard may be its own',
      'a',
      [
        { switchName: 'b', channels: channels() },
        { switchName: undefined, channels: undefined },
      ],
      'unseen',
    ],
    [
      'of two switches of one name one cannot be asked',
      'a',
      [
        { switchName: 'a', channels: channels() },
        { switchName: 'a', channels: undefined },
      ],
      'unseen',
    ],
    [
      'it is not known where it was, and all say that they do not have it',
      undefined,
      [
        { switchName: 'a', channels: channels() },
        { switchName: 'b', channels: channels() },
      ],
      'unlisted',
    ],
    [
      'it is not known where it was, and one cannot be asked',
      undefined,
      [
        { switchName: 'a', channels: channels() },
        { switchName: 'b', channels: undefined },
      ],
      'unseen',
    ],
    ['it is not known where it was, and there are no links', undefined, [], 'unlinked'],
  ]
  for (const [why, on, seen, sight] of table) t.equal(sightOf('call', on, seen), sight, why)
})

t.test('what is done about a call that was lost', async (t) => {
  const lost: LostCall = {
    sight: 'unlinked',
    ageMs: 100_000,
    lostForMs: 60_001,
    mayTalkForMs: 0,
    isOver: false,
    taken: 'by nobody',
  }
  const table: [why: string, call: Partial<LostCall>, verdict: Verdict][] = [
    ['its switch has it', { sight: 'listed' }, 'talks'],
    ['its switch has it, though it hung up', { sight: 'listed', isOver: true }, 'talks'],
    ['its switch has it, though it is old', { sight: 'listed', ageMs: 1e9 }, 'talks'],
    ['its switch does not have it', { sight: 'unlisted', lostForMs: 0 }, 'gone'],
    ['its switch cannot be asked', { sight: 'unseen', lostForMs: 1e6 }, 'wait'],
    ['its switch cannot be asked, and it is too old to last', { sight: 'unseen', ageMs: 1e9 }, 'gone'],
    ['its switch cannot be asked, but had said that it hung up', { sight: 'unseen', isOver: true }, 'gone'],
    ['nobody sees it, and time has passed', {}, 'gone'],
    ['nobody sees it, and it was lost just now', { lostForMs: 60_000 }, 'wait'],
    ['nobody sees it, and a leg may talk on', { mayTalkForMs: 60_001 }, 'wait'],
    ['nobody sees it, and no leg talks any more', { mayTalkForMs: 60_000 }, 'gone'],
    ['nobody sees it, but it had hung up', { lostForMs: 0, isOver: true }, 'gone'],
    ['another node has it', { taken: 'by another' }, 'elsewhere'],
    ['another node had it, too long ago', { taken: 'by another', ageMs: 1e9 }, 'gone'],
    ['nobody can say whether another node has it', { taken: 'unknown' }, 'wait'],
    ['nobody can say so, and it is too old to last', { taken: 'unknown', ageMs: 1e9 }, 'gone'],
  ]
  for (const [why, call, verdict] of table)
    t.equal(judgeLost({ ...lost, ...call }, { leastMs: 60_000, maxCallMs: 1e8 }), verdict, why)
})

t.test('which channel waits for a server that is dead', async (t) => {
  const table: [owner: ParkedChannel['owner'], isBridged: boolean, isAbandoned: boolean][] = [
    ['nobody', false, true],
    ['this node', false, true],
    ['a dead node', false, true],
    ['a living node', false, false],
    ['nobody', true, false],
    ['this node', true, false],
    ['a dead node', true, false],
  ]
  for (const [owner, isBridged, expected] of table)
    t.equal(isAbandoned({ owner, isBridged }), expected, `${owner}'s, ${isBridged ? '' : 'not '}bridged`)
})

/** A node without calls of its own, whose clock the test turns. */
async function nodeOf(t: Test, links: readonly SwitchLink[], options: Partial<JanitorOptions> = {}) {
  const clock = { ms: 0 }
  const now = (): number => clock.ms
  const { pool } = services
  const redis = await redisOf(t, services)
  const catalog = await catalogOf(t, services)
  const journal = await Journal.open({ dir: await temporaryFolder(t), log: silent })
  t.teardown(() => journal.close())
  const live = new LiveCalls()
  const nodes = new Nodes({ id: `this${++nodeCount}`, redis, log: silent, now })
  const orphans = new Orphans({
    links,
    catalog,
    credit: creditOn(pool, { sliceSeconds }),
    places: noPlaces,
    live,
    nodes,
    redis,
    log: silent,
  })
  const secondSource = new SecondSource({
    journal,
    records: journal,
    pool,
    catalog,
    live,
    elsewhere: {
      has: (...leg) => janitor.has(...leg),
      heardAt: (name) => janitor.heardAt(name),
      isLinked: (name) => janitor.isLinked(name),
    },
    log: silent,
    trustedProfiles: new Set(),
    defaultCountry: 'VN',
    graceMs: 1,
    sweepMs: 1,
  })
  const janitor: Janitor = new Janitor({
    links,
    journal,
    live,
    secondSource,
    nodes,
    orphans,
    catalog,
    pool,
    redis,
    log: silent,
    eslPort: () => 9000,
    soonMs: 0,
    now,
    ...options,
  })
  for (const link of links)
    link.onEvent((event) => {
      secondSource.observe(event)
    })
  secondSource.start()
  t.teardown(async () => {
    await janitor.close()
    await orphans.close()
    await secondSource.close()
    await nodes.close()
  })
  /** As the server that is dead now had opened it. */
  const open = (
    { facts, state, legs }: DeadServersCall,
    more: { readonly isHandedOn?: boolean } = {},
  ): Promise<void> => {
    const [leg] = legs
    return journal.openCall(
      facts.uuid,
      openRecordJson({
        facts,
        identity: { ...state, tenant: catalog.tenant(state.tenant), ...nobodyElse },
        route: 'dial',
        isVip: false,
        takeovers: 0,
        legs,
        attempt: undefined,
        lastHeardAt: leg?.bridgedAt ?? 0,
        ...more,
      }),
    )
  }
  const records = (): CallRecord[] => journal.read(10).map(({ text }) => decodeRecord(text))
  const recorded = async (): Promise<CallRecord> => {
    await until(() => journal.pending > 0)
    return records()[0]!
  }
  await catalog.reload()
  return {
    janitor,
    journal,
    live,
    nodes,
    orphans,
    redis,
    clock,
    catalog,
    secondSource,
    open,
    records,
    recorded,
  }
}
let nodeCount = 0

const nobodyElse = { callerExtension: undefined, calledExtension: undefined, isEmergency: false }

function liveCall(uuid: string): LiveCall {
  const nothing = (): undefined => undefined
  const unasked = (): never => {
    throw new Error('nobody asks for it')
  }
  return { uuid, hear: nothing, supersede: nothing, checkpoint: nothing, describe: unasked, act: unasked }
}

t.test('a call that is over when its server starts again is closed as it was last known', async (t) => {
  const { sw, link } = await linkedSwitch(t)
  const dead = await deadServersCall(t, sw, services)
  const node = await nodeOf(t, [link])
  await node.open(dead)
  dead.call.destroy()
  sw.restart()
  await until(() => link.isUp)
  node.janitor.start()
  const record = await node.recorded()
  t.match(record, { callUuid: dead.call.uuid, source: 'incomplete', endedAt: dead.legs[0]?.bridgedAt })
  t.strictSame(node.journal.openCalls(), [])
})

t.test('a call that talks on stays open until its switch tells its end', async (t) => {
  const { sw, link } = await linkedSwitch(t)
  const dead = await deadServersCall(t, sw, services)
  const node = await nodeOf(t, [link])
  await node.open(dead)
  node.janitor.start()
  await node.janitor.round()
  await node.janitor.round()
  t.equal(node.secondSource.waiting, 0)
  dead.call.hangup()
  const { uuid, endedAt } = await dead.call.ended
  t.match(await node.recorded(), { callUuid: uuid, source: 'link', endedAt })
})

t.test('when FreeSWITCH dies its calls are billed to its last sign of life', async (t) => {
  const { sw, link } = await linkedSwitch(t)
  const dead = await deadServersCall(t, sw, services)
  const node = await nodeOf(t, [link])
  await node.open(dead)
  node.janitor.start()
  await node.janitor.round()
  const listedAt = link.lastHeardAt
  sw.heartbeat()
  await until(() => link.lastHeardAt > listedAt)
  const { lastHeardAt } = link
  sw.restart()
  const record = await node.recorded()
  t.match(record, { callUuid: dead.call.uuid, source: 'incomplete', endedAt: lastHeardAt })
  t.match(record.charges, [{ endedAt: lastHeardAt }])
})

t.test('a call whose session was cut off by the death of FreeSWITCH was there until then', async (t) => {
  const { sw, link } = await linkedSwitch(t)
  const dead = await deadServersCall(t, sw, services)
  const node = await nodeOf(t, [link])
  await node.open(dead)
  const call = liveCall(dead.call.uuid)
  node.live.add(call)
  node.janitor.start()
  await node.janitor.round()
  sw.heartbeat()
  const before = link.lastHeardAt
  await until(() => link.lastHeardAt > before)
  const { lastHeardAt } = link
  sw.restart()
  node.live.delete(call)
  node.janitor.lost(call.uuid, { mayTalkForMs: 0, isOver: false })
  t.match(await node.recorded(), { source: 'incomplete', endedAt: lastHeardAt })
})

t.test(
  'a session that learns late of the death of FreeSWITCH had its call no longer than that',
  async (t) => {
    const { sw, link } = await linkedSwitch(t)
    const dead = await deadServersCall(t, sw, services)
    const node = await nodeOf(t, [link])
    await node.open(dead)
    const call = liveCall(dead.call.uuid)
    node.live.add(call)
    node.janitor.start()
    await node.janitor.round()
    const { lastHeardAt, coreUuid } = link
    sw.restart()
    await until(() => link.isUp && link.coreUuid !== coreUuid)
    sw.heartbeat()
    const rebornAt = link.lastHeardAt
    await until(() => link.lastHeardAt > rebornAt)
    node.live.delete(call)
    node.janitor.lost(call.uuid, { mayTalkForMs: 0, isOver: false })
    t.match(await node.recorded(), { source: 'incomplete', endedAt: lastHeardAt })
  },
)

t.test('while its switch cannot be asked nothing is known of a call', async (t) => {
  const { sw, link } = await linkedSwitch(t)
  const dead = await deadServersCall(t, sw, services)
  const node = await nodeOf(t, [link])
  await node.open(dead)
  const [port] = sw.ports
  const { port: number } = port!
  await port!.close()
  await until(() => !link.isUp)
  dead.call.hangup()
  await dead.call.ended
  node.janitor.start()
  for (let i = 0; i < 5; i++) {
    node.clock.ms += 600_000
    await node.janitor.round()
  }
  t.equal(node.secondSource.waiting, 0)
  await sw.listenInbound({ password: 'ClueCon', port: number })
  t.match(await node.recorded(), { callUuid: dead.call.uuid, source: 'incomplete' })
})

t.test('without a link a call that nobody has taken over is closed after a minute', async (t) => {
  const { sw } = await linkedSwitch(t)
  const dead = await deadServersCall(t, sw, services)
  const node = await nodeOf(t, [])
  await node.open(dead)
  await node.janitor.round()
  node.clock.ms += 60_000
  await node.janitor.round()
  t.equal(node.secondSource.waiting, 0)
  node.clock.ms += 1
  await node.janitor.round()
  t.match(await node.recorded(), { callUuid: dead.call.uuid, source: 'incomplete' })
})

t.test('without a link a call that was handed on to its dialplan lasts as long as one may', async (t) => {
  const { sw } = await linkedSwitch(t)
  const dead = await deadServersCall(t, sw, services)
  const node = await nodeOf(t, [])
  const createdAt = (Date.now() - 3_600_000) * 1000
  await node.open({ ...dead, facts: { ...dead.facts, createdAt } }, { isHandedOn: true })
  await node.janitor.round()
  node.clock.ms += 2 * 3_600_000
  await node.janitor.round()
  t.equal(node.secondSource.waiting, 0)
  node.clock.ms += 2 * 3_600_000 + 1
  await node.janitor.round()
  t.match(await node.recorded(), { callUuid: dead.call.uuid, source: 'incomplete' })
})

t.test('a call is too old to last when its tenant lets none last so long, and not before', async (t) => {
  const { sw } = await linkedSwitch(t)
  const dead = await deadServersCall(t, sw, services)
  const longest = (hours: number) =>
    services.pool.query('UPDATE tenants SET max_call_seconds = $2 WHERE id = $1', [
      dead.state.tenant,
      hours * 3_600,
    ])
  t.teardown(() => longest(4))
  await longest(6)
  const node = await nodeOf(t, [])
  const createdAt = (Date.now() - 5 * 3_600_000) * 1000
  await node.open({ ...dead, facts: { ...dead.facts, createdAt } })
  await node.janitor.round()
  t.equal(node.secondSource.waiting, 0)
  await longest(4)
  await node.catalog.reload()
  await node.janitor.round()
  t.match(await node.recorded(), { callUuid: dead.call.uuid, source: 'incomplete' })
})

t.test('without a link a call that another node has taken over is left to that one', async (t) => {
  const { sw } = await linkedSwitch(t)
  const dead = await deadServersCall(t, sw, services)
  const { uuid } = dead.call
  const node = await nodeOf(t, [])
  await node.open(dead)
  const other = new TakenCalls(node.redis, 'other')
  other.note(uuid, 3_600)
  for (let i = 0; i < 3; i++) {
    await node.janitor.round()
    node.clock.ms += 600_000
  }
  t.equal(node.secondSource.waiting, 0)
  t.equal(node.journal.openCalls().length, 1)
  // That one's record.
  await commitRecords(services.pool, [recordOf(dead.leg, 1_000)])
  await node.janitor.round()
  await until(() => node.journal.openCalls().length === 0)
  t.strictSame(node.records(), [], 'nothing is recorded here')
})

t.test('a call that this node has taken over itself is its own again when it is lost', async (t) => {
  const { sw } = await linkedSwitch(t)
  const dead = await deadServersCall(t, sw, services)
  const { uuid } = dead.call
  const node = await nodeOf(t, [])
  await node.open(dead)
  node.janitor.taken(uuid, 3_600)
  while ((await node.redis.exists(`linger:taken:${uuid}`)) === 0);
  node.janitor.lost(uuid, { mayTalkForMs: 100_000, isOver: false })
  node.clock.ms += 100_000
  await node.janitor.round()
  t.equal(node.secondSource.waiting, 0, 'a leg of it may talk')
  node.clock.ms += 1
  await node.janitor.round()
  t.match(await node.recorded(), { source: 'incomplete' })
})

t.test('a call that is lost when its caller has hung up is closed at once', async (t) => {
  const { sw } = await linkedSwitch(t)
  const dead = await deadServersCall(t, sw, services)
  const node = await nodeOf(t, [])
  await node.open(dead)
  node.janitor.lost(dead.call.uuid, { mayTalkForMs: 1e6, isOver: true })
  t.match(await node.recorded(), { source: 'incomplete' })
})

t.test('a talk is extended when the node that dialled it is found dead', async (t) => {
  const { sw, link } = await linkedSwitch(t)
  const { call } = await deadServersCall(t, sw, services, { node: 'soon-dead' })
  const node = await nodeOf(t, [link])
  node.janitor.start()
  await node.janitor.round()
  t.equal(node.orphans.metered, 0)
  for (let i = 0; i < 5; i++) {
    node.clock.ms += 5_000
    await node.nodes.beat()
  }
  await until(() => node.orphans.metered === 1)
  t.ok(call.isTalking)
  call.hangup()
  await call.ended
  await until(() => node.orphans.metered === 0)
})

t.test('a talk of this node is extended after its restart', async (t) => {
  const { sw, link } = await linkedSwitch(t)
  const node = await nodeOf(t, [link])
  const dead = await deadServersCall(t, sw, services, { node: node.nodes.id })
  await node.open(dead)
  await node.catalog.reload()
  node.janitor.start()
  await until(() => node.orphans.metered === 1)
  node.janitor.taken(dead.call.uuid, 3_600)
  t.equal(node.orphans.metered, 0, 'until it has a session again')
  dead.call.hangup()
  await dead.call.ended
})

t.test('calls of a node that lives are asked for once, not at each round', async (t) => {
  const { sw, link } = await linkedSwitch(t)
  const calls = await Promise.all(
    Array.from({ length: 5 }, () => deadServersCall(t, sw, services, { node: 'alive' })),
  )
  const node = await nodeOf(t, [link])
  for (let i = 0; i < 4; i++) await node.janitor.round()
  const asked = link.asked.filter((name) => name !== 'show')
  t.strictSame(asked, Array<string>(calls.length).fill('uuid_getvar'))
  for (const { call } of calls) call.hangup()
  await Promise.all(calls.map(({ call }) => call.ended))
})

/** A server that accepts calls and dies before it says anything. */
async function silentServer(t: Test): Promise<{ host: string; port: number }> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined).destroy()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => new Promise((resolve) => server.close(resolve)))
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port }
}

async function parkedCall(sw: SimulatedSwitch, to: { host: string; port: number }): Promise<Call> {
  const call = sw.call({ to: [to], caller: '1000', called: '0901234567', speed: 1 })
  await until(() => call.parked)
  return call
}

t.test('a channel that waits for a server which died before it spoke is ended after a minute', async (t) => {
  const { sw, link } = await linkedSwitch(t)
  const [own, foreign] = [await silentServer(t), await silentServer(t)]
  const node = await nodeOf(t, [link], { eslPort: () => own.port })
  const nobodys = await parkedCall(sw, own)
  const [others, living, dying, here] = [
    await parkedCall(sw, foreign),
    await parkedCall(sw, own),
    await parkedCall(sw, own),
    await parkedCall(sw, own),
  ]
  const state = (node: string): string =>
    encodeCallState({
      node,
      takeovers: 0,
      tenant: 'demo',
      direction: 'outbound',
      caller: '1000',
      called: '84901234567',
      destination: '0901234567',
      route: 'menu',
      args: {},
      isVip: false,
      startedAt: 0,
      legs: [],
      results: [],
      steps: [],
      isGivenBack: false,
      attempt: undefined,
    })
  await link.api('uuid_setvar', [living.uuid, 'linger_call', state('living')])
  await link.api('uuid_setvar', [dying.uuid, 'linger_call', state('dying')])
  const lives = await nodeOf(t, [])
  const living2 = new Nodes({ id: 'living', redis: lives.redis, log: silent })
  t.teardown(() => living2.close())
  await living2.beat()
  const call = liveCall(here.uuid)
  node.live.add(call)

  await node.janitor.round()
  node.clock.ms += 59_999
  await node.janitor.round()
  await link.api('status')
  t.ok(nobodys.parked, 'it may be that a server still screens its caller')
  node.clock.ms += 1
  await node.janitor.round()
  t.match(await nobodys.ended, { cause: 'NORMAL_TEMPORARY_FAILURE' })
  for (const left of [others, living, dying, here]) t.ok(left.parked)

  for (let i = 0; i < 5; i++) {
    node.clock.ms += 5_000
    await node.nodes.beat()
  }
  await node.janitor.round()
  t.match(await dying.ended, { cause: 'NORMAL_TEMPORARY_FAILURE' })
  for (const left of [others, living, here]) t.ok(left.parked)
  for (const left of [others, living, here]) left.hangup()
  await Promise.all([others, living, here].map((left) => left.ended))
})
