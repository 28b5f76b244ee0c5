import t from 'tap'
import * as command from '../src/esl/command.js'
import type { Command } from '../src/esl/command.js'
import { transcripts } from './support/wire.js'

const uuid = '53a8d2ce-3ebf-43c8-8d71-099e3e0b6d90'
const otherUuid = 'dc573b10-c65b-4239-b5a8-075d58a1435c'
const eventNames = [
  ...['CHANNEL_ANSWER', 'CHANNEL_BRIDGE', 'CHANNEL_UNBRIDGE', 'CHANNEL_HANGUP_COMPLETE'],
  ...['CHANNEL_EXECUTE_COMPLETE', 'DTMF', 'BACKGROUND_JOB'],
]

/** Commands as the code makes them: each stands, byte for byte, in what FreeSWITCH answered in the recordings. */
const recorded: Command[] = [
  command.connect(),
  command.linger(),
  command.linger(10),
  command.nolinger(),
  command.myevents('json'),
  command.myevents('plain'),
  command.myevents('xml'),
  command.event('json', ['ALL']),
  command.event('json', eventNames),
  command.event('json', ['CUSTOM', 'callcenter::info']),
  command.nixevent(['HEARTBEAT']),
  command.noevents(),
  command.filter('Event-Name', 'CHANNEL_ANSWER'),
  command.filterDelete('Event-Name', 'CHANNEL_ANSWER'),
  command.filterDelete('all'),
  command.divertEvents(true),
  command.divertEvents(false),
  command.sendevent('CUSTOM', { 'Event-Subclass': 'lab::test', Section: '33' }),
  command.execute('answer'),
  command.execute('answer', '', { eventUuid: 'app-1' }),
  command.execute('bridge', 'sofia/gateway/carrier1/84901234567', { eventUuid: 'app-bridge' }),
  command.execute('bridge', '{originate_timeout=2}sofia/gateway/carrier1/84901234567', {
    eventUuid: 'app-bridge',
  }),
  command.execute('playback', 'tone_stream://%(100,0,500)', { eventUuid: 'app-loop', loops: 3 }),
  command.execute(
    'play_and_get_digits',
    '1 4 2 4000 # tone_stream://%(200,0,500) silence_stream://100 choice \\d+ 1500',
    { eventUuid: 'app-digits' },
  ),
  command.execute('record_session', '/rec/store/rec-${uuid}.wav', { expands: true }),
  command.execute('multiset', '^^:vip=true:customer_id=11223344', { eventUuid: 'app-2' }),
  command.execute('set', 'foo=bar baz: qux=1 2', { asBody: true }),
  command.hangup('CALL_REJECTED'),
  command.api('status'),
  command.api('uuid_exists', ['33cc9df5-05a3-4bbd-aa5f-17efce31680d']),
  command.api('uuid_setvar', [otherUuid, 'linger_call', 'eyJ2IjoxfQ']),
  command.api('uuid_broadcast', [otherUuid, 'tone_stream://%(200,0,900)', 'aleg']),
  command.api('uuid_recv_dtmf', ['975e8268-a42f-49be-86a6-ce462b8cc5d1', '12#']),
  command.api('sched_api', ['+2', `linger-${uuid}-1`, 'uuid_kill', uuid, 'ALLOTTED_TIMEOUT']),
  command.api('sched_del', [`linger-${uuid}-1`]),
  command.api('callcenter_config', ['tier', 'add', 'support@default', '1002@default', '1', '1']),
  command.bgapi('status', [], '11111111-2222-3333-4444-555555555555'),
  command.getvar('caller_id_number'),
  command.log(7),
  command.nolog(),
  command.resume(),
  command.exit(),
]

t.test('each command is, byte for byte, one that FreeSWITCH answered in the recordings', (t) => {
  const sent = new Set(transcripts.flatMap((transcript) => transcript.sent))
  for (const { text } of recorded) {
    // The recorder wrote a blank line behind a body too; FreeSWITCH reads a body by its length.
    t.ok(sent.has(text) || sent.has(text + '\n\n'), JSON.stringify(text))
  }
  const inOneWrite = [
    command.connect(),
    command.linger(30),
    command.myevents('json'),
    command.nixevent([
      ...['CHANNEL_STATE', 'CHANNEL_EXECUTE', 'CHANNEL_PARK', 'CHANNEL_UNPARK', 'CHANNEL_OUTGOING'],
      ...['CHANNEL_ORIGINATE', 'CHANNEL_UUID', 'CHANNEL_DATA', 'TALK', 'NOTALK'],
    ]),
    command.event('json', ['CHANNEL_HOLD', 'CHANNEL_UNHOLD', 'RECORD_STOP', 'BACKGROUND_JOB']),
  ]
  t.ok(sent.has(inOneWrite.map(({ text }) => text).join('')), 'the handshake in one write')
  t.end()
})

t.test('the forms that no recording has', (t) => {
  const cases: [Command, string][] = [
    [command.myevents('json', uuid), `myevents ${uuid} json\n\n`],
    [command.event('plain', ['DTMF']), 'event plain DTMF\n\n'],
    [
      command.execute('playback', 'a.wav', { uuid, eventUuid: 'e', loops: 2, eventLock: true }),
      `sendmsg ${uuid}\ncall-command: execute\nexecute-app-name: playback\nexecute-app-arg: a.wav\n` +
        'Event-UUID: e\nloops: 2\nevent-lock: true\n\n',
    ],
    [
      command.execute('set', 'é', { asBody: true, eventUuid: 'e' }),
      'sendmsg\ncall-command: execute\nexecute-app-name: set\nEvent-UUID: e\n' +
        'content-type: text/plain\ncontent-length: 2\n\né',
    ],
    [
      command.execute('answer', '', { asBody: true }),
      'sendmsg\ncall-command: execute\nexecute-app-name: answer\n\n',
    ],
    [command.hangup('USER_BUSY', uuid), `sendmsg ${uuid}\ncall-command: hangup\nhangup-cause: USER_BUSY\n\n`],
    [command.nomedia(), 'sendmsg\ncall-command: nomedia\n\n'],
    [command.nomedia(uuid), `sendmsg ${uuid}\ncall-command: nomedia\n\n`],
    [
      command.bgapi('originate', ['user/1000', '&park'], 'job'),
      'bgapi originate user/1000 &park\nJob-UUID: job\n\n',
    ],
    [
      command.sendevent('SEND_MESSAGE', { profile: 'internal' }, 'two\nlines é'),
      'sendevent SEND_MESSAGE\nprofile: internal\ncontent-length: 12\n\ntwo\nlines é',
    ],
  ]
  for (const [made, text] of cases) t.equal(made.text, text)
  t.end()
})

t.test('a command is known by its verb, never by its arguments', (t) => {
  t.equal(command.execute('bridge', 'sofia/gateway/carrier1/84901234567').verb, 'bridge')
  t.equal(command.api('uuid_kill', [uuid]).verb, 'uuid_kill')
  t.equal(command.hangup('USER_BUSY').verb, 'hangup')
  t.equal(command.getvar('sip_auth_password').verb, 'getvar')
  t.end()
})
