import { createHash, type Hash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, rename, rm, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'

import { decodeRecord, documentPrefix, openKey } from './entry.js'
import { Environment, type Change } from './environment.js'
import { JournalError } from './errors.js'

/** How many entries of each kind. */
export interface Transferred {
  records: number
  open: number
  documents: number
  aside: number
  events: number
}

const kinds = ['open', 'documents', 'records', 'aside', 'events'] as const
type Kind = (typeof kinds)[number]

/**
 * The order in which the shelves are read: what moves on meanwhile is then seen twice rather than not at all. A call
 * that ends goes from the first two to the records; a record is set aside or comes back from there. Events last: that of
 * a call's end comes with its record.
 */
const passes: readonly Kind[] = ['open', 'documents', 'aside', 'records', 'aside', 'events']

const format = 'linger-journal'
/** Since 2 there are documents, since 3 events. */
const version = 3
const readableVersions: readonly number[] = [1, 2, version]
const batch = 500

type Line =
  | { readonly kind: 'header'; readonly format: string; readonly v: number; readonly at: string }
  | { readonly kind: Kind; readonly key: string; readonly entry: string }
  | { readonly kind: 'end'; readonly entries: number; readonly sha256: string }

/**
 * Writes all that a journal holds to a file, whether a server has it open or not. The file is there when it is
 * whole: NDJSON, a header, a line an entry, and at the end their number and the SHA-256 of all lines before.
 *
 * @throws JournalError `unreadable` when no journal is in `dir`; Error when the file cannot be written
 */
export async function exportJournal(dir: string, file: string): Promise<Transferred> {
  const env = Environment.openToRead(dir)
  if (env === undefined) throw new JournalError('unreadable', `no journal is in ${dir}`)
  const partial = `${file}.${process.pid}.partial`
  try {
    // It holds who called whom.
    const handle = await open(partial, 'w', 0o600)
    try {
      const counts = await writeAll(env, handle)
      await handle.sync()
      await rename(partial, file)
      await syncFolder(dirname(file))
      return counts
    } finally {
      await handle.close()
    }
  } finally {
    await rm(partial, { force: true })
    await env.close()
  }
}

async function writeAll(env: Environment, handle: FileHandle): Promise<Transferred> {
  const hash = createHash('sha256')
  const counts: Transferred = { records: 0, open: 0, documents: 0, aside: 0, events: 0 }
  const write = async (lines: readonly Line[]): Promise<void> => {
    const text = lines.map((line) => JSON.stringify(line) + '\n').join('')
    hash.update(text)
    await handle.appendFile(text)
  }
  await write([{ kind: 'header', format, v: version, at: new Date().toISOString() }])
  const aside = new Set<string>()
  for (const kind of passes) {
    let last: string | undefined
    for (;;) {
      const items = env.read(kind, batch, last)
      last = items.at(-1)?.key
      if (last === undefined) break
      const news = items.filter(({ key }) => kind !== 'aside' || !aside.has(key))
      if (kind === 'aside') for (const { key } of news) aside.add(key)
      await write(news.map(({ key, text }) => ({ kind, key, entry: text })))
      counts[kind] += news.length
    }
  }
  const entries = kinds.reduce((sum, kind) => sum + counts[kind], 0)
  await write([{ kind: 'end', entries, sha256: hash.copy().digest('hex') }])
  return counts
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path)
  await folder.sync().finally(() => folder.close())
}

/**
 * Puts what another journal held into this one, whether a server has it open or not: it is delivered like its
 * own. Nothing changes unless the whole file is sound, and a second time changes nothing that counts: what
 * PostgreSQL has is known there, and an event that is published again has the same id.
 *
 * @throws JournalError `unreadable`, in one line
 */
export async function importJournal(dir: string, file: string): Promise<Transferred> {
  await check(file)
  const env = Environment.open(dir)
  try {
    const counts: Transferred = { records: 0, open: 0, documents: 0, aside: 0, events: 0 }
    let changes: Change[] = []
    const write = async (): Promise<void> => {
      if (changes.length > 0) await env.write(changes)
      changes = []
    }
    let kind: Kind | undefined
    for await (const { line } of linesOf(file)) {
      if (line.kind === 'header' || line.kind === 'end') continue
      counts[line.kind]++
      // A record looks for the documents of its call: those of this file must be there.
      if (line.kind !== kind || changes.length >= batch) await write()
      kind = line.kind
      // A call that goes on here, a leg that was told of here: what is here is newer.
      const mayBeOlder = line.kind === 'open' || line.kind === 'documents'
      if (mayBeOlder && env.has(line.kind, line.key)) continue
      changes.push(...changesOf(env, line.kind, line.key, line.entry))
    }
    await write()
    return counts
  } finally {
    await env.close()
  }
}

/** A record takes away what its call has left, as its append would have. */
function changesOf(env: Environment, kind: Kind, key: string, entry: string): Change[] {
  const put = { on: kind, key, text: entry }
  if (kind !== 'records') return [put]
  try {
    const { callUuid } = decodeRecord(entry)
    const documents = [...env.keys('documents', documentPrefix(callUuid))]
    return [
      put,
      { on: 'open', key: openKey(callUuid) },
      ...documents.map((key) => ({ on: 'documents' as const, key })),
    ]
  } catch {
    // Whoever delivers it will see that it cannot be read.
    return [put]
  }
}

async function check(file: string): Promise<void> {
  const unreadable = (why: string) => new JournalError('unreadable', `${file} ${why}`)
  let last: Line | undefined
  let sum = ''
  let entries = -1
  try {
    for await (const { line, sumBefore } of linesOf(file)) {
      if (last === undefined) checkHeader(line, unreadable)
      if (last?.kind === 'end') throw unreadable('goes on behind its end')
      if (line.kind === 'end') sum = sumBefore()
      else entries++
      last = line
    }
  } catch (error) {
    if (error instanceof SyntaxError) throw unreadable('is no export of a journal, or damaged')
    throw error
  }
  if (last === undefined) throw unreadable('is no export of a journal')
  if (last.kind !== 'end') throw unreadable('is cut off')
  if (last.sha256 !== sum || last.entries !== entries) throw unreadable('is damaged: its checksum is wrong')
}

/** First of all: what a newer release writes behind it may be unknown here. */
function checkHeader(line: Line, unreadable: (why: string) => JournalError): void {
  if (line.kind !== 'header' || line.format !== format) throw unreadable('is no export of a journal')
  if (!readableVersions.includes(line.v))
    throw unreadable(`is of version ${line.v}, which this release does not know`)
}

/** Each line of an export with the SHA-256 of those before it. Not readline: to it, U+2028 ends a line. */
async function* linesOf(file: string): AsyncGenerator<{ line: Line; sumBefore: () => string }> {
  const hash: Hash = createHash('sha256')
  let rest = Buffer.alloc(0)
  for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
    rest = Buffer.concat([rest, chunk])
    let start = 0
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10, start)) {
      const line = parse(rest.toString('utf8', start, end))
      yield { line, sumBefore: () => hash.copy().digest('hex') }
      hash.update(rest.subarray(start, end + 1))
      start = end + 1
    }
    rest = rest.subarray(start)
  }
  if (rest.length > 0) throw new SyntaxError('the last line does not end')
}

function parse(text: string): Line {
  const line = JSON.parse(text) as Line | null
  if (line === null || !['header', ...kinds, 'end'].includes(line.kind))
    throw new SyntaxError('no line of ours')
  return line
}
