import { fdatasyncSync, openSync, closeSync, writeSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cpuUsage } from 'node:process'
import { open } from 'lmdb'
import { pino } from 'pino'
import { encodeRecord } from '../../src/journal/entry.js'
import { Journal } from '../../src/journal/journal.js'
import type { CallRecord } from '../../src/store/call-record.js'
import { billedCalls } from './billed-calls.js'
import { median } from './summary.js'

export interface Appends {
  /** Records a second, each on the disk: the median of the rounds, and each round. */
  readonly perSecond: number
  readonly rounds: readonly number[]
  /** µs of this process' CPU a record, its threads included. */
  readonly cpuUs: number
}

export interface JournalResult {
  readonly records: number
  readonly bytesPerRecord: number
  /** `Journal.append` of records, so many callers at once; groups form by themselves. */
  readonly journal: readonly (Appends & { readonly callers: number })[]
  /** LMDB alone: the same texts, as durable, in groups of 200. */
  readonly lmdb: Appends
  /** A plain file: the same texts, in groups of 200, a write and an fdatasync each. */
  readonly file: Appends
}

const callersAtOnce = [200, 1000, 5000] as const
const groupSize = 200

interface Way {
  readonly name: string
  /** Resolves when all is on the disk. */
  readonly write: (dir: string) => Promise<number>
}

/** How many records a second the journal makes durable when many calls end together. */
export async function measureJournal(
  { records, rounds }: { readonly records: number; readonly rounds: number },
  progress: (text: string) => void,
): Promise<JournalResult> {
  const calls = billedCalls(records, ['demo'])
  const texts = calls.map(encodeRecord)
  const ways: Way[] = [
    ...callersAtOnce.map((callers) => ({
      name: `${callers} callers`,
      write: (dir: string) => throughJournal(dir, calls, callers),
    })),
    { name: 'LMDB alone', write: (dir) => throughLmdb(dir, texts) },
    { name: 'a plain file', write: (dir) => throughFile(dir, texts) },
  ]
  const samples = ways.map(() => [] as Sample[])
  // The first round, in which code is compiled, does not count.
  for (let round = 0; round <= rounds; round++)
    for (const [i, { name, write }] of ways.entries()) {
      progress(`journal, round ${round} of ${rounds}: ${name}`)
      const sample = await inFolder(write)
      if (round > 0) samples[i]?.push(sample)
    }
  const [lmdb, file] = samples.slice(-2).map((all) => appends(all, records))
  if (lmdb === undefined || file === undefined) throw new Error('nothing was measured')
  return {
    records,
    bytesPerRecord: texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0) / records,
    journal: callersAtOnce.map((callers, i) => ({ callers, ...appends(samples[i] ?? [], records) })),
    lmdb,
    file,
  }
}

interface Sample {
  readonly seconds: number
  readonly cpuUs: number
}

function appends(samples: readonly Sample[], records: number): Appends {
  const rounds = samples.map(({ seconds }) => records / seconds)
  return { perSecond: median(rounds), rounds, cpuUs: median(samples.map(({ cpuUs }) => cpuUs / records)) }
}

async function inFolder(write: Way['write']): Promise<Sample> {
  const dir = await mkdtemp(join(tmpdir(), 'linger-bench-journal-'))
  try {
    const before = cpuUsage()
    const seconds = await write(dir)
    const { user, system } = cpuUsage(before)
    return { seconds, cpuUs: user + system }
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

async function throughJournal(dir: string, calls: readonly CallRecord[], callers: number): Promise<number> {
  const journal = await Journal.open({ dir, log: pino({ level: 'silent' }) })
  try {
    const began = performance.now()
    const queue = calls.values()
    await Promise.all(
      Array.from({ length: callers }, async () => {
        for (const call of queue) await journal.append(call)
      }),
    )
    const seconds = (performance.now() - began) / 1000
    if (journal.pending !== calls.length) throw new Error(`the journal holds ${journal.pending} records`)
    return seconds
  } finally {
    await journal.close()
  }
}

/** With the settings of src/journal/environment.ts. */
async function throughLmdb(dir: string, texts: readonly string[]): Promise<number> {
  const db = open<string, string>({
    path: dir,
    noSubdir: false,
    encoding: 'string',
    overlappingSync: false,
    eventTurnBatching: false,
    pageSize: 8_192,
  })
  try {
    const began = performance.now()
    for (let from = 0; from < texts.length; from += groupSize)
      await db.batch(() => {
        for (const [i, text] of texts.slice(from, from + groupSize).entries())
          void db.put(String(from + i).padStart(16, '0'), text)
      })
    return (performance.now() - began) / 1000
  } finally {
    await db.close()
  }
}

function throughFile(dir: string, texts: readonly string[]): Promise<number> {
  const file = openSync(join(dir, 'file'), 'w')
  try {
    const began = performance.now()
    for (let from = 0; from < texts.length; from += groupSize) {
      writeSync(file, texts.slice(from, from + groupSize).join('\n'))
      fdatasyncSync(file)
    }
    return Promise.resolve((performance.now() - began) / 1000)
  } finally {
    closeSync(file)
  }
}
