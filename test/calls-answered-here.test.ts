import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Line } from './support/outage.js'
import { temporaryFolder } from './support/services.js'
import type { Call, CallOptions } from './support/switch/call.js'
import { farEnds } from './support/switch/far-end.js'
import {
  booksAddUp,
  dial,
  mortal,
  noOtherCdrs,
  world,
  type Telling,
  type World,
} from './support/transfers.js'

/** Calls that a route answers itself, at the inbound tariff of the number that was called. */

t.jobs = 3

/** A number that costs its tenant 120 a minute to be called at. */
const freephone = `INSERT INTO decks (id, name, currency) VALUES ('in', 'Inbound', 'VND');
  INSERT INTO rates (deck_id, prefix, prefix_entered, description, price_per_minute)
  VALUES ('in', '84281234', '0281234', 'Freephone', 120);
  UPDATE tenants SET inbound_deck_id = 'in';
  INSERT INTO numbers (number, tenant_id, extension) VALUES ('842812345678', 'demo', '1001')`

const outside = { caller: '0987654321', profile: 'external', called: '02812345678' }

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

async function answering(t: Test, telling: Telling = 'link', sql = ''): Promise<World> {
  return world(t, telling, { settings: { ROUTES_DIR: await routes(t) }, sql: freephone + ';' + sql })
}

function callIn(here: World, path: string, options: Partial<CallOptions> = {}): Call {
  return dial(here, {
    to: [{ ...here.linger.esl, path }],
    ...outside,
    ...options,
  })
}

t.test('a call that is answered here, at a tariff, is charged from our answer to its end', async (t) => {
  const here = await answering(t)
  const call = callIn(here, 'announce', { promptMs: 4_400 })
  const { answeredAt = NaN, endedAt, cause } = await call.ended
  t.equal(cause, 'NORMAL_CLEARING', 'though it outlasted a slice')
  const ms = Math.floor(endedAt / 1000) - Math.floor(answeredAt / 1000)
  t.match(await here.linger.cdr(call.uuid), {
    source: 'session',
    direction: 'inbound',
    b_leg_uuid: null,
    bridged_at: null,
    gateway: null,
    billed_ms: ms,
    cost: (Math.round((ms * 120) / 600) / 100).toFixed(2),
    charges: [{ leg_uuid: call.uuid, gateway: null, number: '842812345678', prefix_entered: '0281234' }],
  })
  await booksAddUp(t, here.linger)
})

t.test('answered here, an extension that it is led to costs nothing more', async (t) => {
  const here = await answering(t)
  const call = callIn(here, 'operator', { promptMs: 300, farEnd: farEnds.answers(4_000) })
  const { legs, answeredAt = NaN, endedAt } = await call.ended
  const ms = Math.floor(endedAt / 1000) - Math.floor(answeredAt / 1000)
  const cdr = await here.linger.cdr(call.uuid)
  t.match(cdr, {
    b_leg_uuid: legs[0]!.uuid,
    billed_ms: ms,
    charges: [{ leg_uuid: call.uuid, billed_ms: ms }],
  })
  t.equal(cdr.charges.length, 1)
  await booksAddUp(t, here.linger)
})

t.test('answered here, a gateway that it is led to costs besides', async (t) => {
  const here = await answering(t)
  const {
    uuid,
    legs,
    answeredAt = NaN,
    endedAt,
  } = await callIn(here, 'forward', {
    promptMs: 300,
    farEnd: farEnds.answers(4_000, 200),
  }).ended
  const ms = Math.floor(endedAt / 1000) - Math.floor(answeredAt / 1000)
  t.match(await here.linger.cdr(uuid), {
    gateway: 'carrier1',
    b_leg_uuid: legs[0]!.uuid,
    billed_ms: ms + 4_000,
    charges: [
      { leg_uuid: uuid, billed_ms: ms, price_per_minute: '120.00' },
      { leg_uuid: legs[0]!.uuid, billed_ms: 4_000, price_per_minute: '500.00' },
    ],
  })
  await booksAddUp(t, here.linger)
})

