import fc from 'fast-check'
import t from 'tap'
import { ProtocolError } from '../src/esl/errors.js'
import { FrameParser, headerOf, type Frame, type FrameLimits } from '../src/esl/parser.js'
import {
  areSame,
  bytesOf,
  cut,
  framesIn,
  isCollected,
  transcript,
  transcripts,
  type WireFrame,
} from './support/wire.js'

function copyOf({ head, contentType, body }: Frame): WireFrame {
  return { head, contentType, body: body.toString() }
}

function framesOf(chunks: readonly Buffer[], limits?: Partial<FrameLimits>): WireFrame[] {
  const frames: WireFrame[] = []
  const parser = new FrameParser((frame) => frames.push(copyOf(frame)) > 0, limits)
  for (const chunk of chunks) parser.push(chunk)
  parser.end()
  return frames
}

const event = 'Content-Length: 2\nContent-Type: text/event-json\n\n{}'
const reply = 'Content-Type: command/reply\nReply-Text: +OK\n\n'

t.test('every recorded conversation comes out as it went in', (t) => {
  for (const recorded of transcripts) {
    const bytes = bytesOf(recorded)
    const expected = framesIn(bytes)
    t.same(framesOf(recorded.received), expected, `${recorded.name}, chunk by chunk`)
    t.same(framesOf([bytes]), expected, `${recorded.name}, whole`)
  }
  t.end()
})

t.test('a conversation may be cut at any byte', (t) => {
  const short = bytesOf(transcript('server-closes-while-ringing'))
  const expected = framesIn(short)
  for (let at = 1; at < short.length; at++) {
    if (!areSame(framesOf(cut(short, [at])), expected)) t.fail(`cut at byte ${at}`)
  }
  for (const name of ['commands-and-errors', 'xml-answer-caller-hangs-up', 'plain-answer-caller-hangs-up']) {
    const bytes = bytesOf(transcript(name))
    const singles = Array.from(bytes, (byte) => Buffer.of(byte))
    t.ok(areSame(framesOf(singles), framesIn(bytes)), `${name}, byte by byte`)
  }
  t.end()
})

t.test('every recorded conversation may be cut anywhere, any number of times', (t) => {
  for (const recorded of transcripts) {
    const bytes = bytesOf(recorded)
    const expected = framesIn(bytes)
    const anywhere = fc.array(fc.nat(bytes.length), { maxLength: 200 })
    fc.assert(
      fc.property(anywhere, (at) => areSame(framesOf(cut(bytes, at)), expected)),
      { numRuns: 10 },
    )
  }
  t.end()
})

t.test('what is no event-socket conversation is refused', (t) => {
  const body = 'x'.repeat(70)
  const cases: [why: string, bytes: string | Buffer][] = [
    ['a negative length', 'Content-Type: api/response\nContent-Length: -1\n\n'],
    ['a length that is no number', 'Content-Type: api/response\nContent-Length: ten\n\n'],
    ['a length in hexadecimal', 'Content-Type: api/response\nContent-Length: 0x10\n\n'],
    ['a length with an exponent', 'Content-Type: api/response\nContent-Length: 1e1\n\n'],
    ['a fractional length', 'Content-Type: api/response\nContent-Length: 1.5\n\n'],
    ['an empty length', 'Content-Type: api/response\nContent-Length: \n\n'],
    ['a length beyond all numbers', `Content-Type: api/response\nContent-Length: ${'9'.repeat(400)}\n\n`],
    ['a length beyond the cap', 'Content-Type: api/response\nContent-Length: 9999999999\n\n'],
    ['a negative length of a reply', 'Content-Type: command/reply\nContent-Length: -5\nReply-Text: +OK\n\n'],
    ['no length of an api response', 'Content-Type: api/response\n\n'],
    ['no length of a plain event', 'Content-Type: text/event-plain\n\nEvent-Name: X\n\n'],
    ['no length of a JSON event', 'Content-Type: text/event-json\n\n{}'],
    ['no length of an XML event', 'Content-Type: text/event-xml\n\n<event/>'],
    [
      'two lengths that differ',
      `Content-Length: 2\nContent-Type: text/event-json\nContent-Length: 70\n\n${body}`,
    ],
    [
      'two lengths that differ, in other spelling',
      `Content-Length: 70\nContent-Type: api/response\ncontent-length: 2\n\n${body}`,
    ],
    ['two types that differ', 'Content-Type: command/reply\nContent-Type: text/event-json\n\n'],
    ['a frame without a type', 'Reply-Text: +OK\n\n'],
    ['a frame without a head', '\n\n'],
    ['another protocol', 'HTTP/1.1 400 Bad Request\nConnection: close\n\n'],
    ['a TLS hello', Buffer.from('16030100c8010000c40303', 'hex')],
  ]
  for (const [why, bytes] of cases) {
    t.throws(() => framesOf([Buffer.from(bytes)]), ProtocolError, why)
    t.throws(() => framesOf(Array.from(Buffer.from(bytes), (byte) => Buffer.of(byte))), ProtocolError, why)
  }
  t.end()
})

