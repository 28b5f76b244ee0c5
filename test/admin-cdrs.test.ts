import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t, { type Test } from 'tap'
import { csvLine } from '../src/admin/csv.js'
import { csvColumns } from '../src/admin/resources/cdr-export.js'
import { commitRecords, type CallRecord } from '../src/store/commit.js'
import { startAdminApi } from './support/admin-api.js'
import { makeTenants, paidCall, unansweredCall } from './support/call-records.js'
import { makePayer } from './support/credit.js'

const { app, contract, ask, database, databaseLine, makeKey, adminKey, told, dependencies } =
  await startAdminApi(t)
const { pool } = database
const second = 1_000_000
const start = Date.parse('2025-11-05T08:00:00Z') * 1000
const [tenant = '', other = ''] = await makeTenants(pool, 'lister', 2)

/** Calls that each differ from the others by one thing. */
const calls: Record<string, CallRecord> = {
  plain: unansweredCall({ tenant, startedAt: start }),
  inbound: unansweredCall({
    ...{ tenant, startedAt: start + second, direction: 'inbound', route: 'menu', gateway: null },
    ...{ caller: '84912345678', callerRaw: '+84912345678', called: '842871234567', calledRaw: '02871234567' },
  }),
  vip: unansweredCall({ tenant, startedAt: start + 2 * second, isVip: true, hangupCause: 'USER_BUSY' }),
  bad: unansweredCall({ tenant, startedAt: start + 3 * second, isBlacklisted: true, source: 'link' }),
  paid: paidCall(60_000, { tenant, startedAt: start + 4 * second, gateway: 'carrier2', carrierCost: '300' }),
  long: paidCall(600_000, { tenant, startedAt: start + 5 * second, caller: '1001', callerRaw: '1001' }),
  others: paidCall(6_000, { tenant: other, startedAt: start + 6 * second }),
}
await commitRecords(pool, Object.values(calls))
const nameOf = (uuid: unknown) => Object.keys(calls).find((name) => calls[name]?.callUuid === uuid)

async function listed(t: Test, query: string, key = adminKey): Promise<unknown[]> {
  const answer = await ask(t, 'GET', `/v1/cdrs?${query}`, { key })
  t.equal(answer.status, 200, query)
  return (answer.json().items as { call_uuid: string }[]).map(({ call_uuid: uuid }) => nameOf(uuid))
}

t.test('each filter finds what it names, and nothing else', async (t) => {
  const all = ['long', 'paid', 'bad', 'vip', 'inbound', 'plain']
  const table: [query: string, names: string[]][] = [
    ['', all],
    ['from=2025-11-05T08:00:04Z', ['long', 'paid']],
    ['to=2025-11-05T08:00:02.000Z', ['inbound', 'plain']],
    ['from=2025-11-05T15:00:01%2B07:00&to=2025-11-05T15:00:02+07:00', ['inbound']],
    ['direction=inbound', ['inbound']],
    ['caller=1001', ['long']],
    ['caller=0912345678', ['inbound']],
    ['caller=84912345678', ['inbound']],
    ['caller=%2B84912345678', ['inbound']],
    ['caller=+84912345678', ['inbound']],
    ['called=02871234567', ['inbound']],
    ['called=0901234567&caller=1001', ['long']],
    ['called=0901234567&caller=1002', []],
    [`call_uuid=${calls.vip?.callUuid ?? ''}`, ['vip']],
    [`call_uuid=${calls.others?.callUuid ?? ''}`, []],
    ['called_prefix=090', all.filter((name) => name !== 'inbound')],
    ['called_prefix=8428', ['inbound']],
    ['called_prefix=+8428', ['inbound']],
    ['caller_prefix=100', all.filter((name) => name !== 'inbound')],
    ['caller_prefix=091', ['inbound']],
    ['cause=USER_BUSY', ['vip']],
    ['route=menu', ['inbound']],
    ['gateway=carrier2', ['paid']],
    ['vip=true', ['vip']],
    ['vip=false&blacklisted=false', ['long', 'paid', 'inbound', 'plain']],
    ['blacklisted=true', ['bad']],
    ['source=link', ['bad']],
    ['min_cost=500', ['long', 'paid']],
    ['min_cost=0.01&max_cost=500.00', ['paid']],
    ['min_duration_ms=60000&max_duration_ms=60000', ['paid']],
    ['cause=NORMAL_CLEARING&route=menu', []],
    ['caller=%00', []],
    ['cause=%00', []],
    [`cause=${encodeURIComponent("' OR true --")}`, []],
  ]
  for (const [query, names] of table) t.strictSame(await listed(t, `tenant=${tenant}&${query}`), names, query)
  t.strictSame(await listed(t, 'min_cost=0.01'), ['others', 'long', 'paid'], 'without a tenant, of all')
  t.strictSame(await listed(t, 'caller=1000&limit=2'), ['others', 'paid'])
  const first = await ask(t, 'GET', `/v1/cdrs?tenant=${tenant}&called=0901234567&limit=2`)
  const next = String(first.json().next)
  t.strictSame(
    await listed(t, `tenant=${tenant}&called=0901234567&limit=9&cursor=${next}`),
    ['bad', 'vip', 'plain'],
    'a page goes on where the one before ended',
  )
})

