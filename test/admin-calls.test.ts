import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { CallerGone } from '../src/esl/errors.js'
import { saveFlows } from '../src/routes/flow-file.js'
import { Routes } from '../src/routes/registry.js'
import { Asked, newKey } from './support/asked.js'
import { booksAddUp, costOf, noOtherCdrs, talkedMs } from './support/books.js'
import { testLinger } from './support/linger.js'
import { Line } from './support/outage.js'
import { temporaryFolder, testDatabase, testRedis } from './support/services.js'
import type { CallOptions } from './support/switch/call.js'
import type { FarEndChoice } from './support/switch/far-end.js'
import { SimulatedSwitch } from './support/switch/switch.js'
import { ownTenant, type OwnTenant } from './support/tenants.js'
import { mobile, otherMobile, dial } from './support/transfers.js'
import { until } from './support/wire.js'

/** What an admin does with calls: asked of one server, done by another one that has them. */

const password = 'ClueCon'
const sw = new SimulatedSwitch({ registered: ['1001'], ringing: ['1000'] })
t.teardown(() => {
  sw.destroy()
})
const { port } = await sw.listenInbound({ password })
const recordings = await temporaryFolder(t)
/** Routes that are doing something whenever they are broken off, and nothing. */
const routes = await temporaryFolder(t)
const code = (name: string, run: string) =>
  `export default { name: '${name}', summary: '${name}', async run(call) { await call.answer(); ${run} } }`
await writeFile(join(routes, 'package.json'), '{ "type": "module" }')
await writeFile(join(routes, 'chatters.js'), code('chatters', `for (;;) await call.play('ivr/a.wav')`))
await writeFile(
  join(routes, 'waits.js'),
  code(
    'waits',
    `await new Promise((go) => process.once('linger-test:' + call.facts.uuid, go))
     process.emit('linger-test:rung', await call.ring([call.extension('1001')]).catch((error) => error))`,
  ),
)
const settings = {
  ROUTES_DIR: routes,
  FREESWITCH: `esl://:${password}@127.0.0.1:${port}`,
  CREDIT_SLICE_SECONDS: '6',
  RECORDINGS_DIR: recordings,
  LOG_LEVEL: 'info',
}
const database = await testDatabase(t)
const { url: redisUrl } = await testRedis(t)
const line = await Line.to(t, redisUrl)
const shared = { databaseUrl: database.url, pool: database.pool }
/** It is asked, over a line to Redis that can be cut. */
const near = await testLinger(t, settings, { ...shared, redisUrl: line.url(redisUrl) })
/** It has the calls. */
const far = await testLinger(t, settings, { ...shared, redisUrl })
const api = await Asked.of(near)
const redis = new Redis(redisUrl)
t.teardown(() => {
  redis.disconnect()
})
const askChannel = `linger:${redis.options.db ?? 0}:ask`

type Shown = Readonly<Record<string, unknown>>
interface Listed {
  readonly items: readonly Shown[]
  readonly next: string | null
  readonly total: number
  readonly nodes: { readonly asked: number; readonly answered: number; readonly trouble: string | null }
}

const get = (t: Test, path: string, key?: string) =>
  api.ask(t, near, 'GET', path, key === undefined ? {} : { key })
const list = async (t: Test, query: string, key?: string): Promise<Listed> =>
  (await get(t, `/v1/calls${query}`, key)).body as unknown as Listed
const post = (t: Test, uuid: string, what: string, body: unknown = {}, key?: string) =>
  api.ask(t, near, 'POST', `/v1/calls/${uuid}/${what}`, { body, ...(key !== undefined && { key }) })

async function tenantHere(sql?: (tenant: string) => string): Promise<OwnTenant> {
  const here = await ownTenant({ linger: far }, sql === undefined ? {} : { sql })
  await near.server.reload()
  return here
}

/** A call of a tenant that the far server has, and that talks. */
async function talking({ tenant }: OwnTenant, options: Partial<CallOptions> = {}) {
  const call = dial({ sw, linger: far, tenant }, options)
  await call.until('CHANNEL_BRIDGE')
  await until(async () => {
    const { body } = await near.http('GET', `/v1/calls/${call.uuid}`)
    return (body as Shown).state === 'talking'
  })
  return call
}

/** By what is in the dial string. */
function ends(
  of: Readonly<Record<string, ReturnType<Extract<FarEndChoice, (...args: never[]) => unknown>>>>,
) {
  return (dialString: string) =>
    Object.entries(of).find(([part]) => dialString.includes(part))?.[1] ?? { answersAfterMs: 0 }
}

await until(async () => {
  const [a, b] = await Promise.all([near.http('GET', '/v1/calls'), far.http('GET', '/v1/calls')])
  return [a, b].every(({ body }) => (body as Listed).nodes.answered === 2)
})

