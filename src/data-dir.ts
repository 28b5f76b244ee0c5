import { existsSync } from 'node:fs'
import { link, mkdir, readFile, realpath, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { ServiceError } from './embedded/errors.js'
import { startTime } from './embedded/processes.js'

/** The folder of the data, held by this process alone. */
export interface DataDir {
  /** Absolute, without links. */
  path: string
  /** Lets another process have it. */
  release: () => Promise<void>
}

/**
 * Makes the folder of the data if need be and takes it for this process. The lock of a process that was killed
 * counts for nothing: it names a process by id and start time, which together are never given out again.
 * @throws ServiceError, one line, if another process has it or it cannot be written to
 */
export async function holdDataDir(wanted: string): Promise<DataDir> {
  try {
    // As root, PostgreSQL runs as somebody else and must come through; each thing inside guards itself.
    await make(resolve(wanted), process.getuid?.() === 0 ? 0o711 : 0o700)
    const path = await realpath(wanted)
    const lock = join(path, 'lock')
    await take(lock)
    return { path, release: () => rm(lock, { force: true }) }
  } catch (error) {
    if (error instanceof ServiceError) throw error
    throw new ServiceError(`DATA_DIR ${wanted} cannot be used: ${(error as Error).message}`, { cause: error })
  }
}

/** mkdir's own `recursive` never ends where a folder exists that nothing can be made in, such as /proc. */
async function make(path: string, mode: number): Promise<void> {
  if (existsSync(path)) return
  await make(dirname(path), mode)
  await mkdir(path, { mode })
}

async function take(lock: string): Promise<void> {
  const own = `${lock}.${process.pid}`
  await writeFile(own, `${process.pid} ${startTime(process.pid)}\n`, { mode: 0o600 })
  try {
    for (;;) {
      // Of several that link at the same time one succeeds, and a lock is never seen half written.
      if (await linked(own, lock)) return
      const holder = await read(lock)
      if (holder === undefined) continue
      refuseIfAlive(holder, lock)
      // Put aside before it is removed: between our look and now another process may have done the same and
      // taken the lock; then it is that one's which was put aside, and goes back.
      const aside = `${own}.stale`
      await rename(lock, aside).catch(ignoreMissing)
      const moved = await read(aside)
      if (moved !== undefined && moved !== holder) {
        await linked(aside, lock)
        refuseIfAlive(moved, lock)
      }
      await rm(aside, { force: true })
    }
  } finally {
    await rm(own, { force: true })
  }
}

function refuseIfAlive(holder: string, lock: string): void {
  const [, pid = '', started] = /^(\d+) (.+)\n$/.exec(holder) ?? []
  if (started === undefined || startTime(Number(pid)) !== started) return
  throw new ServiceError(
    `another Linger (process ${pid}) runs on this data (${lock}): stop it, or give this one a DATA_DIR of its own`,
  )
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

async function read(file: string): Promise<string | undefined> {
  return readFile(file, 'utf8').catch(ignoreMissing)
}

function ignoreMissing(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
}
