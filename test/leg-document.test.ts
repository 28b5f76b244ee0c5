import fc from 'fast-check'
import t from 'tap'
import { calledLeg } from '../src/call/legs/called-leg.js'
import { channelFacts } from '../src/call/facts.js'
import { fromJsonCdr } from '../src/call/watch/json-cdr-document.js'
import {
  afterBridgeHeader,
  callsOf,
  DocumentError,
  documentFromText,
  documentText,
  fromHangupComplete,
  type LegDocument,
} from '../src/call/legs/leg-document.js'
import { secondRecord } from '../src/call/watch/second-record.js'
import { encodeLegState } from '../src/call/state.js'
import { callFacts } from '../src/call/legs/transferred-leg.js'
import { Event } from '../src/esl/event.js'
import type { HeaderList, Picked } from '../src/esl/header-list.js'
import { Catalog } from '../src/store/catalog.js'
import { documentIn } from '../src/switch/cdr-text.js'
import { recordedCdr } from './support/cdr-documents.js'
import { logLines } from './support/log-lines.js'
import { recorded } from './support/recorded.js'
import { testDatabase } from './support/services.js'

/** What a switch says of a leg that is over, and what of it is kept. */

const recordings = [
  'answered-caller-leg',
  'not-bridged-short',
  'cancelled-caller-leg',
  'cancelled-called-leg',
  'after-takeover-caller-leg',
  'after-takeover-called-leg',
]

function headers({ event }: LegDocument): Record<string, string> {
  return Object.fromEntries([...event].map(([name, [value = '']]) => [name, value]))
}

function finalEvent(transcript: string): Event {
  return recorded(transcript).events.find(({ name }) => name === 'CHANNEL_HANGUP_COMPLETE')!
}

t.test('a recorded document says whose leg it is, and from when to when it was up', async (t) => {
  const caller = documentIn(recordedCdr('after-takeover-caller-leg'))
  const called = documentIn(recordedCdr('after-takeover-called-leg'))
  t.match(caller, { source: 'json_cdr', uuid: 'd8a2a3af-85de-4bc3-b469-f286d0465ee8' })
  t.equal(caller.callUuid, caller.uuid)
  t.match(called, { uuid: '3c8c77a3-b5e4-4538-8ebd-de0bcf65c911', callUuid: caller.uuid })
  t.match(channelFacts(caller.event), {
    callerNumber: '0912406496',
    calledNumber: '770901234567',
    switchName: 'vm',
    sipCallId: '1-3932@127.0.0.1',
    profile: 'internal',
    createdAt: 1795207538128768,
    answeredAt: 1795207538168765,
  })
  // The second `socket` action, 39 ms after the far end had hung up.
  t.equal(caller.event.peek(afterBridgeHeader), '1795207541207436')
  t.match(headers(called), {
    variable_answer_uepoch: '1795207538148748',
    variable_end_uepoch: '1795207541168752',
    'Other-Leg-Destination-Number': '770901234567',
  })
})

for (const [document, transcript] of [
  ['answered-caller-leg', 'one-write-handshake'],
  ['cancelled-caller-leg', 'caller-cancels-while-ringing'],
  ['after-takeover-caller-leg', 'takeover-after-bridge-2'],
] as const)
  t.test(`${document} says the same as the final event of the same call`, async (t) => {
    const posted = headers(documentIn(recordedCdr(document)))
    const told = fromHangupComplete(finalEvent(transcript))!
    t.equal(told.source, 'link')
    for (const [name, value] of Object.entries(headers(told))) {
      // A document has no date of its own, no privacy, and the other leg of a called one only.
      if (/^(Event-Date-Timestamp|Caller-Privacy-Hide-Number|Other-Leg-.*)$/.test(name)) continue
      t.equal(posted[name], value, name)
    }
  })

t.test('a channel whose first packet has no date came at no known time, not in 1970', async (t) => {
  const { arrivedAt } = channelFacts(new Event('CHANNEL_DATA').set('Unique-ID', 'call'))
  t.equal(arrivedAt, undefined)
})