t.test('a tenant that cannot pay for being called is not answered', async (t) => {
  const here = await answering(
    t,
    'link',
    `WITH taken AS (UPDATE balances SET balance = 0 WHERE tenant_id = 'demo' RETURNING balance)
      INSERT INTO ledger (tenant_id, kind, amount, balance_after, description)
      SELECT 'demo', 'adjustment', -1000000, balance, 'for the test' FROM taken`,
  )
  const { uuid, cause, answeredAt } = await callIn(here, 'announce').ended
  t.equal(cause, 'CALL_REJECTED')
  t.equal(answeredAt, undefined)
  t.match(await here.linger.cdr(uuid), {
    refusal: 'the tenant has no credit for it',
    cost: '0.00',
    charges: [],
  })
})

t.test(
  'a server dies while it talks to a caller at a tariff: the next one goes on charging, once',
  async (t) => {
    const here = await mortal(t, 6, { sql: freephone, settings: { ROUTES_DIR: await routes(t) } })
    const socket = [{ ...here.to, path: 'announce' }]
    const call = dial(here, {
      ...outside,
      dialplan: [{ socket }, { application: 'sleep', argument: '3000' }, { socket }],
      promptMs: 8_000,
    })
    await call.until('CHANNEL_ANSWER')
    await here.die()
    const again = await here.rise()
    const { answeredAt = NaN, endedAt, cause } = await call.ended
    t.equal(cause, 'NORMAL_CLEARING')
    const ms = Math.floor(endedAt / 1000) - Math.floor(answeredAt / 1000)
    t.ok(ms > 8_000)
    t.match(await again.cdr(call.uuid), {
      source: 'session',
      taken_over: true,
      billed_ms: ms,
      charges: [{ leg_uuid: call.uuid, billed_ms: ms }],
    })
    const books = { server: again.server, pool: here.linger.pool }
    await noOtherCdrs(t, books, 1)
    await booksAddUp(t, books)
  },
)

t.test(
  'a server dies while a caller at a tariff talks to an extension: his own leg is extended all the same',
  async (t) => {
    const here = await mortal(t, 6, { sql: freephone, settings: { ROUTES_DIR: await routes(t) } })
    const call = dial(here, {
      ...outside,
      to: [{ ...here.to, path: 'operator' }],
      promptMs: 100,
      farEnd: farEnds.answers(9_000),
    })
    await call.until('CHANNEL_BRIDGE')
    await here.die()
    const again = await here.rise()
    const { answeredAt = NaN, endedAt, legs } = await call.ended
    t.equal(legs[0]?.cause, 'NORMAL_CLEARING')
    const ms = Math.floor(endedAt / 1000) - Math.floor(answeredAt / 1000)
    t.ok(ms > 9_000, `${ms} ms`)
    const cdr = await again.cdr(call.uuid)
    t.match(cdr, {
      source: 'link',
      b_leg_uuid: legs[0]!.uuid,
      charges: [{ leg_uuid: call.uuid, billed_ms: ms }],
    })
    t.equal(cdr.charges.length, 1)
    await booksAddUp(t, { server: again.server, pool: here.linger.pool })
  },
)

t.test('nobody but mod_json_cdr tells of a call that was answered here: it costs the same', async (t) => {
  const here = await answering(t, 'json_cdr')
  const line = await Line.to(t, `tcp://${here.linger.esl.host}:${here.linger.esl.port}`)
  const { hostname: host, port } = new URL(line.url('tcp://any:1'))
  const call = callIn(here, 'announce', {
    to: [{ host, port: Number(port), path: 'announce' }],
    promptMs: 2_000,
    nextActions: [{ application: 'playback', argument: 'sorry.wav' }],
  })
  await call.until('CHANNEL_ANSWER')
  await line.cut()
  const { answeredAt = NaN, endedAt } = await call.ended
  const ms = Math.floor(endedAt / 1000) - Math.floor(answeredAt / 1000)
  t.match(await here.linger.cdr(call.uuid), {
    source: 'json_cdr',
    billed_ms: ms,
    charges: [{ leg_uuid: call.uuid, billed_ms: ms, number: '842812345678' }],
  })
  await booksAddUp(t, here.linger)
})
