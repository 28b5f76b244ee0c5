import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import type { LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { buildAdmin } from '../src/admin/server.js'
import type { UploadLimits } from '../src/admin/upload.js'
import type { FieldError } from '../src/admin/field-errors.js'
import { importRates } from '../src/store/rates.js'
import { startAdminApi, type Asked } from './support/admin-api.js'
import { anyRate } from './support/rates.js'

const api = await startAdminApi(t)
const { pool } = api.database
await pool.query(`INSERT INTO decks (id, name, currency)
  SELECT id, id, 'EUR' FROM unnest('{files,copy,random,large}'::text[]) AS id`)

const csv = { 'content-type': 'text/csv' }

async function ask(t: Test, status: number, method: string, url: string, asked: Asked = {}) {
  const answer = await api.ask(t, method, url, asked)
  t.equal(answer.status, status, `${method} ${url}: ${answer.body.slice(0, 1_000)}`)
  return answer
}

function upload(t: Test, status: number, file: string | Buffer, query = '', deck = 'files') {
  return ask(t, status, 'POST', `/v1/decks/${deck}/rates/import${query}`, { body: file, headers: csv })
}

async function faults(t: Test, file: string | Buffer, query = ''): Promise<[number, string, string][]> {
  const { errors } = (await upload(t, 400, file, query)).json() as { errors: FieldError[] }
  return errors.map(({ line = 0, field, detail }) => [line, field, detail])
}

async function rows(deck = 'files') {
  const { rows } = await pool.query<Record<string, unknown>>(
    'SELECT prefix, prefix_entered, description, price_per_minute, valid_from, version FROM rates WHERE deck_id = $1 ORDER BY prefix, valid_from',
    [deck],
  )
  return rows
}

t.test('a file is taken as people write them', async (t) => {
  const file =
    '\ufeffDescription;price_per_minute;prefix;minimum_seconds;valid_from\r\n' +
    '"Mobile; ""Viettel""";480.5;090;30;\r\n' +
    '\r\n' +
    "'=SUM(A1);1;+84 (24);;2030-01-01T07:00:00+07:00\n" +
    '"two\nlines";0;*;;\r\n' +
    'last; 7 ;0084 91; 6 ;'
  t.strictSame((await upload(t, 200, file)).json(), {
    ...{ rows: 4, inserted: 4, changed: 0, unchanged: 0, removed: 0, dry_run: false },
  })
  t.match(await rows(), [
    { prefix: '', prefix_entered: '*', description: 'two\nlines', price_per_minute: '0.000000' },
    {
      prefix: '8424',
      prefix_entered: '+84 (24)',
      description: '=SUM(A1)',
      valid_from: new Date('2030-01-01'),
    },
    {
      prefix: '8490',
      prefix_entered: '090',
      description: 'Mobile; "Viettel"',
      price_per_minute: '480.500000',
    },
    { prefix: '8491', prefix_entered: '0084 91', description: 'last', price_per_minute: '7.000000' },
  ])
  t.match((await ask(t, 200, 'GET', '/v1/decks/files/rates/8490')).json(), {
    minimum_seconds: 30,
    version: 1,
  })
})

t.test('what the country is decides what a prefix means', async (t) => {
  await upload(t, 200, 'prefix,price_per_minute\n030,1\n', '?country=DE&mode=replace')
  t.match(await rows(), [{ prefix: '4930', prefix_entered: '030' }])
  await upload(t, 400, 'prefix,price_per_minute\n030,1\n', '?country=XX')
})

t.test(
  'add keeps what is not in the file, replace does not, and what is as it was is not touched',
  async (t) => {
    const header = 'prefix,price_per_minute,description\n'
    t.match((await upload(t, 200, `${header}1,1,a\n2,2,b\n3,3,c\n`, '?mode=replace')).json(), {
      inserted: 3,
      removed: 1,
    })
    const added = await upload(t, 200, `${header}2,2,b\n3,3.5,c\n4,4,d\n`)
    t.match(added.json(), { rows: 3, inserted: 1, changed: 1, unchanged: 1, removed: 0 })
    t.match(
      (await rows()).map(({ prefix, price_per_minute: price, version }) => [prefix, Number(price), version]),
      [
        ['1', 1, 1],
        ['2', 2, 1],
        ['3', 3.5, 2],
        ['4', 4, 1],
      ],
    )
    const replaced = await upload(t, 200, `${header}4,4,d\n3,3,c\n5,5,e\n`, '?mode=replace')
    t.match(replaced.json(), { rows: 3, inserted: 1, changed: 1, unchanged: 1, removed: 2 })
    t.match(
      (await rows()).map(({ prefix, price_per_minute: price, version }) => [prefix, Number(price), version]),
      [
        ['3', 3, 3],
        ['4', 4, 1],
        ['5', 5, 1],
      ],
    )
    const { rows: lines } = await pool.query(
      `SELECT target, after FROM audit_lines WHERE action = 'importRates' ORDER BY id DESC LIMIT 1`,
    )
    t.match(lines, [{ target: 'deck files', after: { import: { mode: 'replace', rows: 3, removed: 2 } } }])
  },
)

t.test('a dry run says what would be, and nothing is', async (t) => {
  const before = await rows()
  const { rowCount } = await pool.query('SELECT FROM audit_lines')
  const file = 'prefix,price_per_minute\n5,5\n6,6\n'
  const tried = (await upload(t, 200, file, '?mode=replace&dry_run=true')).json()
  t.strictSame(tried, { rows: 2, inserted: 1, changed: 1, unchanged: 0, removed: 2, dry_run: true })
  t.strictSame([await rows(), (await pool.query('SELECT FROM audit_lines')).rowCount], [before, rowCount])
  t.match(await faults(t, 'prefix,price_per_minute\n5,5\n5,6\n', '?dry_run=true'), [[3, 'prefix']])
  t.match((await upload(t, 200, file, '?mode=replace')).json(), { ...tried, dry_run: false })
})

t.test('what is wrong is told by its line and column, and nothing is written', async (t) => {
  const before = await rows()
  const file =
    'prefix,price_per_minute,description,minimum_cost,maximum_cost,valid_from,valid_to\r\n' +
    '1,x,,,,,\r\n' +
    '2,1,"two\r\nlines",,,,\r\n' +
    '09a,-1,,,,,\r\n' +
    '3,1\r\n' +
    '4,1,,2,1,,\r\n' +
    '5,1,,0.005,,,\r\n' +
    '6,1,,,,2030-02-30T00:00:00Z,\r\n' +
    '7,1,,,,2030-01-01T00:00:00Z,2029-01-01T00:00:00Z\r\n' +
    ',1,,,,,\r\n' +
    '2,1,,,,,\r\n'
  t.match(await faults(t, file), [
    [2, 'price_per_minute', 'is "x"; allowed is an amount of 0 or more'],
    [5, 'prefix', 'is "09a"; allowed is digits'],
    [5, 'price_per_minute', 'is "-1"'],
    [6, 'row', 'has 2 cells; allowed are 7, as in the header'],
    [7, 'minimum_cost', 'is "2"; allowed is maximum_cost, "1", or less'],
    [8, 'minimum_cost', 'is "0.005"; allowed is an amount of 2 decimals at most'],
    [9, 'valid_from', 'is "2030-02-30T00:00:00Z"; allowed is a moment of RFC 3339'],
    [10, 'valid_to', 'is "2029-01-01T00:00:00Z"; allowed is a moment after valid_from'],
    [11, 'prefix', 'is missing; allowed is digits'],
    [12, 'prefix', 'the rate 2 is on line 3 already'],
  ])
  t.strictSame(await rows(), before)
})

t.test('a header that is none is told', async (t) => {
  t.match(await faults(t, 'prefix,colour,prefix\n1,2,3\n'), [
    [1, '"colour"', 'is no column; allowed are prefix, prefix_entered'],
    [1, 'prefix', 'is there twice'],
    [1, 'price_per_minute', 'is missing among the columns'],
  ])
  t.match(await faults(t, '"prefix'), [[1, 'row', 'has a quote that is not closed']])
  t.match(await faults(t, 'x'.repeat(20_000)), [[1]])
  t.match((await upload(t, 400, '')).json(), { errors: [{ field: /row|body/ }] })
  t.match((await upload(t, 200, 'prefix,price_per_minute')).json(), { rows: 0 })
})

t.test('a file that breaks in the middle is told where', async (t) => {
  const many = Array.from({ length: 5_000 }, (_, i) => `${10_000 + i},1,plain\n`).join('')
  const header = 'prefix,price_per_minute,description\n'
  t.match(await faults(t, `${header}${many}9,1,a"b\n`), [
    [5_002, 'row', 'has a quote in the middle of a cell'],
  ])
  t.match(await faults(t, `${header}${many}9,1,"a\n`), [[5_002, 'row', 'has a quote that is not closed']])
  t.match(await faults(t, `${header}${many}9,1,"a\n${many}`), [[5_002, 'row', 'is longer than 65536 bytes']])
  const latin1 = Buffer.from(`${header}${many}9,1,Réunion\n8,1,b\n`, 'latin1')
  t.match(await faults(t, latin1), [[5_002, 'row', 'is not UTF-8']])
  t.match(await faults(t, Buffer.from(`${header}1,1,\xe9`, 'latin1')), [[2, 'row', 'is not UTF-8']])
})

t.test('of very many faults the first hundred are told, and all are counted', async (t) => {
  const file = `prefix,price_per_minute\n${'x,1\n'.repeat(2_000)}`
  const { errors, detail } = (await upload(t, 400, file)).json() as { errors: FieldError[]; detail: string }
  t.strictSame([errors.length, errors[99]?.line], [100, 101])
  t.equal(detail, 'The file has 2000 faults in 2000 rows; nothing was written; the first 100 are told.')
})

t.test('the same rate twice is told with both lines, whichever way its moment is written', async (t) => {
  const file =
    'prefix,price_per_minute,valid_from\n090,1,2030-01-01T00:00:00Z\n8490,1,\n+8490,2,2030-01-01T07:00:00+07:00\n090,3,\n'
  t.strictSame(await faults(t, file), [
    [4, 'prefix', 'the rate 8490@2030-01-01T00:00:00.000Z is on line 2 already'],
    [5, 'prefix', 'the rate 8490 is on line 3 already'],
  ])
})

t.test('only a file is taken, and only for a deck that there is', async (t) => {
  const at = '/v1/decks/files/rates/import'
  await ask(t, 415, 'POST', at, { body: { prefix: '1' } })
  t.match((await ask(t, 415, 'POST', at, { body: 'x', headers: { 'content-type': 'text/plain' } })).json(), {
    detail: 'Content-Type must be text/csv.',
  })
  await ask(t, 400, 'POST', at)
  await upload(t, 404, 'prefix,price_per_minute\n1,1\n', '', 'nobody')
  await upload(t, 400, 'prefix,price_per_minute\n1,1\n', '?mode=twice')
})

t.test('what is exported is imported as it was', async (t) => {
  const unit = fc.oneof(
    fc.constantFrom("'", '=', '+', '-', '@', '\t', '\r', '\n', '"', ',', ';', ' ', '0'),
    fc.string({ unit: 'binary', maxLength: 1 }),
  )
  const text = fc.string({ unit: unit.filter((unit) => !unit.includes('\0')), maxLength: 8 })
  const anyText = fc.record({ prefixEntered: text, description: text })
  const deck = fc.uniqueArray(
    fc.tuple(anyRate, anyText).map(([rate, texts]) => ({ ...rate, ...texts })),
    {
      selector: ({ prefix, validFrom }) => `${prefix}@${validFrom}`,
      maxLength: 40,
    },
  )
  await fc.assert(
    fc.asyncProperty(deck, async (rates) => {
      await importRates(pool, 'random', rates, { isWhole: true })
      const exported = await api.ask(t, 'GET', '/v1/decks/random/rates/export')
      await pool.query(`DELETE FROM rates WHERE deck_id = 'copy'`)
      const imported = await api.ask(t, 'POST', '/v1/decks/copy/rates/import', {
        body: exported.body,
        headers: csv,
      })
      assert.equal(imported.status, 200, imported.body)
      const { rows: different } = await pool.query(
        `SELECT (r).*, (c).* FROM
          (SELECT r, (r.prefix, r.valid_from) AS key FROM rates r WHERE deck_id = 'random') AS one
          FULL JOIN (SELECT c, (c.prefix, c.valid_from) AS key FROM rates c WHERE deck_id = 'copy') AS two USING (key)
        WHERE to_jsonb(r) - 'deck_id' - 'version' IS DISTINCT FROM to_jsonb(c) - 'deck_id' - 'version'`,
      )
      assert.deepEqual(different, [], exported.body)
      assert.equal(imported.json().inserted, rates.length)
    }),
    { numRuns: 60 },
  )
})

t.test('an export is a file for a spreadsheet', async (t) => {
  await upload(t, 200, 'prefix,price_per_minute,description\n*,1,=A1\n', '?mode=replace')
  const answer = await ask(t, 200, 'GET', '/v1/decks/files/rates/export')
  t.equal(answer.headers['content-disposition'], 'attachment; filename="files.csv"')
  t.equal(
    answer.body,
    'prefix,prefix_entered,description,price_per_minute,connection_fee,minimum_seconds,increment_seconds,' +
      'grace_seconds,minimum_cost,maximum_cost,valid_from,valid_to,rounding_mode,rounding_decimals\r\n' +
      "*,*,'=A1,1.00,0.00,0,0,0,,,,,half_up,2\r\n",
  )
  await ask(t, 404, 'GET', '/v1/decks/nobody/rates/export')
  await ask(t, 400, 'GET', '/v1/decks/files/rates/export?a=b')
})

/** A request over a socket, whose body the test writes, and whose answer it reads, as it likes. */
async function openRequest(t: Test, method: string, path: string) {
  if (!api.app.server.listening) await api.app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = api.app.server.address() as AddressInfo
  const request = httpRequest({
    ...{ port, host: '127.0.0.1', method, path },
    headers: { authorization: `Bearer ${api.adminKey}`, ...(method === 'POST' && csv) },
  })
  request.on('error', () => undefined)
  t.teardown(() => request.destroy())
  return request
}

const idleUploads = async () =>
  (
    await pool.query(`SELECT FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY imported_rates%'
      AND state = 'active'`)
  ).rowCount ?? 0

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds()));
}

