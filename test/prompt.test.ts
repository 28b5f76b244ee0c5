import t from 'tap'
import { prompt } from '../src/channel/prompt.js'
import { UnsafeArgument } from '../src/esl/errors.js'

t.test('files below the sounds folder, tones, silence and digits to say are prompts', async (t) => {
  t.equal(prompt('ivr/ivr-welcome.wav'), 'ivr/ivr-welcome.wav')
  t.equal(prompt('ivr/ivr-welcome.wav', '/usr/share/sounds'), '/usr/share/sounds/ivr/ivr-welcome.wav')
  t.equal(prompt('tone_stream://%(200,0,500)'), 'tone_stream://%(200,0,500)')
  t.equal(prompt('silence_stream://500'), 'silence_stream://500')
  t.equal(prompt('say:1234'), 'say:1234')
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
    'tone_stream://%(200,0,500) shell',
    'say:${uuid}',
  ]
  for (const text of refused) t.throws(() => prompt(text), UnsafeArgument, JSON.stringify(text))
})
