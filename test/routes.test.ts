import { Type } from 'typebox'
import t from 'tap'
import { contextPattern, extensionPattern } from '../src/channel/hand-over.js'
import { queuePattern } from '../src/channel/queue.js'
import { checkMenu, checkStep, reachedBeyond, stepsOf } from '../src/routes/check.js'
import type { Step } from '../src/store/flow.js'
import { ChangeRefused } from '../src/store/refusal.js'
import { NoRoute, Routes } from '../src/routes/registry.js'
import type { Route } from '../src/routes/route.js'

const routes = new Routes()

t.test('a path names a route, and may fill one argument of it', (t) => {
  const lead = (path: string) => {
    const { route, args } = routes.leadByPath(path)
    return [route.name, args]
  }
  t.same(lead('dial'), ['dial', {}])
  t.same(lead('menu/main'), ['menu', { menu: 'main' }])
  t.same(lead('queue/support@default'), ['queue', { queue: 'support@default' }])
  t.same(lead('ring/1001,1002'), ['ring', { extensions: '1001,1002' }])
  t.same(lead('reject'), ['reject', {}])
  t.same(lead('reject/USER_BUSY'), ['reject', { cause: 'USER_BUSY' }])
  t.same(lead('transfer/9000'), ['transfer', { destination: '9000' }])
  const refused: readonly [path: string, why: RegExp][] = [
    ['nowhere', /unknown route: "nowhere"/],
    ['', /unknown route: ""/],
    ['menu', /the arguments of the route menu are not right/],
    ['menu/Not a menu', /the arguments of the route menu are not right: menu/],
    ['checkphone/x', /the route checkphone takes nothing from a path/],
    ['reject/user busy', /not right: cause/],
    ['__proto__', /unknown route/],
    [`${'x'.repeat(200)}\r\n`, /^unknown route: "x{80}"$/],
  ]
  for (const [path, why] of refused)
    t.throws(
      () => routes.leadByPath(path),
      { name: 'NoRoute', message: why },
      JSON.stringify(path.slice(0, 20)),
    )
  t.end()
})

t.test('a step is checked through: its route, its arguments, the steps in them, their sounds', (t) => {
  const references = checkStep(
    routes,
    {
      route: 'hours',
      arguments: {
        hours: 'office',
        open: {
          route: 'ring',
          arguments: {
            extensions: ['1001', '1002'],
            otherwise: { route: 'menu', arguments: { menu: 'main' } },
          },
        },
        closed: { route: 'play', arguments: { sounds: ['ivr/closed.wav', 'say:123'] } },
      },
    },
    'step',
  )
  t.same(references, [
    { kind: 'hours', id: 'office' },
    { kind: 'extension', id: '1001' },
    { kind: 'extension', id: '1002' },
    { kind: 'menu', id: 'main' },
  ])
  const refused: readonly [step: { route: string; arguments?: Record<string, unknown> }, why: RegExp][] = [
    [{ route: 'nowhere' }, /^step: unknown route/],
    [{ route: 'dial', arguments: { unknown: 1 } }, /^step: the arguments of the route dial are not right/],
    [{ route: 'play', arguments: { sounds: ['shell_stream://id'] } }, /^step: no prompt/],
    [{ route: 'play', arguments: { sounds: ['../../etc/passwd'] } }, /^step: no prompt/],
    [
      { route: 'play', arguments: { sounds: ['a.wav'], then: { route: 'menu' } } },
      /^step: the arguments of the route menu/,
    ],
    [
      { route: 'transfer', arguments: { destination: 'app:hangup inline' } },
      /^step: .* not right: destination: /,
    ],
  ]
  for (const [step, why] of refused)
    t.throws(() => checkStep(routes, step, 'step'), { name: 'ChangeRefused', code: 'invalid', message: why })
  t.end()
})

t.test('what is saved of a transfer or a queue is what its verb takes, no more and no less', (t) => {
  const goes = (route: string, args: object) => {
    try {
      return routes.lead({ route, arguments: { ...args } }).route.name === route
    } catch {
      return false
    }
  }
  for (const destination of [
    '1234',
    '*98',
    '#1',
    '+84901234567',
    'a.b_c-d',
    '-both',
    'a b',
    '',
    'm:1',
    'x'.repeat(65),
  ])
    t.equal(goes('transfer', { destination }), extensionPattern.test(destination), destination)
  for (const context of ['default', 'a-b', '.x', '-x', '*', '+1', '#', 'x'.repeat(65)])
    t.equal(goes('transfer', { destination: '1', context }), contextPattern.test(context), context)
  t.notOk(goes('transfer', { destination: '-both' }), 'an option of uuid_transfer')
  t.notOk(goes('transfer', { destination: '1', context: '*' }))
  for (const queue of ['support', 'support@default', '-x', 'a@b@c', 'a b', ''])
    t.equal(goes('queue', { queue }), queuePattern.test(queue), queue)
  t.end()
})

