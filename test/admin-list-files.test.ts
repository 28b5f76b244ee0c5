import { Readable } from 'node:stream'
import t, { type Test } from 'tap'
import { Blacklist } from '../src/screening/lists.js'
import { Screening } from '../src/screening/screen.js'
import { startAdminApi } from './support/admin-api.js'

const { contract, ask, app, others, dependencies, makeKey, adminKey, database, redisLine, log } =
  await startAdminApi(t)
const blacklist = new Blacklist(dependencies.redis, 'VN')

t.beforeEach(() => others.flushdb())

const csv = { 'content-type': 'text/csv' }
const take = (text: string, path = '/v1/blacklist/import') =>
  ask(t, 'POST', path, { body: text, headers: csv })

async function exported(t: Test, path = '/v1/blacklist/export'): Promise<string[]> {
  const answer = await app.inject({ url: path, headers: { authorization: `Bearer ${adminKey}` } })
  t.equal(answer.statusCode, 200)
  t.strictSame(contract.faults('GET', path, answer), [])
  const [header, ...rows] = answer.body.split('\r\n')
  t.equal(header, 'number,normal_form,kind,reason,added_by,added_at,ttl_seconds,expires_at')
  t.equal(rows.pop(), '')
  return rows.sort()
}

t.test('a file of numbers is added, each with its own reason and time', async (t) => {
  const answer = await take(
    'reason;number;ttl_seconds\n' +
      'spam;0901234567;60\n' +
      '"one; ""two""\nthree";84 (90) 123-45.68;\n' +
      ';8490*;never\n' +
      '\n' +
      ';anonymous;\n' +
      "'=1+1;+84901234567;120\n",
  )
  t.equal(answer.status, 200)
  t.strictSame(answer.json(), { rows: 5, entries: 4, added: 4, renewed: 0, dry_run: false })
  const find = (number: string) => blacklist.find(blacklist.verbatim(number))
  t.match(await find('0901234567'), { number: '+84901234567', reason: '=1+1', ttlSeconds: 120 })
  t.match(await find('84901234568'), { reason: 'one; "two"\nthree', ttlSeconds: 86400 })
  t.match(await find('prefix:8490'), { number: '8490*', reason: null, ttlSeconds: null })
  t.match(await find('anonymous'), { ttlSeconds: 86400 })
  t.equal(await others.ttl('phone:blacklist:prefix:8490'), -1, 'it stays')
  const verdict = await dependencies.screening.screen({
    ...{ raw: '0901234568', normal: '84901234568', isAnonymous: false },
  })
  t.equal(verdict.isBlacklisted, true)
  t.match(log.at(-1), { msg: 'list changed', list: 'blacklist', entries: 4, added: 4 })

  const again = await take('number\r0901234567\r0905555555\r')
  t.strictSame(again.json(), { rows: 2, entries: 2, added: 1, renewed: 1, dry_run: false })
  const { items } = (await ask(t, 'GET', '/v1/audit?target=blacklist')).json() as { items: object[] }
  t.match(items, [
    {
      ...{ action: 'importBlacklist', tenant: null, before: null, failure: null },
      after: { import: { rows: 2, entries: 2, first_numbers: ['0901234567', '0905555555'] } },
    },
    { after: { import: { rows: 5, entries: 4 } } },
  ])
})

t.test('a dry run says what would be, and does nothing', async (t) => {
  await take('number\n0901234567\n')
  const before = (await others.keys('*')).sort()
  const tried = await take('number\n0901234567\n0901234568\n', '/v1/blacklist/import?dry_run=true')
  t.strictSame(tried.json(), { rows: 2, entries: 2, added: 1, renewed: 1, dry_run: true })
  t.strictSame((await others.keys('*')).sort(), before)
  t.equal((await take('number\nx\n', '/v1/blacklist/import?dry_run=true')).status, 400)
  const wrong = await take('number\n1000\n', '/v1/blacklist/import?dry_run=yes')
  t.match(wrong.json(), {
    errors: [{ field: 'dry_run', detail: 'is "yes"; allowed is one of "true", "false"' }],
  })
  const lines = (await ask(t, 'GET', '/v1/audit?action=importBlacklist')).json() as { items: object[] }
  t.equal(lines.items.length, 3, 'nothing of it is in the audit')
})

