import t from 'tap'

import { inTransaction } from '../src/store/database.js'
import { addPlanEntry, deletePlanEntry, type PlanEntryDraft } from '../src/store/number-plan.js'
import { ownsNumbers } from '../src/store/number-rights.js'
import { testDatabase } from './support/services.js'

const { pool } = await testDatabase(t)
await pool.query(`
  INSERT INTO tenants (id, name, country, currency) VALUES ('a', 'A', 'VN', 'VND'), ('b', 'B', 'VN', 'VND');
  INSERT INTO numbers (number, tenant_id) VALUES ('842873001000', 'a'), ('842873001001', 'a'), ('842873001002', 'a'),
    ('842873001003', 'b'), ('8428730010021', 'a'), ('842873001005', 'a')`)

const step = { route: 'dial' }
/** `024*` is a prefix, `1-2` a range. */
function inbound(text: string): PlanEntryDraft {
  const [number = '', to] = text.replace('*', '').split('-')
  const kind = text.endsWith('*') ? 'prefix' : to === undefined ? 'exact' : 'range'
  return { direction: 'inbound', kind, number, ...(to !== undefined && { to }), step }
}
const owns = (draft: PlanEntryDraft, tenant = 'a') =>
  inTransaction(pool, (client) => ownsNumbers(client, tenant, draft))

t.test('the numbers of a tenant are its DIDs, and what an inbound entry of its plan has', async (t) => {
  const table: [text: string, isOwn: boolean][] = [
    ['02873001000', true],
    ['+842873001002', true],
    ['02873001003', false],
    ['02873001004', false],
    ['02873001000-02873001002', true],
    ['02873001000-02873001003', false],
    ['02873001001-02873001005', false],
    ['02873001000*', false],
    ['1900', true],
    ['*98', true],
    ['reception', true],
    ['028*', true],
  ]
  for (const [text, isOwn] of table) t.equal(await owns(inbound(text)), isOwn, text)
  for (const direction of ['outbound', 'internal'] as const)
    t.equal(await owns({ ...inbound('02873009999'), direction }), true, `${direction}: nobody's own`)
  t.equal(await owns({ kind: 'exact', number: '02873009999', step }), true)
  await t.rejects(owns(inbound('')), { code: 'invalid' })
  t.equal(await owns(inbound('02873001000'), '\0'), true, 'no such tenant is for others to say')

  const range = await addPlanEntry(pool, 'a', inbound('02873005000-02873005999'), [])
  for (const [text, isOwn] of [
    ['02873005000', true],
    ['02873005999', true],
    ['02873006000', false],
    ['02873005000-02873005099', true],
    ['02873005990-02873006000', false],
    ['02873005*', false],
    ['028730050001', false],
  ] as const)
    t.equal(await owns(inbound(text)), isOwn, `${text}, of a range`)
  t.equal(await owns(inbound('02873005000'), 'b'), false)
  await deletePlanEntry(pool, 'a', range.id)
  t.equal(await owns(inbound('02873005000')), false)

  await addPlanEntry(pool, 'a', inbound('02873007*'), [])
  for (const [text, isOwn] of [
    ['02873007', true],
    ['028730071234', true],
    ['028730071*', true],
    ['0287300*', false],
    ['02873007000-02873007999', true],
    ['02873006999-02873007000', false],
  ] as const)
    t.equal(await owns(inbound(text)), isOwn, `${text}, of a prefix`)
})

t.test('a number that is taken away meanwhile is no more its own when its entry is saved', async (t) => {
  const operator = await pool.connect()
  await operator.query('BEGIN')
  await operator.query(`UPDATE numbers SET tenant_id = 'b' WHERE number = '842873001000'`)
  const asked = owns(inbound('02873001000'))
  const isWaiting = async () =>
    (
      await pool.query(
        `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      )
    ).rowCount === 1
  while (!(await isWaiting())) await new Promise(setImmediate)
  await operator.query('COMMIT')
  operator.release()
  t.equal(await asked, false)
})
