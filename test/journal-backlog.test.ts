import { setTimeout as delay } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { pino } from 'pino'
import t from 'tap'
import { Feeder } from '../src/journal/feeder.js'
import { Journal } from '../src/journal/journal.js'
import { openPool } from '../src/store/database.js'
import { booksOf, makeTenants, paidCall } from './support/call-records.js'
import { Line } from './support/outage.js'
import { temporaryFolder, testDatabase } from './support/services.js'

/**
 * PostgreSQL is away while the journal fills and calls go on, and comes back. LINGER_BACKLOG=full plays it at
 * full length (`npm run test:journal`).
 */
const isFull = process.env.LINGER_BACKLOG === 'full'
const backlog = isFull ? 360_000 : 12_000
const liveMs = isFull ? 120_000 : 4_500
const callsPerSecond = 100
/** What may be held on to at any time: the batches under way, not the 700 MiB of the whole backlog. */
const maxGrowthMiB = 24

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** Memory that is in use, in MiB. */
async function memory(): Promise<number> {
  collectGarbage()
  // What goes with an object outside of V8's heap goes in the next turn.
  await new Promise(setImmediate)
  collectGarbage()
  const { heapUsed, external } = process.memoryUsage()
  return (heapUsed + external) / 2 ** 20
}

function percentile(values: readonly number[], part: number): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length * part)] ?? NaN
}

t.test('an outage with a long backlog and calls all the while loses nothing, in flat memory', async (t) => {
  const { pool, url } = await testDatabase(t)
  const tenants = await makeTenants(pool, 'backlog', 50)
  const line = await Line.to(t, url)
  const distant = openPool(line.url(url), { max: 4 })
  t.teardown(() => distant.end())
  const log = pino({ level: 'silent' })
  const journal = await Journal.open({ dir: await temporaryFolder(t), log })
  t.teardown(() => journal.close())
  const feeder = new Feeder({ journal, pool: distant, log })
  t.teardown(() => feeder.close())

  const template = paidCall(60_000)
  let made = 0
  const nextCall = () => {
    const id = made++
    const callUuid = `call-${id}`
    return {
      ...template,
      callUuid,
      tenant: tenants[id % tenants.length]!,
      charges: template.charges.map((charge) => ({ ...charge, legUuid: `leg-${id}` })),
    }
  }

  // Once as it will be, so that the memory of code and pools counts for nothing.
  await Promise.all(Array.from({ length: 3_000 }, () => journal.append(nextCall())))
  await feeder.drain()
  const memoryBefore = await memory()
  const growths: number[] = []
  const measure = async (): Promise<void> => {
    growths.push((await memory()) - memoryBefore)
  }

  await line.cut()
  const filledFrom = performance.now()
  while (made < backlog) await Promise.all(Array.from({ length: 500 }, () => journal.append(nextCall())))
  const fillMs = performance.now() - filledFrom
  t.ok(journal.pending > backlog - 3_100)
  t.ok(feeder.isAway)
  await measure()

  // Calls begin and end, a third of the time without PostgreSQL, then while the backlog goes out.
  const waits: number[] = []
  const call = async (): Promise<void> => {
    const record = nextCall()
    const from = performance.now()
    await journal.openCall(record.callUuid, { tenant: record.tenant })
    await journal.append(record)
    waits.push(performance.now() - from)
  }
  const calls: Promise<void>[] = []
  const liveFrom = performance.now()
  let mendedAt: number | undefined
  const liveCalls = (liveMs / 1_000) * callsPerSecond
  for (let due = 0; due < liveCalls; due++) {
    const at = liveFrom + (due * 1_000) / callsPerSecond
    if (at > performance.now()) await delay(at - performance.now())
    if (mendedAt === undefined && performance.now() - liveFrom > liveMs / 3) {
      await line.mend()
      mendedAt = performance.now()
    }
    calls.push(call())
    if (due % (liveCalls / 6) === 0) await measure()
  }
  await Promise.all(calls)
  t.ok(await feeder.drain())
  const deliveryMs = performance.now() - (mendedAt ?? NaN)

  const growth = Math.max(...growths)
  t.comment(
    `${isFull ? 'full' : 'short'} form: ${made} records; backlog written at ${Math.round(backlog / (fillMs / 1_000))}/s, ` +
      `delivered ${(deliveryMs / 1_000).toFixed(1)} s after PostgreSQL was back; ` +
      `a call's two writes: p50 ${percentile(waits, 0.5).toFixed(1)} ms, p99 ${percentile(waits, 0.99).toFixed(1)} ms; ` +
      `memory in use ${memoryBefore.toFixed(0)} MiB, then ${growths.map((more) => more.toFixed(1)).join(', ')} MiB more; ` +
      `resident at most ${(process.resourceUsage().maxRSS / 1_024).toFixed(0)} MiB`,
  )
  t.equal(journal.pending + journal.aside + journal.openCalls().length, 0)
  t.ok(growth < maxGrowthMiB, `memory grew by ${growth.toFixed(0)} MiB`)
  let committed = 0
  for (const tenant of tenants) {
    const books = await booksOf(pool, tenant)
    committed += books.calls
    t.match(books, { breaks: 0, lines: books.calls, balance: `-${books.calls * 500}.000000` })
    t.equal(books.balance, books.ledger)
  }
  t.equal(committed, made)
})
