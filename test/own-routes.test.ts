import { execFile } from 'node:child_process'
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { ownRoutes } from '../src/routes/own.js'
import { testLinger } from './support/linger.js'
import { temporaryFolder } from './support/services.js'
import type { Call, CallOptions } from './support/switch/call.js'
import { farEnds } from './support/switch/far-end.js'
import { SimulatedSwitch } from './support/switch/switch.js'

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
/** All of one server. */
const routes = {
  'office.js': office,
  'broken.js':
    "export default { name: 'broken', summary: 'x', async run() { throw new Error('out of order') } }",
  'wrong.js': "export default { name: 'wrong', summary: 'x', async run(call) { await call.play('') } }",
  'endless.js':
    "export default { name: 'endless', summary: 'x', async run(call) { await call.answer(); await new Promise(() => {}) } }",
}
const did = '842873001234'
/** Of a tenant whose calls last two seconds. */
const briefDid = '842873005678'
const linger = await testLinger(
  t,
  { ROUTES_DIR: await folder(t, { 'package.json': '{ "type": "module" }', ...routes }) },
  {
    sql: `INSERT INTO tenants (id, name, country, currency, max_call_seconds) VALUES ('brief', 'Brief', 'VN', 'VND', 2);
      INSERT INTO numbers (number, tenant_id) VALUES ('${did}', 'demo'), ('${briefDid}', 'brief')`,
  },
)
const sw = new SimulatedSwitch()
t.teardown(() => {
  sw.destroy()
})

/** An inbound call whose dialplan names a route. */
function call(path: string, options: Partial<CallOptions> = {}): Call {
  return sw.call({ to: [{ ...linger.esl, path }], caller: '0987654321', called: did, ...options })
}

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
  const found = errors.filter((line) => line.startsWith('routes/'))
  t.match(
    found,
    [/wrong\.js.*'call_status' does not exist/, /wrong\.js.*TS2345/],
    'both mistakes are found, and nothing else',
  )
  t.equal(found.length, 2)
})

t.test("the README's example serves a call", async (t) => {
  const { uuid, heard, legs } = await call('office', { digits: ['1001'], farEnd: farEnds.answers(5_000) })
    .ended
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

t.test('a route that throws refuses its call, with a CDR, and the server lives', async (t) => {
  const { uuid } = await call('broken').ended
  t.match(await linger.cdr(uuid), { hangup_cause: 'NORMAL_TEMPORARY_FAILURE', route: 'broken' })
  const line = linger.logged.find(({ call }) => call === uuid)
  t.match(line, { msg: 'the route failed', route: 'broken', err: { stack: /out of order[\s\S]*broken\.js/ } })

  const wrong = await call('wrong').ended
  t.match(
    await linger.cdr(wrong.uuid),
    { hangup_cause: 'NORMAL_TEMPORARY_FAILURE', refusal: 'the server failed to serve the call' },
    'a sound that is none is not told as a number that is none',
  )
  t.match(
    linger.logged.find(({ call }) => call === wrong.uuid),
    { msg: 'the route failed', route: 'wrong', err: { stack: /wrong\.js/ } },
  )
  const served = await call('dial', { caller: '1000', called: '1001', farEnd: farEnds.answers(500) }).ended
  t.match(await linger.cdr(served.uuid), { hangup_cause: 'NORMAL_CLEARING' })
})

t.test('a route that never ends is ended with the longest call of its tenant', async (t) => {
  const lasting = call('endless', { called: briefDid, speed: 1 })
  const left = await call('endless', { callerHangsUpAfterMs: 1_000 }).ended
  t.match(
    await linger.cdr(left.uuid),
    { hung_up_by: 'caller' },
    'a route that waits for ever keeps no record waiting',
  )
  const { uuid } = await lasting.ended
  t.match(await linger.cdr(uuid), { hangup_cause: 'ALLOTTED_TIMEOUT', hung_up_by: 'server' })
})
