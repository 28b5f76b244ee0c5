import fc from 'fast-check'
import { normalize } from 'node:path/posix'
import t from 'tap'
import { RecordingTemplate, type RecordedCall } from '../src/call/recording/recording-template.js'
import { Recordings } from '../src/call/recording/recording.js'
import { ConfigError, loadConfig } from '../src/config.js'
import { UnsafeArgument } from '../src/esl/errors.js'

/** Where recordings go, and where they can be fetched. */

const call: RecordedCall = {
  tenant: 'acme',
  timeZone: 'Asia/Ho_Chi_Minh',
  direction: 'inbound',
  callUuid: '6ba7b810-9dad-11d1-80b4-00c04fd430c8',
  caller: '84901234567',
  called: '1001',
  // 20 November, 18:30 UTC: it is the 21st there.
  startedAt: Date.UTC(2026, 10, 20, 18, 30) * 1000,
}

function template(text: string): RecordingTemplate {
  const parsed = RecordingTemplate.parse(text)
  if (parsed === undefined) throw new Error(`no template: ${text}`)
  return parsed
}

function recordings(text: string, url?: string): Recordings {
  return new Recordings({ dir: '/rec', url, template: template(text), isStereo: true })
}

t.test("a recording's name tells what its template asks for, in the time of its tenant", (t) => {
  const table: [string, string][] = [
    [
      '{tenant}/{yyyy}/{mm}/{dd}/{call_uuid}.wav',
      '/rec/acme/2026/11/21/6ba7b810-9dad-11d1-80b4-00c04fd430c8.wav',
    ],
    [
      '{direction}/{hh}-{caller}_{called}-{call_uuid}.mp3',
      `/rec/inbound/01-84901234567_1001-${call.callUuid}.mp3`,
    ],
    ['all/{call_uuid}.v1.wav', `/rec/all/${call.callUuid}.v1.wav`],
  ]
  for (const [text, path] of table) t.equal(recordings(text).pathOf(call), path)
  t.equal(
    recordings('{caller}/{call_uuid}.wav').pathOf({ ...call, caller: '' }),
    `/rec/unknown/${call.callUuid}.wav`,
  )
  t.end()
})

t.test('a template without the uuid of its call, or that could leave its folder, is none', (t) => {
  const refused = [
    '',
    '{call_uuid}',
    '{call_uuid}.ogg',
    '{tenant}.wav',
    '/{call_uuid}.wav',
    '../{call_uuid}.wav',
    'a/../{call_uuid}.wav',
    'a//{call_uuid}.wav',
    '.hidden/{call_uuid}.wav',
    '.{call_uuid}.wav',
    '{call_uuid}/.wav',
    '{call uuid}.wav',
    '{secret}/{call_uuid}.wav',
    '{{call_uuid}}.wav',
    '{call_uuid.wav',
    'a b/{call_uuid}.wav',
    '${uuid}/{call_uuid}.wav',
    "'/{call_uuid}.wav",
    'a:b/{call_uuid}.wav',
    '{call_uuid}.wav\n',
    '1/2/3/4/5/6/7/8/{call_uuid}.wav',
    `${'a'.repeat(120)}{call_uuid}.wav`,
  ]
  for (const text of refused) t.equal(RecordingTemplate.parse(text), undefined, JSON.stringify(text))
  t.end()
})

t.test('whatever a caller sends, the file is in the folder and is found again to be removed', (t) => {
  const one = template('{tenant}/{direction}-{hh}/{caller}+{called}/{yyyy}{mm}{dd}-{call_uuid}.wav')
  const all = new Recordings({ dir: '/rec', url: undefined, template: one, isStereo: true })
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 80 }),
    fc.constantFrom('..', '../../etc/passwd', '/', '.', '\0', '${system(id)}', '%2e%2e'),
  )
  fc.assert(
    fc.property(
      text,
      text,
      text,
      text,
      fc.integer({ min: 1, max: 4 }),
      (tenant, callUuid, caller, called, nth) => {
        let path: string | undefined
        for (let i = 0; i < nth; i++) path = all.pathOf({ ...call, tenant, callUuid, caller, called }, path)
        const names = path!.slice('/rec/'.length).split('/')
        return (
          normalize(path!) === path &&
          path.startsWith('/rec/') &&
          names.length === one.depth + 1 &&
          names.every((name, depth) => one.matches(name, depth))
        )
      },
    ),
  )
  t.end()
})

