import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as nextLook } from 'node:timers/promises'

import { pino } from 'pino'
import t from 'tap'
import { Compile } from 'typebox/compile'

import { Catalog } from '../src/store/catalog.js'
import { inTransaction } from '../src/store/database.js'
import type { Hours, Menu, Reference } from '../src/store/flow.js'
import { completeHours, completeMenu, hoursDocument, menuDocument } from '../src/store/flow-document.js'
import { hoursSchema, menuSchema } from '../src/store/flow-schemas.js'
import {
  deleteHours,
  deleteMenu,
  getHours,
  getMenu,
  listHours,
  listMenus,
  loadMenu,
  saveHours,
  saveMenu,
} from '../src/store/flows.js'
import { addPlanEntry, changePlanEntry, deletePlanEntry } from '../src/store/number-plan.js'
import { referrersOf } from '../src/store/references.js'
import { runScript } from './support/script.js'
import { temporaryFolder, testDatabase } from './support/services.js'

const { pool, url } = await testDatabase(t)
const log = pino({ level: 'silent' })
await pool.query(`
  INSERT INTO tenants (id, name, country, currency) VALUES ('a', 'A', 'VN', 'VND'), ('b', 'B', 'VN', 'VND');
  INSERT INTO extensions (tenant_id, number) VALUES ('a', '1001'), ('b', '2002')`)

/** Asked once an hour: a notice, `reload` and load itself make it read anything. */
async function load(): Promise<Catalog> {
  const catalog = await Catalog.load(pool, { log, pollMs: 3_600_000 })
  t.teardown(() => catalog.close())
  return catalog
}
const catalog = await load()

function menu(id: string, changes: Partial<Omit<Menu, 'version'>> = {}): Omit<Menu, 'version'> {
  const plain = completeMenu(id, { name: `Menu ${id}`, prompt: ['ivr/welcome.wav'], choices: {} })
  return { ...plain, ...changes }
}

const office: Omit<Hours, 'version'> = {
  id: 'office',
  name: 'Office',
  week: { '1': [['08:00', '17:00']] },
  holidays: { '01-01': [] },
}

async function clear(): Promise<void> {
  await pool.query(
    'DELETE FROM number_plan; DELETE FROM flow_references; DELETE FROM flows; DELETE FROM flow_versions',
  )
}

t.test('a menu is in force for new calls at once, and a call keeps the one that it began with', async (t) => {
  const first = await saveMenu(pool, 'a', menu('main', { choices: { '1': { repeat: true } } }), [])
  t.equal(first.version, 1)
  t.same(first, { ...menu('main', { choices: { '1': { repeat: true } } }), version: 1 })
  await catalog.reload()
  const call = catalog.flows('a')
  t.same(call.menu('main'), first)
  const second = await saveMenu(pool, 'a', menu('main', { tries: 5 }), [])
  await saveMenu(pool, 'a', menu('other'), [])
  await catalog.reload()
  t.equal(second.version, 2)
  t.same(call.menu('main'), first, 'the call that had it has it')
  t.equal(call.menu('other'), undefined)
  t.same(catalog.flows('a').menu('main'), second)
  t.match(catalog.flows('a').menu('other'), { id: 'other', version: 1 })
  t.equal(catalog.flows('b').menu('main'), undefined, 'of one tenant alone')
  t.equal(catalog.flows('__proto__').menu('main'), undefined)
  // A call that its next node takes over after it was deleted, and made anew.
  await deleteMenu(pool, 'a', 'main')
  await catalog.reload()
  t.equal(catalog.flows('a').menu('main'), undefined)
  t.same(await catalog.earlierMenu('a', 'main', 1), first)
  t.same(await loadMenu(pool, 'a', 'main', 2), second)
  t.equal(await loadMenu(pool, 'a', 'main', 3), undefined)
  t.equal(await loadMenu(pool, 'b', 'main', 1), undefined)
  t.equal(await loadMenu(pool, 'a', '\0', 1), undefined)
  t.equal((await saveMenu(pool, 'a', menu('main'), [])).version, 3, 'no version is given twice')
  await clear()
})

