import t from 'tap'
import { prompt, type Prompt } from '../src/channel/prompt.js'
import { CallerGone } from '../src/esl/errors.js'
import { newSwitch, tell } from './support/channel-story.js'

/** What a caller hears, and what is told of what could not be heard. */

const hello = prompt('ivr/hello.wav')
const news = prompt('ivr/news.wav')
const goodbye = prompt('ivr/goodbye.wav')

t.test('sounds are played one after the other, and those that are not there are told', async (t) => {
  let missing: Prompt[] = []
  const { outcome } = await tell(
    t,
    async (channel) => {
      await channel.answer()
      missing = await channel.play(hello, news, goodbye)
    },
    { missingSounds: [news] },
  )
  t.same(missing, [news])
  t.same(outcome.heard, [hello, goodbye])
})

t.test('the caller can cut one with *, and no other key', async (t) => {
  const { outcome } = await tell(
    t,
    async (channel) => {
      await channel.answer()
      t.same(await channel.play(hello, news), [])
    },
    {
      dials: [
        { afterMs: 200, digits: '12#' },
        { afterMs: 400, digits: '*' },
      ],
    },
  )
  t.same(outcome.heard, [hello, news])
  const seconds = (outcome.endedAt - outcome.startedAt) / 1e6
  t.ok(seconds > 1.4 && seconds < 1.6, `${seconds} s of two`)
})

t.test('an announcement before the answer answers nothing', async (t) => {
  const { outcome } = await tell(t, async (channel) => {
    await channel.play(hello)
    t.notOk(channel.isAnswered)
    await channel.hangup('NORMAL_TEMPORARY_FAILURE')
  })
  t.match(outcome, { heard: [hello], answeredAt: undefined, cause: 'NORMAL_TEMPORARY_FAILURE' })
})

t.test('a number is said in words, and digit by digit where the switch cannot', async (t) => {
  const sw = newSwitch(t)
  const { outcome, said } = await tell(
    t,
    async (channel) => {
      await channel.answer()
      const numbers = ['say:number:1015', 'say:number:2000019', 'say:number:0'].map((text) => prompt(text))
      t.same(await channel.play(...numbers), [])
      sw.languages.clear()
      t.same(await channel.play(prompt('say:number:90')), [])
    },
    { sw, promptMs: 100 },
  )
  const files = ['1', 'thousand', '15', '2', 'million', '19', '0', '9', '0']
  t.same(
    outcome.heard,
    files.map((file) => `digits/${file}.wav`),
  )
  t.ok(said.includes('say_string en.wav en number pronounced 1015'))
})

t.test('a call is answered once', async (t) => {
  const { said } = await tell(t, async (channel) => {
    t.notOk(channel.isAnswered)
    await channel.answer()
    t.ok(channel.isAnswered)
    await channel.answer()
  })
  t.same(said, ['execute answer', 'hangup NORMAL_CLEARING', 'exit'])
})

t.test('a call that came here answered is not answered again', async (t) => {
  const { said } = await tell(
    t,
    async (channel) => {
      t.ok(channel.isAnswered)
      await channel.answer()
    },
    { before: [{ application: 'answer' }] },
  )
  t.same(said, ['hangup NORMAL_CLEARING', 'exit'])
})

t.test('a caller who hangs up in the middle ends it, and all that is asked for later', async (t) => {
  const { error, outcome } = await tell(
    t,
    async (channel) => {
      await channel.answer()
      const playing = channel.play(hello, news, goodbye)
      await channel.gone()
      await t.rejects(playing, CallerGone)
      await t.rejects(channel.play(hello), CallerGone)
      await t.rejects(channel.answer(), CallerGone)
      await channel.variable('a')
    },
    { callerHangsUpAfterMs: 1500 },
  )
  t.ok(error instanceof CallerGone)
  t.same(outcome.heard, [hello, news])
})

t.test('a variable is read as it is, and unset', async (t) => {
  await tell(
    t,
    async (channel) => {
      t.equal(await channel.variable('campaign'), 'spring')
      await channel.unset('campaign')
      t.equal(await channel.variable('campaign'), undefined)
    },
    { variables: { campaign: 'spring' } },
  )
})