t.test('of a call that was transferred the number counts that was dialled first', async (t) => {
  const json = JSON.parse(recordedCdr('answered-caller-leg')) as { callflow: Record<string, unknown>[] }
  const [first] = json.callflow
  const later = { ...first, caller_profile: { destination_number: '1234', caller_id_number: '0912406496' } }
  t.equal(channelFacts(fromJsonCdr({ ...json, callflow: [later, first] }).event).calledNumber, '0901234567')
})

t.test('however mod_json_cdr was told to write it, it says the same', async (t) => {
  for (const name of recordings) {
    const text = recordedCdr(name)
    const plain = headers(documentIn(text))
    const json = JSON.parse(text) as { variables: Record<string, string> }
    const variables = Object.fromEntries(
      Object.entries(json.variables).map(([name, value]) => [name, encodeURIComponent(value)]),
    )
    t.same(headers(documentIn(JSON.stringify({ ...json, variables }))), plain, `${name}: encode-values`)
    t.same(headers(documentIn(`cdr=${encodeURIComponent(text)}`)), plain, `${name}: encode, posted`)
    t.same(headers(documentIn(`${encodeURIComponent(text)}\n`)), plain, `${name}: encode, saved`)
    const base64 = Buffer.from(text).toString('base64')
    t.same(headers(documentIn(`cdr=${base64}`)), plain, `${name}: base64, posted`)
    t.same(headers(documentIn(`${base64}\n`)), plain, `${name}: base64, saved`)
  }
})

t.test('the journal gives a document back as it took it', async (t) => {
  for (const name of recordings) {
    const document = documentIn(recordedCdr(name))
    const back = documentFromText(documentText(document))
    t.same({ ...back, event: headers(back) }, { ...document, event: headers(document) })
    t.ok(documentText(document).length < 4_096, 'and not all of its 9 kB')
  }
  t.throws(() => documentFromText('{"v":2}'), { name: 'DocumentError', message: /version 2/ })
  t.throws(() => documentFromText('{'), { name: 'DocumentError' })
})

t.test(
  'a leg that was transferred to a dialplan tells of two calls: its caller’s, and its own since then',
  async (t) => {
    const leg = {
      callUuid: 'caller',
      tenant: 'demo',
      attempt: { id: 'a', target: 'gateway:carrier1', number: '84901234567' },
    }
    const linger_leg = encodeLegState({
      ...leg,
      attempt: { ...leg.attempt, gateway: undefined, rate: undefined },
    })
    const final = finalEvent('refer-by-caller-2')
    const uuid = final.get('Unique-ID')
    const calls = (event: Event): (string | undefined)[] =>
      callsOf(fromHangupComplete(event)).map(({ callUuid }) => callUuid)
    final.set('variable_linger_leg', linger_leg).set('variable_current_application', 'socket')
    t.same(calls(final), ['caller', uuid], 'a server had it: it was accepted, and that is all that is known')
    final.set('variable_current_application', 'conference')
    t.same(calls(final), ['caller'], 'no server had it')
    final.set('variable_linger_left_1', '1795213208566081')
    t.same(calls(final), ['caller', uuid], 'it has been at a socket of ours')

    // mod_json_cdr: what it was for last comes first.
    const json = JSON.parse(recordedCdr('after-takeover-called-leg')) as {
      variables: object
      callflow: object[]
    }
    const later = {
      caller_profile: { caller_id_number: '84901234567', destination_number: '1001' },
      times: { profile_created_time: '1795207539000000' },
    }
    const variables = { ...json.variables, linger_leg, linger_call: 'x' }
    const [first, own] = callsOf(fromJsonCdr({ ...json, variables, callflow: [later, ...json.callflow] }))
    t.equal(first?.event.peek('Caller-Destination-Number'), '84901234567')
    t.match(callFacts(own!.event), {
      uuid: own!.uuid,
      callerNumber: '84901234567',
      calledNumber: '1001',
      createdAt: 1795207539000000,
      transferredFrom: 'caller',
    })
    const back = documentFromText(documentText(own!), own!.uuid)
    t.same(
      { ...back, event: headers(back) },
      { ...own, event: headers(own!) },
      'the journal gives it back as such',
    )
  },
)

