import fc from 'fast-check'
import t from 'tap'
import { fileString, prompt } from '../src/channel/prompt.js'
import { UnsafeArgument } from '../src/esl/errors.js'

t.test('files below the sounds folder, tones and silence are prompts', async (t) => {
  t.equal(prompt('ivr/ivr-welcome.wav'), 'ivr/ivr-welcome.wav')
  t.equal(prompt('tone_stream://%(200,0,500)'), 'tone_stream://%(200,0,500)')
  t.equal(prompt('silence_stream://500'), 'silence_stream://500')
})

t.test('digits are said by the files that FreeSWITCH has of them', async (t) => {
  t.equal(prompt('say:7'), 'digits/7.wav')
  t.equal(prompt('say:104'), 'file_string://digits/1.wav!digits/0.wav!digits/4.wav')
})

t.test('nothing else is: no other scheme, no way out of the folder, nothing that expands', async (t) => {
  const refused = [
    '',
    '/etc/passwd',
    '../secret.wav',
    'ivr/../../secret.wav',
    'shell_stream://id',
    'http://example.com/a.wav',
    'http_cache://example.com/a.wav',
    'file_string://a.wav!b.wav',
    'local_stream://moh',
    'ivr/${system(id)}.wav',
    'a.wav\nb',
    'a b.wav',
    'a.wav!b.wav',
    'a.wav@@100',
    'tone_stream://%(200,0,500) shell',
    'say:${uuid}',
    'say:twelve',
    'say:en:12:/etc',
    'say:number:',
    'say:number:1.5',
    'say:number:1234567890',
    'phrase:macro',
    `say:${'1'.repeat(41)}`,
  ]
  for (const text of refused) t.throws(() => prompt(text), UnsafeArgument, JSON.stringify(text))
})

t.test('whatever is given, a prompt is one plain word or none', async () => {
  const pieces = [
    'say:',
    'number:',
    'file_string://',
    '://',
    '..',
    '/',
    '!',
    '$',
    '{',
    ' ',
    '\n',
    '12',
    'a.wav',
  ]
  const texts = fc.oneof(
    fc.string(),
    fc.array(fc.constantFrom(...pieces)).map((parts) => parts.join('')),
  )
  fc.assert(
    fc.property(texts, (text) => {
      let what: string
      try {
        what = prompt(text)
      } catch (error) {
        return error instanceof UnsafeArgument
      }
      return /^[A-Za-z0-9_%(),;.=*+:/!-]+$/.test(what) && !what.includes('..')
    }),
    { numRuns: 2000 },
  )
})

t.test('several sounds are one list, however they were put together', async (t) => {
  t.equal(fileString(['a.wav']), 'a.wav')
  t.equal(
    fileString(['a.wav', 'file_string://b.wav!c.wav', 'd.wav']),
    'file_string://a.wav!b.wav!c.wav!d.wav',
  )
  t.throws(() => fileString(Array.from({ length: 129 }, () => 'a.wav')), UnsafeArgument)
})
