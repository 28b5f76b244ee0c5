import t, { type Test } from 'tap'

import type { Call } from './support/switch/call.js'
import { listen } from './support/switch/conversation.js'
import { parseDialString } from './support/switch/dial-string.js'
import { farEnds } from './support/switch/far-end.js'
import { SimulatedSwitch } from './support/switch/switch.js'

/** What the recordings do not show of the simulated switch, and what FreeSWITCH is known to do. */

const parties = { caller: '0912406496', called: '0901234567' }
const handshake = 'connect\n\nlinger 10\n\nmyevents json\n\n'

function execute(application: string, argument: string, headers = ''): string {
  return `sendmsg\ncall-command: execute\nexecute-app-name: ${application}\nexecute-app-arg: ${argument}\n${headers}\n`
}

function newSwitch(t: Test, options: ConstructorParameters<typeof SimulatedSwitch>[0] = {}): SimulatedSwitch {
  const sw = new SimulatedSwitch(options)
  t.teardown(() => {
    sw.destroy()
  })
  return sw
}

/** Lets a `manual` call's time pass until it is hung up. */
async function runOut(call: Call): Promise<void> {
  while (!call.session.channel.isDown) {
    await new Promise(setImmediate)
    call.step()
  }
}

t.test('a call whose server goes before connect is parked until the caller gives up', async (t) => {
  const server = await listen(t)
  const call = newSwitch(t).call({ ...parties, to: [server.to], nextActions: [{ application: 'answer' }] })
  const conversation = await server.accept()
  conversation.close()
  while (!call.parked) await new Promise(setImmediate)
  t.notOk(call.isAnswered, 'later actions do not run')
  call.hangup()
  const outcome = await call.ended
  t.match(outcome, { cause: 'ORIGINATOR_CANCEL', hungUpBy: 'caller', connections: [{ wasConnected: false }] })
})

t.test('the guard timer of the dialplan ends a call whose server stays silent', async (t) => {
  const server = await listen(t)
  const call = newSwitch(t).call({ ...parties, to: [server.to], guardSeconds: 5, speed: 'manual' })
  await server.accept()
  await runOut(call)
  t.equal(call.session.channel.hangupCause, 'NORMAL_TEMPORARY_FAILURE')
})

t.test('a port that refuses is passed over: the next host, then the next action', async (t) => {
  const server = await listen(t)
  const nobody = { host: '127.0.0.1', port: 1 }
  const sw = newSwitch(t)
  const call = sw.call({ ...parties, to: [nobody, server.to] })
  const conversation = await server.accept()
  conversation.send('connect\n\nexit\n\n')
  t.match(await call.ended, { connections: [{ destination: server.to }] })

  const refused = sw.call({
    ...parties,
    to: [nobody],
    nextActions: [{ application: 'respond', argument: '503 Nobody' }],
  })
  t.match(await refused.ended, { cause: 'NORMAL_TEMPORARY_FAILURE', connections: [] })
})

t.test('what comes before connect is done and not replied to', async (t) => {
  const server = await listen(t)
  const call = newSwitch(t).call({ ...parties, to: [server.to] })
  const conversation = await server.accept()
  conversation.send('linger 10\n\nconnect\n\nnolinger\n\n')
  await conversation.until('+OK will not linger')
  t.same(conversation.names(), ['CHANNEL_DATA', '+OK will not linger'])
  call.hangup()
  await call.ended
})

t.test('what is executed while something runs is executed inside it, unless that is locked', async (t) => {
  const server = await listen(t)
  const sw = newSwitch(t, { noticeOrder: 'recorded' })
  const playOne = (name: string, lock: string): string =>
    execute('playback', `silence_stream://2000`, `Event-UUID: ${name}\n${lock}`)
  const order = async (lock: string): Promise<string[]> => {
    const call = sw.call({ ...parties, to: [server.to] })
    const conversation = await server.accept()
    conversation.send(handshake + execute('answer', '') + playOne('one', lock) + playOne('two', lock))
    conversation.send('sendmsg\ncall-command: hangup\nevent-lock: true\n\n')
    await conversation.until('CHANNEL_HANGUP_COMPLETE')
    conversation.send('exit\n\n')
    await call.ended
    return conversation.frames.flatMap(({ event }) => {
      const id = event?.get('Application-UUID')
      return id === 'one' || id === 'two' ? [`${String(event?.get('Event-Name'))} ${id}`] : []
    })
  }
  const [begin, end] = ['CHANNEL_EXECUTE', 'CHANNEL_EXECUTE_COMPLETE']
  t.same((await order('')).slice(0, 2), [`${begin} one`, `${begin} two`], 'the last one in is the first out')
  t.same(await order('event-lock: true\n'), [`${begin} one`, `${end} one`, `${begin} two`, `${end} two`])
})

