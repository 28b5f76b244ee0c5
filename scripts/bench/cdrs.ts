import type pg from 'pg'
import { listCdrs } from '../../src/store/cdrs.js'
import type { CdrFilters } from '../../src/store/cdr-filters.js'
import { cdrTotals } from '../../src/store/cdr-totals.js'
import { bigTenant, factsOf, type CallFacts, type Month } from './cdr-rows.js'
import { fillTables } from './cdr-tables.js'
import { commitsInto, measureCommits, type CommitsIntoResult, type CommitsResult } from './commits.js'
import { withDatabase, withPool } from './database.js'
import { quantile } from './summary.js'

/** How long questions about CDRs take among many of them, and what their indexes cost the commits. */
export interface CdrsResult {
  readonly rows: number
  readonly fillSeconds: number
  readonly gigabytes: number
  /** A page by tenant, time and a number or a uuid. */
  readonly pages: readonly Asked[]
  /** Within a month of the tenant that has half of all calls. */
  readonly filters: readonly Asked[]
  /** Into tables that have all those rows, and into empty ones. */
  readonly commitsFull: CommitsIntoResult
  readonly commitsEmpty: CommitsResult
}

/** ms of one question. */
export interface Asked {
  readonly what: string
  readonly times: number
  readonly p50: number
  readonly p99: number
  readonly longest: number
}

const pageTimes = 300
const filterTimes = 24
const limit = 100

type Ask = (turn: number) => Promise<unknown>

export function measureCdrs(
  serverUrl: string,
  { rows, records, rounds }: { readonly rows: number; readonly records: number; readonly rounds: number },
  progress: (text: string) => void,
): Promise<CdrsResult> {
  return withDatabase(serverUrl, (url) =>
    withPool(url, 4, async (pool) => {
      const began = performance.now()
      const months = await fillTables(pool, rows, progress)
      const fillSeconds = (performance.now() - began) / 1000
      const { pages, filters } = await measureQuestions(pool, rows, months, progress)
      const gigabytes = await sizeOf(pool)
      const commitsFull = await commitsInto(pool, { records, rounds }, progress)
      const commitsEmpty = await measureCommits(serverUrl, { records, rounds }, progress)
      return { rows, fillSeconds, gigabytes, pages, filters, commitsFull, commitsEmpty }
    }),
  )
}

/** @param rows of `fillTables`, which answered `months` */
export async function measureQuestions(
  pool: pg.Pool,
  rows: number,
  months: readonly Month[],
  progress: (text: string) => void,
): Promise<Pick<CdrsResult, 'pages' | 'filters'>> {
  const questions = new Questions(pool, rows, months)
  const pages: Asked[] = []
  for (const [what, ask] of questions.pages()) pages.push(await timed(what, pageTimes, ask, progress))
  const filters: Asked[] = []
  for (const [what, ask] of questions.filters()) filters.push(await timed(what, filterTimes, ask, progress))
  return { pages, filters }
}

class Questions {
  readonly #pool: pg.Pool
  readonly #rows: number
  readonly #months: readonly Month[]

  constructor(pool: pg.Pool, rows: number, months: readonly Month[]) {
    this.#pool = pool
    this.#rows = rows
    this.#months = months
  }

