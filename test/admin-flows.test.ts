import t from 'tap'
import { startAdminApi } from './support/admin-api.js'

const { contract, ask, makeKey, database } = await startAdminApi(t)
await database.pool.query(`
  INSERT INTO tenants (id, name, country, currency, domain) VALUES ('other', 'Other', 'VN', 'VND', 'other.example');
  UPDATE tenants SET domain = 'demo.example' WHERE id = 'demo'`)

const main = {
  name: 'Main menu',
  prompt: ['ivr/welcome.wav'],
  choices: {
    '1': { route: 'ring', arguments: { extensions: ['1000'], ring_seconds: 20 } },
    '9': { repeat: true },
    '2XX': { menu: 'main' },
  },
  direct_dial: true,
}
const office = { name: 'Office', week: { '1': [['08:00', '17:30']] }, holidays: { '01-01': [] } }
const demo = (id: string, rest: object) => ({ body: { tenant: 'demo', id, ...rest } })
const ifMatch = (version: number | string) => ({
  'if-match': typeof version === 'number' ? `"${version}"` : version,
})

interface Line {
  action: string
  before: object | null
  after: object | null
}
const auditOf = async (target: string) =>
  (
    (await ask(t, 'GET', `/v1/audit?target=${encodeURIComponent(target)}`)).json() as { items: Line[] }
  ).items.map(({ action, before, after }) => ({ action, before, after }))

async function clear(): Promise<void> {
  await database.pool.query(
    'DELETE FROM number_plan; DELETE FROM flow_references; DELETE FROM flows; DELETE FROM flow_versions',
  )
}

t.test('a menu is made, shown, changed and deleted, each with its line in the audit', async (t) => {
  const made = await ask(t, 'POST', '/v1/menus', demo('main', main))
  t.equal(made.status, 201)
  t.equal(made.headers.etag, '"1"')
  const first = {
    ...{ tenant: 'demo', id: 'main', version: 1, ...main, timeout_ms: 5000, inter_digit_ms: 2000, tries: 3 },
    ...{ barge_in: true, direct_dial: true, invalid_prompt: [], no_input_prompt: [], otherwise: null },
  }
  t.strictSame(made.json(), first)
  t.match((await ask(t, 'POST', '/v1/menus', demo('main', main))).json(), {
    status: 409,
    detail: 'There is a menu "main" already.',
  })

  const url = '/v1/menus/demo/main'
  const otherwise = { route: 'reject', arguments: { cause: 'USER_BUSY' } }
  const changed = await ask(t, 'PATCH', url, {
    body: { timeout_ms: 900, invalid_prompt: ['ivr/wrong.wav'], otherwise },
    headers: ifMatch(1),
  })
  const second = { ...first, version: 2, timeout_ms: 900, invalid_prompt: ['ivr/wrong.wav'], otherwise }
  t.strictSame([changed.status, changed.json(), changed.headers.etag], [200, second, '"2"'])
  const stale = await ask(t, 'PATCH', url, { body: { tries: 1 }, headers: ifMatch(1) })
  t.match(stale.json(), { status: 412, detail: /there is version 2 now, not 1/ })
  t.equal((await ask(t, 'PATCH', url, { body: { tries: 1 } })).status, 428)
  const cleared = await ask(t, 'PATCH', url, { body: { otherwise: null }, headers: ifMatch('*') })
  t.match(cleared.json(), { version: 3, otherwise: null, timeout_ms: 900 })

  t.strictSame((await ask(t, 'GET', url)).json(), cleared.json())
  t.strictSame((await ask(t, 'GET', `${url}?version=1`)).json(), first)
  t.equal((await ask(t, 'GET', `${url}?version=7`)).status, 404)
  t.strictSame((await ask(t, 'GET', '/v1/menus')).json(), { items: [cleared.json()], next: null })

  t.equal((await ask(t, 'DELETE', url, { headers: ifMatch(2) })).status, 412)
  t.equal((await ask(t, 'DELETE', url)).status, 204)
  for (const method of ['GET', 'DELETE']) t.equal((await ask(t, method, url)).status, 404)
  t.equal((await ask(t, 'PATCH', url, { body: {}, headers: ifMatch(3) })).status, 404)
  t.strictSame((await ask(t, 'GET', `${url}?version=2`)).json(), second, 'a call may still be in it')
  t.strictSame(await auditOf('menu demo/main'), [
    { action: 'deleteMenu', before: cleared.json(), after: null },
    { action: 'changeMenu', before: second, after: cleared.json() },
    { action: 'changeMenu', before: first, after: second },
    { action: 'createMenu', before: null, after: first },
  ])
  await clear()
})

