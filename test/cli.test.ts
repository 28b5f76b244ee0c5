import { randomUUID } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import net from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { commitRecords } from '../src/store/commit.js'
import { startAdminApi } from './support/admin-api.js'
import { booksOf, paidCall, unansweredCall } from './support/call-records.js'
import { cli, onTerminal, piped, type CliPlace } from './support/cli.js'
import { makePayer } from './support/credit.js'
import { temporaryFolder } from './support/services.js'

const { app, adminKey, dependencies, makeKey, database, redisLine, others } = await startAdminApi(t)
const { redis } = dependencies
await app.listen({ host: '127.0.0.1', port: 0 })
const { port } = app.server.address() as AddressInfo
const cwd = await temporaryFolder(t)
const place: CliPlace = { env: { LINGER_URL: `http://127.0.0.1:${port}`, LINGER_KEY: adminKey }, cwd }

let isFirst = true
/** Runs a command that must go well. @returns what it says, read as JSON */
async function said(t: Test, ...args: string[]): Promise<unknown> {
  const { code, out, err } = await (isFirst ? cli : piped)(args, place)
  isFirst = false
  t.equal(code, 0, `${args.join(' ')}: ${err}`)
  return JSON.parse(out)
}

t.test('numbers are put on a list, looked up, and taken off it', async (t) => {
  t.match(await said(t, 'blacklist', 'add', '0901234567', '8490*', '--ttl', '3600', '--reason', 'spam'), [
    { number: '0901234567', normal_form: '84901234567', reason: 'spam', ttl_seconds: 3600 },
    { number: '8490*', kind: 'prefix' },
  ])
  t.match(await said(t, 'blacklist', 'get', '+84901234567'), { number: '0901234567', reason: 'spam' })
  const listed = (await said(t, 'blacklist', 'list')) as { number: string }[]
  t.strictSame(listed.map(({ number }) => number).sort(), ['0901234567', '8490*'])
  t.equal(((await said(t, 'blacklist', 'list', '--limit', '1')) as unknown[]).length, 1)
  t.strictSame(await said(t, 'blacklist', 'remove', '0901234567', '8490*'), ['0901234567', '8490*'])
  t.strictSame(await said(t, 'blacklist', 'list'), [])
  t.equal(await others.exists('phone:blacklist:84901234567', 'phone:blacklist:0901234567'), 0)

  t.match(await said(t, 'vip', 'add', '0907777777'), [{ number: '0907777777', ttl_seconds: null }])
  t.match(await said(t, 'vip', 'list', '--all'), [{ number: '0907777777' }])
  const some = await cli(['vip', 'remove', '0901111111', '0907777777', '0902222222'], place)
  t.equal(some.code, 3)
  t.strictSame(JSON.parse(some.out), ['0907777777'], 'those that are there go')
  t.match(some.err, /0901111111 is not a VIP.*\n.*0902222222 is not a VIP.*\nlinger: 2 of the numbers/)
})

t.test('more numbers than the server takes at once are added all the same', async (t) => {
  const numbers = Array.from({ length: 1203 }, (_, i) => `09080${String(i).padStart(5, '0')}`)
  t.equal(((await said(t, 'vip', 'add', ...numbers)) as unknown[]).length, 1203)
  t.equal(((await said(t, 'vip', 'list', '--all')) as unknown[]).length, 1203)
  t.equal(((await said(t, 'vip', 'list')) as unknown[]).length, 100)
  await said(t, 'vip', 'remove', ...numbers.slice(0, 20))
  t.equal(((await said(t, 'vip', 'list', '--limit', '2000')) as unknown[]).length, 1183)
})

t.test('calls that are over are listed, as many as are asked for', async (t) => {
  await makePayer(database.pool, 'callers', '0')
  await commitRecords(
    database.pool,
    Array.from({ length: 620 }, () => unansweredCall({ tenant: 'callers' })),
  )
  await commitRecords(database.pool, [paidCall(60_000)])
  t.equal(((await said(t, 'cdrs', '--tenant', 'callers')) as unknown[]).length, 50)
  t.equal(((await said(t, 'cdrs', '--tenant', 'callers', '--limit', '510')) as unknown[]).length, 510)
  const all = (await said(t, 'cdrs', '--tenant', 'callers', '--all')) as { call_uuid: string }[]
  t.equal(new Set(all.map(({ call_uuid: uuid }) => uuid)).size, 620)
  t.match(await said(t, 'cdrs', '--limit', '1'), [{ tenant: 'demo', cost: '500.00' }])
})

