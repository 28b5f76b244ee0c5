import t, { type Test } from 'tap'
import { cli, onTerminal, startCli, type CliPlace } from './support/cli.js'
import { ownTenant } from './support/tenants.js'
import { dial, world } from './support/transfers.js'
import { until } from './support/wire.js'

const { sw, linger } = await world(t)
const { paths } = (await linger.http('GET', '/openapi.json')).body as { paths: object }
const skip = '/v1/calls' in paths ? false : 'the API has no /v1/calls'
const place: CliPlace = {
  env: { LINGER_URL: `http://${linger.server.httpAddress}`, LINGER_KEY: linger.adminKey },
  cwd: '/',
}
const { tenant } = await ownTenant({ linger })

/** A call that talks. */
async function talking(t: Test) {
  const call = dial({ sw, linger, tenant }, {})
  await call.until('CHANNEL_BRIDGE')
  await until(async () => {
    const { body } = await linger.http('GET', `/v1/calls/${call.uuid}`)
    return (body as { state?: string }).state === 'talking'
  })
  t.teardown(async () => {
    call.hangup()
    await call.ended
  })
  return call
}

t.test('calls in progress are listed, and one is hung up', { skip }, async (t) => {
  const call = await talking(t)
  const { code, out } = await cli(['calls', '--tenant', tenant], place)
  t.equal(code, 0)
  t.match(JSON.parse(out), [{ call_uuid: call.uuid, tenant, state: 'talking' }])
  const done = await cli(['calls', 'hangup', call.uuid], place)
  t.strictSame(done, { code: 0, out: '', err: '' })
  await call.ended
  await until(async () => (await cli(['calls', '--tenant', tenant], place)).out === '[]\n')
  t.equal((await cli(['calls', 'hangup', call.uuid], place)).code, 3)
})

t.test('a terminal shows calls as they come and go, and is as it was after Ctrl-C', { skip }, async (t) => {
  const call = await talking(t)
  const interruption = new AbortController()
  const begins = '\u001b[?1049h\u001b[?25l\u001b[?7l'
  const ends = '\u001b[?7h\u001b[?25h\u001b[?1049l'
  let isOver = false
  const { code, out, err } = await onTerminal(['calls', '--watch', '--tenant', tenant], place, {
    signal: interruption.signal,
    onWrite: (out) => {
      if (!isOver && out.includes(call.uuid)) {
        isOver = true
        call.hangup()
      }
      if (out.includes('calls: 0') && !interruption.signal.aborted) interruption.abort()
    },
  })
  t.strictSame({ code, err }, { code: 0, err: '' })
  t.equal(out.slice(0, begins.length), begins)
  t.equal(out.slice(-ends.length), ends)
  t.match(out, /\u001b\[H\d\d:\d\d:\d\d UTC {2}calls: 1\u001b\[K\n┌/)
  for (const frame of out.split('\u001b[H').slice(1))
    t.ok(frame.split('\n').length <= 10, 'no frame is higher than the terminal')
})

t.test('elsewhere each look is a line of JSON, until the process is told to end', { skip }, async (t) => {
  const call = await talking(t)
  const watched = startCli(['calls', '--watch', '--tenant', tenant], place)
  await until(() => Promise.resolve(watched.out().split('\n').length > 2))
  watched.child.kill('SIGINT')
  t.equal(await watched.ended, 0)
  const [first = '', second = ''] = watched.out().split('\n')
  for (const look of [first, second]) t.match(JSON.parse(look), [{ call_uuid: call.uuid }])
})

t.test('whoever may not see calls does not wait for them', { skip }, async (t) => {
  const wrong = { ...place, env: { ...place.env, LINGER_KEY: 'wrong' } }
  const { code, out, err } = await onTerminal(['calls', '--watch'], wrong)
  t.equal(code, 4)
  t.match(err, /not valid/)
  t.match(out, /\u001b\[\?1049l$/, 'and gets the terminal back')
})
