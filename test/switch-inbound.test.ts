import t from 'tap'

import { differencesOf, kindOf } from './support/switch/comparison.js'
import { callUp, dialIn, listen } from './support/switch/conversation.js'
import { readTranscript, type RecordedFrame } from './support/switch/recordings.js'
import {
  carrier,
  channelRows,
  execute,
  handshake,
  linkedSwitch,
  linkEvents,
  parties,
  password,
  talkingCall,
} from './support/switch/talking-call.js'

/** The inbound side of the simulated switch: what is told over a connection that somebody opened to it. */

/** Which frames of a transcript are not held to it, and why. */
interface Uncompared {
  readonly why: string
  readonly isIt: (frame: RecordedFrame) => boolean
}

const loopback: Uncompared = {
  why: 'no loopback channels, and no originate for nobody: what `originate loopback/…` brings about',
  isIt: ({ event }) => String(event?.get('Event-Name')).startsWith('CHANNEL_'),
}
const callcenter: Uncompared = {
  why: 'no mod_callcenter: answers of callcenter_config, callcenter::info',
  isIt: ({ head, event }) =>
    event?.get('Event-Subclass') === 'callcenter::info' || head.get('Content-Type') === 'api/response',
}

for (const [name, uncompared] of [
  ['inbound-auth-refused', undefined],
  ['inbound-monitor-and-originate', loopback],
  ['inbound-callcenter-events', callcenter],
] as const)
  t.test(`the switch says what FreeSWITCH said: ${name}`, async (t) => {
    const { port } = await linkedSwitch(t)
    const client = callUp(t, port)
    const compared: { recorded: RecordedFrame; actual: RecordedFrame }[] = []
    const left: string[] = []
    let count = 0
    for (const step of readTranscript(name)) {
      if (step.from === 'server' && !step.text.startsWith('api callcenter_config')) client.send(step.text)
      if (step.from === 'closed' && name === 'inbound-auth-refused') await client.closed
      if (step.from !== 'switch') continue
      if (uncompared?.isIt(step.frame) === true) left.push(kindOf(step.frame))
      else {
        while (client.frames.length <= count) await new Promise(setImmediate)
        compared.push({ recorded: step.frame, actual: client.frames[count++]! })
      }
    }
    if (uncompared !== undefined)
      t.comment(`${compared.length} frames compared; not compared: ${left.join(', ')} (${uncompared.why})`)
    const differences = compared.flatMap(({ recorded, actual }) =>
      differencesOf(withoutFigures(recorded), withoutFigures(actual)),
    )
    t.same(differences, [])
    t.equal(client.frames.length, compared.length, 'nothing else came')
  })

/** `status` tells how much that switch had to do, and the job that was not done here has another result. */
function withoutFigures(frame: RecordedFrame): RecordedFrame {
  if (frame.body.startsWith('UP ')) {
    const body = frame.body.replace(/\d+(\.\d+)?/g, '0').replace(/ +$/gm, '')
    return { head: new Map(frame.head).set('Content-Length', '0'), body }
  }
  const { event } = frame
  if (event?.get('Job-Command') !== 'originate' || String(event.get('Job-Command-Arg')).startsWith('user/'))
    return frame
  return { ...frame, event: new Map(event).set('_body', '') }
}

t.test('nobody is told anything before the password', async (t) => {
  const { port } = await linkedSwitch(t)
  const stranger = callUp(t, port)
  stranger.send('api status\n\nevent json ALL\n\nexit\n\n')
  await stranger.closed
  t.same(stranger.names().slice(1), [
    '-ERR command not found',
    '-ERR command not found',
    '+OK bye',
    stranger.frames.at(-1)?.body,
  ])
})