t.test('a top-up books once, and says under which key', async (t) => {
  await makePayer(database.pool, 'payer', '0')
  const first = await cli(['topup', 'payer', '1000.5', '--description', 'Bank'], place)
  t.equal(first.code, 0)
  const [, key = ''] = /^idempotency key: ([0-9a-f-]{36})\n$/.exec(first.err) ?? []
  t.match(JSON.parse(first.out), {
    kind: 'topup',
    amount: '1000.50',
    description: 'Bank',
    idempotency_key: key,
  })
  const again = await cli(['topup', 'payer', '1000.5', '--key', key], place)
  t.equal(again.code, 0)
  t.equal(again.err, 'It was booked before under this key; nothing was booked now.\n')
  t.strictSame(JSON.parse(again.out), JSON.parse(first.out))
  const other = await cli(['topup', 'payer', '2', '--key', key], place)
  t.equal(other.code, 1)
  t.match(other.err, /^linger: The idempotency key .* was used for a topup of 1000\.50\.\n$/)
  t.match(await booksOf(database.pool, 'payer'), { balance: '1000.500000', lines: 1 })
})

t.test('a top-up whose answer is lost is asked for again under the same key, and booked once', async (t) => {
  await makePayer(database.pool, 'unheard', '0')
  // The first answers do not get through: the connection breaks when they begin to come.
  let lost = 0
  const between = net.createServer((near) => {
    const far = net.connect(port, '127.0.0.1')
    near.on('error', () => far.destroy())
    far.on('error', () => near.destroy())
    near.pipe(far)
    if (lost++ < 2) far.once('data', () => near.destroy())
    else far.pipe(near)
  })
  between.listen(0, '127.0.0.1')
  await new Promise((resolve) => between.once('listening', resolve))
  t.teardown(() => between.close())
  const url = `http://127.0.0.1:${(between.address() as AddressInfo).port}`
  const { code, out, err } = await cli(['topup', 'unheard', '5', '--url', url], place)
  t.equal(code, 0)
  t.match(JSON.parse(out), { amount: '5.00', balance_after: '5.00' })
  t.match(err, /^idempotency key: \S+\nIt was booked before/)
  t.equal(lost, 3)
  t.match(await booksOf(database.pool, 'unheard'), { balance: '5.000000', lines: 1 })
})

t.test('scripts can tell how it ended, and people why', async (t) => {
  const nobody = net.createServer()
  nobody.listen(0, '127.0.0.1')
  await new Promise((resolve) => nobody.once('listening', resolve))
  const closed = `http://127.0.0.1:${(nobody.address() as AddressInfo).port}`
  await new Promise((resolve) => nobody.close(resolve))
  const { LINGER_URL: url = '' } = place.env
  const reader = await makeKey('read', null)
  const cases: [args: string[], env: Record<string, string>, code: number, err: RegExp][] = [
    [
      ['blacklist', 'add', 'abc', '0901234567', 'x y'],
      {},
      1,
      /^numbers\[0\]: is "abc"; allowed is .*\nnumbers\[2\]: .*\nlinger: Not valid: numbers\[0\], numbers\[2\]\.\n$/,
    ],
    [['topup', 'demo', '0'], {}, 1, /amount: is "0"; allowed is .*\nlinger: Not valid: amount\.\n$/],
    [['frobnicate'], {}, 2, /unknown command 'frobnicate'/],
    [['blacklist', 'frobnicate'], {}, 2, /unknown command 'frobnicate'/],
    [['cdrs', 'frobnicate'], {}, 2, /too many arguments/],
    [['cdrs', '--frobnicate'], {}, 2, /unknown option '--frobnicate'/],
    [['cdrs', '--limit', '0'], {}, 2, /whole number above 0/],
    [['cdrs', '--limit', '5', '--all'], {}, 2, /^linger: --limit and --all do not go together\n$/],
    [['cdrs', '--from', 'yesterday'], {}, 2, /a day or a moment/],
    [['topup', 'demo'], {}, 2, /missing required argument 'amount'/],
    [['topup', 'demo', '-5'], {}, 1, /amount: is "-5"; allowed is/],
    [['blacklist', 'get', '..'], {}, 2, /is no name of anything/],
    [['blacklist', 'list'], { LINGER_URL: 'ftp://x' }, 2, /"ftp:\/\/x" is not where a server is/],
    [['blacklist', 'list'], { LINGER_URL: 'http://u:p@x' }, 2, /without a password/],
    [['blacklist', 'list'], { LINGER_KEY: 'a b' }, 2, /LINGER_KEY is not an API key/],
    [['blacklist', 'get', '0900000000'], {}, 3, /^linger: 0900000000 is not on the blacklist\.\n$/],
    [['topup', 'nobody', '5'], {}, 3, /linger: There is no tenant "nobody"\.\n$/],
    [['blacklist', 'list'], { LINGER_KEY: '' }, 4, /^linger: LINGER_KEY is not set/],
    [['blacklist', 'list'], { LINGER_KEY: 'wrong' }, 4, /^linger: This API key is not valid\.\n$/],
    [['blacklist', 'add', '0900000000'], { LINGER_KEY: reader }, 4, /role operate is needed/],
    [
      ['blacklist', 'list'],
      { LINGER_URL: closed },
      5,
      /^linger: http:\/\/127\.0\.0\.1:\d+ cannot be reached: connect ECONNREFUSED/,
    ],
    [['blacklist', 'list', '--url', closed], {}, 5, /cannot be reached/],
    [['blacklist', 'list'], { LINGER_URL: `${url}/elsewhere` }, 3, /No resource has this method and path/],
    [['blacklist', 'import', join(cwd, 'missing.csv')], {}, 2, /missing\.csv cannot be read: ENOENT/],
    [['rates', 'import', 'demo', cwd], {}, 2, /cannot be read: it is a folder/],
  ]
  const codes = new Set<number>()
  for (const [args, env, code, err] of cases) {
    const asked = { ...place, env: { ...place.env, ...env } }
    // Each code once out of a process of its own.
    const told = await (codes.has(code) ? piped : cli)(args, asked)
    codes.add(code)
    t.equal(told.code, code, `${args.join(' ')}: ${told.err}`)
    t.match(told.err, err)
    t.notMatch(told.out, /\S/, 'nothing that could be taken for a result')
  }
  const help = await cli(['--help'], { ...place, env: {} })
  t.equal(help.code, 0)
  for (const line of ['LINGER_URL', 'LINGER_KEY', '3  there is no such thing', 'topup', 'blacklist', 'calls'])
    t.match(help.out, line)
  const bare = await cli([], place)
  t.equal(bare.code, 2)
  t.match(bare.err, /Usage: linger/)
})

