import { setTimeout as delay } from 'node:timers/promises'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { CreditAway } from '../src/billing/reservation-queue.js'
import { parseMoney } from '../src/billing/money.js'
import { CallLimits } from '../src/billing/limits.js'
import { GatewayPlaces } from '../src/call/gateways/gateway-places.js'
import { Locks } from '../src/call/watch/locks.js'
import { Orphans, type OrphansOptions } from '../src/call/watch/orphans.js'
import { encodeCallState } from '../src/call/state.js'
import type { SwitchLink } from '../src/call/watch/switches.js'
import { reserveCredit } from '../src/store/reservations.js'
import { creditOn, heldBy } from './support/credit.js'
import {
  catalogOf,
  deadServersCall,
  linkedSwitch,
  linkTo,
  oneSlice,
  redisOf,
  shared,
  sliceSeconds,
  twoSlices,
  type DeadServerOptions,
} from './support/dead-server.js'
import { noPlaces, plainNumberRules, presentsCaller } from './support/gateways.js'
import { logLines } from './support/log-lines.js'
import { Line } from './support/outage.js'
import { farEnds } from './support/switch/far-end.js'
import { until } from './support/wire.js'

/** Talks that outlast a slice take their time; there is none to be had by playing them one by one. */
t.jobs = 6

const silent = pino({ level: 'silent' })
const services = await shared(t)

/** A node that looks after the calls of the node `dead`. */
async function nodeOf(t: Test, link: SwitchLink, options: Partial<OrphansOptions> & { id?: string } = {}) {
  const { id = 'this' } = options
  const live = new Set<string>()
  const orphans = new Orphans({
    links: [link],
    catalog: await catalogOf(t, services),
    credit: creditOn(services.pool, { sliceSeconds }),
    places: noPlaces,
    live,
    nodes: { id, servesNoMore: (node) => node === id || node === 'dead' },
    redis: await redisOf(t, services),
    log: silent,
    retryMs: 1,
    ...options,
  })
  t.teardown(() => orphans.close())
  return { orphans, live }
}

async function orphaned(t: Test, options: DeadServerOptions & Partial<OrphansOptions> = {}) {
  const { sw, link, port } = await linkedSwitch(t)
  const dead = await deadServersCall(t, sw, services, options)
  const { orphans, live } = await nodeOf(t, link, options)
  const { uuid } = dead.call
  /** Under which names the leg's hangup is scheduled; once it is over, none. */
  const timers = async (): Promise<string[]> =>
    (await link.api('uuid_getvar', [dead.call.legs[0]!.uuid, 'linger_timers'])).split('+')
  return { sw, link, port, orphans, live, uuid, timers, ...dead }
}

/** How long the called leg talked, in s. */
function talked({
  legs: [leg],
}: {
  legs: readonly { answeredAt: number | undefined; endedAt: number | undefined }[]
}) {
  return ((leg?.endedAt ?? NaN) - (leg?.answeredAt ?? NaN)) / 1e6
}

t.test('a talk whose server is dead goes on past what was reserved for it', async (t) => {
  const { orphans, call, uuid, link, timers, payer } = await orphaned(t, {
    call: { farEnd: farEnds.answers(4_200) },
  })
  orphans.consider(uuid, link)
  await until(() => orphans.metered === 1)
  const { held } = await heldBy(services.pool, payer)
  t.equal(held, parseMoney(oneSlice), 'nothing more is reserved than was')
  const names = await answered(timers, (all) => all.some((name) => name.startsWith('linger-')))
  const outcome = await call.ended
  t.equal(outcome.cause, 'NORMAL_CLEARING')
  t.equal(talked(outcome), 4.2)
  t.equal((await heldBy(services.pool, payer)).held, parseMoney(twoSlices))
  await until(() => orphans.metered === 0)
  for (const name of names) t.match(await link.api('sched_del', [name]), /Deleted: 0/, 'no timer is left')
})