t.test('both legs of a call are heard, each to its own end', async (t) => {
  const state = Buffer.from('{"v":1}').toString('base64url')
  const dialString = `[linger_leg=${state},execute_on_answer='sched_hangup +3600 ALLOTTED_TIMEOUT']${carrier}`
  const { link, call, legUuid, server } = await talkingCall(
    t,
    { farEnd: { ringsAfterMs: 20, answersAfterMs: 1000, callerHangsUpAfterMs: 2540 } },
    `{crm_uuid=7}${dialString}`,
  )
  const caller = await link.event('CHANNEL_HANGUP_COMPLETE', call.uuid)
  const called = await link.event('CHANNEL_HANGUP_COMPLETE', legUuid)
  server.send('exit\n\n')
  const { legs } = await call.ended

  const heard = link.frames.flatMap(({ event }) => {
    const uuid = event?.get('Unique-ID')
    return uuid === undefined ? [] : [`${String(event?.get('Event-Name'))} ${uuid === legUuid ? 'B' : 'A'}`]
  })
  t.same(
    heard.filter((name) => name.endsWith('A')),
    ['CREATE', 'PROGRESS', 'ANSWER', 'BRIDGE', 'UNBRIDGE', 'HANGUP_COMPLETE'].map(
      (name) => `CHANNEL_${name} A`,
    ),
  )
  t.same(
    heard.filter((name) => name.endsWith('B')),
    ['CREATE', 'PROGRESS', 'ANSWER', 'HANGUP_COMPLETE'].map((name) => `CHANNEL_${name} B`),
    'a bridge is told of the caller alone',
  )
  const [leg] = legs
  t.match(Object.fromEntries(called), {
    'Call-Direction': 'outbound',
    'Channel-Call-UUID': call.uuid,
    'Channel-Name': 'sofia/internal/84901234567',
    'Hangup-Cause': 'NORMAL_CLEARING',
    'Other-Type': 'originator',
    'Other-Leg-Unique-ID': call.uuid,
    variable_originating_leg_uuid: call.uuid,
    variable_originator: call.uuid,
    variable_sip_gateway_name: 'carrier1',
    variable_linger_leg: state,
    variable_crm_uuid: '7',
    variable_execute_on_answer: 'sched_hangup +3600 ALLOTTED_TIMEOUT',
    variable_answer_uepoch: leg?.answeredAt?.toString(),
    variable_end_uepoch: leg?.endedAt?.toString(),
    variable_billmsec: '2540',
    variable_hangup_cause: 'NORMAL_CLEARING',
    variable_sip_hangup_disposition: 'send_bye',
  })
  t.equal(caller.get('variable_bridge_uuid'), legUuid)
  t.equal(called.get('variable_bridge_uuid'), call.uuid)
  t.equal(caller.get('variable_bridge_uepoch'), called.get('variable_bridge_uepoch'))
})

t.test('a called leg that takes no call ends with its own cause', async (t) => {
  const { sw, port } = await linkedSwitch(t)
  const link = await dialIn(t, port, password, linkEvents)
  const esl = await listen(t)
  const call = sw.call({ ...parties, to: [esl.to], farEnd: { refusesWith: 486 } })
  const server = await esl.accept()
  server.send(handshake + execute('bridge', carrier))
  await server.until('CHANNEL_HANGUP_COMPLETE')
  server.send('exit\n\n')
  await call.ended
  t.match(Object.fromEntries(await link.event('CHANNEL_HANGUP_COMPLETE', call.legs[0]!.uuid)), {
    'Hangup-Cause': 'USER_BUSY',
    variable_hangup_cause_q850: '17',
    variable_proto_specific_hangup_cause: 'sip:486',
    variable_answer_uepoch: '0',
    variable_billmsec: '0',
  })
})

