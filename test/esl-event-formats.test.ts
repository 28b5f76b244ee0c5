import fc from 'fast-check'
import t, { type Test } from 'tap'
import { decodePercent, encodePercent, escapeXml, unescapeXml } from '../src/esl/encoding.js'
import { ProtocolError, UnsafeArgument } from '../src/esl/errors.js'
import { Event } from '../src/esl/event.js'
import { headerName, text } from './support/event-arbitraries.js'
import { headersIn, recordedFrames } from './support/wire.js'

const recordedJson = recordedFrames(({ contentType }) => contentType === 'text/event-json')
const recordedPlain = recordedFrames(({ contentType }) => contentType === 'text/event-plain')
const recordedXml = recordedFrames(({ contentType }) => contentType === 'text/event-xml')
const channelData = recordedFrames(({ head }) => head.startsWith('Event-Name: CHANNEL_DATA'))

function headersOf(event: Event): (readonly [name: string, values: readonly string[]])[] {
  return [...event]
}

/** One assertion for thousands of comparisons: the first that differs is shown. */
function allEqual(
  t: Test,
  pairs: Iterable<readonly [seen: string, expected: string]>,
  message: string,
): void {
  let count = 0
  for (const [seen, expected] of pairs) {
    if (seen !== expected) {
      t.equal(seen, expected, message)
      return
    }
    count++
  }
  t.ok(count > 0, message)
}

t.test('every recorded event is read and written again byte for byte', (t) => {
  // Of a header that is there twice (Hangup-Cause, in the final event) the second says the same.
  const json = recordedJson.map(
    ({ body }) => [body, body.replace(/("Hangup-Cause":"[A-Z_]+")(.*),\1/, '$1$2')] as const,
  )
  allEqual(
    t,
    json.map(([body, expected]) => [Event.fromJson(body).toJson(), expected]),
    'JSON',
  )
  allEqual(
    t,
    json.map(([body, expected]) => [Event.fromJson(Buffer.from(body)).toJson(), expected]),
    'JSON as bytes',
  )
  const plain = recordedPlain.map(({ body }) => {
    const lines = new Map(
      body
        .trimEnd()
        .split('\n')
        .map((line) => [line.split(':')[0], line]),
    )
    return [Event.fromPlain(body).toPlain(), [...lines.values(), '\n'].join('\n')] as const
  })
  allEqual(t, plain, 'plain')
  const xml = recordedXml.map(({ body }) => {
    const lines = body.split('\n')
    const isRepeated = (line: string, at: number) =>
      line.includes('<Hangup-Cause>') && lines.indexOf(line) < at
    const expected = lines.filter((line, at) => !isRepeated(line, at)).join('\n')
    return [Event.fromXml(body).toXml() + '\n', expected] as const
  })
  allEqual(t, xml, 'XML')
  allEqual(
    t,
    channelData.map(({ head }) => [Event.fromPlain(head).toPlain(), head + '\n\n']),
    'channel data',
  )
  t.end()
})

t.test('a recorded event says the same in each of the three formats', (t) => {
  const told = (event: Event) => {
    const headers = headersOf(event).filter(([name]) => name !== 'Content-Length')
    return JSON.stringify([headers, event.body])
  }
  const events = recordedJson.map(({ body }) => Event.fromJson(body))
  allEqual(
    t,
    events.map((event) => [told(Event.fromPlain(event.toPlain())), told(event)]),
    'plain',
  )
  allEqual(
    t,
    events.map((event) => [told(Event.fromXml(event.toXml())), told(event)]),
    'XML',
  )
  const values = recordedPlain.flatMap(({ body }) => {
    const event = Event.fromPlain(body)
    return [...headersIn(body)].map(([name, value]): [string, string] => {
      const values = event.getAll(name)
      return [values.length > 1 ? `ARRAY::${values.join('|:')}` : values.join(), value]
    })
  })
  allEqual(t, values, 'each header by another way than the code reads it')
  t.end()
})