t.test('a server shows the calls of all, filtered and in pages, the latest first', async (t) => {
  const here = await tenantHere()
  const first = await talking(here)
  const second = dial(
    { sw, linger: near, tenant: here.tenant },
    { called: '1001', farEnd: { ringsAfterMs: 10 } },
  )
  const third = dial(
    { sw, linger: far, tenant: here.tenant },
    { called: '1001', farEnd: { ringsAfterMs: 10 } },
  )
  await Promise.all([second, third].map((call) => call.until('CHANNEL_PROGRESS')))
  const listed = (query = ''): Promise<Listed> => list(t, `?tenant=${here.tenant}${query}`)
  const uuids = (page: Listed) => page.items.map(({ call_uuid: uuid }) => uuid)
  const all = await listed()
  t.match(all, { total: 3, next: null, nodes: { asked: 2, answered: 2, trouble: null } })
  t.same(new Set(uuids(all)), new Set([first.uuid, second.uuid, third.uuid]))
  t.match(all.items.at(-1), {
    call_uuid: first.uuid,
    tenant: here.tenant,
    direction: 'outbound',
    caller: '1000',
    called: '84901234567',
    called_raw: mobile,
    route: 'dial',
    state: 'talking',
    b_leg_uuid: first.legs[0]!.uuid,
    dialled: '84901234567',
    gateway: 'carrier1',
    is_vip: false,
    recording_path: null,
  })
  t.not(all.items.at(-1)?.node, all.items.find(({ call_uuid: uuid }) => uuid === second.uuid)?.node)
  t.match((await get(t, `/v1/calls/${third.uuid}`)).body, {
    call_uuid: third.uuid,
    state: 'ringing',
    direction: 'internal',
    dialled: '1001',
    gateway: null,
    answered_at: null,
    bridged_at: null,
  })
  t.same(uuids(await listed('&gateway=carrier1')), [first.uuid])
  t.same(uuids(await listed(`&called=${mobile}`)), [first.uuid])
  t.same(uuids(await listed('&state=ringing&direction=internal')).length, 2)
  t.same(uuids(await listed('&route=menu')), [])
  t.equal((await listed('&caller=1000')).total, 3)

  const paged: unknown[] = []
  for (let cursor = ''; ;) {
    const page = await listed(`&limit=1${cursor}`)
    t.equal(page.total, 3)
    paged.push(...uuids(page))
    if (page.next === null) break
    cursor = `&cursor=${page.next}`
  }
  t.same(paged, uuids(all), 'page by page it is the same')
  t.equal((await get(t, '/v1/calls?cursor=nonsense')).status, 400)
  t.equal((await get(t, '/v1/calls?state=asleep')).status, 400)
  t.equal((await get(t, `/v1/calls/${first.uuid}?state=talking`)).status, 400)
  const stats = (await get(t, `/v1/stats?tenant=${here.tenant}`)).body
  t.match(stats, {
    nodes: { asked: 2, answered: 2 },
    now: {
      calls: 3,
      by_tenant: { [here.tenant]: 3 },
      by_route: { dial: 3 },
      by_state: { talking: 1, ringing: 2 },
    },
  })
  for (const call of [first, second, third]) call.hangup()
  await until(async () => {
    const { begun, now } = (await get(t, `/v1/stats?tenant=${here.tenant}`)).body as unknown as {
      begun: { seconds: number[] }
      now: { calls: number }
    }
    return begun.seconds.reduce((sum, calls) => sum + calls, 0) === 3 && now.calls === 0
  })
})

t.test('a call that its dialplan gets back, and sends again, has begun once', async (t) => {
  const here = await tenantHere()
  const call = dial(
    { sw, linger: far, tenant: here.tenant },
    {
      dialplan: [{ socket: [{ ...far.esl, path: 'checkphone' }] }, { socket: [far.esl] }],
      farEnd: { answersAfterMs: 0, hangsUpAfterMs: 50 },
    },
  )
  t.equal((await call.ended).connections.length, 2)
  await far.cdr(call.uuid)
  const begunOf = async (tenant: string): Promise<number> => {
    const { begun } = (await get(t, `/v1/stats?tenant=${tenant}`)).body as { begun: { seconds: number[] } }
    return begun.seconds.reduce((sum, calls) => sum + calls, 0)
  }
  // The second that it is in is not told yet: a call that came after it says when.
  const later = await tenantHere()
  await dial({ sw, linger: far, tenant: later.tenant }, { farEnd: { answersAfterMs: 0, hangsUpAfterMs: 50 } })
    .ended
  await until(async () => (await begunOf(later.tenant)) === 1)
  t.equal(await begunOf(here.tenant), 1)
})

