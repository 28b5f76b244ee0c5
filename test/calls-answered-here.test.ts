import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { booksAddUp, costOf, noOtherCdrs, talkedMs } from './support/books.js'
import { Line } from './support/outage.js'
import { temporaryFolder } from './support/services.js'
import type { Call, CallOptions } from './support/switch/call.js'
import { farEnds } from './support/switch/far-end.js'
import { ownTenant, type OwnTenant, type TenantOptions } from './support/tenants.js'
import { dial, mortal, world, type Place } from './support/transfers.js'

/** Calls that a route answers itself, at the inbound tariff of the number that was called. */

// All at once, each on a tenant of its own: it is talks that take their time.
t.jobs = 10

/** A tariff at which it costs a tenant 120 a minute that its number is called. */
const sql = `INSERT INTO decks (id, name, currency) VALUES ('in', 'Inbound', 'VND');
  INSERT INTO rates (deck_id, prefix, prefix_entered, description, price_per_minute)
  VALUES ('in', '84281234', '0281234', 'Freephone', 120)`

const settings = { ROUTES_DIR: await routes(t) }
const [link, json_cdr] = await Promise.all([
  world(t, 'link', { settings, sql }),
  world(t, 'json_cdr', { settings, sql }),
])

/** A route that answers, plays, and then dials, or not. */
async function routes(t: Test): Promise<string> {
  const dir = await temporaryFolder(t)
  const text = (name: string, after: string) => `export default {
    name: '${name}', summary: 'For the test', async run(call) {
      await call.answer()
      await call.play('announcement.wav')
      ${after}
    },
  }`
  await writeFile(join(dir, 'announce.mjs'), text('announce', ''))
  await writeFile(join(dir, 'operator.mjs'), text('operator', `await call.ring([call.extension('1001')])`))
  await writeFile(
    join(dir, 'forward.mjs'),
    text('forward', `await call.dialGateway(call.gateways('84901234567')[0], '84901234567')`),
  )
  return dir
}

/** A tenant that pays for being called. */
function payer<Here extends Pick<Place, 'linger'>>(here: Here, options: TenantOptions = {}) {
  const sql = (tenant: string) => `UPDATE tenants SET inbound_deck_id = 'in' WHERE id = '${tenant}'`
  return ownTenant(here, { ...options, sql })
}

function callIn(here: Place & OwnTenant, path: string, options: Partial<CallOptions> = {}): Call {
  return dial(here, {
    to: [{ ...(here.to ?? here.linger.esl), path }],
    ...here.outside,
    ...options,
  })
}

t.test('a call that is answered here, at a tariff, is charged from our answer to its end', async (t) => {
  const here = await payer(link)
  const call = callIn(here, 'announce', { promptMs: 8_000 })
  const outcome = await call.ended
  t.equal(outcome.cause, 'NORMAL_CLEARING', 'though it outlasted a slice')
  const ms = talkedMs(outcome)
  t.match(await here.linger.cdr(call.uuid), {
    source: 'session',
    direction: 'inbound',
    b_leg_uuid: null,
    bridged_at: null,
    gateway: null,
    billed_ms: ms,
    cost: costOf(ms, 120),
    charges: [{ leg_uuid: call.uuid, gateway: null, number: here.did, prefix_entered: '0281234' }],
  })
  await booksAddUp(t, here.linger, here.tenant)
})

t.test('answered here, an extension that it is led to costs nothing more', async (t) => {
  const here = await payer(link)
  const call = callIn(here, 'operator', { promptMs: 300, farEnd: farEnds.answers(4_000) })
  const outcome = await call.ended
  const { legs } = outcome
  const ms = talkedMs(outcome)
  const cdr = await here.linger.cdr(call.uuid)
  t.match(cdr, {
    b_leg_uuid: legs[0]!.uuid,
    billed_ms: ms,
    charges: [{ leg_uuid: call.uuid, billed_ms: ms }],
  })
  t.equal(cdr.charges.length, 1)
  await booksAddUp(t, here.linger, here.tenant)
})

