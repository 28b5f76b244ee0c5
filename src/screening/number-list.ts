import type { ChainableCommander, Redis } from 'ioredis'
import type { Country } from '../numbering/normal-form.js'
import { entryOfTag, parseEntry, type Entry } from './entry.js'
import { replies } from './redis.js'

/** An entry as it stands in a list. */
export interface Listed {
  kind: Entry['kind']
  /** As it was entered (without separators), or as another program wrote it. */
  number: string
  normalForm: string
  /** This and the next two are null when another program made the entry. */
  reason: string | null
  /** Id of the API key. */
  addedBy: string | null
  /** RFC 3339, UTC. */
  addedAt: string | null
  /** When the entry goes away by itself, to the second (RFC 3339, UTC); null: it stays. */
  expiresAt: string | null
  /** Seconds until then, rounded up. */
  ttlSeconds: number | null
}

export interface Addition {
  reason: string | null
  addedBy: string
  /** VIPs stay, whatever this says. */
  ttlSeconds: number
}

export interface ListPage {
  /** At most `limit`; fewer, even none, when the search takes long. The list ends where `next` is null. */
  items: Listed[]
  next: string | null
}

/** How an entry stands in Redis. */
export interface Standing {
  /** The first of the entry's tags that is there. */
  tag: string
  note: Note | undefined
  /** Null: it stays. */
  ttlMs: number | null
}

/** What is kept beside an entry. */
export interface Note {
  entered: string
  reason: string | null
  addedBy: string
  addedAt: string
}

/** Entries of one transaction: a bulk addition must not hold Redis up while calls wait for it. */
const batchSize = 100
/** A page is cut short rather than searched for longer than this. */
const longestPageMs = 500

/**
 * A list as its admin sees it: over the Redis names that screening asks and other programs write, each
 * entry once, however it is spelled there. Methods that ask Redis throw RedisAway.
 */
export abstract class NumberList {
  protected readonly redis: Redis
  readonly #country: Country

  constructor(redis: Redis, country: Country) {
    this.redis = redis
    this.#country = country
  }