t.test('the recorded channel of a call is read with its colons, quotes and several values', (t) => {
  const event = Event.fromPlain(channelData[0]!.head)
  t.equal(event.name, 'CHANNEL_DATA')
  t.match(event.get('Event-Date-Local'), /^2026-11-20 \d\d:\d\d:\d\d$/)
  t.match(event.get('variable_switch_r_sdp'), /^v=0\r\no=.* IN IP4 127\.0\.0\.1\r\n/)
  t.same(event.getAll('variable_DP_MATCH').length, 2)
  t.equal(event.get('Reply-Text'), '+OK\n')
  t.equal(Event.fromPlain('X: a: b: c').get('X'), 'a: b: c')
  t.equal(Event.fromPlain('X:a\nY:  b\nZ:').get('Y'), ' b', 'one blank belongs to the colon')
  t.equal(Event.fromPlain('X:a\nY:  b\nZ:').get('Z'), '')
  t.same(headersOf(Event.fromPlain('no colon\n: no name\nA: 1')), [['A', ['1']]])
  t.end()
})

const event = fc
  .record({
    headers: fc.uniqueArray(
      fc.tuple(headerName, fc.oneof(text, fc.array(text, { minLength: 1, maxLength: 4 }))),
      {
        selector: ([name]) => name.toLowerCase(),
        maxLength: 10,
      },
    ),
    body: fc.option(text, { nil: undefined }),
  })
  .map(({ headers, body }) => {
    const built = new Event()
    for (const [name, value] of headers) built.set(name, value)
    built.body = body
    return built
  })

/** What FreeSWITCH's own separators cannot tell apart in plain form. */
function isAmbiguous(made: Event): boolean {
  return headersOf(made).some(
    ([, values]) =>
      values[0]?.startsWith('ARRAY::') === true ||
      (values.length > 1 && values.some((value) => value.includes('|:') || value.endsWith('|'))),
  )
}

t.test('any event survives any format', (t) => {
  const same = (made: Event, read: Event) => {
    const headers = headersOf(read).filter(([name]) => name !== 'Content-Length')
    return JSON.stringify(headers) === JSON.stringify(headersOf(made)) && made.body === read.body
  }
  fc.assert(
    fc.property(event, (made) => {
      const json = Event.fromJson(made.toJson())
      json.get('nothing')
      return same(made, json) && same(made, Event.fromJson(Buffer.from(made.toJson())))
    }),
  )
  fc.assert(
    fc.property(event, (made) => isAmbiguous(made) || same(made, Event.fromPlain(made.toPlain()))),
    { numRuns: 300 },
  )
  fc.assert(
    fc.property(event, (made) => isAmbiguous(made) || same(made, Event.fromXml(made.toXml()))),
    { numRuns: 300 },
  )
  t.end()
})

t.test('a header may have several values, in each format its own way', (t) => {
  const event = new Event().set('A', ['x y', 'z']).set('B', '1')
  t.equal(event.toPlain(), 'A: ARRAY%3A%3Ax%20y%7C%3Az\nB: 1\n\n')
  t.equal(event.toJson(), '{"A":["x y","z"],"B":"1"}')
  t.match(event.toXml(), '    <A>x%20y</A>\n    <A>z</A>\n    <B>1</B>\n')
  for (const again of [
    Event.fromPlain(event.toPlain()),
    Event.fromPlain('A: ARRAY::x%20y|:z\nB: 1'),
    Event.fromJson(event.toJson()),
    Event.fromXml(event.toXml()),
  ]) {
    t.same(again.getAll('a'), ['x y', 'z'])
    t.equal(again.get('a'), 'x y')
    t.same(again.getAll('b'), ['1'])
  }
  t.end()
})

