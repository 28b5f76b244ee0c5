import t from 'tap'
import { Routes } from '../src/routes/registry.js'
import { saveFlows } from '../src/routes/flow-file.js'
import { testLinger, type Cdr } from './support/linger.js'
import { farEnds } from './support/switch/far-end.js'
import { SimulatedSwitch } from './support/switch/switch.js'
import type { CallOptions, CallOutcome } from './support/switch/call.js'

/** Call flows as callers live them: what an engineer wrote down for a tenant, on the simulated switch. */

const did = '842873001234'
const outsider = '0987654321'

const linger = await testLinger(t, { LOG_LEVEL: 'warn' })
const sw = new SimulatedSwitch()
t.teardown(() => {
  sw.destroy()
})

const routes = new Routes()
const tone = 'tone_stream://%(200,0,500)'

await linger.pool.query("INSERT INTO extensions (tenant_id, number) VALUES ('demo', '1002')")
await linger.pool.query("INSERT INTO numbers (number, tenant_id) VALUES ($1, 'demo')", [did])

/** Saves flows of the tenant `demo` and waits until they are in force. */
async function flows(document: object): Promise<void> {
  await saveFlows(linger.pool, routes, 'demo', document)
  await linger.server.reload()
}

/** A call from outside to the tenant's number. */
async function callIn(options: Partial<CallOptions> = {}): Promise<{ outcome: CallOutcome; cdr: Cdr }> {
  const outcome = await sw.call({ to: [linger.esl], caller: outsider, called: did, ...options }).ended
  return { outcome, cdr: await linger.cdr(outcome.uuid) }
}

const toMenu = (menu: string) => [
  { direction: 'inbound', kind: 'exact', number: did, step: { route: 'menu', arguments: { menu } } },
]

t.test('a menu of two levels leads the caller to the phone that was chosen', async (t) => {
  await flows({
    menus: {
      main: {
        name: 'Main',
        prompt: ['ivr/main.wav'],
        choices: { '1': { menu: 'sales' }, '2': { route: 'ring', arguments: { extensions: ['1000'] } } },
      },
      sales: {
        name: 'Sales',
        prompt: ['ivr/sales.wav'],
        choices: { '1': { route: 'ring', arguments: { extensions: ['1001'] } }, '9': { menu: 'main' } },
      },
    },
    numbers: toMenu('main'),
  })
  const { outcome, cdr } = await callIn({ digits: ['1', '1'], farEnd: farEnds.answers(30_000) })
  t.same(outcome.heard, ['ivr/main.wav', 'ivr/sales.wav'])
  t.match(cdr, {
    tenant: 'demo',
    direction: 'inbound',
    route: 'menu',
    hangup_cause: 'NORMAL_CLEARING',
    hung_up_by: 'called',
    cost: '0.00',
    source: 'session',
  })
  t.same(dialledOf(outcome), ['1001'])
})

t.test('wrong keys and silence are answered, and end where the menu says', async (t) => {
  await flows({
    menus: {
      main: {
        name: 'Main',
        prompt: ['ivr/main.wav'],
        choices: { '1': { route: 'ring', arguments: { extensions: ['1000'] } }, '9': { repeat: true } },
        invalidPrompt: ['ivr/wrong.wav'],
        noInputPrompt: ['ivr/nothing.wav'],
        tries: 3,
        otherwise: { route: 'play', arguments: { sounds: ['ivr/goodbye.wav'], cause: 'NO_USER_RESPONSE' } },
      },
    },
    numbers: toMenu('main'),
  })
  const wrong = await callIn({ digits: ['7', '', '8'] })
  const files = wrong.outcome.heard.filter((sound) => sound.endsWith('.wav'))
  t.same(files, [
    ...['ivr/main.wav', 'ivr/wrong.wav', 'ivr/main.wav', 'ivr/nothing.wav'],
    // What was dialled meanwhile cut the menu short.
    ...['ivr/wrong.wav', 'ivr/goodbye.wav'],
  ])
  t.match(wrong.cdr, { hangup_cause: 'NO_USER_RESPONSE', hung_up_by: 'server', route: 'menu' })
  const again = await callIn({ digits: ['9', '1'], farEnd: farEnds.answers(5_000) })
  t.same(again.outcome.heard, ['ivr/main.wav', 'ivr/main.wav'])
  t.same(dialledOf(again.outcome), ['1000'])
})

t.test('extensions can be dialled in a menu that allows it', async (t) => {
  await flows({
    menus: {
      main: {
        name: 'Main',
        prompt: ['ivr/main.wav'],
        choices: { '1': { route: 'ring', arguments: { extensions: ['1000'] } } },
        directDial: true,
      },
    },
    numbers: toMenu('main'),
  })
  const { outcome } = await callIn({ digits: ['1002#'], farEnd: farEnds.answers(5_000) })
  t.same(dialledOf(outcome), ['1002'])
  const none = await callIn({ digits: ['1999#', '1#'], farEnd: farEnds.answers(5_000) })
  t.same(dialledOf(none.outcome), ['1000'])
})

