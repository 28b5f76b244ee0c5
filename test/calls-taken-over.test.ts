import { pino } from 'pino'
import t, { type Test } from 'tap'
import { Journal, journalFolder } from '../src/journal/journal.js'
import { booksAddUp, noOtherCdrs, talkedMs } from './support/books.js'
import { testLinger, type Cdr, type TestLinger } from './support/linger.js'
import { Line } from './support/outage.js'
import { runApi } from './support/switch/api.js'
import { farEnds } from './support/switch/far-end.js'
import type { Action } from './support/switch/dialplan.js'
import type { Call, CallOptions } from './support/switch/call.js'
import { SimulatedSwitch } from './support/switch/switch.js'
import { ownTenant, type OwnTenant } from './support/tenants.js'
import { noteLeft } from './support/transfers.js'

/** Calls whose server goes away while they are in progress: another one, or the same one again, has them then. */

t.jobs = 4

const sw = new SimulatedSwitch()
t.teardown(() => {
  sw.destroy()
})

/** Three servers of one system. */
const linger = await testLinger(t)
const [second, third] = await Promise.all([
  testLinger(t, {}, besides(linger)),
  testLinger(t, {}, besides(linger)),
])

function besides({ databaseUrl, pool, redisUrl }: TestLinger) {
  return { databaseUrl, pool, redisUrl }
}

/** A line to a server. Cutting it is, for the calls over it, the death of that server. */
function lineTo(t: Test, { esl: { host, port } }: TestLinger): Promise<Line> {
  return Line.to(t, `tcp://${host}:${port}`)
}

function dial({ tenant }: OwnTenant, line: Line, options: Partial<CallOptions> = {}): Call {
  return sw.call({
    dialplan: [{ socket: [line.address] }, noteLeft, { socket: [line.address, second.esl] }],
    caller: '1000',
    called: '0901234567',
    variables: { accountcode: tenant },
    speed: 1,
    ...options,
  })
}

/** A tenant of a story's own, with three gateways. */
async function threeGateways(): Promise<OwnTenant> {
  const sql = (tenant: string) => `INSERT INTO gateways (tenant_id, name, prefix, prefix_entered, priority)
    VALUES ('${tenant}', 'carrier2', '', '', 200), ('${tenant}', 'carrier3', '', '', 300)`
  const own = await ownTenant({ linger }, { sql })
  await Promise.all([second.server.reload(), third.server.reload()])
  return own
}

/** The CDR of a tenant's only call; and nothing is held. */
async function oneCdr(t: Test, { tenant }: OwnTenant, uuid: string): Promise<Cdr> {
  const cdr = await linger.cdr(uuid)
  await Promise.all([second.server.delivered(), third.server.delivered()])
  await noOtherCdrs(t, linger, 1, tenant)
  await booksAddUp(t, linger, tenant)
  return cdr
}

t.test('a server dies while two talk: they talk on, and the next one bills the talk once', async (t) => {
  const [own, line] = await Promise.all([threeGateways(), lineTo(t, linger)])
  const call = dial(own, line, { farEnd: farEnds.answers(1_500) })
  await call.until('CHANNEL_BRIDGE')
  await line.cut()
  const { cause, legs } = await call.ended
  t.equal(cause, 'NORMAL_CLEARING')
  t.equal(legs.length, 1, 'nobody was dialled again')
  const cdr = await oneCdr(t, own, call.uuid)
  t.match(cdr, { source: 'session', taken_over: true, route: 'dial', gateway: 'carrier1' })
  const [leg] = legs
  const ms = talkedMs(leg!)
  t.match(cdr.charges, [{ leg_uuid: leg!.uuid, gateway: 'carrier1' }])
  const billedMs = cdr.billed_ms as number
  t.ok(billedMs >= ms && billedMs <= ms + 100, `${billedMs} ms are billed of ${ms}`)
})

