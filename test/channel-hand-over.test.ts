import t from 'tap'
import { prompt } from '../src/channel/prompt.js'
import { CallerGone, CommandRefused, UnsafeArgument } from '../src/esl/errors.js'
import { tell } from './support/channel-story.js'

/** A call that goes on without its server. */

t.test('a call is given back to its dialplan, which finds what was set', async (t) => {
  const { outcome, error, said } = await tell(
    t,
    async (channel) => {
      await channel.giveBack({ blacklisted: 'false', vip: 'true', campaign: '' }, 'remembered')
      t.notOk(channel.isUp)
      t.notOk(channel.hasHungUp)
      await t.rejects(channel.play(prompt('ivr/hello.wav')), CallerGone)
      await channel.over()
      t.equal(await channel.finalEvent(1000), undefined, 'its end is told to others')
    },
    {
      variables: { campaign: 'spring' },
      nextActions: [
        { application: 'set', argument: 'seen=${blacklisted}/${vip}/${campaign}' },
        { application: 'answer' },
        { application: 'sleep', argument: '2000' },
      ],
    },
  )
  t.equal(error, undefined)
  t.equal(outcome.variable('seen'), 'false/true/')
  t.equal(outcome.variable('linger_call'), 'remembered')
  t.match(outcome, { hungUpBy: 'switch', cause: 'NORMAL_CLEARING' })
  t.equal(said.at(-1), 'exit')
})

t.test('a call that is given back while it plays goes on when that is over', async (t) => {
  const { outcome } = await tell(
    t,
    async (channel, call) => {
      await channel.answer()
      const playing = channel.play(prompt('ivr/hello.wav'))
      await call.until('CHANNEL_EXECUTE')
      await channel.giveBack({ blacklisted: 'false' })
      await t.rejects(playing, CallerGone)
    },
    { nextActions: [{ application: 'set', argument: 'seen=${blacklisted}' }] },
  )
  t.match(outcome, { heard: ['ivr/hello.wav'], hungUpBy: 'switch' })
  t.equal(outcome.variable('seen'), 'false')
})

t.test('a caller who is gone cannot be given back', async (t) => {
  const { error } = await tell(
    t,
    async (channel) => {
      await channel.gone()
      await channel.giveBack()
    },
    { callerHangsUpAfterMs: 100 },
  )
  t.ok(error instanceof CallerGone)
})

t.test('a call is transferred, and its end is still told', async (t) => {
  for (const context of [undefined, 'agents']) {
    const { outcome, events } = await tell(
      t,
      async (channel) => {
        await channel.answer()
        await channel.transfer('1234', context)
        await t.rejects(channel.hangup('USER_BUSY'), CallerGone)
      },
      { transferDialplan: () => [{ application: 'playback', argument: 'ivr/hello.wav' }] },
    )
    t.same(outcome.heard, ['ivr/hello.wav'])
    const final = events.find(({ name }) => name === 'CHANNEL_HANGUP_COMPLETE')
    t.equal(final?.get('Caller-Destination-Number'), '1234')
    t.equal(final?.get('Caller-Context'), context ?? 'public')
  }
})

t.test('nothing begins on a call that is being sent away', async (t) => {
  const { outcome, said } = await tell(
    t,
    async (channel) => {
      await channel.answer()
      const sent = channel.sendAway('1234', 'remembered')
      const begun: Promise<unknown>[] = [
        channel.play(prompt('ivr/hello.wav')),
        channel.hangup('USER_BUSY'),
        channel.giveBack(),
      ]
      await sent
      for (const verb of begun) await t.rejects(verb, CallerGone)
      await t.rejects(channel.transfer('5678'), CallerGone)
      t.ok(channel.isUp, 'what ran when it was sent is told of yet')
      await channel.over()
    },
    { transferDialplan: () => [{ application: 'hangup', argument: 'CALL_REJECTED' }] },
  )
  t.same(said, [
    'execute answer',
    'uuid_setvar UUID linger_call remembered',
    'uuid_transfer UUID 1234 XML',
    'exit',
  ])
  t.match(outcome, { cause: 'CALL_REJECTED', heard: [] })
  t.equal(outcome.variable('linger_call'), 'remembered')
})

t.test('what waits for a call to be sent away begins when the switch refuses that', async (t) => {
  const { outcome, error } = await tell(
    t,
    async (channel) => {
      await channel.answer()
      await t.rejects(channel.sendAway('-both', 'remembered'), UnsafeArgument)
      const sent = channel.sendAway('1234', 'remembered')
      const playing = channel.play(prompt('ivr/hello.wav'))
      await t.rejects(sent, CommandRefused)
      await playing
      await channel.hangup('USER_BUSY')
    },
    { cannotTransfer: true },
  )
  t.equal(error, undefined)
  t.match(outcome, { heard: ['ivr/hello.wav'], cause: 'USER_BUSY' })
})

t.test('a playback is broken off by a transfer', async (t) => {
  const { outcome } = await tell(
    t,
    async (channel) => {
      await channel.answer()
      const playing = channel.play(prompt('tone_stream://%(400,400,440);loops=-1'))
      await channel.transfer('1234')
      await t.rejects(playing, CallerGone)
    },
    { transferDialplan: () => [{ application: 'hangup', argument: 'CALL_REJECTED' }] },
  )
  t.equal(outcome.cause, 'CALL_REJECTED')
})

t.test('a destination is an extension of a dialplan, and nothing to run', async (t) => {
  const { said } = await tell(t, async (channel) => {
    for (const destination of ['', '-both', 'a b', 'hangup:USER_BUSY', '1234,5678', '${x}', "1'2", 'm:1'])
      await t.rejects(channel.transfer(destination), UnsafeArgument, destination)
    for (const context of ['', 'a b', '${x}', '-x', 'inline ,'])
      await t.rejects(channel.transfer('1234', context), UnsafeArgument, context)
    for (const variables of [{ 'a b': '1' }, { a: 'b c' }, { a: '${x}' }, { a: 'b\nc' }])
      await t.rejects(channel.giveBack(variables), UnsafeArgument, JSON.stringify(variables))
  })
  t.same(said, ['hangup NORMAL_CLEARING', 'exit'])
})
