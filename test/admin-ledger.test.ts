import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { listAuditLines } from '../src/store/audit-lines.js'
import { commitRecords } from '../src/store/commit.js'
import { answersOfLedger, startAdminApi, type Asked } from './support/admin-api.js'
import { booksOf } from './support/call-records.js'
import { legOf, makePayer, recordOf, untilWaiting } from './support/credit.js'

const { contract, ask, makeKey, database, databaseLine, log, told } = await startAdminApi(t)
const { pool } = database
const auditOf = async (tenant: string) => (await listAuditLines(pool, { tenant, limit: 100 })).items

const paths = ['topups', 'refunds', 'adjustments']

/** Books for a tenant, under a key of its own unless one is given; null: none. */
function post(t: Test, path: string, body: unknown, key: string | null = randomUUID(), asked: Asked = {}) {
  return ask(t, 'POST', `/v1/tenants/${path}`, {
    ...asked,
    body,
    headers: { ...asked.headers, ...(key !== null && { 'idempotency-key': key }) },
  })
}

async function linesOf(t: Test, tenant: string, query = '') {
  const answer = await ask(t, 'GET', `/v1/tenants/${tenant}/transactions${query}`)
  t.equal(answer.status, 200)
  return answer.json() as { items: Record<string, unknown>[]; next: string | null }
}

t.test('a tenant pays in, talks, is refunded and corrected, and its ledger tells it', async (t) => {
  const tenant = await makePayer(pool, 'story', '0')
  const paidIn = await post(t, 'story/topups', { amount: '1000', description: 'Bank transfer' }, 'bank-1')
  t.equal(paidIn.status, 201)
  t.match(paidIn.json(), {
    id: /^\d+$/,
    kind: 'topup',
    amount: '1000.00',
    balance_after: '1000.00',
    description: 'Bank transfer',
    call_uuid: null,
    idempotency_key: 'bank-1',
    created_at: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/,
  })
  const { id: line } = paidIn.json()
  t.match(log.at(-1), { level: 30, msg: 'money booked', tenant: 'story', kind: 'topup', line })
  t.match(log.at(-1), { by: /^[0-9a-f-]{36}$/ }, 'the log says by which key')

  const leg = legOf(tenant)
  await commitRecords(pool, [recordOf(leg, 2540)])
  const back = await post(t, 'story/refunds', {
    amount: '21.17',
    call_uuid: leg.callUuid,
    description: 'One-way audio',
  })
  t.match(back.json(), { kind: 'refund', amount: '21.17', balance_after: '1000.00', call_uuid: leg.callUuid })
  t.match((await post(t, 'story/refunds', { amount: '0.000001' })).json(), {
    amount: '0.000001',
    balance_after: '1000.000001',
    description: '',
    call_uuid: null,
  })
  const rental = await post(t, 'story/adjustments', { amount: '-1500.5', description: 'Line rental' })
  t.equal(rental.status, 201)
  t.match(rental.json(), { kind: 'adjustment', amount: '-1500.50', balance_after: '-500.499999' })
  await post(t, 'story/adjustments', { amount: '0.5', description: 'Rounded' })

  const { items, next } = await linesOf(t, 'story')
  t.equal(next, null)
  t.match(
    items.map(({ kind, amount }) => `${String(kind)} ${String(amount)}`),
    [
      'adjustment 0.50',
      'adjustment -1500.50',
      'refund 0.000001',
      'refund 21.17',
      'debit -21.17',
      'topup 1000.00',
    ],
  )
  t.strictSame(items.at(-1), paidIn.json(), 'a line is told as it was when it was booked')
  t.strictSame(items[1], rental.json())
  t.match(items.at(-2), { description: 'Call cost', call_uuid: leg.callUuid, idempotency_key: null })
  t.strictSame((await ask(t, 'GET', '/v1/tenants/story/balance')).json(), {
    balance: '-499.999999',
    reserved: '0.00',
    available: '-499.999999',
    billing: 'prepaid',
    credit_limit: '0.00',
    currency: 'VND',
  })
  const books = await booksOf(pool, 'story')
  t.match(books, { balance: '-499.999999', ledger: '-499.999999', lines: 6, breaks: 0 })
})

