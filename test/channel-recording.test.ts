import t from 'tap'
import { prompt } from '../src/channel/prompt.js'
import { recordingPath } from '../src/channel/recording.js'
import { CallerGone, UnsafeArgument } from '../src/esl/errors.js'
import { gatewayDialString } from '../src/numbering/dial-string.js'
import { tell } from './support/channel-story.js'
import type { FiredEvent } from './support/switch/events.js'

/** Recordings, before and during a talk. */

const path = recordingPath('/rec/store/2026/11/21/a1b2.wav')
const carrier = gatewayDialString('carrier1', '84901234567', {
  callerNumber: '0912406496',
  ringSeconds: 30,
  maxSeconds: 600,
})
const talks = { answersAfterMs: 2000, hangsUpAfterMs: 4000 }

/** When, in ms since the call began, of each event that tells of a recording, and of the answer. */
function noting() {
  const noted: string[] = []
  let begin: number | undefined
  const onEvent = (event: FiredEvent): void => {
    const at = Number(event.get('Event-Date-Timestamp')) / 1000
    begin ??= at
    if (/^RECORD|^CHANNEL_ANSWER/.test(event.name))
      noted.push(`${event.name} ${Math.round((at - begin) / 1000)}`)
  }
  return { noted, onEvent }
}

t.test(
  'a call that is dialled is recorded from the answer, and nothing opens its audio before',
  async (t) => {
    const { noted, onEvent } = noting()
    const { outcome, events, said } = await tell(
      t,
      async (channel) => {
        t.equal(await channel.record(path), true)
        await channel.bridge(carrier, {
          hangup_after_bridge: 'false',
        })
      },
      { farEnd: talks, onEvent },
    )
    t.same(noted, ['CHANNEL_ANSWER 2', 'RECORD_START 2', 'RECORD_STOP 6'])
    t.notOk(said.some((line) => /^(execute|uuid_)record/.test(line)))
    const stop = events.find(({ name }) => name === 'RECORD_STOP')
    t.equal(stop?.get('Record-File-Path'), path, 'and its server hears where it went')
    t.equal(outcome.variable('RECORD_STEREO'), 'true')
  },
)

t.test('a call that is answered is recorded from now on', async (t) => {
  const { noted, onEvent } = noting()
  await tell(
    t,
    async (channel) => {
      await channel.answer()
      await channel.play(prompt('ivr/hello.wav'))
      t.equal(await channel.record(path, { isStereo: false }), true)
      await channel.play(prompt('ivr/hello.wav'))
    },
    { onEvent },
  )
  t.same(noted, ['CHANNEL_ANSWER 0', 'RECORD_START 1', 'RECORD_STOP 2'])
})

t.test('a talk is recorded while it goes on, and no more when it is stopped', async (t) => {
  const { noted, onEvent } = noting()
  const { outcome } = await tell(
    t,
    async (channel, call) => {
      const bridging = channel.bridge(carrier)
      await call.until('CHANNEL_BRIDGE')
      t.equal(await channel.stopRecording(path), false, 'there is none')
      t.equal(await channel.record(path), true)
      t.equal(await channel.stopRecording(path), true)
      t.equal(call.isTalking, true)
      t.match(await bridging, { isConnected: true })
    },
    { farEnd: talks, onEvent },
  )
  t.same(noted.slice(1), ['RECORD_START 2', 'RECORD_STOP 2'])
  t.match(outcome.legs, [{ cause: 'NORMAL_CLEARING' }])
})

t.test('a recording that is stopped before the answer never begins', async (t) => {
  const { noted, onEvent } = noting()
  await tell(
    t,
    async (channel) => {
      await channel.record(path)
      await channel.stopRecording(path)
      await channel.answer()
    },
    { onEvent },
  )
  t.same(noted, ['CHANNEL_ANSWER 0'])
})

t.test('a file that cannot be written ends nothing', async (t) => {
  const { outcome, error } = await tell(
    t,
    async (channel) => {
      await channel.answer()
      t.equal(await channel.record(path), false)
      t.same(await channel.play(prompt('ivr/hello.wav')), [])
    },
    { cannotRecord: true },
  )
  t.equal(error, undefined)
  t.match(outcome, { hungUpBy: 'server', heard: ['ivr/hello.wav'] })
})

t.test('nobody who has gone is recorded', async (t) => {
  await tell(
    t,
    async (channel) => {
      await channel.gone()
      await t.rejects(channel.record(path), CallerGone)
    },
    { callerHangsUpAfterMs: 100 },
  )
})

t.test('a path stays where it is', async (t) => {
  for (const good of ['/rec/a.wav', '/rec/acme.de/2026-11-21/+84901@x=1_2.mp3'])
    t.equal(recordingPath(good), good)
  const refused = [
    '',
    'a.wav',
    '/',
    '/rec/a',
    '/rec/../etc/a.wav',
    '/rec/./a.wav',
    '/rec//a.wav',
    '/rec/.hidden/a.wav',
    '/rec/a b.wav',
    '/rec/${uuid}.wav',
    "/rec/'a'.wav",
    '/rec/{a=1}b.wav',
    '/rec/[a=1]b.wav',
    '/rec/a:b.wav',
    '/rec/a.wav\n',
    'http://x/a.wav',
    '/rec/a.WAV',
    `/${'a'.repeat(250)}.wav`,
  ]
  for (const text of refused) t.throws(() => recordingPath(text), UnsafeArgument, JSON.stringify(text))
})
