import t from 'tap'

import { listen } from './support/switch/conversation.js'
import { SimulatedSwitch } from './support/switch/switch.js'
import { execute, handshake, parties } from './support/switch/talking-call.js'

/** mod_callcenter as its source has it, where the recordings show nothing: agents who answer, servers who die. */

const support = 'support@default'

function newSwitch(t: { teardown(done: () => void): void }): SimulatedSwitch {
  const sw = new SimulatedSwitch({ noticeOrder: 'recorded' })
  t.teardown(() => {
    sw.destroy()
  })
  return sw
}

t.test('the application ends when the talk begins, and with it the hold of the socket', async (t) => {
  const first = await listen(t)
  const second = await listen(t)
  const call = newSwitch(t).call({
    ...parties,
    to: [first.to],
    nextActions: [{ socket: [second.to] }],
    queue: { agentAfterMs: 1000, agent: { hangsUpAfterMs: 5000 } },
  })
  const server = await first.accept()
  server.send(handshake + execute('callcenter', support))
  const { event: complete } = await server.until('CHANNEL_EXECUTE_COMPLETE callcenter')
  t.equal(complete?.get('variable_cc_cause'), 'answered')
  await server.until('CHANNEL_UNBRIDGE')
  const names = server.names().filter((name) => /COMPLETE|BRIDGE|UNPARK/.test(name))
  t.same(names, [
    'CHANNEL_EXECUTE_COMPLETE callcenter',
    'CHANNEL_UNPARK',
    'CHANNEL_EXECUTE_COMPLETE socket',
    'CHANNEL_BRIDGE',
    'CHANNEL_UNBRIDGE',
  ])
  const next = await second.accept()
  next.send(handshake)
  const { event: data } = await next.until('CHANNEL_DATA')
  t.equal(data?.get('variable_cc_agent'), '1001@default', 'after the talk the dialplan goes on')
  call.hangup()
  await next.until('CHANNEL_HANGUP_COMPLETE')
  for (const each of [server, next]) each.close()
  await call.ended
})

t.test('with hangup_after_bridge the end of the talk is that of the call', async (t) => {
  const esl = await listen(t)
  const call = newSwitch(t).call({
    ...parties,
    to: [esl.to],
    nextActions: [{ application: 'set', argument: 'went=on' }],
    queue: { agentAfterMs: 1000, agent: { hangsUpAfterMs: 5000 } },
  })
  const server = await esl.accept()
  server.send(handshake + execute('set', 'hangup_after_bridge=true') + execute('callcenter', support))
  await server.until('CHANNEL_HANGUP_COMPLETE')
  server.close()
  const outcome = await call.ended
  t.match(outcome, { hungUpBy: 'called', cause: 'NORMAL_CLEARING' })
  t.equal(outcome.variable('went'), undefined)
})

t.test('a caller whose server dies waits on, and comes to the next one afterwards', async (t) => {
  const first = await listen(t)
  const second = await listen(t)
  const call = newSwitch(t).call({
    ...parties,
    to: [first.to],
    nextActions: [{ socket: [second.to] }],
    queue: { leavesAfterMs: 60_000, why: 'NO_AGENT_TIMEOUT' },
  })
  const server = await first.accept()
  server.send(handshake + execute('callcenter', support))
  await server.until('CHANNEL_EXECUTE callcenter')
  server.close()
  const next = await second.accept()
  next.send(handshake)
  const { event: data } = await next.until('CHANNEL_DATA')
  t.match(Object.fromEntries(data ?? []), {
    variable_cc_cause: 'cancel',
    variable_cc_cancel_reason: 'NO_AGENT_TIMEOUT',
  })
  call.hangup()
  await next.until('CHANNEL_HANGUP_COMPLETE')
  next.close()
  await call.ended
})

t.test('a key that the dialplan named leads out of the queue, and no other', async (t) => {
  const esl = await listen(t)
  const call = newSwitch(t).call({
    ...parties,
    to: [esl.to],
    dials: [
      { afterMs: 5000, digits: '12' },
      { afterMs: 9000, digits: '#' },
    ],
  })
  const server = await esl.accept()
  server.send(handshake + execute('set', 'cc_exit_keys=#') + execute('callcenter', support))
  const { event } = await server.until('CHANNEL_EXECUTE_COMPLETE callcenter')
  t.equal(event?.get('variable_cc_cancel_reason'), 'EXIT_WITH_KEY')
  server.send('exit\n\n')
  await call.ended
})
