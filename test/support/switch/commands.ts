import { randomUUID } from 'node:crypto'

import { legsNamed, runApi } from './api.js'
import { causeNamed } from './causes.js'
import type { ServerCommand } from './command-parser.js'
import type { EventSocket } from './event-socket.js'
import { Header } from './headers.js'
import type { InboundSocket } from './inbound.js'
import type { Listener } from './listener.js'
import type { Message } from './messages.js'

/**
 * What an event socket can be told. Each answers with the text of its reply, or undefined when it has
 * written itself or later will. An empty text is FreeSWITCH's for what it does not know.
 */
type Verb<Socket extends EventSocket> = (
  socket: Socket,
  argument: string,
  command: ServerCommand,
) => string | undefined
type Verbs<Socket extends EventSocket> = readonly (readonly [beginning: string, verb: Verb<Socket>])[]

const filter: Verb<EventSocket> = (socket, argument) =>
  subscribed(socket, socket.subscription.filter(argument))
const event: Verb<EventSocket> = (socket, argument) =>
  subscribed(socket, socket.subscription.event(words(argument)))
const nixEvent: Verb<EventSocket> = (socket, argument) =>
  subscribed(socket, socket.subscription.nixEvent(words(argument)))
const noEvents: Verb<EventSocket> = (socket) => subscribed(socket, socket.subscription.noEvents())

/** In mod_event_socket's order: it compares beginnings, so that `nolinger` must not come after `no`. */
const outboundVerbs: Verbs<Listener> = [
  ['exit', exitCall],
  ['...', exitCall],
  ['filter ', filter],
  ['resume', resume],
  ['connect', connect],
  ['getvar', (listener, argument) => listener.session.variable(argument) ?? ''],
  ['myevents', (listener, argument) => subscribed(listener, listener.subscription.myEvents(argument))],
  ['divert_events', divertEvents],
  ['sendmsg', sendMessage],
  ['sendevent', sendEvent],
  ['api ', api],
  ['bgapi ', backgroundApi],
  ['log', log],
  ['linger', linger],
  ['nolinger', noLinger],
  ['nolog', noLog],
  ['event', event],
  ['nixevent', nixEvent],
  ['noevents', noEvents],
]

/** A connection of somebody who controls no channel. */
const inboundVerbs: Verbs<InboundSocket> = [
  ['filter ', filter],
  ['sendmsg', sendMessage],
  ['sendevent', sendEvent],
  ['api ', api],
  ['bgapi ', backgroundApi],
  ['log', log],
  ['linger', () => '-ERR not controlling a session'],
  ['nolinger', () => '-ERR not controlling a session'],
  ['nolog', noLog],
  ['event', event],
  ['nixevent', nixEvent],
  ['noevents', noEvents],
]
/** All that one may say who has not said the password. */
const strangersVerbs: Verbs<InboundSocket> = [['auth ', authenticate]]
const leavingVerbs: Verbs<InboundSocket> = [
  ['exit', exit],
  ['...', exit],
]

/** Executes one command on a socket that the switch opened, and replies. Before `connect` nothing is replied to. */
export function runOutboundCommand(listener: Listener, command: ServerCommand): void {
  listener.session.call.noteText([command.line, ...command.headers.values(), command.body ?? ''])
  run(outboundVerbs, listener, command, isMute(listener))
}

/** Executes one command on a socket that the switch accepted, and replies. */
export function runInboundCommand(socket: InboundSocket, command: ServerCommand): void {
  run([...leavingVerbs, ...(socket.isAuthenticated ? inboundVerbs : strangersVerbs)], socket, command, false)
}

function run<Socket extends EventSocket>(
  verbs: Verbs<Socket>,
  socket: Socket,
  command: ServerCommand,
  isMute: boolean,
): void {
  const line = command.line.toLowerCase()
  const [beginning, verb] = verbs.find(([text]) => line.startsWith(text)) ?? []
  const argument = command.line.slice(beginning?.length ?? 0).trim()
  const reply = verb === undefined ? '' : verb(socket, argument, command)
  if (reply === undefined || isMute) return
  socket.reply(reply === '' ? '-ERR command not found' : reply)
}

/** What comes before `connect` is done and not replied to. */
function isMute(listener: Listener): boolean {
  return listener.commands.length === 1
}

function words(argument: string): string[] {
  return argument.split(' ').filter((word) => word !== '')
}

function subscribed(socket: EventSocket, reply: string): string {
  const { openSockets } = socket.sw
  if (socket.subscription.isOpenToAll) openSockets.add(socket)
  else openSockets.delete(socket)
  return reply
}

/** A wrong password ends the connection (recording `inbound-auth-refused`). */
function authenticate(socket: InboundSocket, password: string): string | undefined {
  if (socket.authenticate(password)) return '+OK accepted'
  socket.reply('-ERR invalid')
  socket.close()
  return undefined
}

function exit(socket: InboundSocket): undefined {
  socket.reply('+OK bye')
  socket.close()
}