t.test('a balance says how far it may go below 0', async (t) => {
  await makePayer(pool, 'limited', '100', { credit_limit: '50.5' })
  t.match((await ask(t, 'GET', '/v1/tenants/limited/balance')).json(), {
    billing: 'prepaid',
    credit_limit: '50.50',
    available: '150.50',
  })
  await makePayer(pool, 'later', '100', { billing: 'postpaid' })
  t.match((await ask(t, 'GET', '/v1/tenants/later/balance')).json(), {
    billing: 'postpaid',
    credit_limit: null,
    available: '100.00',
  })
})

t.test('whoever asks twice with one key books once', async (t) => {
  await makePayer(pool, 'twice', '0')
  for (const path of paths) {
    const first = await post(t, `twice/${path}`, { amount: '10', description: 'x' }, `key of ${path}`)
    t.equal(first.status, 201)
    const lines = log.length
    const again = await post(t, `twice/${path}`, { amount: '10.00', description: 'y' }, `key of ${path}`)
    t.equal(again.status, 200)
    t.strictSame(again.json(), first.json(), 'and is told the same line')
    t.equal(log.length, lines, 'nothing is logged as booked a second time')
  }
  t.match(await booksOf(pool, 'twice'), { balance: '30.000000', ledger: '30.000000', lines: 3, breaks: 0 })
})

t.test('ten that ask at once with one key book once', async (t) => {
  await makePayer(pool, 'race', '0')
  const answers = await Promise.all(
    Array.from({ length: 10 }, () => post(t, 'race/topups', { amount: '1000' }, 'one')),
  )
  t.strictSame(answers.map(({ status }) => status).sort(), [...Array<number>(9).fill(200), 201])
  t.equal(new Set(answers.map((answer) => answer.json().id)).size, 1)
  t.equal((await auditOf('race')).length, 1)
  t.match(await booksOf(pool, 'race'), { balance: '1000.000000', lines: 1, breaks: 0 })

  const rivals = await Promise.all(
    Array.from({ length: 10 }, (_, i) => post(t, 'race/topups', { amount: String(i + 1) }, 'rivals')),
  )
  t.strictSame(rivals.map(({ status }) => status).sort(), [201, ...Array<number>(9).fill(409)])
  t.match(await booksOf(pool, 'race'), { lines: 2, breaks: 0 })
})

t.test('ten top-ups at once with ten keys are ten', async (t) => {
  await makePayer(pool, 'crowd', '0')
  const answers = await Promise.all(
    Array.from({ length: 10 }, () => post(t, 'crowd/topups', { amount: '0.1' })),
  )
  for (const { status } of answers) t.equal(status, 201)
  t.match(await booksOf(pool, 'crowd'), { balance: '1.000000', ledger: '1.000000', lines: 10, breaks: 0 })
})

t.test('a key stands for one booking of one tenant', async (t) => {
  await makePayer(pool, 'reused', '0')
  await makePayer(pool, 'neighbour', '0')
  const call = { amount: '5', call_uuid: randomUUID() }
  await post(t, 'reused/topups', { amount: '5' }, 'a')
  await post(t, 'reused/refunds', call, 'b')
  await post(t, 'reused/adjustments', { amount: '5', description: 'x' }, 'c')
  const ofCall = /"b" was used for a refund of 5\.00 for call "[0-9a-f-]{36}"\.$/
  const cases: [path: string, body: object, key: string, detail: RegExp][] = [
    ['topups', { amount: '5.01' }, 'a', /"a" was used for a topup of 5\.00\.$/],
    ['refunds', { amount: '5' }, 'a', /"a" was used for a topup of 5\.00\.$/],
    ['adjustments', { amount: '5', description: 'x' }, 'a', /"a" was used for a topup of 5\.00\.$/],
    ['topups', { amount: '5' }, 'b', ofCall],
    ['refunds', { amount: '5', call_uuid: randomUUID() }, 'b', ofCall],
    ['refunds', { amount: '5' }, 'b', ofCall],
    ['adjustments', { amount: '-5', description: 'x' }, 'c', /"c" was used for an? adjustment of 5\.00\.$/],
  ]
  for (const [path, body, key, detail] of cases) {
    const answer = await post(t, `reused/${path}`, body, key)
    t.equal(answer.status, 409, `${path} ${JSON.stringify(body)}`)
    t.match(answer.json(), { type: 'urn:linger:problem:key_reused', detail })
  }
  t.equal((await post(t, 'reused/refunds', call, 'b')).status, 200)
  t.match(await booksOf(pool, 'reused'), { balance: '15.000000', lines: 3, breaks: 0 })
  t.equal((await post(t, 'neighbour/topups', { amount: '7' }, 'a')).status, 201)
  t.match(await booksOf(pool, 'neighbour'), { balance: '7.000000', lines: 1 })
})

