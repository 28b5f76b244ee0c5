import { pino } from 'pino'
import { Catalog } from '../../src/store/catalog.js'
import { openPool } from '../../src/store/database.js'
import { collectedMemory } from './memory.js'
import { plannedNumber, unplannedNumber } from './plan-entries.js'
import { median } from './summary.js'
import { answer } from './worker.js'

/** The process that holds the measured number plan: answers `lookUp`. */

export interface PlanLookUps {
  readonly readSeconds: number
  readonly heapMegabytes: number
  /** CPU of one look-up in ns, the median of the rounds: the product's own, and one probe of a bare Map. */
  readonly foundNs: number
  readonly missedNs: number
  readonly mapProbeNs: number
}

const [databaseUrl = ''] = process.argv.slice(2)
const pool = openPool(databaseUrl, { max: 4 })
let catalog: Catalog | undefined

answer({ lookUp }, async () => {
  await catalog?.close()
  await pool.end()
})

const numbersARound = 200_000
const roundsMeasured = 9

async function lookUp(): Promise<PlanLookUps> {
  await pool.query('SELECT')
  const before = await collectedMemory()
  const began = performance.now()
  const known = (catalog = await Catalog.load(pool, { log: pino({ level: 'silent' }) }))
  const readSeconds = (performance.now() - began) / 1000
  const { heap } = await collectedMemory()
  const found = Array.from({ length: numbersARound }, (_, i) => plannedNumber(i))
  const missed = Array.from({ length: numbersARound }, (_, i) => unplannedNumber(i))
  const map = new Map(found.map((number) => [number, number]))
  return {
    readSeconds,
    heapMegabytes: (heap - before.heap) / 1e6,
    foundNs: medianNs(() => count(found, (number) => planned(known, number)), numbersARound),
    missedNs: medianNs(() => count(missed, (number) => planned(known, number)), 0),
    mapProbeNs: medianNs(() => count(found, (number) => map.has(number)), numbersARound),
  }
}

function planned(known: Catalog, number: string): boolean {
  return known.plan('demo', 'outbound', number, number) !== undefined
}

function count(numbers: readonly string[], isFound: (number: string) => boolean): number {
  let found = 0
  for (const number of numbers) if (isFound(number)) found++
  return found
}

/**
 * The first round, which is compiled meanwhile, does not count.
 * @throws when it is not what it should be: a plan that finds nothing is fast, and of no use
 */
function medianNs(round: () => number, expected: number): number {
  const times: number[] = []
  for (let i = 0; i <= roundsMeasured; i++) {
    const began = process.cpuUsage()
    const found = round()
    const { user, system } = process.cpuUsage(began)
    if (i > 0) times.push(((user + system) * 1000) / numbersARound)
    if (found !== expected)
      throw new Error(`${found} of ${numbersARound} numbers had an entry, not ${expected}`)
  }
  return median(times)
}