function exitCall(listener: Listener): undefined {
  listener.reply('+OK bye')
  listener.close(listener.sw.saysGoodbye())
}

function resume(listener: Listener): string {
  listener.session.setVariable('socket_resume', 'true')
  return '+OK'
}

function connect(listener: Listener): undefined {
  const { session } = listener
  const after = [
    new Header('Content-Type', 'command/reply'),
    new Header('Reply-Text', '+OK\n'),
    new Header('Socket-Mode', 'async'),
    new Header('Control', 'full'),
  ]
  const data = session.sw.events.channelData(session.channel, session.clock.now, after)
  listener.write(`${data.plainHeaders()}\n`)
  listener.connected()
}

function divertEvents(_: EventSocket, argument: string): string {
  if (argument === '') return '-ERR missing value.'
  return argument.toLowerCase() === 'on' ? '+OK events diverted' : '+OK events not diverted'
}

function sendMessage(socket: EventSocket, argument: string, command: ServerCommand): string {
  const uuid = argument || (command.headers.get('session-id') ?? socket.ownUuid ?? '')
  const leg = socket.sw.legs.get(uuid)
  if (uuid !== socket.ownUuid && leg === undefined) return `-ERR invalid session id [${uuid}]`
  leg?.clock.sync()
  const message = messageOf(command)
  if (message === undefined) return '+OK'
  if (leg?.session !== undefined) leg.session.queue(message)
  else if (message.kind === 'hangup') leg?.kill(message.cause)
  return '+OK'
}

/** Whatever is no known call-command is taken and does nothing. */
function messageOf({ headers, body }: ServerCommand): Message | undefined {
  const kind = headers.get('call-command')?.toLowerCase()
  if (kind === 'hangup') return { kind, cause: causeNamed(headers.get('hangup-cause')) }
  const application = headers.get('execute-app-name')
  if (kind !== 'execute' || application === undefined) return undefined
  const isText = headers.get('content-type')?.toLowerCase() === 'text/plain'
  const uuid = headers.get('event-uuid')
  return {
    kind,
    application,
    argument: headers.get('execute-app-arg') ?? (isText ? (body ?? '') : ''),
    loops: Number(headers.get('loops') ?? 1) || 1,
    isLocked: headers.get('event-lock') === 'true',
    ...(uuid === undefined ? {} : { uuid }),
  }
}

function sendEvent(socket: EventSocket, argument: string, command: ServerCommand): string {
  const { sw } = socket
  const uuid = randomUUID()
  const headers = command.written.map(([name, value]) => new Header(name, value))
  sw.deliverToAll(
    sw.events.ofSwitch(
      argument.toUpperCase(),
      socket.clock.now,
      [...headers, new Header('Event-UUID', uuid)],
      command.body,
    ),
  )
  return `+OK ${uuid}`
}

function api(socket: EventSocket, argument: string): undefined {
  for (const leg of legsNamed(socket.sw, words(argument))) leg.clock.sync()
  const output = runApi(socket.sw, socket.clock, argument)
  if (typeof output === 'string') socket.apiResponse(output)
  else socket.block(output)
}

function backgroundApi(socket: EventSocket, argument: string, command: ServerCommand): undefined {
  const { sw, clock, ownUuid } = socket
  const job = command.headers.get('job-uuid') ?? randomUUID()
  // As first command of a call's socket it is not replied to.
  if (ownUuid === undefined || socket.commands.length > 1)
    socket.write(`Content-Type: command/reply\nReply-Text: +OK Job-UUID: ${job}\nJob-UUID: ${job}\n\n`)
  const [name = '', ...rest] = argument.split(' ')
  for (const leg of legsNamed(sw, rest)) leg.clock.sync()
  void Promise.resolve(runApi(sw, clock, argument)).then((output) => {
    const headers = [new Header('Job-UUID', job)]
    if (ownUuid !== undefined) headers.push(new Header('Job-Owner-UUID', ownUuid))
    headers.push(new Header('Job-Command', name))
    if (rest.length > 0) headers.push(new Header('Job-Command-Arg', rest.join(' ')))
    sw.deliverToAll(sw.events.ofSwitch('BACKGROUND_JOB', clock.now, headers, output), socket)
  })
}

function log(socket: EventSocket, argument: string): string {
  socket.isLogging = true
  return `+OK log level ${argument} [${argument === '' ? 7 : Number(argument) || 7}]`
}

function noLog(socket: EventSocket): string {
  if (!socket.isLogging) return '-ERR not loging'
  socket.isLogging = false
  return '+OK no longer logging'
}

function linger(listener: Listener, argument: string): string {
  listener.lingerSeconds = argument === '' ? -1 : Number.parseInt(argument, 10) || 0
  return argument === '' ? '+OK will linger' : `+OK will linger ${listener.lingerSeconds} seconds`
}

function noLinger(listener: Listener): string {
  listener.lingerSeconds = undefined
  return '+OK will not linger'
}