t.test('lengths that say the same twice, spaces and any case are taken', (t) => {
  const odd = 'content-length:2 \nCONTENT-TYPE:  text/event-json\nContent-Length: 2\n\n{}'
  t.same(framesOf([Buffer.from(odd + reply)]), [
    { head: odd.slice(0, -4), contentType: 'text/event-json', body: '{}' },
    { head: reply.trim(), contentType: 'command/reply', body: '' },
  ])
  t.end()
})

t.test('binary rubbish never does more than end its own connection', (t) => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 5 }), (chunks) => {
      const parser = new FrameParser(() => true, { maxHeadBytes: 500 })
      try {
        for (const chunk of chunks) parser.push(Buffer.from(chunk))
        parser.end()
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error
      }
    }),
  )
  const parser = new FrameParser(() => true)
  parser.push(Buffer.from(reply + 'Content-'))
  t.throws(
    () => {
      parser.push(Buffer.from([0xff, 0x00, 0x12]))
    },
    ProtocolError,
    'it is noticed at once, not when a head is full',
  )
  t.end()
})

t.test('a stream that ends inside a frame is an error, between two frames it is not', (t) => {
  t.throws(() => framesOf([Buffer.from(reply.slice(0, -1))]), ProtocolError, 'inside a head')
  t.throws(() => framesOf([Buffer.from(event.slice(0, -1))]), ProtocolError, 'inside a body')
  t.equal(framesOf([Buffer.from(event)]).length, 1)
  t.equal(framesOf([]).length, 0)
  t.end()
})

t.test('a head, a body and a backlog have their caps', (t) => {
  const head = 'Content-Type: command/reply\nReply-Text: '
  const text = (length: number) => `${head}${'x'.repeat(length - head.length)}\n\n`
  for (const size of [1, 7, 4096]) {
    const pieces = (whole: string) => {
      const bytes = Buffer.from(whole)
      return cut(
        bytes,
        Array.from({ length: Math.floor(bytes.length / size) }, (_, index) => index * size),
      )
    }
    t.equal(framesOf(pieces(text(1000)), { maxHeadBytes: 1000 }).length, 1, `a head at its cap, by ${size}`)
    t.throws(() => framesOf(pieces(text(1001)), { maxHeadBytes: 1000 }), ProtocolError, 'one byte over')
    t.throws(
      () => framesOf(pieces('a'.repeat(1002)), { maxHeadBytes: 1000 }),
      /head/,
      'a head without an end',
    )
    const body = `Content-Type: api/response\nContent-Length: 500\n\n${'x'.repeat(500)}`
    t.equal(framesOf(pieces(body), { maxBodyBytes: 500 }).length, 1, 'a body at its cap')
    t.throws(() => framesOf(pieces(body), { maxBodyBytes: 499 }), ProtocolError, 'one byte over')
  }
  const parser = new FrameParser(() => true, { maxBacklogBytes: 1000 })
  parser.pause()
  parser.push(Buffer.alloc(600, event))
  parser.push(Buffer.alloc(400, event))
  t.equal(parser.pendingBytes, 1000)
  t.throws(
    () => {
      parser.push(Buffer.from('x'))
    },
    ProtocolError,
    'what waits while paused',
  )
  const other = new FrameParser(() => true, { maxBacklogBytes: 1000 })
  other.pause()
  t.throws(
    () => {
      other.push(Buffer.alloc(1001, event))
    },
    ProtocolError,
    'even when it comes at once',
  )
  t.end()
})

