import { readFileSync } from 'node:fs'

import t from 'tap'

import { dialIn, listen } from './support/switch/conversation.js'
import { actionsIn } from './support/switch/dialplan.js'
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

/** What lives on in the simulated switch when a server or a caller goes away. */

t.test('a called leg that outlives its caller is heard of when it ends', async (t) => {
  const { link, call, legUuid, server } = await talkingCall(t, {
    farEnd: { answersAfterMs: 0, outlivesCaller: true },
  })
  call.hangup()
  await server.until('CHANNEL_HANGUP_COMPLETE')
  server.send('exit\n\n')
  t.match(await channelRows(link), [{ uuid: legUuid, callstate: 'ACTIVE' }], 'it talks on')
  t.notOk(
    link.frames.some(
      ({ event }) =>
        event?.get('Event-Name') === 'CHANNEL_HANGUP_COMPLETE' && event.get('Unique-ID') === legUuid,
    ),
  )
  call.legs[0]!.hangup()
  const called = await link.event('CHANNEL_HANGUP_COMPLETE', legUuid)
  t.equal(called.get('variable_sip_hangup_disposition'), 'recv_bye')
  await call.ended
})

t.test(
  'a channel whose server went before connect waits on its socket until somebody kills it',
  async (t) => {
    const { sw, port } = await linkedSwitch(t)
    const link = await dialIn(t, port, password, linkEvents)
    const esl = await listen(t)
    const call = sw.call({ ...parties, to: [esl.to], nextActions: [{ application: 'answer' }] })
    const server = await esl.accept()
    server.close()
    while (!call.parked) await new Promise(setImmediate)
    t.match(await channelRows(link), [{ uuid: call.uuid, application: 'socket', callstate: 'RINGING' }])
    await link.api(`uuid_kill ${call.uuid} NORMAL_TEMPORARY_FAILURE`)
    const final = await link.event('CHANNEL_HANGUP_COMPLETE', call.uuid)
    t.equal(final.get('variable_current_application'), 'socket')
    t.equal(final.get('Hangup-Cause'), 'NORMAL_TEMPORARY_FAILURE')
    await call.ended
  },
)

t.test('a scheduled hangup ends a call that was parked for ever', async (t) => {
  const { sw } = await linkedSwitch(t)
  const esl = await listen(t)
  const call = sw.call({ ...parties, to: [esl.to], guardSeconds: 5, speed: 'manual' })
  const server = await esl.accept()
  server.close()
  while (!call.parked) await new Promise(setImmediate)
  while (!call.session.channel.isDown && call.step()) await new Promise(setImmediate)
  t.equal(call.session.channel.hangupCause, 'NORMAL_TEMPORARY_FAILURE')
  t.equal(Math.floor(call.clock.now / 1e6) - Math.floor(call.session.channel.profile.fields.created / 1e6), 5)
})

const xml = readFileSync(new URL('../../dialplan/linger.xml', import.meta.url), 'utf8')

t.test(
  'with the dialplan of Linger a call that is talking outlives its servers, one after the other',
  async (t) => {
    const { sw, port } = await linkedSwitch(t)
    const link = await dialIn(t, port, password, linkEvents)
    const esl = await listen(t)
    const call = sw.call({ ...parties, dialplan: actionsIn(xml, [esl.to]), farEnd: { answersAfterMs: 0 } })
    const first = await esl.accept()
    first.send(`${handshake}api sched_del ${call.uuid}\n\n${execute('bridge', `[linger_leg=e30]${carrier}`)}`)
    await first.until('CHANNEL_BRIDGE')
    first.close()
    const legUuid = call.legs[0]!.uuid
    t.match(
      await channelRows(link),
      [{ uuid: call.uuid, application: 'bridge' }, { uuid: legUuid }],
      'the talk goes on',
    )
    call.legs[0]!.hangup()

    const second = await esl.accept()
    second.send(handshake)
    const { event } = await second.until('CHANNEL_DATA')
    t.match(Object.fromEntries(event!), {
      'Answer-State': 'answered',
      'Other-Leg-Unique-ID': legUuid,
      variable_bridge_uuid: legUuid,
      variable_last_bridge_hangup_cause: 'NORMAL_CLEARING',
      variable_bridge_hangup_cause: 'NORMAL_CLEARING',
      variable_hangup_after_bridge: 'false',
    })
    second.send(`api sched_del ${call.uuid}\n\n${execute('playback', 'silence_stream://2000')}`)
    await second.until('CHANNEL_EXECUTE playback')
    second.close()
    const third = await esl.accept()
    third.send(`${handshake}api sched_del ${call.uuid}\n\n`)
    await third.until('CHANNEL_DATA')
    t.match(await channelRows(link), [{ uuid: call.uuid, application: 'socket', callstate: 'ACTIVE' }])
    call.hangup()
    await third.until('CHANNEL_HANGUP_COMPLETE')
    third.close()
    t.equal((await call.ended).legs.length, 1)
  },
)

t.test('with the dialplan of Linger a call whose servers do not answer is refused in the end', async (t) => {
  const { sw } = await linkedSwitch(t)
  const nobody = { host: '127.0.0.1', port: 1 }
  const call = sw.call({ ...parties, dialplan: actionsIn(xml, [nobody]) })
  t.match(await call.ended, { cause: 'NORMAL_TEMPORARY_FAILURE', answeredAt: undefined, connections: [] })
})

t.test('a dialplan can write down the time', async (t) => {
  const { sw } = await linkedSwitch(t)
  const call = sw.call({
    ...parties,
    dialplan: [
      { application: 'sleep', argument: '1500' },
      { application: 'set', argument: 'linger_tried=${strmicroepoch()}' },
      { application: 'set', argument: 'second=${strepoch()}' },
    ],
  })
  const outcome = await call.ended
  t.equal(outcome.variable('linger_tried'), (outcome.startedAt + 1_500_000).toString())
  t.equal(outcome.variable('second'), Math.floor((outcome.startedAt + 1_500_000) / 1e6).toString())
})