t.test(
  'a booking that was cut off before it was committed is none, and can be asked for again',
  async (t) => {
    await makePayer(pool, 'cut', '0')
    const client = await pool.connect()
    try {
      await client.query(`BEGIN; SELECT FROM balances WHERE tenant_id = 'cut' FOR UPDATE`)
      const unheard = post(t, 'cut/topups', { amount: '1000' }, 'cut')
      await untilWaiting(pool, 1)
      await databaseLine.cut()
      t.equal((await unheard).status, 503)
      await databaseLine.mend()
      const again = post(t, 'cut/topups', { amount: '1000' }, 'cut')
      await untilWaiting(pool, 2)
      await client.query('ROLLBACK')
      t.equal((await again).status, 201)
    } finally {
      client.release()
    }
    t.match(await booksOf(pool, 'cut'), { balance: '1000.000000', ledger: '1000.000000', lines: 1 })
    t.equal((await auditOf('cut')).length, 1)
  },
)

t.test('a booking whose answer was lost is not booked a second time', async (t) => {
  await makePayer(pool, 'lost', '0')
  // The commit itself waits, and the line breaks while it does.
  await pool.query(`
    CREATE FUNCTION wait_for_test() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_advisory_xact_lock_shared(4711); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER wait_for_test AFTER INSERT ON ledger DEFERRABLE INITIALLY DEFERRED
      FOR EACH ROW WHEN (NEW.tenant_id = 'lost') EXECUTE FUNCTION wait_for_test()`)
  const client = await pool.connect()
  try {
    await client.query('SELECT pg_advisory_lock(4711)')
    const unheard = post(t, 'lost/topups', { amount: '1000' }, 'lost')
    await untilWaiting(pool, 1)
    await databaseLine.cut()
    t.equal((await unheard).status, 503)
    await databaseLine.mend()
    const again = post(t, 'lost/topups', { amount: '1000' }, 'lost')
    await untilWaiting(pool, 2)
    await client.query('SELECT pg_advisory_unlock(4711)')
    t.equal((await again).status, 200, 'the first one went through after all')
  } finally {
    client.release()
  }
  t.match(await booksOf(pool, 'lost'), { balance: '1000.000000', ledger: '1000.000000', lines: 1 })
  t.equal((await auditOf('lost')).length, 1, 'and is written down once')
})

t.test('who booked what is written with the booking, and not without it', async (t) => {
  await makePayer(pool, 'written', '0')
  const booked = await post(t, 'written/topups', { amount: '1000', description: 'Bank transfer' }, 'one')
  await post(t, 'written/topups', { amount: '1000' }, 'one')
  t.equal((await post(t, 'written/refunds', { amount: '1000' }, 'one')).status, 409)
  const line = booked.json()
  t.match(await auditOf('written'), [
    {
      action: 'topUpTenant',
      target: `transaction ${String(line.id)}`,
      before: null,
      after: line,
      failure: null,
    },
  ])
  await pool.query(`
    CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE disk_full; END $$;
    CREATE TRIGGER disk_full BEFORE INSERT ON audit_lines FOR EACH ROW EXECUTE FUNCTION disk_full()`)
  t.equal((await post(t, 'written/adjustments', { amount: '-5', description: 'x' }, 'two')).status, 503)
  await pool.query('DROP TRIGGER disk_full ON audit_lines')
  t.match(await booksOf(pool, 'written'), { balance: '1000.000000', lines: 1 })
  t.equal((await post(t, 'written/adjustments', { amount: '-5', description: 'x' }, 'two')).status, 201)
  t.match(
    (await auditOf('written')).map(({ action }) => action),
    ['adjustTenant', 'topUpTenant'],
  )
})

