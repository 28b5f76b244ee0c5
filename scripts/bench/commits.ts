import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cpuUsage } from 'node:process'
import type pg from 'pg'
import { pino } from 'pino'
import { Feeder } from '../../src/journal/feeder.js'
import { Journal } from '../../src/journal/journal.js'
import { commitRecords, type CallRecord } from '../../src/store/commit.js'
import { makeTenants } from '../../test/support/call-records.js'
import { copyCalls, readCalls, type CopiedCall } from './bare-copy.js'
import { billedCalls } from './billed-calls.js'
import { withDatabase, withPool } from './database.js'
import { postgresCpu } from './postgres-cpu.js'
import { median } from './summary.js'

export interface Commits {
  /** Billed CDRs a second: the median of the rounds, and each round. */
  readonly perSecond: number
  readonly rounds: readonly number[]
  /** µs of CPU a CDR in this process, and in all of PostgreSQL's where that can be told. */
  readonly nodeCpuUs: number
  readonly postgresCpuUs: number | undefined
}

export interface CommitsOf {
  readonly tenants: number
  /** The product: a journal full of records, the feeder, the commit. */
  readonly feeder: Commits
  /** The commit alone, of records at hand, with as many connections and records a statement as the feeder. */
  readonly statement: Commits
  /** The limit: the rows that came of it, by COPY into the same tables, with as many connections and calls each. */
  readonly copy: Commits
}

export interface CommitsResult {
  readonly records: number
  /** CDRs in the tables at the end; they were empty at the beginning. */
  readonly cdrs: number
  readonly of: readonly CommitsOf[]
}

const tenantCounts = [1000, 1] as const
/** As the feeder has them by default. */
const likeFeeder = { lanes: 3, size: 500 } as const
/** As the server has it (src/server.ts). */
const connections = 4

interface Sample {
  readonly seconds: number
  readonly nodeCpu: number
  readonly postgresCpu: number | undefined
}

/** How many billed CDRs a second get into PostgreSQL, with all of its indexes. */
export function measureCommits(
  serverUrl: string,
  { records, rounds }: { readonly records: number; readonly rounds: number },
  progress: (text: string) => void,
): Promise<CommitsResult> {
  return withDatabase(serverUrl, (url) =>
    withDatabase(serverUrl, (bareUrl) =>
      withPool(url, connections, (pool) =>
        withPool(bareUrl, connections, async (barePool) => {
          const bench = new Bench(pool, barePool, await postgresCpu(pool))
          const tenants = await makeTenants(pool, 't', Math.max(...tenantCounts))
          await makeTenants(barePool, 't', tenants.length)
          const of = tenantCounts.map((count) => ({
            tenants: tenants.slice(0, count),
            samples: newSamples(),
          }))
          // The first round, in which code is compiled, does not count.
          for (let round = 0; round <= rounds; round++)
            for (const { tenants, samples } of of) {
              progress(`commits, round ${round} of ${rounds}: ${tenants.length} tenants`)
              const { feeder, statement, copy } = await bench.round(records, tenants)
              if (round === 0) continue
              samples.feeder.push(feeder)
              samples.statement.push(statement)
              samples.copy.push(copy)
            }
          const cdrs = await checkBooks(pool)
          const expected = (rounds + 1) * tenantCounts.length * 2 * records
          if (cdrs !== expected) throw new Error(`${cdrs} CDRs were committed, not ${expected}`)
          return { records, cdrs, of: of.map(({ tenants, samples }) => result(tenants, samples, records)) }
        }),
      ),
    ),
  )
}

export interface CommitsIntoResult {
  readonly records: number
  /** CDRs that were there before. */
  readonly cdrs: number
  /** From a journal, of as many tenants each. */
  readonly of: readonly { readonly tenants: number; readonly feeder: Commits }[]
}

/** The same into tables that have rows already, and stay. */
export async function commitsInto(
  pool: pg.Pool,
  { records, rounds }: { readonly records: number; readonly rounds: number },
  progress: (text: string) => void,
): Promise<CommitsIntoResult> {
  const before = await checkBooks(pool)
  const bench = new Bench(pool, pool, await postgresCpu(pool))
  const all = await makeTenants(pool, 't', Math.max(...tenantCounts))
  const of: CommitsIntoResult['of'][number][] = []
  for (const count of tenantCounts) {
    const tenants = all.slice(0, count)
    const samples: Sample[] = []
    for (let round = 0; round <= rounds; round++) {
      progress(`commits among ${before} charged calls, round ${round} of ${rounds}: ${count} tenants`)
      const sample = await bench.throughFeeder(billedCalls(records, tenants))
      if (round > 0) samples.push(sample)
    }
    of.push({ tenants: count, feeder: commitsOf(samples, records) })
  }
  const after = await checkBooks(pool)
  const expected = before + (rounds + 1) * tenantCounts.length * records
  if (after !== expected) throw new Error(`${after} CDRs were committed, not ${expected}`)
  return { records, cdrs: before, of }
}

