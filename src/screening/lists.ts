import type { ChainableCommander } from 'ioredis'
import type { Entry } from './entry.js'
import { blacklistKeys, prefixesOf, prefixTag, vipSet } from './names.js'
import { NumberList, readNote, type Addition, type Note, type Standing, type Written } from './number-list.js'
import { answered, replies, writeTogether } from './redis.js'

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
    writeTogether(this.redis)
    const values = await answered(this.redis.mget(prefixes.map((digits) => keyOf(prefixTag + digits))))
    const longest = prefixes.find((_, index) => values[index] !== null)
    return longest === undefined ? undefined : `${longest}*`
  }

  protected write(
    transaction: ChainableCommander,
    { entry, tags, note }: Written,
    { ttlSeconds }: Addition,
  ): number | null {
    const [normalTag] = entry.tags
    const set = (key: string, value: string) =>
      ttlSeconds === null ? transaction.set(key, value) : transaction.set(key, value, 'EX', ttlSeconds)
    const anew = new Set([normalTag, entry.enteredTag])
    for (const tag of anew) set(keyOf(tag), '1')
    for (const tag of new Set([...tags, ...note.tags])) {
      if (anew.has(tag)) continue
      if (ttlSeconds === null) transaction.persist(keyOf(tag))
      else transaction.expire(keyOf(tag), ttlSeconds)
    }
    set(blacklistNotes + normalTag, JSON.stringify(note))
    return ttlSeconds === null ? null : ttlSeconds * 1000
  }

  protected erase(transaction: ChainableCommander, entry: Entry, tags: string[]): void {
    transaction.del(tags.map(keyOf)).del(blacklistNotes + entry.tags[0])
  }

  protected async look(entries: readonly Entry[]): Promise<(Standing | undefined)[]> {
    if (entries.length === 0) return []
    const keys = entries.flatMap(({ tags }) => [blacklistNotes + tags[0], ...tags.map(keyOf)])
    writeTogether(this.redis)
    const values = (await answered(this.redis.mget(keys))).values()
    return entries.map((entry) => {
      const note = readNote(values.next().value, entry)
      return standingOf(
        entry,
        entry.tags.filter(() => values.next().value !== null),
        note,
      )
    })
  }

  protected async ttls(tags: string[]): Promise<(number | null)[]> {
    writeTogether(this.redis)
    const ttls = await Promise.all(tags.map((tag) => answered(this.redis.pttl(keyOf(tag)))))
    // -1: it is there for ever; -2: it has gone just now.
    return ttls.map((ttl) => (ttl === -1 ? null : Math.max(ttl, 0)))
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

  protected write(transaction: ChainableCommander, { entry, note }: Written): null {
    const [normalTag] = entry.tags
    transaction.sadd(vipSet, normalTag, entry.enteredTag)
    transaction.hset(vipNotes, normalTag, JSON.stringify(note))
    return null
  }

  protected erase(transaction: ChainableCommander, entry: Entry, tags: string[]): void {
    transaction.srem(vipSet, ...tags).hdel(vipNotes, entry.tags[0])
  }

  protected async look(entries: readonly Entry[]): Promise<(Standing | undefined)[]> {
    if (entries.length === 0) return []
    const commands = this.redis.pipeline().hmget(vipNotes, ...entries.map(({ tags }) => tags[0]))
    for (const { tags } of entries) for (const tag of tags) commands.sismember(vipSet, tag)
    const [notes, ...memberships] = await replies(commands)
    const members = memberships.values()
    return entries.map((entry, index) => {
      const note = readNote((notes as unknown[])[index], entry)
      return standingOf(
        entry,
        entry.tags.filter(() => members.next().value === 1),
        note,
      )
    })
  }

  protected ttls(tags: string[]): Promise<null[]> {
    return Promise.resolve(tags.map(() => null))
  }

  protected scan(position: string): Promise<[string, string[]]> {
    return answered(this.redis.sscan(vipSet, position, 'COUNT', scanCount))
  }
}

function standingOf(entry: Entry, present: string[], note: Note | undefined): Standing | undefined {
  const [first, ...rest] = present
  return first === undefined ? undefined : { entry, tags: [first, ...rest], note }
}

function keyOf(tag: string): string {
  return blacklistKeys + tag
}