t.test('a dialled leg has the headers of the recorded one', async (t) => {
  const recorded = readTranscript('inbound-monitor-and-originate').flatMap((step) =>
    step.from === 'switch' && step.frame.event?.get('Channel-Name') === 'sofia/internal/84901234567'
      ? [step.frame.event]
      : [],
  )
  const { link, call, legUuid, server } = await talkingCall(t)
  call.hangup()
  await server.until('CHANNEL_HANGUP_COMPLETE')
  server.send('exit\n\n')
  await call.ended
  // The recorded one was dialled by a loopback channel without an address, a codec of its own and a name, and its
  // gateway answered without a codec in common.
  const unlike =
    /^variable_(sip_(to|from)_host|sip_local_network_addr|ignore_early_media|switch_m_sdp)$|Username|Network-Addr|-ID-Name$|^Other-Leg-Callee-ID-Number$/
  for (const [index, name] of ['CHANNEL_CREATE', 'CHANNEL_HANGUP_COMPLETE'].entries()) {
    const actual = await link.event(name, legUuid)
    const expected = [...(recorded[index]?.keys() ?? [])].filter((header) => !unlike.test(header))
    t.ok(expected.length > 80)
    t.same(
      expected.filter((header) => !actual.has(header)),
      [],
      `${name}: nothing is missing`,
    )
    if (name === 'CHANNEL_CREATE')
      t.same(
        [...actual.keys()].filter((header) => recorded[index]?.has(header) !== true && !unlike.test(header)),
        [],
        `${name}: nothing is too much`,
      )
  }
})

t.test('show channels has each leg that is up, and the application it began last', async (t) => {
  const { link, call, legUuid, server } = await talkingCall(t)
  t.match(await channelRows(link), [
    {
      uuid: call.uuid,
      direction: 'inbound',
      state: 'CS_EXECUTE',
      callstate: 'ACTIVE',
      cid_num: '0912406496',
      dest: '0901234567',
      application: 'bridge',
      application_data: carrier,
      created_epoch: /^1[78]\d{8}$/,
      call_uuid: call.uuid,
    },
    {
      uuid: legUuid,
      direction: 'outbound',
      state: 'CS_EXCHANGE_MEDIA',
      callstate: 'ACTIVE',
      dest: '84901234567',
      application: '',
      callee_num: '84901234567',
      call_uuid: call.uuid,
    },
  ])
  t.equal(await link.api('show channels count'), '\n2 total.\n')
  t.equal(await link.api(`uuid_kill ${legUuid} ALLOTTED_TIMEOUT`), '+OK\n')
  await link.event('CHANNEL_HANGUP_COMPLETE', legUuid)
  t.match(
    await channelRows(link),
    [{ uuid: call.uuid, application: 'bridge' }],
    'as FreeSWITCH: what was begun last',
  )
  server.send(execute('playback', 'silence_stream://-1'))
  await server.until('CHANNEL_EXECUTE playback')
  t.match(await channelRows(link), [{ application: 'playback' }])
  t.equal(await link.api(`uuid_kill ${call.uuid}`), '+OK\n')
  await server.until('CHANNEL_HANGUP_COMPLETE')
  server.send('exit\n\n')
  await call.ended
  t.equal(await link.api('show channels as json'), '{"row_count": 0}\n')
})

t.test('variables of both legs are read and written, and shown in a dump', async (t) => {
  const { link, call, legUuid } = await talkingCall(t, {}, `[linger_leg=e30]${carrier}`)
  t.equal(await link.api(`uuid_getvar ${legUuid} linger_leg`), 'e30')
  t.equal(await link.api(`uuid_getvar ${legUuid} nonsense`), '_undef_')
  for (const uuid of [call.uuid, legUuid]) {
    t.equal(await link.api(`uuid_exists ${uuid}`), 'true')
    t.equal(await link.api(`uuid_setvar ${uuid} linger_timers a+b`), '+OK\n')
    t.equal(await link.api(`uuid_getvar ${uuid} linger_timers`), 'a+b')
  }
  const plain = await link.api(`uuid_dump ${legUuid}`)
  t.match(plain, /^Event-Name: CHANNEL_DATA$/m)
  t.match(plain, new RegExp(`^Other-Leg-Unique-ID: ${call.uuid}$`, 'm'))
  t.match(plain, /^variable_linger_timers: a%2Bb$/m)
  t.match(JSON.parse(await link.api(`uuid_dump ${call.uuid} json`)), {
    'Unique-ID': call.uuid,
    'Other-Leg-Unique-ID': legUuid,
    'Answer-State': 'answered',
    variable_linger_timers: 'a+b',
  })
  t.equal(await link.api('uuid_dump bogus'), '-ERR No such channel!\n')
  t.equal(await link.api('uuid_kill bogus'), '-ERR No such channel!\n')
})