t.test('a service that is away is trouble that may pass', async (t) => {
  await redisLine.cut()
  const told = await cli(['blacklist', 'list'], place)
  const back = new Promise((resolve) => redis.once('ready', resolve))
  await redisLine.mend()
  await back
  t.equal(told.code, 5)
  t.match(told.err, /^linger: Redis .*\. Try again later\.\n$/)
})

t.test('settings come from the environment, else from .env', async (t) => {
  const folder = await temporaryFolder(t)
  const { LINGER_URL: url = '' } = place.env
  await writeFile(join(folder, '.env'), `# of the server\nLINGER_URL=${url}\nLINGER_KEY=${adminKey}\n`)
  t.equal((await cli(['vip', 'list', '--limit', '1'], { env: {}, cwd: folder })).code, 0)
  t.equal((await cli(['vip', 'list'], { env: { LINGER_KEY: 'wrong' }, cwd: folder })).code, 4)
  t.equal((await cli(['vip', 'list', '--url', `${url}/`], { env: {}, cwd: folder })).code, 0)
})

t.test('a terminal gets tables, and obeys nothing that a caller sends', async (t) => {
  const evil = '\u001b]0;pwned\u0007\u009b2J\u202e\nnext'
  const { json } = { json: JSON.stringify({ number: '0905555555', reason: evil }) }
  await app.inject({
    ...{ method: 'POST', url: '/v1/vip', payload: json },
    headers: { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json' },
  })
  // What would be more than a line end and the box's own characters.
  const commands = /[\0-\x09\x0b-\x1f\x7f-\x9f\u202e]/
  const table = await onTerminal(['vip', 'get', '0905555555'], place)
  t.equal(table.code, 0)
  t.notMatch(table.out, commands)
  t.match(table.out, /│ reason +│ \\u001b\]0;pwned\\u0007\\u009b2J\\u202e\\u000anext +│/)
  const json2 = await onTerminal(['vip', 'get', '0905555555', '--json'], place)
  t.notMatch(json2.out, commands)
  t.match(JSON.parse(json2.out), { reason: evil }, 'JSON says the same')
  const list = await onTerminal(['vip', 'list', '--limit', '3'], place)
  t.match(list.out, /│ number +│ normal form +│/)
  t.equal(list.out.split('\n').filter((line) => line.startsWith('│ 09')).length, 3)
  const error = await onTerminal(['vip', 'get', evil], place)
  t.equal(error.code, 1)
  t.notMatch(error.err, commands)
  await commitRecords(database.pool, [
    unansweredCall({ callUuid: randomUUID(), calledRaw: evil, called: evil, tenant: 'callers' }),
  ])
  const cdrs = await onTerminal(['cdrs', '--tenant', 'callers', '--limit', '1'], place)
  t.notMatch(cdrs.out, commands)
  t.match(cdrs.out, /│ started at +│ tenant +│ direction/)
  const none = await onTerminal(['blacklist', 'list'], place)
  t.equal(none.out, 'None.\n')
})