t.test('hours come and go as menus do', async (t) => {
  const saved = await saveHours(pool, 'a', { ...office, timeZone: 'Asia/Ho_Chi_Minh' })
  await saveMenu(pool, 'a', menu('office'), [])
  await catalog.reload()
  t.same(catalog.flows('a').hours('office'), { ...office, timeZone: 'Asia/Ho_Chi_Minh', version: 1 })
  t.same(await getHours(pool, 'a', 'office'), saved)
  t.match(catalog.flows('a').menu('office'), { id: 'office' }, 'a menu may have the same id')
  t.equal((await saveHours(pool, 'a', saved)).version, 2, 'what was read may be saved')
  await deleteHours(pool, 'a', 'office')
  await catalog.reload()
  t.equal(catalog.flows('a').hours('office'), undefined)
  t.match(catalog.flows('a').menu('office'), { id: 'office' })
  await t.rejects(deleteHours(pool, 'a', 'office'), { code: 'not_found', message: /no hours "office"/ })
  await clear()
})

t.test('a change by hand is a version as well', async (t) => {
  await saveMenu(pool, 'a', menu('main'), [])
  await pool.query(`UPDATE flows SET definition = definition || '{"tries": 7}' WHERE id = 'main'`)
  await catalog.reload()
  t.match(catalog.flows('a').menu('main'), { version: 2, tries: 7 })
  t.match(await loadMenu(pool, 'a', 'main', 1), { tries: 3 })
  await clear()
})

t.test('a change is in force when its notice has come', async (t) => {
  const node = await load()
  const isListening = async () => {
    const { rowCount } = await pool.query(
      `SELECT FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%' AND state = 'idle'`,
    )
    return (rowCount ?? 0) >= 2
  }
  while (!(await isListening())) await nextLook(5)
  await saveMenu(pool, 'a', menu('main'), [])
  while (node.flows('a').menu('main') === undefined) await nextLook(5)
  await deleteMenu(pool, 'a', 'main')
  while (node.flows('a').menu('main') !== undefined) await nextLook(5)
  t.equal(node.flows('a').menu('main'), undefined)
  await node.close()
  await clear()
})

t.test('who saves what somebody else has changed meanwhile is told', async (t) => {
  await saveMenu(pool, 'a', menu('main'), [], 0)
  await t.rejects(saveMenu(pool, 'a', menu('main'), [], 0), {
    name: 'ChangeRefused',
    code: 'taken',
    message: 'there is a menu "main" already',
  })
  t.equal((await saveMenu(pool, 'a', menu('main'), [], 1)).version, 2)
  await t.rejects(saveMenu(pool, 'a', menu('main'), [], 1), {
    code: 'conflict',
    message: 'somebody changed the menu "main": there is version 2 now, not 1',
  })
  await t.rejects(deleteMenu(pool, 'a', 'main', 1), { code: 'conflict' })
  await t.rejects(saveMenu(pool, 'a', menu('new'), [], 1), { code: 'not_found' })
  await deleteMenu(pool, 'a', 'main', 2)
  const makers = await Promise.allSettled(
    [1, 2, 3, 4].map((tries) => saveMenu(pool, 'a', menu('main', { tries }), [], 0)),
  )
  t.equal(makers.filter(({ status }) => status === 'fulfilled').length, 1, 'of four who make it one does')
  await clear()
})

