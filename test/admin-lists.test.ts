import t from 'tap'
import { answersOfLists, startAdminApi } from './support/admin-api.js'

const { contract, ask, others, log } = await startAdminApi(t)

t.beforeEach(() => others.flushdb())

t.test('a number is blacklisted, looked up in any spelling, listed and removed', async (t) => {
  const added = await ask(t, 'POST', '/v1/blacklist', {
    body: { number: '+84 901-234-567', ttl_seconds: 60, reason: 'spam' },
  })
  t.equal(added.status, 201)
  const entry = {
    number: '+84901234567',
    normal_form: '84901234567',
    kind: 'number',
    reason: 'spam',
    added_by: /^[0-9a-f-]{36}$/,
    ttl_seconds: 60,
  }
  t.match(added.json(), { items: [entry] })
  t.equal(await others.get('phone:blacklist:84901234567'), '1')
  t.match(log.at(-1), { msg: 'list changed', list: 'blacklist', added: 1 })

  t.equal((await ask(t, 'POST', '/v1/blacklist', { body: { number: '0901234567' } })).status, 200, 'renewed')
  for (const spelling of ['0901234567', '84901234567', '+84901234567', '%2B84%20901%20234%20567']) {
    const found = await ask(t, 'GET', `/v1/blacklist/${spelling}`)
    t.equal(found.status, 200)
    t.match(found.json(), {
      number: '0901234567',
      normal_form: '84901234567',
      reason: null,
      ttl_seconds: 86400,
    })
  }
  t.match((await ask(t, 'GET', '/v1/blacklist')).json(), { items: [{ number: '0901234567' }], next: null })

  t.equal((await ask(t, 'DELETE', '/v1/blacklist/84901234567')).status, 204)
  t.strictSame(await others.keys('*'), [])
  t.equal((await ask(t, 'DELETE', '/v1/blacklist/84901234567')).status, 404)
  const gone = await ask(t, 'GET', '/v1/blacklist/84901234567')
  t.equal(gone.status, 404)
  t.match(gone.json(), {
    type: 'urn:linger:problem:not_found',
    detail: '84901234567 is not on the blacklist.',
  })
  t.equal((await ask(t, 'DELETE', '/v1/blacklist/spam')).status, 400)
})

t.test('many at once: numbers, prefixes and anonymous callers', async (t) => {
  const answer = await ask(t, 'POST', '/v1/blacklist', {
    body: { numbers: ['0901234567', '84901234567', '091*', 'anonymous'], reason: 'spam' },
  })
  t.equal(answer.status, 201)
  t.match(answer.json(), {
    items: [
      { number: '84901234567', kind: 'number' },
      { number: '091*', normal_form: '8491*', kind: 'prefix' },
      { number: 'anonymous', kind: 'anonymous' },
    ],
  })
  t.equal((await ask(t, 'GET', '/v1/blacklist/8491*')).status, 200)
  t.match((await ask(t, 'GET', '/v1/blacklist/0911234567')).json(), {
    status: 404,
    detail: '0911234567 is not on the blacklist; but its calls are refused because of the entry 8491*.',
  })
  const first = (await ask(t, 'GET', '/v1/blacklist?limit=2')).json()
  t.equal((first.items as unknown[]).length, 2)
  const second = (await ask(t, 'GET', `/v1/blacklist?limit=2&cursor=${String(first.next)}`)).json()
  t.equal((second.items as unknown[]).length, 1)
  t.equal(second.next, null)
})