const newSamples = () => ({ feeder: [] as Sample[], statement: [] as Sample[], copy: [] as Sample[] })

class Bench {
  readonly #pool: pg.Pool
  readonly #barePool: pg.Pool
  readonly #postgresCpu: () => number | undefined

  constructor(pool: pg.Pool, barePool: pg.Pool, postgresCpu: () => number | undefined) {
    this.#pool = pool
    this.#barePool = barePool
    this.#postgresCpu = postgresCpu
  }

  async round(records: number, tenants: readonly string[]) {
    const calls = billedCalls(records, tenants)
    const feeder = await this.throughFeeder(calls)
    const copied = await readCalls(
      this.#pool,
      calls.map(({ callUuid }) => callUuid),
    )
    const statement = await this.#throughStatement(billedCalls(records, tenants))
    const copy = await this.#throughCopy(copied)
    return { feeder, statement, copy }
  }

  async throughFeeder(calls: readonly CallRecord[]): Promise<Sample> {
    const dir = await mkdtemp(join(tmpdir(), 'linger-bench-journal-'))
    const log = pino({ level: 'silent' })
    const journal = await Journal.open({ dir, log })
    try {
      await Promise.all(calls.map((call) => journal.append(call)))
      const sample = await this.#measured(async () => {
        const feeder = new Feeder({ journal, pool: this.#pool, log })
        await feeder.drain()
        await feeder.close()
      })
      if (journal.aside > 0) throw new Error(`${journal.aside} records were set aside`)
      return sample
    } finally {
      await journal.close()
      await rm(dir, { recursive: true, force: true })
    }
  }

  #throughStatement(calls: readonly CallRecord[]): Promise<Sample> {
    let next = 0
    const lane = async (): Promise<void> => {
      while (next < calls.length)
        await commitRecords(this.#pool, calls.slice(next, (next += likeFeeder.size)))
    }
    return this.#measured(() => Promise.all(Array.from({ length: likeFeeder.lanes }, lane)))
  }

  #throughCopy(calls: readonly CopiedCall[]): Promise<Sample> {
    return this.#measured(() => copyCalls(this.#barePool, calls, likeFeeder))
  }

  async #measured(work: () => Promise<unknown>): Promise<Sample> {
    const postgresBefore = this.#postgresCpu()
    const nodeBefore = cpuUsage()
    const began = performance.now()
    await work()
    const seconds = (performance.now() - began) / 1000
    const { user, system } = cpuUsage(nodeBefore)
    const postgresAfter = this.#postgresCpu()
    const isKnown = postgresBefore !== undefined && postgresAfter !== undefined
    return {
      seconds,
      nodeCpu: user + system,
      postgresCpu: isKnown ? postgresAfter - postgresBefore : undefined,
    }
  }
}

/** @throws when money is missing: a feeder that loses records is fast, and of no use */
async function checkBooks(pool: pg.Pool): Promise<number> {
  const { rows } = await pool.query<{ cdrs: number; debits: number; wrong: number }>(
    `SELECT (SELECT count(*)::integer FROM cdrs WHERE cost > 0) AS cdrs,
      (SELECT count(*)::integer FROM ledger WHERE kind = 'debit') AS debits,
      (SELECT count(*)::integer FROM balances
        LEFT JOIN (SELECT tenant_id, sum(amount) AS total FROM ledger GROUP BY 1) l USING (tenant_id)
        WHERE balance <> coalesce(total, 0)) AS wrong`,
  )
  const [row] = rows
  if (row?.cdrs !== row?.debits || row?.wrong !== 0) throw new Error(`wrongly billed: ${JSON.stringify(row)}`)
  return row.cdrs
}

function result(
  tenants: readonly string[],
  { feeder, statement, copy }: ReturnType<typeof newSamples>,
  records: number,
): CommitsOf {
  const of = (samples: readonly Sample[]) => commitsOf(samples, records)
  return { tenants: tenants.length, feeder: of(feeder), statement: of(statement), copy: of(copy) }
}

function commitsOf(samples: readonly Sample[], records: number): Commits {
  const rounds = samples.map(({ seconds }) => records / seconds)
  const postgres = samples.flatMap(({ postgresCpu }) => (postgresCpu === undefined ? [] : [postgresCpu]))
  return {
    perSecond: median(rounds),
    rounds,
    nodeCpuUs: median(samples.map(({ nodeCpu }) => nodeCpu / records)),
    postgresCpuUs: postgres.length > 0 ? median(postgres) / records : undefined,
  }
}
