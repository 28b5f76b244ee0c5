import { existsSync } from 'node:fs'
import { mkdir, readdir, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import t from 'tap'
import { testLinger, type Cdr } from './support/linger.js'
import { Line } from './support/outage.js'
import { temporaryFolder, testDatabase } from './support/services.js'
import type { Call, CallOptions, CallOutcome } from './support/switch/call.js'
import type { FiredEvent } from './support/switch/events.js'
import { farEnds } from './support/switch/far-end.js'
import { SimulatedSwitch } from './support/switch/switch.js'
import { until } from './support/wire.js'

/** Talks that are recorded, from the rule that wants it to the CDR that says where it is. */

const sw = new SimulatedSwitch()
t.teardown(() => {
  sw.destroy()
})

/** An own route, so that a story can have it do anything. */
const wishes = `export default {
  name: 'wishes',
  summary: 'Rings 1001, recorded or not, or goes on with another route',
  variables: ['wish'],
  async run(call) {
    const wish = await call.variable('wish')
    if (wish === 'ring') return call.go({ route: 'ring', arguments: { extensions: '1001', record: true } })
    if (wish === 'queue') return call.go({ route: 'queue', arguments: { queue: 'support', record: true } })
    if (wish === 'twice') {
      call.record(true)
      await call.ring([call.extension('1001')])
      call.record(false)
      call.record(true)
    }
    if (wish === 'on' || wish === 'off') call.record(wish === 'on')
    const talk = call.ring([call.extension('1001')])
    if (wish === 'ringing' || wish === 'talking') {
      await globalThis.moments[wish]
      // What the switch has told until now is heard when it answers.
      await call.variable('anything')
      call.record(true)
    }
    return call.hangup((await talk).cause)
  },
}`

const routes = await temporaryFolder(t)
await writeFile(join(routes, 'wishes.js'), wishes)
/** The switch's recordings, as if they were on this machine. */
const dir = await temporaryFolder(t)
const old = join(dir, 'demo/2020/01/01/aaaa.wav')
const young = join(dir, 'demo/2020/01/02/bbbb.wav')
for (const path of [old, young]) {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, 'RIFF')
}
const longAgo = new Date('2020-01-01T12:00:00Z')
await utimes(old, longAgo, longAgo)

const url = 'https://files.example.com/rec'
const outboundAlone = `UPDATE tenants SET record_directions = '{outbound}', time_zone = 'Asia/Ho_Chi_Minh';`
/** Of a tenant that has its outbound calls recorded, and an own route that has any call recorded. */
const linger = await testLinger(
  t,
  { RECORDINGS_DIR: dir, RECORDINGS_URL: url, RECORDINGS_RETENTION_DAYS: '7', ROUTES_DIR: routes },
  {
    sql: `${outboundAlone}
      INSERT INTO gateways (tenant_id, name, prefix, prefix_entered, priority) VALUES ('demo', 'carrier2', '', '', 200)`,
  },
)

interface Played {
  readonly outcome: CallOutcome
  readonly cdr: Cdr
  /** What the switch did with recordings: `RECORD_START /rec/…`, in order. */
  readonly recorded: readonly string[]
  /** What its server said of recordings. */
  readonly asked: readonly string[]
}

/** @param options as of `sw.call` */
function begin(options: Partial<CallOptions>, server = linger): { call: Call; recorded: string[] } {
  const recorded: string[] = []
  const onEvent = (event: FiredEvent): void => {
    if (event.name.startsWith('RECORD_'))
      recorded.push(`${event.name} ${event.get('Record-File-Path') ?? ''}`)
  }
  const call = sw.call({ to: [server.esl], caller: '1000', called: '0901234567', onEvent, ...options })
  return { call, recorded }
}

async function play(options: Partial<CallOptions> = {}, server = linger): Promise<Played> {
  const { call, recorded } = begin(options, server)
  const outcome = await call.ended
  const commands = outcome.connections.flatMap(({ commands }) => commands)
  const asked = commands
    .map(({ line, headers }) => `${line} ${headers.get('execute-app-arg') ?? ''}`.trim())
    .filter((text) => !text.startsWith('event') && /record/i.test(text))
  return { outcome, cdr: await server.cdr(outcome.uuid), recorded, asked }
}

/** Where a call's recording is, below RECORDINGS_DIR; it began just now. */
function pathOf(uuid: string): RegExp {
  return new RegExp(`^${dir}/demo/[0-9]{4}/[0-9]{2}/[0-9]{2}/${uuid}\\.wav$`)
}