t.test('a key of a tenant, or one that is no admin, books nothing, and reads its own', async (t) => {
  await makePayer(pool, 'bound', '0')
  await makePayer(pool, 'foreign', '0')
  const keys = [await makeKey('admin', 'bound'), await makeKey('read', 'bound'), await makeKey('read', null)]
  for (const key of keys) {
    for (const tenant of ['bound', 'foreign', 'nobody']) {
      for (const path of paths)
        t.equal(
          (await post(t, `${tenant}/${path}`, { amount: '1', description: 'x' }, 'x', { key })).status,
          403,
        )
    }
  }
  const reads = async (tenant: string) =>
    Promise.all(
      keys.map(async (key) => (await ask(t, 'GET', `/v1/tenants/${tenant}/transactions`, { key })).status),
    )
  t.strictSame(await reads('bound'), [200, 200, 200])
  t.strictSame(await reads('foreign'), [404, 404, 200])
  t.strictSame(await reads('nobody'), [404, 404, 404])
  for (const path of paths)
    t.equal(
      (await post(t, `bound/${path}`, { amount: '1', description: 'x' }, 'x', { key: null })).status,
      401,
    )
  for (const tenant of ['bound', 'foreign']) t.match(await booksOf(pool, tenant), { lines: 0 })
})

t.test('what is no booking is refused with the field and what it may be; nothing is booked', async (t) => {
  await makePayer(pool, 'wrong', '0')
  const decimals = 'at most 18 digits before the point and 6 behind it, such as "500" or "21.17"'
  const above = `a decimal number above 0, ${decimals}`
  const other = `a decimal number other than 0, ${decimals}; below 0 it takes money away`
  const noNumbers = [
    '',
    ' 1',
    '1 ',
    '+1',
    '1,5',
    '1e3',
    '1E3',
    '0x10',
    '1.',
    '.5',
    '1.2.3',
    'NaN',
    'Infinity',
  ]
  noNumbers.push(
    '-',
    '--1',
    '１',
    '1\n',
    '1_000',
    '0',
    '0.00',
    '-0',
    '0.0000001',
    '1.0000000',
    '1'.repeat(19),
  )
  for (const path of paths) {
    const url = `wrong/${path}`
    for (const amount of path === 'adjustments' ? noNumbers : [...noNumbers, '-1', '-0.000001']) {
      const answer = await post(t, url, { amount, description: 'x' })
      t.equal(answer.status, 400, `${path} ${JSON.stringify(amount)}`)
      const allowed = path === 'adjustments' ? other : above
      t.match(answer.json(), {
        type: 'urn:linger:problem:invalid',
        detail: 'Not valid: amount.',
        errors: [{ field: 'amount', detail: `is ${JSON.stringify(amount)}; allowed is ${allowed}` }],
      })
    }
    const key = 'allowed is a text of 1 to 200 characters'
    const cases: [body: unknown, key: string | null, field: string, detail: string | RegExp][] = [
      [{ amount: 500, description: 'x' }, 'k', 'amount', 'is 500; allowed is a text'],
      [{ amount: null, description: 'x' }, 'k', 'amount', 'is null; allowed is a text'],
      [{ description: 'x' }, 'k', 'amount', 'is missing'],
      [{ amount: '1', description: '' }, 'k', 'description', /allowed is a text of 1 to 200 characters$/],
      [{ amount: '1', description: 'x'.repeat(201) }, 'k', 'description', /allowed is a text of 1 to 200 c/],
      [{ amount: '1', description: 'a\0b' }, 'k', 'description', /; allowed is a text without .* NUL$/],
      [{ amount: '1', description: 'x', kind: 'debit' }, 'k', 'kind', /^is unknown; allowed are amount, /],
      [{ amount: '1', description: 'x', balance: '1' }, 'k', 'balance', /^is unknown; allowed are amount, /],
      [{ amount: '1', description: 'x' }, null, 'idempotency-key', 'is missing'],
      [{ amount: '1', description: 'x' }, '', 'idempotency-key', `is ""; ${key}`],
      [
        { amount: '1', description: 'x' },
        'x'.repeat(201),
        'idempotency-key',
        /allowed is a text of 1 to 200 c/,
      ],
      [
        { amount: '1', description: 'x' },
        'schlüssel',
        'idempotency-key',
        /; allowed is 1 to 200 printable ASCII/,
      ],
      [{ amount: '1', description: 'x' }, 'a\tb', 'idempotency-key', /; allowed is 1 to 200 printable ASCII/],
      [['1'], 'k', 'body', /^is \["1"\]; allowed is an object with amount, /],
      [undefined, 'k', 'body', /^is missing; allowed is an object with amount, /],
    ]
    for (const [body, key, field, detail] of cases) {
      const answer = await post(t, url, body, key)
      t.equal(answer.status, 400, `${path} ${JSON.stringify(body)} ${key}`)
      t.match(answer.json(), { detail: `Not valid: ${field}.`, errors: [{ field, detail }] })
    }
    const both = await post(t, url, { amount: '0', description: 'a\0b' }, 'é')
    t.match(both.json(), { detail: 'Not valid: idempotency-key, amount, description.' })

    t.equal((await post(t, url, { amount: '1', description: 'x'.repeat(70_000) })).status, 413)
    const form = { headers: { 'content-type': 'application/x-www-form-urlencoded' } }
    t.equal((await post(t, url, 'amount=1', 'k', form)).status, 415)
    for (const nobody of ['nobody', "';--", '%00', 'Wrong'])
      t.equal((await post(t, `${nobody}/${path}`, { amount: '1', description: 'x' })).status, 404)
  }
  t.match((await post(t, 'wrong/adjustments', { amount: '1' })).json(), {
    errors: [{ field: 'description', detail: 'is missing' }],
  })
  for (const path of ['topups', 'adjustments'])
    t.match((await post(t, `wrong/${path}`, { amount: '1', description: 'x', call_uuid: 'x' })).json(), {
      errors: [{ field: 'call_uuid', detail: 'is unknown; allowed are amount, description' }],
    })
  t.match((await post(t, 'wrong/refunds', { amount: '1', call_uuid: 'a\0b' })).json(), {
    errors: [{ field: 'call_uuid', detail: /; allowed is a text without the character NUL$/ }],
  })
  t.match(await booksOf(pool, 'wrong'), { balance: '0.000000', lines: 0 })
})

