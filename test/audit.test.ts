import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

import type pg from 'pg'
import t from 'tap'

import { parseMoney } from '../src/billing/money.js'
import { auditBooks, auditMode, type Finding } from '../src/store/audit.js'
import { inTransaction } from '../src/store/database.js'
import { commitRecords } from '../src/store/commit.js'
import { book } from '../src/store/ledger.js'
import { replaceIncomplete } from '../src/store/replace-incomplete.js'
import { incompleteCall } from './support/call-records.js'
import { creditOn, legOf, makePayer, recordOf } from './support/credit.js'
import { temporaryFolder, testDatabase } from './support/services.js'

const script = fileURLToPath(new URL('../scripts/audit.js', import.meta.url))

/** Two tenants with a call each that is over and one that is in progress. */
async function books() {
  const { pool, url } = await testDatabase(t)
  const credit = creditOn(pool)
  for (const id of ['good', 'bad']) {
    const tenant = await makePayer(pool, id, '100000')
    const over = legOf(tenant, { callUuid: `${id}-over` })
    await credit.authorise(over)
    await credit.authorise(legOf(tenant, { callUuid: `${id}-open` }))
    await commitRecords(pool, [
      recordOf(over, 60_000),
      recordOf(legOf(tenant, { callUuid: `${id}-unanswered` })),
    ])
  }
  return { pool, url }
}

/** Runs `npm run audit` on a database. */
async function audit(url: string | undefined) {
  const cwd = await temporaryFolder(t)
  const env = { PATH: process.env.PATH, ...(url !== undefined && { DATABASE_URL: url }) }
  const child = spawn(process.execPath, [script], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (text: Buffer) => (output += text.toString()))
  const [code] = (await once(child, 'close')) as [number]
  return { code, output }
}

t.test('books that add up pass', async (t) => {
  const { pool, url } = await books()
  // What a call is corrected by is part of its cost; what somebody books by hand for it is not.
  const corrected = recordOf(legOf({ id: 'good', billing: 'prepaid' }), 60_000)
  await commitRecords(pool, [incompleteCall(corrected, 30_000)])
  t.ok(await replaceIncomplete(pool, corrected))
  for (const [kind, amount] of [
    ['adjustment', '-7'],
    ['refund', '7'],
  ] as const)
    await book(pool, {
      tenant: 'good',
      kind,
      amount: parseMoney(amount),
      description: 'By hand',
      idempotencyKey: kind,
      callUuid: corrected.callUuid,
    })
  t.same(await inTransaction(pool, auditBooks, auditMode), { tenants: 3, findings: [] })
  t.match(await audit(url), { code: 0, output: /^balances, .* add up \(tenants: 3\)\n$/ })
})

/** The ledger's own guard stands in the way of an honest forgery. */
const forge = (sql: string) =>
  `ALTER TABLE ledger DISABLE TRIGGER USER; ${sql}; ALTER TABLE ledger ENABLE TRIGGER USER`