t.test('the place of a leg at a limited gateway is taken as long as it talks', async (t) => {
  const limits = new CallLimits({ redis: await redisOf(t, services), log: silent, of: 'gateways' })
  t.teardown(() => {
    limits.close()
  })
  const rules = { number: plainNumberRules, callerId: presentsCaller, codecs: [] }
  const carrier = { id: 1, name: 'carrier1', prefix: '', priority: 1, maxCalls: 1, ...rules }
  const places = new GatewayPlaces({ catalog: { gateways: () => [carrier] }, limits })
  const taken = async (count: number) => {
    while ((await limits.counts(['carrier1']))?.[0] !== count) await delay(20)
  }
  await t.test('with its caller', async (t) => {
    const { orphans, call, uuid, link } = await orphaned(t, { places })
    orphans.consider(uuid, link)
    await taken(1)
    t.equal(await limits.begin({ id: 'carrier1', maxCalls: 1 }, 'another'), 'max_calls')
    call.hangup()
    await call.ended
    await taken(0)
  })

  /** Its caller, whose server is dead, has hung up, and nobody can say what credit there is for it. */
  const unmetered = async (t: Test) => {
    let isAway = false
    let refused = 0
    const credit = creditOn(services.pool, {
      sliceSeconds,
      reserve: (tenantId, requests) =>
        isAway && ++refused > 0
          ? Promise.reject(new CreditAway('away'))
          : reserveCredit(services.pool, tenantId, requests),
    })
    const story = await orphaned(t, { ...outliving(60_000), credit, places })
    const { orphans, call, uuid, link } = story
    orphans.consider(uuid, link)
    await until(() => orphans.metered === 1)
    const [leg] = call.legs
    isAway = true
    call.hangup()
    await until(() => refused > 0 && orphans.has(leg!.uuid))
    t.equal(orphans.metered, 0)
    t.ok(places.keeps('attempt'))
    return { ...story, leg: leg! }
  }

  await t.test('without its caller, though nobody meters it', async (t) => {
    const { call, leg } = await unmetered(t)
    leg.hangup()
    await call.ended
    await taken(0)
  })

  await t.test('or until somebody else has it', async (t) => {
    const { call, leg, orphans } = await unmetered(t)
    orphans.release(leg.uuid)
    t.notOk(places.keeps('attempt'), 'its place lapses')
    leg.hangup()
    await call.ended
  })

  await t.test('which may be a session of this node', async (t) => {
    const { call, leg, orphans, live, link, uuid: callUuid, payer, attempt } = await unmetered(t)
    const session = {}
    const its = { uuid: leg.uuid, callUuid, tenant: payer.id, attempt, answeredAt: 0, now: 0, timers: [] }
    places.take(its, session)
    live.add(leg.uuid)
    orphans.consider(leg.uuid, link)
    await until(() => !orphans.has(leg.uuid))
    t.ok(places.keeps('attempt'))
    places.leave(leg.uuid, session)
    t.notOk(places.keeps('attempt'))
    leg.hangup()
    await call.ended
  })
})

t.test('what its server reserved and did not tell the switch is talked, and not a second more', async (t) => {
  const { orphans, call, uuid, link, payer } = await orphaned(t, { balance: twoSlices, unmovedSlices: 1 })
  orphans.consider(uuid, link)
  const outcome = await call.ended
  t.equal(outcome.legs[0]?.cause, 'ALLOTTED_TIMEOUT')
  const seconds = talked(outcome)
  t.ok(seconds > sliceSeconds + 2 && seconds <= 2 * sliceSeconds + 1, `${seconds} s`)
  t.equal((await heldBy(services.pool, payer)).held, parseMoney(twoSlices))
})

t.test('without credit for more it ends when it would have ended', async (t) => {
  const { orphans, call, uuid, link } = await orphaned(t, { balance: oneSlice })
  orphans.consider(uuid, link)
  await until(() => orphans.metered === 1)
  const outcome = await call.ended
  t.equal(outcome.legs[0]?.cause, 'ALLOTTED_TIMEOUT')
  t.ok(talked(outcome) <= sliceSeconds + 1)
})

