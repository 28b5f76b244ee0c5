import { execFile } from 'node:child_process'
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { ownRoutes } from '../src/routes/own.js'
import { testLinger } from './support/linger.js'
import { temporaryFolder } from './support/services.js'
import type { CallOptions } from './support/switch/call.js'
import { farEnds } from './support/switch/far-end.js'
import { SimulatedSwitch } from './support/switch/switch.js'
import { until } from './support/wire.js'

/** Call flows that an operator writes, a module each. */

const run = promisify(execFile)
const project = fileURLToPath(new URL('../..', import.meta.url))

/** The worked example of the README. */
async function example(): Promise<string> {
  const readme = await readFile(join(project, 'README.md'), 'utf8')
  const [, code] = /```js\n(\/\/ routes\/[\s\S]*?)```/.exec(readme) ?? []
  if (code === undefined) throw new Error('the README has no example of a route')
  return code
}

async function folder(t: Pick<Test, 'teardown'>, files: Readonly<Record<string, string>>): Promise<string> {
  const dir = await temporaryFolder(t)
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(dir, name)), { recursive: true })
    await writeFile(join(dir, name), text)
  }
  return dir
}

const office = await example()
const publishing = (name: string): string =>
  office.replace('await call.answer()', `await call.publish({ ${name}: 'ivr' })`)
const did = '842873001234'
const linger = await testLinger(
  t,
  { ROUTES_DIR: await folder(t, { 'package.json': '{ "type": "module" }', 'office.js': office }) },
  { sql: `INSERT INTO numbers (number, tenant_id) VALUES ('${did}', 'demo')` },
)
const sw = new SimulatedSwitch()
t.teardown(() => {
  sw.destroy()
})

t.test("the README's example is a route, as its types say", async (t) => {
  const compilerOptions = {
    ...{ allowJs: true, checkJs: true, noEmit: true, strict: true, skipLibCheck: true },
    // Without those of a browser, whose declarations take longer to read than all others.
    ...{ target: 'es2023', lib: ['es2023'], module: 'nodenext' },
    ...{ types: ['node'], typeRoots: [join(project, 'node_modules/@types')] },
  }
  const dir = await folder(t, {
    'package.json': '{ "type": "module" }',
    'tsconfig.json': JSON.stringify({ compilerOptions, include: ['routes'] }),
    'routes/office.js': office,
    'routes/right.js': publishing('CALL_STATUS'),
    'routes/wrong.js': publishing('call_status').replace('call.ring([extension])', 'call.ring(digits)'),
  })
  await mkdir(join(dir, 'node_modules'))
  await symlink(project, join(dir, 'node_modules/linger'))
  const tsc = join(project, 'node_modules/typescript/bin/tsc')
  const { stdout } = await run(process.execPath, [tsc, '-p', dir]).catch(
    (error: unknown) => error as { stdout: string },
  )
  const errors = stdout.trimEnd().split('\n')
  const found = errors.filter((line) => line.includes('routes/'))
  t.match(
    found,
    [/wrong\.js.*'call_status' does not exist/, /wrong\.js.*TS2345/],
    'both mistakes are found, and nothing else',
  )
  t.equal(found.length, 2)
})

t.test("the README's example serves a call", async (t) => {
  const { uuid, heard, legs } = await sw.call({
    to: [{ ...linger.esl, path: 'office' }],
    caller: '0987654321',
    called: did,
    digits: ['1001'],
    farEnd: farEnds.answers(5_000),
  }).ended
  t.ok(heard.length > 0)
  t.same(
    legs.map(({ number }) => number),
    ['1001'],
  )
  t.match(await linger.cdr(uuid), { route: 'office', hangup_cause: 'NORMAL_CLEARING', source: 'session' })
})

t.test('what is no route stops the start, in one line that names the file', async (t) => {
  const wrong: readonly [code: string, why: RegExp][] = [
    ['export const route = {}', /x\.js is no route: no default export/],
    ["export default { name: 'x', summary: 'x' }", /x\.js is no route: its `run` is no function/],
    ["export default { summary: 'x', run() {} }", /x\.js is no route: its `name` is no text/],
    ['export default {', /the route .*x\.js cannot be loaded: /],
  ]
  for (const [code, why] of wrong) {
    const dir = await folder(t, { 'x.js': code, 'package.json': '{ "type": "module" }' })
    await t.rejects(ownRoutes(dir), { message: why })
  }
  await t.rejects(ownRoutes('/nowhere/at/all'), {
    message: /^the folder of routes \/nowhere\/at\/all cannot be read: /,
  })
  const dir = await folder(t, { 'lib/helper.js': 'nonsense(', '.hidden.js': 'nonsense(', 'README.md': '' })
  t.same(await ownRoutes(dir), [], 'other files are left alone')
})

/** Routes that an operator should not have written. */
const bad = {
  broken: `throw new Error('out of order')`,
  wrong: `await call.play('')`,
  endless: `await call.answer(); await new Promise(() => {})`,
  forgets: `call.answer(); call.play('ivr/hello.wav'); call.play('nonsense:'); await new Promise(() => {})`,
  late: `try { await call.play('ivr/hello.wav') } finally { await null; throw new TypeError('too late') }`,
  later: `try { await call.play('ivr/hello.wav') } finally { await new Promise(setImmediate); throw new TypeError('later') }`,
  'hears-nothing': `for (;;) try { await call.play('ivr/hello.wav') } catch {}`,
  'asks-nonsense': `for (;;) try { await call.play('nonsense:') } catch {}`,
  polls: `for (;;) await call.variable('x')`,
  'talks-long': `await call.answer(); await call.ring([call.extension('1001')])`,
  back: `for (let i = 0; i < 3; i++) await call.play('ivr/hello.wav'); await call.giveBack()`,
}