t.test('a paused parser gives nothing until it is resumed, then all of it in order', (t) => {
  const seen: string[] = []
  const parser = new FrameParser(({ head }) => {
    seen.push(headerOf(head, 'reply-text') ?? '')
    if (seen.length % 2 === 1) parser.pause()
    return true
  })
  const replies = Array.from({ length: 6 }, (_, index) => reply.replace('+OK', String(index))).join('')
  parser.push(Buffer.from(replies))
  t.same(seen, ['0'], 'it stops in the middle of a chunk')
  parser.push(Buffer.from(reply.replace('+OK', '6')))
  t.same(seen, ['0'], 'and further chunks wait')
  parser.end()
  parser.resume()
  t.same(seen, ['0', '1', '2'])
  parser.resume()
  parser.resume()
  t.same(seen, ['0', '1', '2', '3', '4', '5', '6'])
  t.equal(parser.pendingBytes, 0)
  t.end()
})

t.test('a frame that is refused is given again, and those after it wait', (t) => {
  const seen: string[] = []
  let refusals = 2
  const parser = new FrameParser(({ contentType, body }) => {
    if (contentType === 'text/event-json' && refusals-- > 0) return false
    seen.push(`${contentType} ${body.toString()}`)
    return true
  })
  parser.push(Buffer.from(reply + event + reply))
  t.same(seen, ['command/reply '])
  parser.resume()
  t.same(seen, ['command/reply '], 'refused again')
  parser.push(Buffer.from(reply))
  parser.resume()
  t.same(seen, ['command/reply ', 'text/event-json {}', 'command/reply ', 'command/reply '])
  t.end()
})

t.test('a handler that resumes the parser does not reorder frames', (t) => {
  const seen: string[] = []
  const parser = new FrameParser(({ head }) => {
    parser.pause()
    parser.resume()
    seen.push(headerOf(head, 'reply-text') ?? '')
    return true
  })
  parser.push(Buffer.from(reply.replace('+OK', 'a') + reply.replace('+OK', 'b')))
  t.same(seen, ['a', 'b'])
  t.end()
})

t.test('a body that was kept is not overwritten by what comes later', (t) => {
  const bodies: Buffer[] = []
  const parser = new FrameParser(({ body }) => bodies.push(body) > 0)
  const frames = Array.from({ length: 50 }, (_, index) => {
    const body = String(index).repeat(1 + index * 3)
    return { body, bytes: `Content-Type: api/response\nContent-Length: ${body.length}\n\n${body}` }
  })
  const bytes = Buffer.from(frames.map((frame) => frame.bytes).join(''))
  const at = Array.from({ length: bytes.length / 37 }, (_, index) => index * 37)
  for (const chunk of cut(bytes, at)) parser.push(chunk)
  t.same(
    bodies.map(String),
    frames.map(({ body }) => body),
  )
  t.end()
})

t.test('an idle parser keeps no buffer, one inside a frame only what it needs', async (t) => {
  function feed(parser: FrameParser, rest: string): WeakRef<object> {
    const chunk = Buffer.from(new ArrayBuffer(1_000_000)).fill(reply)
    chunk.write('\n'.repeat(reply.length), chunk.length - (chunk.length % reply.length))
    const whole = chunk.subarray(0, chunk.length - (chunk.length % reply.length))
    const bytes = Buffer.from(whole.buffer, 0, whole.length + rest.length)
    bytes.write(rest, whole.length)
    parser.push(bytes)
    return new WeakRef(bytes.buffer)
  }
  const parser = new FrameParser(() => true)
  await isCollected(feed(parser, ''))
  t.equal(parser.pendingBytes, 0)
  const inside = new FrameParser(() => true)
  await isCollected(feed(inside, 'Cont'))
  t.equal(inside.pendingBytes, 4)
})

t.test('memory follows what was received, not what was announced', (t) => {
  const before = process.memoryUsage().arrayBuffers
  const parsers = Array.from({ length: 20 }, () => new FrameParser(() => true))
  for (const parser of parsers)
    parser.push(Buffer.from('Content-Type: api/response\nContent-Length: 4000000\n\n'))
  t.ok(process.memoryUsage().arrayBuffers - before < 4_000_000)
  t.ok(parsers.every(({ pendingBytes }) => pendingBytes > 0))
  t.end()
})

t.test('a header is found by its whole name, at the start of a line', (t) => {
  const head = 'X-Reply-Text: 1\nReply-Text-X: 2\nreply-TEXT: +OK: yes \nReply-Text: second\nEmpty:'
  t.equal(headerOf(head, 'reply-text'), '+OK: yes')
  t.equal(headerOf(head, 'empty'), '')
  t.equal(headerOf(head, 'text'), undefined)
  t.equal(headerOf('', 'text'), undefined)
  t.end()
})
