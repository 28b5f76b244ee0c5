import fc from 'fast-check'
import t from 'tap'
import { ProtocolError } from '../src/esl/errors.js'
import { Event } from '../src/esl/event.js'
import { HeaderList } from '../src/esl/header-list.js'
import { headerName, text } from './support/event-arbitraries.js'
import { collectGarbage, recordedFrames } from './support/wire.js'

const recordedJson = recordedFrames(({ contentType }) => contentType === 'text/event-json')

function headersOf(event: Event): (readonly [name: string, values: readonly string[]])[] {
  return [...event]
}

t.test('peek says what get says, of every header of every recorded event as FreeSWITCH spells it', (t) => {
  for (const { body } of recordedJson) {
    const names = [...Object.keys(JSON.parse(body) as object), 'variable_absent', 'Unique-I']
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

t.test('peek says what get says of the channel that `connect` answers with, and of plain events', (t) => {
  const heads = recordedFrames(({ head }) => head.startsWith('Event-Name: CHANNEL_DATA')).map(
    ({ head }) => head,
  )
  const bodies = recordedFrames(({ contentType }) => contentType === 'text/event-plain').map(
    ({ body }) => body,
  )
  t.ok(heads.length > 40 && bodies.length > 5)
  for (const plain of [...heads, ...bodies]) {
    const parsed = Event.fromPlain(plain)
    const names = [...headersOf(parsed).map(([name]) => name), 'Unique-I', 'nique-ID', 'variable_absent', '']
    const differing = names.filter((name) => Event.fromPlain(plain).peek(name) !== parsed.get(name))
    t.same(differing, [], parsed.name)
  }
  const twice = 'A: 1\nB: ARRAY%3A%3Ax%7C%3Ay\nA: 2\nContent-Length: 7\n\n\nC: in body'
  t.equal(Event.fromPlain(twice).peek('A'), '1')
  t.equal(Event.fromPlain(twice).peek('B'), 'x')
  t.equal(Event.fromPlain(twice).peek('C'), undefined, 'what looks like a header in the body is none')
  t.end()
})

t.test('pick says what peek says of each header, of every recorded event and channel', (t) => {
  const plain = recordedFrames(({ head, contentType }) => {
    return head.startsWith('Event-Name: CHANNEL_DATA') || contentType === 'text/event-plain'
  }).map(
    ({ head, body }) =>
      () =>
        Event.fromPlain(head.startsWith('Event-Name') ? head : body),
  )
  const json = recordedJson.map(
    ({ body }) =>
      () =>
        Event.fromJson(body),
  )
  for (const received of [...plain, ...json]) {
    const names = ['variable_absent', ...headersOf(received()).map(([name]) => name), 'Unique-I', 'nique-ID']
    const picked: Record<string, string | undefined> = received().pick(new HeaderList(names))
    const differing = names.filter((name) => picked[name] !== received().peek(name))
    t.same(differing, [], received().name)
  }
  t.ok(plain.length > 45 && json.length > 500)
  const twice = 'A: 1\nB: ARRAY%3A%3Ax%7C%3Ay\nA: 2\nContent-Length: 7\n\n\nC: in body'
  t.same(Event.fromPlain(twice).pick(new HeaderList(['A', 'B', 'C'])), { A: '1', B: 'x' })
  t.same(Event.fromJson('{"A":"1","A":"2"}').pick(new HeaderList(['A', 'B'])), { A: '1' })
  t.throws(() => Event.fromJson('{"A":"1').pick(new HeaderList(['A'])), ProtocolError)
  const made = new Event('X').push('A', '1').push('A', '2')
  t.match(made.pick(new HeaderList(['A', 'Event-Name', 'B'])), { A: '1', 'Event-Name': 'X', B: undefined })
  t.end()
})

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
          Event.fromJson(json).pick(new HeaderList(['A', name, 'x']))[name] === expected &&
          Event.fromJson(json).peek(name.toLowerCase()) === undefined
        )
      },
    ),
    { numRuns: 1000 },
  )
  t.end()
})

t.test('a line of a plain event that has no colon is no header, nor part of the next one', (t) => {
  const plain = 'no colon\n: no name\nA: 1\nno colon either'
  t.same(headersOf(Event.fromPlain(plain)), [['A', ['1']]])
  for (const name of ['no colon', 'no colon\n', '', 'no colon either'])
    t.equal(Event.fromPlain(plain).peek(name), undefined)
  t.equal(Event.fromPlain(plain).peek('A'), '1')
  t.end()
})

t.test(
  'peek of a plain event says what get says, whatever its lines hold, in whatever order it is asked',
  (t) => {
    const name = 'Application-UUID'
    const line = fc.oneof(
      fc.constantFrom(
        name,
        `${name}: `,
        `${name}: x`,
        `${name}:`,
        `x${name}: y`,
        `x: ${name}: y`,
        ': x',
        ':',
        '',
      ),
      fc.constantFrom(
        'Content-Length: 9',
        'A: %',
        'A: %0A',
        'A: ARRAY%3A%3Ax%7C%3Ay',
        'no colon',
        `\t${name}: z`,
      ),
      text,
    )
    fc.assert(
      fc.property(fc.array(line, { maxLength: 12 }), fc.boolean(), (lines, endsInLine) => {
        const plain = lines.join('\n') + (endsInLine ? '\n' : '')
        const parsed = Event.fromPlain(plain)
        const names = [...headersOf(parsed).map(([each]) => each), name, 'x', 'A', '', `${name}: x`]
        const asked = Event.fromPlain(plain)
        return [...names, ...names.reverse()].every((each) => {
          const [, [expected] = []] = headersOf(parsed).find(([header]) => header === each) ?? []
          const picked = each === '' || Event.fromPlain(plain).pick(new HeaderList([each]))[each] === expected
          return asked.peek(each) === expected && picked
        })
      }),
      { numRuns: 2000 },
    )
    t.end()
  },
)

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
    for (const name of ['__proto__', 'constructor', 'Unique-ID']) t.equal(read().peek(name), read().get(name))
    for (const name of ['unique-id', 'UNIQUE-ID'])
      t.equal(read().peek(name), undefined, 'peek does not look for other spellings')
    for (const [name, value] of [
      ['__proto__', 'p'],
      ['__PROTO__', 'p'],
      ['Constructor', 'c'],
      ['unique-id', 'u'],
      ['UNIQUE-ID', 'u'],
    ] as const) {
      t.equal(read().get(name), value)
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

t.test('a header that FreeSWITCH writes twice (Hangup-Cause, at the end) has one value, not two', (t) => {
  for (const event of [
    Event.fromPlain('A: 1\nB: 2\nA: 1'),
    Event.fromJson('{"A":"1","B":"2","A":"1"}'),
    Event.fromXml('<event><headers><A>1</A><B>2</B><A>1</A></headers></event>'),
  ]) {
    t.same(headersOf(event), [
      ['A', ['1']],
      ['B', ['2']],
    ])
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
  t.equal(event.name, 'X')
  t.equal(event.set('event-name', 'Y').name, 'Y')
  event.set('Event-Name', 'X')
  event.body = 'longer: é'
  t.equal(event.toJson(), '{"Event-Name":"X","A":"2","B":"3","Content-Length":"10","_body":"longer: é"}')
  t.equal(event.toPlain(), 'Event-Name: X\nA: 2\nB: 3\nContent-Length: 10\n\nlonger: é')
  t.match(event.toXml(), '<Content-Length>10</Content-Length>\n  <body>longer: é</body>')
  event.body = undefined
  t.equal(Event.fromJson(event.toJson()).body, undefined)
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
