import t from 'tap'
import { InboundPeer } from './support/inbound-peer.js'
import { testLinger } from './support/linger.js'
import { until } from './support/wire.js'

t.test('the links to the switches are shown, each with what is wrong with it', async (t) => {
  const peer = await InboundPeer.listen(t)
  const stranger = await InboundPeer.listen(t)
  const linger = await testLinger(t, {
    LOG_LEVEL: 'info',
    FREESWITCH: `esl://:ClueCon@127.0.0.1:${peer.port},esl://:NotClueCon@127.0.0.1:${stranger.port}`,
  })
  const told = () => linger.logged.map(({ msg }) => msg).filter((msg) => msg.includes('link to FreeSWITCH'))
  await until(() => told().length === 2)
  t.strictSame(told().sort(), [
    'the link to FreeSWITCH is up',
    'there is no link to FreeSWITCH; it is tried again until there is',
  ])
  const { status, body } = await linger.http('GET', '/v1/switches')
  t.equal(status, 200)
  t.strictSame(body, {
    items: [
      {
        name: `127.0.0.1:${peer.port}`,
        up: true,
        trouble: null,
        switch_name: 'vm',
        core_uuid: peer.coreUuid,
        last_heard_at: '2026-11-20T21:03:43.011Z',
      },
      {
        name: `127.0.0.1:${stranger.port}`,
        up: false,
        trouble: 'FreeSWITCH refuses the password',
        switch_name: null,
        core_uuid: null,
        last_heard_at: null,
      },
    ],
  })
  const ready = await linger.http('GET', '/ready')
  t.match(
    ready,
    { status: 200, body: { status: 'ready' } },
    'one switch that is down stops no calls of another',
  )
  const { checks } = ready.body as { checks: { name: string }[] }
  t.match(
    checks.filter(({ name }) => name.startsWith('switch')),
    [
      { name: `switch 127.0.0.1:${peer.port}`, ok: true },
      { name: `switch 127.0.0.1:${stranger.port}`, ok: false, detail: 'FreeSWITCH refuses the password' },
    ],
  )
  t.notMatch(JSON.stringify([linger.logged, body]), 'ClueCon')
  await linger.server.close({ deadlineMs: 0 })
  await until(() => peer.end.socket.closed)
})

t.test('a server without links has none to show, and is ready', async (t) => {
  const linger = await testLinger(t)
  t.strictSame(await linger.http('GET', '/v1/switches'), { status: 200, body: { items: [] } })
  t.match(await linger.http('GET', '/ready'), { status: 200 })
})
