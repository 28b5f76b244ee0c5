import t, { type Test } from 'tap'
import type { Event } from '../src/esl/event.js'
import { Link, type LinkOptions } from '../src/esl/link.js'
import { outcome } from './support/connection.js'
import { logLines } from './support/log-lines.js'
import type { Call } from './support/switch/call.js'
import { SimulatedSwitch } from './support/switch/switch.js'
import { until } from './support/wire.js'

/** The link and a whole switch with calls, instead of the single frames of esl-link.test.ts. */

const carrier = 'sofia/gateway/carrier1/84901234567'

async function linkedSwitch(t: Test, knobs: Partial<LinkOptions> = {}) {
  const sw = new SimulatedSwitch({ noticeOrder: 'recorded' })
  t.teardown(() => {
    sw.destroy()
  })
  const inbound = await sw.listenInbound({ password: 'ClueCon' })
  const { log, lines } = logLines()
  const link = new Link({
    host: '127.0.0.1',
    port: inbound.port,
    password: 'ClueCon',
    log,
    firstDelayMs: 1,
    longestDelayMs: 1,
    ...knobs,
  })
  t.teardown(() => link.close())
  const events: Event[] = []
  link.onEvent((event) => events.push(event))
  await until(() => link.isUp)
  /** What was heard of a leg. */
  const heardOf = (uuid: string | undefined): string[] =>
    events.filter((event) => event.get('Unique-ID') === uuid).map(({ name }) => name)
  return { sw, inbound, link, events, heardOf, lines }
}

/** A call that the dialplan alone led to the carrier, and that talks until somebody ends it. */
async function talking(sw: SimulatedSwitch): Promise<Call> {
  const call = sw.call({
    caller: '0912406496',
    called: '0901234567',
    dialplan: [{ application: 'bridge', argument: carrier }],
    farEnd: { ringsAfterMs: 20, answersAfterMs: 1000 },
    speed: 'manual',
  })
  await until(() => {
    if (!call.isTalking) call.step()
    return call.isTalking
  })
  return call
}

t.test('both legs of a call that this server never had are heard of, seen and ended', async (t) => {
  const { sw, link, heardOf } = await linkedSwitch(t)
  t.equal(link.coreUuid, sw.coreUuid)
  t.strictSame(await link.channels(), [])
  const call = await talking(sw)
  const [leg] = call.legs
  await until(() => heardOf(call.uuid).includes('CHANNEL_BRIDGE'))
  t.strictSame(heardOf(leg?.uuid), ['CHANNEL_CREATE', 'CHANNEL_PROGRESS', 'CHANNEL_ANSWER'])
  t.match(await link.channels(), [
    { uuid: call.uuid, direction: 'inbound', application: 'bridge', callState: 'ACTIVE' },
    { uuid: leg?.uuid, direction: 'outbound', callState: 'ACTIVE' },
  ])
  t.equal((await link.api('uuid_exists', [call.uuid])).trim(), 'true')
  t.match(await link.bgapi('uuid_kill', [call.uuid, 'ALLOTTED_TIMEOUT']), '+OK')
  await until(() => {
    if (!heardOf(leg?.uuid).includes('CHANNEL_HANGUP_COMPLETE')) call.step()
    return heardOf(leg?.uuid).includes('CHANNEL_HANGUP_COMPLETE')
  })
  await until(() => heardOf(call.uuid).includes('CHANNEL_HANGUP_COMPLETE'))
  t.strictSame(await link.channels(), [])
  t.match(await outcome(link.api('uuid_kill', [call.uuid])), { reply: '-ERR No such channel!' })
})

t.test('a switch that restarts is another one, whose calls are heard of as well', async (t) => {
  const { sw, link, heardOf } = await linkedSwitch(t)
  await talking(sw)
  const before = link.coreUuid
  const ups: (string | undefined)[] = []
  link.onUp(() => ups.push(link.coreUuid))
  sw.restart()
  await until(() => ups.length === 1)
  t.strictSame(ups, [sw.coreUuid], 'known before anybody is told')
  t.not(link.coreUuid, before)
  t.strictSame(await link.channels(), [])
  const next = await talking(sw)
  await until(() => heardOf(next.uuid).includes('CHANNEL_BRIDGE'))
})

t.test('a switch that hangs is given up, and found again when it goes on', async (t) => {
  const { sw, inbound, link } = await linkedSwitch(t, { silenceMs: 50, replyTimeoutMs: 50 })
  const downs: (string | undefined)[] = []
  link.onDown(() => downs.push(link.trouble))
  inbound.isSilent = true
  await until(() => downs.length === 1)
  t.equal(downs[0], 'nothing was heard of FreeSWITCH for 50 ms')
  await until(() => link.trouble === 'FreeSWITCH did not reply to connect within 50 ms')
  inbound.isSilent = false
  await until(() => link.isUp)
  t.equal(link.coreUuid, sw.coreUuid)
})

t.test('a heartbeat tells by the clock of the switch when it was heard last', async (t) => {
  const { sw, link, events } = await linkedSwitch(t)
  const before = link.lastHeardAt
  t.equal(before, Number(events.at(-1)?.get('Event-Date-Timestamp')))
  // Whatever its clock was ahead by.
  await until(() => sw.nowUs() > before)
  sw.heartbeat()
  await until(() => events.at(-1)?.name === 'HEARTBEAT')
  t.equal(link.lastHeardAt, Number(events.at(-1)?.get('Event-Date-Timestamp')))
  t.ok(link.lastHeardAt > before)
})

t.test(
  'a password that is changed is told at the next connection, and taken when it is right again',
  async (t) => {
    const { inbound, link, lines } = await linkedSwitch(t)
    inbound.password = 'another'
    inbound.cut()
    await until(() => link.trouble === 'FreeSWITCH refuses the password')
    t.match(lines.at(-1), { level: 50, trouble: 'FreeSWITCH refuses the password' })
    inbound.password = 'ClueCon'
    await until(() => link.isUp)
  },
)
