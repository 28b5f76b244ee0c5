import { mkdir, readdir, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { RecordingTemplate } from '../src/call/recording/recording-template.js'
import { RecordingsRetention } from '../src/call/recording/recordings-retention.js'
import { temporaryFolder } from './support/services.js'

/** The end of old recordings, in a folder that holds other things too. */

const dayMs = 86_400_000
const today = Date.UTC(2026, 10, 21)
const template = RecordingTemplate.parse('{tenant}/{yyyy}/{mm}/{dd}/{call_uuid}.wav')!

/** @param days before today */
async function age(path: string, days: number): Promise<void> {
  const at = new Date(today - days * dayMs)
  await utimes(path, at, at)
}

/** Files by their age in days; their folders are as old as the youngest thing that was done in them. */
async function folderWith(t: Test, files: Readonly<Record<string, number>>): Promise<string> {
  const dir = await temporaryFolder(t)
  const ages = new Map<string, number>()
  for (const [name, days] of Object.entries(files)) {
    const path = join(dir, name)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, 'RIFF')
    await age(path, days)
    for (let folder = dirname(path); folder !== dir; folder = dirname(folder))
      ages.set(folder, Math.min(days, ages.get(folder) ?? Infinity))
  }
  for (const [folder, days] of ages) await age(folder, days)
  return dir
}

function retention(dir: string, days = 30): RecordingsRetention {
  return new RecordingsRetention({ dir, template, days, log: pino({ level: 'silent' }), now: () => today })
}

async function left(dir: string): Promise<string[]> {
  return (await readdir(dir, { recursive: true })).sort()
}

t.test('what is older than its days goes, with the folders that are empty then', async (t) => {
  const dir = await folderWith(t, {
    'acme/2026/09/01/aaaa.wav': 81,
    'acme/2026/09/01/aaaa-2.wav': 81,
    'acme/2026/10/21/bbbb.wav': 31,
    'acme/2026/10/22/cccc.wav': 29,
    'demo/2026/08/01/dddd.wav': 112,
  })
  t.same(await retention(dir).sweep(), { files: 4, folders: 7 })
  t.same(await left(dir), [
    'acme',
    'acme/2026',
    'acme/2026/10',
    'acme/2026/10/22',
    'acme/2026/10/22/cccc.wav',
  ])
  t.same(await retention(dir).sweep(), { files: 0, folders: 0 })
})

t.test('what does not look like a recording stays, however old it is', async (t) => {
  const others = [
    'acme/2026/01/01/notes.txt',
    'acme/2026/01/01/aaaa.mp3',
    'acme/2026/01/01/.aaaa.wav',
    'acme/2026/01/aaaa.wav',
    'acme/2026/1/01/aaaa.wav',
    'acme/2026/01/01/deeper/aaaa.wav',
    'aaaa.wav',
    'music on hold/2026/01/01/aaaa.wav',
  ]
  const dir = await folderWith(t, Object.fromEntries(others.map((name) => [name, 1000])))
  const before = await left(dir)
  t.same(await retention(dir).sweep(), { files: 0, folders: 0 })
  t.same(await left(dir), before)
})

t.test('no link is followed, and none is removed', async (t) => {
  const outside = await folderWith(t, { '2026/01/01/aaaa.wav': 1000, 'bbbb.wav': 1000 })
  const dir = await folderWith(t, { 'acme/2026/01/01/cccc.wav': 1000 })
  await symlink(outside, join(dir, 'other'))
  await symlink(join(outside, 'bbbb.wav'), join(dir, 'acme/2026/01/01/dddd.wav'))
  await age(join(dir, 'acme/2026/01/01'), 1000)
  t.same(await retention(dir).sweep(), { files: 1, folders: 0 })
  t.same(await left(outside), ['2026', '2026/01', '2026/01/01', '2026/01/01/aaaa.wav', 'bbbb.wav'])
  t.ok(await stat(join(dir, 'acme/2026/01/01/dddd.wav')))
})

t.test(
  'a folder in which something was done lately stays: the switch may be about to write there',
  async (t) => {
    const dir = await folderWith(t, { 'acme/2026/01/01/aaaa.wav': 1000 })
    await age(join(dir, 'acme'), 1)
    t.same(await retention(dir).sweep(), { files: 1, folders: 3 })
    t.same(await left(dir), ['acme'])
  },
)

t.test('several nodes may do it at once', async (t) => {
  const files = Array.from({ length: 200 }, (_, i) => [
    `acme/2026/01/${String(i % 28).padStart(2, '0')}/${i}.wav`,
    99,
  ])
  const dir = await folderWith(t, Object.fromEntries(files) as Record<string, number>)
  const removed = await Promise.all([1, 2, 3].map(() => retention(dir).sweep()))
  t.equal(
    removed.reduce((sum, { files }) => sum + files, 0),
    200,
  )
  t.same(await left(dir), [])
})

t.test('a machine that does not see the folder does nothing', async (t) => {
  const dir = await temporaryFolder(t)
  t.same(await retention(join(dir, 'not-here')).sweep(), { files: 0, folders: 0 })
  await writeFile(join(dir, 'file'), '')
  t.same(await retention(join(dir, 'file')).sweep(), { files: 0, folders: 0 })
})

t.test('the folder itself may be a link', async (t) => {
  const dir = await folderWith(t, { 'acme/2026/01/01/aaaa.wav': 1000 })
  const link = join(await temporaryFolder(t), 'recordings')
  await symlink(dir, link)
  t.same(await retention(link).sweep(), { files: 1, folders: 4 })
})

t.test('it begins with the server and ends with it', async (t) => {
  const dir = await folderWith(t, { 'acme/2026/01/01/aaaa.wav': 1000, 'acme/2026/11/20/bbbb.wav': 1 })
  const said = await new Promise((resolve) => {
    const log = pino(
      { level: 'info' },
      {
        write: (line) => {
          resolve(JSON.parse(line))
        },
      },
    )
    const job = new RecordingsRetention({ dir, template, days: 30, log, now: () => today })
    t.teardown(() => job.close())
    job.start()
  })
  t.match(said, { msg: 'old recordings were removed', files: 1, folders: 2 })
  t.ok(await stat(join(dir, 'acme/2026/11/20/bbbb.wav')))
})
