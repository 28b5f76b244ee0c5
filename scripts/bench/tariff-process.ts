import { setImmediate as nextTurn } from 'node:timers/promises'
import { pino } from 'pino'
import { Catalog } from '../../src/store/catalog.js'
import { moneyUnit } from '../../src/billing/money.js'
import { openPool } from '../../src/store/database.js'
import { seededRandom } from '../../test/support/switch/random.js'
import { collectedMemory, type Memory } from './memory.js'
import { rateCount, ratedNumber, rates, unratedNumber } from './tariff-rates.js'
import { answer } from './worker.js'

/** The process that holds the measured deck: answers `read`, then `lookUp` and `change`. */

/** What the deck takes. */
export interface DeckRead {
  readonly readSeconds: number
  /** What the process has grown by, after the garbage was collected; heap and buffers are what the deck itself is. */
  readonly rssMegabytes: number
  readonly heapMegabytes: number
  readonly bufferMegabytes: number
}

/** From the beginning of the statement that changes one price of the deck until the changed price is found, in ms. */
export interface InForce {
  readonly inForceMs: number
  readonly inForceWorstMs: number
  /** ns of one look-up in the deck that has so changed in some places. */
  readonly ratedAfterChangesNs: number
}

/** ns of one look-up, the median of the rounds: the product's own, and one probe of a bare Map. */
export interface LookUps {
  readonly ratedNs: number
  readonly unratedNs: number
  readonly mapProbeNs: number
}

const [databaseUrl = '', tenantId = '', seedText = ''] = process.argv.slice(2)
const seed = Number(seedText)
const pool = openPool(databaseUrl, { max: 4 })
let catalog: Catalog | undefined

answer({ read, lookUp, change }, async () => {
  await catalog?.close()
  await pool.end()
})

async function read(): Promise<DeckRead> {
  // A connection and the code for it are there anyway, and so is, in a process that has worked, V8's young generation.
  await pool.query('SELECT')
  growYoungGeneration()
  const before = await collectedMemory()
  const began = performance.now()
  catalog = await Catalog.load(pool, { log: pino({ level: 'silent' }) })
  const readSeconds = (performance.now() - began) / 1000
  const after = await collectedMemory()
  const megabytes = (part: keyof Memory) => (after[part] - before[part]) / 1e6
  return {
    readSeconds,
    rssMegabytes: megabytes('rss'),
    heapMegabytes: megabytes('heap'),
    bufferMegabytes: megabytes('external'),
  }
}

/** V8 gives it more room when much in it survives; some 30 MB that are no part of the deck. */
function growYoungGeneration(): void {
  let survivors: string[] = []
  for (const { prefixEntered } of rates(seed, 'shuffled'))
    if (survivors.push(prefixEntered) === 50_000) survivors = []
}

const changes = 20

async function change(): Promise<InForce> {
  const known = loaded()
  const random = seededRandom(seed)
  const times: number[] = []
  for (let i = 1; i <= changes; i++) {
    const number = ratedNumber(Math.floor(random() * rateCount), random, seed)
    const prefix = known.rate(tenantId, number)?.prefix
    const began = performance.now()
    await pool.query('UPDATE rates SET price_per_minute = $1 WHERE deck_id = $2 AND prefix = $3', [
      1_000_000 + i,
      tenantId,
      prefix,
    ])
    const price = BigInt(1_000_000 + i) * moneyUnit
    while (known.rate(tenantId, number)?.pricePerMinute !== price) await nextTurn()
    times.push(performance.now() - began)
  }
  times.sort((a, b) => a - b)
  const rated = someNumbers(ratedNumber)
  return {
    inForceMs: times[times.length >> 1] ?? NaN,
    inForceWorstMs: times.at(-1) ?? NaN,
    ratedAfterChangesNs: medianNs(() => {
      expectFound(known, rated, numbersARound)
    }),
  }
}

function loaded(): Catalog {
  if (catalog === undefined) throw new Error('no deck was read')
  return catalog
}

const numbersARound = 200_000
const roundsMeasured = 9

function lookUp(): LookUps {
  const known = loaded()
  const rated = someNumbers(ratedNumber)
  const unrated = someNumbers(unratedNumber)
  const ratedNs = medianNs(() => {
    expectFound(known, rated, numbersARound)
  })
  const unratedNs = medianNs(() => {
    expectFound(known, unrated, 0)
  })
  return { ratedNs, unratedNs, mapProbeNs: bareProbe() }
}

function someNumbers(make: typeof ratedNumber): string[] {
  const random = seededRandom(seed)
  return Array.from({ length: numbersARound }, () => make(Math.floor(random() * rateCount), random, seed))
}

/** @throws when it is not what it should be: a table that finds nothing is fast, and of no use */
function expectFound(known: Catalog, numbers: readonly string[], expected: number): void {
  const now = Date.now() * 1000
  let count = 0
  for (const number of numbers) if (known.rate(tenantId, number, now) !== undefined) count++
  if (count !== expected) throw new Error(`${count} of ${numbers.length} numbers had a rate, not ${expected}`)
}

/** One probe for a text that is cut from a number, as any table of prefixes in a Map needs at least one. */
function bareProbe(): number {
  const map = new Map<string, number>()
  const numbers: string[] = []
  for (const { prefix } of rates(seed, 'shuffled')) {
    map.set(prefix, map.size)
    if (numbers.length < numbersARound) numbers.push(`${prefix}123456`)
  }
  return medianNs(() => {
    let sum = 0
    for (const number of numbers) sum += map.get(number.slice(0, -6)) ?? NaN
    if (Number.isNaN(sum)) throw new Error('a prefix was lost')
  })
}

/** The first round, which is compiled meanwhile, does not count. */
function medianNs(round: () => void): number {
  round()
  const times = Array.from({ length: roundsMeasured }, () => {
    const began = performance.now()
    round()
    return ((performance.now() - began) * 1e6) / numbersARound
  })
  return times.sort((a, b) => a - b)[roundsMeasured >> 1] ?? NaN
}