t.test('of two nodes one looks after a call; the other one when that one stops', async (t) => {
  const { orphans, call, uuid, link, port } = await orphaned(t)
  const otherLink = await linkTo(t, port)
  const { orphans: other } = await nodeOf(t, otherLink, { id: 'other' })
  orphans.consider(uuid, link)
  await until(() => orphans.metered === 1)
  other.consider(uuid, otherLink)
  await until(() => !other.has(uuid))
  t.equal(other.metered, 0)
  await orphans.close()
  other.consider(uuid, otherLink)
  await until(() => other.metered === 1)
  call.hangup()
  await call.ended
  await until(() => other.metered === 0)
  t.notOk(other.has(uuid))
})

t.test('a call that rings is looked after from its answer on', async (t) => {
  const { orphans, call, uuid, link } = await orphaned(t, {
    diesWhile: 'ringing',
    call: { farEnd: { ringsAfterMs: 10, answersAfterMs: 500, hangsUpAfterMs: 4_500 } },
  })
  orphans.consider(uuid, link)
  t.equal(orphans.metered, 0)
  t.ok(orphans.has(uuid))
  await until(() => orphans.metered === 1)
  t.ok(call.isTalking)
  t.equal(talked(await call.ended), 4.5)
})

t.test('while a second leg rings the one before it is not taken for it', async (t) => {
  const { orphans, call, uuid, link } = await orphaned(t, {
    diesWhile: 'ringing',
    earlierNumber: '84900000000',
    call: {
      farEnd: (dialString) =>
        dialString.includes('84900000000')
          ? farEnds.answers(50)
          : { ringsAfterMs: 10, answersAfterMs: 500, hangsUpAfterMs: 4_500 },
    },
  })
  orphans.consider(uuid, link)
  await until(() => orphans.metered === 1)
  t.ok(call.isTalking)
  const { legs } = await call.ended
  t.equal(talked({ legs: legs.slice(1) }), 4.5)
})

t.test('over a link that breaks and comes back it goes on with what the channel says', async (t) => {
  const { log, lines } = logLines()
  const { sw, orphans, call, uuid, link, timers } = await orphaned(t, {
    log,
    call: { farEnd: farEnds.answers(5_000) },
  })
  orphans.consider(uuid, link)
  const [first] = await answered(timers, (all) => all.length === 2)
  t.ok(first)
  sw.cutLinks()
  await until(() => orphans.metered === 0)
  await until(() => orphans.metered === 1)
  t.equal(talked(await call.ended), 5)
  t.strictSame(
    lines.filter(({ level }) => level > 30),
    [],
  )
})

t.test('a leg that ends while the link is down is not looked after any more', async (t) => {
  const { sw, orphans, call, uuid, link } = await orphaned(t)
  orphans.consider(uuid, link)
  await until(() => orphans.metered === 1)
  sw.cutLinks()
  call.hangup()
  await call.ended
  await until(() => link.isUp && !orphans.has(uuid))
  t.equal(orphans.metered, 0)
})

t.test('the call of a node that lives is left to it', async (t) => {
  const { orphans, uuid, link, call } = await orphaned(t, { node: 'alive' })
  orphans.consider(uuid, link)
  await until(() => !orphans.has(uuid))
  t.equal(orphans.metered, 0)
  call.hangup()
  await call.ended
})

t.test('the call of this node is looked after when it has no session here', async (t) => {
  const { orphans, uuid, link, live, call } = await orphaned(t, { node: 'this' })
  live.add(uuid)
  orphans.consider(uuid, link)
  await until(() => !orphans.has(uuid))
  live.delete(uuid)
  orphans.consider(uuid, link)
  await until(() => orphans.metered === 1)
  call.hangup()
  await call.ended
})

