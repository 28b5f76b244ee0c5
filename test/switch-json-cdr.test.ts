import { readdir, readFile } from 'node:fs/promises'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'

import t, { type Test } from 'tap'

import { temporaryFolder } from './support/services.js'
import type { Call, CallOptions } from './support/switch/call.js'
import { recordedDocument, type RecordedDocument } from './support/switch/called-templates.js'
import { dialIn, listen, type Conversation } from './support/switch/conversation.js'
import type { Action } from './support/switch/dialplan.js'
import type { JsonCdrOptions } from './support/switch/json-cdr.js'
import { readPosted } from './support/switch/recordings.js'
import { SimulatedSwitch } from './support/switch/switch.js'

/** mod_json_cdr of the simulated switch. */

const parties = { caller: '0912406496', called: '0901234567' }
const handshake = 'connect\n\nlinger 10\n\nmyevents json\n\n'
const carrier = 'sofia/gateway/carrier1/84901234567'
const keepsBridge: Action = { application: 'set', argument: 'hangup_after_bridge=false' }
const refuses: Action = { application: 'hangup', argument: 'USER_BUSY' }

interface Posted {
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly text: string
  answer(status: number): void
}

/** Somebody who takes documents. */
interface CdrServer {
  readonly url: string
  readonly posted: readonly Posted[]
  next(): Promise<Posted>
}

