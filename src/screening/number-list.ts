import type { ChainableCommander, Redis } from 'ioredis'
import type { Country } from '../numbering/normal-form.js'
import { entryOfTag, parseEntry, textOfTag, type Entry } from './entry.js'
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
  /** Null: they stay. VIPs do, whatever this says. */
  ttlSeconds: number | null
}

/** An entry of many that are added together, each as it is. */
export interface Addend extends Omit<Addition, 'addedBy'> {
  entry: Entry
}

export interface PageQuery {
  /** A page's `next`; undefined: the first page. */
  cursor?: string | undefined
  /** Entries at most. */
  limit: number
}

export interface ListPage {
  /** At most `limit`; fewer, even none, when the search takes long. The list ends where `next` is null. */
  items: Listed[]
  next: string | null
}

/** How an entry stands in Redis. */
export interface Standing {
  entry: Entry
  /** Those of the entry's tags that are there; the first one is what the list shows. */
  tags: readonly [string, ...string[]]
  note: Note | undefined
}

/** What is kept beside an entry. */
export interface Note {
  entered: string
  normal: string
  /** Every name under which it was entered, one after another. */
  tags: string[]
  reason: string | null
  addedBy: string
  addedAt: string
}

/** An entry that is being added. */
export interface Written {
  entry: Entry
  /** Names under which it is there already. */
  tags: readonly string[]
  note: Note
}

/** Entries of one transaction: a bulk addition must not hold Redis up while calls wait for it. */
const batchSize = 100
/** Names that are looked at together for a page: as few as most pages need. */
const sliceSize = 100
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
    const { addedBy, ...rest } = addition
    const items: Listed[] = []
    const added = await this.addEach(
      entries.map((entry) => ({ entry, ...rest })),
      addedBy,
      (item) => items.push(item),
    )
    return { items, added }
  }

  /**
   * The same of many, each with its own reason and time. A batch at a time: what stands before one that fails is added.
   *
   * @param addends no two of the same entry; @returns how many are new
   */
  async addEach(
    addends: readonly Addend[],
    addedBy: string,
    onAdded?: (item: Listed) => unknown,
  ): Promise<number> {
    let added = 0
    for (const batch of batches(addends)) {
      const before = await this.look(batch.map(({ entry }) => entry))
      const transaction = this.redis.multi()
      const addedAt = new Date().toISOString()
      for (const [index, { entry, ...rest }] of batch.entries()) {
        const standing = before[index]
        if (!standing) added++
        const { entered, normal } = entry
        const tags = [...new Set([...(standing?.note?.tags ?? []), entry.enteredTag])]
        const note = { entered, normal, tags, reason: rest.reason, addedBy, addedAt }
        const written = { entry, tags: standing?.tags ?? [], note }
        const ttlMs = this.write(transaction, written, { ...rest, addedBy })
        onAdded?.(listed({ entry, tags: [entry.enteredTag], note }, ttlMs))
      }
      await replies(transaction)
    }
    return added
  }

  /** @returns how many of the entries are not there */
  async countNew(entries: readonly Entry[]): Promise<number> {
    let added = 0
    for (const batch of batches(entries))
      added += (await this.look(batch)).filter((standing) => standing === undefined).length
    return added
  }

  async find(entry: Entry): Promise<Listed | undefined> {
    const [standing] = await this.#resolve([entry])
    if (!standing) return undefined
    const [ttlMs] = await this.ttls([standing.tags[0]])
    return listed(standing, ttlMs)
  }

  /** Removes the entry under all of its names. @returns whether it was there */
  async remove(entry: Entry): Promise<boolean> {
    const [standing] = await this.#resolve([entry])
    if (!standing) return false
    const transaction = this.redis.multi()
    const { tags } = standing.entry
    this.erase(transaction, standing.entry, [...new Set([...tags, ...(standing.note?.tags ?? [])])])
    const [removed] = await replies(transaction)
    return removed !== 0
  }

  /**
   * Walks the list with SCAN: an entry that is there all the time is seen, one that comes or goes
   * meanwhile may be. A page costs the same at the end of a long list as at its beginning.
   *
   * @returns undefined when the cursor is none of this server's
   */
  async page({ cursor, limit }: PageQuery): Promise<ListPage | undefined> {
    const from = cursor === undefined ? { position: '0', after: '' } : readCursor(cursor)
    if (!from) return undefined
    let { position, after } = from
    const shown: Standing[] = []
    const pageUpTo = async (next: string | null): Promise<ListPage> => {
      const ttls = await this.ttls(shown.map(({ tags }) => tags[0]))
      return { items: shown.map((standing, index) => listed(standing, ttls[index])), next }
    }
    const deadline = performance.now() + longestPageMs
    for (;;) {
      const [next, found] = await this.scan(position)
      // SCAN answers as many as it likes. Where a page ends among them, the next page asks for the same
      // ones again and goes on in this order.
      const tags = [...new Set(found)].filter((tag) => tag > after).sort()
      for (let start = 0; start < tags.length; start += sliceSize) {
        const standings = await this.#resolve(
          tags.slice(start, start + sliceSize).map((tag) => this.verbatim(tag)),
        )
        for (const [index, standing] of standings.entries()) {
          if (shown.length === limit) return pageUpTo(writeCursor(position, after))
          after = tags[start + index] ?? after
          // The entry's other names are passed over: it is shown once.
          if (standing?.tags[0] === after) shown.push(standing)
        }
      }
      if (next === '0') return pageUpTo(null)
      if (shown.length === limit || performance.now() > deadline) return pageUpTo(writeCursor(next, ''))
      position = next
      after = ''
    }
  }

  /** @returns how each entry stands, in the reading in which it was entered where there are two */
  async #resolve(entries: readonly Entry[]): Promise<(Standing | undefined)[]> {
    const alternatives = entries.flatMap(({ alternative }) => alternative ?? [])
    const standings = await this.look([...entries, ...alternatives])
    const others = standings.slice(entries.length).values()
    return entries.map(({ alternative }, index) => {
      const own = standings[index]
      const other = alternative && others.next().value
      return other?.note ? other : (own ?? other)
    })
  }

  /**
   * Adds the commands that write an entry: its normal form and the entered tag anew; `tags` and the note's
   * live on with them. @returns for how many ms; null: for good
   */
  protected abstract write(
    transaction: ChainableCommander,
    written: Written,
    addition: Addition,
  ): number | null
  /** Adds the commands that erase an entry; the first answers how many of `tags` were there. */
  protected abstract erase(transaction: ChainableCommander, entry: Entry, tags: string[]): void
  /** @returns for each entry how it stands, undefined when it is not in the list */
  protected abstract look(entries: readonly Entry[]): Promise<(Standing | undefined)[]>
  /** @returns how long each tag still lives, in ms; null: it stays */
  protected abstract ttls(tags: string[]): Promise<(number | null)[]>
  /** One step of SCAN. */
  protected abstract scan(position: string): Promise<[next: string, tags: string[]]>
}

