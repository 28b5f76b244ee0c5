import fc from 'fast-check'
import t from 'tap'
import * as command from '../src/esl/command.js'
import type { Command } from '../src/esl/command.js'
import { UnsafeArgument } from '../src/esl/errors.js'

const uuid = '53a8d2ce-3ebf-43c8-8d71-099e3e0b6d90'

t.test('what could split a command, or be expanded in it, is refused', (t) => {
  const unsafe: [why: string, make: () => Command][] = [
    ['LF', () => command.execute('playback', 'a\nb')],
    ['CR', () => command.execute('playback', 'a\rb')],
    ['NUL', () => command.execute('playback', 'a\0b')],
    ['LF in a body', () => command.execute('set', 'a=b\nc', { asBody: true })],
    ['an expansion', () => command.execute('playback', '${system(reboot)}')],
    ['a global one', () => command.execute('playback', '$${domain}')],
    ['one that a backslash does not protect', () => command.execute('playback', '\\${uuid}')],
    ['one in a body', () => command.execute('set', 'a=${system(reboot)}', { asBody: true })],
    ['LF where $ is allowed', () => command.execute('set', 'a=${b}\n\nexit', { expands: true })],
    ['an application of two words', () => command.execute('playback a.wav')],
    ['no application', () => command.execute('')],
    ['a uuid that brings a header', () => command.hangup('USER_BUSY', `${uuid}\nhangup-cause: NONE`)],
    ['a cause that brings a command', () => command.hangup('USER_BUSY\n\nexit')],
    ['an api argument of two words', () => command.api('uuid_transfer', [uuid, '1000 XML default'])],
    ['a quoted one', () => command.api('uuid_setvar', [uuid, 'a', "'b"])],
    ['an empty one', () => command.api('uuid_setvar', [uuid, 'a', ''])],
    ['an expansion in one', () => command.api('uuid_setvar', [uuid, 'a', '${b}'])],
    ['an escape sequence in one', () => command.api('uuid_setvar', [uuid, 'a', '\u001b[31m'])],
    ['a blank of another alphabet', () => command.api('uuid_kill', ['a\u00a0b'])],
    ['a job id that brings a command', () => command.bgapi('status', [], 'a\n\nexit')],
    ['no event names', () => command.event('json', [])],
    ['an event name of two lines', () => command.event('json', ['ALL\n\nexit'])],
    ['a filter that deletes', () => command.filter('Delete', 'all')],
    ['a filter that adds', () => command.filter('add', 'Event-Name')],
    ['a filter on nothing', () => command.filter('Event-Name', ' ')],
    ['a filter that expands', () => command.filter('Event-Name', '${uuid}')],
    ['a header that is two', () => command.sendevent('CUSTOM', { 'a: b': 'c' })],
    ['a header that ends early', () => command.sendevent('CUSTOM', { 'a:': 'c' })],
    ['a header value of two lines', () => command.sendevent('CUSTOM', { a: 'b\nc: d' })],
    ['a header value that expands', () => command.sendevent('CUSTOM', { a: '${b}' })],
    ['a body that would swallow what follows', () => command.sendevent('CUSTOM', { 'Content-Length': '9' })],
    ['a second length', () => command.sendevent('CUSTOM', { 'content-length': '9' }, 'body')],
    ['NUL in an event body', () => command.sendevent('CUSTOM', {}, 'a\0')],
    ['a variable of two words', () => command.getvar('a b')],
    ['a broken number of seconds', () => command.linger(1.5)],
    ['no number', () => command.linger(NaN)],
    ['a negative number', () => command.log(-1)],
    ['a number in other notation', () => command.execute('answer', '', { loops: 1e21 })],
  ]
  for (const [why, make] of unsafe) t.throws(make, UnsafeArgument, why)
  t.throws(
    () => command.execute('set', `${'x'.repeat(500)}\n`),
    { message: /^.{50,200}$/ },
    'the error quotes it cut, on one line',
  )
  t.end()
})

interface Understood {
  readonly line: string
  readonly headers: readonly [name: string, value: string][]
  readonly body: string
}

/** How mod_event_socket takes bytes apart: any CR and LF ends a line, two ends a head, a length makes a body. */
function understood(text: string): Understood[] {
  const commands: Understood[] = []
  let rest = Buffer.from(text)
  while (rest.length > 0) {
    const end = /\r?\n\r?\n/.exec(rest.toString('latin1'))
    if (end === null) return [...commands, { line: rest.toString(), headers: [], body: 'unfinished' }]
    const [line = '', ...lines] = rest.toString('utf8', 0, end.index).split(/[\r\n\0]+/)
    const headers = lines.map((each): [string, string] => {
      const [, name = each, value = ''] = /^([^:]*):(.*)$/s.exec(each) ?? []
      return [name, value]
    })
    const length = headers.find(([name]) => name.toLowerCase() === 'content-length')?.[1] ?? '0'
    const bodyStart = end.index + end[0].length
    const bodyEnd = bodyStart + Number(length)
    commands.push({ line, headers, body: rest.toString('utf8', bodyStart, bodyEnd) })
    rest = rest.subarray(bodyEnd)
  }
  return commands
}

