import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { open } from 'lmdb'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { decodeRecord, encodeRecord } from '../src/journal/entry.js'
import { Feeder } from '../src/journal/feeder.js'
import { Journal, journalFolder } from '../src/journal/journal.js'
import { exportJournal, importJournal } from '../src/journal/transfer.js'
import { booksOf, makeTenants, paidCall, unansweredCall } from './support/call-records.js'
import { temporaryFolder, testDatabase } from './support/services.js'

const log = pino({ level: 'silent' })
const { pool } = await testDatabase(t)

async function testJournal(t: Pick<Test, 'teardown'>, dir: string): Promise<Journal> {
  const journal = await Journal.open({ dir, log, reserveBytes: 2 ** 20 })
  t.teardown(() => journal.close())
  return journal
}

/** What `npm run journal:export` and `journal:import` run. */
async function run(command: 'export' | 'import', dataDir: string, ...words: string[]) {
  const script = fileURLToPath(new URL(`../scripts/journal-${command}.js`, import.meta.url))
  const child = spawn(process.execPath, [script, ...words], {
    // Not where a developer's .env is.
    cwd: dataDir,
    env: { ...process.env, DATA_DIR: dataDir },
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  const [code] = (await once(child, 'close')) as [number]
  return { code, output }
}

function records(journal: Journal) {
  return journal.read(10_000).map(({ text }) => decodeRecord(text))
}

t.test('what a machine had goes to another one, while both servers run', async (t) => {
  const [here, there] = [await temporaryFolder(t), await temporaryFolder(t)]
  const file = join(here, 'journal.ndjson')
  const journal = await testJournal(t, journalFolder(here))
  const calls = Array.from({ length: 1_200 }, () => paidCall(60_000, { callerName: 'É\u2028"\n' }))
  await Promise.all(calls.map((call) => journal.append(call)))
  await Promise.all([journal.openCall('talking', { tenant: 'demo' }), journal.openCall('over', {})])
  const [poison] = journal.read(1)
  await journal.setAside(poison!, 'it is poison')
  await Promise.all(
    ['caller', 'called'].map((leg) => journal.keepDocument('talking', leg, `\u2028<${leg}/>\n`)),
  )
  for (const text of ['it rings', 'É\u2028"\n']) journal.events.add(text)
  await journal.append(unansweredCall({ callUuid: 'quick' }), ['it is over'])

  t.same(await run('export', here, file), {
    code: 0,
    output: `exported: 1200 records, 2 open calls, 2 documents of legs, 1 set aside, 3 events (${journalFolder(here)})\n`,
  })
  t.equal((await stat(file)).mode & 0o777, 0o600, 'nobody else can read it')
  t.notMatch(await readdir(here), /partial/)
  const lines = (await readFile(file, 'utf8')).trimEnd().split('\n')
  t.equal(lines.length, 1 + 1_208 + 1)
  t.match(JSON.parse(lines[0]!), { kind: 'header', format: 'linger-journal', v: 3 })
  t.match(JSON.parse(lines.at(-1)!), { kind: 'end', entries: 1_208, sha256: /^[0-9a-f]{64}$/ })

  const heir = await testJournal(t, journalFolder(there))
  const own = unansweredCall()
  await Promise.all([heir.append(own), heir.openCall('over', {})])
  await heir.append(unansweredCall({ callUuid: 'over' }))
  const imported = `imported: 1200 records, 2 open calls, 2 documents of legs, 1 set aside, 3 events (${journalFolder(there)})\n`
  t.same(await run('import', there, file), { code: 0, output: imported })
  t.same(await run('import', there, file), { code: 0, output: imported })
  t.equal(heir.pending, 1_200 + 2, 'a second time nothing is added')
  t.same(
    heir.events.read(10).map(({ text }) => text),
    ['it rings', 'É\u2028"\n', 'it is over'],
  )
  const uuids = new Set(records(heir).map(({ callUuid }) => callUuid))
  t.ok(calls.slice(1).every(({ callUuid }) => uuids.has(callUuid)))
  t.match(heir.readAside(10), [{ reason: 'it is poison', entry: poison!.text }])
  t.match(heir.openCalls(), [{ uuid: 'over' }, { uuid: 'talking', data: { tenant: 'demo' } }])
  t.same(heir.documentsOf('talking'), [
    { callUuid: 'talking', legUuid: 'called', text: '\u2028<called/>\n' },
    { callUuid: 'talking', legUuid: 'caller', text: '\u2028<caller/>\n' },
  ])
  // Of those that another process has put there a running server learns when it looks.
  await heir.dropCall('talking')
  t.same([...heir.documents()], [])
})

t.test('what moves between the shelves during an export is in it all the same', async (t) => {
  const folder = await temporaryFolder(t)
  const file = join(folder, 'journal.ndjson')
  const journal = await testJournal(t, journalFolder(folder))
  await Promise.all(Array.from({ length: 6_000 }, () => journal.append(paidCall(60_000))))
  const [oldest, ...others] = journal.read(6_000)
  await journal.setAside(oldest!, 'it is poison')
  const over = new AbortController()
  const exported = exportJournal(journalFolder(folder), file).finally(() => {
    over.abort()
  })
  const partial = `${file}.${process.pid}.partial`
  const sizeOf = () =>
    stat(partial).then(
      ({ size }) => size,
      () => 0,
    )
  // Some of the records are written by then, the others are not.
  while (!over.signal.aborted && (await sizeOf()) < 2 ** 20);
  await journal.retryAside()
  await journal.setAside(others.at(-1)!, 'it is poison, too')
  await exported
  const lines = (await readFile(file, 'utf8')).trimEnd().split('\n')
  const keys = new Set(lines.map((line) => (JSON.parse(line) as { key?: string }).key))
  t.ok(keys.has(oldest!.key), 'one that is due again')
  t.ok(
    others.every(({ key }) => keys.has(key)),
    'one that was set aside meanwhile',
  )
})

t.test('a call that goes on here is remembered as it is here', async (t) => {
  const [here, there] = [await temporaryFolder(t), await temporaryFolder(t)]
  const file = join(here, 'journal.ndjson')
  const journal = await testJournal(t, journalFolder(here))
  await Promise.all([journal.openCall('taken over', { legs: 1 }), journal.openCall('cut off', { legs: 1 })])
  t.match(await run('export', here, file), { code: 0 })
  const heir = await testJournal(t, journalFolder(there))
  await heir.openCall('taken over', { legs: 2 })
  t.match(await run('import', there, file), { code: 0 })
  t.same(heir.openCalls(), [
    { uuid: 'cut off', data: { legs: 1 } },
    { uuid: 'taken over', data: { legs: 2 } },
  ])
})

t.test('a record that is imported takes away what was told of its call, and no more', async (t) => {
  const [here, there] = [await temporaryFolder(t), await temporaryFolder(t)]
  const file = join(here, 'journal.ndjson')
  const journal = await testJournal(t, journalFolder(here))
  await Promise.all([
    journal.append(unansweredCall({ callUuid: 'over' })),
    journal.append(unansweredCall({ callUuid: 'over there' })),
  ])
  // Told after the record; and one whose record another node has, here told of as well.
  await Promise.all([
    journal.keepDocument('over', 'late', 'from here'),
    journal.keepDocument('open', 'leg', 'from here'),
    journal.keepDocument('open', 'other leg', 'from here'),
  ])
  t.match(await run('export', here, file), { code: 0 })
  const heir = await testJournal(t, journalFolder(there))
  await Promise.all([
    heir.openCall('over there', {}),
    heir.keepDocument('over there', 'leg', 'from there'),
    heir.keepDocument('open', 'leg', 'from there'),
  ])
  t.match(await run('import', there, file), { code: 0 })
  t.equal(heir.pending, 2)
  t.same(heir.openCalls(), [])
  t.same(
    [...heir.documents()],
    [
      { callUuid: 'open', legUuid: 'leg', text: 'from there' },
      { callUuid: 'open', legUuid: 'other leg', text: 'from here' },
    ],
  )
})

t.test('a journal and an export of a release that kept no documents are read', async (t) => {
  const [here, there] = [await temporaryFolder(t), await temporaryFolder(t)]
  const dir = journalFolder(here)
  await mkdir(dir, { recursive: true })
  const root = open<string, string>({ path: dir, noSubdir: false, encoding: 'string', pageSize: 8_192 })
  for (const shelf of ['records', 'open', 'aside', 'meta']) root.openDB(shelf, { encoding: 'string' })
  const call = unansweredCall()
  await root
    .openDB<string, string>('records', { encoding: 'string' })
    .put('0000000000000001-old', encodeRecord(call))
  await root.close()
  const file = join(here, 'journal.ndjson')
  t.same(await run('export', here, file), {
    code: 0,
    output: `exported: 1 records, 0 open calls, 0 documents of legs, 0 set aside, 0 events (${dir})\n`,
  })
  const lines = (await readFile(file, 'utf8')).replace('"v":3', '"v":1').split('\n').slice(0, 2)
  const sha256 = createHash('sha256')
    .update(`${lines.join('\n')}\n`)
    .digest('hex')
  await writeFile(file, [...lines, JSON.stringify({ kind: 'end', entries: 1, sha256 }), ''].join('\n'))
  t.match(await run('import', there, file), { code: 0, output: /^imported: 1 records/ })
  t.same(records(await testJournal(t, journalFolder(there))), [call])
  t.same(records(await testJournal(t, dir)), [call])
})

t.test('imported where no server runs, and again after it was delivered: billed once', async (t) => {
  const [tenant] = await makeTenants(pool, 'heir', 1)
  const [here, there] = [await temporaryFolder(t), await temporaryFolder(t)]
  const file = join(here, 'journal.ndjson')
  const journal = await testJournal(t, journalFolder(here))
  const calls = Array.from({ length: 50 }, () => paidCall(60_000, { tenant: tenant! }))
  await Promise.all(calls.map((call) => journal.append(call)))
  await journal.close()
  t.match(await run('export', here, file), { code: 0 })
  for (let round = 0; round < 2; round++) {
    t.match(await run('import', there, file), { code: 0 })
    const heir = await testJournal(t, journalFolder(there))
    t.equal(heir.pending, 50)
    const feeder = new Feeder({ journal: heir, pool, log })
    t.ok(await feeder.drain())
    await feeder.close()
    await heir.close()
  }
  t.match(await booksOf(pool, tenant!), { calls: 50, balance: '-25000.000000', ledger: '-25000.000000' })
})

t.test('a file that is not whole changes nothing', async (t) => {
  const dir = await temporaryFolder(t)
  const file = join(dir, 'journal.ndjson')
  const journal = await testJournal(t, journalFolder(dir))
  await Promise.all(Array.from({ length: 10 }, () => journal.append(paidCall(60_000))))
  await run('export', dir, file)
  const text = await readFile(file, 'utf8')
  const heir = await temporaryFolder(t)
  const damaged: Record<string, [string, RegExp]> = {
    'half a line': [text.slice(0, text.length >> 1), /is no export of a journal, or damaged/],
    'no end': [text.slice(0, text.lastIndexOf('{')), /is cut off/],
    'a line less': [text.replace(/^\{"kind":"records".*\n/m, ''), /its checksum is wrong/],
    'another digit': [text.replace(/billedMs\\":6/, 'billedMs\\":7'), /its checksum is wrong/],
    'something behind it': [`${text}{"kind":"records","key":"a","entry":"{}"}\n`, /goes on behind its end/],
    'a newer version': [
      text.replace('"v":3', '"v":4').replace('"kind":"records"', '"kind":"letters"'),
      /is of version 4, which this release does not know/,
    ],
    'something else': ['hello\n', /is no export of a journal/],
    nothing: ['', /is no export of a journal/],
  }
  for (const [name, [content, message]] of Object.entries(damaged)) {
    await writeFile(file, content)
    await t.rejects(importJournal(join(heir, 'journal'), file), { code: 'unreadable', message }, name)
  }
  t.same(await readdir(heir), [])
})

t.test('what cannot be done is said in one line', async (t) => {
  const dir = await temporaryFolder(t)
  const file = join(dir, 'journal.ndjson')
  t.same(await run('export', dir, file), {
    code: 1,
    output: `journal:export: no journal is in ${journalFolder(dir)}\n`,
  })
  t.match(await run('import', dir, file), { code: 1, output: /^journal:import: ENOENT.*\n$/ })
  t.match(await run('export', dir), { code: 2, output: 'usage: npm run journal:export -- FILE\n' })
})