t.test('a job is told by its own uuid', async (t) => {
  const { port } = await linkedSwitch(t)
  const link = await dialIn(t, port, password, linkEvents)
  const job = '11111111-2222-3333-4444-555555555555'
  link.send(`bgapi uuid_exists bogus\nJob-UUID: ${job}\n\nbgapi status\n\n`)
  await link.until(`+OK Job-UUID: ${job}`)
  const first = await link.until('BACKGROUND_JOB')
  t.match(Object.fromEntries(first.event!), {
    'Job-UUID': job,
    'Job-Command': 'uuid_exists',
    'Job-Command-Arg': 'bogus',
    _body: 'false',
  })
  const second = await link.until('BACKGROUND_JOB', link.frames.indexOf(first) + 1)
  t.match(second.event?.get('_body'), /^UP /)
  t.notOk(second.event?.has('Job-Owner-UUID'))
})

t.test('a timer is set, moved and taken off by the clock of the call that it ends', async (t) => {
  const { link, call, legUuid, server } = await talkingCall(t, {
    speed: 'manual',
    farEnd: { answersAfterMs: 0 },
  })
  const before = call.clock.now
  t.match(await link.api(`sched_api +60 one uuid_kill ${legUuid} ALLOTTED_TIMEOUT`), /^\+OK Added: \d+\n$/)
  const end = Math.floor(before / 1e6) + 120
  t.match(await link.api(`sched_api ${end} two uuid_kill ${legUuid} ALLOTTED_TIMEOUT`), /^\+OK Added: \d+\n$/)
  t.equal(await link.api('sched_del one'), '+OK Deleted: 1\n')
  while (call.legs[0]!.isUp) {
    await new Promise(setImmediate)
    call.step()
  }
  const called = await link.event('CHANNEL_HANGUP_COMPLETE', legUuid)
  t.equal(called.get('variable_end_epoch'), end.toString())
  t.equal(called.get('Hangup-Cause'), 'ALLOTTED_TIMEOUT')
  server.close()
})

t.test('what is sent to a channel by its uuid is done', async (t) => {
  const { link, call, legUuid } = await talkingCall(t)
  const hangup = (uuid: string, cause: string): string =>
    `sendmsg ${uuid}\ncall-command: hangup\nhangup-cause: ${cause}\n\n`
  link.send(hangup('bogus', 'USER_BUSY') + hangup(legUuid, 'ALLOTTED_TIMEOUT'))
  await link.until('-ERR invalid session id [bogus]')
  t.equal((await link.event('CHANNEL_HANGUP_COMPLETE', legUuid)).get('Hangup-Cause'), 'ALLOTTED_TIMEOUT')
  link.send(hangup(call.uuid, 'USER_BUSY'))
  t.equal((await link.event('CHANNEL_HANGUP_COMPLETE', call.uuid)).get('Hangup-Cause'), 'USER_BUSY')
})

t.test('CUSTOM events are heard by their subclass', async (t) => {
  const { sw, port } = await linkedSwitch(t)
  const link = await dialIn(t, port, password, 'CUSTOM sofia::register sofia::gateway_state')
  const other = await dialIn(t, port, password, 'CUSTOM callcenter::info')
  for (const subclass of ['callcenter::info', 'sofia::gateway_state'])
    other.send(`sendevent CUSTOM\nEvent-Subclass: ${subclass}\nGateway: carrier1\n\n`)
  const { event } = await link.until('CUSTOM')
  t.equal(event?.get('Event-Subclass'), 'sofia::gateway_state')
  t.equal(event?.get('Gateway'), 'carrier1')
  t.equal((await other.until('CUSTOM')).event?.get('Event-Subclass'), 'callcenter::info')
  const heard = link.frames.length
  sw.custom('sofia::register', { 'from-user': '1001' })
  t.equal((await link.until('CUSTOM', heard)).event?.get('from-user'), '1001')
})