const piece = fc.constantFrom(
  '\n',
  '\r',
  '\0',
  '\n\n',
  '$',
  '${x}',
  ' ',
  ':',
  ': ',
  'exit',
  'content-length: 9',
  'é',
  "'",
)
const anything = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'grapheme' }),
  fc.array(fc.oneof(piece, fc.string({ maxLength: 3 })), { maxLength: 6 }).map((parts) => parts.join('')),
)
const word = fc.oneof(anything, fc.stringMatching(/^[\w:@./#*+-]{1,20}$/))

type Meant = readonly [make: () => Command, meant: Understood]

function sendmsg(uuid: string | undefined, headers: [string, string][], body = ''): Understood {
  const line = uuid === undefined ? 'sendmsg' : `sendmsg ${uuid}`
  return { line, headers: headers.map(([name, value]) => [name, ` ${value}`]), body }
}

const anyCommand: fc.Arbitrary<Meant> = fc.oneof(
  fc
    .record({
      application: word,
      argument: anything,
      uuid: fc.option(word, { nil: undefined }),
      eventUuid: word,
      isBody: fc.boolean(),
    })
    .map(({ application, argument, uuid, eventUuid, isBody }): Meant => {
      const options = { eventUuid, asBody: isBody, ...(uuid !== undefined && { uuid }) }
      const length = String(Buffer.byteLength(argument))
      const start: [string, string][] = [
        ['call-command', 'execute'],
        ['execute-app-name', application],
      ]
      const inLine: [string, string][] = argument === '' || isBody ? [] : [['execute-app-arg', argument]]
      const inBody: [string, string][] =
        argument === '' || !isBody
          ? []
          : [
              ['content-type', 'text/plain'],
              ['content-length', length],
            ]
      return [
        () => command.execute(application, argument, options),
        sendmsg(uuid, [...start, ...inLine, ['Event-UUID', eventUuid], ...inBody], isBody ? argument : ''),
      ]
    }),
  fc.tuple(word, word).map(([cause, uuid]): Meant => [
    () => command.hangup(cause, uuid),
    sendmsg(uuid, [
      ['call-command', 'hangup'],
      ['hangup-cause', cause],
    ]),
  ]),
  fc
    .tuple(word, fc.array(word, { maxLength: 4 }))
    .map(([name, args]): Meant => [
      () => command.api(name, args),
      { line: ['api', name, ...args].join(' '), headers: [], body: '' },
    ]),
  fc
    .tuple(word, word, word)
    .map(([name, arg, job]): Meant => [
      () => command.bgapi(name, [arg], job),
      { line: `bgapi ${name} ${arg}`, headers: [['Job-UUID', ` ${job}`]], body: '' },
    ]),
  fc
    .tuple(word, anything)
    .map(([header, value]): Meant => [
      () => command.filter(header, value),
      { line: `filter ${header} ${value}`, headers: [], body: '' },
    ]),
  fc
    .array(word, { minLength: 1, maxLength: 4 })
    .map((names): Meant => [
      () => command.event('json', names),
      { line: `event json ${names.join(' ')}`, headers: [], body: '' },
    ]),
  word.map((name): Meant => [() => command.getvar(name), { line: `getvar ${name}`, headers: [], body: '' }]),
  fc.tuple(word, word, anything, anything).map(([name, header, value, body]): Meant => [
    () => command.sendevent(name, { [header]: value }, body),
    {
      line: `sendevent ${name}`,
      headers: [
        [header, ` ${value}`],
        ['content-length', ` ${Buffer.byteLength(body)}`],
      ],
      body,
    },
  ]),
)

t.test(
  'whatever is in an argument, FreeSWITCH reads the one command that was meant, or gets nothing',
  (t) => {
    let refused = 0
    let written = 0
    fc.assert(
      fc.property(anyCommand, ([make, meant]) => {
        let text: string
        try {
          text = make().text
        } catch (error) {
          if (!(error instanceof UnsafeArgument)) throw error
          refused++
          return true
        }
        written++
        const [first, exit, ...more] = understood(text + command.exit().text)
        const head = text.slice(0, text.indexOf('\n\n'))
        return (
          JSON.stringify(first) === JSON.stringify(meant) &&
          exit?.line === 'exit' &&
          more.length === 0 &&
          !head.includes('$')
        )
      }),
      { numRuns: 5000 },
    )
    t.ok(refused > 500 && written > 500, `${refused} refused, ${written} written`)
    t.end()
  },
)

t.test('$ is let through only where the caller of the function wrote it', (t) => {
  fc.assert(
    fc.property(anything, (argument) => {
      try {
        return !command.execute('set', argument).text.includes('$')
      } catch (error) {
        return error instanceof UnsafeArgument
      }
    }),
  )
  t.match(command.execute('set', 'a=${b}', { expands: true }).text, 'a=${b}')
  t.end()
})

t.test('an argument that is longer than a line may be is sent as a body, whole', (t) => {
  const long = 'a='.padEnd(100_000, 'é')
  const [first, ...more] = understood(command.execute('set', long, { asBody: true }).text)
  t.equal(first?.body, long)
  t.same(first?.headers.at(-1), ['content-length', ` ${Buffer.byteLength(long)}`])
  t.equal(more.length, 0)
  t.end()
})