t.test('a tenant has its outbound calls recorded', async (t) => {
  t.test('each from its answer on, to a file that its CDR names and that can be fetched', async (t) => {
    const { outcome, cdr, recorded } = await play({ farEnd: farEnds.answers(5_000, 1_000) })
    const path = cdr.recording_path as string
    t.match(path, pathOf(outcome.uuid))
    t.equal(cdr.recording_url, path.replace(dir, url))
    t.same(recorded, [`RECORD_START ${path}`, `RECORD_STOP ${path}`])
    t.equal(outcome.variable('record_ms'), '5000', 'neither the ringing nor anything after it')
    t.equal(outcome.variable('RECORD_STEREO'), 'true')
    t.equal(outcome.variable('RECORD_BRIDGE_REQ'), 'true')
    t.equal(outcome.variable('RECORD_HANGUP_ON_ERROR'), 'false')
    const startedAt = new Date(outcome.startedAt / 1000 + 7 * 3_600_000).toISOString()
    t.ok(path.includes(`/${startedAt.slice(0, 10).replaceAll('-', '/')}/`), "the day is its tenant's")
  })

  t.test('but no other call, of which the switch hears nothing about it', async (t) => {
    const { cdr, recorded, asked } = await play({ called: '1001', farEnd: farEnds.answers(5_000) })
    t.match(cdr, { direction: 'internal', recording_path: null, recording_url: null, hung_up_by: 'called' })
    t.same([recorded, asked], [[], []])
  })

  t.test('nor one that nobody answers: there is no file', async (t) => {
    const { cdr, recorded } = await play({ farEnd: farEnds.busy })
    t.match(cdr, { hangup_cause: 'USER_BUSY', recording_path: null, recording_url: null })
    t.same(recorded, [])
  })

  t.test('once, over however many gateways', async (t) => {
    const farEnd: CallOptions['farEnd'] = (dialString) =>
      dialString.includes('carrier1') ? farEnds.congested : farEnds.answers(2_000)
    const { outcome, cdr, recorded, asked } = await play({ farEnd })
    t.match(cdr, { gateway: 'carrier2', recording_path: pathOf(outcome.uuid) })
    t.equal(recorded.length, 2)
    t.equal(asked.filter((text) => text.includes('record_session')).length, 1)
  })

  t.test('a caller who is answered before is recorded when it talks, in the same packet', async (t) => {
    const { outcome, cdr, recorded, asked } = await play({
      dialplan: [{ application: 'answer' }, { socket: [linger.esl] }],
      farEnd: farEnds.answers(3_000),
    })
    const path = cdr.recording_path as string
    t.match(path, pathOf(outcome.uuid))
    t.same(recorded, [`RECORD_START ${path}`, `RECORD_STOP ${path}`])
    t.equal(asked.at(-1), `api uuid_record ${outcome.uuid} start ${path}`)
    const [connection] = outcome.connections
    const lines = connection!.commands.map(({ line, headers }) => headers.get('execute-app-name') ?? line)
    t.equal(lines.indexOf('bridge') > lines.findIndex((line) => line.includes('uuid_record')), true)
  })

  t.test('a failure to record ends no call', async (t) => {
    const dialled = await play({ cannotRecord: true, farEnd: farEnds.answers(60_000) })
    t.match(dialled.cdr, { billed_ms: 60_000, cost: '500.00', recording_path: null, recording_url: null })
    const answered = await play({
      dialplan: [{ application: 'answer' }, { socket: [linger.esl] }],
      cannotRecord: true,
      farEnd: farEnds.answers(60_000),
    })
    t.match(answered.cdr, { billed_ms: 60_000, cost: '500.00', recording_path: null })
    t.match(
      linger.logged.filter(({ msg }) => msg.includes('not recorded')),
      [
        { call: dialled.outcome.uuid, path: pathOf(dialled.outcome.uuid) },
        { call: answered.outcome.uuid, reason: 'the switch refused to record it' },
      ],
    )
  })

  t.test("a recording that is the dialplan's own is not taken for ours", async (t) => {
    const { cdr } = await play({
      called: '1001',
      dialplan: [{ application: 'record_session', argument: '/elsewhere/one.wav' }, { socket: [linger.esl] }],
      farEnd: farEnds.answers(1_000),
    })
    t.match(cdr, { recording_path: '/elsewhere/one.wav', recording_url: null })
  })
})