t.test('a wrong filter is told, with what is allowed', async (t) => {
  const table: [query: string, field: string, detail: RegExp][] = [
    ['vip=yes', 'vip', /^is "yes"; allowed is true or false$/],
    ['vip=', 'vip', /^is ""; allowed is true or false$/],
    ['from=yesterday', 'from', /RFC 3339/],
    ['direction=up', 'direction', /^is "up"; allowed is one of "inbound", "outbound", "internal"$/],
    ['min_cost=-1', 'min_cost', /^is "-1"; allowed is an amount/],
    ['max_cost=1e3', 'max_cost', /^is "1e3"; allowed is an amount/],
    ['min_cost=5&max_cost=4', 'max_cost', /^is "4"; allowed is 5 or more/],
    ['min_duration_ms=9&max_duration_ms=8', 'max_duration_ms', /^is 8; allowed is 9 or more/],
    ['min_duration_ms=1.5', 'min_duration_ms', /^is "1\.5"; allowed is a whole number/],
    ['caller=', 'caller', /^is ""; allowed is a text of 1 to 64 characters$/],
    ['colour=red', 'colour', /^is unknown; allowed are/],
    ['tenant=a&tenant=b', 'tenant', /^is \["a","b"\]/],
  ]
  for (const path of ['/v1/cdrs', '/v1/cdrs/totals', '/v1/cdrs/export'])
    for (const [query, field, detail] of table) {
      const answer = await ask(t, 'GET', `${path}?${query}`)
      t.match(answer, { status: 400 }, query)
      t.match(answer.json(), { errors: [{ field, detail }] }, query)
    }
  t.match((await ask(t, 'GET', '/v1/cdrs/export?format=xml')).json(), { errors: [{ field: 'format' }] })
})

t.test('totals add up what the list shows', async (t) => {
  const totals = async (query: string) => (await ask(t, 'GET', `/v1/cdrs/totals?${query}`)).json()
  t.strictSame(await totals(`tenant=${tenant}`), {
    calls: 6,
    answered: 2,
    answer_seizure_ratio: 0.3333,
    duration_ms: 4 * 3_000 + 660_000,
    talk_ms: 660_000,
    billed_ms: 660_000,
    money: [{ currency: 'VND', cost: '5500.00', carrier_cost: '300.00' }],
  })
  t.match(await totals(`tenant=${tenant}&called=0901234567&caller=1000&vip=false`), { calls: 3, answered: 1 })
  t.match(await totals(`tenant=${tenant}&called_prefix=8428`), { calls: 1, answer_seizure_ratio: 0 })
  t.strictSame(await totals('cause=%00'), {
    ...{
      calls: 0,
      answered: 0,
      answer_seizure_ratio: null,
      duration_ms: 0,
      talk_ms: 0,
      billed_ms: 0,
      money: [],
    },
  })
})

