import { randomUUID } from 'node:crypto'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { callEvent } from '../src/events/call-event.js'
import { CallEvents } from '../src/events/call-events.js'
import { DueEvents, type Due } from '../src/events/due-events.js'
import { Journal } from '../src/journal/journal.js'
import { eventsAre, snapshot } from './support/call-events.js'
import { temporaryFolder } from './support/services.js'

const log = pino({ level: 'silent' })

/** A journal with events of calls, and what of them is due. */
async function due(t: Pick<Test, 'teardown'>, calls: readonly string[], window = 100) {
  const journal = await Journal.open({ dir: await temporaryFolder(t), log, reserveBytes: 2 ** 20 })
  t.teardown(() => journal.close())
  const out = new CallEvents({ journal, isPublished: true, timeZoneOf: () => 'UTC' })
  const counts = new Map<string, number>()
  for (const uuid of calls) {
    const count = (counts.get(uuid) ?? 0) + 1
    counts.set(uuid, count)
    out.publish(callEvent(snapshot({ uuid, count })))
  }
  await eventsAre(journal.events, calls.length)
  const { events } = journal
  const dueEvents = new DueEvents({ events, log, window, isResting: () => false, onMore: () => undefined })
  return { journal, dueEvents }
}

const ids = (all: readonly Due[]) => all.map(({ message }) => message.id)
const ringing = (call: string, ...counts: number[]) => counts.map((count) => `${call}:${count}:ringing`)

t.test(
  'of one call an event goes out when the one before is confirmed; other calls do not wait',
  async (t) => {
    const { journal, dueEvents } = await due(t, ['a', 'a', 'b', 'a', 'b'])
    const first = await dueEvents.take()
    t.same(ids(first), [...ringing('a', 1), ...ringing('b', 1)])
    t.same(await dueEvents.take(), [], 'the rest waits')
    for (const { key } of first) dueEvents.done(key)
    const second = await dueEvents.take()
    t.same(ids(second), [...ringing('a', 2), ...ringing('b', 2)])
    for (const { key } of second) dueEvents.done(key)
    const third = await dueEvents.take()
    t.same(ids(third), ringing('a', 3))
    for (const { key } of third) dueEvents.done(key)
    t.same(await dueEvents.take(), [])
    await dueEvents.close()
    t.equal(journal.events.pending, 0)
  },
)

t.test('one that is refused goes out again before all later ones of its call', async (t) => {
  const { dueEvents } = await due(t, ['a', 'a', 'b', 'a'])
  const [refused, other] = await dueEvents.take()
  dueEvents.leave(refused!.key)
  dueEvents.done(other!.key)
  t.same(await dueEvents.take(), [], 'nothing of that call until it is read from the start')
  for (const count of [1, 2, 3]) {
    dueEvents.rewind()
    const again = await dueEvents.take()
    t.same(ids(again), ringing('a', count))
    dueEvents.done(again[0]!.key)
  }
  await dueEvents.close()
})

t.test('a connection that ends leaves what it had, and what waited for that', async (t) => {
  const { dueEvents } = await due(t, ['a', 'a', 'b', 'b'])
  const [first] = await dueEvents.take()
  dueEvents.done(first!.key)
  dueEvents.leaveAll()
  t.same(ids(await dueEvents.take()), [...ringing('a', 2), ...ringing('b', 1)])
  t.equal(dueEvents.unconfirmed, 2)
})

t.test('a call with more events than the window takes is told of to its end', async (t) => {
  const uuid = randomUUID()
  const { journal, dueEvents } = await due(t, new Array<string>(50).fill(uuid), 4)
  const seen: string[] = []
  while (journal.events.pending > 0) {
    const taken = await dueEvents.take()
    seen.push(...ids(taken))
    for (const { key } of taken) dueEvents.done(key)
    if (taken.length === 0) await dueEvents.close()
  }
  t.same(
    seen,
    Array.from({ length: 50 }, (_, i) => `${uuid}:${i + 1}:ringing`),
  )
})