/** A call between extensions whose route has a wish. */
function wish(wanted: string, server = linger): Partial<CallOptions> {
  return {
    called: '1001',
    dialplan: [
      { application: 'set', argument: `wish=${wanted}` },
      { socket: [{ ...server.esl, path: 'wishes' }] },
    ],
    farEnd: farEnds.answers(3_000),
  }
}

t.test('a route says that a call is not recorded, whatever the rules of its tenant', async (t) => {
  const { cdr, asked } = await play({ ...wish('off'), called: '0901234567' })
  t.match(cdr, { direction: 'outbound', hung_up_by: 'called', recording_path: null })
  t.same(asked, [])
})

t.test('a route says that a call is recorded', async (t) => {
  t.test('before it rings', async (t) => {
    const { outcome, cdr } = await play(wish('on'))
    t.match(cdr, { direction: 'internal', recording_path: pathOf(outcome.uuid) })
  })

  t.test('from now on, while it rings or the two talk', async (t) => {
    const stages = [
      { wanted: 'ringing', event: 'CHANNEL_PROGRESS' },
      { wanted: 'talking', event: 'CHANNEL_BRIDGE' },
    ]
    const reached = new Map<string, () => void>()
    const moment = (wanted: string) => new Promise<void>((resolve) => reached.set(wanted, resolve))
    // Own routes are modules of this process.
    Object.assign(globalThis, {
      moments: Object.fromEntries(stages.map(({ wanted }) => [wanted, moment(wanted)])),
    })
    const farEnd = { ringsAfterMs: 20, answersAfterMs: 1_500, hangsUpAfterMs: 1_500 }
    const calls = stages.map(({ wanted, event }) => ({
      event,
      reaches: reached.get(wanted),
      ...begin({ ...wish(wanted), speed: 1, farEnd }),
    }))
    const plays = calls.map(async ({ call, event, reaches, recorded }) => {
      await call.until(event)
      t.same(recorded, [])
      reaches?.()
      const { uuid } = await call.ended
      const cdr = await linger.cdr(uuid)
      t.match(cdr, { recording_path: pathOf(uuid), hangup_cause: 'NORMAL_CLEARING' }, event)
      const path = cdr.recording_path as string
      t.same(recorded, [`RECORD_START ${path}`, `RECORD_STOP ${path}`])
    })
    await Promise.all(plays)
  })

  t.test('no more, and later again: nothing is written over what there is', async (t) => {
    const { outcome, cdr, recorded } = await play(wish('twice'))
    const { earlier_recordings: first = '' } = cdr.variables as Record<string, string>
    t.match(first, pathOf(outcome.uuid))
    const second = first.replace('.wav', '-2.wav')
    t.equal(cdr.recording_path, second, 'both are in the CDR')
    t.same(
      recorded,
      [first, second].flatMap((path) => [`RECORD_START ${path}`, `RECORD_STOP ${path}`]),
    )
    t.equal(outcome.legs.length, 2)
  })

  t.test('in the arguments of `ring` and `queue`', async (t) => {
    for (const wanted of ['ring', 'queue']) {
      const { outcome, cdr, asked } = await play({
        ...wish(wanted),
        queue: { agentAfterMs: 2_000, agent: { hangsUpAfterMs: 3_000 } },
      })
      t.match(cdr, { recording_path: pathOf(outcome.uuid) }, wanted)
      t.equal(outcome.variable('RECORD_BRIDGE_REQ'), 'true', 'the waiting is not')
      t.equal(asked.filter((text) => text.includes('.wav')).length, 1)
    }
  })

  t.test('who leaves a queue before an agent comes leaves no recording', async (t) => {
    const { cdr, recorded } = await play({ ...wish('queue'), queue: { leavesAfterMs: 2_000 } })
    t.equal(recorded.length, 2, 'an empty file')
    t.match(cdr, { recording_path: null, recording_url: null })
  })
})

