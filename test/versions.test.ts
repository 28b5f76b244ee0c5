import t, { type Test } from 'tap'
import { changeExtension, createExtension, deleteExtension, getExtension } from '../src/store/extensions.js'
import { changeGateway, createGateway, getGateway } from '../src/store/gateway-settings.js'
import { changeNumber, createNumbers, deleteNumber, getNumber } from '../src/store/numbers.js'
import { ChangeRefused } from '../src/store/refusal.js'
import { changeTenant, createTenant, deleteTenant, getTenant } from '../src/store/tenants.js'
import { testDatabase } from './support/services.js'

const { pool } = await testDatabase(t)
const workers = 8
const changesEach = 10

interface Versioned {
  readonly version: number
}

/** A thing that is read, and changed if it is still as it was. */
interface Thing<T extends Versioned> {
  readonly read: () => Promise<T | undefined>
  /** Counts one up in it. */
  readonly raise: (read: T) => Promise<{ readonly before: T; readonly after: T }>
  readonly counted: (read: T) => number
}

/** As many as there are workers change it at once, each so often, and read it anew when somebody else was first. */
async function raced<T extends Versioned>(t: Test, { read, raise, counted }: Thing<T>): Promise<void> {
  const first = await read()
  if (first === undefined) throw new Error('it is not there')
  const won: number[] = []
  let conflicts = 0
  const work = async () => {
    for (let done = 0; done < changesEach;) {
      const found = await read()
      if (found === undefined) throw new Error('it is gone')
      try {
        const { before, after } = await raise(found)
        t.strictSame(before, found, 'what was there is what was read')
        won.push(after.version)
        done++
      } catch (error) {
        if (!(error instanceof ChangeRefused) || error.code !== 'conflict') throw error
        conflicts++
      }
    }
  }
  await Promise.all(Array.from({ length: workers }, work))
  const last = await read()
  const changes = workers * changesEach
  t.ok(conflicts > 0, 'some were late')
  t.strictSame(
    won.sort((a, b) => a - b),
    Array.from({ length: changes }, (_, i) => first.version + 1 + i),
    'each version is one change',
  )
  t.equal(last && counted(last), changes, 'none is lost')
}

t.test('of all who change a tenant at once one wins each version, and no change is lost', async (t) => {
  await createTenant(pool, { id: 'raced', name: 'Raced', country: 'VN', currency: 'VND' })
  await raced(t, {
    read: () => getTenant(pool, 'raced'),
    counted: ({ account_codes: codes, blocked_destinations: blocked }) =>
      codes.length === blocked.length ? codes.length : NaN,
    raise: ({ version, account_codes: codes, blocked_destinations: blocked }) =>
      changeTenant(
        pool,
        'raced',
        {
          account_codes: [...codes, `raced-${codes.length}`],
          blocked_destinations: [...blocked, { prefix: `+1${200 + blocked.length}` }],
        },
        version,
      ),
  })
})

t.test('an extension likewise', async (t) => {
  await createExtension(pool, { tenant: 'demo', number: '300' })
  await raced(t, {
    read: () => getExtension(pool, 'demo', '300'),
    counted: ({ display_name: name }) => Number(name),
    raise: ({ version, display_name: name }) =>
      changeExtension(pool, 'demo', '300', { display_name: String(Number(name) + 1) }, version),
  })
})

t.test('a gateway likewise', async (t) => {
  const { id } = await createGateway(pool, { tenant: 'demo', name: 'raced', priority: 0 })
  await raced(t, {
    read: () => getGateway(pool, id),
    counted: ({ priority }) => priority,
    raise: ({ version, priority }) => changeGateway(pool, id, { priority: priority + 1 }, version),
  })
})

t.test('a number likewise', async (t) => {
  const most = workers * changesEach
  await pool.query(
    `INSERT INTO extensions (tenant_id, number) SELECT 'demo', 'n' || n FROM generate_series(0, ${most}) n`,
  )
  const [made] = await createNumbers(pool, {
    ...{ tenant: 'demo', numbers: ['02412345678'], extension: 'n0' },
    fieldOf: () => 'number',
  })
  const { number = '' } = made ?? {}
  const count = (extension: string | null) => Number(extension?.slice(1))
  await raced(t, {
    read: () => getNumber(pool, number, 'VN'),
    counted: ({ extension }) => count(extension),
    raise: ({ version, extension }) =>
      changeNumber(pool, number, { extension: `n${count(extension) + 1}` }, version),
  })
})

t.test('of all who delete it at once one does', async (t) => {
  await createNumbers(pool, {
    ...{ tenant: 'demo', numbers: ['02412345679'], extension: null },
    fieldOf: () => 'number',
  })
  const deletions = await Promise.allSettled(
    Array.from({ length: workers }, () => deleteNumber(pool, '842412345679', 1)),
  )
  t.equal(deletions.filter(({ status }) => status === 'fulfilled').length, 1)
  for (const deletion of deletions)
    if (deletion.status === 'rejected') t.match(deletion.reason, { code: 'not_found' })
})

