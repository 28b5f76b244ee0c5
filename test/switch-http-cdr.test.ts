import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fastify } from 'fastify'
import t from 'tap'
import { formatMoney, parseMoney } from '../src/billing/money.js'
import { costOf } from '../src/billing/rating.js'
import { allowList } from '../src/setting-values.js'
import { switchCdr } from '../src/switch/cdr.js'
import { unserved } from './support/cdr-documents.js'
import { testLinger } from './support/linger.js'
import { screen, startProcess } from './support/server-process.js'
import { temporaryFolder } from './support/services.js'
import { farEnds } from './support/switch/far-end.js'
import { SimulatedSwitch } from './support/switch/switch.js'

/** What mod_json_cdr posts, what it saves, and what comes of it. */

const auth = 'fs:correct horse'.replace(' ', '-')
const settings = { SECOND_SOURCE_SECONDS: '1', SWITCH_AUTH: auth }

function post(
  body: string,
  headers: Record<string, string> = {},
  base = `http://${linger.server.httpAddress}`,
): Promise<Response> {
  return fetch(`${base}/freeswitch/cdr?uuid=x`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: basic(auth), ...headers },
    body,
  })
}

/** How many CDRs there are of each call. */
async function cdrsOf(uuids: readonly string[]): Promise<number[]> {
  const there = (await linger.cdrs(uuids.length)).map((cdr) => cdr.call_uuid)
  return uuids.map((uuid) => there.filter((other) => other === uuid).length)
}

function basic(credentials: string): string {
  return `Basic ${Buffer.from(credentials).toString('base64')}`
}

/** One server for all of these stories. */
const linger = await testLinger(t, settings)

t.test('a post', async (t) => {
  t.test('with a wrong password, or none, is not let in', async (t) => {
    const { uuid, text } = unserved()
    for (const authorization of [
      basic('fs:wrong-password'),
      basic('fs'),
      'Basic !',
      `Bearer ${linger.adminKey}`,
      '',
    ]) {
      const response = await post(text, { authorization })
      t.equal(response.status, 401)
      t.equal(response.headers.get('www-authenticate'), 'Basic realm="linger"')
      t.match(await response.json(), { status: 401, type: 'urn:linger:problem:unauthorized' })
    }
    t.equal((await post(text)).status, 200)
    t.match(await linger.cdr(uuid), { source: 'json_cdr', tenant: 'demo', answered_ms: 1_520, cost: '0.00' })
  })

  t.test('in each way in which mod_json_cdr writes it is taken', async (t) => {
    const ways: [type: string, body: (text: string) => string][] = [
      ['application/json', (text) => text],
      ['application/x-www-form-urlencoded', (text) => `cdr=${encodeURIComponent(text)}`],
      ['application/x-www-form-base64-encoded', (text) => `cdr=${Buffer.from(text).toString('base64')}`],
      // With `disable-100-continue` its own type is lost.
      ['application/x-www-form-urlencoded', (text) => text],
    ]
    const uuids: string[] = []
    for (const [type, body] of ways) {
      const { uuid, text } = unserved()
      t.equal((await post(body(text), { 'content-type': type })).status, 200, type)
      uuids.push(uuid)
    }
    for (const uuid of uuids) t.match(await linger.cdr(uuid), { source: 'json_cdr' })
  })

  t.test('that is no document is refused, so that FreeSWITCH keeps it', async (t) => {
    for (const body of [
      '',
      '{}',
      'cdr=',
      '{"variables":',
      '[]',
      JSON.stringify({ variables: { uuid: 'x' } }),
    ]) {
      const response = await post(body)
      t.equal(response.status, 400)
      t.match(await response.json(), { status: 400, detail: /no document of mod_json_cdr/ })
    }
    t.equal((await post('x'.repeat(1024 * 1024 + 1))).status, 413)
    const whole = JSON.parse(unserved().text) as object
    t.equal((await post(JSON.stringify({ ...whole, app_log: 'x'.repeat(900_000) }))).status, 200)
  })

  t.test('goes to one path; admins have their own keys', async (t) => {
    t.notMatch(await (await fetch(`http://${linger.server.httpAddress}/openapi.json`)).json(), {
      paths: { '/freeswitch/cdr': {} },
    })
    const response = await fetch(`http://${linger.server.httpAddress}/v1/cdrs`, {
      headers: { authorization: basic(auth) },
    })
    t.equal(response.status, 401)
  })
})

