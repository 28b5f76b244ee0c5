import fc from 'fast-check'
import t, { type Test } from 'tap'
import { decodePercent, encodePercent, escapeXml, unescapeXml } from '../src/esl/encoding.js'
import { ProtocolError, UnsafeArgument } from '../src/esl/errors.js'
import { Event } from '../src/esl/event.js'
import { bytesOf, collectGarbage, framesIn, headersIn, transcripts, type WireFrame } from './support/wire.js'

type Headers = (readonly [name: string, values: readonly string[]])[]

const recorded: (WireFrame & { in: string })[] = transcripts.flatMap((transcript) =>
  framesIn(bytesOf(transcript)).map((frame) => ({ ...frame, in: transcript.name })),
)
const recordedJson = recorded.filter(({ contentType }) => contentType === 'text/event-json')
const recordedPlain = recorded.filter(({ contentType }) => contentType === 'text/event-plain')
const recordedXml = recorded.filter(({ contentType }) => contentType === 'text/event-xml')
const channelData = recorded.filter(({ head }) => head.startsWith('Event-Name: CHANNEL_DATA'))

function headersOf(event: Event): Headers {
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

t.test('peek says what get says, of every header of every recorded event', (t) => {
  for (const { body } of recordedJson) {
    const names = [...Object.keys(JSON.parse(body) as object), 'variable_absent', 'unique-id', 'Unique-I']
    const parsed = Event.fromJson(body)
    parsed.get('Event-Name')
    const differing = names.filter(
      (name) => name !== '_body' && Event.fromJson(body).peek(name) !== parsed.get(name),
    )
    if (differing.length > 0) t.fail(`${parsed.name}: ${differing.join(', ')}`)
  }
  t.ok(recordedJson.length > 500)
  t.end()
})

const headerName = fc.oneof(
  fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_.-]{0,20}$/),
  fc.constantFrom(
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
    'Unique-ID',
    'variable_sip_h_X-A',
  ),
)
const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({
    unit: fc.constantFrom('%', '4', '1', '"', '\\', ',', ':', '{', '\n', '\0', 'é', '漢', '💡', '|'),
  }),
)

t.test('peek is not taken in by what a caller can write into a value', (t) => {
  const name = 'Application-UUID'
  const hostile = fc.oneof(
    fc.constantFrom(
      `,"${name}":"x"`,
      `{"${name}":"x"`,
      `\\",\\"${name}\\":\\"x`,
      `x","${name}":"y`,
      `\\`,
      `\\\\`,
      `"`,
      `"${name}"`,
      `"${name}":"`,
      name,
    ),
    text,
  )
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.oneof(headerName, hostile), fc.oneof(hostile, fc.array(hostile))), {
        maxLength: 8,
      }),
      fc.constantFrom(undefined, 'real', 'with "quotes"', '\\', 'é', ''),
      fc.nat(8),
      fc.boolean(),
      (others, real, at, isSpaced) => {
        // Two keys alike are told apart elsewhere: here the first would be seen by one, the last by the other.
        const entries: [string, unknown][] = others.filter(
          ([key]) => key.toLowerCase() !== name.toLowerCase(),
        )
        if (real !== undefined) entries.splice(at, 0, [name, real])
        const json = JSON.stringify(Object.fromEntries(entries), undefined, isSpaced ? 1 : undefined)
        const expected = Event.fromJson(json).get(name)
        return (
          expected === real &&
          Event.fromJson(json).peek(name) === expected &&
          Event.fromJson(Buffer.from(json)).peek(name) === expected &&
          Event.fromJson(json).peek(name.toLowerCase()) === expected
        )
      },
    ),
    { numRuns: 1000 },
  )
  t.equal(Event.fromJson(String.raw`{"Event\u002dName":"X"}`).peek('Event-Name'), 'X', 'an escaped key')
  t.equal(Event.fromJson(String.raw`{"a\/b":"X"}`).peek('a/b'), 'X')
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

t.test('header names are found without regard to case, and never reach an object of their own', (t) => {
  const json = '{"__proto__":"p","constructor":"c","Unique-ID":"u"}'
  const plain = '__proto__: p\nconstructor: c\nUnique-ID: u\n'
  const xml =
    '<event><headers><__proto__>p</__proto__><constructor>c</constructor><Unique-ID>u</Unique-ID></headers></event>'
  for (const read of [
    () => Event.fromJson(json),
    () => Event.fromPlain(plain),
    () => Event.fromXml(xml),
    () => new Event().set('__proto__', 'p').set('constructor', 'c').set('Unique-ID', 'u'),
  ]) {
    for (const [name, value] of [
      ['__proto__', 'p'],
      ['__PROTO__', 'p'],
      ['Constructor', 'c'],
      ['unique-id', 'u'],
      ['UNIQUE-ID', 'u'],
    ] as const) {
      t.equal(read().get(name), value)
      t.equal(read().peek(name), value)
      t.same(read().getAll(name), [value])
      t.equal(read().has(name), true)
    }
    for (const name of ['toString', 'hasOwnProperty', 'valueOf', '__defineGetter__', 'Unique-I', '']) {
      t.equal(read().get(name), undefined)
      t.equal(read().peek(name), undefined)
      t.same(read().getAll(name), [])
      t.equal(read().has(name), false)
      t.equal(read().delete(name), false)
    }
    t.equal(headersOf(read()).length, 3)
  }
  t.equal(({} as Record<string, unknown>).p, undefined)
  t.end()
})