/** @param answer what each post is answered with, by its number; undefined: the test answers it itself */
async function cdrServer(t: Test, answer: (count: number) => number | undefined): Promise<CdrServer> {
  const posted: Posted[] = []
  const waiting: (() => void)[] = []
  let taken = 0
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const post: Posted = {
        url: request.url ?? '',
        headers: request.headers,
        text: Buffer.concat(chunks).toString(),
        answer: (status) => response.writeHead(status).end(),
      }
      posted.push(post)
      const status = answer(posted.length)
      if (status !== undefined) post.answer(status)
      for (const go of waiting.splice(0)) go()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/freeswitch/cdr`,
    posted,
    next: async () => {
      while (posted.length === taken) await new Promise<void>((resolve) => waiting.push(resolve))
      return posted[taken++]!
    },
  }
}

function newSwitch(t: Test, jsonCdr: JsonCdrOptions): SimulatedSwitch {
  const sw = new SimulatedSwitch({ jsonCdr, noticeOrder: 'recorded' })
  t.teardown(() => {
    sw.destroy()
  })
  return sw
}

/** The bridge of `cdr-after-takeover-*`, whose first server goes while it talks. */
async function takenOverCall(t: Test, sw: SimulatedSwitch, dialString = carrier): Promise<Call> {
  const esl = await listen(t)
  const call = sw.call({
    ...parties,
    dialplan: [keepsBridge, { socket: [esl.to] }, { socket: [esl.to] }],
    farEnd: { answersAfterMs: 0, hangsUpAfterMs: 3020 },
    callerHangsUpAfterMs: 5060,
  })
  const first = await esl.accept()
  first.send(`connect\n\n${execute('bridge', dialString)}`)
  await first.until('+OK')
  first.close()
  const second = await esl.accept()
  second.send(handshake + execute('answer', ''))
  await second.until('CHANNEL_HANGUP_COMPLETE')
  second.send('exit\n\n')
  await call.ended
  return call
}

async function servedCall(
  t: Test,
  sw: SimulatedSwitch,
  options: Partial<CallOptions>,
  commands: string,
): Promise<{ call: Call; server: Conversation }> {
  const esl = await listen(t)
  const call = sw.call({ ...parties, to: [esl.to], ...options })
  const server = await esl.accept()
  server.send(handshake + commands)
  return { call, server }
}

function execute(application: string, argument: string): string {
  const arg = argument === '' ? '' : `execute-app-arg: ${argument}\n`
  return `sendmsg\ncall-command: execute\nexecute-app-name: ${application}\n${arg}\n`
}

function documentOf({ text }: { text: string }): RecordedDocument {
  return JSON.parse(text) as RecordedDocument
}

/** The names of all members, however deep, but for the values of `variables`; of a list its first member's. */
function shapeOf(value: unknown, path = ''): string[] {
  if (Array.isArray(value)) return shapeOf(value[0], `${path}[]`)
  if (typeof value !== 'object' || value === null) return [`${path}: ${typeof value}`]
  return Object.entries(value).flatMap(([name, member]) => shapeOf(member, `${path}.${name}`))
}

function sameShape(t: Test, actual: RecordedDocument, name: string): void {
  const expected = recordedDocument(name)
  const [ours, theirs] = [shapeOf(actual), shapeOf(expected)]
  t.same(
    {
      missing: theirs.filter((key) => !ours.includes(key)),
      tooMuch: ours.filter((key) => !theirs.includes(key)),
    },
    { missing: [], tooMuch: [] },
    name,
  )
  t.same(Object.keys(actual), Object.keys(expected), `${name}: in its order`)
}

t.test('the documents of a call that was taken over have the form of the recorded ones', async (t) => {
  const server = await cdrServer(t, () => 200)
  const sw = newSwitch(t, { urls: [server.url] })
  const call = await takenOverCall(t, sw)
  const [called, caller] = server.posted
  sameShape(t, documentOf(called!), 'after-takeover-called-leg')
  sameShape(t, documentOf(caller!), 'after-takeover-caller-leg')
  const [leg] = call.legs
  t.equal(called?.url, `/freeswitch/cdr?uuid=${leg?.uuid}`)
  t.equal(caller?.url, `/freeswitch/cdr?uuid=${call.uuid}`)
  const recorded = readPosted('cdr-after-takeover-called-leg')
  t.equal(recorded.line.replace(/=.*/, `=${leg?.uuid} HTTP/1.1`), `POST ${called?.url} HTTP/1.1`)
  for (const name of ['user-agent', 'accept', 'content-type'])
    t.equal(called?.headers[name], recorded.headers.get(name), name)
  t.match(documentOf(called!), {
    switchname: 'vm',
    'core-uuid': sw.coreUuid,
    variables: {
      direction: 'outbound',
      originating_leg_uuid: call.uuid,
      billmsec: '3020',
      sip_hangup_disposition: 'recv_bye',
    },
    callflow: [{ caller_profile: { uuid: leg?.uuid }, times: { hangup_time: leg?.endedAt?.toString() } }],
  })
  t.match(documentOf(caller!), {
    variables: { direction: 'inbound', billmsec: '5040', current_application: 'answer', last_app: 'answer' },
    app_log: {
      applications: [
        { app_name: 'set', app_data: 'hangup_after_bridge=false' },
        { app_name: 'socket' },
        { app_name: 'bridge', app_data: carrier },
        { app_name: 'socket' },
        { app_name: 'answer' },
      ],
    },
  })
})

t.test('the documents of a call that was cancelled have the form of the recorded ones', async (t) => {
  const server = await cdrServer(t, () => 200)
  const sw = newSwitch(t, { urls: [server.url] })
  const { call, server: session } = await servedCall(
    t,
    sw,
    { farEnd: { ringsAfterMs: 0, callerCancelsAfterMs: 840 } },
    execute('bridge', carrier),
  )
  await session.until('CHANNEL_HANGUP_COMPLETE')
  session.send('exit\n\n')
  await call.ended
  const documents = new Map(server.posted.map((post) => [post.url.replace(/.*=/, ''), documentOf(post)]))
  sameShape(t, documents.get(call.legs[0]!.uuid)!, 'cancelled-called-leg')
  sameShape(t, documents.get(call.uuid)!, 'cancelled-caller-leg')
})

t.test('the document of a call that was only answered has the form of the recorded one', async (t) => {
  const server = await cdrServer(t, () => 200)
  const { call, server: session } = await servedCall(
    t,
    newSwitch(t, { urls: [server.url] }),
    { callerHangsUpAfterMs: 1860 },
    execute('answer', '') + execute('playback', 'tone_stream://%(300,0,800)'),
  )
  await session.until('CHANNEL_HANGUP_COMPLETE')
  session.send('exit\n\n')
  await call.ended
  sameShape(t, documentOf(server.posted[0]!), 'answered-caller-leg')
})

t.test('a document has the variables of the final event, those of the dial string too', async (t) => {
  const server = await cdrServer(t, () => 200)
  const sw = newSwitch(t, { urls: [server.url] })
  const port = await sw.listenInbound({ password: 'x' })
  const link = await dialIn(t, port, 'x', 'CHANNEL_HANGUP_COMPLETE')
  const call = await takenOverCall(t, sw, `[linger_leg=e30]${carrier}`)
  t.equal(server.posted.length, 2)
  for (const post of server.posted) {
    const uuid = post.url.replace(/.*=/, '')
    const event = await link.event('CHANNEL_HANGUP_COMPLETE', uuid)
    const ofEvent = [...event].flatMap(([name, value]) =>
      name.startsWith('variable_')
        ? [[name.slice('variable_'.length), typeof value === 'string' ? value : `ARRAY::${value.join('|:')}`]]
        : [],
    )
    const { variables } = documentOf(post)
    t.same(variables, Object.fromEntries(ofEvent))
    t.equal(variables.linger_leg, uuid === call.uuid ? undefined : 'e30')
  }
})

t.test('the final event waits for the document, and the channel stays in the list until then', async (t) => {
  const server = await cdrServer(t, () => undefined)
  const sw = newSwitch(t, { urls: [server.url], auth: 'linger:secret' })
  const port = await sw.listenInbound({ password: 'x' })
  const link = await dialIn(t, port, 'x', 'CHANNEL_HANGUP CHANNEL_HANGUP_COMPLETE')
  const call = sw.call({ ...parties, dialplan: [refuses] })
  const post = await server.next()
  t.equal(post.headers.authorization, `Basic ${Buffer.from('linger:secret').toString('base64')}`)
  await link.event('CHANNEL_HANGUP', call.uuid)
  t.equal(await link.api('show channels count'), '\n1 total.\n')
  t.equal(await link.api(`uuid_kill ${call.uuid}`), '-ERR No such channel!\n')
  t.notOk(link.names().includes('CHANNEL_HANGUP_COMPLETE'))
  post.answer(200)
  await link.event('CHANNEL_HANGUP_COMPLETE', call.uuid)
  t.equal(await link.api('show channels count'), '\n0 total.\n')
})

t.test('called legs have no document when they are not wanted', async (t) => {
  const server = await cdrServer(t, () => 200)
  const call = await takenOverCall(t, newSwitch(t, { urls: [server.url], logBLeg: false }))
  t.same(
    server.posted.map(({ url }) => url),
    [`/freeswitch/cdr?uuid=${call.uuid}`],
  )
})

t.test('a document that is refused goes to the next url, and those after it too', async (t) => {
  const away = await cdrServer(t, () => 503)
  const there = await cdrServer(t, () => 200)
  const sw = newSwitch(t, { urls: ['http://127.0.0.1:1/cdr', away.url, there.url], retries: 2 })
  await sw.call({ ...parties, dialplan: [refuses] }).ended
  await sw.call({ ...parties, dialplan: [refuses] }).ended
  t.same(
    sw.jsonCdr?.documents.map(({ statuses }) => statuses),
    [[0, 503, 200], [200]],
  )
  t.equal(there.posted.length, 2)
})

t.test('a document that nobody takes becomes a file, and the call ends', async (t) => {
  const refusing = await cdrServer(t, () => 500)
  const errLogDir = await temporaryFolder(t)
  const sw = newSwitch(t, { urls: [refusing.url], retries: 1, errLogDir })
  const { uuid } = await sw.call({ ...parties, dialplan: [refuses] }).ended
  t.equal(refusing.posted.length, 2)
  t.same(await readdir(errLogDir), [`${uuid}.cdr.json`])
  t.equal(await readFile(join(errLogDir, `${uuid}.cdr.json`), 'utf8'), `${refusing.posted[0]?.text}\n`)

  const marking = newSwitch(t, { urls: [refusing.url], errLogDir, prefixALeg: true })
  const marked = await takenOverCall(t, marking)
  t.ok((await readdir(errLogDir)).includes(`a_${marked.uuid}.cdr.json`))
  t.ok((await readdir(errLogDir)).includes(`${marked.legs[0]?.uuid}.cdr.json`), 'a called leg has no prefix')
})

t.test('a leg that outlives its caller has its document when it ends', async (t) => {
  const server = await cdrServer(t, () => 200)
  const { call, server: session } = await servedCall(
    t,
    newSwitch(t, { urls: [server.url] }),
    { farEnd: { answersAfterMs: 0, outlivesCaller: true } },
    execute('bridge', carrier),
  )
  await session.until('CHANNEL_BRIDGE')
  call.hangup()
  t.equal((await server.next()).url, `/freeswitch/cdr?uuid=${call.uuid}`)
  await call.hungUp
  t.equal(server.posted.length, 1)
  const [leg] = call.legs
  leg!.hangup()
  const post = await server.next()
  t.equal(post.url, `/freeswitch/cdr?uuid=${leg?.uuid}`)
  t.equal(documentOf(post).variables.end_uepoch, leg?.endedAt?.toString())
  session.close()
  await call.ended
})

t.test('a switch that dies breaks its posts off, and nothing more is told', async (t) => {
  const server = await cdrServer(t, () => undefined)
  const sw = newSwitch(t, { urls: [server.url], errLogDir: await temporaryFolder(t) })
  const port = await sw.listenInbound({ password: 'x' })
  const lost = sw.call({ ...parties, dialplan: [refuses] })
  await server.next()
  sw.restart()
  const link = await dialIn(t, port, 'x', 'CHANNEL_HANGUP_COMPLETE')
  const call = sw.call({ ...parties, dialplan: [refuses] })
  const post = await server.next()
  t.match(documentOf(post), { 'core-uuid': sw.coreUuid })
  post.answer(200)
  await link.event('CHANNEL_HANGUP_COMPLETE', call.uuid)
  t.notOk(link.frames.some(({ event }) => event?.get('Unique-ID') === lost.uuid))
  t.same(
    sw.jsonCdr?.documents.map(({ uuid }) => uuid),
    [call.uuid],
  )
})
