import { withDatabase, withPool } from './database.js'
import type { Options } from './options.js'
import { planSql } from './plan-entries.js'
import type { PlanLookUps } from './plan-process.js'
import type { MeasuredServer, Processes } from './processes.js'
import { median } from './summary.js'
import { Worker } from './worker.js'
import { seedDemo } from '../../src/store/seed.js'

/** What a large number plan costs a call of the whole server, and what a look-up in it costs. */
export interface PlanResult extends PlanLookUps {
  readonly entries: number
  /** CPU of a call with the plan, of that without: the median of the rounds, and each round. */
  readonly cpuRatio: number
  readonly ratios: readonly number[]
}

/** Two servers, alike but for their plan, in rounds by turns: what else the machine does hits both. */
export function measurePlan(
  processes: Processes,
  serverUrl: string,
  { calls, parallel, rounds }: Options,
  progress: (text: string) => void,
): Promise<PlanResult> {
  return withDatabase(serverUrl, (emptyUrl) =>
    withDatabase(serverUrl, async (fullUrl) => {
      progress('number plan: writing 100,000 entries')
      const entries = await withPool(fullUrl, 1, async (pool) => {
        await seedDemo(pool)
        const work = { text: planSql, values: [], query_timeout: 600_000 }
        const { rowCount } = await pool.query(work)
        return rowCount ?? 0
      })
      progress('number plan: looking numbers up')
      const lookUps = await inAFreshProcess(fullUrl)
      const servers = [
        await processes.startServer('d', emptyUrl),
        await processes.startServer('d', fullUrl),
      ] as const
      const cpuOf = async (server: MeasuredServer) => {
        const before = await server.cpu()
        await processes.load.ask('play', { port: server.port, calls, parallel })
        return (await server.cpu()) - before
      }
      try {
        for (const server of servers) await cpuOf(server)
        const ratios: number[] = []
        for (let round = 1; round <= rounds; round++) {
          progress(`number plan: round ${round} of ${rounds}`)
          const [empty, full] = servers
          // Who comes second has a machine that is warmer, or busier.
          const [first, second] = round % 2 === 0 ? [empty, full] : [full, empty]
          const ratio = (await cpuOf(first)) / (await cpuOf(second))
          ratios.push(first === full ? ratio : 1 / ratio)
        }
        return { entries, cpuRatio: median(ratios), ratios, ...lookUps }
      } finally {
        for (const server of servers) await server.stop()
      }
    }),
  )
}

async function inAFreshProcess(databaseUrl: string): Promise<PlanLookUps> {
  const worker = await Worker.start('./plan-process.js', [databaseUrl], ['--expose-gc'])
  try {
    return (await worker.ask('lookUp')) as PlanLookUps
  } finally {
    await worker.stop()
  }
}