t.test('who adds and removes a number is in the audit, whichever way it was spelled', async (t) => {
  await ask(t, 'POST', '/v1/blacklist', {
    body: { number: '+84 909 999 999', ttl_seconds: 60, reason: 'spam' },
  })
  await ask(t, 'POST', '/v1/blacklist', { body: { number: '0909999999' } })
  await ask(t, 'DELETE', '/v1/blacklist/84909999999')
  await ask(t, 'DELETE', '/v1/blacklist/84909999999')
  const linesOf = async (target: string) =>
    ((await ask(t, 'GET', `/v1/audit?target=${target}`)).json() as { items: object[] }).items
  const first = { number: '+84909999999', normal_form: '84909999999', kind: 'number', reason: 'spam' }
  const second = { ...first, number: '0909999999', reason: null, ttl_seconds: 86400 }
  const lines = await linesOf('blacklist%2084909999999')
  t.match(lines, [
    { action: 'removeBlacklist', tenant: null, before: second, after: null, failure: null },
    { action: 'addBlacklist', before: first, after: second },
    { action: 'addBlacklist', before: null, after: { ...first, ttl_seconds: 60 } },
  ])
  t.equal(lines.length, 3, 'what was not there was not removed')
  await ask(t, 'POST', '/v1/vip', { body: { numbers: ['1001', '1002'], reason: 'board' } })
  t.match(await linesOf('vip'), [{ action: 'addVip', after: { numbers: ['1001', '1002'], reason: 'board' } }])
})

t.test('what another program wrote is listed, and can be removed', async (t) => {
  await others.set('phone:blacklist:sipvicious', '1')
  const found = await ask(t, 'GET', '/v1/blacklist/sipvicious')
  t.strictSame(found.json(), {
    number: 'sipvicious',
    normal_form: 'sipvicious',
    kind: 'number',
    reason: null,
    added_by: null,
    added_at: null,
    ttl_seconds: null,
    expires_at: null,
  })
  t.match((await ask(t, 'GET', '/v1/blacklist')).json(), { items: [{ number: 'sipvicious' }] })
  t.equal((await ask(t, 'DELETE', '/v1/blacklist/sipvicious')).status, 204)
})

t.test('VIPs are kept the same way, without an end', async (t) => {
  const added = await ask(t, 'POST', '/v1/vip', { body: { number: '0901234567', reason: 'the director' } })
  t.equal(added.status, 201)
  t.match(added.json(), { items: [{ number: '0901234567', ttl_seconds: null, expires_at: null }] })
  t.equal((await ask(t, 'POST', '/v1/vip', { body: { numbers: ['84901234567'] } })).status, 200)
  t.strictSame((await others.smembers('phone:vip')).sort(), ['0901234567', '84901234567'])
  t.match((await ask(t, 'GET', '/v1/vip')).json(), { items: [{ normal_form: '84901234567' }], next: null })
  t.equal((await ask(t, 'GET', '/v1/vip/+84901234567')).status, 200)
  t.equal((await ask(t, 'DELETE', '/v1/vip/0901234567')).status, 204)
  t.equal((await ask(t, 'DELETE', '/v1/vip/0901234567')).status, 404)
  t.match((await ask(t, 'GET', '/v1/vip/0901234567')).json(), { detail: '0901234567 is not a VIP.' })
  t.equal((await ask(t, 'DELETE', '/v1/vip/spam')).status, 400)
  t.strictSame(await others.keys('*'), [])
})