  pages(): [what: string, ask: Ask][] {
    const page = (filters: (call: CallFacts, turn: number) => CdrFilters) => (turn: number) => {
      const call = this.#anyCall(turn)
      return this.#list({ tenant: call.tenant, ...filters(call, turn) })
    }
    return [
      [
        'tenant, month, caller',
        page(({ caller }, turn) => ({ ...this.#month(turn), caller: forms(caller) })),
      ],
      [
        'tenant, month, called',
        page(({ called }, turn) => ({ ...this.#month(turn), called: forms(called) })),
      ],
      ['tenant, month, call uuid', page(({ callUuid }, turn) => ({ ...this.#month(turn), callUuid }))],
      ['tenant, all months, caller', page(({ caller }) => ({ caller: forms(caller) }))],
      ['tenant, all months, called', page(({ called }) => ({ called: forms(called) }))],
      ['tenant, all months, call uuid', page(({ callUuid }) => ({ callUuid }))],
      ['tenant, month', page((_, turn) => this.#month(turn))],
      [
        'the page after it',
        async (turn) => {
          const filters = { tenant: this.#anyCall(turn).tenant, ...this.#month(turn) }
          const cursor = this.#cursors.get(turn) ?? (await this.#list(filters)).next
          this.#cursors.set(turn, cursor)
          return this.#list(filters, cursor)
        },
      ],
    ]
  }
  readonly #cursors = new Map<number, string | null>()

  filters(): [what: string, ask: Ask][] {
    const month = (filters: CdrFilters) => (turn: number) =>
      this.#list({ tenant: bigTenant, ...this.#month(turn), ...filters })
    const total = (filters: CdrFilters) => (turn: number) =>
      cdrTotals(this.#pool, { tenant: bigTenant, ...this.#month(turn), ...filters }, 25_000)
    return [
      ['a direction', month({ direction: 'inbound' })],
      ['a direction that there is not', month({ direction: 'internal' })],
      ['a cause', month({ cause: 'USER_BUSY' })],
      ['a cause that there is not', month({ cause: 'EXCHANGE_ROUTING_ERROR' })],
      ['a route that there is not', month({ route: 'queue' })],
      ['a gateway', month({ gateway: 'carrier3' })],
      ['a gateway that there is not', month({ gateway: 'carrier9' })],
      ['VIPs', month({ isVip: true })],
      ['blacklisted and busy', month({ isBlacklisted: true, cause: 'USER_BUSY' })],
      ['incomplete', month({ source: 'incomplete' })],
      ['a cost that there is not', month({ minCost: '10000000' })],
      ['a duration that there is not', month({ minDurationMs: 10_000_000 })],
      ['called, a prefix', month({ calledPrefix: ['849'] })],
      ['called, a rare prefix', month({ calledPrefix: ['8491050001'] })],
      ['called, a prefix that there is not', month({ calledPrefix: ['1'] })],
      ['caller, a prefix and a rare cause', month({ callerPrefix: ['10'], cause: 'CALL_REJECTED' })],
      ['totals', total({})],
      ['totals of a cause', total({ cause: 'USER_BUSY' })],
      ['totals of a called prefix', total({ calledPrefix: ['8491'] })],
    ]
  }

  #list(filters: CdrFilters, cursor: string | null = null) {
    return listCdrs(this.#pool, { ...filters, limit, ...(cursor !== null && { cursor }) })
  }

  #anyCall(turn: number): CallFacts {
    return factsOf((Math.imul(turn + 1, 0x9e3779b1) % this.#rows) >>> 0)
  }

  /** From and to. */
  #month(turn: number): { from: string; to: string } {
    const { from, to } = this.#months[turn % this.#months.length] ?? { from: 0, to: 0 }
    return { from: new Date(from).toISOString(), to: new Date(to).toISOString() }
  }
}

/** As the API asks for a number: as it was typed, and in normal form. */
function forms(number: string): string[] {
  return number.startsWith('84') ? [`0${number.slice(2)}`, number] : [number]
}

async function timed(
  what: string,
  times: number,
  ask: Ask,
  progress: (text: string) => void,
): Promise<Asked> {
  progress(`cdrs: ${what}`)
  const all: number[] = []
  for (let turn = 0; turn < times; turn++) {
    const began = performance.now()
    await ask(turn)
    all.push(performance.now() - began)
  }
  return {
    what,
    times,
    p50: quantile(all, 0.5),
    p99: quantile(all, 0.99),
    longest: Math.max(...all),
  }
}

async function sizeOf(pool: pg.Pool): Promise<number> {
  const { rows } = await pool.query<{ bytes: number }>(
    'SELECT pg_database_size(current_database())::float8 AS bytes',
  )
  return (rows[0]?.bytes ?? NaN) / 1e9
}
