import { setTimeout as delay } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { Redis } from 'ioredis'
import t from 'tap'
import { Routes } from '../src/routes/registry.js'
import { saveFlows } from '../src/routes/flow-file.js'
import { testLinger } from './support/linger.js'
import { testDatabase, testRedis } from './support/services.js'
import type { CallOptions } from './support/switch/call.js'
import { seededRandom } from './support/switch/random.js'
import { SimulatedSwitch } from './support/switch/switch.js'

/**
 * A thousand callers hang up anywhere: in a menu, in a queue, talking to its agent, while phones ring, while gateways
 * are tried, in a talk, after a transfer, while the call is given back and comes again.
 */

const calls = 1_000
const atOnce = 20

t.test('after a thousand hangups anywhere nothing is left running, held or counted', async (t) => {
  const database = await testDatabase(t)
  const { url: redisUrl } = await testRedis(t)
  // What made the database may be closing its connection still.
  await settled(() => !resources().includes('SimpleShutdownWrap'))
  const before = resources()
  await database.pool.query(`UPDATE tenants SET max_calls = 500, billing = 'prepaid' WHERE id = 'demo';
    INSERT INTO gateways (tenant_id, name, prefix, prefix_entered, priority, max_calls)
      VALUES ('demo', 'carrier2', '', '', 200, 100)`)
  const sw = new SimulatedSwitch()
  const through = { databaseUrl: database.url, redisUrl }
  const linger = await testLinger(t, {}, through)
  const ring = { route: 'ring', arguments: { extensions: ['1000', '1001'], ringSeconds: 5 } }
  await saveFlows(database.pool, new Routes(), 'demo', {
    menus: {
      main: {
        name: 'Main',
        prompt: ['ivr/main.wav'],
        choices: {
          '1': ring,
          '2': { menu: 'more' },
          '3': { route: 'transfer', arguments: { destination: '5000' } },
          '4': { route: 'queue', arguments: { queue: 'support' } },
          '9': { repeat: true },
        },
        otherwise: ring,
      },
      more: {
        name: 'More',
        prompt: ['ivr/more.wav'],
        choices: { '1': { route: 'queue', arguments: { queue: 'support' } }, '2': { menu: 'main' } },
      },
    },
    numbers: [
      {
        ...{ direction: 'inbound', kind: 'exact', number: '02873001234' },
        step: { route: 'menu', arguments: { menu: 'main' } },
      },
    ],
  })
  await linger.server.reload()
  const random = seededRandom(20_261_121)
  const upTo = (ms: number): number => Math.floor(random() * ms)
  /** Neither of a caller who hangs up before the server has said anything, nor given back, which others may tell of. */
  const ours: string[] = []
  const seen = new Set<string>()
  const happened = { transfers: 0, returns: 0, agents: 0, talks: 0 }
  const one = async (): Promise<void> => {
    const outcome = await sw.call(story()).ended
    const { connections, legs } = outcome
    const isOurs = connections.some(
      ({ wasConnected, commands }) =>
        wasConnected && !commands.some(({ line }) => line.includes(' blacklisted ')),
    )
    if (isOurs) ours.push(outcome.uuid)
    if (outcome.variable('transferred') !== undefined) happened.transfers++
    if (connections.length > 1) happened.returns++
    if (outcome.variable('cc_cause') === 'answered') happened.agents++
    if (legs.some(({ answeredAt }) => answeredAt !== undefined)) happened.talks++
  }
  const story = (): CallOptions => {
    const isInbound = random() < 0.7
    const isScreenedFirst = random() < 0.2
    return {
      settleMs: 30,
      promptMs: 400,
      to: [isScreenedFirst ? { ...linger.esl, path: 'checkphone' } : linger.esl],
      nextActions: isScreenedFirst ? [{ socket: [linger.esl] }] : [],
      transferDialplan: () => [
        { application: 'set', argument: 'transferred=yes' },
        { application: 'playback', argument: 'ivr/elsewhere.wav' },
      ],
      caller: isInbound ? '0987654321' : '1000',
      called: isInbound ? '02873001234' : '0901234567',
      digits: Array.from({ length: 12 }, () => '12349#'.charAt(upTo(7))),
      farEnd: (dialled) =>
        random() < 0.3
          ? { refusesWith: dialled.includes('carrier1') ? 503 : 486, refusesAfterMs: 500 }
          : { ringsAfterMs: 100, answersAfterMs: upTo(4_000) },
      queue: {
        agentAfterMs: upTo(1_500),
        agent: { answersAfterMs: upTo(1_500), hangsUpAfterMs: upTo(5_000) },
      },
      callerHangsUpAfterMs: upTo(8_000),
      // An API command may be answered before the hangup is told.
      hangupToldAfterMs: upTo(2) * 15,
    }
  }
  const redis = new Redis(redisUrl)
  const places = () => redis.keys('linger:*:calls')
  let left = calls
  const worker = async (): Promise<void> => {
    while (left-- > 0) {
      await one()
      if (left % 20 === 0) for (const key of await places()) seen.add(key)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  for (const [what, times] of Object.entries(happened)) t.ok(times > 20, `${what}: ${times}`)
  // A call may be over on the switch before its session has let go of it.
  await settled(() => linger.server.calls === 0)
  t.equal(linger.server.calls, 0, 'no session is left')
  await linger.server.delivered()
  const { rows } = await database.pool.query(
    `SELECT array(SELECT unnest($1::text[]) EXCEPT SELECT call_uuid::text FROM cdrs) AS untold,
      (SELECT array_agg(DISTINCT refusal) FROM cdrs) AS refusals,
      (SELECT count(*)::integer FROM reservations) AS reservations,
      (SELECT sum(reserved) FROM balances)::text AS reserved`,
    [ours],
  )
  t.ok(ours.length > calls / 2, `calls that the server was to tell of: ${ours.length}`)
  t.same(rows, [{ untold: [], refusals: [null], reservations: 0, reserved: '0.000000' }])
  t.same([...seen].sort(), ['linger:gateway:{carrier2}:calls', 'linger:{demo}:calls'], 'there were places')
  t.same(await places(), [], 'none is taken')
  redis.disconnect()
  sw.destroy()
  await linger.server.close({ deadlineMs: 0 })
  await database.pool.end()
  await settled(() => isDeepStrictEqual(resources(), before))
  t.same(resources(), before, 'nothing keeps the process busy')
})

/** What keeps this process busy: timers, sockets, requests. */
function resources(): readonly string[] {
  return process
    .getActiveResourcesInfo()
    .filter((name) => name !== 'Immediate')
    .sort()
}

/** What is being closed takes as long as its other end takes to hear of it; given up after some seconds. */
async function settled(isSo: () => boolean): Promise<void> {
  for (let turn = 0; turn < 5_000 && !isSo(); turn++) await delay(turn < 50 ? 0 : 1)
}