t.test('where nothing can be recorded', async (t) => {
  const server = await testLinger(
    t,
    { ROUTES_DIR: routes },
    { sql: `UPDATE tenants SET hold_music = 'local_stream://demo'` },
  )

  t.test('a route that wants it is told so, and goes on', async (t) => {
    const { cdr, asked } = await play(wish('on', server), server)
    t.match(cdr, { hung_up_by: 'called', recording_path: null })
    t.same(asked, [])
    t.match(server.logged, [{ msg: 'the call is not recorded', reason: /RECORDINGS_DIR/ }])
  })

  t.test("a tenant's music is what either hears whom the other puts on hold", async (t) => {
    const { outcome } = await play({ farEnd: farEnds.answers(1_000) }, server)
    t.equal(outcome.variable('hold_music'), 'local_stream://demo')
    const [bridge] = outcome.connections[0]!.commands.flatMap(({ headers }) =>
      headers.get('execute-app-name') === 'bridge' ? [headers.get('execute-app-arg')] : [],
    )
    t.match(bridge, "hold_music='local_stream://demo'")
  })
})

t.test('a server dies while two talk who are recorded, or are about to', async (t) => {
  const settings = {
    RECORDINGS_DIR: '/rec',
    RECORDINGS_URL: url,
    RECORDINGS_PATH: '{direction}/{call_uuid}.mp3',
    RECORDINGS_STEREO: 'false',
    SECOND_SOURCE_SECONDS: '1',
  }
  const first = await testLinger(t, settings, { sql: outboundAlone })
  const second = await testLinger(t, settings, { databaseUrl: first.databaseUrl, redisUrl: first.redisUrl })
  const line = await Line.to(t, `tcp://${first.esl.host}:${first.esl.port}`)
  const { hostname: host, port } = new URL(line.url('tcp://any:1'))
  const toFirst = { host, port: Number(port) }
  const dialplan = [{ socket: [toFirst] }, { socket: [second.esl] }]

  t.test('it goes on to the same file, once; or is not asked for again', async (t) => {
    const talking = begin({ dialplan, speed: 1, farEnd: farEnds.answers(1_500) })
    const ringing = begin({
      dialplan,
      speed: 1,
      farEnd: { ringsAfterMs: 20, answersAfterMs: 1_500, hangsUpAfterMs: 500 },
    })
    await Promise.all([talking.call.until('CHANNEL_BRIDGE'), ringing.call.until('CHANNEL_PROGRESS')])
    await line.cut()
    for (const { call, recorded } of [talking, ringing]) {
      const outcome = await call.ended
      const { uuid } = outcome
      const path = `/rec/outbound/${uuid}.mp3`
      t.match(await second.cdr(uuid), {
        taken_over: true,
        source: 'session',
        recording_path: path,
        recording_url: path.replace('/rec', url),
      })
      t.same(recorded, [`RECORD_START ${path}`, `RECORD_STOP ${path}`])
      t.equal(outcome.variable('RECORD_STEREO'), 'false')
    }
  })

  t.test('with nobody left but mod_json_cdr, the CDR still says where the talk is', async (t) => {
    await line.mend()
    const own = new SimulatedSwitch({
      jsonCdr: { urls: [`http://${second.server.httpAddress}/freeswitch/cdr`] },
    })
    t.teardown(() => {
      own.destroy()
    })
    const call = own.call({
      to: [toFirst],
      caller: '1000',
      called: '0901234567',
      speed: 1,
      farEnd: { answersAfterMs: 100, callerHangsUpAfterMs: 1_000 },
    })
    await call.until('CHANNEL_BRIDGE')
    await line.cut()
    const { uuid } = await call.ended
    const path = `/rec/outbound/${uuid}.mp3`
    t.match(await second.cdr(uuid), {
      source: 'json_cdr',
      recording_path: path,
      recording_url: path.replace('/rec', url),
    })
  })
})

t.test('what is no music is refused where it is set', async (t) => {
  const { pool } = await testDatabase(t)
  const set = (music: string | null) => pool.query('UPDATE tenants SET hold_music = $1', [music])
  for (const music of [null, 'moh/one.wav', '/music/one.wav', 'tone_stream://%(200,0,500);loops=-1'])
    await set(music)
  for (const music of [
    '',
    '../one.wav',
    'a/../../b.wav',
    'shell_stream://id',
    'http://x/a.mp3',
    "a'b.wav",
    '${x}',
    'a b.wav',
    'a]b.wav',
  ])
    await t.rejects(set(music), /tenants_hold_music_check/, JSON.stringify(music))
  await t.rejects(pool.query(`UPDATE tenants SET record_directions = '{sideways}'`))
  await t.rejects(pool.query(`UPDATE tenants SET record_directions = '{NULL}'`))
})

t.test('recordings that are older than they are kept are gone soon after the start', async (t) => {
  await until(() => !existsSync(old))
  t.same(await readdir(dirname(young)), ['bbbb.wav'])
})