t.test(
  'a bridge tries gateway after gateway, and of legs dialled together the first to answer',
  async (t) => {
    const server = await listen(t)
    const call = newSwitch(t).call({
      ...parties,
      to: [server.to],
      farEnd: (dialString) => {
        if (dialString.includes('carrier1')) return farEnds.congested
        return dialString.includes('carrier2') ? farEnds.noAnswer : farEnds.answers(2540, 300)
      },
    })
    const conversation = await server.accept()
    const dial = '[a=1]sofia/gateway/carrier1/84|sofia/gateway/carrier2/84,sofia/gateway/carrier3/84'
    conversation.send(handshake + execute('bridge', dial))
    const bridged = await conversation.until('CHANNEL_EXECUTE_COMPLETE bridge')
    conversation.send('sendmsg\ncall-command: hangup\nhangup-cause: 16\n\n')
    await conversation.until('CHANNEL_HANGUP_COMPLETE')
    conversation.send('exit\n\n')
    const { legs } = await call.ended
    t.match(legs, [
      { gateway: 'carrier1', cause: 'NORMAL_TEMPORARY_FAILURE', sipStatus: 503, answeredAt: undefined },
      { gateway: 'carrier2', cause: 'LOSE_RACE', answeredAt: undefined },
      { gateway: 'carrier3', cause: 'NORMAL_CLEARING', callerIdNumber: '0912406496' },
    ])
    const last = legs.at(-1)
    t.equal((last?.endedAt ?? 0) - (last?.answeredAt ?? 0), 2_540_000)
    t.equal(bridged.event?.get('Event-Date-Timestamp'), last?.endedAt?.toString(), 'ended when its leg did')
    t.equal(bridged.event?.get('variable_bridge_uuid'), last?.uuid)
  },
)

t.test('a bridge that fails ends the call with its cause, unless told to go on', async (t) => {
  const server = await listen(t)
  const call = newSwitch(t).call({ ...parties, to: [server.to], farEnd: farEnds.rejects })
  const conversation = await server.accept()
  conversation.send(handshake + execute('bridge', 'user/1001@example.org'))
  const final = await conversation.until('CHANNEL_HANGUP_COMPLETE')
  t.equal(final.event?.get('variable_hangup_cause'), 'CALL_REJECTED')
  conversation.send('exit\n\n')
  t.match(await call.ended, { cause: 'CALL_REJECTED', q850Cause: 21, hungUpBy: 'called' })
})

t.test('a time-compressed call has exactly the scripted times', async (t) => {
  const server = await listen(t)
  const call = newSwitch(t).call({
    ...parties,
    to: [server.to],
    farEnd: { answersAfterMs: 1000, callerHangsUpAfterMs: 10_000 },
    speed: 200,
  })
  const conversation = await server.accept()
  conversation.send(handshake + execute('bridge', 'sofia/gateway/carrier1/84'))
  const final = await conversation.until('CHANNEL_HANGUP_COMPLETE')
  conversation.send('exit\n\n')
  const { legs, hungUpBy } = await call.ended
  t.equal((legs[0]?.endedAt ?? 0) - (legs[0]?.answeredAt ?? 0), 10_000_000)
  t.equal(final.event?.get('variable_billmsec'), '9980')
  t.equal(hungUpBy, 'caller')
})

t.test('without myevents or a filter a socket hears the other calls', async (t) => {
  const server = await listen(t)
  const sw = newSwitch(t)
  const nosy = sw.call({ ...parties, to: [server.to] })
  const ear = await server.accept()
  ear.send('connect\n\nevent json CHANNEL_ANSWER\n\n')
  await ear.until('+OK event listener enabled json')
  const other = sw.call({ ...parties, to: [], nextActions: [{ application: 'answer' }] })
  const heard = await ear.until('CHANNEL_ANSWER')
  t.equal(heard.event?.get('Unique-ID'), other.uuid)
  nosy.hangup()
  await Promise.all([nosy.ended, other.ended])
})