t.test('a balance cannot grow beyond what a balance can be', async (t) => {
  const most = '999999999999999999.999999'
  await makePayer(pool, 'rich', most)
  const answer = await post(t, 'rich/topups', { amount: '0.000001' })
  t.equal(answer.status, 400)
  t.match(answer.json(), { errors: [{ field: 'amount', detail: /balance/ }] })
  t.match(await booksOf(pool, 'rich'), { balance: most, lines: 1 })
})

t.test('texts and keys stand on the line as they were sent', async (t) => {
  await makePayer(pool, 'texts', '0')
  const texts = ["'; DROP TABLE ledger; --", '${x} $1 %s \\', 'Nạp tiền 💶', '{"a": 1}', 'two\nlines']
  for (const description of texts) {
    const key = `'"\\ ~${'k'.repeat(195)}${texts.indexOf(description)}`.slice(-200)
    const booked = await post(t, 'texts/topups', { amount: '1', description }, key)
    t.equal(booked.status, 201)
    t.match(booked.json(), { description, idempotency_key: key })
  }
  const { items } = await linesOf(t, 'texts')
  t.strictSame(
    items.map(({ description }) => description),
    [...texts].reverse(),
  )
})

t.test('an adjustment below the threshold warns once, and a top-up arms the warning again', async (t) => {
  await makePayer(pool, 'low', '1200', { low_balance: '1000' })
  const take = (amount: string, key: string = randomUUID()) =>
    post(t, 'low/adjustments', { amount, description: 'Line rental' }, key)
  await take('-200')
  t.strictSame(told, [], 'at the threshold is not below it')
  await take('-300', 'crossing')
  t.equal((await take('-300', 'crossing')).status, 200)
  await take('-100')
  const first = { tenant: 'low', balance: '700.00', threshold: '1000.00', currency: 'VND' }
  t.strictSame(told, [first])
  await post(t, 'low/topups', { amount: '400' })
  await take('-100.5')
  t.strictSame(told, [first, { ...first, balance: '899.50' }])
})

t.test('every answer that the description names was seen', async (t) => {
  t.strictSame(
    contract.unseen().filter((answer) => answersOfLedger.test(answer)),
    [],
  )
})