const faults: readonly [why: string, sql: string, finding: RegExp][] = [
  [
    'a balance that is not the sum of its ledger',
    `UPDATE balances SET balance = balance + 1 WHERE tenant_id = 'bad'`,
    /balance is 99501\.000000, the ledger comes to 99500\.000000/,
  ],
  [
    'a ledger line that does not follow from the one before',
    forge(`UPDATE ledger SET balance_after = balance_after + 1 WHERE tenant_id = 'bad' AND kind = 'topup'`),
    /ledger line \d+ ends at 100001\.000000, .* 100000\.000000/,
  ],
  [
    'a ledger line that is gone',
    forge(`DELETE FROM ledger WHERE tenant_id = 'bad' AND kind = 'debit'`),
    /call bad-over costs 500\.000000, the ledger has a debit of 0/,
  ],
  [
    'more reserved than calls hold',
    `UPDATE balances SET reserved = reserved + 1 WHERE tenant_id = 'bad'`,
    /2517\.670000 is reserved, the reservations come to 2516\.670000/,
  ],
  [
    'a reservation that its balance does not know of',
    `INSERT INTO reservations VALUES ('bad', 'bad-other', '1', 7)`,
    /the reservations come to 2523\.670000/,
  ],
  [
    'a reservation that outlived its call',
    `UPDATE reservations SET call_uuid = 'bad-over' WHERE tenant_id = 'bad'`,
    /call bad-over is committed, but still holds 2516\.670000/,
  ],
  [
    'a call that costs more than its charges',
    `UPDATE charges SET cost = cost - 1 WHERE call_uuid = 'bad-over'`,
    /call bad-over costs 500\.000000, its charges come to 499\.000000/,
  ],
  [
    'a call that costs more than was debited',
    `UPDATE cdrs SET cost = cost + 1 WHERE call_uuid = 'bad-over'; UPDATE charges SET cost = cost + 1 WHERE call_uuid = 'bad-over'`,
    /call bad-over costs 501\.000000, the ledger has a debit of 500\.000000/,
  ],
  [
    'a call that was debited twice',
    `DROP INDEX ledger_debit_of_call;
    INSERT INTO ledger (tenant_id, kind, amount, balance_after, description, call_uuid)
      VALUES ('bad', 'debit', -500, 99000, 'Call cost', 'bad-over');
    UPDATE balances SET balance = balance - 500 WHERE tenant_id = 'bad'`,
    /call bad-over costs 500\.000000, the ledger has a debit of 1000\.000000/,
  ],
  [
    'a debit for no call',
    `INSERT INTO ledger (tenant_id, kind, amount, balance_after, description)
      VALUES ('bad', 'debit', -500, 99000, 'Call cost');
    UPDATE balances SET balance = balance - 500 WHERE tenant_id = 'bad'`,
    /call \(none\) costs 0, the ledger has a debit of 500\.000000/,
  ],
  [
    'a call that was corrected for nothing',
    `INSERT INTO ledger (tenant_id, kind, amount, balance_after, description, call_uuid)
      VALUES ('bad', 'adjustment', 100, 99600, 'Call cost', 'bad-over');
    UPDATE balances SET balance = balance + 100 WHERE tenant_id = 'bad'`,
    /call bad-over costs 500\.000000, the ledger has a debit of 400\.000000/,
  ],
  [
    'a call without a key',
    `DELETE FROM call_keys WHERE call_uuid = 'bad-unanswered'`,
    /call bad-unanswered has 1 CDRs and no key/,
  ],
]

/** What the audit finds if somebody does this; it is undone. */
async function pretend(pool: pg.Pool, sql: string): Promise<readonly Finding[]> {
  const client = await pool.connect()
  try {
    await client.query('BEGIN')
    await client.query(sql)
    return (await auditBooks(client)).findings
  } finally {
    await client.query('ROLLBACK')
    client.release()
  }
}

t.test('books that do not add up fail, and the tenant is named', async (t) => {
  const { pool, url } = await books()
  for (const [why, sql, finding] of faults) {
    const findings = await pretend(pool, sql)
    t.ok(
      findings.some(({ tenant, what }) => tenant === 'bad' && finding.test(what)),
      `${why}: ${JSON.stringify(findings)}`,
    )
    t.notOk(
      findings.some(({ tenant }) => tenant !== 'bad'),
      'the others are not accused',
    )
  }
  const cdr = `DELETE FROM cdrs WHERE call_uuid = 'bad-unanswered'`
  t.match(await pretend(pool, cdr), [
    { tenant: null, what: 'call bad-unanswered is committed, but has no CDR' },
  ])
  const twin = `UPDATE reservations SET call_uuid = 'good-over' WHERE tenant_id = 'bad'`
  t.match(await pretend(pool, twin), [
    { tenant: 'bad', what: /call good-over is committed, but still holds 2516\.670000/ },
  ])
  const charge = `UPDATE charges SET call_uuid = 'nowhere' WHERE call_uuid = 'bad-over'`
  t.match(await pretend(pool, charge), [
    { tenant: 'bad', what: /its charges come to 0/ },
    { tenant: null, what: /call nowhere .* it has no CDR/ },
  ])
  const many = forge(`INSERT INTO ledger (tenant_id, kind, amount, balance_after, description)
    SELECT 'bad', 'topup', 1, 0, 'Paid in' FROM generate_series(1, 3000);
    UPDATE balances SET balance = balance + 3000 WHERE tenant_id = 'bad';
    UPDATE ledger SET balance_after = 0 WHERE tenant_id = 'good' AND kind = 'topup'`)
  const named = new Set((await pretend(pool, many)).map(({ tenant }) => tenant))
  t.same([...named].sort(), ['bad', 'good'], 'nobody is forgotten behind the many faults of another')
  await pool.query(faults[0]![1])
  const { code, output } = await audit(url)
  t.equal(code, 1)
  t.match(
    output,
    /^tenant bad: the balance is 99501\.000000.*\n.*do NOT add up \(findings: 1, tenants: 1 of 3\)\n$/,
  )
})
