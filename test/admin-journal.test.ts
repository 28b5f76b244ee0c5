import { randomBytes, randomUUID } from 'node:crypto'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { buildAdmin } from '../src/admin/server.js'
import { Feeder } from '../src/journal/feeder.js'
import { auditBooks, auditMode } from '../src/store/audit.js'
import { listAuditLines } from '../src/store/audit-lines.js'
import type { CallRecord } from '../src/store/commit.js'
import { inTransaction, openPool } from '../src/store/database.js'
import { answersOfJournal, startAdminApi } from './support/admin-api.js'
import { booksOf, paidCall } from './support/call-records.js'
import { creditOn, heldBy, legOf, makePayer, recordOf } from './support/credit.js'

const api = await startAdminApi(t)
const { contract, ask, dependencies, makeKey, database, databaseLine } = api
const { pool } = database
const { journal, node } = dependencies
const log = pino({ level: 'silent' })
const feederPool = openPool(databaseLine.url(database.url), { max: 4 })
const feeder = new Feeder({ journal, pool: feederPool, log })
t.teardown(async () => {
  await feeder.close()
  await feederPool.end()
})

interface Shown {
  readonly id: string
  readonly reason: string | null
  readonly text: string | null
  readonly call: Readonly<Record<string, unknown>>
}

/** What the feeder makes of records: those that it sets aside, as the API shows them. */
async function afterDelivery(t: Test, ...records: readonly CallRecord[]): Promise<Shown[]> {
  const before = new Set(journal.asideShelf.read(1000).map(({ id }) => id))
  await Promise.all(records.map((record) => journal.append(record)))
  await feeder.drain()
  const { items } = (await ask(t, 'GET', '/v1/journal/aside?limit=500')).json() as unknown as {
    items: Shown[]
  }
  return items.filter(({ id }) => !before.has(id))
}

async function postTo(t: Test, path: string, body?: unknown, key?: string) {
  return ask(t, 'POST', `/v1/journal/${path}`, {
    ...(body !== undefined && { body }),
    ...(key !== undefined && { key }),
  })
}
const discard = (t: Test, id: string, reason = 'no call of ours') =>
  postTo(t, `aside/${id}/discard`, { reason })
const findings = async () => (await inTransaction(pool, auditBooks, auditMode)).findings
const cdrOf = async (callUuid: string) =>
  (await pool.query<Record<string, unknown>>('SELECT * FROM cdrs WHERE call_uuid = $1', [callUuid])).rows
const linesOf = async (id: string) =>
  (await listAuditLines(pool, { target: `journal record ${id}`, limit: 100 })).items

