import t, { type Test } from 'tap'
import type { Collected, CollectOptions } from '../src/channel/collect.js'
import { prompt } from '../src/channel/prompt.js'
import { CallerGone, UnsafeArgument } from '../src/esl/errors.js'
import { tell, type StoryOptions, type Told } from './support/channel-story.js'

/** Digits, as a caller dials them and a server gets them. */

const welcome = prompt('ivr/welcome.wav')
const choose = prompt('ivr/choose.wav')
const wrong = prompt('ivr/invalid.wav')
const nobody = prompt('ivr/no-input.wav')

const menu: CollectOptions = {
  prompt: [welcome, choose],
  min: 1,
  max: 1,
  timeoutMs: 3000,
  pattern: /[1-3]/,
  invalidPrompt: [wrong],
  noInputPrompt: [nobody],
}
const account: CollectOptions = { prompt: [welcome], min: 4, max: 6, timeoutMs: 3000, interDigitMs: 1000 }

/** What an answered caller's digits come to, one `collect` after the other. */
async function collect(
  t: Test,
  collects: readonly CollectOptions[],
  options: StoryOptions,
): Promise<Told & { results: Collected[] }> {
  const results: Collected[] = []
  const told = await tell(
    t,
    async (channel) => {
      await channel.answer()
      for (const each of collects) results.push(await channel.collect(each))
    },
    options,
  )
  return { ...told, results }
}

t.test('a caller who knows the menu cuts its prompts short', async (t) => {
  const { results, outcome } = await collect(t, [menu], { dials: [{ afterMs: 300, digits: '2' }] })
  t.match(results, [{ digits: '2', why: 'matched', terminator: undefined, unplayed: [] }])
  t.same(outcome.heard, [welcome], 'of the first no more than was heard by then, of the second nothing')
  t.ok((outcome.endedAt - outcome.startedAt) / 1000 < 1000, 'before even the first would have ended')
})

t.test('a caller who hears the menu out and then chooses is understood as well', async (t) => {
  const { results, outcome } = await collect(t, [menu], { dials: [{ afterMs: 4000, digits: '3' }] })
  t.match(results, [{ digits: '3', why: 'matched' }])
  t.same(outcome.heard, [welcome, choose])
})

t.test('wrong keys are told of, and the menu is heard again, as often as it may be', async (t) => {
  const { results, outcome } = await collect(t, [{ ...menu, tries: 3 }], { digits: ['9', '8', '1'] })
  t.match(results, [{ digits: '1', why: 'matched' }])
  t.same(outcome.heard, [welcome, wrong, wrong], 'each cut by the next key, half a second into it')
})

t.test('the last wrong key is what is told when the tries are used up', async (t) => {
  const { results } = await collect(t, [{ ...menu, tries: 2 }], { digits: ['9', '7'] })
  t.match(results, [{ digits: '7', why: 'invalid', terminator: undefined }])
})

t.test('silence is waited for, told of and not waited for for ever', async (t) => {
  const { results, outcome } = await collect(t, [{ ...menu, tries: 2 }], {})
  t.match(results, [{ digits: '', why: 'none', terminator: undefined }])
  const between = 'silence_stream://20'
  t.same(outcome.heard, [welcome, choose, between, nobody, welcome, choose, between])
  t.equal(
    Math.floor((outcome.endedAt - outcome.startedAt) / 1e6),
    11,
    'five sounds of a second, two pauses of three',
  )
})

t.test('a terminator ends the input and does not belong to it', async (t) => {
  const { results } = await collect(t, [account, { ...account, terminators: '*' }], {
    digits: ['1234#', '12#45*'],
  })
  t.match(results, [
    { digits: '1234', why: 'matched', terminator: '#' },
    { digits: '12#45', why: 'matched', terminator: '*' },
  ])
})

t.test('a pause ends it too, and as many digits as there may be do', async (t) => {
  const { results } = await collect(t, [account, account], { digits: ['1234', '123456'] })
  t.match(results, [
    { digits: '1234', why: 'matched', terminator: undefined },
    { digits: '123456', why: 'matched', terminator: undefined },
  ])
})

t.test('too few digits are invalid, and told', async (t) => {
  const { results } = await collect(t, [account, account, account], { digits: ['12#', '12', '#'] })
  t.match(results, [
    { digits: '12', why: 'invalid', terminator: '#' },
    { digits: '12', why: 'invalid', terminator: undefined },
    { digits: '', why: 'none', terminator: '#' },
  ])
})