t.test('a menu is checked through, and the message says where it is wrong', (t) => {
  const menu = {
    id: 'main',
    name: 'Main',
    prompt: ['ivr/welcome.wav'],
    choices: {
      '1': { menu: 'sales' },
      '2': { route: 'ring', arguments: { extensions: ['1001'] } },
      '9': { repeat: true },
    },
    timeoutMs: 5_000,
    interDigitMs: 2_000,
    tries: 3,
    bargeIn: true,
    directDial: true,
    invalidPrompt: [],
    noInputPrompt: [],
    otherwise: { route: 'queue', arguments: { queue: 'support' } },
  } as const
  t.same(checkMenu(routes, menu), [
    { kind: 'menu', id: 'sales' },
    { kind: 'extension', id: '1001' },
  ])
  const field = (error: unknown) => (error instanceof ChangeRefused ? error.message.split(': ')[0] : error)
  const wrong = (change: object) => {
    try {
      checkMenu(routes, { ...menu, ...change })
      return 'nothing'
    } catch (error) {
      return field(error)
    }
  }
  t.equal(wrong({ prompt: ['http://example.com/x.wav'] }), 'prompt')
  t.equal(wrong({ choices: { '7': { route: 'nowhere' } } }), 'choices.7')
  t.equal(wrong({ otherwise: { route: 'menu', arguments: {} } }), 'otherwise')
  t.end()
})

t.test("an operator's own routes stand beside those built in, under names of their own", (t) => {
  const own = (name: string): Route => ({ name, summary: 'x', run: () => Promise.resolve() })
  t.equal(new Routes({ own: [own('office')] }).leadByPath('office').route.name, 'office')
  t.throws(() => new Routes({ own: [own('dial')] }), /two routes named dial/)
  t.throws(() => new Routes({ own: [own('Office Hours')] }), /a route's name is "Office Hours"/)
  const withArguments: Route = { ...own('x'), arguments: Type.Object({ n: Type.Integer() }) }
  const mine = new Routes({ own: [withArguments] })
  t.same(mine.lead({ route: 'x', arguments: { n: 1 } }).args, { n: 1 })
  t.throws(() => mine.lead({ route: 'x', arguments: { n: '1' } }), NoRoute)
  t.end()
})

t.test('what reaches beyond the tenant is told, wherever it stands', (t) => {
  const beyond = (step: Step, domain?: string) => [...reachedBeyond(routes, [step], domain)]
  const within: Step[] = [
    { route: 'dial' },
    { route: 'menu', arguments: { menu: 'main' } },
    { route: 'ring', arguments: { extensions: '1001' } },
    { route: 'play', arguments: { sounds: ['a.wav'] } },
    { route: 'reject' },
  ]
  for (const step of within) t.same(beyond(step), [], step.route)
  t.same(beyond({ route: 'queue', arguments: { queue: 'support' } }), ['the queue support@default'])
  t.same(beyond({ route: 'queue', arguments: { queue: 'support@a.example' } }, 'a.example'), [])
  t.same(beyond({ route: 'queue', arguments: { queue: 'support@xa.example' } }, 'a.example'), [
    'the queue support@xa.example',
  ])
  t.same(beyond({ route: 'transfer', arguments: { destination: '9000', context: 'secret' } }), [
    'the extension 9000 of the dialplan secret',
  ])
  t.same(beyond({ route: 'event' }), ['the route event with {}'])
  t.same(beyond({ route: 'checkphone' }), ['the route checkphone with {}'])
  const transfer = { route: 'transfer', arguments: { destination: '9000' } }
  const queue = { route: 'queue', arguments: { queue: 'q@d', otherwise: transfer } }
  const play = { route: 'play', arguments: { sounds: ['a.wav'], then: queue } }
  const nested = { route: 'hours', arguments: { hours: 'office', open: { route: 'dial' }, closed: play } }
  t.same(beyond(nested, 'd'), ['the extension 9000 of the dialplan'])
  const own: Route = {
    name: 'own',
    summary: 'Own',
    arguments: Type.Object({ a: Type.Unknown(), b: Type.Unknown() }),
    run: () => Promise.resolve(),
  }
  const withOwn = new Routes({ own: [own] })
  const words = (args: Record<string, unknown>) => [
    ...reachedBeyond(withOwn, [{ route: 'own', arguments: args }], undefined),
  ]
  t.same(words({ b: [{ d: 1, c: 2 }], a: 'x' }), words({ a: 'x', b: [{ c: 2, d: 1 }] }))
  t.same(words({ b: 1, a: 2 }), ['the route own with {"a":2,"b":1}'])
  t.same(
    stepsOf({ choices: { '1': { menu: 'a' }, '2': transfer, '3': { repeat: true } }, otherwise: queue }),
    [transfer, queue],
  )
  t.end()
})