t.test('whatever a route does, its call has an end and a CDR, and other calls are served', async (t) => {
  const files = Object.entries(bad).map(([name, code]): [string, string] => [
    `${name}.js`,
    `export default { name: '${name}', summary: 'x', async run(call) { ${code} } }`,
  ])
  const routes = { 'package.json': '{ "type": "module" }', ...Object.fromEntries(files) }
  const linger = await testLinger(
    t,
    { ROUTES_DIR: await folder(t, routes) },
    { sql: "UPDATE tenants SET max_call_seconds = 2 WHERE id = 'demo'" },
  )
  const call = async (path: string, options: Partial<CallOptions> = {}) => {
    const to = [{ ...linger.esl, path }]
    return sw.call({ to, caller: '1000', called: '1001', ...options }).ended
  }
  const cdrOf = async (path: string, options?: Partial<CallOptions>) =>
    linger.cdr((await call(path, options)).uuid)
  const isServed = async (t: Test) => {
    t.match(await cdrOf('dial', { farEnd: farEnds.answers(500) }), { hangup_cause: 'NORMAL_CLEARING' })
  }
  const logged = (uuid: string) => linger.logged.filter(({ call }) => call === uuid)

  await t.test('one that throws refuses its call', async (t) => {
    const { uuid } = await call('broken')
    t.match(await linger.cdr(uuid), { hangup_cause: 'NORMAL_TEMPORARY_FAILURE', route: 'broken' })
    const stack = /out of order[\s\S]*broken\.js/
    t.match(logged(uuid), [{ msg: 'the route failed', route: 'broken', err: { stack } }])
    await isServed(t)
  })

  await t.test('one that asks for a sound that is none has not dialled a number that is none', async (t) => {
    const { uuid } = await call('wrong')
    t.match(await linger.cdr(uuid), {
      hangup_cause: 'NORMAL_TEMPORARY_FAILURE',
      refusal: 'the server failed to serve the call',
    })
    t.match(logged(uuid), [{ msg: 'the route failed', route: 'wrong', err: { stack: /wrong\.js/ } }])
  })

  await t.test('one that waits for ever keeps no record waiting', async (t) => {
    t.match(await cdrOf('endless', { callerHangsUpAfterMs: 1_000 }), { hung_up_by: 'caller' })
  })

  await t.test('one that does not wait for its verbs, and whose caller hangs up', async (t) => {
    const { uuid } = await call('forgets', { callerHangsUpAfterMs: 500 })
    t.match(await linger.cdr(uuid), { hung_up_by: 'caller', refusal: null })
    const said = { msg: 'the route did not wait for what failed', err: { code: 'UNSAFE_ARGUMENT' } }
    t.match(logged(uuid), [said], 'what failed is told, its hangup is not')
    t.equal(logged(uuid).length, 1)
    await isServed(t)
  })

  await t.test('one that fails after its caller has gone is told of', async (t) => {
    for (const path of ['late', 'later']) {
      const { uuid } = await call(path, { callerHangsUpAfterMs: 500 })
      t.match(await linger.cdr(uuid), { hung_up_by: 'caller', refusal: null })
      await until(() => logged(uuid).length > 0)
      const stack = new RegExp(`${path}[\\s\\S]*${path}\\.js`)
      t.match(logged(uuid), [{ msg: 'the route failed after its call was over', err: { stack } }])
    }
  })

  await t.test('one that goes on after its caller has gone, for ever', async (t) => {
    const { uuid } = await call('hears-nothing', { callerHangsUpAfterMs: 500 })
    t.match(await linger.cdr(uuid), { hung_up_by: 'caller' })
    await until(() => logged(uuid).length > 0)
    const msg = 'the route goes on after its call is over: it is left standing'
    t.match(logged(uuid), [{ msg, route: 'hears-nothing' }])
    await isServed(t)
  })

  await t.test('one whose caller hangs up just when it asks something has not failed', async (t) => {
    const options = { speed: 1, callerHangsUpAfterMs: 100, hangupToldAfterMs: 200 }
    const { uuid } = await call('polls', options)
    t.match(await linger.cdr(uuid), { hung_up_by: 'caller', refusal: null })
    t.same(logged(uuid), [])
  })

  await t.test('a call lasts no longer than its tenant lets it', async (t) => {
    const inTime = { hangup_cause: 'ALLOTTED_TIMEOUT', hung_up_by: 'server' }
    const agent = { answersAfterMs: 0 }
    const [endless, nonsense, talk, queue] = await Promise.all([
      cdrOf('endless', { speed: 1 }),
      cdrOf('asks-nonsense', { speed: 1 }),
      call('talks-long', { speed: 1, farEnd: farEnds.answers(undefined, 1_000) }),
      cdrOf('queue/support', { speed: 1, queue: { agentAfterMs: 0, agent } }),
    ])
    t.match(endless, inTime)
    t.match(nonsense, inTime, 'that asks nonsense all the time')
    t.match(await linger.cdr(talk.uuid), inTime)
    const causes = talk.connections[0]?.commands.map(({ headers }) => headers.get('hangup-cause'))
    t.ok(causes?.includes('ALLOTTED_TIMEOUT'), "before the leg's own timer, which begins at its answer")
    t.match(queue, inTime, 'with an agent')
    const again = { socket: [{ ...linger.esl, path: 'endless' }] }
    const back = await cdrOf('back', { nextActions: [again] })
    t.match(back, inTime, 'of which it has had more before it came back')
  })

  await t.test('the longest that can be set is as good as none', async (t) => {
    await linger.pool.query('UPDATE tenants SET max_call_seconds = 2147483647')
    await linger.server.reload()
    await isServed(t)
  })
})