t.test('whoever writes by hand makes a version as well, one a transaction', async (t) => {
  await createTenant(pool, { id: 'hand', name: 'Hand', country: 'VN', currency: 'VND' })
  await createExtension(pool, { tenant: 'hand', number: '1' })
  const versions = async () => [
    (await getTenant(pool, 'hand'))?.version,
    (await getExtension(pool, 'hand', '1'))?.version,
  ]
  const steps: [sql: string, tenant: number, extension: number][] = [
    [`UPDATE tenants SET name = 'By hand' WHERE id = 'hand'`, 2, 1],
    [`UPDATE tenants SET name = 'By hand' WHERE id = 'hand'`, 2, 1],
    [`UPDATE tenants SET version = 99 WHERE id = 'hand'`, 3, 1],
    [`INSERT INTO accounts (code, tenant_id) VALUES ('hand-1', 'hand'), ('hand-2', 'hand')`, 4, 1],
    [`UPDATE accounts SET extension = '1' WHERE code = 'hand-1'`, 5, 2],
    [`UPDATE accounts SET code = 'hand-3' WHERE code = 'hand-1'`, 5, 3],
    [`DELETE FROM accounts WHERE code IN ('hand-2', 'hand-3')`, 6, 4],
    [
      `BEGIN; UPDATE tenants SET ring_seconds = 5 WHERE id = 'hand'; UPDATE tenants SET ring_seconds = 6 WHERE id = 'hand';
      INSERT INTO blocked_destinations (tenant_id, prefix, prefix_entered) VALUES ('hand', '44', '44'); COMMIT`,
      7,
      4,
    ],
    [`UPDATE blocked_destinations SET description = 'x' WHERE tenant_id = 'hand'`, 8, 4],
    [`DELETE FROM blocked_destinations WHERE tenant_id = 'hand'`, 9, 4],
    [`UPDATE extensions SET toll_allow = '{local}' WHERE tenant_id = 'hand'`, 9, 5],
    [`UPDATE accounts SET extension = NULL WHERE false`, 9, 5],
  ]
  for (const [sql, tenant, extension] of steps) {
    await pool.query(sql)
    t.strictSame(await versions(), [tenant, extension], sql)
  }
  await t.rejects(changeTenant(pool, 'hand', { name: 'Late' }, 8), { code: 'conflict' })
})

t.test('what they lock they lock in one order: nobody is given up on', async (t) => {
  await pool.query(`DELETE FROM numbers; DELETE FROM accounts`)
  const tenants = ['t0', 't1', 't2']
  for (const id of tenants) {
    await createTenant(pool, { id, name: id, country: 'VN', currency: 'VND' })
    await createExtension(pool, { tenant: id, number: '1' })
    await createGateway(pool, { tenant: id, name: 'shared' })
  }
  const { rows: gateways } = await pool.query<{ id: number }>(`SELECT id FROM gateways WHERE name = 'shared'`)
  let turn = 0
  const pick = <V>(list: readonly V[]): V =>
    list[(turn = (turn * 1103515245 + 12345) % 2147483648) % list.length]!
  const codes = ['x', 'y', 'z']
  const numbers = ['02411111111', '02422222222', '02433333333']
  const fieldOf = () => 'numbers'
  const acts: readonly (() => Promise<unknown>)[] = [
    () => changeTenant(pool, pick(tenants), { account_codes: [pick(codes)], ring_seconds: 1 + (turn % 60) }),
    () => changeTenant(pool, pick(tenants), { blocked_destinations: [{ prefix: pick(['+44', '+1']) }] }),
    () => changeExtension(pool, pick(tenants), '1', { account_codes: [pick(codes), pick(codes)] }),
    () => changeGateway(pool, pick(gateways).id, { prefix: pick(['', '090']), max_calls: turn % 9 }),
    () => createNumbers(pool, { tenant: pick(tenants), numbers: [pick(numbers)], extension: '1', fieldOf }),
    () =>
      createNumbers(pool, {
        tenant: pick(tenants),
        numbers: [...numbers].reverse(),
        extension: null,
        fieldOf,
      }),
    () => changeNumber(pool, '842411111111', { tenant: pick(tenants), extension: '1' }),
    () => deleteNumber(pool, `84${pick(numbers).slice(1)}`),
    () => deleteExtension(pool, pick(tenants), '1'),
    () => createExtension(pool, { tenant: pick(tenants), number: '1', account_codes: [pick(codes)] }),
    () => deleteTenant(pool, pick(tenants)),
    () => pool.query(`INSERT INTO accounts (code, tenant_id) VALUES ($1, $2)`, [pick(codes), pick(tenants)]),
    () => pool.query('DELETE FROM accounts WHERE code = $1', [pick(codes)]),
    () => pool.query('UPDATE tenants SET name = $1 WHERE id = $2', [String(turn), pick(tenants)]),
  ]
  const refused = new Map<string, number>()
  const work = async () => {
    for (let i = 0; i < 40; i++)
      await pick(acts)().catch((error: unknown) => {
        const { code = '' } = error as { code?: string }
        // A deadlock would be neither. By hand, a code that is taken is 23505.
        if (!(error instanceof ChangeRefused) && code !== '23505') throw error
        refused.set(code, (refused.get(code) ?? 0) + 1)
      })
  }
  await Promise.all(Array.from({ length: workers }, work))
  t.ok((refused.get('taken') ?? 0) > 0, 'they were in each other’s way')
})