t.test(
  'a record that PostgreSQL refuses is shown with why, and discarded with what its call held',
  async (t) => {
    const payer = await makePayer(pool, 'holder', '1000')
    const leg = legOf(payer)
    await creditOn(pool).authorise(leg)
    t.not((await heldBy(pool, payer)).held, 0n)
    const record = { ...recordOf(leg, 60_000), billedMs: -1, callerName: '\u0000=cmd|x' }
    const [shown] = await afterDelivery(t, record)
    t.match(shown, {
      reason: /billed_ms/,
      set_aside_at: /^\d{4}-.*Z$/,
      call: {
        call_uuid: leg.callUuid,
        tenant: 'holder',
        source: 'session',
        direction: 'outbound',
        called: '84901234567',
        started_at: new Date(Math.floor(record.startedAt / 1000)).toISOString(),
        billed_ms: null,
        cost: '500.00',
        currency: 'VND',
        hangup_cause: 'NORMAL_CLEARING',
      },
      text: null,
    })
    const id = shown!.id
    const whole = (await ask(t, 'GET', `/v1/journal/aside/${id}`)).json()
    t.strictSame(JSON.parse(whole.text as string), { v: 1, record }, 'one of them is told whole')
    t.match((await ask(t, 'GET', '/v1/journal')).json(), { node, pending: 0, set_aside: 1, full: false })

    const operator = await makeKey('operate', null)
    t.equal((await postTo(t, `aside/${id}/discard`, { reason: 'x' }, operator)).status, 403)
    for (const body of [
      {},
      { reason: '' },
      { reason: '  ' },
      { reason: 'a\0b' },
      { reason: 'x'.repeat(501) },
    ])
      t.match((await postTo(t, `aside/${id}/discard`, body)).json(), {
        status: 400,
        errors: [{ field: 'reason' }],
      })
    t.equal(journal.aside, 1)

    const answer = await discard(t, id, 'the switch was under test')
    t.equal(answer.status, 200)
    const discarded = answer.json()
    t.match(discarded, {
      id,
      node,
      set_aside_reason: /billed_ms/,
      call: { call_uuid: leg.callUuid },
      reason: 'the switch was under test',
      discarded_by: /^[0-9a-f-]{36}$/,
      call_became: 'closed',
      restored_at: null,
    })
    t.not(discarded.released, '0.00', 'and says what it held')
    t.equal(journal.aside, 0)
    t.same(await heldBy(pool, payer), { balance: 1_000_000_000n, reserved: 0n, held: 0n })
    t.match(await cdrOf(leg.callUuid), [
      {
        source: 'incomplete',
        cost: '0.000000',
        tenant_id: 'holder',
        called: '84901234567',
        caller_name: '\ufffd=cmd|x',
      },
    ])
    t.same(await findings(), [], 'the books add up')
    t.match(await linesOf(id), [
      {
        action: 'discardAside',
        tenant: 'holder',
        before: { id, reason: /billed_ms/ },
        after: { id, reason: 'the switch was under test', call_became: 'closed' },
      },
    ])

    t.strictSame((await discard(t, id, 'another')).json(), discarded, 'a second time changes nothing')
    t.equal((await linesOf(id)).length, 1)
    // A crash came between: PostgreSQL has it, and the journal has it still.
    await journal.asideShelf.put({ key: id, text: whole.text as string }, 'refused')
    t.strictSame((await discard(t, id, 'another')).json(), discarded)
    t.equal(journal.aside, 0)
    t.equal((await linesOf(id)).length, 1)

    const { items } = (await ask(t, 'GET', `/v1/journal/discarded?call_uuid=${leg.callUuid}`)).json()
    t.strictSame(items, [discarded])
    const kept = (await ask(t, 'GET', `/v1/journal/discarded/${id}`)).json()
    t.strictSame(kept, { ...discarded, text: whole.text }, 'nothing of it is lost')
    t.equal((await discard(t, 'unknown')).status, 404)
  },
)

t.test('a record of which another stands is discarded, and that one does stand', async (t) => {
  const payer = await makePayer(pool, 'twofold', '1000')
  const leg = legOf(payer)
  const first = recordOf(leg, 30_000)
  const [shown] = await afterDelivery(t, first, { ...recordOf(leg, 60_000), startedAt: first.startedAt })
  t.match(shown, { reason: /has a record already, which costs 250/ })
  t.match((await discard(t, shown!.id)).json(), { call_became: 'had_cdr', released: '0.00' })
  t.match(await cdrOf(leg.callUuid), [{ source: 'session', cost: '250.000000' }])
  t.match(await booksOf(pool, 'twofold'), {
    balance: '750.000000',
    ledger: '750.000000',
    calls: 1,
    breaks: 0,
  })
  t.same(await findings(), [])
})

t.test('a discarded record can be put back, and is billed once its cause is mended', async (t) => {
  const record = paidCall(60_000, { tenant: 'mended' })
  const [shown] = await afterDelivery(t, record)
  t.match((await discard(t, shown!.id)).json(), { call_became: 'closed', released: '0.00' })
  t.match(await cdrOf(record.callUuid), [{ source: 'incomplete', cost: '0.000000', tenant_id: 'mended' }])
  await makePayer(pool, 'mended', '1000')
  const restored = await postTo(t, `discarded/${shown!.id}/restore`)
  t.equal(restored.status, 200)
  const { id } = restored.json() as unknown as Shown
  t.not(id, shown!.id)
  t.match(restored.json(), { reason: shown!.reason, call: shown!.call })
  t.match((await ask(t, 'GET', `/v1/journal/discarded/${shown!.id}`)).json(), {
    restored_at: /Z$/,
    restored_by: /^[0-9a-f-]{36}$/,
  })
  t.match(
    (await linesOf(shown!.id)).map(({ action }) => action),
    ['restoreDiscarded', 'discardAside'],
  )
  const again = await postTo(t, `aside/${id}/retry`)
  t.equal(again.status, 202)
  t.strictSame(again.json(), { retried: 1 })
  await feeder.drain()
  t.match(await cdrOf(record.callUuid), [{ source: 'session', cost: '500.000000' }])
  t.match(await booksOf(pool, 'mended'), { balance: '500.000000', ledger: '500.000000', calls: 1, breaks: 0 })
  t.same(await findings(), [])
  t.match(await linesOf(id), [{ action: 'retryAside', tenant: 'mended' }])
  t.equal((await postTo(t, `aside/${id}/retry`)).status, 404, 'it is not set aside any more')
  t.equal((await postTo(t, 'discarded/unknown/restore')).status, 404)
  t.equal((await ask(t, 'GET', '/v1/journal/discarded/unknown')).status, 404)
  t.equal((await ask(t, 'GET', '/v1/journal/aside/unknown')).status, 404)
})