function* batches<T>(items: readonly T[]): Generator<T[]> {
  for (let start = 0; start < items.length; start += batchSize) yield items.slice(start, start + batchSize)
}

/** @returns undefined for what is no note, or another entry's: other programs may write there too */
export function readNote(text: unknown, { normal }: Entry): Note | undefined {
  if (typeof text !== 'string') return undefined
  try {
    const note = JSON.parse(text) as Partial<Note> | null
    if (note?.normal !== normal || !Array.isArray(note.tags)) return undefined
    const texts = [note.entered, note.addedBy, note.addedAt, note.reason ?? '', ...(note.tags as unknown[])]
    return texts.every((text) => typeof text === 'string') ? (note as Note) : undefined
  } catch {
    return undefined
  }
}

function listed({ entry, tags, note }: Standing, ttlMs: number | null | undefined): Listed {
  const isForGood = ttlMs === null || ttlMs === undefined
  return {
    kind: entry.kind,
    number: note?.entered ?? textOfTag(tags[0]),
    normalForm: entry.normal,
    reason: note?.reason ?? null,
    addedBy: note?.addedBy ?? null,
    addedAt: note?.addedAt ?? null,
    expiresAt: isForGood ? null : new Date(Math.round((Date.now() + ttlMs) / 1000) * 1000).toISOString(),
    ttlSeconds: isForGood ? null : Math.ceil(ttlMs / 1000),
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
