import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { pino } from 'pino'
import type { Test } from 'tap'
import t from 'tap'
import { decodeRecord } from '../src/journal/entry.js'
import { Journal } from '../src/journal/journal.js'
import { temporaryFolder } from './support/services.js'

const script = fileURLToPath(new URL('support/journal-process.js', import.meta.url))
const log = pino({ level: 'silent' })

interface Other {
  readonly child: ChildProcess
  /** What it said, by the first word. */
  readonly said: Map<string, string[]>
  /** Resolves when it says something that begins with this word. */
  until(word: string): Promise<string>
  /** Resolves at its next line. */
  next(): Promise<unknown>
  kill(): Promise<void>
}

/** @param fileBlocks how large its files may be, in blocks of 512 bytes */
function other(t: Pick<Test, 'teardown'>, dir: string, task = '', fileBlocks?: number): Other {
  const limit = fileBlocks === undefined ? '' : `ulimit -f ${fileBlocks} &&`
  // Without the test runner's loader, which ends a process at the signal that tells of the limit; Node ignores it.
  const command = `unset NODE_OPTIONS; ${limit} exec "$@"`
  const child = spawn('sh', ['-c', command, 'sh', process.execPath, script, dir, task], {
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  const said = new Map<string, string[]>()
  const lines = createInterface(child.stdout)
  lines.on('line', (line) => {
    const [, word = '', about = ''] = /^(\S+) (.*)$/.exec(line) ?? []
    const before = said.get(word)
    if (before) before.push(about)
    else said.set(word, [about])
    lines.emit(`word ${word}`, about)
  })
  const ended = Promise.all([once(child, 'exit'), once(lines, 'close')])
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL')
    await ended
  }
  t.teardown(kill)
  return {
    child,
    said,
    until: async (word) => {
      const heard = said.get(word)?.[0]
      if (heard !== undefined) return heard
      const failed = once(lines, 'word failed').then(([why]) => Promise.reject(new Error(String(why))))
      const gone = ended.then(() => Promise.reject(new Error(`ended before it said ${word}`)))
      const [about] = (await Promise.race([once(lines, `word ${word}`), failed, gone])) as [string]
      return about
    },
    next: () => once(lines, 'line'),
    kill,
  }
}

function uuidsOf(journal: Journal): string[] {
  return journal.read(1_000_000).map(({ text }) => decodeRecord(text).callUuid)
}

t.test('a process that is killed at any moment has lost nothing that it was told is kept', async (t) => {
  const dir = await temporaryFolder(t)
  const kept = new Set<string>()
  for (let round = 0; round < 4; round++) {
    const writer = other(t, dir, 'calls')
    await writer.until('kept')
    // At any line, which is at any point of a transaction.
    const last = Math.floor(Math.random() * 1_000)
    while ((writer.said.get('kept')?.length ?? 0) < last) await writer.next()
    await writer.kill()
    for (const uuid of writer.said.get('kept') ?? []) kept.add(uuid)

    const journal = await Journal.open({ dir, log })
    const found = uuidsOf(journal)
    t.equal(new Set(found).size, found.length, 'each once')
    const recorded = new Set(found)
    const known = new Set(found)
    t.ok([...kept].every((uuid) => known.has(uuid)))
    for (const { uuid, data } of journal.openCalls()) {
      t.notOk(known.has(uuid), 'a call is open or over')
      t.same(data, { number: 42 })
      known.add(uuid)
    }
    // What was told of a leg is there until its call's record is, and not with it.
    const told = new Set<string>()
    for (const { callUuid, legUuid, text } of journal.documents()) {
      t.notOk(recorded.has(callUuid), 'a document goes with the record')
      t.same([legUuid, text], ['leg', callUuid])
      told.add(callUuid)
    }
    t.ok(
      writer.said.get('told')?.every((uuid) => recorded.has(uuid) !== told.has(uuid)),
      'no document that was kept is lost',
    )
    t.ok(
      writer.said.get('open')?.every((uuid) => known.has(uuid)),
      'no call that was opened is unknown',
    )
    await journal.close()
  }
  t.ok(kept.size > 0)
})

t.test('a second process on the same journal is refused, until the first one is gone', async (t) => {
  const dir = await temporaryFolder(t)
  const first = other(t, dir)
  await first.until('held')
  t.equal((await stat(dir)).mode & 0o777, 0o700, 'nobody else can read it')
  await t.rejects(Journal.open({ dir, log }), {
    name: 'JournalError',
    code: 'held',
    message: `another Linger (process ${first.child.pid}) has the journal in ${dir}`,
  })
  await first.kill()
  const journal = await Journal.open({ dir, log })
  await t.rejects(other(t, dir).until('held'), { message: /^JournalError: another Linger/ })
  await journal.close()
  await other(t, dir).until('held')
})

t.test('a folder that cannot be used is named in one line', async (t) => {
  const dir = join(await temporaryFolder(t), 'file')
  await writeFile(dir, '')
  await t.rejects(Journal.open({ dir, log }), {
    message: new RegExp(`^the journal in ${dir} cannot be used: .+$`),
  })
})

t.test(
  'a full disk: new calls are refused, records in hand are kept, what is delivered makes room',
  async (t) => {
    const dir = await temporaryFolder(t)
    // 3 MiB, of which the journal sets one aside.
    const writer = other(t, dir, 'full', 6_144)
    t.match(await writer.until('full'), /^no space is left for the journal: EFBIG/)
    t.match(await writer.until('refused'), 'JournalError: no space is left')
    t.match(await writer.until('unheard'), 'JournalError: no space is left', 'the switch keeps it itself')
    t.equal(await writer.until('documents'), '0', 'what was told before went with its record')
    t.ok(Number(await writer.until('refusals')) > 50, 'records of refusals find room as well, at first')
    t.ok(
      Number(await writer.until('waits')) > 200,
      'records of calls find room that those of refusals do not',
    )
    await writer.until('goes')
    await writer.kill()
    t.equal((await stat(join(dir, 'data.mdb'))).size, 3 * 2 ** 20)

    const journal = await Journal.open({ dir, log })
    t.notOk(journal.isFull, 'there is space again')
    const found = new Set([...uuidsOf(journal), ...(writer.said.get('delivered') ?? [])])
    const kept = writer.said.get('kept') ?? []
    t.ok(kept.length > 1_000, `${kept.length} records`)
    t.ok(kept.every((uuid) => found.has(uuid)))
    t.same(
      [...journal.documents()],
      [{ callUuid: 'told later', legUuid: 'leg', text: '{}' }],
      'it is taken when there is space again',
    )
    await journal.close()
  },
)

t.test('a process that is killed while the disk is full has lost nothing either', async (t) => {
  const dir = await temporaryFolder(t)
  const writer = other(t, dir, 'full', 6_144)
  await writer.until('refusals')
  await writer.kill()
  // The disk is still full at the start.
  const next = other(t, dir, 'full', 6_144)
  t.match(await next.until('full'), 'EFBIG')
  await next.kill()
  const journal = await Journal.open({ dir, log })
  const found = new Set(uuidsOf(journal))
  t.ok(writer.said.get('kept')?.every((uuid) => found.has(uuid)))
  await journal.close()
})

t.test('a record that the disk cannot take does not hold up the others', async (t) => {
  const dir = await temporaryFolder(t)
  const writer = other(t, dir, 'huge', 6_144)
  await writer.until('goes')
  await writer.kill()
  const journal = await Journal.open({ dir, log })
  t.same(new Set(uuidsOf(journal)), new Set(writer.said.get('kept')))
  await journal.close()
})