  /** @returns undefined for what cannot be entered in this list */
  parse(text: string): Entry | undefined {
    return parseEntry(text, this.#country)
  }

  /** What stands in Redis as `text`, by whomever it was written. */
  verbatim(text: string): Entry {
    return entryOfTag(text, this.#country)
  }

  /**
   * Adds entries in the spelling that was entered and in normal form; those that are there are renewed.
   *
   * @returns the entries as they stand now, and how many are new
   */
  async add(entries: readonly Entry[], addition: Addition): Promise<{ items: Listed[]; added: number }> {
    const { reason, addedBy } = addition
    const items: Listed[] = []
    let added = 0
    for (let start = 0; start < entries.length; start += batchSize) {
      const batch = entries.slice(start, start + batchSize)
      const before = await this.read(batch)
      const transaction = this.redis.multi()
      for (const [index, entry] of batch.entries()) {
        if (!before[index]) added++
        const note = { entered: entry.entered, reason, addedBy, addedAt: new Date().toISOString() }
        const ttlMs = this.write(transaction, entry, this.#tagsOf(entry, before[index]), note, addition)
        items.push(listed(entry, { tag: entry.enteredTag, note, ttlMs }))
      }
      await replies(transaction)
    }
    return { items, added }
  }

  async find(entry: Entry): Promise<Listed | undefined> {
    const [standing] = await this.read([entry])
    return standing && listed(entry, standing)
  }

  /** Removes the entry under all of its names. @returns whether it was there */
  async remove(entry: Entry): Promise<boolean> {
    const [standing] = await this.read([entry])
    if (!standing) return false
    const transaction = this.redis.multi()
    this.erase(transaction, entry, this.#tagsOf(entry, standing))
    const [removed] = await replies(transaction)
    return removed !== 0
  }

  /**
   * Walks the list with SCAN: an entry that is there all the time is seen, one that comes or goes
   * meanwhile may be. A page costs the same at the end of a long list as at its beginning.
   *
   * @param cursor a page's `next`
   * @returns undefined when the cursor is none of this server's
   */
  async page({
    cursor,
    limit,
  }: {
    cursor?: string | undefined
    limit: number
  }): Promise<ListPage | undefined> {
    const from = cursor === undefined ? { position: '0', after: '' } : readCursor(cursor)
    if (!from) return undefined
    let { position, after } = from
    const items: Listed[] = []
    const deadline = performance.now() + longestPageMs
    for (;;) {
      const [next, found] = await this.scan(position)
      // SCAN answers as many as it likes. Where a page ends among them, the next page asks for the same
      // ones again and goes on in this order.
      const tags = [...new Set(found)].filter((tag) => tag > after).sort()
      for (let start = 0; start < tags.length; start += limit) {
        const entries = tags.slice(start, start + limit).map((tag) => this.verbatim(tag))
        const standings = await this.read(entries)
        for (const [index, entry] of entries.entries()) {
          if (items.length === limit) return { items, next: writeCursor(position, after) }
          after = entry.enteredTag
          const standing = standings[index]
          // The entry's other names are passed over: it is shown once.
          if (standing?.tag === entry.enteredTag) items.push(listed(entry, standing))
        }
      }
      if (next === '0') return { items, next: null }
      if (items.length === limit || performance.now() > deadline)
        return { items, next: writeCursor(next, '') }
      position = next
      after = ''
    }
  }

  /** All names of the entry, the odd spelling with them in which it was entered before. */
  #tagsOf(entry: Entry, standing: Standing | undefined): string[] {
    const before = standing?.note && this.parse(standing.note.entered)
    return before?.normal === entry.normal
      ? [...new Set([...entry.tags, before.enteredTag])]
      : [...entry.tags]
  }

  /**
   * Adds the commands that write an entry: its normal form and the entered tag anew, `tags` as far as they
   * are there. @returns its time to live in ms
   */
  protected abstract write(
    transaction: ChainableCommander,
    entry: Entry,
    tags: string[],
    note: Note,
    addition: Addition,
  ): number | null
  /** Adds the commands that erase an entry; the first answers how many of `tags` were there. */
  protected abstract erase(transaction: ChainableCommander, entry: Entry, tags: string[]): void
  /** @returns for each entry how it stands, undefined when it is not in the list */
  protected abstract read(entries: readonly Entry[]): Promise<(Standing | undefined)[]>
  /** One step of SCAN. */
  protected abstract scan(position: string): Promise<[next: string, tags: string[]]>
}

/** Another program's value under our name is no note. */
export function readNote(text: unknown): Note | undefined {
  if (typeof text !== 'string') return undefined
  try {
    const note = JSON.parse(text) as Partial<Note> | null
    const isNote = [note?.entered, note?.addedBy, note?.addedAt].every((field) => typeof field === 'string')
    return isNote ? (note as Note) : undefined
  } catch {
    return undefined
  }
}

function listed(entry: Entry, { note, ttlMs }: Standing): Listed {
  return {
    kind: entry.kind,
    number: note?.entered ?? entry.entered,
    normalForm: entry.normal,
    reason: note?.reason ?? null,
    addedBy: note?.addedBy ?? null,
    addedAt: note?.addedAt ?? null,
    expiresAt: ttlMs === null ? null : new Date(Math.round((Date.now() + ttlMs) / 1000) * 1000).toISOString(),
    ttlSeconds: ttlMs === null ? null : Math.ceil(ttlMs / 1000),
  }
}

function writeCursor(position: string, after: string): string {
  return Buffer.from(`${position}:${after}`).toString('base64url')
}

function readCursor(cursor: string): { position: string; after: string } | undefined {
  const [, position, after] = /^([0-9]{1,20}):([^]*)$/.exec(Buffer.from(cursor, 'base64url').toString()) ?? []
  if (position === undefined || after === undefined || writeCursor(position, after) !== cursor)
    return undefined
  return { position, after }
}