t.test('all that is set aside is tried again at once; what is at fault comes back', async (t) => {
  const uuids = Array.from({ length: 3 }, () => randomUUID())
  const shown = await afterDelivery(
    t,
    ...uuids.map((callUuid, i) => paidCall(60_000, { callUuid, tenant: i === 2 ? 'stranger' : 'comer' })),
  )
  t.equal(shown.length, 3)
  await makePayer(pool, 'comer', '0')
  const before = journal.aside
  const answer = await postTo(t, 'aside/retry', undefined, await makeKey('operate', null))
  t.equal(answer.status, 202)
  t.strictSame(answer.json(), { retried: before })
  await feeder.drain()
  t.match(await booksOf(pool, 'comer'), { calls: 2, balance: '-1000.000000' })
  t.equal(journal.aside, before - 2)
  const { items } = await listAuditLines(pool, { action: 'retryAllAside', limit: 1 })
  t.match(items, [{ target: `journal of ${node}`, before: { set_aside: before } }])
})

t.test('pages go through what is set aside, and what was discarded', async (t) => {
  await afterDelivery(t, ...Array.from({ length: 5 }, () => paidCall(60_000, { tenant: 'nobody' })))
  const through = async (path: string) => {
    const seen: unknown[] = []
    let cursor: string | null = ''
    while (cursor !== null) {
      const page = (await ask(t, 'GET', `${path}?limit=2${cursor && `&cursor=${cursor}`}`)).json()
      t.ok((page.items as unknown[]).length <= 2)
      seen.push(...(page.items as unknown[]))
      cursor = page.next as string | null
    }
    const whole = (await ask(t, 'GET', `${path}?limit=500`)).json()
    t.strictSame(seen, whole.items)
    t.equal(whole.next, null)
    return seen as Shown[]
  }
  const ids = (await through('/v1/journal/aside')).map(({ id }) => id)
  t.strictSame(ids, [...ids].sort())
  for (const id of ids.slice(0, 3)) await discard(t, id)
  const discarded = await through('/v1/journal/discarded')
  t.strictSame(
    discarded.slice(0, 3).map(({ id }) => id),
    ids.slice(0, 3).reverse(),
  )
  for (const list of ['aside', 'discarded'])
    t.match((await ask(t, 'GET', `/v1/journal/${list}?cursor=%C3%BC`)).json(), {
      errors: [{ field: 'cursor' }],
    })
  t.strictSame((await ask(t, 'GET', '/v1/journal/discarded?call_uuid=%00')).json(), { items: [], next: null })
})

t.test('what cannot be read is shown as it is, and can be discarded all the same', async (t) => {
  const begin = '{"v":1,"record":{"v":1,"callUuid":'
  const damaged = `${begin}${'\u001b[2J'.repeat(1000)}`
  await journal.asideShelf.put({ key: '0000000000000001-damaged', text: damaged }, 'the entry is damaged')
  const newer = await journal.asideShelf.putBack('{"v":2,"why":"a newer release wrote it"}')
  const strange = {
    v: 9,
    callUuid: 7,
    tenant: {},
    startedAt: 1e300,
    cost: 'much',
    direction: 'up',
    caller: ['x'],
  }
  const text = JSON.stringify({ v: 1, record: strange })
  await journal.asideShelf.put({ key: '0000000000000002-strange', text }, 'is of version 9')
  const { items } = (await ask(t, 'GET', '/v1/journal/aside?limit=2')).json() as unknown as { items: Shown[] }
  const nothing = {
    call_uuid: null,
    tenant: null,
    started_at: null,
    cost: null,
    direction: null,
    caller: null,
  }
  t.match(items, [
    {
      id: '0000000000000001-damaged',
      reason: 'the entry is damaged',
      call: nothing,
      text: damaged.slice(0, 2000),
    },
    { id: '0000000000000002-strange', call: nothing, text },
  ])
  t.equal((await ask(t, 'GET', '/v1/journal/aside/0000000000000001-damaged')).json().text, damaged)
  t.match((await ask(t, 'GET', `/v1/journal/aside/${newer.id}`)).json(), { reason: null, set_aside_at: null })
  const refused = await postTo(t, `aside/${newer.id}/retry`)
  t.equal(refused.status, 409)
  t.match(refused.json(), { type: 'urn:linger:problem:unreadable' })
  t.match(await linesOf(newer.id), [{ failure: /does not say/ }, { action: 'retryAside', failure: null }])

  // No index of PostgreSQL takes such an id.
  const long = paidCall(60_000, { callUuid: randomBytes(10_000).toString('base64') })
  const [tooLong] = await afterDelivery(t, long)
  for (const id of [newer.id, '0000000000000001-damaged', '0000000000000002-strange', tooLong!.id])
    t.match((await discard(t, id)).json(), { id, call_became: 'unknown', released: '0.00' }, id)
  const kept = (await ask(t, 'GET', '/v1/journal/discarded/0000000000000001-damaged')).json()
  t.equal(kept.text, damaged)
  t.equal((await ask(t, 'GET', `/v1/journal/discarded/${newer.id}`)).json().set_aside_reason, null)
  t.match((await postTo(t, `discarded/${newer.id}/restore`)).json(), {
    reason: null,
    text: /a newer release/,
  })
  t.same(await findings(), [])
})

