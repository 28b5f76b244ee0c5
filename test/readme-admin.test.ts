import { spawn, spawnSync } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { commitRecords } from '../src/store/commit.js'
import { startAdminApi } from './support/admin-api.js'
import { paidCall } from './support/call-records.js'
import { temporaryFolder } from './support/services.js'

/** What the README tells admins to type, each command with the comment above it. */
async function commands(): Promise<{ what: string; command: string }[]> {
  const readme = await readFile(fileURLToPath(new URL('../../README.md', import.meta.url)), 'utf8')
  const [, section] = /\n## Administer\n([^]*?)\n## /.exec(readme) ?? []
  const blocks = [...(section ?? '').matchAll(/```sh\n([^]*?)```/g)].map(([, block = '']) => block)
  const lines = blocks.join('\n').replaceAll('\\\n', ' ').split('\n')
  let what = ''
  const found = []
  for (const line of lines) {
    if (line.startsWith('# ')) what = line.slice(2)
    else if (line.startsWith('curl ')) found.push({ what, command: line })
  }
  return found
}

const hasCurl = String(spawnSync('curl', ['--version']).stdout)
const [, major = '0', minor = '0'] = /^curl (\d+)\.(\d+)/.exec(hasCurl) ?? []
const canRun = Number(major) > 7 || (Number(major) === 7 && Number(minor) >= 82)

t.test(
  "the README's calls of an admin do what they say, as they are written",
  { skip: canRun ? false : 'there is no curl 7.82 or later on this machine' },
  async (t) => {
    const { app, adminKey, database } = await startAdminApi(t)
    await app.listen({ host: '127.0.0.1', port: 0 })
    const startedAt = Date.parse('2026-11-21T08:00:00Z') * 1000
    await commitRecords(database.pool, [paidCall(60_000, { startedAt })])
    const cwd = await temporaryFolder(t)
    await writeFile(join(cwd, '.curlrc'), 'silent\nshow-error\nfail-with-body\n')
    await writeFile(
      join(cwd, 'rates.csv'),
      'prefix,price_per_minute,description\n090,510,Mobile Viettel\n84,600,Vietnam\n',
    )
    const { port } = app.server.address() as AddressInfo
    const env = {
      ...{ PATH: process.env.PATH, CURL_HOME: cwd },
      ...{ LINGER_URL: `http://127.0.0.1:${port}`, LINGER_KEY: adminKey },
    }
    const all = await commands()
    t.ok(all.length >= 10, 'there are ten or more')
    const answers: unknown[] = []
    for (const { what, command } of all) {
      const child = spawn('sh', ['-c', command], { cwd, env })
      let said = ''
      const keep = (text: Buffer) => (said += text.toString())
      child.stdout.on('data', keep)
      child.stderr.on('data', keep)
      const [code] = (await once(child, 'close')) as [number]
      t.equal(code, 0, `${what}\n${command}\n${said}`)
      answers.push(said.startsWith('{') ? JSON.parse(said) : said)
    }
    t.match(
      answers,
      [
        { items: [{ number: '0912406496', reason: 'nuisance', ttl_seconds: 3600 }] },
        { number: '0912406496', normal_form: '84912406496' },
        '',
        { items: [{ called: '84901234567', cost: '500.00' }], next: null },
        '',
        { balance: '999500.00', currency: 'VND' },
        { kind: 'topup', amount: '500000.00', balance_after: '1499500.00' },
        { cost: '5000.00' },
        { id: '8490', price_per_minute: '520.00', version: 2 },
        { dry_run: true, rows: 2 },
        { tenant: 'demo', number: '1002', display_name: 'Lan' },
        { items: [], total: 0 },
        { key: /^linger_/, role: 'operate', tenant: 'demo' },
      ],
      'each answers what its comment promises',
    )
    const csv = await readFile(join(cwd, 'november.csv'), 'utf8')
    t.equal(csv.trim().split('\r\n').length, 2)
    t.match(csv, /^call_uuid,/)
    const { rows } = await database.pool.query('SELECT price_per_minute FROM rates WHERE prefix = $1', [
      '8490',
    ])
    t.match(rows, [{ price_per_minute: '520.000000' }], 'the dry run changed nothing')
  },
)
