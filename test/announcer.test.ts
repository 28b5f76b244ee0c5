import t from 'tap'
import { Announcer } from '../src/call/announcer.js'
import { channelFacts } from '../src/call/facts.js'
import { handOn } from '../src/call/hand-on.js'
import { decodeCallState, isHandedOn } from '../src/call/state.js'
import { Story } from '../src/call/story.js'
import { CommandRefused } from '../src/esl/errors.js'
import { Event } from '../src/esl/event.js'
import type { CallEvent } from '../src/events/call-event.js'
import { Catalog } from '../src/store/catalog.js'
import { logLines } from './support/log-lines.js'
import { testDatabase } from './support/services.js'

const database = await testDatabase(t)
const catalog = await Catalog.load(database.pool, { log: logLines().log })
t.teardown(() => catalog.close())

function announced(calledNumber = '0901234567') {
  const channel = new Event()
  channel.set('Unique-ID', 'call')
  channel.set('Caller-Destination-Number', calledNumber)
  channel.set('Caller-Channel-Created-Time', '1795284156000000')
  const story = new Story(channelFacts(channel), {
    tenant: catalog.tenant('demo'),
    direction: 'outbound',
    caller: '1000',
    called: '84901234567',
    callerExtension: undefined,
    calledExtension: undefined,
    isEmergency: false,
  })
  const { log, warnings } = logLines()
  const told: (CallEvent | undefined)[] = []
  const events = {
    isHeard: true,
    count: () => undefined,
    publish: (event: CallEvent | undefined) => told.push(event),
  }
  return { story, announcer: new Announcer(story, { events, catalog, log }), told, warnings }
}

const numbers = (told: readonly (CallEvent | undefined)[]) => told.map((event) => event?.sequence)

t.test(
  'a call that changes without end is told of 999 times, and it is said once that there is more',
  (t) => {
    const { announcer, told, warnings } = announced()
    for (let n = 0; n < 1_005; n++) announcer.tell('bridged')
    t.same(
      numbers(told).filter((sequence) => sequence !== undefined),
      Array.from({ length: 999 }, (_, i) => i + 1),
    )
    t.same(warnings(), ['a call has more changes than can be told: the rest is not'])
    t.end()
  },
)

t.test('a session whose call another one of its node has tells nothing more of it', (t) => {
  const first = announced()
  first.announcer.begins({})
  first.announcer.queued('sales@default')
  const second = announced()
  first.announcer.handOver(second.story)
  first.announcer.tell('bridged')
  second.announcer.begins({})
  second.announcer.tell('bridged')
  t.same(numbers([...first.told, ...second.told]), [1, 2, 3])
  t.match(second.told, [{ call_status: 'bridged', queue_name: 'sales@default', metrics: { queue: 1 } }])
  t.end()
})

t.test('a transfer is told once, whichever of its signs comes first', (t) => {
  for (const isEventFirst of [true, false]) {
    const { announcer, told } = announced()
    const heir = announced('1001')
    announcer.begins({})
    if (isEventFirst) announcer.transferred()
    announcer.handOver(heir.story)
    announcer.transferred()
    heir.announcer.tell('bridged')
    t.match(
      [...told, ...heir.told],
      [
        { call_status: 'ringing', sequence: 1 },
        { call_status: 'transferred', sequence: 2 },
        { call_status: 'bridged', sequence: 3 },
      ],
    )
    t.equal(told.length + heir.told.length, 3)
  }
  t.end()
})

t.test('what the switch does not take stays with its route, and goes on to be told of', async (t) => {
  for (const how of ['isTransferred', 'isGivenBack'] as const) {
    const { story, announcer, told } = announced()
    const states: (string | undefined)[] = []
    const channel = {
      remember: (state: string | undefined) => {
        states.push(state)
        return Promise.resolve()
      },
    }
    announcer.begins({})
    const sending = handOn({ story, announcer, channel, node: 'here' }, how, () => {
      announcer.leave()
      return Promise.reject(new CommandRefused('uuid_transfer', '-ERR no'))
    })
    await t.rejects(sending, { code: 'COMMAND_REFUSED' })
    announcer.tell('bridged')
    t.same(numbers(told), [1, 2])
    const [state] = states.map(decodeCallState)
    t.equal(state && isHandedOn(state), false)
    t.equal(state?.transfers, undefined)
    t.equal(story.transfers, 0)
  }
})

t.test("a dialplan's event without a number, as Redis is away, leaves the call its own numbers", (t) => {
  const { announcer, told } = announced()
  announcer.begins({})
  announcer.continueAfter(1_000_250)
  announcer.tell('answered')
  announcer.continueAfter(7)
  announcer.tell('bridged')
  t.same(numbers(told), [1, 2, 8])
  t.end()
})
