import { pino } from 'pino'
import t, { type Test } from 'tap'
import { Journal, journalFolder } from '../src/journal/journal.js'
import { testLinger, type TestLinger } from './support/linger.js'
import { Line } from './support/outage.js'
import { runApi } from './support/switch/api.js'
import { farEnds } from './support/switch/far-end.js'
import type { Action, Destination } from './support/switch/dialplan.js'
import type { Call, CallOptions } from './support/switch/call.js'
import { SimulatedSwitch } from './support/switch/switch.js'

/** Calls whose server goes away while they are in progress: another one, or the same one again, has them then. */

t.jobs = 3

const sw = new SimulatedSwitch()
t.teardown(() => {
  sw.destroy()
})

/** As dialplan/linger.xml notes it after each `socket`. */
const noteLeft: Action = { application: 'set', argument: 'linger_left_1=${strmicroepoch()}' }

interface Nodes {
  readonly first: TestLinger
  readonly second: TestLinger
  /** The first one as the switch reaches it. */
  readonly line: Line
  readonly toFirst: Destination
}

/** Two servers of one system. Cutting the line is, for the switch, the death of the first. */
async function twoNodes(t: Test, sql = ''): Promise<Nodes> {
  const settings = { SECOND_SOURCE_SECONDS: '1' }
  const first = await testLinger(t, settings, { sql })
  const second = await testLinger(t, settings, { databaseUrl: first.databaseUrl, redisUrl: first.redisUrl })
  const line = await Line.to(t, `tcp://${first.esl.host}:${first.esl.port}`)
  const { hostname: host, port } = new URL(line.url('tcp://any:1'))
  return { first, second, line, toFirst: { host, port: Number(port) } }
}

function dial({ toFirst, second }: Nodes, options: Partial<CallOptions> = {}): Call {
  return sw.call({
    dialplan: [{ socket: [toFirst] }, noteLeft, { socket: [toFirst, second.esl] }],
    caller: '1000',
    called: '0901234567',
    speed: 1,
    ...options,
  })
}

const moreGateways = `INSERT INTO gateways (tenant_id, name, prefix, prefix_entered, priority)
  VALUES ('demo', 'carrier2', '', '', 200), ('demo', 'carrier3', '', '', 300)`

/** What the books say when all is over: one CDR, and nothing held. */
async function oneCdr(t: Test, { first, second }: Nodes, uuid: string) {
  const cdr = await first.cdr(uuid)
  await Promise.all([first.server.delivered(), second.server.delivered()])
  const { rows } = await first.pool.query('SELECT FROM reservations UNION ALL SELECT FROM call_keys')
  t.equal(rows.length, 1, 'one call, and nothing is reserved')
  return cdr
}

t.test('a server dies while two talk: they talk on, and the next one bills the talk once', async (t) => {
  const nodes = await twoNodes(t)
  const call = dial(nodes, { farEnd: farEnds.answers(1_500) })
  await call.until('CHANNEL_BRIDGE')
  await nodes.line.cut()
  const { cause, legs } = await call.ended
  t.equal(cause, 'NORMAL_CLEARING')
  t.equal(legs.length, 1, 'nobody was dialled again')
  const cdr = await oneCdr(t, nodes, call.uuid)
  t.match(cdr, { source: 'session', taken_over: true, route: 'dial', gateway: 'carrier1' })
  const [leg] = legs
  const talkedMs = Math.floor(leg!.endedAt! / 1000) - Math.floor(leg!.answeredAt! / 1000)
  t.match(cdr.charges, [{ leg_uuid: leg!.uuid, gateway: 'carrier1' }])
  const billedMs = cdr.billed_ms as number
  t.ok(billedMs >= talkedMs && billedMs <= talkedMs + 100, `${billedMs} ms are billed of ${talkedMs}`)
})

t.test(
  'a server dies while it rings; the gateway refuses: the next one tries the next gateway only',
  async (t) => {
    const nodes = await twoNodes(t, moreGateways)
    const dialled: string[] = []
    const call = dial(nodes, {
      farEnd: (dialString) => {
        dialled.push(/carrier\d/.exec(dialString)?.[0] ?? '')
        return dialString.includes('carrier1')
          ? { ringsAfterMs: 20, refusesWith: 503, refusesAfterMs: 1_000 }
          : farEnds.answers(1_000)
      },
    })
    await call.until('CHANNEL_PROGRESS')
    await nodes.line.cut()
    const { cause } = await call.ended
    t.equal(cause, 'NORMAL_CLEARING')
    t.same(dialled, ['carrier1', 'carrier2'])
    t.match(await oneCdr(t, nodes, call.uuid), {
      gateway: 'carrier2',
      taken_over: true,
      charges: [{ gateway: 'carrier2', billed_ms: 1_000 }],
    })
  },
)

