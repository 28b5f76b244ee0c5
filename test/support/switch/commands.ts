import { randomUUID } from 'node:crypto'

import { runApi } from './api.js'
import { causeNamed } from './causes.js'
import type { ServerCommand } from './command-parser.js'
import { Header } from './headers.js'
import type { Listener } from './listener.js'
import type { Message } from './session.js'

/**
 * What an event socket can be told. Each answers with the text of its reply, or undefined when it has
 * written itself or later will. An empty text is FreeSWITCH's for what it does not know.
 */
type Verb = (listener: Listener, argument: string, command: ServerCommand) => string | undefined

/** In mod_event_socket's order: it compares beginnings, so that `nolinger` must not come after `no`. */
const verbs: readonly (readonly [beginning: string, verb: Verb])[] = [
  ['exit', exit],
  ['...', exit],
  ['filter ', (listener, argument) => subscribed(listener, listener.subscription.filter(argument))],
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
  ['event', (listener, argument) => subscribed(listener, listener.subscription.event(words(argument)))],
  ['nixevent', (listener, argument) => subscribed(listener, listener.subscription.nixEvent(words(argument)))],
  ['noevents', (listener) => subscribed(listener, listener.subscription.noEvents())],
]

/** Executes one command and replies. Before `connect` nothing is replied to. */
export function runCommand(listener: Listener, command: ServerCommand): void {
  listener.session.call.noteText([command.line, ...command.headers.values(), command.body ?? ''])
  const line = command.line.toLowerCase()
  const [beginning, verb] = verbs.find(([text]) => line.startsWith(text)) ?? []
  const argument = command.line.slice(beginning?.length ?? 0).trim()
  const isMute = listener.commands.length === 1
  const reply = verb === undefined ? '' : verb(listener, argument, command)
  if (reply === undefined || isMute) return
  listener.reply(reply === '' ? '-ERR command not found' : reply)
}

function words(argument: string): string[] {
  return argument.split(' ').filter((word) => word !== '')
}

function subscribed(listener: Listener, reply: string): string {
  const { openListeners } = listener.session.sw
  if (listener.subscription.isOpenToAll) openListeners.add(listener)
  else openListeners.delete(listener)
  return reply
}

function exit(listener: Listener): undefined {
  listener.reply('+OK bye')
  listener.close(listener.session.sw.saysGoodbye())
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

function divertEvents(_: Listener, argument: string): string {
  if (argument === '') return '-ERR missing value.'
  return argument.toLowerCase() === 'on' ? '+OK events diverted' : '+OK events not diverted'
}

function sendMessage(listener: Listener, argument: string, command: ServerCommand): string {
  const uuid = argument || (command.headers.get('session-id') ?? listener.session.uuid)
  const isOwn = uuid === listener.session.uuid
  const leg = listener.session.sw.legs.get(uuid)
  if (!isOwn && leg === undefined) return `-ERR invalid session id [${uuid}]`
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

function sendEvent(listener: Listener, argument: string, command: ServerCommand): string {
  const { sw, clock } = listener.session
  const uuid = randomUUID()
  const headers = [...command.headers].map(([name, value]) => new Header(name, value))
  sw.deliverToAll(
    sw.events.ofSwitch(
      argument.toUpperCase(),
      clock.now,
      [...headers, new Header('Event-UUID', uuid)],
      command.body,
    ),
  )
  return `+OK ${uuid}`
}

function api(listener: Listener, argument: string): undefined {
  const output = runApi(listener.session.sw, listener.session.clock, argument)
  if (typeof output === 'string') listener.apiResponse(output)
  else listener.block(output)
}

function backgroundApi(listener: Listener, argument: string, command: ServerCommand): undefined {
  const { sw, clock, uuid: owner } = listener.session
  const job = command.headers.get('job-uuid') ?? randomUUID()
  const isMute = listener.commands.length === 1
  if (!isMute)
    listener.write(`Content-Type: command/reply\nReply-Text: +OK Job-UUID: ${job}\nJob-UUID: ${job}\n\n`)
  const [name = '', ...rest] = argument.split(' ')
  void Promise.resolve(runApi(sw, clock, argument)).then((output) => {
    const headers = [
      new Header('Job-UUID', job),
      new Header('Job-Owner-UUID', owner),
      new Header('Job-Command', name),
    ]
    if (rest.length > 0) headers.push(new Header('Job-Command-Arg', rest.join(' ')))
    sw.deliverToAll(sw.events.ofSwitch('BACKGROUND_JOB', clock.now, headers, output), listener)
  })
}

function log(listener: Listener, argument: string): string {
  listener.isLogging = true
  return `+OK log level ${argument} [${argument === '' ? 7 : Number(argument) || 7}]`
}

function noLog(listener: Listener): string {
  if (!listener.isLogging) return '-ERR not loging'
  listener.isLogging = false
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