t.test('API commands reach the called leg, and unknown ones are named', async (t) => {
  const server = await listen(t)
  const call = newSwitch(t).call({ ...parties, to: [server.to], speed: 1 })
  const conversation = await server.accept()
  conversation.send(handshake + execute('bridge', 'sofia/gateway/carrier1/84'))
  const bridge = await conversation.until('CHANNEL_BRIDGE')
  const leg = String(bridge.event?.get('Other-Leg-Unique-ID'))
  conversation.send(`api uuid_kill ${leg} ALLOTTED_TIMEOUT\n\napi nonsense\n\napi uuid_exists ${leg}\n\n`)
  const ended = await conversation.until('CHANNEL_UNBRIDGE')
  t.equal(ended.event?.get('variable_last_bridge_hangup_cause'), 'ALLOTTED_TIMEOUT')
  await conversation.until('-ERR nonsense Command not found!\n')
  await conversation.until('false')
  call.hangup()
  await conversation.until('CHANNEL_HANGUP_COMPLETE')
  conversation.send('exit\n\n')
  t.match(await call.ended, { cause: 'NORMAL_CLEARING', legs: [{ cause: 'ALLOTTED_TIMEOUT' }] })
})

t.test('whatever would be expanded is remembered', async (t) => {
  const server = await listen(t)
  const call = newSwitch(t).call({ ...parties, to: [server.to] })
  const conversation = await server.accept()
  conversation.send(handshake + execute('set', 'a=${caller_id_number}${system(reboot)}') + 'getvar a\n\n')
  const set = await conversation.until('CHANNEL_EXECUTE_COMPLETE set')
  t.equal(set.event?.get('variable_a'), '0912406496')
  conversation.send('exit\n\n')
  t.same((await call.ended).expansions, ['a=${caller_id_number}${system(reboot)}'])
})

t.test(
  'the linger notice comes in every order, and a socket that does not linger may miss the end',
  async (t) => {
    const server = await listen(t)
    const sw = newSwitch(t, { noticeOrder: 7 })
    const orders = new Set<string>()
    for (let count = 0; count < 30; count++) {
      const call = sw.call({ ...parties, to: [server.to], settleMs: 0 })
      const conversation = await server.accept()
      conversation.send(handshake + 'sendmsg\ncall-command: hangup\n\n')
      await conversation.until('linger')
      await conversation.until('CHANNEL_HANGUP_COMPLETE')
      const names = conversation.names()
      orders.add(names.slice(names.indexOf('linger') - 1, names.indexOf('linger') + 2).join(' '))
      conversation.send('exit\n\n')
      await call.ended
    }
    t.equal(orders.size, 4)
  },
)

t.test('a dial string is read as FreeSWITCH reads it', (t) => {
  const plan = parseDialString(
    "{originate_timeout=20,absolute='a,b'}[execute_on_answer='sched_hangup +2 A',y='c,d',z=^^:e:f]sofia/gateway/c1/84|user/1001@d.org,[x=1]user/1002@d.org",
  )
  const shown = plan.groups.map((group) =>
    group.map(({ dialString, number, gateway, variables }) => ({
      dialString,
      number,
      gateway,
      variables: Object.fromEntries(variables),
    })),
  )
  const global = { originate_timeout: '20', absolute: 'a,b' }
  // The quotes in brackets are gone when their commas are looked at.
  t.same(shown, [
    [
      {
        dialString: 'sofia/gateway/c1/84',
        number: '84',
        gateway: 'c1',
        variables: { execute_on_answer: 'sched_hangup +2 A', y: 'c', z: '^^:e:f', ...global },
      },
    ],
    [
      { dialString: 'user/1001@d.org', number: '1001', gateway: undefined, variables: global },
      { dialString: 'user/1002@d.org', number: '1002', gateway: undefined, variables: { ...global, x: '1' } },
    ],
  ])
  t.end()
})
