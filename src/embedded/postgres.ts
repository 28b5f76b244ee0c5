import { existsSync, readFileSync } from 'node:fs'
import { chown, mkdir, realpath, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import pg from 'pg'
import type { Logger } from 'pino'
import type { Child, Launch } from './child.js'
import { runToEnd, startServerProcess } from './child.js'
import { ServiceError } from './errors.js'
import { keptPassword, readIfThere } from './files.js'
import type { Binaries } from './postgres-binaries.js'
import { findPostgres } from './postgres-binaries.js'
import type { Identity } from './privileges.js'
import { NOBODY, ownProcess } from './privileges.js'
import { commandLine, waitUntil } from './processes.js'
import type { Supervised } from './supervisor.js'
import { onFreePort, supervise } from './supervisor.js'

const USER = 'linger'
const DATABASE = 'linger'

/** An orderly end writes what is in memory to the disk, which may take a while on a slow one. */
const STOP_MS = 60_000

export interface EmbeddedPostgresOptions {
  /** Everything is kept in its folder `postgres`: the data, the password, the port. */
  dataDir: string
  log: Logger
  /** Settings of the server besides ours, such as `{ fsync: 'off' }` for tests. */
  settings?: Readonly<Record<string, string>>
}

export interface EmbeddedPostgres extends Supervised {
  /** With the password in it. Listens on 127.0.0.1 only. */
  url: string
}

/**
 * Starts the PostgreSQL server that came with npm. The first start makes the database cluster and a password.
 * A server that a killed process left behind is stopped first; one that dies is started again on its port.
 * @throws ServiceError, one line, if it cannot be started
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  try {
    return await start(options)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new ServiceError(`the embedded PostgreSQL cannot be started: ${why}`, { cause: error })
  }
}

async function start({ dataDir, log, settings = {} }: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  // 0711: whom the server runs as passes through to its data; what else lies here is 0600.
  await mkdir(join(dataDir, 'postgres'), { recursive: true, mode: 0o711 })
  const dir = await realpath(join(dataDir, 'postgres'))
  const binaries = await findPostgres(join(dir, 'lib'))
  const password = await keptPassword(join(dir, 'password'))
  const data = join(dir, 'data')
  const identity = await identityFor(data, binaries)
  if ((await readIfThere(join(data, 'PG_VERSION'))) === undefined) {
    log.info({ dir: data }, 'making the database cluster of the embedded PostgreSQL')
    await initialise(data, binaries, password, identity)
  }
  await endLeftOver(data, log)

  const { port, supervised } = await onFreePort(join(dir, 'port'), async (port) => {
    const launch = serverLaunch(data, port, settings, binaries, identity)
    return supervise({
      name: 'the embedded PostgreSQL',
      start: (signal) => startServer(launch, log, signal),
      stopSignal: 'SIGINT',
      abortSignal: 'SIGQUIT',
      stopMs: STOP_MS,
      log,
    })
  })
  const url = `postgres://${USER}:${password}@127.0.0.1:${port}/${DATABASE}`
  try {
    await createDatabase(url)
  } catch (error) {
    await supervised.stop()
    throw error
  }
  return { url, stop: supervised.stop }
}

/**
 * PostgreSQL refuses to run as root. Root runs it as the owner of the data, so that data made by an ordinary
 * user stay that user's, and new ones as nobody.
 */
async function identityFor(data: string, binaries: Binaries): Promise<Identity | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const owner = await stat(data).catch(() => undefined)
  const [uid, gid] = owner && owner.uid !== 0 ? [owner.uid, owner.gid] : [NOBODY, NOBODY]
  const { home, postgres, initdb } = binaries
  return { uid, gid, paths: [dirname(data), postgres, initdb, join(home, 'lib'), join(home, 'share')] }
}