t.test('a call that has a session again, here or elsewhere, is let go, and its timers stay', async (t) => {
  const { orphans, uuid, link, state, timers, call } = await orphaned(t)
  orphans.consider(uuid, link)
  const armed = await answered(timers, (all) => all.length === 2)
  orphans.release(uuid)
  t.equal(orphans.metered, 0)
  t.match(await link.api('sched_del', [armed.at(-1)!]), /Deleted: 1/)

  orphans.consider(uuid, link)
  await until(() => orphans.metered === 1)
  await link.api('uuid_setvar', [
    uuid,
    'linger_call',
    encodeCallState({ ...state, node: 'alive', takeovers: 1 }),
  ])
  orphans.consider(uuid, link)
  await until(() => !orphans.has(uuid))
  t.equal(orphans.metered, 0)
  call.hangup()
  await call.ended
})

/** A leg that talks on when its caller hangs up, for so long after its answer. */
function outliving(ms: number): DeadServerOptions {
  return { call: { farEnd: { ...farEnds.answers(ms), outlivesCaller: true } } }
}

t.test('a leg that talks on without its caller is looked after as such', async (t) => {
  const { orphans, call, link, payer } = await orphaned(t, outliving(4_200))
  const [leg] = call.legs
  call.hangup()
  await call.hungUp
  orphans.consider(leg!.uuid, link)
  await until(() => orphans.metered === 1)
  t.equal(
    (await heldBy(services.pool, payer)).held,
    parseMoney(oneSlice),
    'nothing more is reserved than was',
  )
  const outcome = await call.ended
  t.equal(outcome.legs[0]?.cause, 'NORMAL_CLEARING')
  t.equal(talked(outcome), 4.2)
  await until(() => orphans.metered === 0)
})

t.test(
  'a caller whose server is dead hangs up, and his leg talks on: it is looked after all the same',
  async (t) => {
    const { orphans, call, uuid, link } = await orphaned(t, outliving(4_200))
    orphans.consider(uuid, link)
    await until(() => orphans.metered === 1)
    call.hangup()
    await call.hungUp
    await until(() => !orphans.has(uuid) && orphans.has(call.legs[0]!.uuid))
    t.equal(talked(await call.ended), 4.2)
    await until(() => orphans.metered === 0)
  },
)

t.test('a leg is its caller’s, whose server lives, until that one has no more to do with it', async (t) => {
  const { orphans, call, link } = await orphaned(t, { ...outliving(4_200), node: 'alive' })
  const { uuid } = call.legs[0]!
  orphans.consider(uuid, link)
  await until(() => !orphans.has(uuid))
  t.equal(orphans.metered, 0)
  orphans.consider(uuid, link, true)
  await until(() => orphans.metered === 1)
  t.equal(talked(await call.ended), 4.2)
})

t.test(
  'a leg that is handed to a server is that one’s, as soon as it says so; and when it dies, nobody’s',
  async (t) => {
    const { orphans, call, link, state, live } = await orphaned(t, { ...outliving(8_000), node: 'alive' })
    const { uuid } = call.legs[0]!
    const set = (name: string, value: string): Promise<string> => link.api('uuid_setvar', [uuid, name, value])
    await set('current_application', 'socket')
    orphans.consider(uuid, link, true)
    const asked = link.asked.length
    await until(() => link.asked.length > asked + 3)
    t.ok(orphans.has(uuid), 'it is asked again and again')
    t.equal(orphans.metered, 0)
    await set('linger_call', encodeCallState({ ...state, attempt: undefined, node: 'alive' }))
    await until(() => !orphans.has(uuid))
    await set('linger_call', encodeCallState({ ...state, attempt: undefined, node: 'dead' }))
    live.add(uuid)
    orphans.consider(uuid, link)
    await until(() => !orphans.has(uuid))
    live.delete(uuid)
    orphans.consider(uuid, link)
    await until(() => orphans.metered === 1)
    call.legs[0]!.hangup()
    await until(() => orphans.metered === 0)
    call.hangup()
    await call.ended
  },
)