t.test('answered here, a gateway that it is led to costs besides', async (t) => {
  const here = await payer(link)
  const outcome = await callIn(here, 'forward', {
    promptMs: 300,
    farEnd: farEnds.answers(4_000, 200),
  }).ended
  const { uuid, legs } = outcome
  const ms = talkedMs(outcome)
  t.match(await here.linger.cdr(uuid), {
    gateway: 'carrier1',
    b_leg_uuid: legs[0]!.uuid,
    billed_ms: ms + 4_000,
    charges: [
      { leg_uuid: uuid, billed_ms: ms, price_per_minute: '120.00' },
      { leg_uuid: legs[0]!.uuid, billed_ms: 4_000, price_per_minute: '500.00' },
    ],
  })
  await booksAddUp(t, here.linger, here.tenant)
})

t.test('a tenant that cannot pay for being called is not answered', async (t) => {
  const here = await payer(link, { balance: '0' })
  const { uuid, cause, answeredAt } = await callIn(here, 'announce').ended
  t.equal(cause, 'CALL_REJECTED')
  t.equal(answeredAt, undefined)
  t.match(await here.linger.cdr(uuid), {
    refusal: 'the tenant has no credit for it',
    cost: '0.00',
    charges: [],
  })
})

t.test('nobody but mod_json_cdr tells of a call that was answered here: it costs the same', async (t) => {
  const here = await payer(json_cdr)
  const line = await Line.to(t, `tcp://${here.linger.esl.host}:${here.linger.esl.port}`)
  const call = callIn(here, 'announce', {
    to: [{ ...line.address, path: 'announce' }],
    promptMs: 2_000,
    nextActions: [{ application: 'playback', argument: 'sorry.wav' }],
  })
  await call.until('CHANNEL_ANSWER')
  await line.cut()
  const ms = talkedMs(await call.ended)
  t.match(await here.linger.cdr(call.uuid), {
    source: 'json_cdr',
    billed_ms: ms,
    charges: [{ leg_uuid: call.uuid, billed_ms: ms, number: here.did }],
  })
  await booksAddUp(t, here.linger, here.tenant)
})

// Alone, for what starts beside a talk takes time from those who must extend it.
const alone = { buffered: false }

t.test('a server dies, and comes back, while callers at a tariff', alone, async (t) => {
  const here = await mortal(t, 6, { sql, settings })
  const [unconnected, connected] = await Promise.all([payer(here), payer(here)])
  const socket = [{ ...here.to, path: 'announce' }]
  const listening = callIn(unconnected, 'announce', {
    dialplan: [{ socket }, { application: 'sleep', argument: '3000' }, { socket }],
    promptMs: 5_500,
  })
  const talking = callIn(connected, 'operator', { promptMs: 100, farEnd: farEnds.answers(9_000) })
  await Promise.all([listening.until('CHANNEL_ANSWER'), talking.until('CHANNEL_BRIDGE')])
  await here.die()
  const again = await here.rise()

  await t.test('hear an announcement: the next one goes on charging, once', async (t) => {
    const outcome = await listening.ended
    t.equal(outcome.cause, 'NORMAL_CLEARING')
    const ms = talkedMs(outcome)
    t.ok(ms > 8_000)
    t.match(await again.cdr(listening.uuid), {
      source: 'session',
      taken_over: true,
      billed_ms: ms,
      charges: [{ leg_uuid: listening.uuid, billed_ms: ms }],
    })
    await noOtherCdrs(t, again, 1, unconnected.tenant)
    await booksAddUp(t, again, unconnected.tenant)
  })

  await t.test('talk to an extension: their own leg is extended all the same', async (t) => {
    const outcome = await talking.ended
    const { legs } = outcome
    t.equal(legs[0]?.cause, 'NORMAL_CLEARING')
    const ms = talkedMs(outcome)
    t.ok(ms > 9_000, `${ms} ms`)
    const cdr = await again.cdr(talking.uuid)
    t.match(cdr, {
      source: 'link',
      b_leg_uuid: legs[0]!.uuid,
      charges: [{ leg_uuid: talking.uuid, billed_ms: ms }],
    })
    t.equal(cdr.charges.length, 1)
    await booksAddUp(t, again, connected.tenant)
  })
})