t.test('of two who decide about a record at once, one does', async (t) => {
  await makePayer(pool, 'torn', '0')
  const [shown] = await afterDelivery(t, { ...paidCall(60_000, { tenant: 'torn' }), billedMs: -1 })
  const answers = await Promise.all([discard(t, shown!.id, 'one'), discard(t, shown!.id, 'other')])
  t.strictSame(answers[0].json(), answers[1].json())
  t.equal((await linesOf(shown!.id)).length, 1)

  const [next] = await afterDelivery(t, { ...paidCall(60_000, { tenant: 'torn' }), billedMs: -1 })
  const [discarded, retried] = await Promise.all([discard(t, next!.id), postTo(t, `aside/${next!.id}/retry`)])
  await feeder.drain()
  t.equal(discarded.status === 200, retried.status !== 202, `${discarded.status} ${retried.status}`)
  t.equal(journal.asideShelf.find(next!.id) === undefined, discarded.status === 200)
})

t.test('while PostgreSQL is away records wait, and none is discarded', async (t) => {
  await makePayer(pool, 'away', '0')
  const [shown] = await afterDelivery(t, { ...paidCall(60_000, { tenant: 'away' }), billedMs: -1 })
  await ask(t, 'GET', '/v1/journal')
  const telling = await buildAdmin({ ...dependencies, isDelivering: () => !feeder.isAway })
  t.teardown(() => telling.close())
  const headers = { authorization: `Bearer ${api.adminKey}` }
  await telling.inject({ url: '/v1/journal', headers })
  await databaseLine.cut()
  const aside = journal.aside
  const began = Date.now()
  await journal.append(paidCall(60_000, { tenant: 'away' }))
  for (const path of [
    `aside/${shown!.id}/discard`,
    `aside/${shown!.id}/retry`,
    'aside/retry',
    `discarded/x/restore`,
  ])
    t.equal((await postTo(t, path, path.endsWith('discard') ? { reason: 'x' } : undefined)).status, 503, path)
  t.equal(journal.aside, aside)
  while (!feeder.isAway) await new Promise(setImmediate)
  const state = (await telling.inject({ url: '/v1/journal', headers })).json<Record<string, unknown>>()
  t.match(state, { pending: 1, delivering: false, set_aside: aside })
  t.ok(Date.parse(String(state.oldest_pending_at)) >= began - 1)
  await databaseLine.mend()
  await feeder.drain()
  t.match(await booksOf(pool, 'away'), { calls: 1, balance: '-500.000000' })
  t.match((await ask(t, 'GET', '/v1/journal')).json(), { pending: 0, oldest_pending_at: null })
})

t.test('every answer that the description names was seen', async (t) => {
  const long = await postTo(t, 'aside/x/discard', { reason: 'x'.repeat(70_000) })
  t.equal(long.status, 413)
  const form = { headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: 'reason=x' }
  t.equal((await ask(t, 'POST', '/v1/journal/aside/x/discard', form)).status, 415)
  t.strictSame(
    contract.unseen().filter((answer) => answersOfJournal.test(answer)),
    [],
  )
})
