import {
  chmodSync,
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'

import { ABORT, IF_EXISTS, open, type Database, type RangeOptions, type RootDatabase } from 'lmdb'

const shelves = ['records', 'open', 'documents', 'aside', 'events', 'meta'] as const
export type Shelf = (typeof shelves)[number]

export interface Item {
  readonly key: string
  readonly text: string
}

/** Puts `text` under `key`; without a text, takes away what is there. */
export interface Change {
  readonly on: Shelf
  readonly key: string
  readonly text?: string
  /** The text is put there only in place of another one, as the transaction finds it. */
  readonly mustExist?: true
}

interface Stats {
  readonly treeBranchPageCount: number
  readonly treeLeafPageCount: number
  readonly overflowPages: number
  readonly pageSize: number
  readonly root: Stats
  readonly free: Stats
}

/** Address space, not disk; LMDB takes more by itself. */
const mapSize = 16 * 2 ** 30
/** Of a new file. Twice what LMDB would take: of those, each would hold one record and be half empty. */
const pageSize = 8_192
const extensionBytes = 2 ** 20

/**
 * The journal's file: LMDB with what it needs to be a journal, namely writes that are durable when they resolve
 * and fail in an orderly way, and room on the disk that is its own before it is needed.
 */
export class Environment {
  readonly #root: RootDatabase<string, string>
  readonly #shelves: ReadonlyMap<Shelf, Database<string, string>>
  /** For the space set aside; none when it is only read. */
  readonly #file: number | undefined

  private constructor(dir: string, isReadOnly: boolean) {
    // Without `overlappingSync` a commit is durable when it resolves and rejects when it failed. With it, a
    // flush that fails never settles. Without `eventTurnBatching` there is no promise but ours to reject.
    this.#root = open<string, string>({
      path: dir,
      noSubdir: false,
      encoding: 'string',
      overlappingSync: false,
      eventTurnBatching: false,
      mapSize,
      maxDbs: shelves.length,
      ...(isReadOnly ? { readOnly: true } : { pageSize }),
    })
    this.#shelves = new Map(
      shelves.flatMap((name) => {
        // There is none when it is only read, and an earlier release wrote it.
        const shelf = this.#root.openDB<string, string>(name, { encoding: 'string' }) as
          Database<string, string> | undefined
        return shelf === undefined ? [] : [[name, shelf] as const]
      }),
    )
    this.#file = isReadOnly ? undefined : openSync(join(dir, 'data.mdb'), 'r+')
  }

  /** Makes the folder if need be, for this user alone. */
  static open(dir: string): Environment {
    // What is beside it in the folder above may be another user's; here is who called whom.
    mkdirSync(dirname(dir), { recursive: true, mode: 0o711 })
    mkdirSync(dir, { recursive: true })
    chmodSync(dir, 0o700)
    const environment = new Environment(dir, false)
    // A flush of the file is of no use in a folder that a power cut has forgotten.
    for (const folder of [dir, dirname(dir)]) syncFolder(folder)
    return environment
  }

  /** Beside a server that writes, or without one. @returns undefined where no journal is */
  static openToRead(dir: string): Environment | undefined {
    return existsSync(join(dir, 'data.mdb')) ? new Environment(dir, true) : undefined
  }

  /**
   * All changes or none, in one transaction; on the disk when it resolves. One at a time.
   *
   * @throws Error with what LMDB or the operating system says; nothing has changed then
   */
  async write(changes: readonly Change[]): Promise<void> {
    try {
      await this.#root.batch(() => {
        for (const { on, key, text, mustExist } of changes) {
          const shelf = this.#shelf(on)
          if (text === undefined) void shelf.remove(key)
          // The version is of no meaning here: these shelves have none.
          else if (mustExist) void shelf.put(key, text, 0, IF_EXISTS)
          else void shelf.put(key, text)
        }
      })
    } catch (error) {
      // The reason is in a promise of its own, which would end the process if nobody listened to it. It is
      // settled by now; should it not be, the next turn comes all the same.
      const { commitError } = error as { commitError?: Promise<never> }
      const reason = await Promise.race([
        commitError?.catch((cause: unknown) => cause),
        new Promise((resolve) => setImmediate(resolve, error)),
      ])
      throw reason instanceof Error ? reason : error
    }
  }

  /** In the order of their keys, those between `after` and `before`, all or as many as `limit` says. */
  read(on: Shelf, limit?: number, after?: string, before?: string): Item[] {
    const range = {
      ...(limit !== undefined && { limit }),
      ...(after !== undefined && { start: after, exclusiveStart: true }),
      ...(before !== undefined && { end: before }),
    }
    return this.#items(on, range)
  }

  /** Those whose keys begin with `prefix` and go on in printable ASCII. */
  readBelow(on: Shelf, prefix: string): Item[] {
    return this.#items(on, below(prefix))
  }

  /** As `readBelow`, the keys alone. Without a prefix all of them, as they are asked for. */
  keys(on: Shelf, prefix?: string): Iterable<string> {
    return this.#shelves.get(on)?.getKeys(prefix === undefined ? {} : below(prefix)) ?? []
  }

  /** What is under this very key: one, or nothing. */
  readOne(on: Shelf, key: string): Item[] {
    const text = this.get(on, key)
    return text === undefined ? [] : [{ key, text }]
  }

  get(on: Shelf, key: string): string | undefined {
    return this.#shelf(on).get(key)
  }

  has(on: Shelf, key: string): boolean {
    return this.#shelf(on).doesExist(key)
  }

  lastKey(on: Shelf): string | undefined {
    for (const key of this.#shelf(on).getKeys({ reverse: true, limit: 1 })) return key
    return undefined
  }

  firstKeys(on: Shelf, limit: number): string[] {
    return [...this.#shelf(on).getKeys({ limit })]
  }

  count(on: Shelf): number {
    return (this.#shelf(on).getStats() as { entryCount: number }).entryCount
  }

  /** What of the file it takes. */
  bytes(on: Shelf): number {
    const stats = this.#shelf(on).getStats() as Stats
    return pagesOf(stats) * stats.pageSize
  }

  /**
   * Runs `work`, which must not wait, while no other process can write. What it changes with `put` is kept if
   * it does not throw.
   */
  exclusively(work: (put: (change: Change) => void) => void): void {
    this.#root.transactionSync(() => {
      work(({ on, key, text }) => {
        const shelf = this.#shelf(on)
        if (text === undefined) shelf.removeSync(key)
        else shelf.putSync(key, text)
      })
    })
  }

  /**
   * Bytes that can be written whatever becomes of the disk: pages that LMDB has free, and what the file has
   * behind its last page.
   */
  get room(): number {
    const stats = [...this.#shelves.values()].map((shelf) => shelf.getStats() as Stats)
    const [first] = stats
    if (first === undefined || this.#file === undefined) return 0
    // Two more are the head of the file.
    const used = [...stats, first.root, first.free].reduce((sum, tree) => sum + pagesOf(tree), 2)
    return fstatSync(this.#file).size - used * first.pageSize
  }

  /**
   * Makes the file longer, with zeros: a page that has its place on the disk can be written when there is no
   * other place left. (Not on file systems that never write in place, such as Btrfs and ZFS.)
   *
   * @throws Error what the operating system says, such as ENOSPC
   */
  setAside(): void {
    const file = this.#file
    if (file === undefined) return
    // LMDB itself puts pages at the end: not while anybody writes.
    this.#root.transactionSync(() => {
      const zeros = Buffer.alloc(extensionBytes)
      const from = fstatSync(file).size
      for (let done = 0; done < zeros.length;) done += writeSync(file, zeros, done, undefined, from + done)
      return ABORT
    })
  }

  async close(): Promise<void> {
    if (this.#file !== undefined) closeSync(this.#file)
    await this.#root.close()
  }

  #items(on: Shelf, range: RangeOptions): Item[] {
    const items = this.#shelves.get(on)?.getRange(range) ?? []
    return [...items].map(({ key, value }) => ({ key, text: value }))
  }

  #shelf(name: Shelf): Database<string, string> {
    const shelf = this.#shelves.get(name)
    if (shelf === undefined) throw new Error(`the journal has no ${name}`)
    return shelf
  }
}

function below(prefix: string): RangeOptions {
  return { start: prefix, end: `${prefix}\x7f` }
}

function syncFolder(path: string): void {
  const folder = openSync(path, 'r')
  fsyncSync(folder)
  closeSync(folder)
}

function pagesOf({ treeBranchPageCount, treeLeafPageCount, overflowPages }: Stats): number {
  return treeBranchPageCount + treeLeafPageCount + overflowPages
}