t.test('opening hours are made, shown, changed and deleted as menus are', async (t) => {
  const made = await ask(t, 'POST', '/v1/hours', demo('office', { ...office, time_zone: 'Europe/Berlin' }))
  const first = { tenant: 'demo', id: 'office', version: 1, ...office, time_zone: 'Europe/Berlin' }
  t.strictSame([made.status, made.json()], [201, first])
  t.equal((await ask(t, 'POST', '/v1/hours', demo('office', office))).status, 409)
  const url = '/v1/hours/demo/office'
  const changed = await ask(t, 'PATCH', url, {
    body: { time_zone: null, holidays: { '12-25': [['10:00', '24:00']] } },
    headers: ifMatch(1),
  })
  const second = { ...first, version: 2, time_zone: null, holidays: { '12-25': [['10:00', '24:00']] } }
  t.strictSame([changed.status, changed.json(), changed.headers.etag], [200, second, '"2"'])
  t.equal((await ask(t, 'PATCH', url, { body: { name: 'x' }, headers: ifMatch(1) })).status, 412)
  t.equal((await ask(t, 'PATCH', url, { body: { name: 'x' } })).status, 428)
  t.strictSame((await ask(t, 'GET', url)).json(), second)
  t.strictSame((await ask(t, 'GET', `${url}?version=1`)).json(), first)
  t.strictSame((await ask(t, 'GET', '/v1/hours?tenant=demo')).json(), { items: [second], next: null })
  t.equal((await ask(t, 'DELETE', url, { headers: ifMatch(1) })).status, 412)
  t.equal((await ask(t, 'DELETE', url, { headers: ifMatch(2) })).status, 204)
  for (const method of ['GET', 'DELETE']) t.equal((await ask(t, method, url)).status, 404)
  t.equal((await ask(t, 'PATCH', url, { body: {}, headers: ifMatch(2) })).status, 404)
  t.match(await auditOf('hours demo/office'), [
    { action: 'deleteHours', before: second, after: null },
    { action: 'changeHours', before: first, after: second },
    { action: 'createHours', before: null, after: first },
  ])
  await clear()
})

t.test('what something leads to is not deleted, and the answer says by what', async (t) => {
  await ask(t, 'POST', '/v1/hours', demo('office', office))
  await ask(t, 'POST', '/v1/menus', demo('sales', { ...main, choices: {} }))
  const step = {
    route: 'hours',
    arguments: {
      hours: 'office',
      open: { route: 'menu', arguments: { menu: 'sales' } },
      closed: { route: 'reject' },
    },
  }
  await ask(t, 'POST', '/v1/menus', demo('main', { ...main, otherwise: step }))
  t.match((await ask(t, 'DELETE', '/v1/menus/demo/sales')).json(), {
    type: 'urn:linger:problem:in_use',
    detail: 'The menu "sales" cannot be deleted: the menu "main" leads to it.',
  })
  t.match((await ask(t, 'DELETE', '/v1/hours/demo/office')).json(), {
    status: 409,
    detail: 'The hours "office" cannot be deleted: the menu "main" leads to it.',
  })
  const other = await ask(t, 'POST', '/v1/menus', { body: { tenant: 'other', id: 'x', ...main } })
  t.match(other.json(), { status: 400, detail: /refers to the extension "1000", .* which do not exist/ })
  await clear()
})

