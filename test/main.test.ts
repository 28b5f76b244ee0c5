import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { commandLine } from '../src/embedded/processes.js'
import { screen, startProcess } from './support/server-process.js'
import { temporaryFolder } from './support/services.js'
import type { CallOptions } from './support/switch/call.js'
import { SimulatedSwitch } from './support/switch/switch.js'

/** Call flows of an operator's own: one forgets what it began, which fails, and one does not. */
async function writeRoutes(cwd: string): Promise<void> {
  const routes = join(cwd, 'flows/own')
  await mkdir(routes, { recursive: true })
  await symlink(routes, join(cwd, 'routes'))
  await writeFile(join(cwd, 'package.json'), '{ "type": "module" }')
  const route = (name: string, code: string) =>
    `export default { name: '${name}', summary: 'x', needsTenant: false, async run(call) { ${code} } }`
  const forgets = `const greet = async () => { await call.play('ivr/hello.wav') }
    const fail = async () => { await null; throw new TypeError('out of order') }
    greet(); fail(); fetch('http://127.0.0.1:1')
    setTimeout(() => { throw new Error('too late') }, 0); await new Promise(() => {})`
  await writeFile(join(routes, 'forgets.js'), route('forgets', forgets))
  await writeFile(join(routes, 'greets.js'), route('greets', `await call.play('ivr/hello.wav')`))
}

t.test('the server process', async (t) => {
  const cwd = await temporaryFolder(t)
  const data = join(cwd, '.linger')
  let key: string | undefined

  await t.test('starts with nothing given, shows its admin key, and refuses a second one', async (t) => {
    const run = startProcess(cwd)
    const { http, key: made } = await screen(run)
    key = made
    t.match(key, /^[A-Za-z0-9_-]{24,}$/)
    t.match(run.out(), data)
    const authorization = `Bearer ${String(key)}`
    const answer = await fetch(`${http}/v1/cdrs`, { headers: { authorization } })
    t.equal(answer.status, 200)
    const listed = await fetch(`${http}/v1/blacklist`, {
      method: 'POST',
      headers: { authorization, 'content-type': 'application/json' },
      body: JSON.stringify({ number: '0912406496' }),
    })
    t.ok(listed.ok, `${listed.status}`)
    const second = startProcess(cwd)
    t.equal(await second.ended, 1)
    t.match(second.err(), /^linger: another Linger \(process \d+\) runs on this data .*\n$/)
    run.child.kill('SIGKILL')
    await run.ended
  })

  await t.test(
    'starts again after kill -9 without cleaning, with its data, outlives what its routes forget, and stops in order',
    async (t) => {
      await writeRoutes(cwd)
      const again = startProcess(cwd, { ROUTES_DIR: 'routes' })
      const { esl, http, key: none } = await screen(again)
      t.equal(none, undefined, 'the key is shown at the first start alone')
      const found = await fetch(`${http}/v1/blacklist/0912406496`, {
        headers: { authorization: `Bearer ${String(key)}` },
      })
      t.equal(found.status, 200, 'the key of the first start is still good, and what was listed is listed')
      const postmaster = parseInt(readFileSync(join(data, 'postgres/data/postmaster.pid'), 'latin1'))
      t.not(commandLine(postmaster), '')

      const sw = new SimulatedSwitch()
      t.teardown(() => {
        sw.destroy()
      })
      const call = (path: string, options: Partial<CallOptions> = {}) =>
        sw.call({ to: [{ ...esl, path }], caller: '0987654321', called: '1000', ...options }).ended
      const forgotten = await call('forgets', { callerHangsUpAfterMs: 500 })
      t.match(forgotten, { heard: ['ivr/hello.wav'], hungUpBy: 'caller' })
      const served = await call('greets')
      t.match(served, { heard: ['ivr/hello.wav'], cause: 'NORMAL_CLEARING' }, 'another call is served')

      // As a service manager asks it to; and npm passes a Ctrl-C on to a process that has had it from the terminal.
      again.child.kill('SIGTERM')
      again.child.kill('SIGINT')
      t.equal(await again.ended, 0)
      t.equal(again.err(), '')
      t.equal(commandLine(postmaster), '', 'its PostgreSQL has ended too')
      t.notOk(existsSync(join(data, 'lock')))
      const told = again
        .out()
        .split('\n')
        .filter((line) => line.includes('a route did not wait'))
      for (const what of [
        /out of order[\s\S]*forgets\.js/,
        /too late/,
        /fetch failed/,
        /the caller has gone/,
      ])
        t.equal(told.filter((line) => what.test(line)).length, 1, String(what))
    },
  )

  await t.test(
    'a port in use ends the start with one line and code 1, and leaves nothing running',
    async (t) => {
      const other = createServer().listen(0, '127.0.0.1')
      await once(other, 'listening')
      const { port } = other.address() as { port: number }
      const run = startProcess(cwd, { ESL_LISTEN: `127.0.0.1:${port}` })
      t.equal(await run.ended, 1)
      t.match(run.err(), new RegExp(`^linger: ESL_LISTEN .*${port}.*\\n$`))
      t.notOk(existsSync(join(data, 'postgres/data/postmaster.pid')))
      other.close()
    },
  )

  await t.test('a database that cannot be reached is named in one line, without its password', async (t) => {
    const run = startProcess(cwd, { DATABASE_URL: 'postgres://someone:geheim@127.0.0.1:1/calls' })
    t.equal(await run.ended, 1)
    t.match(run.err(), /^linger: PostgreSQL at 127\.0\.0\.1:1, database calls.*\n$/)
    t.notMatch(run.err() + run.out(), 'geheim')
  })

  await t.test(
    'a wrong setting, in the environment or in .env, ends the start with one line and code 78',
    async (t) => {
      await writeFile(join(cwd, '.env'), 'MAX_CALLS=lots\n')
      const run = startProcess(cwd)
      const file = startProcess(cwd, { MAX_CALLS: '5', LOG_FILE: '/nowhere/log' })
      t.equal(await run.ended, 78)
      t.equal(run.err(), 'linger: MAX_CALLS is "lots"; allowed is a whole number from 1 to 100000\n')
      t.equal(await file.ended, 78)
      t.match(file.err(), /^linger: LOG_FILE is .*\n$/)
    },
  )
})