t.test('a key that is bound to a tenant sees, and touches, its own calls alone', async (t) => {
  const [own, other] = [await tenantHere(), await tenantHere()]
  const [ownCall, otherCall] = [await talking(own), await talking(other)]
  const key = await newKey(near, 'operate', own.tenant)
  const reader = await newKey(near, 'read', own.tenant)
  const body = await list(t, '', key)
  t.same(
    body.items.map(({ call_uuid: uuid }) => uuid),
    [ownCall.uuid],
  )
  t.equal(body.total, 1)
  t.equal((await get(t, `/v1/calls?tenant=${other.tenant}`, key)).status, 404)
  t.equal((await get(t, `/v1/calls/${ownCall.uuid}`, key)).status, 200)
  t.equal((await get(t, `/v1/calls/${otherCall.uuid}`, key)).status, 404)
  for (const [what, sent] of [
    ['hangup', {}],
    ['transfer', { to: '1001' }],
    ['dtmf', { digits: '1' }],
    ['play', { sound: 'a.wav' }],
    ['recording', { on: true }],
    ['listen', { extension: '1001' }],
  ] as const) {
    t.equal((await post(t, otherCall.uuid, what, sent, key)).status, 404, what)
    t.equal((await post(t, ownCall.uuid, what, sent, reader)).status, 403, what)
  }
  t.ok(otherCall.isTalking)
  t.equal((await post(t, ownCall.uuid, 'hangup', {}, key)).status, 204)
  t.equal((await ownCall.ended).hungUpBy, 'server')
  otherCall.hangup()
})

t.test('a call is hung up by another server than its own, and its record says so', async (t) => {
  const here = await tenantHere()
  const call = await talking(here)
  t.equal((await post(t, call.uuid, 'hangup', { cause: 'CALL_REJECTED' })).status, 204)
  t.equal((await call.ended).cause, 'CALL_REJECTED')
  const cdr = await far.cdr(call.uuid)
  t.match(cdr, { hung_up_by: 'server', hangup_cause: 'CALL_REJECTED', charges: [{ gateway: 'carrier1' }] })
  await booksAddUp(t, far, here.tenant)
  t.equal((await post(t, call.uuid, 'hangup')).status, 404, 'it is over')

  // Without a body, as curl -X POST sends it.
  const ringing = dial({ sw, linger: far, tenant: here.tenant }, { farEnd: { ringsAfterMs: 10 } })
  await ringing.until('CHANNEL_PROGRESS')
  t.equal((await api.ask(t, near, 'POST', `/v1/calls/${ringing.uuid}/hangup`)).status, 204)
  t.equal((await ringing.ended).cause, 'NORMAL_CLEARING')
  t.match(await far.cdr(ringing.uuid), { hung_up_by: 'server', cost: '0.00' })
  const { rows } = await far.pool.query(
    `SELECT target, after FROM audit_lines WHERE tenant_id = $1 ORDER BY id`,
    [here.tenant],
  )
  t.match(rows, [
    { target: `call ${call.uuid}`, after: { cause: 'CALL_REJECTED' } },
    { target: `call ${ringing.uuid}` },
  ])
  t.equal((await post(t, call.uuid, 'hangup', { cause: 'BORED' })).status, 400)
})

t.test('a caller who talks is sent to an extension: one call, each leg charged to its own end', async (t) => {
  const here = await tenantHere()
  const call = await talking(here, { farEnd: ends({ '1001': { answersAfterMs: 0, hangsUpAfterMs: 300 } }) })
  t.equal((await post(t, call.uuid, 'transfer', { to: '1001' })).status, 204)
  const { legs, connections } = await call.ended
  const [sent, extension] = legs
  t.equal(legs.length, 2)
  t.equal(connections.length, 2, 'it came back')
  t.match(await far.cdr(call.uuid), {
    source: 'session',
    direction: 'outbound',
    taken_over: false,
    hung_up_by: 'called',
    b_leg_uuid: extension!.uuid,
    cost: costOf(talkedMs(sent!)),
    charges: [{ leg_uuid: sent!.uuid, gateway: 'carrier1' }],
  })
  await noOtherCdrs(t, far, 1, here.tenant)
  await booksAddUp(t, far, here.tenant)
})

t.test('a caller is sent to another server, and to the number that he was talking to already', async (t) => {
  const here = await tenantHere()
  const call = await talking(here, {
    transferDialplan: () => [{ socket: [near.esl], guardSeconds: 15 }],
    farEnd: { answersAfterMs: 0, hangsUpAfterMs: 2_500 },
  })
  t.equal((await post(t, call.uuid, 'transfer', { to: mobile })).status, 204)
  await until(async () => {
    const body = await list(t, `?tenant=${here.tenant}`)
    const [only, ...others] = body.items
    return others.length === 0 && only?.state === 'talking' && only.b_leg_uuid !== call.legs[0]?.uuid
  })
  t.equal((await post(t, call.uuid, 'dtmf', { digits: '9' })).status, 204, 'whoever has it now does it')
  const { legs } = await call.ended
  const [first, second] = legs
  t.same(sw.heard.get(second!.uuid), ['9'])
  const cdr = await near.cdr(call.uuid)
  t.match(cdr, { taken_over: false, gateway: 'carrier1', hung_up_by: 'called' })
  t.same(new Set(cdr.charges.map(({ leg_uuid: uuid }) => uuid)), new Set([first!.uuid, second!.uuid]))
  await noOtherCdrs(t, near, 1, here.tenant)
  await booksAddUp(t, near, here.tenant)
})

