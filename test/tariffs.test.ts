import type pg from 'pg'
import t, { type Test } from 'tap'

import { openPool } from '../src/store/database.js'
import { importRates } from '../src/store/rates.js'
import { Tariffs } from '../src/store/tariffs.js'
import { plainRate } from './support/rates.js'
import { testDatabase } from './support/services.js'

const { pool, url } = await testDatabase(t)
await pool.query(
  `INSERT INTO decks (id, name, currency) VALUES ('big', 'Big', 'EUR'), ('small', 'Small', 'EUR')`,
)
/** So many that a change of all of them is one of the deck as a whole. */
const many = Array.from({ length: 2_000 }, (_, i) => plainRate(String(10_000 + i), 1_000_000n))

/** Decks whose reading as a whole waits at a gate, when what it will read is settled already. */
async function gatedTariffs(t: Test) {
  await importRates(pool, 'big', many, { isWhole: true })
  await importRates(pool, 'small', [plainRate('1', 1_000_000n)], { isWhole: true })
  const gate = new Gate()
  const own = openPool(url, { max: 4 })
  own.on('connect', (client) => {
    gate.guard(client)
  })
  t.teardown(() => own.end())
  const tariffs = new Tariffs(own)
  await tariffs.need(['big', 'small'])
  return { tariffs, gate }
}

class Gate {
  #opened = Promise.resolve()
  open: () => void = () => undefined
  #arrived: (pid: number) => void = () => undefined

  /** @returns the process of the server whose COPY stands before the gate */
  close(): Promise<number> {
    this.#opened = new Promise((resolve) => {
      this.open = resolve
    })
    return new Promise((resolve) => {
      this.#arrived = resolve
    })
  }

  guard(client: pg.PoolClient): void {
    const query = client.query.bind(client) as (...words: unknown[]) => unknown
    const guarded = (...words: unknown[]): unknown => {
      if (!isCopy(words[0])) return query(...words)
      this.#arrived((client as pg.PoolClient & { processID: number }).processID)
      return this.#opened.then(() => query(...words))
    }
    Object.assign(client, { query: guarded })
  }
}

function isCopy(query: unknown): boolean {
  return typeof query === 'object' && query !== null && 'handleCopyData' in query
}

function prices(tariffs: Tariffs): (bigint | undefined)[] {
  const price = (deckId: string, number: string) => {
    const units = tariffs.deck(deckId)?.find(number, 0)?.pricePerMinute
    return units === undefined ? undefined : units / 1_000_000n
  }
  return [price('big', '10000'), price('big', '10001'), price('small', '1')]
}

const setAll = (price: number) =>
  pool.query(`UPDATE rates SET price_per_minute = $1 WHERE deck_id = 'big'`, [price])
const setOne = (price: number) =>
  pool.query(`UPDATE rates SET price_per_minute = $1 WHERE prefix IN ('10000', '1')`, [price])

t.test('a deck that is being read as a whole holds up no change of single rates', async (t) => {
  const { tariffs, gate } = await gatedTariffs(t)
  const arrived = gate.close()
  await setAll(2)
  await tariffs.refresh()
  await arrived
  t.same(prices(tariffs), [1n, 1n, 1n], 'it answers as before')
  await setOne(3)
  await tariffs.refresh()
  t.same(prices(tariffs), [3n, 1n, 3n])
  gate.open()
  await tariffs.settled()
  t.same(prices(tariffs), [3n, 2n, 3n], 'what changed meanwhile is not lost')
})

t.test('a deck that changes as a whole while it is read is read once more', async (t) => {
  const { tariffs, gate } = await gatedTariffs(t)
  const arrived = gate.close()
  await setAll(4)
  await tariffs.refresh()
  await arrived
  await setAll(5)
  await tariffs.refresh()
  gate.open()
  await tariffs.settled()
  t.same(prices(tariffs), [5n, 5n, 1n])
})

t.test('a deck that could not be read is out of date until it was', async (t) => {
  const { tariffs, gate } = await gatedTariffs(t)
  const arrived = gate.close()
  await setAll(6)
  await tariffs.refresh()
  const read = tariffs.settled()
  await pool.query('SELECT pg_terminate_backend($1, 5000)', [await arrived])
  gate.open()
  await t.rejects(read)
  t.equal(tariffs.version, undefined, 'whoever follows it asks again')
  t.same(prices(tariffs), [1n, 1n, 1n])
  await t.rejects(tariffs.refresh(), 'and hears why')
  await tariffs.settled()
  t.same(prices(tariffs), [6n, 6n, 1n])
  t.type(tariffs.version, 'string')
  await tariffs.refresh()
})

t.test('a deck that is let go while it is read does not come back', async (t) => {
  const { tariffs, gate } = await gatedTariffs(t)
  const arrived = gate.close()
  await setAll(7)
  await tariffs.refresh()
  await arrived
  tariffs.keep(new Set(['small']))
  gate.open()
  await tariffs.settled()
  t.same(prices(tariffs), [undefined, undefined, 1n])
  await tariffs.need(['big'])
  t.same(prices(tariffs), [7n, 7n, 1n])
})