t.test('what is no document of a leg is refused in one line, whatever it is', async (t) => {
  for (const text of [
    '',
    'null',
    '[]',
    '"cdr="',
    '{}',
    '{"variables":[]}',
    '{"variables":{"uuid":"x"}}',
    '%7B%',
    'eyJ',
  ])
    t.throws(() => documentIn(text), { name: 'DocumentError', message: /^[^\n]+$/ })
  const isRefused = (read: () => unknown): boolean => {
    try {
      read()
      return true
    } catch (error) {
      return error instanceof DocumentError
    }
  }
  const whole = JSON.parse(recordedCdr('after-takeover-caller-leg')) as Record<string, unknown>
  fc.assert(
    fc.property(fc.jsonValue(), fc.string(), (json, text) => {
      return isRefused(() => fromJsonCdr(json)) && isRefused(() => documentIn(text))
    }),
  )
  // One value of a real one replaced by any other.
  fc.assert(
    fc.property(fc.constantFrom(...paths(whole)), fc.jsonValue(), (path, value) => {
      return isRefused(() => fromJsonCdr(replaced(whole, path, value)))
    }),
  )
})

t.test('a value as long as a caller likes is not kept as long', async (t) => {
  const json = JSON.parse(recordedCdr('answered-caller-leg')) as { variables: Record<string, string> }
  const long = 'x'.repeat(500_000)
  const variables = { ...json.variables, sip_user_agent: long, sip_call_id: long, unheard_of: long }
  t.ok(documentText(fromJsonCdr({ ...json, variables })).length < 8_192)
  t.throws(() => fromJsonCdr({ ...json, variables: { ...variables, uuid: long } }), DocumentError)
})

t.test('an event that is not the last one, or says no times, is none', async (t) => {
  t.equal(fromHangupComplete(new Event('CHANNEL_HANGUP')), undefined)
  t.equal(fromHangupComplete(new Event('CHANNEL_HANGUP_COMPLETE').set('Unique-ID', 'x')), undefined)
})

t.test('everything that is read of a final event is kept of it', async (t) => {
  const database = await testDatabase(t)
  const catalog = await Catalog.load(database.pool, { log: logLines().log })
  t.teardown(() => catalog.close())
  const read = new Set<string>()
  class Watched extends Event {
    override peek(name: string): string | undefined {
      read.add(name)
      return super.peek(name)
    }
    override pick<Name extends string>(list: HeaderList<Name>): Picked<Name> {
      for (const name of list.names) read.add(name)
      return super.pick(list)
    }
  }
  const watched = (name: string): LegDocument => {
    const document = documentIn(recordedCdr(name))
    const event = new Watched('CHANNEL_HANGUP_COMPLETE')
    for (const [name, values] of document.event) event.set(name, values)
    return { ...document, event }
  }
  const documents = ['after-takeover-caller-leg', 'after-takeover-called-leg'].map(watched)
  const options = { catalog, trustedProfiles: new Set<string>(), defaultCountry: 'VN' as const }
  const callUuid = documents[0]!.callUuid
  for (const told of [documents, documents.slice(1)])
    secondRecord({ callUuid, documents: told, open: undefined }, options)
  for (const { event } of documents) calledLeg(event)
  t.ok(read.size > 30)
  const event = new Event('CHANNEL_HANGUP_COMPLETE')
  for (const name of read) event.set(name, 'x')
  for (const name of ['start', 'end']) event.set(`variable_${name}_uepoch`, '1795207538128768')
  const kept = headers(fromHangupComplete(event)!)
  for (const name of read) t.ok(name in kept, name)
})

function paths(json: unknown, path: readonly string[] = []): (readonly string[])[] {
  if (typeof json !== 'object' || json === null) return [path]
  return [path, ...Object.entries(json).flatMap(([name, value]) => paths(value, [...path, name]))]
}

function replaced(json: unknown, [name, ...path]: readonly string[], value: unknown): unknown {
  if (name === undefined) return value
  if (Array.isArray(json))
    return json.map((each: unknown, i) => (String(i) === name ? replaced(each, path, value) : each))
  const object = json as Record<string, unknown>
  return { ...object, [name]: replaced(object[name], path, value) }
}
