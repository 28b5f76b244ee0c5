import type { ChainableCommander } from 'ioredis'
import type { Entry } from './entry.js'
import { blacklistKeys, prefixesOf, prefixTag, vipSet } from './names.js'
import { NumberList, readNote, type Addition, type Note, type Standing } from './number-list.js'
import { answered, replies } from './redis.js'

/** `linger:blacklist:{normal form}`: the note beside an entry, which expires with it. */
const blacklistNotes = 'linger:blacklist:'
/** A hash: normal form -> note. */
const vipNotes = 'linger:vip'
/** Keys or members that one step of a SCAN visits. */
const scanCount = 200

/** `phone:blacklist:*`: numbers, prefixes and `anonymous`, each with a time to live. */
export class Blacklist extends NumberList {
  /** The entry beside its own that keeps a number's calls out: the longest prefix, as `8490*`. */
  async coveredBy({ kind, tags }: Entry): Promise<string | undefined> {
    if (kind !== 'number') return undefined
    const prefixes = [...new Set(tags.flatMap(prefixesOf))].sort((a, b) => b.length - a.length)
    if (prefixes.length === 0) return undefined
    const values = await answered(this.redis.mget(prefixes.map((digits) => keyOf(prefixTag + digits))))
    const longest = prefixes.find((_, index) => values[index] !== null)
    return longest === undefined ? undefined : `${longest}*`
  }

  protected write(
    transaction: ChainableCommander,
    entry: Entry,
    tags: string[],
    note: Note,
    { ttlSeconds }: Addition,
  ): number {
    const [normalTag] = entry.tags
    for (const tag of tags) {
      if (tag === normalTag || tag === entry.enteredTag) transaction.set(keyOf(tag), '1', 'EX', ttlSeconds)
      // What stands under a third name expires with the rest.
      else transaction.expire(keyOf(tag), ttlSeconds)
    }
    transaction.set(blacklistNotes + normalTag, JSON.stringify(note), 'EX', ttlSeconds)
    return ttlSeconds * 1000
  }

  protected erase(transaction: ChainableCommander, entry: Entry, tags: string[]): void {
    transaction.del(tags.map(keyOf)).del(blacklistNotes + entry.tags[0])
  }

  protected async read(entries: readonly Entry[]): Promise<(Standing | undefined)[]> {
    if (entries.length === 0) return []
    const commands = this.redis.pipeline()
    for (const { tags } of entries) {
      commands.get(blacklistNotes + tags[0])
      for (const tag of tags) commands.pttl(keyOf(tag))
    }
    const answers = (await replies(commands)).values()
    return entries.map(({ tags }) => {
      const note = readNote(answers.next().value)
      // PTTL: -2 is not there, -1 is there for ever.
      const there = tags
        .map((tag) => ({ tag, pttl: answers.next().value as number }))
        .filter(({ pttl }) => pttl !== -2)
      const [first] = there
      if (!first) return undefined
      const times = there.map(({ pttl }) => pttl)
      return { tag: first.tag, note, ttlMs: times.includes(-1) ? null : Math.max(...times) }
    })
  }

  protected async scan(position: string): Promise<[string, string[]]> {
    const pattern = `${blacklistKeys}*`
    const [next, keys] = await answered(this.redis.scan(position, 'MATCH', pattern, 'COUNT', scanCount))
    return [next, keys.map((key) => key.slice(blacklistKeys.length))]
  }
}

/** The set `phone:vip`: numbers only, which stay until they are removed. */
export class VipList extends NumberList {
  override parse(text: string): Entry | undefined {
    const entry = super.parse(text)
    return entry?.kind === 'number' ? entry : undefined
  }

  protected write(transaction: ChainableCommander, entry: Entry, _tags: string[], note: Note): null {
    const [normalTag] = entry.tags
    transaction.sadd(vipSet, normalTag, entry.enteredTag)
    transaction.hset(vipNotes, normalTag, JSON.stringify(note))
    return null
  }

  protected erase(transaction: ChainableCommander, entry: Entry, tags: string[]): void {
    transaction.srem(vipSet, ...tags).hdel(vipNotes, entry.tags[0])
  }

  protected async read(entries: readonly Entry[]): Promise<(Standing | undefined)[]> {
    if (entries.length === 0) return []
    const commands = this.redis.pipeline()
    for (const { tags } of entries) {
      commands.hget(vipNotes, tags[0])
      for (const tag of tags) commands.sismember(vipSet, tag)
    }
    const answers = (await replies(commands)).values()
    return entries.map(({ tags }) => {
      const note = readNote(answers.next().value)
      const [first] = tags.filter(() => answers.next().value === 1)
      return first === undefined ? undefined : { tag: first, note, ttlMs: null }
    })
  }

  protected scan(position: string): Promise<[string, string[]]> {
    return answered(this.redis.sscan(vipSet, position, 'COUNT', scanCount))
  }
}

function keyOf(tag: string): string {
  return blacklistKeys + tag
}