t.test('a missing sound is logged, and the menu goes on without it', async (t) => {
  await flows({
    menus: {
      main: {
        name: 'Main',
        prompt: ['ivr/gone.wav'],
        choices: { '1': { route: 'ring', arguments: { extensions: ['1000'] } } },
      },
    },
    numbers: toMenu('main'),
  })
  const { outcome } = await callIn({
    digits: ['1'],
    missingSounds: ['ivr/gone.wav'],
    farEnd: farEnds.answers(5_000),
  })
  t.same(dialledOf(outcome), ['1000'])
  t.ok(
    linger.logged.some(({ call, sound }) => call === outcome.uuid && sound === 'ivr/gone.wav'),
    'the log says which sound of which call',
  )
})

t.test('opening hours lead one way or the other, in their own time zone', async (t) => {
  const always = Object.fromEntries([1, 2, 3, 4, 5, 6, 7].map((day) => [day, [['00:00', '24:00']]]))
  const document = (week: object) => ({
    hours: { office: { name: 'Office', timeZone: 'Asia/Ho_Chi_Minh', week, holidays: {} } },
    numbers: [
      {
        ...{ direction: 'inbound', kind: 'exact', number: did },
        step: {
          route: 'hours',
          arguments: {
            hours: 'office',
            open: { route: 'ring', arguments: { extensions: ['1000'] } },
            closed: { route: 'play', arguments: { sounds: ['ivr/closed.wav'] } },
          },
        },
      },
    ],
  })
  await flows(document(always))
  t.same(dialledOf((await callIn({ farEnd: farEnds.answers(1_000) })).outcome), ['1000'])
  await flows(document({}))
  const closed = await callIn()
  t.same(closed.outcome.heard, ['ivr/closed.wav'])
  t.match(closed.cdr, { hangup_cause: 'NORMAL_CLEARING', route: 'hours' })
})

t.test('a ring group rings all its phones at once, or one after the other', async (t) => {
  const group = (order: string) => ({
    numbers: [
      {
        ...{ direction: 'inbound', kind: 'exact', number: did },
        step: { route: 'ring', arguments: { extensions: ['1000', '1001', '1002'], order, ring_seconds: 10 } },
      },
    ],
  })
  await flows(group('together'))
  const together = await callIn({
    farEnd: (dialled) => (dialled.startsWith('user/1001') ? farEnds.answers(5_000, 2_000) : farEnds.noAnswer),
  })
  t.same(dialledOf(together.outcome).sort(), ['1000', '1001', '1002'])
  t.equal(together.cdr.b_leg_uuid, together.outcome.legs.find(({ number }) => number === '1001')?.uuid)
  await flows(group('in_turn'))
  const inTurn = await callIn({
    farEnd: (dialled) => (dialled.startsWith('user/1002') ? farEnds.answers(5_000) : farEnds.noAnswer),
  })
  t.same(dialledOf(inTurn.outcome), ['1000', '1001', '1002'])
  const [first, second] = inTurn.outcome.legs
  // FreeSWITCH counts whole seconds of its clock.
  t.match(((second?.dialledAt ?? 0) - (first?.dialledAt ?? 0)) / 1e6, /^(9|10)(\.|$)/, 'ten seconds each')
})

t.test('a path of the dialplan names the route, and an unknown one is refused by its name', async (t) => {
  const rejected = await callIn({ to: [{ ...linger.esl, path: 'reject/USER_BUSY' }] })
  t.match(rejected.cdr, {
    hangup_cause: 'USER_BUSY',
    route: 'reject',
    refusal: 'its route rejects it (USER_BUSY)',
  })
  const unknown = await callIn({ to: [{ ...linger.esl, path: 'nowhere' }] })
  const reason = 'unknown route: "nowhere"'
  t.match(unknown.cdr, { hangup_cause: 'NO_ROUTE_DESTINATION', refusal: reason })
  t.match(
    linger.logged.filter(({ call }) => call === unknown.cdr.call_uuid),
    [{ level: 40, reason }],
  )
})

t.test('a flow that leads round in circles ends, and its CDR says why', async (t) => {
  await flows({
    hours: { never: { name: 'Never', week: {}, holidays: {} } },
    menus: {
      a: { name: 'A', prompt: ['a.wav'], choices: { '1': { menu: 'b' } } },
      b: { name: 'B', prompt: ['b.wav'], choices: { '1': { menu: 'a' } } },
    },
    numbers: toMenu('a'),
  })
  const { cdr } = await callIn({ digits: Array.from({ length: 100 }, () => '1') })
  t.match(cdr, { hangup_cause: 'EXCHANGE_ROUTING_ERROR', refusal: /leads on more than 50 times/ })
})

t.test('a call keeps the menu that it began with', async (t) => {
  const menu = (extension: string) => ({
    menus: {
      main: {
        name: 'Main',
        prompt: [tone],
        choices: { '1': { route: 'ring', arguments: { extensions: [extension] } } },
      },
    },
    numbers: toMenu('main'),
  })
  await flows(menu('1000'))
  let changed: Promise<void> | undefined
  const { outcome } = await callIn({
    digits: ['', '1'],
    farEnd: farEnds.answers(1_000),
    onEvent: (event) => {
      // In the menu, whose first try it lets pass.
      if (event.name === 'CHANNEL_EXECUTE' && event.get('Application') === 'play_and_get_digits')
        changed ??= flows(menu('1001'))
    },
  })
  await changed
  t.same(dialledOf(outcome), ['1000'])
  t.same(dialledOf((await callIn({ digits: ['1'], farEnd: farEnds.answers(1_000) })).outcome), ['1001'])
})

function dialledOf({ legs }: CallOutcome): string[] {
  return legs.map(({ number }) => number)
}
