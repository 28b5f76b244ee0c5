import { writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { parse } from 'csv-parse/sync'
import t from 'tap'
import { commitRecords } from '../src/store/commit.js'
import { startAdminApi } from './support/admin-api.js'
import { paidCall, unansweredCall } from './support/call-records.js'
import { cli, onTerminal, type CliPlace } from './support/cli.js'
import { temporaryFolder } from './support/services.js'

const { app, adminKey, contract, database } = await startAdminApi(t)
await app.listen({ host: '127.0.0.1', port: 0 })
const { port } = app.server.address() as AddressInfo
const cwd = await temporaryFolder(t)
const place: CliPlace = { env: { LINGER_URL: `http://127.0.0.1:${port}`, LINGER_KEY: adminKey }, cwd }

const operations = new Set(contract.operations.map(({ operation }) => operation.operationId))
const without = (id: string) => (operations.has(id) ? false : `the API has no ${id}`)
const file = async (name: string, text: string) => {
  const path = join(cwd, name)
  await writeFile(path, text)
  return path
}
const rows = (csv: string) => parse<Record<string, string>>(csv, { columns: true })

t.test(
  'rates come from a file, all or none, and go into one',
  { skip: without('importRates') },
  async (t) => {
    const many = Array.from({ length: 5000 }, (_, i) => `0${900000 + i},480\n`).join('')
    const path = await file('rates.csv', `prefix,price_per_minute\n${many}`)
    const tried = await cli(['rates', 'import', 'demo', path, '--dry-run'], place)
    t.equal(tried.code, 0, tried.err)
    t.match(JSON.parse(tried.out), { rows: 5000, inserted: 5000, dry_run: true })
    const done = await cli(['rates', 'import', 'demo', path], place)
    t.match(JSON.parse(done.out), { rows: 5000, inserted: 5000, removed: 0, dry_run: false })
    const replaced = await cli(
      ['rates', 'import', 'demo', '-', '--replace'],
      place,
      'prefix,price_per_minute\n090,1\n*,2\n',
    )
    t.match(JSON.parse(replaced.out), { rows: 2, dry_run: false })
    const exported = await cli(['rates', 'export', 'demo'], place)
    t.equal(exported.code, 0)
    t.equal(rows(exported.out).length, 2)

    const wrong = await file('wrong.csv', 'prefix,price_per_minute\n090,480\n091,much\nabc,1\n')
    const refused = await cli(['rates', 'import', 'demo', wrong], place)
    t.equal(refused.code, 1)
    t.equal(refused.out, '')
    t.match(refused.err, /^line 3: price_per_minute: .*\nline 4: prefix: .*\nlinger: The file has 2 faults/)
    t.equal(rows((await cli(['rates', 'export', 'demo'], place)).out).length, 2, 'nothing of it is there')
    const nobodys = await cli(['rates', 'import', 'nobodys', path], place)
    t.equal(nobodys.code, 3, nobodys.err)
  },
)

t.test(
  'a file that is far too large for what is read of it is refused in words',
  { skip: without('importRates') },
  async (t) => {
    const path = await file('no-rates.csv', `colour\n${'x'.repeat(50)}\n`.repeat(200_000))
    const { code, err } = await cli(['rates', 'import', 'demo', path], place)
    t.equal(code, 1, err)
    t.match(err, /colour/)
  },
)

t.test(
  'on a terminal a bar shows how much of the file is gone',
  { skip: without('importRates') },
  async (t) => {
    const path = await file('bar.csv', 'prefix,price_per_minute\n0933,480\n')
    const { code, out, err } = await onTerminal(['rates', 'import', 'demo', path], place)
    t.equal(code, 0, err)
    t.match(err, /bar\.csv █+ 100 % \| 33 of 33 bytes/)
    t.match(out, /│ inserted +│ 1 +│/)
  },
)

t.test(
  'CDRs are found by what they are about, and one is told whole',
  { skip: without('exportCdrs') },
  async (t) => {
    const day = Date.UTC(2025, 0, 31) * 1000
    const hour = 3_600_000_000
    const call = paidCall(60_000, { startedAt: day + 8 * hour, caller: '1000', called: '84901234567' })
    const other = unansweredCall({ startedAt: day + 9 * hour, caller: '1001', called: '84902222222' })
    await commitRecords(database.pool, [call, other])
    const found = async (...args: string[]) => {
      const { code, out, err } = await cli(['cdrs', '--tenant', 'demo', ...args], place)
      t.equal(code, 0, err)
      return (JSON.parse(out) as { call_uuid: string }[]).map(({ call_uuid: uuid }) => uuid)
    }
    t.strictSame(await found(), [other.callUuid, call.callUuid])
    t.strictSame(await found('--from', '2025-01-31T09:00:00Z'), [other.callUuid])
    t.strictSame(await found('--from', '2025-01-31', '--to', '2025-01-31T16:00:00+07:00'), [call.callUuid])
    t.strictSame(await found('--caller', '1001'), [other.callUuid])
    t.strictSame(await found('--called', '0901234567'), [call.callUuid])
    const csv = await cli(['cdrs', '--tenant', 'demo', '--csv'], place)
    t.match(rows(csv.out), [{ call_uuid: other.callUuid }, { call_uuid: call.callUuid, cost: '500.00' }])
    const whole = await cli(['cdrs', 'get', call.callUuid], place)
    t.match(JSON.parse(whole.out), { call_uuid: call.callUuid, charges: [{ cost: '500.00' }] })
    const table = await onTerminal(['cdrs', 'get', call.callUuid], place)
    t.match(table.out, /│ hangup cause +│ NORMAL_CLEARING/)
    t.equal((await cli(['cdrs', 'get', 'unknown'], place)).code, 3)
  },
)

t.test('a list comes from a file and goes into one', { skip: without('importBlacklist') }, async (t) => {
  const path = await file('blacklist.csv', 'number,reason\n0901111111,spam\n8495*,fraud\n')
  const imported = await cli(['blacklist', 'import', path], place)
  t.equal(imported.code, 0, imported.err)
  const exported = await cli(['blacklist', 'export'], place)
  t.strictSame(
    rows(exported.out)
      .map(({ number }) => number)
      .sort(),
    ['0901111111', '8495*'],
  )
  const wrong = await file('wrong-list.csv', 'number\nabc\n')
  t.equal((await cli(['blacklist', 'import', wrong], place)).code, 1)
})