t.test(
  'a server dies while it rings; the gateway refuses: the next one tries the next gateway only',
  async (t) => {
    const [own, line] = await Promise.all([threeGateways(), lineTo(t, linger)])
    const dialled: string[] = []
    const call = dial(own, line, {
      farEnd: (dialString) => {
        dialled.push(/carrier\d/.exec(dialString)?.[0] ?? '')
        return dialString.includes('carrier1')
          ? { ringsAfterMs: 20, refusesWith: 503, refusesAfterMs: 1_000 }
          : farEnds.answers(1_000)
      },
    })
    await call.until('CHANNEL_PROGRESS')
    await line.cut()
    const { cause } = await call.ended
    t.equal(cause, 'NORMAL_CLEARING')
    t.same(dialled, ['carrier1', 'carrier2'])
    t.match(await oneCdr(t, own, call.uuid), {
      gateway: 'carrier2',
      taken_over: true,
      charges: [{ gateway: 'carrier2', billed_ms: 1_000 }],
    })
  },
)

t.test('two crashes in one call work as one does', async (t) => {
  const own = await threeGateways()
  const [toFirst, toSecond] = await Promise.all([lineTo(t, linger), lineTo(t, second)])
  const dialled: string[] = []
  const call = dial(own, toFirst, {
    dialplan: [toFirst.address, toSecond.address, third.esl].flatMap((to): Action[] => [
      { socket: [to] },
      noteLeft,
    ]),
    farEnd: (dialString) => {
      const [gateway = ''] = /carrier\d/.exec(dialString) ?? []
      dialled.push(gateway)
      // Each server dies while what it dialled is being dialled.
      if (gateway === 'carrier1') void toFirst.cut()
      if (gateway === 'carrier2') void toSecond.cut()
      return gateway === 'carrier3' ? farEnds.answers(800) : { refusesWith: 503, refusesAfterMs: 700 }
    },
  })
  await call.ended
  t.same(dialled, ['carrier1', 'carrier2', 'carrier3'])
  t.match(await oneCdr(t, own, call.uuid), {
    source: 'session',
    taken_over: true,
    charges: [{ gateway: 'carrier3', billed_ms: 800 }],
  })
})

t.test(
  'a call that is transferred: one CDR for both talks, and its first socket says nothing more',
  async (t) => {
    const own = await threeGateways()
    const call = sw.call({
      to: [linger.esl],
      caller: '1000',
      called: '0901234567',
      variables: { accountcode: own.tenant },
      speed: 1,
      transferDialplan: () => [{ socket: [linger.esl] }],
      farEnd: (dialString) => (dialString.includes('1001') ? farEnds.answers(700) : farEnds.answers()),
    })
    await call.until('CHANNEL_BRIDGE')
    await runApi(sw, call.clock, `uuid_transfer ${call.uuid} 1001 XML public`)
    const { connections, legs } = await call.ended
    t.equal(connections.length, 2)
    t.equal(legs.length, 2)
    const cdr = await oneCdr(t, own, call.uuid)
    t.match(cdr, { taken_over: false, called: '84901234567', charges: [{ leg_uuid: legs[0]!.uuid }] })
    t.equal(cdr.charges.length, 1, 'the extension costs nothing')
  },
)

t.test(
  'a drain gives a call to the next action: the node that gets it has its CDR, this one forgets it',
  // When the others are over: they need this server.
  { buffered: false },
  async (t) => {
    const own = await threeGateways()
    const call = sw.call({
      dialplan: [{ socket: [linger.esl] }, noteLeft, { socket: [second.esl] }],
      caller: '1000',
      called: '1001',
      variables: { accountcode: own.tenant },
      speed: 1,
      farEnd: { ringsAfterMs: 20, answersAfterMs: 1_500, hangsUpAfterMs: 500 },
    })
    await call.until('CHANNEL_PROGRESS')
    await linger.server.close({ deadlineMs: 0 })
    await call.ended
    t.match(await second.cdr(call.uuid), { taken_over: true, cost: '0.00' })
    await noOtherCdrs(t, second, 1, own.tenant)
    const journal = await Journal.open({ dir: journalFolder(linger.dataDir), log: pino({ level: 'silent' }) })
    const kept = journal.openCalls().filter(({ uuid }) => uuid === call.uuid)
    t.equal(kept.length, 1, 'it is open in the journal, until the next start asks')
    await journal.close()
  },
)