t.test('a caller who hears it ring is sent elsewhere; nothing is charged for the ringing', async (t) => {
  const here = await tenantHere()
  const call = dial(
    { sw, linger: far, tenant: here.tenant },
    { farEnd: ends({ carrier1: { ringsAfterMs: 10 }, '1001': { answersAfterMs: 0, hangsUpAfterMs: 100 } }) },
  )
  await call.until('CHANNEL_PROGRESS')
  t.equal((await post(t, call.uuid, 'transfer', { to: '1001' })).status, 204)
  const { legs } = await call.ended
  t.equal(legs[0]?.answeredAt, undefined)
  t.match(await far.cdr(call.uuid), { cost: '0.00', charges: [], b_leg_uuid: legs[1]!.uuid })
  await booksAddUp(t, far, here.tenant)
})

for (const [where, path, state, options] of [
  ['a menu', 'menu/main', 'menu', { digits: [] }],
  ['a queue', 'queue/support', 'queued', { queue: {} }],
] as const)
  t.test(`a caller in ${where} is sent on to a mobile, at the cost of the tenant`, async (t) => {
    const here = await tenantHere()
    await saveFlows(far.pool, new Routes(), here.tenant, {
      menus: { main: { name: 'Main', prompt: ['ivr/a.wav'], tries: 10, choices: { '1': { repeat: true } } } },
    })
    await far.server.reload()
    const call = dial(
      { sw, linger: far, tenant: here.tenant },
      {
        ...here.outside,
        variables: { accountcode: here.tenant },
        ...options,
        to: [{ ...far.esl, path }],
        farEnd: { answersAfterMs: 0, hangsUpAfterMs: 500 },
      },
    )
    await until(async () => (await get(t, `/v1/calls/${call.uuid}`)).body.state === state)
    t.equal((await post(t, call.uuid, 'transfer', { to: mobile })).status, 204)
    const { legs } = await call.ended
    t.match(await far.cdr(call.uuid), {
      direction: 'inbound',
      gateway: 'carrier1',
      cost: costOf(500),
      charges: [{ leg_uuid: legs.at(-1)!.uuid, billed_ms: 500 }],
    })
    await noOtherCdrs(t, far, 1, here.tenant)
    await booksAddUp(t, far, here.tenant)
  })

t.test('a caller whose route is doing something else every moment is sent on all the same', async (t) => {
  const here = await tenantHere()
  for (let turn = 0; turn < 5; turn++) {
    const call = dial(
      { sw, linger: far, tenant: here.tenant },
      {
        to: [{ ...far.esl, path: 'chatters' }],
        promptMs: 1,
        farEnd: { answersAfterMs: 0, hangsUpAfterMs: 100 },
      },
    )
    await until(() => call.heard.length > 3)
    t.equal((await post(t, call.uuid, 'transfer', { to: '1001' })).status, 204)
    const { legs } = await call.ended
    t.equal(legs.length, 1)
    t.match(await far.cdr(call.uuid), { b_leg_uuid: legs[0]!.uuid, hung_up_by: 'called' })
  }
  await noOtherCdrs(t, far, 5, here.tenant)
  await booksAddUp(t, far, here.tenant)
})

t.test(
  'a route that waits for something else than its call dials nothing once the call is sent on',
  async (t) => {
    const here = await tenantHere()
    const call = dial(
      { sw, linger: far, tenant: here.tenant },
      {
        to: [{ ...far.esl, path: 'waits' }],
        transferDialplan: () => [{ application: 'park', argument: '' }],
      },
    )
    await call.until('CHANNEL_ANSWER')
    await until(async () => (await get(t, `/v1/calls/${call.uuid}`)).body.route === 'waits')
    t.equal((await post(t, call.uuid, 'transfer', { to: '1001' })).status, 204)
    t.equal((await get(t, `/v1/calls/${call.uuid}`)).body.state, 'handed_on')
    const rung = once(process, 'linger-test:rung')
    process.emit(`linger-test:${call.uuid}` as 'exit', 0)
    const [why] = (await rung) as [unknown]
    t.ok(why instanceof CallerGone)
    t.equal((await post(t, call.uuid, 'hangup')).status, 204)
    t.same((await call.ended).legs, [])
    await booksAddUp(t, far, here.tenant)
  },
)

t.test('a caller whom the switch does not send on stays where he is', async (t) => {
  const here = await tenantHere()
  const call = await talking(here, { cannotTransfer: true })
  t.match(await post(t, call.uuid, 'transfer', { to: '1001' }), {
    status: 503,
    body: { detail: /did not do it/ },
  })
  t.match((await get(t, `/v1/calls/${call.uuid}`)).body, { state: 'talking', b_leg_uuid: call.legs[0]!.uuid })
  call.hangup()
  const { legs } = await call.ended
  t.match(await far.cdr(call.uuid), { hung_up_by: 'caller', cost: costOf(talkedMs(legs[0]!)) })
  await booksAddUp(t, far, here.tenant)
})