t.test('a body is kept as it is, and its length is in bytes', (t) => {
  for (const body of ['', 'plain', 'two\n\nblank lines\n', '<a href="x">&amp;</a>', '%41', 'é漢💡']) {
    const event = new Event('BACKGROUND_JOB')
    event.body = body
    t.equal(Event.fromPlain(event.toPlain()).body, body)
    t.equal(Event.fromJson(event.toJson()).body, body)
    t.equal(Event.fromXml(event.toXml()).body, body)
    const length = String(Buffer.byteLength(body))
    t.equal(Event.fromPlain(event.toPlain()).get('Content-Length'), length)
    t.equal(Event.fromJson(event.toJson()).get('Content-Length'), length)
  }
  const job = recordedJson.find(({ body }) => body.includes('BACKGROUND_JOB'))!
  t.match(Event.fromJson(job.body).body, /^UP 0 years/)
  t.equal(Event.fromPlain('Event-Name: X\n\nnot announced').body, undefined)
  t.equal(Event.fromJson('{"_body":5}').body, undefined)
  t.equal(Event.fromXml('<event><headers></headers><body/></event>').body, '')
  t.end()
})

t.test('broken escapes and bytes that are no text never throw', (t) => {
  const cases: [encoded: string, decoded: string][] = [
    ['%', '%'],
    ['100%', '100%'],
    ['%4', '%4'],
    ['%zz%41', '%zzA'],
    ['%%41', '%A'],
    ['%C3%A9', 'é'],
    ['%c3%a9', 'é'],
    ['%E9', '\ufffd'],
    ['%FF%FE', '\ufffd\ufffd'],
    ['é%E9', 'é\ufffd'],
    ['%ED%A0%80', '\ufffd\ufffd\ufffd'],
    ['%00', '\0'],
    ['a+b', 'a+b'],
  ]
  for (const [encoded, decoded] of cases) {
    t.equal(decodePercent(encoded), decoded)
    t.equal(Event.fromPlain(`A: ${encoded}`).get('A'), decoded)
    t.equal(Event.fromXml(`<event><headers><A>${encoded}</A></headers></event>`).get('A'), decoded)
  }
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      const said = Buffer.from(bytes).toString()
      decodePercent(said)
      unescapeXml(said)
      for (const [name] of Event.fromPlain(said)) Event.fromPlain(said).get(name)
      Event.fromXml(`${said}</headers>${said}`).get('A')
      const json = Event.fromJson(Buffer.concat([Buffer.from('{"A":"'), bytes, Buffer.from('"}')]))
      try {
        json.get('A')
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error
      }
    }),
    { numRuns: 500 },
  )
  fc.assert(fc.property(text, (value) => decodePercent(encodePercent(value)) === value))
  fc.assert(fc.property(text, (value) => unescapeXml(escapeXml(value)) === value))
  t.end()
})

t.test('XML is read with its entities and its empty elements', (t) => {
  const event = Event.fromXml(
    '<event>\n  <headers>\n    <A>&lt;%22&quot;&apos;&#65;&#x42;&#xD;&amp;lt;</A>\n    <B/>\n    <C></C>\n  </headers>\n' +
      '  <Content-Length>3</Content-Length>\n  <body>&#1114112;&nothing;</body>\n</event>',
  )
  t.equal(event.get('A'), '<""\'AB\r&lt;')
  t.equal(event.get('B'), '')
  t.equal(event.get('C'), '')
  t.equal(event.body, '\ufffd&nothing;')
  t.throws(() => Event.fromXml('<event>'), ProtocolError)
  t.end()
})

t.test('a header name that would be read as something else is not written', (t) => {
  for (const name of ['A\nB: 1', 'A\rB', 'A\0', 'A:B', '']) {
    t.throws(() => new Event().set(name, '1').toPlain(), UnsafeArgument)
  }
  for (const name of ['A B', 'A>', '<A', 'A/', '']) {
    t.throws(() => new Event().set(name, '1').toXml(), UnsafeArgument)
  }
  t.equal(Event.fromJson(new Event().set('A\n":', '1').toJson()).get('A\n":'), '1')
  t.end()
})
