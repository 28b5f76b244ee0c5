import type { AddressInfo, Server } from 'node:net'

import { FreeSwitchServer, type FreeSwitchResponse } from 'esl'
import t, { type Test } from 'tap'

import type { Destination } from './support/switch/dialplan.js'
import { SimulatedSwitch } from './support/switch/switch.js'

/** The `esl` package's own outbound server, which knows FreeSWITCH and nothing of this project. */

const silent = { debug: () => undefined, info: () => undefined, error: () => undefined }
const patienceMs = 10_000

/** A server whose calls are handled by `handle`, whose result or error is that of the promise. */
async function eslServer<Result>(
  t: Test,
  handle: (call: FreeSwitchResponse, data: Record<string, unknown>) => Promise<Result>,
): Promise<{ to: Destination; handled: Promise<Result> }> {
  const server = new FreeSwitchServer({ logger: silent })
  const handled = new Promise<Result>((resolve, reject) => {
    server.on('connection', (call, { body }) => {
      // Otherwise it leaves a lingering channel 4 s after its end.
      call.on('cleanup_linger', () => undefined)
      handle(call, body).then(resolve, reject)
    })
    server.on('error', reject)
  })
  await server.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => server.close())
  // It does not tell its port otherwise.
  const { __server: inner } = server as unknown as { __server: Server }
  return { to: { host: '127.0.0.1', port: (inner.address() as AddressInfo).port }, handled }
}

t.test('a bridged call goes from connect to its final event', async (t) => {
  const { to, handled } = await eslServer(t, async (call, data) => {
    await call.linger()
    await call.command('set', 'hangup_after_bridge=true')
    const final = call.onceAsync('CHANNEL_HANGUP_COMPLETE', patienceMs, 'final event')
    const bridged = await call.command('bridge', 'sofia/gateway/carrier1/84901234567', patienceMs)
    const last = await final
    await call.exit()
    return { data, bridged: bridged.body, final: last.body }
  })
  const sw = new SimulatedSwitch()
  const call = sw.call({
    to: [to],
    caller: '0912406496',
    called: '0901234567',
    farEnd: { ringsAfterMs: 500, answersAfterMs: 3000, hangsUpAfterMs: 60_000 },
  })
  const { data, bridged, final } = await handled
  const outcome = await call.ended

  t.equal(data['Unique-ID'], call.uuid)
  t.equal(data['Caller-Caller-ID-Number'], '0912406496')
  t.equal(bridged.variable_originate_disposition, 'SUCCESS')
  t.equal(final.variable_hangup_cause, 'NORMAL_CLEARING')
  t.equal(final.variable_billmsec, '59980', 'answered a frame after the far end')
  const [leg] = outcome.legs
  t.equal(final['Other-Leg-Unique-ID'], leg?.uuid)
  t.equal(final['Other-Leg-Channel-Answered-Time'], leg?.answeredAt?.toString())
  t.equal((leg?.endedAt ?? 0) - (leg?.answeredAt ?? 0), 60_000_000, 'the far end talked a minute to the µs')
  t.match(outcome, { cause: 'NORMAL_CLEARING', hungUpBy: 'called', connections: [{ wasConnected: true }] })
})

t.test('a call that the far end refuses goes on, and is rejected', async (t) => {
  const { to, handled } = await eslServer(t, async (call) => {
    await call.linger()
    await call.command('set', 'continue_on_fail=true')
    const bridged = await call.command('bridge', 'sofia/gateway/carrier1/84901234567', patienceMs)
    const final = call.onceAsync('CHANNEL_HANGUP_COMPLETE', patienceMs, 'final event')
    await call.hangup('CALL_REJECTED')
    const last = await final
    await call.exit()
    return { bridged: bridged.body, final: last.body }
  })
  const sw = new SimulatedSwitch()
  const call = sw.call({
    to: [to],
    caller: '0912406496',
    called: '0901234567',
    farEnd: { refusesWith: 486 },
  })
  const { bridged, final } = await handled
  t.equal(bridged.variable_originate_disposition, 'USER_BUSY')
  t.equal(bridged.variable_DIALSTATUS, 'BUSY')
  t.equal(bridged.variable_sip_invite_failure_status, '486')
  t.equal(final.variable_hangup_cause, 'CALL_REJECTED')
  t.equal(final.variable_answer_uepoch, '0')
  t.match(await call.ended, { cause: 'CALL_REJECTED', hungUpBy: 'server', legs: [{ sipStatus: 486 }] })
})

t.test('digits are collected, and the line is played to and recorded', async (t) => {
  const { to, handled } = await eslServer(t, async (call) => {
    await call.linger()
    await call.command('answer')
    const collected = await call.command(
      'play_and_get_digits',
      '1 4 2 4000 # tone_stream://%(200,0,500) silence_stream://100 choice \\d+ 1500',
      patienceMs,
    )
    const played = await call.command('playback', 'silence_stream://300', patienceMs)
    const status = await call.api('status')
    const job = await call.bgapi('uuid_exists bogus')
    await call.hangup('NORMAL_CLEARING')
    await call.exit()
    return { collected: collected.body, played: played.body, status: status.body, job: job.body }
  })
  const sw = new SimulatedSwitch()
  const call = sw.call({ to: [to], caller: '0912406496', called: '19001234', digits: ['12#'] })
  const { collected, played, status, job } = await handled
  t.equal(collected.variable_choice, '12')
  t.equal(collected.variable_read_result, 'success')
  t.equal(played['Application-Response'], 'FILE PLAYED')
  t.match(status, /^UP /)
  t.match(job, { _body: 'false', 'Job-Command': 'uuid_exists', 'Job-Command-Arg': 'bogus' })
  await call.hungUp
})