t.test('two crashes in one call work as one does', async (t) => {
  const nodes = await twoNodes(t, moreGateways)
  const third = await testLinger(
    t,
    {},
    { databaseUrl: nodes.first.databaseUrl, redisUrl: nodes.first.redisUrl },
  )
  const toSecond = await Line.to(t, `tcp://${nodes.second.esl.host}:${nodes.second.esl.port}`)
  const { hostname: host, port } = new URL(toSecond.url('tcp://any:1'))
  const dialled: string[] = []
  const call = dial(nodes, {
    dialplan: [nodes.toFirst, { host, port: Number(port) }, third.esl].flatMap((to): Action[] => [
      { socket: [to] },
      noteLeft,
    ]),
    farEnd: (dialString) => {
      const [gateway = ''] = /carrier\d/.exec(dialString) ?? []
      dialled.push(gateway)
      // Each server dies while what it dialled is being dialled.
      if (gateway === 'carrier1') void nodes.line.cut()
      if (gateway === 'carrier2') void toSecond.cut()
      return gateway === 'carrier3' ? farEnds.answers(800) : { refusesWith: 503, refusesAfterMs: 700 }
    },
  })
  await call.ended
  t.same(dialled, ['carrier1', 'carrier2', 'carrier3'])
  t.match(await oneCdr(t, nodes, call.uuid), {
    source: 'session',
    taken_over: true,
    charges: [{ gateway: 'carrier3', billed_ms: 800 }],
  })
})

t.test(
  'a call that is transferred: one CDR for both talks, and its first socket says nothing more',
  async (t) => {
    const linger = await testLinger(t)
    const call = sw.call({
      to: [linger.esl],
      caller: '1000',
      called: '0901234567',
      speed: 1,
      transferDialplan: () => [{ socket: [linger.esl] }],
      farEnd: (dialString) => (dialString.includes('1001') ? farEnds.answers(700) : farEnds.answers()),
    })
    await call.until('CHANNEL_BRIDGE')
    await runApi(sw, call.clock, `uuid_transfer ${call.uuid} 1001 XML public`)
    const { connections, legs } = await call.ended
    t.equal(connections.length, 2)
    t.equal(legs.length, 2)
    const cdr = await linger.cdr(call.uuid)
    t.match(cdr, { taken_over: false, called: '84901234567', charges: [{ leg_uuid: legs[0]!.uuid }] })
    t.equal(cdr.charges.length, 1, 'the extension costs nothing')
    const { rows } = await linger.pool.query('SELECT FROM call_keys')
    t.equal(rows.length, 1)
  },
)

t.test(
  'a drain gives a call to the next action: the node that gets it has its CDR, this one forgets it',
  async (t) => {
    const nodes = await twoNodes(t)
    const call = dial(nodes, {
      dialplan: [{ socket: [nodes.first.esl] }, noteLeft, { socket: [nodes.second.esl] }],
      called: '1001',
      farEnd: { ringsAfterMs: 20, answersAfterMs: 1_500, hangsUpAfterMs: 500 },
    })
    await call.until('CHANNEL_PROGRESS')
    await nodes.first.server.close({ deadlineMs: 0 })
    await call.ended
    const { pool } = nodes.first
    for (let committed = 0; committed === 0;) {
      await nodes.second.server.delivered()
      const { rows } = await pool.query('SELECT taken_over, cost FROM cdrs')
      committed = rows.length
      if (committed > 0) t.match(rows, [{ taken_over: true, cost: '0.000000' }])
    }
    const journal = await Journal.open({
      dir: journalFolder(nodes.first.dataDir),
      log: pino({ level: 'silent' }),
    })
    t.match(
      journal.openCalls(),
      [{ uuid: call.uuid }],
      'it is open in the journal, until the next start asks',
    )
    await journal.close()
  },
)
