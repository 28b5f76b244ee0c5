import { mkdir, readdir, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { CdrFolder } from '../src/switch/cdr-folder.js'
import { unserved } from './support/cdr-documents.js'
import { testLinger } from './support/linger.js'
import { logLines } from './support/log-lines.js'
import { runScript } from './support/script.js'
import { temporaryFolder } from './support/services.js'
import { until } from './support/wire.js'

/** What mod_json_cdr saved because no node took it. */

const settings = { SECOND_SOURCE_SECONDS: '1', SWITCH_AUTH: 'fs:correct-horse' }

/** One server for the stories that need one. */
const savedDir = join(await temporaryFolder(t), 'saved')
await mkdir(savedDir)
const linger = await testLinger(t, { ...settings, CDR_DIR: savedDir })

t.test('what no node took is saved by FreeSWITCH, and taken from its folder', async (t) => {
  const dir = savedDir
  const before = unserved()
  // An unfinished one, which is finished later.
  const { uuid, text } = unserved()
  const file = join(dir, `${uuid}.cdr.json`)
  await writeFile(file, text.slice(0, 4_000))
  await writeFile(join(dir, `${before.uuid}.cdr.json`), `${before.text}\n`)
  await writeFile(join(dir, 'notes.txt'), 'not ours')
  t.match(await linger.cdr(before.uuid), { source: 'json_cdr', tenant: 'demo' })
  await writeFile(file, `${text}\n`)
  t.match(await linger.cdr(uuid), { source: 'json_cdr', tenant: 'demo' })
  t.same((await readdir(dir)).sort(), ['notes.txt', 'taken'])
  t.same((await readdir(join(dir, 'taken'))).sort(), [`${before.uuid}.cdr.json`, `${uuid}.cdr.json`].sort())
})

t.test('a file that is no document is put aside, and one that cannot be kept now stays', async (t) => {
  const dir = await temporaryFolder(t)
  const { log, lines } = logLines()
  const bad = join(dir, 'bad.cdr.json')
  await writeFile(bad, '{"variables":{}}')
  await utimes(bad, new Date(0), new Date(0))
  const good = unserved()
  await writeFile(join(dir, `${good.uuid}.cdr.json`), good.text)
  let asked = 0
  const kept: string[] = []
  const secondSource = {
    receive: ({ uuid }: { uuid: string }) => {
      if (++asked < 3) return Promise.reject(new Error('the journal is full'))
      kept.push(uuid)
      return Promise.resolve()
    },
  }
  const folder = new CdrFolder({ dir, secondSource, log, scanMs: 10 })
  t.teardown(() => folder.close())
  await until(async () => (await readdir(dir)).join() === 'refused,taken')
  t.same(await readdir(join(dir, 'refused')), ['bad.cdr.json'])
  t.same(kept, [good.uuid])
  t.match(
    lines
      .filter(({ level }) => level === 40)
      .map(({ msg }) => msg)
      .sort(),
    ['a saved CDR is none: it is put aside', /cannot be taken/],
  )
  await folder.close()
})

t.test('a folder that is not there yet is looked for', async (t) => {
  const dir = join(await temporaryFolder(t), 'later')
  const { log, lines } = logLines()
  const kept: string[] = []
  const secondSource = {
    receive: ({ uuid }: { uuid: string }) => {
      kept.push(uuid)
      return Promise.resolve()
    },
  }
  const folder = new CdrFolder({ dir, secondSource, log, scanMs: 10 })
  t.teardown(() => folder.close())
  await until(() => lines.some(({ level }) => level === 40))
  await mkdir(dir)
  const { uuid, text } = unserved()
  await writeFile(join(dir, 'partial'), text)
  await writeFile(join(dir, `${uuid}.cdr.json`), text)
  await until(() => kept.includes(uuid))
  await folder.close()
  t.notOk(kept.some((each) => each !== uuid))
})

t.test('import-cdrs posts a folder of them, as often as one likes', async (t) => {
  const dir = await temporaryFolder(t)
  const env = { HTTP_LISTEN: linger.server.httpAddress, ...settings }
  const saved = Array.from({ length: 20 }, unserved)
  for (const { uuid, text } of saved) await writeFile(join(dir, `${uuid}.cdr.json`), `${text}\n`)
  /** How many CDRs each of them has come to. */
  const each = async (): Promise<number[]> => {
    for (const { uuid } of saved) await linger.cdr(uuid)
    const uuids = (await linger.cdrs(saved.length)).map((cdr) => cdr.call_uuid)
    return saved.map(({ uuid }) => uuids.filter((other) => other === uuid).length)
  }
  const once = saved.map(() => 1)
  const ways: [words: string[], env: Record<string, string>][] = [
    [[dir], env],
    [[dir, '--url', `http://${linger.server.httpAddress}`], settings],
  ]
  for (const [words, settings] of ways)
    t.match(await runScript('import-cdrs', words, settings), {
      code: 0,
      err: '',
      out: /^imported: 20 of 20 taken, 0 refused, 0 failed/,
    })
  t.same(await each(), once)
  await writeFile(join(dir, 'bad.json'), '{}')
  const mixed = await runScript('import-cdrs', [dir], env)
  t.match(mixed, { code: 1, err: /^bad\.json: 400: This is no document/, out: /20 of 21 taken, 1 refused/ })
  t.match(await runScript('import-cdrs', [dir], { ...env, SWITCH_AUTH: 'fs:another-horse' }), {
    code: 1,
    out: '',
    err: /^import-cdrs: 401: [^\n]+\n$/,
  })
  t.same(await each(), once)
})

t.test('import-cdrs says in one line what is wrong with how it was called', async (t) => {
  t.match(await runScript('import-cdrs', [], {}), { code: 2, err: /^usage: / })
  t.match(await runScript('import-cdrs', ['--what'], {}), { code: 2, err: /^usage: / })
  const folder = join(await temporaryFolder(t), 'nothing')
  t.match(await runScript('import-cdrs', [folder], {}), { code: 1, err: /^import-cdrs: ENOENT[^\n]+\n$/ })
  t.match(await runScript('import-cdrs', [folder], { HTTP_LISTEN: 'x' }), {
    code: 1,
    err: /^import-cdrs: HTTP_LISTEN[^\n]+\n$/,
  })
})