t.test(
  'of two spellings of a name, the one that is asked for answers, before and after taking apart',
  (t) => {
    for (const read of [
      () => Event.fromJson('{"Foo":"1","foo":"2"}'),
      () => Event.fromPlain('Foo: 1\nfoo: 2'),
    ]) {
      const later = read()
      t.equal(headersOf(later).length, 2)
      for (const event of [read(), later]) {
        t.equal(event.get('Foo'), '1')
        t.equal(event.get('foo'), '2')
        t.equal(event.get('FOO'), '2', 'the last one, as of a header that is written twice')
      }
      t.equal(later.delete('FOO'), true)
      t.same(headersOf(later), [])
    }
    t.end()
  },
)

t.test('a header that is written twice has its last value, not two', (t) => {
  for (const event of [
    Event.fromPlain('A: 1\nB: 2\nA: 3'),
    Event.fromJson('{"A":"1","B":"2","A":"3"}'),
    Event.fromXml('<event><headers><A>1</A><B>2</B><A>3</A></headers></event>'),
  ]) {
    t.same(headersOf(event), [
      ['A', ['3']],
      ['B', ['2']],
    ])
  }
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

t.test('an event is built header by header', (t) => {
  const event = new Event('CUSTOM')
  event.set('Event-Subclass', 'linger::call').push('List', 'b').push('list', 'c').unshift('LIST', 'a')
  t.equal(event.name, 'CUSTOM')
  t.same(headersOf(event), [
    ['Event-Name', ['CUSTOM']],
    ['Event-Subclass', ['linger::call']],
    ['List', ['a', 'b', 'c']],
  ])
  event.set('event-subclass', 'other').set('Many', ['1', '2'])
  t.same(headersOf(event)[1], ['Event-Subclass', ['other']], 'replaced where it stands')
  t.equal(event.delete('LIST'), true)
  t.equal(event.delete('LIST'), false)
  event.set('Many', [])
  t.same(headersOf(event), [
    ['Event-Name', ['CUSTOM']],
    ['Event-Subclass', ['other']],
  ])
  t.equal(headersOf(new Event()).length, 0)
  t.equal(new Event().name, '')
  const values = ['1']
  const copied = new Event().set('A', values)
  values.push('2')
  t.same(copied.getAll('A'), ['1'], 'what is given is copied')
  t.end()
})

t.test('a received event can be changed, and is then written as changed', (t) => {
  const event = Event.fromJson('{"Event-Name":"X","A":"1","Content-Length":"2","_body":"hi"}')
  t.equal(event.body, 'hi')
  event.set('a', '2').push('B', '3')
  event.body = 'longer: é'
  t.equal(event.toJson(), '{"Event-Name":"X","A":"2","B":"3","Content-Length":"10","_body":"longer: é"}')
  t.equal(event.toPlain(), 'Event-Name: X\nA: 2\nB: 3\nContent-Length: 10\n\nlonger: é')
  t.match(event.toXml(), '<Content-Length>10</Content-Length>\n  <body>longer: é</body>')
  event.body = undefined
  t.equal(Event.fromJson(event.toJson()).body, undefined)
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

t.test('what is no JSON object is a ProtocolError when it is read, never earlier', (t) => {
  for (const source of ['', '{', '[]', '"text"', 'null', '1', '{"Event-Name":"X",}', '\0', '[{"A":"1"}]']) {
    for (const event of [Event.fromJson(source), Event.fromJson(Buffer.from(source))]) {
      t.throws(() => event.get('A'), ProtocolError)
      t.throws(() => event.getAll('A'), ProtocolError)
      t.throws(() => [...event], ProtocolError)
      t.throws(() => event.body, ProtocolError)
      t.throws(() => event.toPlain(), ProtocolError, 'and again')
    }
  }
  const odd = Event.fromJson('{"n":1,"t":true,"z":null,"o":{"a":1},"list":["a",2,["b"]],"empty":[]}')
  t.same(
    ['n', 't', 'z', 'o', 'list', 'empty'].map((name) => odd.get(name)),
    ['1', 'true', '', '{"a":1}', 'a', undefined],
  )
  t.same(headersOf(odd).at(-1), ['list', ['a', '2', 'b']])
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

t.test('a value that outlives its event does not keep the rest of it in memory', (t) => {
  const idOf = (id: string) =>
    Event.fromPlain(`Unique-ID: ${id}\nFiller: ${'x'.repeat(100_000)}`).get('Unique-ID')
  collectGarbage()
  const before = process.memoryUsage().heapUsed
  const ids = Array.from({ length: 200 }, (_, index) => idOf(`${index}-aaaa-bbbb-cccc-dddddddddddd`))
  collectGarbage()
  t.ok(process.memoryUsage().heapUsed - before < 10_000_000)
  t.equal(new Set(ids).size, 200)
  t.end()
})