function environment(binaries: Binaries): NodeJS.ProcessEnv {
  // Nothing else is inherited: a PGDATA or PGPORT from outside is not meant for this server.
  return { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC', ...binaries.env }
}

/** Makes the cluster beside its place and moves it there whole, so that a kill in the middle leaves nothing. */
async function initialise(
  data: string,
  binaries: Binaries,
  password: string,
  identity: Identity | undefined,
): Promise<void> {
  const draft = `${data}.new`
  const passwordFile = `${data}.password`
  await rm(draft, { recursive: true, force: true })
  await rm(passwordFile, { force: true })
  await mkdir(draft, { mode: 0o700 })
  await writeFile(passwordFile, password, { mode: 0o600 })
  if (identity) {
    await chown(draft, identity.uid, identity.gid)
    await chown(passwordFile, identity.uid, identity.gid)
  }
  const words = ['-D', draft, '-U', USER, `--pwfile=${passwordFile}`, '--auth=scram-sha-256']
  // The same order of text on every machine, whatever locales it has.
  words.push('--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8')
  const launch = { file: binaries.initdb, args: words, env: environment(binaries) }
  try {
    await runToEnd(ownProcess(launch, 'KILL', identity))
    await rename(draft, data)
  } finally {
    await rm(passwordFile, { force: true })
    await rm(draft, { recursive: true, force: true })
  }
}

function serverLaunch(
  data: string,
  port: number,
  settings: Readonly<Record<string, string>>,
  binaries: Binaries,
  identity: Identity | undefined,
): Launch {
  const all: Record<string, string> = {
    listen_addresses: '127.0.0.1',
    // A socket in /tmp could be made first by somebody else; nobody needs one.
    unix_socket_directories: '',
    logging_collector: 'off',
    log_destination: 'stderr',
    log_line_prefix: '',
    lc_messages: 'C',
    timezone: 'UTC',
    // Statements hold numbers of callers.
    log_min_error_statement: 'panic',
    ...settings,
  }
  const words = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  return ownProcess(
    {
      file: binaries.postgres,
      args: ['-D', data, '-p', String(port), ...words],
      env: environment(binaries),
    },
    // A fast shutdown: what runs is rolled back, what is committed is written.
    'INT',
    identity,
  )
}

/**
 * Starts the server. If its predecessor was killed, that one's own processes may be about to notice, and hold
 * its shared memory for a moment more: PostgreSQL refuses until they have gone.
 */
async function startServer(launch: Launch, log: Logger, signal: AbortSignal): Promise<Child> {
  const isReady = (line: string): boolean => line.includes('database system is ready to accept connections')
  const onLine = (line: string): void => {
    if (/^(WARNING|ERROR|FATAL|PANIC):/.test(line) && !signal.aborted) log.warn({ postgres: line })
    else log.debug({ postgres: line })
  }
  const deadline = Date.now() + 10_000
  for (;;) {
    try {
      return await startServerProcess({ launch, isReady, onLine, signal })
    } catch (error) {
      const isHeld = error instanceof Error && error.message.includes('shared memory block')
      if (!isHeld || signal.aborted || Date.now() > deadline) throw error
    }
  }
}

/** Empty when the file is not there: whoever wrote it may take it away at any moment. */
function textOf(file: string): string {
  try {
    return readFileSync(file, 'latin1')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
}

/**
 * A server that lost its parent is stopping, or (where nothing tells it) still runs. Two on the same data is
 * what PostgreSQL itself prevents by postmaster.pid; but the process id in it may be somebody else's by now.
 */
async function endLeftOver(data: string, log: Logger): Promise<void> {
  const pidFile = join(data, 'postmaster.pid')
  if (!existsSync(pidFile)) return
  const read = (): number => parseInt(textOf(pidFile))
  // Empty: a server was about to write it, and still is or died doing so.
  await waitUntil(() => read() > 0 || !existsSync(pidFile), 2_000)
  const pid = read()
  const isOurs = (): boolean => pid > 0 && `${commandLine(pid)} `.includes(`postgres -D ${data} `)
  if (!isOurs()) {
    await rm(pidFile, { force: true })
    return
  }
  log.warn({ pid }, 'an embedded PostgreSQL of an earlier run is still there, waiting for its end')
  for (const [signal, ms] of [
    ['SIGINT', STOP_MS],
    ['SIGQUIT', 10_000],
  ] as const) {
    kill(pid, signal)
    if (await waitUntil(() => !isOurs(), ms)) return
  }
  throw new ServiceError(`the one of an earlier run (process ${pid}) does not end: look at it, or kill it`)
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EPERM') {
      throw new ServiceError(`the one of an earlier run (process ${pid}) runs as another user: stop it first`)
    }
    if (code !== 'ESRCH') throw error
  }
}

/** Makes our database in a new cluster. That it can be asked also proves the port, the server and the password. */
async function createDatabase(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url.replace(/[^/]*$/, 'postgres') })
  client.on('error', () => undefined)
  await client.connect()
  try {
    const { rowCount } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [DATABASE])
    if (rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE}`)
  } finally {
    await client.end()
  }
}
