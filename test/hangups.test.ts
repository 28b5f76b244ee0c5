import t from 'tap'
import { Redis } from 'ioredis'
import { Routes } from '../src/routes/registry.js'
import { saveFlows } from '../src/routes/flow-file.js'
import { testLinger } from './support/linger.js'
import { seededRandom } from './support/switch/random.js'
import { SimulatedSwitch } from './support/switch/switch.js'

/** A thousand callers hang up anywhere: in a menu, in a queue, while phones ring, while gateways are tried, in a talk. */

const calls = 1_000
const atOnce = 50
/** Connections to PostgreSQL that stay open for a while, with a timer each. */
const ofPools = 40

t.test('after a thousand hangups anywhere nothing is left running, held or counted', async (t) => {
  const linger = await testLinger(
    t,
    { LOG_LEVEL: 'error' },
    {
      sql: `UPDATE tenants SET max_calls = 500, billing = 'prepaid' WHERE id = 'demo';
        INSERT INTO gateways (tenant_id, name, prefix, prefix_entered, priority, max_calls)
          VALUES ('demo', 'carrier2', '', '', 200, 100)`,
    },
  )
  const ring = { route: 'ring', arguments: { extensions: ['1000', '1001'], ringSeconds: 5 } }
  await saveFlows(linger.pool, new Routes(), 'demo', {
    menus: {
      main: {
        name: 'Main',
        prompt: ['ivr/main.wav'],
        choices: { '1': ring, '2': { menu: 'more' }, '9': { repeat: true } },
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
  const sw = new SimulatedSwitch()
  const random = seededRandom(20_261_121)
  let reached = 0
  const one = async (): Promise<void> => {
    const isInbound = random() < 0.6
    const endMs = Math.floor(random() * 20_000)
    const { connections } = await sw.call({
      settleMs: 30,
      to: [linger.esl],
      caller: isInbound ? '0987654321' : '1000',
      called: isInbound ? '02873001234' : '0901234567',
      digits: Array.from({ length: 12 }, () => '129#'.charAt(Math.floor(random() * 5))),
      farEnd: (dialled) =>
        random() < 0.3
          ? { refusesWith: dialled.includes('carrier1') ? 503 : 486, refusesAfterMs: 500 }
          : { ringsAfterMs: 100, answersAfterMs: Math.floor(random() * 8_000) },
      callerHangsUpAfterMs: endMs,
    }).ended
    // Who hangs up before the server has said anything is not its call yet.
    if (connections.some(({ wasConnected }) => wasConnected)) reached++
  }
  // What a first call makes once, stays.
  await one()
  await linger.server.delivered()
  const before = resources()
  let left = calls
  const worker = async (): Promise<void> => {
    while (left-- > 0) await one()
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  // A call may be over on the switch before its session has let go of it.
  await settled(() => linger.server.calls === 0)
  t.equal(linger.server.calls, 0, 'no session is left')
  await linger.server.delivered()
  const { rows } = await linger.pool.query<Record<string, string>>(
    `SELECT (SELECT count(*) FROM cdrs) AS cdrs, (SELECT count(*) FROM reservations) AS reservations,
      (SELECT sum(reserved) FROM balances)::text AS reserved`,
  )
  t.match(rows, [{ cdrs: String(reached), reservations: '0', reserved: '0.000000' }])
  const redis = new Redis(linger.redisUrl)
  t.teardown(() => redis.quit())
  const places = (await redis.keys('*')).filter((key) => /limit|calls:(tenants|gateways)/.test(key))
  for (const key of places)
    if ((await redis.type(key)) === 'zset') t.equal(await redis.zcard(key), 0, `${key}: no place is taken`)
  sw.destroy()
  await settled(() => resources() <= before + ofPools)
  t.ok(resources() <= before + ofPools, `timers, sockets and the like: ${resources()}, before ${before}`)
})

/** What keeps this process busy: timers, sockets, requests. */
function resources(): number {
  return process.getActiveResourcesInfo().filter((name) => name !== 'Immediate').length
}

/** Sockets take a turn or two to be gone. */
async function settled(isSo: () => boolean): Promise<void> {
  for (let turn = 0; turn < 2_000 && !isSo(); turn++) await new Promise(setImmediate)
}