t.test('what is wrong is said by its line, and nothing is added', async (t) => {
  const number = /^is "x1"; allowed is a number of 1 to 32 digits .*, a prefix .* or anonymous$/
  const cases: [text: string, errors: [line: number, field: string, detail: string | RegExp][]][] = [
    [
      'number,ttl_seconds\n1000,60\nx1,0\n"10\n01",60\n1000\n1001,never ever\n',
      [
        [3, 'number', number],
        [3, 'ttl_seconds', 'is "0"; allowed is a whole number of 1 to 315360000, or never, or nothing'],
        [4, 'number', /^is "10\\n01"/],
        [6, 'row', 'has 1 cells; allowed are 2, as in the header'],
        [7, 'ttl_seconds', /^is "never ever"/],
      ],
    ],
    ['', [[1, 'row', 'is missing; the first line names the columns']]],
    [
      'phone\n1000\n',
      [
        [1, '"phone"', /^is no column; allowed are number, normal_form, /],
        [1, 'number', /missing/],
      ],
    ],
    ['number,Number\n1000,1000\n', [[1, 'number', 'is there twice']]],
    ['reason\nx\n', [[1, 'number', 'is missing among the columns']]],
    [`number,reason\n1000,${'x'.repeat(201)}\n`, [[2, 'reason', /^is "x+…; allowed is a text of up to 200/]]],
    ['number\n1000\n"1001\n', [[3, 'row', /^has a quote .* not closed. What follows was not read$/]]],
    [`number\n${'1'.repeat(70_000)}\n`, [[2, 'row', /^is longer than 4096 bytes/]]],
    [
      'number,normal_form\n0901234567,84901234568\n',
      [[2, 'normal_form', 'is "84901234568"; of "0901234567" it is 84901234567, or nothing']],
    ],
    ['number,normal_form\n=cmd(),evil\n', [[2, 'normal_form', /it is none: it is no number$/]]],
  ]
  for (const [text, errors] of cases) {
    const answer = await take(text)
    t.match(answer.json(), {
      ...{ status: 400, detail: /^The file has \d+ faults? in \d+ rows; nothing was added\.$/ },
      errors: errors.map(([line, field, detail]) => ({ line, field, detail })),
    })
    t.equal((answer.json().errors as unknown[]).length, errors.length, JSON.stringify(answer.json()))
  }
  const many = await take(`number\n${'x\n'.repeat(250)}`)
  t.match(many.json(), { detail: /^The file has 250 faults in 250 rows; .*; the first 100 are told\.$/ })
  const bytes = await app.inject({
    ...{
      method: 'POST',
      url: '/v1/blacklist/import',
      payload: Buffer.from([...Buffer.from('number\n'), 0xff]),
    },
    headers: { ...csv, authorization: `Bearer ${adminKey}` },
  })
  t.match(bytes.json(), { errors: [{ line: 2, field: 'row', detail: 'is not UTF-8' }] })
  for (const path of ['/v1/blacklist/import', '/v1/vip/import']) {
    const json = await ask(t, 'POST', path, { body: { number: '1000' } })
    t.match(json.json(), { status: 415, detail: 'Content-Type must be text/csv.' })
    const long = { 'content-length': String(32 * 2 ** 20 + 1) }
    const answer = await ask(t, 'POST', path, { body: 'number\n', headers: { ...csv, ...long } })
    t.equal(answer.status, 413)
  }
  t.strictSame(await others.keys('*'), [])
})

t.test('more rows than are taken at a time are refused, and nothing of them is added', async (t) => {
  function* rows() {
    yield 'number\n'
    for (let i = 0; i < 200_001; i += 1000) yield '1000\n'.repeat(Math.min(1000, 200_001 - i))
  }
  const answer = await app.inject({
    ...{ method: 'POST', url: '/v1/blacklist/import', payload: Readable.from(rows()) },
    headers: { ...csv, authorization: `Bearer ${adminKey}` },
  })
  t.match(answer.json(), {
    errors: [{ line: 200_002, field: 'row', detail: 'is one more than the 200000 that are taken at a time' }],
  })
  t.strictSame(await others.keys('*'), [])
})

t.test('what is exported is what is imported, whoever wrote it', async (t) => {
  await take(
    'number,ttl_seconds,reason\n+84901234567,600,"=HYPERLINK(""x"")"\n0901234568,700,\'quoted\n8491*,never,\nanonymous,,\n376312345,,\n+376312346,,\n',
  )
  // As other programs write.
  const foreign = [
    'sipvicious',
    'sip:evil@example.org',
    '090 123',
    '=1+1',
    'a,"b"',
    '+84905555555',
    '376312347',
  ]
  for (const name of foreign) await others.set(`phone:blacklist:${name}`, '1', 'EX', 5000)
  await others.set('phone:blacklist:0906666666', '1')
  const first = await exported(t)
  t.equal(first.length, 14)
  t.ok(
    first.includes(`"'=1+1",=1+1,number,,,,5000,`) ||
      first.some((row) => row.startsWith("'=1+1,'=1+1,number,")),
  )
  t.ok(first.some((row) => row.startsWith('0906666666,84906666666,number,,,,never,never')))
  const keys = (await others.keys('phone:*')).sort()

  await others.flushdb()
  const file = ['number,normal_form,kind,reason,added_by,added_at,ttl_seconds,expires_at', ...first].join(
    '\r\n',
  )
  t.match((await take(file)).json(), { rows: 14, entries: 14, added: 14 })
  const what = (rows: string[]) =>
    rows.map((row) => row.replace(/(number|prefix|anonymous),(.*),[^,]*,[^,]*,(\d+|never),.*/, '$1,$2'))
  const second = await exported(t)
  t.strictSame(
    what(second),
    what(first).map((row) => row),
  )
  const standing = new Set(await others.keys('phone:*'))
  t.strictSame(
    keys.filter((key) => !standing.has(key)),
    [],
    'each name stands again',
  )
})

t.test('VIPs are imported and exported the same way, without an end', async (t) => {
  const answer = await take('number,reason\n0901234567,the director\n1000,\n', '/v1/vip/import')
  t.strictSame(answer.json(), { rows: 2, entries: 2, added: 2, renewed: 0, dry_run: false })
  t.strictSame((await others.smembers('phone:vip')).sort(), ['0901234567', '1000', '84901234567'])
  const rows = await exported(t, '/v1/vip/export')
  t.match(rows, [
    /^0901234567,84901234567,number,the director,[0-9a-f-]{36},[^,]+Z,never,never$/,
    /^1000,1000,/,
  ])
  await others.flushdb()
  const file = `number,normal_form,kind,reason,added_by,added_at,ttl_seconds,expires_at\n${rows.join('\n')}`
  t.match((await take(file, '/v1/vip/import')).json(), { added: 2 })
  const wrong = await take('number,ttl_seconds\n090*,\n1000,60\n', '/v1/vip/import')
  t.match(wrong.json(), {
    errors: [
      { line: 2, field: 'number', detail: /^is "090\*"; allowed is a number/ },
      { line: 3, field: 'ttl_seconds', detail: 'is "60"; allowed is never, or nothing' },
    ],
  })
  t.match(((await ask(t, 'GET', '/v1/audit?target=vip')).json() as { items: object[] }).items, [
    { action: 'importVip' },
    { action: 'importVip' },
  ])
})

t.test('many rows are taken while calls are screened, and given back', async (t) => {
  const count = 20_000
  function* rows() {
    yield 'number,ttl_seconds,reason\n'
    for (let i = 0; i < count; i++) yield `09${String(10_000_000 + i)},3600,spam\n`
  }
  // Patient: how busy the machine is shall not count.
  const patient = new Screening({ redis: dependencies.redis, log: dependencies.log, timeoutMs: 60_000 })
  let screened = 0
  const importing = { isDone: false }
  const screening = (async () => {
    while (!importing.isDone) {
      const raw = '0901234567'
      const { isDegraded } = await patient.screen({
        raw,
        normal: '84901234567',
        isAnonymous: false,
      })
      if (isDegraded) return 'a call was not screened in time'
      screened++
      await new Promise(setImmediate)
    }
    return 'every call was screened'
  })()
  const answer = await app.inject({
    ...{ method: 'POST', url: '/v1/blacklist/import', payload: Readable.from(rows()) },
    headers: { ...csv, authorization: `Bearer ${adminKey}` },
  })
  importing.isDone = true
  t.strictSame(answer.json(), { rows: count, entries: count, added: count, renewed: 0, dry_run: false })
  t.equal(await screening, 'every call was screened')
  t.ok(screened > 100, `${screened} calls`)
  t.equal((await exported(t)).length, count)
})

t.test('with Redis away it says how far it came', async (t) => {
  await redisLine.cut()
  const closed = await take('number\n1000\n')
  t.match(closed.json(), {
    status: 503,
    type: 'urn:linger:problem:redis_away',
    detail: /^Redis is away: of 1 entries about 0/,
  })
  t.equal((await ask(t, 'GET', '/v1/blacklist/export')).status, 503)
  const back = new Promise((resolve) => dependencies.redis.once('ready', resolve))
  await redisLine.mend()
  await back
  const [line] = ((await ask(t, 'GET', '/v1/audit?target=blacklist')).json() as { items: object[] }).items
  t.match(line, { action: 'importBlacklist', failure: /^Redis is away: of 1 entries/ })
})

t.test('keys that are bound to a tenant read the lists, and change nothing in them', async (t) => {
  const { rows } = await database.pool.query('SELECT count(*) FROM audit_lines')
  const key = await makeKey('admin', 'demo')
  for (const list of ['/v1/blacklist', '/v1/vip']) {
    t.equal(
      (await ask(t, 'POST', `${list}/import`, { body: 'number\n1000\n', headers: csv, key })).status,
      403,
    )
    t.equal((await ask(t, 'POST', list, { body: { number: '1000' }, key })).status, 403)
    t.equal((await ask(t, 'DELETE', `${list}/1000`, { key })).status, 403)
    t.equal((await ask(t, 'GET', `${list}/export`, { key })).status, 200)
    t.equal((await ask(t, 'GET', list, { key })).status, 200)
    t.equal((await ask(t, 'GET', `${list}/export?limit=1`, { key })).status, 400)
    t.equal((await ask(t, 'GET', `${list}/1000`, { key })).status, 404)
  }
  t.strictSame((await database.pool.query('SELECT count(*) FROM audit_lines')).rows, rows)
  t.strictSame(await others.keys('*'), [])
})

t.test('every answer that the description names was seen', (t) => {
  t.strictSame(
    contract.unseen().filter((answer) => /^(im|ex)port(Blacklist|Vip) (?!401|403|408|429|503)/.test(answer)),
    [],
  )
  t.end()
})
