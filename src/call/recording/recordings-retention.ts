import { lstat, opendir, rmdir, stat, unlink } from 'node:fs/promises'
import type { Stats } from 'node:fs'
import { join } from 'node:path'
import type { Logger } from 'pino'
import type { RecordingTemplate } from './recording-template.js'

export interface RetentionOptions {
  /** RECORDINGS_DIR; on a machine that does not see it, nothing is done. */
  readonly dir: string
  readonly template: RecordingTemplate
  readonly days: number
  readonly log: Logger
  /** ms since 1970. */
  readonly now?: () => number
}

/** What one sweep has removed. */
interface Removed {
  files: number
  folders: number
}

const dayMs = 86_400_000
const everyMs = 6 * 60 * 60 * 1000

/**
 * Removes recordings that are old enough, and the folders that are empty then. Only what is named as recordings are,
 * and no link in it is followed: the folder may hold other things. One file after the other, so that the disk and the calls
 * hardly notice; several nodes may do it in the same folder.
 */
export class RecordingsRetention {
  readonly #options: RetentionOptions
  readonly #stop = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #running: Promise<unknown> | undefined

  constructor(options: RetentionOptions) {
    this.#options = options
  }

  /** Sweeps at once, and then again and again. */
  start(): void {
    this.#begin()
    this.#timer = setInterval(() => {
      this.#begin()
    }, everyMs).unref()
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    this.#stop.abort()
    await this.#running
  }

  async sweep(): Promise<Removed> {
    const { dir, days, now = Date.now } = this.#options
    const removed: Removed = { files: 0, folders: 0 }
    const before = now() - days * dayMs
    // Itself it may be a link, which somebody has named on purpose.
    if ((await stat(dir).catch(ignoreGone))?.isDirectory()) await this.#sweepFolder(dir, 0, before, removed)
    return removed
  }

  #begin(): void {
    const { log } = this.#options
    this.#running ??= this.sweep()
      .then((removed) => {
        if (removed.files > 0) log.info(removed, 'old recordings were removed')
      })
      .catch((error: unknown) => {
        log.warn({ err: error }, 'old recordings were not all removed; trying again')
      })
      .finally(() => {
        this.#running = undefined
      })
  }

  /** @param before ms since 1970: what was written last before it is old */
  async #sweepFolder(folder: string, depth: number, before: number, removed: Removed): Promise<void> {
    const { template } = this.#options
    const entries = await opendir(folder).catch(ignoreGone)
    if (entries === undefined) return
    for await (const entry of entries) {
      if (this.#stop.signal.aborted) return
      if (!template.matches(entry.name, depth)) continue
      const path = join(folder, entry.name)
      if (depth === template.depth) await removeFile(path, before, removed)
      else await this.#sweepBelow(path, depth + 1, before, removed)
    }
  }

  async #sweepBelow(folder: string, depth: number, before: number, removed: Removed): Promise<void> {
    // Looked at first: what is removed from it changes its time. A link is none.
    const found = await lstat(folder).catch(ignoreGone)
    if (!found?.isDirectory()) return
    await this.#sweepFolder(folder, depth, before, removed)
    // In a younger one the switch may be about to make a file.
    if (isOlder(found, before) && (await done(rmdir(folder)))) removed.folders++
  }
}

async function removeFile(path: string, before: number, removed: Removed): Promise<void> {
  const found = await lstat(path).catch(ignoreGone)
  if (found?.isFile() && isOlder(found, before) && (await done(unlink(path)))) removed.files++
}

function isOlder({ mtimeMs }: Stats, before: number): boolean {
  return mtimeMs < before
}

/** Whether it was done here, and not by another node. */
async function done(removal: Promise<void>): Promise<boolean> {
  try {
    await removal
    return true
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ENOTEMPTY', 'EEXIST')) return false
    throw error
  }
}

function ignoreGone(error: unknown): undefined {
  if (!isCode(error, 'ENOENT', 'ENOTDIR')) throw error
}

function isCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code))
}
