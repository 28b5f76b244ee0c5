import type pg from 'pg'
import { makeTenants } from '../../test/support/call-records.js'
import { creditOn, legOf, topUp } from '../../test/support/credit.js'
import { withDatabase, withPool } from './database.js'
import { latency, newTimings, openLoop, type Latency } from './open-loop.js'

export interface AuthoriseResult {
  readonly perSecond: number
  /** A leg's first slice, prepaid: all legs of one tenant, and each of the next of a thousand. */
  readonly oneTenant: Latency
  readonly manyTenants: Latency
  /** The floor, over the same connections: `SELECT 1`, and a row of a thousand that is changed and committed. */
  readonly select: Latency
  readonly update: Latency
}

const perSecond = 500
const tenantCount = 1000
/** As the server has it for credit (src/server.ts). */
const connections = 8

/** How long a leg waits to be authorised, at an even 500 a second. */
export function measureAuthorise(
  serverUrl: string,
  { seconds, rounds }: { readonly seconds: number; readonly rounds: number },
  progress: (text: string) => void,
): Promise<AuthoriseResult> {
  return withDatabase(serverUrl, (url) =>
    withPool(url, connections, async (pool) => {
      const ways = await prepare(pool)
      const timings = ways.map(newTimings)
      // The first round, in which code is compiled and connections are opened, does not count.
      for (let round = 0; round <= rounds; round++)
        for (const [i, { name, ask }] of ways.entries()) {
          progress(`authorise, round ${round} of ${rounds}: ${name}`)
          await openLoop({ perSecond, seconds }, (round > 0 ? timings[i] : undefined) ?? newTimings(), ask)
        }
      const [oneTenant, manyTenants, select, update] = timings.map(latency)
      if (!oneTenant || !manyTenants || !select || !update) throw new Error('nothing was measured')
      return { perSecond, oneTenant, manyTenants, select, update }
    }),
  )
}

interface Way {
  readonly name: string
  readonly ask: (i: number) => Promise<void>
}

async function prepare(pool: pg.Pool): Promise<Way[]> {
  const tenants = await makeTenants(pool, 't', tenantCount)
  for (const tenant of tenants) await topUp(pool, tenant, '1000000000')
  await pool.query('CREATE TABLE probe (id integer PRIMARY KEY, n integer NOT NULL) WITH (fillfactor = 50)')
  await pool.query(`INSERT INTO probe SELECT i, 0 FROM generate_series(0, ${tenantCount - 1}) i`)
  const credit = creditOn(pool)
  const authorise = async (tenant: string | undefined): Promise<void> => {
    const answer = await credit.authorise(legOf({ id: tenant ?? '', billing: 'prepaid' }))
    if (answer.kind !== 'granted') throw new Error(`a leg was refused: ${answer.message}`)
  }
  return [
    { name: 'one tenant', ask: () => authorise(tenants[0]) },
    { name: `${tenantCount} tenants`, ask: (i) => authorise(tenants[i % tenantCount]) },
    {
      name: 'SELECT 1',
      ask: async () => {
        await pool.query({ name: 'one', text: 'SELECT 1' })
      },
    },
    {
      name: 'UPDATE of one row',
      ask: async (i) => {
        const text = 'UPDATE probe SET n = n + 1 WHERE id = $1'
        await pool.query({ name: 'update', text, values: [i % tenantCount] })
      },
    },
  ]
}