t.test('two calls have two files, even where a caller chooses what theirs is called', (t) => {
  const all = recordings('{call_uuid}.wav')
  fc.assert(
    fc.property(fc.string({ maxLength: 90 }), fc.string({ maxLength: 90 }), (one, other) => {
      const same = all.pathOf({ ...call, callUuid: one }) === all.pathOf({ ...call, callUuid: other })
      return same === (one === other)
    }),
  )
  t.not(all.pathOf({ ...call, callUuid: 'a@b' }), all.pathOf({ ...call, callUuid: 'a_b' }))
  t.end()
})

t.test('a further recording of a call has a name of its own', (t) => {
  const all = recordings('{caller}-2-{call_uuid}.wav')
  const first = all.pathOf(call)
  const second = all.pathOf(call, first)
  t.equal(second, first.replace('.wav', '-2.wav'))
  t.equal(all.pathOf(call, second), first.replace('.wav', '-3.wav'))
  t.equal(all.pathOf(call, '/elsewhere/of/another/node.wav'), first)
  t.end()
})

t.test('a name that is longer than a path may be is refused, not cut: it would be no longer its own', (t) => {
  const long = new Recordings({
    dir: `/${'d'.repeat(99)}`,
    url: undefined,
    template: template(`${'t'.repeat(80)}/{tenant}/{caller}/{call_uuid}.wav`),
    isStereo: true,
  })
  t.throws(() => long.pathOf({ ...call, callUuid: 'a@'.repeat(50) }), UnsafeArgument)
  t.end()
})

t.test('a recording can be fetched below RECORDINGS_URL, and nothing else can', (t) => {
  const all = recordings('{call_uuid}.wav', 'https://files.example.com/rec/')
  const table: [string, string | undefined][] = [
    ['/rec/acme/1.wav', 'https://files.example.com/rec/acme/1.wav'],
    ['/rec/a+b@c=d 1#?.wav', 'https://files.example.com/rec/a%2Bb%40c%3Dd%201%23%3F.wav'],
    ['/rec/../etc/passwd', undefined],
    ['/rec/./1.wav', undefined],
    ['/rec//1.wav', undefined],
    ['/records/1.wav', undefined],
    ['/rec', undefined],
    ['1.wav', undefined],
  ]
  for (const [path, url] of table) t.equal(all.urlOf(path), url, path)
  t.equal(recordings('{call_uuid}.wav').urlOf('/rec/1.wav'), undefined)
  t.end()
})

t.test('what cannot be a folder, a URL or a number of days is refused at the start', (t) => {
  const refused: [name: string, ...values: string[]][] = [
    [
      'RECORDINGS_DIR',
      'rec',
      '/',
      '//rec',
      '/rec/../etc',
      '/rec/.x',
      '/a b',
      '/$x',
      "/a'b",
      '/a:b',
      `/${'a'.repeat(100)}`,
    ],
    ['RECORDINGS_URL', 'files', 'ftp://x/y', 'https://', 'https://x/?a=', 'https://x/#a'],
    ['RECORDINGS_PATH', '{tenant}.wav', '../{call_uuid}.wav', '{call_uuid}.ogg'],
    ['RECORDINGS_STEREO', 'yes'],
    ['RECORDINGS_RETENTION_DAYS', '-1', '1.5', '36501'],
  ]
  for (const [name, ...values] of refused)
    for (const value of values) t.throws(() => loadConfig({ [name]: value }), ConfigError, `${name}=${value}`)
  const config = loadConfig({
    RECORDINGS_DIR: '/var/lib/freeswitch/recordings/',
    RECORDINGS_URL: 'http://[::1]:81/rec/',
  })
  const { recordingsDir: dir = '', recordingsUrl: url } = config
  const all = new Recordings({ dir, url, template: config.recordingsPath, isStereo: config.recordingsStereo })
  const path = all.pathOf(call)
  t.equal(path, `/var/lib/freeswitch/recordings/acme/2026/11/21/${call.callUuid}.wav`)
  t.equal(all.urlOf(path), `http://[::1]:81/rec/acme/2026/11/21/${call.callUuid}.wav`)
  t.equal(loadConfig({}).recordingsDir, undefined)
  t.end()
})