t.test('a called party is sent on: a call of its own from then on; its first caller is let go', async (t) => {
  const here = await tenantHere()
  const call = await talking(here, {
    farEnd: ends({ '84907654321': { answersAfterMs: 0, hangsUpAfterMs: 400 } }),
  })
  t.equal((await post(t, call.uuid, 'transfer', { to: otherMobile, leg: 'called' })).status, 204)
  const { legs } = await call.ended
  const [sent, other] = legs
  t.match(await far.cdr(sent!.uuid), {
    direction: 'outbound',
    caller: '84901234567',
    called: '84907654321',
    cost: costOf(talkedMs(other!)),
    charges: [{ leg_uuid: other!.uuid }],
    variables: { transferred_from: call.uuid },
  })
  t.match(await far.cdr(call.uuid), {
    cost: costOf(talkedMs(sent!)),
    charges: [{ leg_uuid: sent!.uuid }],
  })
  await noOtherCdrs(t, far, 2, here.tenant)
  await booksAddUp(t, far, here.tenant)
})

t.test('an agent of a queue is not sent on, as nobody could say whose call that was', async (t) => {
  const here = await tenantHere()
  const call = await talking(here, {
    ...here.outside,
    variables: { accountcode: here.tenant },
    to: [{ ...far.esl, path: 'queue/support' }],
    queue: { agentAfterMs: 20, agent: {} },
  })
  const { status, body } = await post(t, call.uuid, 'transfer', { to: mobile, leg: 'called' })
  t.match({ status, ...body }, { status: 409, detail: /agent/ })
  t.equal((await post(t, call.uuid, 'play', { sound: 'ivr/a.wav', leg: 'called' })).status, 204)
  t.equal((await post(t, call.uuid, 'hangup')).status, 204)
  await call.ended
  t.match(await far.cdr(call.uuid), { hung_up_by: 'server', charges: [] })
})

t.test('nobody is sent to where nobody is', async (t) => {
  const here = await tenantHere(
    (tenant) =>
      `INSERT INTO blocked_destinations (tenant_id, prefix, prefix_entered) VALUES ('${tenant}', '8490765', '090765')`,
  )
  const call = await talking(here)
  for (const to of ['4711', otherMobile, '0011234567890'])
    t.match(
      await post(t, call.uuid, 'transfer', { to }),
      { status: 400, body: { errors: [{ field: 'to' }] } },
      to,
    )
  for (const to of ['-bleg', '1001 XML', "'x'", ''])
    t.equal((await post(t, call.uuid, 'transfer', { to })).status, 400)
  t.ok(call.isTalking)
  call.hangup()
  await call.ended
  await booksAddUp(t, far, here.tenant)
})

t.test('nobody is sent to where whom he talks to may not call', async (t) => {
  const here = await tenantHere(
    (tenant) =>
      `UPDATE extensions SET toll_allow = '{local}' WHERE tenant_id = '${tenant}' AND number = '1001'`,
  )
  const call = await talking(here, {
    called: '1001',
    farEnd: ends({ carrier1: { answersAfterMs: 0, hangsUpAfterMs: 200 } }),
  })
  t.match(await post(t, call.uuid, 'transfer', { to: mobile }), {
    status: 400,
    body: { errors: [{ field: 'to', detail: /may not call domestic numbers \(toll_allow\)/ }] },
  })
  t.ok(call.isTalking)
  // Whom he called is sent there by him, and he may.
  t.equal((await post(t, call.uuid, 'transfer', { to: mobile, leg: 'called' })).status, 204)
  const { legs } = await call.ended
  t.match(await far.cdr(legs[0]!.uuid), { gateway: 'carrier1', refusal: null })
  await booksAddUp(t, far, here.tenant)
})

t.test('digits and sounds reach whom they are for, and the talk goes on', async (t) => {
  const here = await tenantHere()
  const call = await talking(here)
  const leg = call.legs[0]!.uuid
  t.equal((await post(t, call.uuid, 'dtmf', { digits: '12w#' })).status, 204)
  t.equal((await post(t, call.uuid, 'dtmf', { digits: '*A', leg: 'caller' })).status, 204)
  t.equal((await post(t, call.uuid, 'play', { sound: 'ivr/a.wav', leg: 'called' })).status, 204)
  t.equal((await post(t, call.uuid, 'play', { sound: 'say:12', leg: 'caller' })).status, 204)
  t.equal((await post(t, call.uuid, 'play', { sound: 'ivr/b.wav' })).status, 204)
  t.same(sw.heard.get(leg), ['12w#', 'ivr/a.wav', 'ivr/b.wav'])
  t.same(sw.heard.get(call.uuid), ['*A'])
  t.ok(call.isTalking)
  for (const sound of ['shell_stream://id', '../x.wav', 'http://x/y.wav', '$' + '{system(id)}'])
    t.match(await post(t, call.uuid, 'play', { sound }), {
      status: 400,
      body: { errors: [{ field: 'sound' }] },
    })
  for (const digits of ['', '12;3', '1@5', '1'.repeat(65)])
    t.equal((await post(t, call.uuid, 'dtmf', { digits })).status, 400)
  await until(() => call.heard.length === 3)
  call.hangup()
  const { heard, expansions } = await call.ended
  t.same(new Set(heard), new Set(['digits/1.wav', 'digits/2.wav', 'ivr/b.wav']))
  t.same(expansions, [])
  const { rows } = await far.pool.query<{ after: unknown }>(
    `SELECT after FROM audit_lines WHERE tenant_id = $1 AND action = 'sendDtmf' ORDER BY id LIMIT 1`,
    [here.tenant],
  )
  t.match(rows[0]?.after, { digits: '4 digits' }, 'a PIN is not kept')
})