t.test(
  'no more imports run at once than there are connections for, and one whose client goes leaves nothing',
  async (t) => {
    const before = await rows()
    const uploads = await Promise.all(
      [1, 2].map(() => openRequest(t, 'POST', '/v1/decks/files/rates/import?mode=replace')),
    )
    for (const one of uploads) one.write('prefix,price_per_minute\n1,1\n')
    await until(async () => (await idleUploads()) === 2)
    const refused = await upload(t, 503, 'prefix,price_per_minute\n1,1\n')
    t.match([refused.headers['retry-after'], refused.json().type], ['10', 'urn:linger:problem:busy'])
    await ask(t, 200, 'GET', '/v1/decks/files')
    for (const one of uploads) one.destroy()
    await until(async () => (await idleUploads()) === 0)
    t.strictSame(await rows(), before)
    // Its turn is over a moment after its connection to PostgreSQL is.
    await until(
      async () =>
        (
          await api.ask(t, 'POST', '/v1/decks/files/rates/import', {
            body: 'prefix,price_per_minute\n1,1\n',
            headers: csv,
          })
        ).status === 200,
    )
  },
)

t.test('a client that leaves an export in the middle keeps nobody else from it', async (t) => {
  await pool.query(`INSERT INTO rates (deck_id, prefix, prefix_entered, description, price_per_minute)
    SELECT 'large', n::text, n::text, repeat('x', 500), 1 FROM generate_series(100001, 140000) AS n`)
  for (let round = 0; round < 6; round++) {
    const request = await openRequest(t, 'GET', '/v1/decks/large/rates/export')
    request.end()
    const [answer] = (await once(request, 'response')) as [NodeJS.ReadableStream & { destroy: () => void }]
    await once(answer, 'data')
    answer.destroy()
    await until(async () => {
      const { rowCount } = await pool.query(`SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND query LIKE 'COPY (SELECT%' AND state = 'active' AND pid <> pg_backend_pid()`)
      return rowCount === 0
    })
  }
  const all = await ask(t, 200, 'GET', '/v1/decks/large/rates/export')
  t.equal(all.body.split('\r\n').length, 40_002)
})