t.test('what takes too long is a problem that says what helps', async (t) => {
  // A table that answers nobody: as one that is too large to be looked through.
  const holder = await pool.connect()
  t.teardown(() => {
    holder.release()
  })
  await holder.query('BEGIN; LOCK TABLE cdrs')
  const answers = await Promise.all(
    ['/v1/cdrs', '/v1/cdrs/totals', '/v1/cdrs/export'].map((path) => ask(t, 'GET', path)),
  )
  await holder.query('ROLLBACK')
  for (const answer of answers) {
    t.equal(answer.status, 422)
    t.match(answer.json(), {
      type: 'urn:linger:problem:too_much',
      detail: /Ask for one tenant, or less time/,
    })
  }
})

t.test('one call has its legs, its ledger lines, its recordings and how it was rated anew', async (t) => {
  await pool.query(`INSERT INTO decks (id, name, currency) VALUES ('now', 'Now', 'VND')`)
  await pool.query(
    `INSERT INTO rates (deck_id, prefix, prefix_entered, price_per_minute) VALUES ('now', '84', '84', 300)`,
  )
  const payer = await makePayer(pool, 'rerated', '1000', { low_balance: '900' })
  await pool.query(`UPDATE tenants SET deck_id = 'now' WHERE id = 'rerated'`)
  const call = paidCall(60_000, {
    ...{ tenant: payer.id, recordingPath: '/r/2.wav', recordingUrl: 'https://files.example.com/2.wav' },
    variables: { earlier_recordings: '/r/0.wav /r/1.wav' },
  })
  await commitRecords(pool, [call])
  const url = `/v1/cdrs/${call.callUuid}`
  const one = async (key = adminKey) => (await ask(t, 'GET', url, { key })).json()
  t.match(await one(), {
    call_uuid: call.callUuid,
    charges: [{ cost: '500.00', prefix: '8490', price_per_minute: '500.00' }],
    recording: {
      path: '/r/2.wav',
      url: 'https://files.example.com/2.wav',
      earlier: ['/r/0.wav', '/r/1.wav'],
    },
    transactions: [{ tenant: 'rerated', kind: 'debit', amount: '-500.00', balance_after: '500.00' }],
    reratings: [],
  })

  const rerate = (body: object) => ask(t, 'POST', `${url}/rerate`, { body })
  const dry = await rerate({ reason: 'Wrong price', dry_run: true })
  t.match(dry.json(), {
    dry_run: true,
    changed: true,
    cost_before: '500.00',
    cost: '300.00',
    difference: '-200.00',
  })
  t.match(await one(), { cost: '500.00', reratings: [] })
  t.match((await rerate({ reason: 'Wrong price' })).json(), { dry_run: false, changed: true, cost: '300.00' })
  t.match(await one(), {
    cost: '300.00',
    charges: [{ cost: '300.00', prefix: '84', price_per_minute: '300.00' }],
    transactions: [
      { kind: 'debit', amount: '-500.00' },
      { kind: 'refund', amount: '500.00', description: 'Call cost, rated anew: Wrong price' },
      { kind: 'debit', amount: '-300.00', balance_after: '700.00' },
    ],
    reratings: [{ number: 1, reason: 'Wrong price', cost_before: '500.00', cost: '300.00' }],
  })
  t.match((await rerate({ reason: 'Again' })).json(), { changed: false, difference: '0.00' })
  const { rows: lines } = await pool.query(
    `SELECT tenant_id, target, before, after FROM audit_lines WHERE action = 'rerateCdr'`,
  )
  t.strictSame(lines, [
    {
      ...{ tenant_id: 'rerated', target: `cdr ${call.callUuid}` },
      ...{ before: { cost: '500.00' }, after: { cost: '300.00', reason: 'Wrong price' } },
    },
  ])
  await pool.query(`UPDATE balances SET is_low = false WHERE tenant_id = 'rerated'`)
  await pool.query(`UPDATE rates SET price_per_minute = 400 WHERE deck_id = 'now'`)
  await rerate({ reason: 'Dearer' })
  t.match(told.at(-1), { tenant: 'rerated', balance: '600.00', threshold: '900.00' })

  await pool.query(`DELETE FROM rates WHERE deck_id = 'now'`)
  const refused = await rerate({ reason: 'Gone' })
  t.equal(refused.status, 422)
  t.match(refused.json(), {
    type: 'urn:linger:problem:unratable',
    detail: new RegExp(
      `^Leg "${call.charges[0]?.legUuid ?? ''}" to "84901234567", .* has no rate: in "now"\\.$`,
    ),
  })
  for (const path of ['/v1/cdrs/nobody', '/v1/cdrs/%00'])
    t.match((await ask(t, 'GET', path)).json(), { detail: /^There is no CDR of call "/ })
  t.equal((await ask(t, 'POST', '/v1/cdrs/nobody/rerate', { body: { reason: 'x' } })).status, 404)
  t.equal((await rerate({})).status, 400)
  t.equal((await ask(t, 'GET', `${url}?legs=1`)).status, 400)
  t.equal((await rerate({ reason: 'x'.repeat(70_000) })).status, 413)
  const text = { body: 'reason', headers: { 'content-type': 'application/xml' } }
  t.equal((await ask(t, 'POST', `${url}/rerate`, text)).status, 415)
})

t.test("a tenant's key sees its own calls, and not what the carriers take", async (t) => {
  const key = await makeKey('read', tenant)
  t.equal((await listed(t, 'limit=100', key)).length, 6)
  t.strictSame(await listed(t, `call_uuid=${calls.others?.callUuid ?? ''}`, key), [])
  t.equal((await ask(t, 'GET', `/v1/cdrs/${calls.others?.callUuid ?? ''}`, { key })).status, 404)
  for (const path of ['/v1/cdrs/totals', '/v1/cdrs/export'])
    t.equal((await ask(t, 'GET', `${path}?tenant=${other}`, { key })).status, 404)
  t.equal((await ask(t, 'GET', `/v1/cdrs?tenant=${other}`, { key })).status, 404)
  t.match((await ask(t, 'GET', `/v1/cdrs/${calls.paid?.callUuid ?? ''}`, { key })).json(), {
    ...{ cost: '500.00', carrier_cost: null, transactions: [{ tenant, amount: '-500.00' }] },
  })
  t.match((await ask(t, 'GET', '/v1/cdrs/totals', { key })).json(), {
    calls: 6,
    money: [{ carrier_cost: null }],
  })
  t.match((await ask(t, 'GET', '/v1/cdrs?gateway=carrier2', { key })).json(), {
    items: [{ carrier_cost: null }],
  })
  t.match((await ask(t, 'GET', '/v1/cdrs?gateway=carrier2')).json(), { items: [{ carrier_cost: '300.00' }] })
})

/** An export as a client on the network sees it. */
async function exported(query: string, key = adminKey): Promise<IncomingMessage> {
  if (!app.server.listening) await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const request = get({
    ...{ port, host: '127.0.0.1', path: `/v1/cdrs/export?${query}`, agent: false },
    headers: { authorization: `Bearer ${key}` },
  })
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  return response
}

async function textOf(response: IncomingMessage): Promise<string> {
  response.setEncoding('utf8')
  let text = ''
  for await (const chunk of response) text += String(chunk)
  return text
}

t.test('exports are CSV or NDJSON, with what the list has', async (t) => {
  const csv = await ask(t, 'GET', `/v1/cdrs/export?tenant=${tenant}&min_cost=1`)
  t.match(csv.headers, {
    'content-type': 'text/csv; charset=utf-8',
    'content-disposition': 'attachment; filename="cdrs.csv"',
  })
  const [head, ...lines] = (await textOf(await exported(`tenant=${tenant}&min_cost=1`))).split('\r\n')
  t.equal(head, csvColumns.join(','))
  t.equal(lines.length, 3)
  t.match(lines[0], new RegExp(`^${calls.long?.callUuid ?? ''},${tenant},outbound,1001,84901234567,`))
  t.equal(lines[2], '')
  const ndjson = await textOf(await exported(`tenant=${tenant}&format=ndjson`))
  const listed = (await ask(t, 'GET', `/v1/cdrs?tenant=${tenant}`)).json()
  t.strictSame(
    ndjson
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown),
    listed.items,
  )
  t.equal(await textOf(await exported('format=ndjson&cause=NONE')), '')
  const own = await makeKey('read', tenant)
  t.notMatch(await textOf(await exported('format=ndjson', own)), /"carrier_cost":"/)
  t.equal((await ask(t, 'GET', `/v1/cdrs/export?tenant=${tenant}&format=ndjson`)).status, 200)
})

t.test('a cell is no formula, and a number stays one', (t) => {
  const table: [value: string | number | boolean | null, cell: string][] = [
    ['=1+1', `'=1+1`],
    ['+1+1', `'+1+1`],
    ['-2+3', `'-2+3`],
    ['@SUM(A1)', `'@SUM(A1)`],
    ['\tx', `'\tx`],
    ['\r=1', `"'\r=1"`],
    ['＝1', `'＝1`],
    ['=cmd|"/c calc"!A1', `"'=cmd|""/c calc""!A1"`],
    ['-12.50', '-12.50'],
    ['+84901234567', '+84901234567'],
    ['a,b', '"a,b"'],
    ['a"b', '"a""b"'],
    ['a\nb', '"a\nb"'],
    ['', ''],
    [null, ''],
    [12, '12'],
    [true, 'true'],
  ]
  for (const [value, cell] of table) t.equal(csvLine([value]), `${cell}\r\n`)
  t.end()
})

const many = 12_000

t.test('an export is not held in memory, and a slow reader holds nothing of PostgreSQL', async (t) => {
  const [crowd = ''] = await makeTenants(pool, 'crowd', 1)
  const blob = 'x'.repeat(5_000)
  for (let done = 0; done < many; done += 2_000)
    await commitRecords(
      pool,
      Array.from({ length: 2_000 }, (_, i) =>
        unansweredCall({ tenant: crowd, startedAt: start + done + i, variables: { blob } }),
      ),
    )
  const slow = await exported(`tenant=${crowd}&format=ndjson`)
  slow.pause()
  // Until the buffers between here and there are full.
  while (dependencies.pool.totalCount !== dependencies.pool.idleCount) await turn()
  // More questions than there are connections are answered.
  const answers = await Promise.all(
    Array.from({ length: 8 }, () => ask(t, 'GET', `/v1/cdrs/totals?tenant=${crowd}`)),
  )
  for (const answer of answers) t.match(answer.json(), { calls: many })
  t.notOk(slow.readableEnded)

  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const held = () => {
    collect()
    const { heapUsed, external } = process.memoryUsage()
    return heapUsed + external
  }
  const before = held()
  let lines = 0
  let bytes = 0
  let measured = 0
  let most = 0
  slow.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    for (let at = chunk.indexOf(0x0a); at !== -1; at = chunk.indexOf(0x0a, at + 1)) lines++
    if (bytes - measured < 5e6) return
    measured = bytes
    most = Math.max(most, held())
  })
  slow.resume()
  await once(slow, 'end')
  t.equal(lines, many)
  t.ok(bytes > 60e6 && most - before < 20e6, `${bytes} bytes took ${most - before}`)
})

t.test(
  'an export that breaks is not taken for a whole one, and a client that goes away ends it',
  async (t) => {
    const broken = await exported('tenant=crowd1&format=ndjson')
    broken.pause()
    await databaseLine.cut()
    broken.resume()
    await t.rejects(textOf(broken), { code: 'ECONNRESET' })
    t.equal((await ask(t, 'GET', '/v1/cdrs/export')).status, 503)
    await databaseLine.mend()

    const left = await exported('tenant=crowd1&format=ndjson')
    left.destroy()
    await once(left, 'close')
    while (dependencies.pool.totalCount !== dependencies.pool.idleCount) await turn()
    t.equal((await ask(t, 'GET', '/v1/cdrs?limit=1')).status, 200)
  },
)

t.test('every answer that the description names was seen', (t) => {
  const ours = / ?(list|total|export|get|rerate)Cdrs? (200|400|404|413|415|422)$/
  t.strictSame(
    contract.unseen().filter((answer) => ours.test(answer)),
    [],
  )
  t.end()
})