t.test('a talk is recorded from when somebody wants it, and the record says where', async (t) => {
  const here = await tenantHere()
  const call = await talking(here)
  const { status, body } = await post(t, call.uuid, 'recording', { on: true })
  t.equal(status, 200)
  const path = body.recording_path as string
  t.ok(path.startsWith(recordings))
  t.equal((await get(t, `/v1/calls/${call.uuid}`)).body.recording_path, path)
  t.same((await post(t, call.uuid, 'recording', { on: false })).body, { recording_path: null })
  const again = (await post(t, call.uuid, 'recording', { on: true })).body.recording_path
  t.not(again, path, 'it has a file of its own')
  call.hangup()
  await call.ended
  t.match(await far.cdr(call.uuid), { recording_path: again, variables: { earlier_recordings: path } })

  t.equal((await post(t, call.uuid, 'recording', { on: 'yes' })).status, 400)
  const unwritable = await talking(here, { cannotRecord: true })
  t.match(await post(t, unwritable.uuid, 'recording', { on: true }), { status: 409 })
  unwritable.hangup()

  const endless = await talking(here, { cannotStopRecording: true })
  const { recording_path: running } = (await post(t, endless.uuid, 'recording', { on: true })).body
  t.match(await post(t, endless.uuid, 'recording', { on: false }), {
    status: 503,
    body: { detail: /does not stop the recording/ },
  })
  t.equal((await get(t, `/v1/calls/${endless.uuid}`)).body.recording_path, running, 'it is still recorded')
  endless.hangup()
  await endless.ended
  t.match(await far.cdr(endless.uuid), {
    recording_path: running,
    variables: { earlier_recordings: undefined },
  })
})

const recordsAll = (tenant: string) =>
  `UPDATE tenants SET record_directions = '{inbound,outbound,internal}' WHERE id = '${tenant}'`

t.test('what an admin wants recorded, or not, goes with the call to wherever it is sent', async (t) => {
  const here = await tenantHere(recordsAll)
  const call = await talking(here, { farEnd: ends({ '1001': { answersAfterMs: 0, hangsUpAfterMs: 100 } }) })
  const { recording_path: path } = (await get(t, `/v1/calls/${call.uuid}`)).body
  t.ok(path)
  t.same((await post(t, call.uuid, 'recording', { on: false })).body, { recording_path: null })
  t.equal((await post(t, call.uuid, 'transfer', { to: '1001' })).status, 204)
  const { legs } = await call.ended
  t.equal(legs.length, 2)
  const cdr = await far.cdr(call.uuid)
  t.match(cdr, { recording_path: path, variables: { earlier_recordings: undefined } }, 'no second one')

  const silent = await tenantHere()
  await saveFlows(far.pool, new Routes(), silent.tenant, {
    menus: { main: { name: 'Main', prompt: ['ivr/a.wav'], tries: 10, choices: { '1': { repeat: true } } } },
  })
  await far.server.reload()
  const chooses = dial(
    { sw, linger: far, tenant: silent.tenant },
    {
      ...silent.outside,
      variables: { accountcode: silent.tenant },
      digits: [],
      to: [{ ...far.esl, path: 'menu/main' }],
      farEnd: { answersAfterMs: 0, hangsUpAfterMs: 100 },
    },
  )
  await until(async () => (await get(t, `/v1/calls/${chooses.uuid}`)).body.state === 'menu')
  t.equal((await post(t, chooses.uuid, 'recording', { on: true })).status, 200)
  t.equal((await post(t, chooses.uuid, 'transfer', { to: mobile })).status, 204)
  await chooses.ended
  t.match(await far.cdr(chooses.uuid), { recording_path: new RegExp(`^${recordings}/.*${chooses.uuid}`) })
})

t.test(
  'what is no more to be recorded while it rings leaves no file, and its record names none',
  async (t) => {
    const here = await tenantHere(recordsAll)
    const call = dial(
      { sw, linger: far, tenant: here.tenant },
      { speed: 1, farEnd: { ringsAfterMs: 10, answersAfterMs: 1_500, hangsUpAfterMs: 100 } },
    )
    await call.until('CHANNEL_PROGRESS')
    t.ok((await get(t, `/v1/calls/${call.uuid}`)).body.recording_path)
    t.same(await post(t, call.uuid, 'recording', { on: false }).then(({ body }) => body), {
      recording_path: null,
    })
    await call.ended
    t.match(await far.cdr(call.uuid), { hung_up_by: 'called', recording_path: null })
  },
)