t.test('where # is a choice, nothing ends the input', async (t) => {
  const choices = { ...menu, pattern: /[1#*]/, terminators: '' }
  const { results, said } = await collect(t, [choices, choices], { digits: ['#', '*'] })
  t.match(results, [
    { digits: '#', why: 'matched', terminator: undefined },
    { digits: '*', why: 'matched', terminator: undefined },
  ])
  t.match(
    said.find((line) => line.includes('play_and_get_digits')),
    / none file_string:/,
  )
})

t.test('a pattern must fit the whole of the digits', async (t) => {
  const { results } = await collect(t, [{ ...account, pattern: /12|0\d+/g }], { digits: ['1200#'] })
  t.match(results, [{ digits: '1200', why: 'invalid' }])
})

t.test('without barge-in the prompts are heard out, and what is dialled during them is lost', async (t) => {
  const { results, outcome, said } = await collect(t, [{ ...menu, bargeIn: false }], {
    dials: [
      { afterMs: 300, digits: '1*' },
      { afterMs: 3000, digits: '2' },
    ],
  })
  t.match(results, [{ digits: '2', why: 'matched' }])
  t.same(outcome.heard, [welcome, choose])
  t.ok(said.includes('uuid_setvar UUID playback_terminators none'), 'not even * cuts them')
})

t.test('digits that are dialled ahead count in the next menu', async (t) => {
  const { results, outcome } = await collect(t, [menu, account], {
    dials: [{ afterMs: 300, digits: '21234#' }],
  })
  t.match(results, [{ digits: '2' }, { digits: '1234', why: 'matched', terminator: '#' }])
  t.same(outcome.heard, [welcome], 'whose prompt is not even begun')
})

t.test('after a wrong key what was dialled behind it is forgotten', async (t) => {
  const dials = [{ afterMs: 300, digits: '0800' }]
  const { results } = await collect(t, [{ ...menu, tries: 3 }], { dials, digits: ['', '', '3'] })
  t.match(results, [{ digits: '3', why: 'matched' }], 'one try was used up, not all three')

  const again = await collect(t, [menu, { ...menu, forgetsEarlier: true }], { dials })
  t.match(again.results, [
    { digits: '0', why: 'invalid' },
    { digits: '', why: 'none' },
  ])
})

t.test('a prompt that is not there is told of, and digits are awaited all the same', async (t) => {
  const { results } = await collect(t, [{ ...menu, prompt: [welcome] }], {
    missingSounds: [welcome],
    digits: ['', '1'],
  })
  t.match(results, [{ digits: '1', why: 'matched', unplayed: [welcome] }])

  const silent = await collect(t, [{ ...menu, bargeIn: false }], { missingSounds: [choose], digits: ['1'] })
  t.match(silent.results, [{ digits: '1', why: 'matched', unplayed: [choose] }])
  t.same(silent.outcome.heard, [welcome])
})

t.test('of several prompts those that are there are played', async (t) => {
  const { results, outcome } = await collect(t, [menu], { missingSounds: [welcome], digits: ['1'] })
  t.match(results, [{ digits: '1', why: 'matched', unplayed: [] }])
  t.same(outcome.heard, [choose])
})

t.test('a menu without a prompt waits in silence', async (t) => {
  const { results, outcome } = await collect(t, [{ ...menu, prompt: [] }], { digits: ['1'] })
  t.match(results, [{ digits: '1', why: 'matched' }])
  t.same(outcome.heard, [])
})

t.test('digits and numbers are said within the prompts, and cut like them', async (t) => {
  const prompts = [prompt('say:42'), prompt('say:number:1234'), choose]
  const { results, outcome } = await collect(t, [{ ...menu, prompt: prompts }], {
    promptMs: 100,
    dials: [{ afterMs: 650, digits: '1' }],
  })
  t.match(results, [{ digits: '1', why: 'matched' }])
  const files = ['4', '2', '1', 'thousand', '2', 'hundred', '30', '4'].map((file) => `digits/${file}.wav`)
  t.strictSame(outcome.heard, files.slice(0, outcome.heard.length))
  t.ok(outcome.heard.length > 4 && outcome.heard.length < 8)
})

t.test('a caller who hangs up during the prompt, or while digits are awaited, ends it', async (t) => {
  for (const callerHangsUpAfterMs of [500, 3000]) {
    const { results, error } = await collect(t, [menu], { callerHangsUpAfterMs })
    t.same(results, [])
    t.ok(error instanceof CallerGone)
  }
})

t.test('a server that hangs up breaks it off', async (t) => {
  let error: unknown
  const { outcome } = await tell(t, async (channel) => {
    await channel.answer()
    const collecting = channel.collect(menu).catch((thrown: unknown) => {
      error = thrown
    })
    await channel.hangup('USER_BUSY')
    await collecting
  })
  t.ok(error instanceof CallerGone)
  t.match(outcome, { cause: 'USER_BUSY', hungUpBy: 'server' })
})

t.test('what the call must remember is on the channel before the caller waits', async (t) => {
  for (const bargeIn of [true, false]) {
    const { said, outcome } = await tell(
      t,
      async (channel) => {
        await channel.answer()
        await channel.collect({ ...menu, bargeIn, tries: 2 }, 'remembered')
      },
      { digits: ['1'] },
    )
    const lines = said.map((line) => line.split(' ').slice(0, 3).join(' '))
    t.equal(lines[1], 'uuid_setvar UUID linger_call')
    t.equal(lines.filter((line) => line === lines[1]).length, 1, 'and written once')
    t.equal(outcome.variable('linger_call'), 'remembered')
  }
})

t.test('what is asked for is checked before anything is said', async (t) => {
  const refused: Partial<CollectOptions>[] = [
    { min: 0 },
    { max: 33 },
    { min: 5, max: 4 },
    { min: 1.5 },
    { tries: 0 },
    { timeoutMs: 0 },
    { timeoutMs: Number.NaN },
    { interDigitMs: 1e9 },
    { terminators: '# x' },
    { terminators: '${uuid}' },
    { prompt: Array.from({ length: 129 }, () => welcome) },
  ]
  await tell(t, async (channel) => {
    for (const options of refused)
      await t.rejects(
        channel.collect({ ...account, ...options }),
        UnsafeArgument,
        JSON.stringify(options).slice(0, 60),
      )
  }).then(({ said }) => t.same(said, ['hangup NORMAL_CLEARING', 'exit']))
})
