import { pino } from 'pino'
import t from 'tap'

import { Feeder } from '../src/journal/feeder.js'
import { Journal } from '../src/journal/journal.js'
import { inTransaction, openPool } from '../src/store/database.js'
import { paidCall } from './support/call-records.js'
import { creditOn, heldBy, legOf, makePayer } from './support/credit.js'
import { temporaryFolder, testDatabase } from './support/services.js'

const { pool, url } = await testDatabase(t)
const log = pino({ level: 'silent' })

t.test(
  'a balance that somebody keeps locked holds up the records and the calls of no other tenant',
  async (t) => {
    const [free, locked] = [await makePayer(pool, 'a', '100000'), await makePayer(pool, 'z', '100000')]
    const own = openPool(url, { max: 4, lockTimeoutMs: 500 })
    t.teardown(() => own.end())
    const journal = await Journal.open({ dir: await temporaryFolder(t), log, reserveBytes: 2 ** 20 })
    t.teardown(() => journal.close())
    await Promise.all([free, locked].map(({ id }) => journal.append(paidCall(60_000, { tenant: id }))))
    await inTransaction(pool, async (client) => {
      await client.query('SELECT FROM balances WHERE tenant_id = $1 FOR UPDATE', [locked.id])
      const feeder = new Feeder({ journal, pool: own, log })
      t.teardown(() => feeder.close())
      // The one batch of both waits for `z`, and has `a` locked meanwhile.
      const from = performance.now()
      let balance = 0n
      while (performance.now() - from < 15_000 && balance !== 99_500_000_000n)
        ({ balance } = await heldBy(pool, free))
      t.equal(balance, 99_500_000_000n, "the free tenant's call is committed")
      t.match(await creditOn(pool, { timeoutMs: 2_000 }).authorise(legOf(free)), { kind: 'granted' })
    })
  },
)