t.test('what is wrong is said with its place, and nothing is saved', async (t) => {
  const step = (route: string, args?: object) => ({ route, ...(args && { arguments: args }) })
  const fields: [change: object, field: string, detail: RegExp][] = [
    [{ name: '' }, 'name', /^is ""; allowed is a text of 1 to 100 characters$/],
    [{ timeout_ms: 499 }, 'timeout_ms', /^is 499; allowed is a whole number of 500 to 60000$/],
    [{ timeoutMs: 900 }, 'timeoutMs', /^is unknown; allowed are .*timeout_ms/],
    [{ tries: 11 }, 'tries', /^is 11/],
    [{ id: 'Main' }, 'id', /^is "Main"/],
    [{ choices: { a: { repeat: true } } }, 'choices.a', /^is unknown; allowed are those of \^\[0-9/],
    [
      { choices: { '1': { menu: 'Not one' } } },
      'choices[1]',
      /^is {"menu":"Not one"}; allowed is an object with route, arguments, or an object with menu, or .* repeat$/,
    ],
  ]
  for (const [change, field, detail] of fields) {
    const answer = await ask(t, 'POST', '/v1/menus', demo('main', { ...main, ...change }))
    t.equal(answer.status, 400)
    t.match(answer.json(), { errors: [{ field, detail }] })
    t.equal((answer.json().errors as unknown[]).length, 1)
  }
  const texts: [change: object, detail: RegExp][] = [
    [{ otherwise: step('nowhere') }, /otherwise: unknown route: "nowhere"/i],
    [{ choices: { '1': step('menu', { menu: 'gone' }) } }, /refers to the menu "gone", which does not exist/],
    [{ choices: { '1': step('dial', { extension: 1 }) } }, /arguments of the route dial are not right/],
    [{ prompt: ['/etc/passwd'] }, /prompt: no prompt/i],
    [{ no_input_prompt: ['shell_stream://x'] }, /no_input_prompt: no prompt/i],
    [{ name: 'x\0' }, /NUL/],
  ]
  for (const [change, detail] of texts) {
    const answer = await ask(t, 'POST', '/v1/menus', demo('main', { ...main, ...change }))
    t.match(answer.json(), { status: 400, detail })
  }
  for (const [change, detail] of [
    [{ time_zone: 'Europe/Atlantis' }, /time_zone: .* is not a time zone/i],
    [{ holidays: { '02-30': [] } }, /there is no 02-30/],
    [{ week: { '1': [['08:00', '08:00']] } }, /week\.1: 08:00 to 08:00 is no time/i],
  ] as const)
    t.match((await ask(t, 'POST', '/v1/hours', demo('office', { ...office, ...change }))).json(), {
      status: 400,
      detail,
    })
  for (const path of ['/v1/menus', '/v1/hours']) {
    const flow = path === '/v1/menus' ? main : office
    const nobody = await ask(t, 'POST', path, {
      body: { tenant: 'nobody', id: 'x', ...flow, choices: undefined },
    })
    t.ok([400, 404].includes(nobody.status))
    t.equal((await ask(t, 'GET', `${path}?cursor=x`)).status, 400)
    t.equal((await ask(t, 'GET', `${path}?tenant=%00`)).status, 200)
    t.equal((await ask(t, 'GET', `${path}/demo/Main`)).status, 400)
    const url = `${path}/demo/main`
    t.equal((await ask(t, 'PATCH', url, { body: { colour: 1 }, headers: ifMatch(1) })).status, 400)
    t.equal((await ask(t, 'PATCH', url, { body: {}, headers: ifMatch('x') })).status, 400)
    t.equal((await ask(t, 'DELETE', url, { headers: ifMatch('x') })).status, 400)
    const large = { name: 'x'.repeat(70_000) }
    const text = { body: 'x', headers: { 'content-type': 'text/x' } }
    t.equal((await ask(t, 'POST', path, { body: large })).status, 413)
    t.equal((await ask(t, 'PATCH', url, { body: large, headers: ifMatch(1) })).status, 413)
    t.equal((await ask(t, 'POST', path, text)).status, 415)
    t.equal(
      (await ask(t, 'PATCH', url, { ...text, headers: { ...text.headers, ...ifMatch(1) } })).status,
      415,
    )
  }
  t.equal((await ask(t, 'POST', '/v1/hours', { body: { tenant: 'nobody', id: 'x', ...office } })).status, 404)
  t.equal((await ask(t, 'POST', '/v1/menus', { body: { tenant: '\0', id: 'x', ...main } })).status, 404)
  t.strictSame((await ask(t, 'GET', '/v1/menus')).json(), { items: [], next: null })
  t.strictSame((await ask(t, 'GET', '/v1/hours')).json(), { items: [], next: null })
})

t.test('of many who change a menu at once nobody’s change is lost', async (t) => {
  await ask(t, 'POST', '/v1/menus', demo('main', main))
  const change = async (body: object, version: number | string) =>
    (await ask(t, 'PATCH', '/v1/menus/demo/main', { body, headers: ifMatch(version) })).status
  const tries = await Promise.all([1, 2, 4, 5].map((tries) => change({ tries }, 1)))
  t.strictSame(tries.sort(), [200, 412, 412, 412])
  const whatever = [{ tries: 7 }, { timeout_ms: 700 }, { name: 'Seven' }]
  t.strictSame(await Promise.all(whatever.map((body) => change(body, '*'))), [200, 200, 200])
  t.match((await ask(t, 'GET', '/v1/menus/demo/main')).json(), {
    ...{ version: 5, tries: 7, timeout_ms: 700, name: 'Seven' },
  })
  await clear()
})

t.test(
  'a tenant’s own admin leads calls to what is the tenant’s, and keeps what else there is',
  async (t) => {
    const key = await makeKey('admin', 'demo')
    const reader = await makeKey('operate', 'demo')
    const { body } = demo('main', main)
    t.equal((await ask(t, 'POST', '/v1/menus', { body, key: reader })).status, 403)
    t.equal((await ask(t, 'POST', '/v1/menus', { body, key })).status, 201)
    const url = '/v1/menus/demo/main'
    const change = (choices: object, whose = key) =>
      ask(t, 'PATCH', url, { body: { choices }, headers: ifMatch('*'), key: whose })
    const queue = (name: string) => ({ route: 'queue', arguments: { queue: name } })
    const transfer = { route: 'transfer', arguments: { destination: '9000', context: 'default' } }
    for (const beyond of [queue('support'), queue('sales@other.example'), transfer, { route: 'event' }]) {
      const within = { route: 'play', arguments: { sounds: ['a.wav'], then: beyond } }
      for (const step of [beyond, within]) {
        const refused = await change({ '1': step })
        t.match(refused.json(), { status: 403, detail: /^It would lead calls beyond the tenant, to the / })
      }
    }
    const created = await ask(t, 'POST', '/v1/menus', {
      body: { ...body, id: 'x', otherwise: transfer },
      key,
    })
    t.equal(created.status, 403)
    t.equal((await change({ '1': queue('support@demo.example') })).status, 200)
    t.equal(
      (await ask(t, 'PATCH', url, { body: { choices: { '5': transfer } }, headers: ifMatch('*') })).status,
      200,
    )
    t.equal((await change({ '6': transfer, '7': { menu: 'main' } })).status, 200, 'it may stay, and move')
    t.equal((await change({ '7': { menu: 'main' } })).status, 200)
    t.equal((await change({ '6': transfer })).status, 403, 'once gone it is gone')

    const others = { tenant: 'other', id: 'main', ...main, choices: {} }
    t.equal((await ask(t, 'POST', '/v1/menus', { body: others })).status, 201)
    t.match((await ask(t, 'POST', '/v1/menus', { body: { ...others, id: 'x' }, key })).json(), {
      status: 404,
      detail: 'There is no tenant "other".',
    })
    for (const [method, rest] of [
      ['GET', {}],
      ['PATCH', { body: {}, headers: ifMatch(1) }],
      ['DELETE', {}],
    ] as const)
      t.equal((await ask(t, method, '/v1/menus/other/main', { ...rest, key })).status, 404)
    const { items } = (await ask(t, 'GET', '/v1/menus', { key: reader })).json() as {
      items: { tenant: string }[]
    }
    t.strictSame(
      items.map(({ tenant }) => tenant),
      ['demo'],
    )
    for (const path of ['/v1/menus', '/v1/hours'])
      t.equal((await ask(t, 'GET', `${path}?tenant=other`, { key })).status, 404)
    await clear()
  },
)

t.test('every answer that the description names was seen', (t) => {
  t.strictSame(
    contract.unseen().filter((answer) => /(Menus?|Hours) (?!401|403|429|503)/.test(answer)),
    [],
  )
  t.end()
})
