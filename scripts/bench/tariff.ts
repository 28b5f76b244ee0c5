import type pg from 'pg'
import { copyIn } from '../../src/store/copy.js'
import { openPool } from '../../src/store/database.js'
import { importRates, rateColumns, rateLine } from '../../src/store/rates.js'
import { rateCount, rates, type Order } from './tariff-rates.js'
import type { DeckRead, InForce, LookUps } from './tariff-process.js'
import { Worker } from './worker.js'

/** A million rates, from their import to their look-up, and beside it what the machine could do at best. */
export interface TariffResult extends DeckRead, LookUps, InForce {
  readonly rates: number
  /** The product's import into its table, keys, checks and triggers included, until it is committed. */
  readonly importSeconds: number
  /** The same in an order that suits no index. */
  readonly shuffledImportSeconds: number
  /** The same lines by the same COPY into a table without key, check, trigger or log. */
  readonly bareCopySeconds: number
}

/** Of the deck, and of the tenant that has it. */
const id = 'bench'
const shuffledId = 'bench-shuffled'
const seed = 20

/**
 * @param databaseUrl of a migrated database; what it has of the name `bench` is made anew, and deleted afterwards
 * @param progress told what is being measured
 */
export async function measureTariff(
  databaseUrl: string,
  progress: (text: string) => void,
): Promise<TariffResult> {
  const pool = openPool(databaseUrl, { max: 2 })
  const imported = async (deckId: string, order: Order) => {
    progress(`tariff: importing ${rateCount} rates, ${order}`)
    await pool.query(`INSERT INTO decks (id, name, currency) VALUES ($1, 'Bench', 'EUR')`, [deckId])
    return seconds(() => importRates(pool, deckId, rates(seed, order)))
  }
  try {
    await remove(pool)
    progress(`tariff: a bare COPY of ${rateCount} rates`)
    const bareCopySeconds = await seconds(() => bareCopy(pool))
    const importSeconds = await imported(id, 'by destination')
    const shuffledImportSeconds = await imported(shuffledId, 'shuffled')
    await pool.query(`INSERT INTO tenants (id, name, country, currency, deck_id)
      VALUES ('${id}', 'Bench', 'DE', 'EUR', '${id}')`)
    progress('tariff: reading them into memory, looking numbers up, changing a price')
    const used = await inAFreshProcess(databaseUrl)
    return { rates: rateCount, importSeconds, shuffledImportSeconds, bareCopySeconds, ...used }
  } finally {
    await remove(pool)
    await pool.end()
  }
}

async function bareCopy(pool: pg.Pool): Promise<void> {
  const client = await pool.connect()
  try {
    await client.query(`CREATE TEMPORARY TABLE bare_rates AS SELECT ${rateColumns} FROM rates WITH NO DATA`)
    const all = rates(seed, 'by destination')
    await copyIn(client, `bare_rates (${rateColumns})`, all, (rate) => rateLine(id, rate))
  } finally {
    // Its table goes with its connection.
    client.release(true)
  }
}

/** What a busy process has grown to would hide what a deck takes. */
async function inAFreshProcess(databaseUrl: string): Promise<DeckRead & LookUps & InForce> {
  const worker = await Worker.start('./tariff-process.js', [databaseUrl, id, String(seed)], ['--expose-gc'])
  try {
    const read = (await worker.ask('read')) as DeckRead
    const lookUps = (await worker.ask('lookUp')) as LookUps
    const inForce = (await worker.ask('change')) as InForce
    return { ...read, ...lookUps, ...inForce }
  } finally {
    await worker.stop()
  }
}

async function remove(pool: pg.Pool): Promise<void> {
  await pool.query('DELETE FROM tenants WHERE id = $1', [id])
  // Their rates go with them.
  const work = {
    text: 'DELETE FROM decks WHERE id = ANY ($1)',
    values: [[id, shuffledId]],
    query_timeout: 600_000,
  }
  await pool.query(work)
}

async function seconds(work: () => Promise<void>): Promise<number> {
  const began = performance.now()
  await work()
  return (performance.now() - began) / 1000
}