t.test('what is referred to must be there', async (t) => {
  const references: Reference[] = [
    { kind: 'menu', id: 'sales' },
    { kind: 'hours', id: 'office' },
    { kind: 'extension', id: '1001' },
    { kind: 'extension', id: '2002' },
    { kind: 'extension', id: '1001' },
  ]
  await t.rejects(saveMenu(pool, 'a', menu('main'), references), {
    code: 'missing',
    message:
      'the menu "main" refers to the menu "sales", the hours "office", the extension "2002", which do not exist',
  })
  t.equal(await getMenu(pool, 'a', 'main'), undefined, 'and nothing is saved')
  await saveMenu(pool, 'a', menu('sales'), [])
  await saveHours(pool, 'a', office)
  await saveMenu(pool, 'a', menu('main'), references.slice(0, 3))
  await t.rejects(
    addPlanEntry(pool, 'a', { kind: 'exact', number: '1', step: { route: 'menu' } }, [
      { kind: 'menu', id: 'x' },
    ]),
    {
      code: 'missing',
      message: `the number plan's entry for 1 refers to the menu "x", which does not exist`,
    },
  )
  t.same((await pool.query('SELECT FROM number_plan')).rowCount, 0)
  await t.rejects(saveMenu(pool, 'b', menu('main'), [{ kind: 'menu', id: 'sales' }]), { code: 'missing' })
  await clear()
})

t.test('what is referred to cannot be deleted, and whoever asks is told by what', async (t) => {
  const toSales: Reference[] = [{ kind: 'menu', id: 'sales' }]
  await saveMenu(pool, 'a', menu('sales'), [])
  await saveMenu(pool, 'a', menu('sales'), toSales)
  await saveHours(pool, 'a', office)
  await saveMenu(pool, 'a', menu('main'), [...toSales, { kind: 'hours', id: 'office' }])
  const step = { route: 'menu', arguments: { menu: 'sales' } }
  const entry = await addPlanEntry(pool, 'a', { kind: 'prefix', number: '024', step }, [
    ...toSales,
    { kind: 'extension', id: '1001' },
  ])
  await t.rejects(deleteMenu(pool, 'a', 'sales'), {
    code: 'in_use',
    message:
      'the menu "sales" cannot be deleted: the menu "main", the number plan\'s entry for what begins with "024" lead to it',
  })
  await t.rejects(deleteHours(pool, 'a', 'office'), {
    code: 'in_use',
    message: 'the hours "office" cannot be deleted: the menu "main" leads to it',
  })
  t.same(await referrersOf(pool, 'a', { kind: 'extension', id: '1001' }), [
    { kind: 'plan', id: String(entry.id), numbers: 'what begins with "024"' },
  ])
  await t.rejects(pool.query(`DELETE FROM extensions WHERE tenant_id = 'a'`), { code: '23503' })
  await t.rejects(pool.query(`UPDATE extensions SET number = '1002' WHERE tenant_id = 'a'`), {
    code: '23503',
  })
  await t.rejects(pool.query(`DELETE FROM flows WHERE id = 'sales'`), { code: '23503' })
  // As soon as nothing leads to it any more, it can be.
  await saveMenu(pool, 'a', menu('main'), [])
  await changePlanEntry(pool, 'a', entry.id, { kind: 'prefix', number: '025', step: { route: 'reject' } }, [])
  await deleteHours(pool, 'a', 'office')
  await deleteMenu(pool, 'a', 'sales')
  t.equal(await getMenu(pool, 'a', 'sales'), undefined, 'a menu that leads to itself is in nobody’s way')
  await deletePlanEntry(pool, 'a', entry.id)
  t.equal((await pool.query('SELECT FROM flow_references')).rowCount, 0)
  await clear()
})

