import t from 'tap'
import type { Channel } from '../src/channel/channel.js'
import { prompt } from '../src/channel/prompt.js'
import type { QueueOptions, QueueResult } from '../src/channel/queue.js'
import { CallerGone, UnsafeArgument } from '../src/esl/errors.js'
import { newSwitch, tell } from './support/channel-story.js'
import type { Call } from './support/switch/call.js'
import { until } from './support/wire.js'

/** A caller in a queue of mod_callcenter. */

const support = 'support@default'

/** Noting what became of it. */
function waits(results: QueueResult[], options?: QueueOptions, queue = support) {
  return async (channel: Channel): Promise<void> => {
    results.push(await channel.queue(queue, options))
  }
}

t.test('an agent answers, talks and hangs up: so does the switch', async (t) => {
  const results: QueueResult[] = []
  const { outcome, error, events } = await tell(t, waits(results), {
    queue: { agentAfterMs: 2000, agent: { answersAfterMs: 1000, hangsUpAfterMs: 30_000 } },
  })
  // Whether the end of the talk or that of the call is told first is a matter of chance.
  if (error === undefined) t.same(results, [{ isConnected: true, why: 'answered' }])
  else t.ok(error instanceof CallerGone)
  t.match(outcome, {
    hungUpBy: 'called',
    legs: [{ dialString: 'user/1001@default', cause: 'NORMAL_CLEARING' }],
  })
  const [agent] = outcome.legs
  t.equal((agent?.endedAt ?? 0) - (agent?.answeredAt ?? 0), 30_000_000)
  const bridge = events.find(({ name }) => name === 'CHANNEL_BRIDGE')
  t.equal(bridge?.get('Other-Leg-Unique-ID'), agent?.uuid)
  t.equal(outcome.variable('cc_agent'), '1001@default')
})

t.test('the talk is not ended by the server that waited with the caller', async (t) => {
  const { outcome } = await tell(
    t,
    async (channel) => {
      await channel.queue(support)
      await channel.hangup('USER_BUSY')
    },
    { queue: { agentAfterMs: 0, agent: { hangsUpAfterMs: 5000 } } },
  )
  const [agent] = outcome.legs
  t.equal((agent?.endedAt ?? 0) - (agent?.answeredAt ?? 0), 5_000_000)
})

t.test('a caller who hangs up on the agent ends the talk', async (t) => {
  const { outcome, error } = await tell(t, waits([]), {
    queue: { agentAfterMs: 1000, agent: {} },
    callerHangsUpAfterMs: 8000,
  })
  t.ok(error instanceof CallerGone)
  t.match(outcome, { hungUpBy: 'caller', cause: 'NORMAL_CLEARING', legs: [{ cause: 'NORMAL_CLEARING' }] })
})

t.test('a caller for whom nobody comes is still there afterwards, and told why', async (t) => {
  for (const why of ['TIMEOUT', 'NO_AGENT_TIMEOUT', 'EXIT_WITH_KEY'] as const) {
    const results: QueueResult[] = []
    const { outcome, error } = await tell(
      t,
      async (channel) => {
        await waits(results)(channel)
        await channel.play(prompt('ivr/sorry.wav'))
      },
      { queue: { leavesAfterMs: 20_000, why } },
    )
    t.equal(error, undefined)
    t.same(results, [{ isConnected: false, why }])
    t.match(outcome, { hungUpBy: 'server', heard: ['ivr/sorry.wav'] })
    t.ok(outcome.answeredAt, 'a queue answers its callers')
    t.equal(
      outcome.variable('hangup_after_bridge'),
      'false',
      'a bridge that comes now leaves the caller here',
    )
  }
})

t.test('an agent who does not take the phone is rung no more when the caller leaves', async (t) => {
  const results: QueueResult[] = []
  const { outcome } = await tell(t, waits(results), {
    queue: { agentAfterMs: 0, agent: { answersAfterMs: 60_000 }, leavesAfterMs: 20_000 },
  })
  t.match(results, [{ isConnected: false, why: 'TIMEOUT' }])
  t.match(outcome.legs, [{ answeredAt: undefined, cause: 'ORIGINATOR_CANCEL' }])
})

t.test('a queue that there is not is told from one that was left before', async (t) => {
  const results: QueueResult[] = []
  await tell(
    t,
    async (channel) => {
      await waits(results)(channel)
      await waits(results, {}, 'sales@default')(channel)
    },
    { sw: newSwitch(t, { queues: [support] }), queue: { leavesAfterMs: 1000 } },
  )
  t.same(results, [
    { isConnected: false, why: 'TIMEOUT' },
    { isConnected: false, why: 'failed' },
  ])
})

t.test('music is the one that is asked for, until the caller leaves', async (t) => {
  const music = prompt('tone_stream://%(400,400,440);loops=-1')
  const { outcome, error } = await tell(
    t,
    async (channel) => {
      await channel.queue(support, { music }, 'remembered')
      await channel.queue('sales@default')
    },
    { queue: { leavesAfterMs: 5000 } },
  )
  t.equal(error, undefined)
  t.same(outcome.heard, [music])
  t.equal(outcome.variable('linger_call'), 'remembered')
})

t.test('a caller with a higher score is served first, however late', async (t) => {
  const sw = newSwitch(t)
  const stories: Promise<unknown>[] = []
  const calls: Call[] = []
  for (const [waiting, score] of [0, 0, 86_400].entries()) {
    const onCall = (call: Call) => calls.push(call)
    stories.push(tell(t, waits([], { score }), { sw, speed: 1, onCall }))
    await until(() => sw.queues.members(support).length > waiting)
  }
  t.same(
    sw.queues.members(support).map(({ uuid }) => uuid),
    [2, 0, 1].map((index) => calls[index]?.uuid),
  )
  for (let waiting = calls.length; waiting > 0; waiting--) {
    const [first] = sw.queues.members(support)
    t.equal(sw.queues.serve(support, { hangsUpAfterMs: 0 }), first)
    await until(() => sw.queues.members(support).length < waiting)
  }
  await Promise.all(stories)
})

t.test('a caller who gives up, and a server that does, end the waiting', async (t) => {
  const sw = newSwitch(t)
  const gaveUp = await tell(
    t,
    async (channel, call) => {
      const waiting = channel.queue(support)
      await until(() => sw.queues.members(support).length === 1)
      call.hangup()
      await waiting
    },
    { sw },
  )
  t.ok(gaveUp.error instanceof CallerGone)
  t.equal(gaveUp.outcome.variable('cc_cancel_reason'), 'BREAK_OUT')

  const { said, outcome } = await tell(t, async (channel) => {
    await channel.answer()
    const waiting = channel.queue(support)
    await channel.hangup('ALLOTTED_TIMEOUT')
    await t.rejects(waiting, CallerGone)
  })
  t.match(outcome, { cause: 'ALLOTTED_TIMEOUT', hungUpBy: 'server' })
  t.ok(said.includes('uuid_kill UUID ALLOTTED_TIMEOUT'), 'past the messages that mod_callcenter throws away')
})

t.test('names and scores are checked', async (t) => {
  const { said } = await tell(t, async (channel) => {
    for (const name of ['', 'a b', 'a@b@c', 'a,b', '${x}', "a'", 'x'.repeat(65)])
      await t.rejects(channel.queue(name), UnsafeArgument, name)
    for (const score of [-1, 1.5, Number.NaN, 2 ** 31])
      await t.rejects(channel.queue(support, { score }), UnsafeArgument, String(score))
  })
  t.same(said, ['hangup NORMAL_CLEARING', 'exit'])
})