t.test('an extension listens in: it costs nothing, has no record, and ends with the call', async (t) => {
  const here = await tenantHere()
  const domain = { variables: { accountcode: here.tenant, domain_name: 'pbx.example.com' } }
  const call = await talking(here, domain)
  for (const [mode, partner, leg] of [
    ['listen', 'false', 'false'],
    ['whisper', 'false', 'true'],
    ['barge', 'true', 'true'],
  ]) {
    const { status, body } = await post(t, call.uuid, 'listen', { extension: '1001', mode })
    t.equal(status, 202)
    await until(() => sw.originated.some(({ uuid }) => uuid === body.listener_uuid))
    const listener = sw.originated.at(-1)!
    t.equal(listener.uuid, body.listener_uuid)
    t.match(listener.options, {
      called: '1001',
      dialplan: [{ application: 'eavesdrop', argument: call.uuid }],
      variables: {
        eavesdrop_enable_dtmf: 'false',
        eavesdrop_whisper_aleg: partner,
        eavesdrop_whisper_bleg: leg,
      },
    })
  }
  t.match(await post(t, call.uuid, 'listen', { extension: '1999' }), {
    status: 400,
    body: { errors: [{ field: 'extension' }] },
  })
  t.match(await list(t, `?tenant=${here.tenant}`), { total: 1 })
  t.equal((await post(t, call.uuid, 'listen', { extension: '1000' })).status, 202)
  await until(() => sw.originated.length === 4)
  call.hangup()
  await call.ended
  const listeners = await Promise.all(sw.originated.map(({ ended }) => ended))
  t.same(
    listeners.map(({ connections }) => connections),
    [[], [], [], []],
    'it was handed to no server',
  )
  t.equal((await sw.originated[3]!.ended).cause, 'ORIGINATOR_CANCEL', 'a phone that rings yet is let go')
  await far.cdr(call.uuid)
  // The time in which the switch's own word of a call would have made a record.
  // Where nobody knows whose phone it would be, nobody else hears the call.
  const unsaid = await talking(here)
  t.match(await post(t, unsaid.uuid, 'listen', { extension: '1001' }), {
    status: 409,
    body: { detail: /domain/ },
  })
  unsaid.hangup()
  await unsaid.ended
  const later = await talking(here, { farEnd: { answersAfterMs: 0, hangsUpAfterMs: 1_500 } })
  await later.ended
  await far.cdr(later.uuid)
  await far.cdr(unsaid.uuid)
  await noOtherCdrs(t, far, 3, here.tenant)
  await booksAddUp(t, far, here.tenant)
})

t.test('what a call is not in the state for is refused, with why', async (t) => {
  const here = await tenantHere()
  const call = dial({ sw, linger: far, tenant: here.tenant }, { farEnd: { ringsAfterMs: 10 } })
  await call.until('CHANNEL_PROGRESS')
  for (const [what, sent, why] of [
    ['dtmf', { digits: '1' }, /talks to nobody/],
    ['dtmf', { digits: '1', leg: 'caller' }, /not answered/],
    ['play', { sound: 'a.wav' }, /not answered/],
    ['transfer', { to: '1001', leg: 'called' }, /talks to nobody/],
    ['listen', { extension: '1001' }, /not answered/],
  ] as const) {
    const { status, body } = await post(t, call.uuid, what, sent)
    t.match({ status, ...body }, { status: 409, type: 'urn:linger:problem:not_now', detail: why })
  }
  call.hangup()
  await call.ended

  const left = await talking(here, { transferDialplan: () => [{ application: 'park', argument: '' }] })
  t.equal((await post(t, left.uuid, 'transfer', { to: '1001' })).status, 204)
  await until(async () => (await get(t, `/v1/calls/${left.uuid}`)).body.state === 'handed_on')
  t.equal((await post(t, left.uuid, 'play', { sound: 'a.wav' })).status, 409)
  t.equal((await post(t, left.uuid, 'recording', { on: true })).status, 409)
  t.equal((await post(t, left.uuid, 'hangup')).status, 204, 'it can be ended')
  t.equal((await left.ended).hungUpBy, 'server')
  t.match(await far.cdr(left.uuid), { gateway: 'carrier1', cost: costOf(talkedMs(left.legs[0]!.outcome())) })
  await booksAddUp(t, far, here.tenant)
  for (const [what, sent] of [
    ['hangup', 'x'.repeat(70_000)],
    ['transfer', 'x'.repeat(70_000)],
  ] as const)
    t.equal((await post(t, left.uuid, what, sent)).status, 413)
})