t.test('a wrong body says which fields, and what is allowed; nothing of it is done', async (t) => {
  const ttl = 'allowed is a whole number of 1 to 315360000'
  const oneOf = 'exactly one of number, numbers is needed'
  const known = 'allowed are number, numbers, reason, ttl_seconds'
  const cases: [body: unknown, errors: Record<string, string | RegExp>][] = [
    [{ number: '' }, { number: 'is ""; allowed is a text of 1 to 64 characters' }],
    [{ number: 'x1' }, { number: /^is "x1"; allowed is a number of 1 to 32 digits .*8490\*.*anonymous$/ }],
    [{ number: 901234567 }, { number: 'is 901234567; allowed is a text of 1 to 64 characters' }],
    [
      { numbers: ['1000', 'x', '9**'] },
      { 'numbers[1]': /^is "x"; allowed/, 'numbers[2]': /^is "9\*\*"; allowed/ },
    ],
    [{ numbers: ['1000', null] }, { 'numbers[1]': /^is null; allowed is a text/ }],
    [{ numbers: [] }, { numbers: 'is []; allowed is a list of 1 to 500 entries' }],
    [{ numbers: '1000' }, { numbers: 'is "1000"; allowed is a list of 1 to 500 entries' }],
    [{ number: '1000', ttl_seconds: 0 }, { ttl_seconds: `is 0; ${ttl}` }],
    [{ number: '1000', ttl_seconds: -1 }, { ttl_seconds: `is -1; ${ttl}` }],
    [{ number: '1000', ttl_seconds: 1.5 }, { ttl_seconds: `is 1.5; ${ttl}` }],
    [{ number: '1000', ttl_seconds: '60' }, { ttl_seconds: `is "60"; ${ttl}` }],
    [{ number: '1000', ttl_seconds: 1e12 }, { ttl_seconds: `is 1000000000000; ${ttl}` }],
    [
      { number: '1000', reason: 'x'.repeat(201) },
      { reason: /^is "x+…; allowed is a text of 1 to 200 characters$/ },
    ],
    [{ number: '1000', ttl: 60 }, { ttl: `is unknown; ${known}` }],
    [
      { number: '1000', a: 1, b: 2, ttl_seconds: 0 },
      { a: /unknown/, b: /unknown/, ttl_seconds: /^is 0/ },
    ],
    [{}, { number: oneOf, numbers: oneOf }],
    [
      { number: '1000', numbers: ['1000'] },
      { number: oneOf, numbers: oneOf },
    ],
    [[], { body: /^is \[\]; allowed is an object with number, numbers, reason, ttl_seconds$/ }],
    [undefined, { body: /^is missing; allowed is an object/ }],
  ]
  for (const [body, errors] of cases) {
    const answer = await ask(t, 'POST', '/v1/blacklist', { body })
    t.equal(answer.status, 400, JSON.stringify(body))
    t.match(answer.json(), {
      detail: `Not valid: ${Object.keys(errors).join(', ')}.`,
      errors: Object.entries(errors).map(([field, detail]) => ({ field, detail })),
    })
    t.equal((answer.json().errors as unknown[]).length, Object.keys(errors).length)
  }
  const many = { numbers: Array.from({ length: 500 }, () => 'x'), ['y'.repeat(1000)]: 1 }
  t.match((await ask(t, 'POST', '/v1/blacklist', { body: many })).json(), { errors: [{ field: /^y{60}…$/ }] })
  const { numbers } = many
  const answer = await ask(t, 'POST', '/v1/blacklist', { body: { numbers } })
  t.equal((answer.json().errors as unknown[]).length, 20, 'the first ones of many')
  const vip = await ask(t, 'POST', '/v1/vip', { body: { number: '090*', ttl_seconds: 60 } })
  t.match(vip.json(), { errors: [{ field: 'ttl_seconds', detail: /^is unknown/ }] })
  t.equal((await ask(t, 'POST', '/v1/vip', { body: { numbers: ['090*', 'anonymous'] } })).status, 400)
  t.strictSame(await others.keys('*'), [])
})

t.test('a body that is no JSON, or too large, is refused as what it is', async (t) => {
  const json = { 'content-type': 'application/json' }
  const large = { number: '1000', reason: 'x'.repeat(70_000) }
  for (const path of ['/v1/blacklist', '/v1/vip']) {
    const cut = await ask(t, 'POST', path, { body: '{"number":', headers: json })
    t.match(cut.json(), { status: 400, detail: 'The body is not well-formed JSON.' })
    const empty = await ask(t, 'POST', path, { body: '', headers: json })
    t.match(empty.json(), { status: 400, errors: [{ field: 'body' }] })
    const form = { 'content-type': 'application/x-www-form-urlencoded' }
    t.equal((await ask(t, 'POST', path, { body: 'number=1000', headers: form })).status, 415)
    t.equal((await ask(t, 'POST', path, { body: large })).status, 413)
    const poisoned = await ask(t, 'POST', path, { body: '{"number":"1000","__proto__":{}}', headers: json })
    t.equal(poisoned.status, 400)
  }
  t.strictSame(await others.keys('*'), [])
})

t.test('every answer that the description names was seen', async (t) => {
  t.strictSame(
    contract.unseen().filter((answer) => answersOfLists.test(answer)),
    [],
  )
})