t.test('filters and noevents hold on the inbound side too', async (t) => {
  const { sw, port } = await linkedSwitch(t)
  const link = await dialIn(t, port, password, 'CHANNEL_CREATE CHANNEL_HANGUP_COMPLETE')
  link.send('filter Caller-Destination-Number 0909999999\n\n')
  await link.until('+OK filter added. [Caller-Destination-Number]=[0909999999]')
  const hangup = { application: 'hangup', argument: 'USER_BUSY' }
  await sw.call({ ...parties, dialplan: [hangup] }).ended
  const wanted = sw.call({ ...parties, called: '0909999999', dialplan: [hangup] })
  await wanted.ended
  await link.event('CHANNEL_HANGUP_COMPLETE', wanted.uuid)
  t.same(link.names().slice(-2), ['CHANNEL_CREATE', 'CHANNEL_HANGUP_COMPLETE'])
  link.send('noevents\n\n')
  await link.until('+OK no longer listening for events')
  const count = link.frames.length
  await sw.call({ ...parties, called: '0909999999', dialplan: [hangup] }).ended
  t.equal(await link.api('uuid_exists x'), 'false')
  t.equal(link.frames.length, count + 1)
})

t.test('a heartbeat comes when the switch is told to beat', async (t) => {
  const { sw, port } = await linkedSwitch(t)
  const link = await dialIn(t, port, password, linkEvents)
  sw.heartbeat()
  const { event } = await link.until('HEARTBEAT')
  t.match(Object.fromEntries(event!), {
    'Core-UUID': sw.coreUuid,
    'Event-Info': 'System Ready',
    'Session-Count': '0',
  })
})

t.test('links are cut, and come again', async (t) => {
  const { sw, port } = await linkedSwitch(t)
  const link = await dialIn(t, port, password, linkEvents)
  sw.cutLinks()
  await link.closed
  t.match(await (await dialIn(t, port, password)).api('status'), /^UP /)
})

t.test('a silent switch accepts and says nothing, until it goes on', async (t) => {
  const { sw, port } = await linkedSwitch(t)
  const witness = await dialIn(t, await sw.listenInbound({ password }), password, linkEvents)
  const link = await dialIn(t, port, password, linkEvents)
  port.isSilent = true
  const before = link.frames.length
  link.send('api status\n\n')
  const late = callUp(t, port)
  sw.heartbeat()
  const { uuid } = await sw.call({ ...parties, dialplan: [] }).ended
  await witness.event('CHANNEL_HANGUP_COMPLETE', uuid)
  t.match(await witness.api('status'), /^UP /)
  t.equal(link.frames.length, before)
  t.equal(late.frames.length, 0)
  port.isSilent = false
  await link.until('HEARTBEAT')
  await link.event('CHANNEL_HANGUP_COMPLETE', uuid)
  while (!link.frames.some(({ body }) => body.startsWith('UP '))) await new Promise(setImmediate)
  while (late.frames.length === 0) await new Promise(setImmediate)
  t.equal(late.frames[0]?.head.get('Content-Type'), 'auth/request')
})

t.test('a switch that restarts is another one, and knows nothing of its calls', async (t) => {
  const { sw, port, link, server, call, legUuid } = await talkingCall(t)
  const before = sw.coreUuid
  const heard = link.frames.length
  sw.restart()
  await Promise.all([link.closed, server.closed])
  t.equal(link.frames.length, heard, 'without a word')
  const again = await dialIn(t, port, password, linkEvents)
  t.same(await channelRows(again), [])
  for (const uuid of [call.uuid, legUuid]) t.equal(await again.api(`uuid_exists ${uuid}`), 'false')
  const next = sw.call({ ...parties, dialplan: [] })
  const final = await again.event('CHANNEL_HANGUP_COMPLETE', next.uuid)
  t.equal(final.get('Core-UUID'), sw.coreUuid)
  t.not(sw.coreUuid, before)
})