t.test('a caller who is charged himself is looked after beside the leg that he talks to', async (t) => {
  const { orphans, call, uuid, link, state, attempt, payer } = await orphaned(t, {
    call: { farEnd: farEnds.answers(4_200) },
  })
  const own = { ...attempt, id: 'own', target: 'answered', gateway: undefined }
  const leg = {
    uuid,
    attempt: own,
    answeredAt: undefined,
    bridgedAt: 0,
    endedAt: undefined,
    endIsExact: false,
  }
  await link.api('uuid_setvar', [uuid, 'linger_call', encodeCallState({ ...state, legs: [leg] })])
  orphans.consider(uuid, link)
  await until(() => orphans.metered === 2)
  const isMore = ({ held }: Awaited<ReturnType<typeof heldBy>>): boolean => held > parseMoney(twoSlices)
  await answered(() => heldBy(services.pool, payer), isMore)
  t.equal(talked(await call.ended), 4.2)
  await until(() => orphans.metered === 0)
})

t.test('while nobody can say what credit there is it is asked for again', async (t) => {
  let asked = 0
  const credit = creditOn(services.pool, {
    sliceSeconds,
    reserve: (tenantId, requests) =>
      ++asked < 4 ? Promise.reject(new CreditAway('away')) : reserveCredit(services.pool, tenantId, requests),
  })
  const { orphans, uuid, link, call } = await orphaned(t, { credit })
  orphans.consider(uuid, link)
  await until(() => orphans.metered === 1)
  t.ok(asked >= 4)
  call.hangup()
  await call.ended
})

t.test('a talk that is trusted is not cut off because nobody knows how long it may last', async (t) => {
  const { sw, link } = await linkedSwitch(t)
  const { call } = await deadServersCall(t, sw, services, {
    terms: { billing: 'postpaid' },
    maxSeconds: 60,
    call: { farEnd: farEnds.answers(4_000) },
  })
  const credit = creditOn(services.pool, {
    sliceSeconds,
    reserve: () => Promise.reject(new CreditAway('away')),
  })
  const { orphans } = await nodeOf(t, link, { credit })
  // It has talked for longer than a first slice when somebody else has heard this out.
  const dialplan = [{ application: 'answer' }, { application: 'playback', argument: 'long.wav' }]
  await sw.call({ dialplan, promptMs: 3_100, caller: '1001', called: '1002', speed: 1 }).ended
  orphans.consider(call.uuid, link)
  await until(() => orphans.metered === 1)
  t.equal(talked(await call.ended), 4)
})

t.test('while Redis is away this node looks after its own calls all the same', async (t) => {
  const line = await Line.to(t, services.redisUrl)
  const redis = await redisOf(t, { ...services, redisUrl: line.url(services.redisUrl) })
  await line.cut()
  const { orphans, uuid, link, call } = await orphaned(t, { node: 'this', redis })
  orphans.consider(uuid, link)
  await until(() => orphans.metered === 1)
  call.hangup()
  await call.ended
})

t.test('a lock is held by one, until it is released or lapses', async (t) => {
  const redis = await redisOf(t, services)
  const lost: string[] = []
  const locksOf = (owner: string, leaseMs?: number): Locks => {
    const onLost = (name: string): void => {
      lost.push(`${owner}: ${name}`)
    }
    const locks = new Locks({ redis, owner, prefix: 'linger:test:', onLost, ...(leaseMs && { leaseMs }) })
    t.teardown(() => locks.close())
    return locks
  }
  const [one, other] = [locksOf('one'), locksOf('other')]
  t.equal(await one.take('a'), true)
  t.equal(await one.take('a'), true)
  t.equal(await other.take('a'), false)
  one.release('a')
  t.equal(await other.take('a'), true)
  one.release('a')
  t.equal(await one.take('a'), false, 'what it does not hold it does not release')

  const brief = locksOf('brief', 1)
  t.equal(await brief.take('b'), true)
  await until(() => other.take('b'))
  await brief.renew()
  await other.renew()
  t.strictSame(lost, ['brief: b'])
  await other.close()
  t.strictSame(await redis.keys('linger:test:*'), [])
})

/** Asks until the answer will do. */
async function answered<T>(ask: () => Promise<T>, isEnough: (answer: T) => boolean): Promise<T> {
  let answer = await ask()
  await until(async () => isEnough((answer = await ask())))
  return answer
}
