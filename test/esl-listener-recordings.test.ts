import fc from 'fast-check'
import { BlockList, connect } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { exit } from '../src/esl/command.js'
import { CommandRefused } from '../src/esl/errors.js'
import { Event } from '../src/esl/event.js'
import { Listener, type IncomingCall } from '../src/esl/listener.js'
import { handshakeCommands } from './support/peer.js'
import {
  bytesOf,
  cut,
  framesIn,
  outboundTranscripts,
  transcript,
  until,
  type Transcript,
} from './support/wire.js'

/** What a conversation says to the server, in its order. */
interface Told {
  channel: string
  replies: string[]
  events: string[]
  notices: string[]
}

/** As the recording has it, read by another way than the code's. */
function recorded(conversation: Transcript): Told {
  const told: Told = { channel: '', replies: [], events: [], notices: [] }
  for (const { head, contentType, body } of framesIn(bytesOf(conversation))) {
    if (head.startsWith('Event-Name: CHANNEL_DATA')) told.channel = Event.fromPlain(head).toJson()
    else if (contentType === 'command/reply')
      told.replies.push(/^Reply-Text: (.*)$/m.exec(head)?.[1]?.trim() ?? '')
    else if (contentType === 'api/response') told.replies.push(body.trim())
    else if (contentType === 'text/disconnect-notice')
      told.notices.push(/^Content-Disposition: (.*)$/m.exec(head)?.[1] ?? '')
    else if (contentType === 'text/event-json') told.events.push(Event.fromJson(body).toJson())
    else if (contentType === 'text/event-plain') told.events.push(Event.fromPlain(body).toJson())
    else if (contentType === 'text/event-xml') told.events.push(Event.fromXml(body).toJson())
  }
  return told
}

/**
 * Plays FreeSWITCH's side: the channel's data for the handshake, the rest when every command has come.
 * A turn passes between two chunks, so that they are read one by one.
 */
async function play(
  port: number,
  chunks: readonly Buffer[],
  channelBytes: number,
  commands: number,
): Promise<void> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  let received = ''
  socket.on('data', (chunk) => (received += chunk.toString()))
  const heard = (count: number) => until(() => received.split('\n\n').length > count)
  await heard(handshakeCommands)
  let written = 0
  for (const chunk of chunks) {
    if (written === channelBytes) await heard(commands)
    socket.write(chunk)
    written += chunk.length
    await nextTurn()
  }
  socket.end()
}

/** Hears one conversation through a socket, as often as it is cut. */
async function heard(
  t: Test,
  conversation: Transcript,
  cuts: readonly (readonly number[])[],
): Promise<Told[]> {
  const bytes = bytesOf(conversation)
  const channelBytes = bytes.indexOf('\n\n') + 2
  const commands = Math.max(handshakeCommands, recorded(conversation).replies.length + 1)
  const told: Told[] = []
  const serve = async ({ connection, channel }: IncomingCall): Promise<void> => {
    const call: Told = { channel: channel.toJson(), replies: [], events: [], notices: [] }
    told.push(call)
    connection.onEvent = (event) => call.events.push(event.toJson())
    connection.onDisconnectNotice = (disposition) => call.notices.push(disposition)
    // As many as FreeSWITCH answered; which they were does not matter to who reads the answers.
    const more = Array.from({ length: commands - handshakeCommands }, () => exit())
    for (const sent of connection.sendAll(more)) {
      sent.then(
        (text) => call.replies.push(text.trim()),
        (error: unknown) => call.replies.push((error as { reply?: string }).reply ?? String(error)),
      )
    }
    await connection.closed()
  }
  const allow = new BlockList()
  allow.addAddress('127.0.0.1')
  const errors: Error[] = []
  const listener = await Listener.listen({
    host: '127.0.0.1',
    port: 0,
    allow,
    maxCalls: 1000,
    lingerSeconds: 30,
    onCall: serve,
    onError: (error) => errors.push(error),
  })
  const { port } = listener.address
  // The end of the channel's data is where FreeSWITCH waits for the server.
  await Promise.all(cuts.map((at) => play(port, cut(bytes, [...at, channelBytes]), channelBytes, commands)))
  await until(() => told.length === cuts.length && listener.calls === 0)
  await listener.close({ deadlineMs: 0 })
  // The recorded conversations have other commands at their start: a refusal there is told of here.
  t.same(
    errors.filter((error) => !(error instanceof CommandRefused)),
    [],
    `${conversation.name}: no error`,
  )
  return told
}

function check(t: Test, conversation: Transcript, told: readonly Told[]): void {
  const expected = recorded(conversation)
  // The first replies are the handshake's.
  expected.replies = expected.replies.slice(handshakeCommands - 1)
  const wanted = JSON.stringify(expected)
  const wrong = told.find((call) => JSON.stringify(call) !== wanted)
  if (wrong) t.same(wrong, expected, conversation.name)
  else t.pass(`${conversation.name}: ${expected.events.length} events`)
}

t.test('FreeSWITCH is understood in every recorded call, wherever its bytes are cut', async (t) => {
  for (const conversation of outboundTranscripts) {
    const anywhere = fc.array(fc.nat(bytesOf(conversation).length), { maxLength: 100 })
    const cuts = fc.sample(anywhere, { numRuns: 4, seed: 20_261_120 })
    check(t, conversation, await heard(t, conversation, [[], ...cuts]))
  }
})

t.test('FreeSWITCH is understood in a recorded call that comes byte by byte', async (t) => {
  const conversation = transcript('server-closes-while-ringing')
  const everywhere = Array.from(bytesOf(conversation).keys())
  check(t, conversation, await heard(t, conversation, [everywhere]))
})