t.test('what cannot be kept is refused, and so is what takes too long to keep', async (t) => {
  const answers: (() => Promise<void>)[] = [
    () => Promise.reject(new Error('the journal is closed')),
    () => new Promise(() => undefined),
  ]
  for (const receive of answers) {
    const app = fastify()
    t.teardown(() => app.close())
    const secondSource = { receive }
    await app.register(switchCdr, { secondSource, allow: allowList('127.0.0.1')!, answerWithinMs: 10 })
    const answer = await app.inject({ method: 'POST', url: '/freeswitch/cdr', payload: unserved().text })
    t.equal(answer.statusCode, 503)
    t.equal(answer.headers['retry-after'], '1')
  }
})

t.test(
  'a server is killed in mid-talk, and the caller hangs up: another node has the CDR, to the millisecond',
  async (t) => {
    const cwd = await temporaryFolder(t)
    const victim = startProcess(cwd, {
      DATABASE_URL: linger.databaseUrl,
      REDIS_URL: linger.redisUrl,
      DATA_DIR: join(cwd, 'data'),
      ...settings,
      SWITCH_ALLOW: '10.0.0.0/8',
    })
    t.teardown(() => victim.child.kill('SIGKILL'))
    const { http, esl } = await screen(victim)
    const { status } = await post(unserved().text, {}, http)
    t.equal(status, 403, 'an address that is not FreeSWITCH’s is not let in, whatever it knows')
    const sw = new SimulatedSwitch({
      jsonCdr: {
        urls: [http, `http://${linger.server.httpAddress}`].map((base) => `${base}/freeswitch/cdr`),
        auth,
        retries: 3,
        delayMs: 1,
      },
    })
    t.teardown(() => {
      sw.destroy()
    })
    const call = sw.call({
      to: [esl],
      caller: '1000',
      called: '0901234567',
      farEnd: farEnds.answers(),
      speed: 1,
    })
    await call.until('CHANNEL_BRIDGE')
    victim.child.kill('SIGKILL')
    await victim.ended
    call.hangup()
    const { uuid, legs } = await call.ended
    const [leg] = legs
    const billedMs = Math.floor(leg!.endedAt! / 1000) - Math.floor(leg!.answeredAt! / 1000)
    const cost = formatMoney(costOf(parseMoney('500'), billedMs))
    t.match(await linger.cdr(uuid), {
      source: 'json_cdr',
      tenant: 'demo',
      route: 'dial',
      hung_up_by: 'caller',
      billed_ms: billedMs,
      cost,
      charges: [{ leg_uuid: leg!.uuid, gateway: 'carrier1' }],
    })
    t.same(
      sw.jsonCdr?.documents.map(({ statuses }) => statuses.at(-1)),
      [200, 200],
    )
    t.same(await cdrsOf([uuid]), [1])
  },
)

t.test('with every server there, both sources tell of each call, and there is one CDR', async (t) => {
  const urls = [`http://${linger.server.httpAddress}/freeswitch/cdr`]
  const sw = new SimulatedSwitch({ jsonCdr: { urls, auth } })
  t.teardown(() => {
    sw.destroy()
  })
  const dial = () =>
    sw.call({ to: [linger.esl], caller: '1000', called: '0901234567', farEnd: farEnds.answers(60_000) }).ended
  const said = linger.logged.length
  const outcomes = await Promise.all(Array.from({ length: 5 }, dial))
  for (const { uuid } of outcomes)
    t.match(await linger.cdr(uuid), { source: 'session', billed_ms: 60_000, cost: '500.00' })
  t.equal(sw.jsonCdr?.documents.length, 10)
  t.same(await cdrsOf(outcomes.map(({ uuid }) => uuid)), [1, 1, 1, 1, 1])
  t.same(linger.logged.slice(said), [])
})

t.test(
  'json_cdr.conf.xml: both legs, retries that end before the session gives up, plain JSON',
  async (t) => {
    const text = readFileSync(new URL('../../dialplan/json_cdr.conf.xml', import.meta.url), 'utf8')
    const given = new Map(
      [...text.replace(/<!--[^]*?-->/g, '').matchAll(/<param name="([^"]+)" value="([^"]*)"\/>/g)].map(
        ([, name = '', value = '']) => [name, value],
      ),
    )
    t.match(given.get('url'), /\/freeswitch\/cdr$/)
    t.equal(given.get('log-b-leg'), 'true')
    t.equal(given.get('encode'), 'false')
    t.equal(given.get('encode-values'), 'false')
    t.equal(given.get('queue-capacity'), undefined)
    t.ok(Number(given.get('delay')) >= 1, 'FreeSWITCH makes 5 of 0')
    t.ok(Number(given.get('retries')) * Number(given.get('delay')) <= 10)
  },
)