t.test('what others publish there does no harm', async (t) => {
  const here = await tenantHere()
  const call = await talking(here)
  const question = (ask: unknown, v = 1) =>
    JSON.stringify({ v, id: '00000000-0000-4000-8000-000000000000', from: 'stranger', ask })
  for (const message of [
    '',
    '{',
    'null',
    '[]',
    '{"v":1}',
    question({ about: 'act', uuid: call.uuid, action: { do: 'hangup', cause: 'X\n\nexit' } }),
    question({
      about: 'act',
      uuid: call.uuid,
      action: { do: 'transfer', party: 'caller', to: 'hangup inline' },
    }),
    question({ about: 'act', uuid: call.uuid, action: { do: 'shell' } }),
    question({ about: 'act', uuid: call.uuid, action: { do: 'hangup', cause: 'NORMAL_CLEARING' } }, 2),
    question({ about: 'list', filter: {}, limit: 1e9 }),
    question({ about: 'find', uuid: 'x'.repeat(100_000) }),
  ])
    await redis.publish(askChannel, message)
  t.equal((await get(t, `/v1/calls/${call.uuid}`)).body.state, 'talking')
  call.hangup()
  await call.ended
})

t.test('a server that does not answer is told of, and what it may have is not said to be gone', async (t) => {
  const here = await tenantHere()
  const call = await talking(here)
  // It hears what all are asked, and says nothing, like a process that stands still.
  const silent = new Redis(redisUrl)
  t.teardown(() => {
    silent.disconnect()
  })
  await silent.subscribe(askChannel)
  const body = await list(t, `?tenant=${here.tenant}`)
  t.match(body, { total: 1, nodes: { asked: 3, answered: 2, trouble: /1 of 3 servers did not answer/ } })
  t.equal((await get(t, `/v1/calls/${call.uuid}`)).status, 200)
  const unknown = '00000000-0000-4000-8000-000000000000'
  t.match(await get(t, `/v1/calls/${unknown}`), {
    status: 503,
    body: { type: 'urn:linger:problem:call_unreachable', detail: /Try again/ },
  })
  t.equal((await post(t, unknown, 'hangup')).status, 503)

  // It says that it has a call, and is gone when it is to do something with it.
  silent.on('message', (_channel, message) => {
    const { id, from, ask } = JSON.parse(message) as { id: string; from: string; ask: { uuid?: string } }
    if (ask.uuid !== unknown) return
    const view = {
      ...{ uuid: unknown, node: 'ghost', switchName: null, tenant: here.tenant, direction: 'inbound' },
      ...{ caller: '', called: '', callerRaw: '', calledRaw: '', callerName: '', route: null },
      ...{ state: 'talking', startedAt: 1, answeredAt: null, bridgedAt: null, bLegUuid: null },
      ...{ dialled: null, gateway: null, isVip: false, recordingPath: null },
    }
    void redis.publish(
      askChannel.replace(/ask$/, `node:${from}`),
      JSON.stringify({ v: 1, id, node: 'ghost', value: { call: view } }),
    )
  })
  t.match(await get(t, `/v1/calls/${unknown}`), { status: 200, body: { node: 'ghost' } })
  t.match(await post(t, unknown, 'hangup'), { status: 503, body: { detail: /ghost.*is not there/ } })
  const { rows } = await far.pool.query(
    `SELECT failure FROM audit_lines WHERE target = $1 AND failure IS NOT NULL`,
    [`call ${unknown}`],
  )
  t.equal(rows.length, 1, 'that it was not done is kept')
  silent.disconnect()
  await until(async () => (await get(t, `/v1/calls/${unknown}`)).status === 404)
  call.hangup()
  await call.ended
})

t.test('while Redis is away a server has its own calls, and says that others may have more', async (t) => {
  const here = await tenantHere()
  const elsewhere = await talking(here)
  const own = dial({ sw, linger: near, tenant: here.tenant })
  await own.until('CHANNEL_BRIDGE')
  await line.cut()
  const body = await list(t, `?tenant=${here.tenant}`)
  t.same(
    body.items.map(({ call_uuid: uuid }) => uuid),
    [own.uuid],
  )
  t.match(body.nodes, { asked: 1, answered: 1, trouble: /Redis is away/ })
  t.equal((await get(t, `/v1/calls/${elsewhere.uuid}`)).status, 503)
  t.equal((await post(t, own.uuid, 'dtmf', { digits: '5' })).status, 204)
  t.same(sw.heard.get(own.legs[0]!.uuid), ['5'])
  t.equal((await post(t, own.uuid, 'hangup')).status, 204)
  await own.ended
  await line.mend()
  await until(async () => (await get(t, `/v1/calls/${elsewhere.uuid}`)).status === 200)
  elsewhere.hangup()
  await elsewhere.ended
})

t.test('every answer of the description was seen', (t) => {
  const ours = /^(listCalls|getCall|hangUpCall|transferCall|sendDtmf|playToCall|recordCall|listenToCall) /
  const elsewhere = / (401|403|415|413|429|503)$/
  t.same(
    api.contract.unseen().filter((answer) => ours.test(answer) && !elsewhere.test(answer)),
    [],
  )
  t.end()
})