/** The same API, which waits for files as it is told. */
async function impatient(t: Test, uploads: UploadLimits) {
  const app = await buildAdmin({ ...api.dependencies, uploads })
  t.teardown(() => app.close())
  await app.listen({ port: 0, host: '127.0.0.1' })
  return app
}

t.test(
  'a file of which nothing comes any more is given up, and what is too large is not taken',
  async (t) => {
    const before = await rows()
    const url = '/v1/decks/files/rates/import'
    const file = 'prefix,price_per_minute\n1,1\n'
    const cases = [
      [408, { idleMs: 100 }, { 'content-length': '1000' }],
      [413, { mostBytes: 10 }, { 'content-length': String(file.length) }],
      [413, { mostBytes: 10 }, { 'transfer-encoding': 'chunked' }],
    ] as const
    for (const [status, limits, headers] of cases) {
      const app = await impatient(t, limits)
      const { port } = app.server.address() as AddressInfo
      const request = httpRequest({
        ...{ port, host: '127.0.0.1', method: 'POST', path: url },
        headers: { authorization: `Bearer ${api.adminKey}`, ...csv, ...headers },
      })
      request.on('error', () => undefined)
      request.write(file)
      const [answer] = (await once(request, 'response')) as [IncomingMessage]
      const body = (await answer.toArray()).join('')
      t.equal(answer.statusCode, status, body)
      t.equal(answer.headers.connection, 'close')
      const answered = { statusCode: status, headers: answer.headers, body }
      t.strictSame(api.contract.faults('POST', url, answered as LightMyRequestResponse), [])
    }
    t.strictSame(await rows(), before)
  },
)

t.test('PostgreSQL away: an export says so before it begins', async (t) => {
  await api.databaseLine.cut()
  await ask(t, 503, 'GET', '/v1/decks/large/rates/export')
  await upload(t, 503, 'prefix,price_per_minute\n1,1\n')
  await api.databaseLine.mend()
})

t.test('its answers were all seen', async (t) => {
  const unseen = api.contract.unseen().filter((answer) => /^(import|export)Rates /.test(answer))
  t.strictSame(
    unseen.filter((answer) => !/ (401|403|429|503)$/.test(answer)),
    [],
  )
})
