import { watch, type FSWatcher } from 'node:fs'
import { mkdir, readdir, readFile, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { DocumentError } from '../call/legs/leg-document.js'
import type { SecondSource } from '../call/watch/second-source.js'
import { documentIn } from './cdr-text.js'

export interface CdrFolderOptions {
  /** mod_json_cdr's `err-log-dir`. */
  readonly dir: string
  readonly secondSource: Pick<SecondSource, 'receive'>
  readonly log: Logger
  /** How often it is looked through, beside what the file system tells, in ms. Default 60,000. */
  readonly scanMs?: number
  /** A file that makes no sense may still be being written for so long after its last change, in ms. Default 10,000. */
  readonly unfinishedMs?: number
}

/** A document is some 9 kB. */
const mostBytes = 16 * 1024 * 1024
/** What changes at once is looked at together, in ms. */
const gatherMs = 100
/** How soon an unfinished file is looked at again, in ms. */
const retryMs = 1_000

/** Where files go, inside of the folder: nothing is deleted here. */
const takenFolder = 'taken'
const refusedFolder = 'refused'

/**
 * Takes what mod_json_cdr saved in a folder because no node took its post. A file that was taken is moved away when
 * it is durable; the same document may be taken again.
 */
export class CdrFolder {
  readonly #options: CdrFolderOptions
  readonly #timer: NodeJS.Timeout
  readonly #watcher: FSWatcher | undefined
  #next: NodeJS.Timeout | undefined
  #scan: Promise<void> | undefined
  #isAskedAgain = false
  #isClosed = false
  /** Why the folder could not be used last time. */
  #trouble: string | undefined

  /** Begins at once. */
  constructor(options: CdrFolderOptions) {
    this.#options = options
    this.#timer = setInterval(() => {
      this.#look()
    }, options.scanMs ?? 60_000).unref()
    this.#watcher = this.#watch()
    this.#look()
  }

  /** A file that is being taken is taken first. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#timer)
    clearTimeout(this.#next)
    this.#watcher?.close()
    await this.#scan
  }

  /** @returns undefined when this file system tells nothing: it is looked through from time to time all the same */
  #watch(): FSWatcher | undefined {
    const { dir, log } = this.#options
    const unwatched = (error: unknown): void => {
      log.debug({ err: error, dir }, 'the folder of saved CDRs is not watched, only looked through')
    }
    try {
      const watcher = watch(dir, { persistent: false }, () => {
        this.#lookIn(gatherMs)
      })
      return watcher.on('error', unwatched)
    } catch (error) {
      unwatched(error)
      return undefined
    }
  }

  #lookIn(ms: number): void {
    if (this.#isClosed) return
    this.#next ??= setTimeout(() => {
      this.#next = undefined
      this.#look()
    }, ms).unref()
  }

  #look(): void {
    if (this.#scan !== undefined) {
      this.#isAskedAgain = true
      return
    }
    this.#isAskedAgain = false
    this.#scan = this.#takeAll().finally(() => {
      this.#scan = undefined
      if (this.#isAskedAgain) this.#lookIn(gatherMs)
    })
  }

  async #takeAll(): Promise<void> {
    const { dir, log } = this.#options
    let taken = 0
    let trouble: string | undefined
    try {
      for (const entry of await readdir(dir, { withFileTypes: true })) {
        if (this.#isClosed) break
        if (!entry.isFile() || !entry.name.endsWith('.json')) continue
        try {
          if (await this.#take(entry.name)) taken++
        } catch (error) {
          // What is wrong with one file need not be with the next.
          if (!isOfFileSystem(error)) throw error
          trouble ??= error.message
        }
      }
    } catch (error) {
      trouble = (error as Error).message
    }
    // Once, not each minute.
    if (trouble !== undefined && trouble !== this.#trouble)
      log.warn({ reason: trouble, dir }, 'saved CDRs cannot be taken from their folder; trying again')
    this.#trouble = trouble
    if (taken > 0) log.info({ taken, dir }, 'CDRs that mod_json_cdr had saved were taken')
  }

  /**
   * @returns whether it is taken
   * @throws what the journal or the file system says: the file stays where it is
   */
  async #take(name: string): Promise<boolean> {
    const path = join(this.#options.dir, name)
    try {
      const { size, mtimeMs } = await stat(path)
      try {
        if (size > mostBytes) throw new DocumentError('too large for one')
        await this.#options.secondSource.receive(documentIn(await readFile(path, 'utf8')))
      } catch (error) {
        if (!(error instanceof DocumentError)) throw error
        await this.#refuse(name, error.message, Date.now() - mtimeMs)
        return false
      }
      await this.#moveTo(takenFolder, name)
      return true
    } catch (error) {
      // Somebody else has taken it.
      if (isOfFileSystem(error) && error.code === 'ENOENT') return false
      throw error
    }
  }

  async #refuse(name: string, reason: string, ageMs: number): Promise<void> {
    const { dir, log, unfinishedMs = 10_000 } = this.#options
    if (ageMs < unfinishedMs) {
      this.#lookIn(Math.min(unfinishedMs, retryMs))
      return
    }
    log.warn({ file: join(dir, name), reason }, 'a saved CDR is none: it is put aside')
    await this.#moveTo(refusedFolder, name)
  }

  async #moveTo(folder: string, name: string): Promise<void> {
    const { dir } = this.#options
    await mkdir(join(dir, folder), { recursive: true })
    await rename(join(dir, name), join(dir, folder, name))
  }
}

function isOfFileSystem(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error
}