t.test('nothing is taken away from somebody who is about to refer to it', async (t) => {
  await saveMenu(pool, 'a', menu('sales'), [])
  const referring = await pool.connect()
  await referring.query('BEGIN')
  await saveMenu(referring, 'a', menu('main'), [{ kind: 'menu', id: 'sales' }])
  const deleted = deleteMenu(pool, 'a', 'sales')
  deleted.catch(() => undefined)
  const isWaiting = async () =>
    (
      await pool.query(
        `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      )
    ).rowCount === 1
  while (!(await isWaiting())) await nextLook(5)
  await referring.query('COMMIT')
  referring.release()
  await t.rejects(deleted, { code: 'in_use' })
  await clear()
})

t.test('in a transaction of the caller’s all is done or nothing', async (t) => {
  await t.rejects(
    inTransaction(pool, async (client) => {
      await saveMenu(client, 'a', menu('one'), [])
      await saveMenu(client, 'a', menu('two'), [{ kind: 'menu', id: 'three' }])
    }),
    { code: 'missing' },
  )
  await inTransaction(pool, async (client) => {
    await saveMenu(client, 'a', menu('two'), [])
    await saveMenu(client, 'a', menu('three'), [{ kind: 'menu', id: 'two' }])
    await saveMenu(client, 'a', menu('two'), [{ kind: 'menu', id: 'three' }])
  })
  const { items } = await listMenus(pool, { tenantId: 'a', limit: 10 })
  t.same(
    items.map(({ id }) => id),
    ['three', 'two'],
  )
  await clear()
})

t.test('what is not as it must be is refused with its place', async (t) => {
  const table: [what: unknown, says: RegExp][] = [
    [{ tries: 0 }, /^tries: /],
    [{ tries: 11 }, /^tries: /],
    [{ timeoutMs: 499 }, /^timeout_ms: /],
    [{ interDigitMs: 60_001 }, /^inter_digit_ms: /],
    [{ prompt: Array.from({ length: 17 }, () => 'a.wav') }, /^prompt: /],
    [{ choices: { a: { repeat: true } } }, /^choices/],
    [{ choices: { '1': {} } }, /^choices\.1/],
    [{ choices: { '1': { menu: 'Main' } } }, /^choices\.1/],
    [{ choices: { '1': { route: 'play', then: 'x' } } }, /^choices\.1/],
    [
      { choices: Object.fromEntries(Array.from({ length: 101 }, (_, i) => [i, { repeat: true }])) },
      /^choices/,
    ],
    [{ otherwise: { route: '../menu' } }, /^otherwise\.route/],
    [{ name: '' }, /^name/],
    [{ nonsense: true }, /nonsense|additional/],
    [{ name: 'x\0' }, /NUL/],
    [{ choices: { '1': { route: 'x', arguments: { a: ['\ud800'] } } } }, /surrogate/],
    [{ choices: { '1': { route: 'x', arguments: { a: 'x'.repeat(70_000) } } } }, /^it is too large$/],
    [{ id: 'Main' }, /^id: /],
  ]
  for (const [change, says] of table)
    await t.rejects(
      saveMenu(pool, 'a', menu('main', change as Partial<Menu>), []),
      { code: 'invalid', message: says },
      JSON.stringify(change).slice(0, 80),
    )
  const hours: [change: Partial<Hours>, says: RegExp][] = [
    [{ timeZone: 'Europe/Atlantis' }, /^time_zone: .* is not a time zone/],
    [{ timeZone: '+07:00' }, /^time_zone/],
    [{ week: { '1': [['8:00', '17:00']] } }, /^week\.1/],
    [{ week: { '1': [['24:00', '24:00']] } }, /^week\.1/],
    [{ week: { '8': [] } as Hours['week'] }, /^week/],
    [{ week: { '1': [['08:00', '08:00']] } }, /^week\.1: 08:00 to 08:00 is no time/],
    [{ holidays: { '02-30': [] } }, /no 02-30/],
    [{ holidays: { '2025-02-29': [] } }, /no 2025-02-29/],
    [{ holidays: { '2025-1-1': [] } }, /^holidays/],
  ]
  for (const [change, says] of hours)
    await t.rejects(
      saveHours(pool, 'a', { ...office, ...change }),
      { code: 'invalid', message: says },
      JSON.stringify(change),
    )
  await saveHours(pool, 'a', { ...office, holidays: { '02-29': [], '2024-02-29': [['10:00', '24:00']] } })
  await t.rejects(saveMenu(pool, 'nobody', menu('main'), []), { code: 'not_found' })
  await t.rejects(saveMenu(pool, '\0', menu('main'), []), { code: 'not_found' })
  await clear()
})

t.test('a menu needs no more than a name, a prompt and choices', async (t) => {
  const sent = { name: 'Main', prompt: [], choices: { '9XX': { menu: 'sales' }, '*': { route: 'dial' } } }
  t.ok(Compile(menuSchema).Check(sent))
  t.same(completeMenu('main', sent), {
    ...{ id: 'main', ...sent, timeoutMs: 5_000, interDigitMs: 2_000, tries: 3 },
    ...{ bargeIn: true, directDial: false, invalidPrompt: [], noInputPrompt: [] },
  })
  const otherwise = { route: 'reject' }
  t.same(completeMenu('main', { ...sent, tries: 1, otherwise }).otherwise, otherwise)
})

t.test('what is sent is what is shown', async (t) => {
  const sent = {
    ...{ name: 'Main', prompt: ['a.wav'], choices: {}, timeout_ms: 600, inter_digit_ms: 700, tries: 2 },
    ...{ barge_in: false, direct_dial: true, invalid_prompt: ['b.wav'], no_input_prompt: ['c.wav'] },
    otherwise: { route: 'reject' },
  }
  t.ok(Compile(menuSchema).Check(sent))
  const { id, ...menu } = completeMenu('main', sent)
  t.match(menu, { timeoutMs: 600, interDigitMs: 700, bargeIn: false, directDial: true })
  t.same([id, menuDocument(menu)], ['main', sent])
  const hours = { name: 'Office', time_zone: 'Asia/Ho_Chi_Minh', week: {}, holidays: { '01-01': [] } }
  t.ok(Compile(hoursSchema).Check(hours))
  const { id: hoursId, ...rest } = completeHours('office', hours)
  t.equal(rest.timeZone, 'Asia/Ho_Chi_Minh')
  t.same([hoursId, hoursDocument(rest)], ['office', hours])
})

t.test('menus and hours are listed by id, page by page', async (t) => {
  for (const id of ['b', 'a', 'd', 'c', 'e']) await saveMenu(pool, 'a', menu(id), [])
  await saveMenu(pool, 'b', menu('x'), [])
  await saveHours(pool, 'a', office)
  const ids: string[][] = []
  let cursor: string | null = null
  do {
    const page: { items: Menu[]; next: string | null } = await listMenus(pool, {
      tenantId: 'a',
      limit: 2,
      ...(cursor !== null && { cursor }),
    })
    ids.push(page.items.map(({ id }) => id))
    cursor = page.next
  } while (cursor !== null)
  t.same(ids, [['a', 'b'], ['c', 'd'], ['e']])
  const all = await listMenus(pool, { limit: 5 })
  t.same(
    all.items.map(({ tenantId, id }) => `${tenantId}/${id}`),
    ['a/a', 'a/b', 'a/c', 'a/d', 'a/e'],
  )
  t.match(await listMenus(pool, { limit: 5, cursor: String(all.next) }), {
    items: [{ tenantId: 'b', id: 'x' }],
    next: null,
  })
  t.match(await listHours(pool, { tenantId: 'a', limit: 1 }), {
    items: [{ id: 'office', version: 1 }],
    next: null,
  })
  t.same(await listMenus(pool, { tenantId: 'nobody', limit: 1 }), { items: [], next: null })
  await t.rejects(listMenus(pool, { tenantId: 'a', limit: 1, cursor: 'x' }), { name: 'CursorError' })
  await clear()
})

t.test('of many menus the one that changed is read', async (t) => {
  await pool.query(`INSERT INTO flows (tenant_id, kind, id, definition)
    SELECT 'a', 'menu', 'm' || i, '{"name": "before"}' FROM generate_series(1, 1200) AS i`)
  await catalog.reload()
  const nameOf = (id: string) => catalog.flows('a').menu(id)?.name
  t.same([nameOf('m1'), nameOf('m1200')], ['before', 'before'])
  await pool.query(`BEGIN; ALTER TABLE flows DISABLE TRIGGER USER;
    UPDATE flows SET definition = '{"name": "unseen"}' WHERE id = 'm1'; ALTER TABLE flows ENABLE TRIGGER USER; COMMIT`)
  await pool.query(`UPDATE flows SET definition = '{"name": "after"}' WHERE id = 'm2'`)
  await pool.query(`DELETE FROM flows WHERE id = 'm3'`)
  await catalog.reload()
  t.same(
    ['m1', 'm2', 'm3', 'm4'].map(nameOf),
    ['before', 'after', undefined, 'before'],
    'what changed behind the back of all was not read',
  )
  await pool.query(`DELETE FROM flows WHERE id <> 'm1'`)
  await catalog.reload()
  t.same([nameOf('m1'), nameOf('m2')], ['unseen', undefined], 'more than are noted one by one: all was')
  await clear()
})

t.test('a tenant goes with all that leads from here to there', async (t) => {
  await pool.query(`INSERT INTO tenants (id, name, country, currency) VALUES ('c', 'C', 'VN', 'VND');
    INSERT INTO extensions (tenant_id, number) VALUES ('c', '1')`)
  const references: Reference[] = [
    { kind: 'extension', id: '1' },
    { kind: 'menu', id: 'main' },
  ]
  await saveMenu(pool, 'c', menu('main'), references.slice(0, 1))
  await addPlanEntry(pool, 'c', { kind: 'exact', number: '2', step: { route: 'menu' } }, references)
  await catalog.reload()
  t.ok(catalog.flows('c').menu('main'))
  await pool.query(`DELETE FROM tenants WHERE id = 'c'`)
  await catalog.reload()
  t.equal(catalog.flows('c').menu('main'), undefined)
  t.equal(catalog.plan('c', 'internal', '2', '2'), undefined)
  t.equal((await pool.query(`SELECT FROM flow_versions WHERE tenant_id = 'c'`)).rowCount, 0)
})

t.test(
  'npm run flows saves a file, or says what is wrong with it, or that it could not be tried',
  async (t) => {
    const dir = await temporaryFolder(t)
    const file = join(dir, 'flows.json')
    const menus = { main: { name: 'Main', prompt: ['ivr/welcome.wav'], choices: { '1': { repeat: true } } } }
    const saved = async (text: string, DATABASE_URL = url) => {
      await writeFile(file, text)
      return runScript('flows', ['a', file], { DATABASE_URL })
    }
    t.match(await saved(JSON.stringify({ menus })), { code: 0, err: '', out: /^saved for a: 1 menus/ })
    const spelledEarlier = { ...menus.main, directDial: true, timeoutMs: 900 }
    const asNow = { ...menus.main, barge_in: false }
    const both = {
      menus: { main: spelledEarlier, other: asNow },
      hours: { office: { ...office, id: undefined } },
    }
    t.match(await saved(JSON.stringify(both)), { code: 0, err: '' })
    t.match(await getMenu(pool, 'a', 'main'), { directDial: true, timeoutMs: 900, bargeIn: true })
    t.match(await getMenu(pool, 'a', 'other'), { directDial: false, bargeIn: false })
    t.match(await saved('[]'), { code: 1, err: /^flows: / })
    t.match(await saved('{'), { code: 1, out: '', err: /^flows: the file is no JSON: / })
    t.match(await saved('{"menus":{"main":{}}}'), { code: 1, err: /^flows: menus\.main: / })
    const nowhere = { menus: { main: { ...menus.main, otherwise: { route: 'nowhere' } } } }
    t.match(await saved(JSON.stringify(nowhere)), { code: 1, err: /^flows: otherwise: unknown route/ })
    t.match(await saved('{}', 'postgres://nobody@127.0.0.1:1/none'), { code: 2, err: /^flows: [^\n]+\n$/ })
    t.match(await runScript('flows', ['a', join(dir, 'missing.json')]), { code: 2, err: /ENOENT/ })
    await clear()
  },
)
