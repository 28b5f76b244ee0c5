import { UnsafeArgument } from './errors.js'

type Header = readonly [name: string, value: string]

/** The only way to make one; nobody outside of this file has it. */
let command: (verb: string, line: string, headers?: readonly Header[], body?: string) => Command

/**
 * What may be said to FreeSWITCH. A command exists only through these functions, so that nothing that
 * could split in two or be expanded reaches the socket (test/recordings/README.md, "Replies").
 * All of them throw UnsafeArgument for a part that they refuse.
 */
export class Command {
  /** The verb alone, for errors and logs: arguments may carry numbers and secrets. */
  readonly verb: string
  /** As written on the socket, the blank line included. */
  readonly text: string

  private constructor(verb: string, text: string) {
    this.verb = verb
    this.text = text
  }

  static {
    command = (verb, line, headers = [], body = '') => {
      let text = line
      for (const [name, value] of headers) text += `\n${name}: ${value}`
      return new Command(verb, `${text}\n\n${body}`)
    }
  }
}

export type EventFormat = 'plain' | 'json' | 'xml'

/** The first command on every outbound socket: any other is executed, but its reply is thrown away. */
export function connect(): Command {
  return command('connect', 'connect')
}

/** The first command on an inbound socket. FreeSWITCH takes the rest of the line, blanks and `$` included. */
export function auth(password: string): Command {
  if (lineBreakers.test(password)) throw new UnsafeArgument('CR, LF or NUL in the password')
  return command('auth', `auth ${password}`)
}

/**
 * Asks for the final events after the hangup.
 * @param seconds without them the session lingers until `exit`, and leaks if none comes
 */
export function linger(seconds?: number): Command {
  return command('linger', seconds === undefined ? 'linger' : `linger ${whole(seconds)}`)
}

export function nolinger(): Command {
  return command('nolinger', 'nolinger')
}

/** This call's events and no other's. @param uuid of a call, on an inbound socket */
export function myevents(format: EventFormat, uuid?: string): Command {
  return command('myevents', uuid === undefined ? `myevents ${format}` : `myevents ${token(uuid)} ${format}`)
}

export function event(format: EventFormat, names: readonly string[]): Command {
  return command('event', `event ${format} ${tokens(names)}`)
}

export function nixevent(names: readonly string[]): Command {
  return command('nixevent', `nixevent ${tokens(names)}`)
}

export function noevents(): Command {
  return command('noevents', 'noevents')
}

/** From then on only events whose header holds this value come. */
export function filter(header: string, value: string): Command {
  if (filterVerbs.test(header)) throw new UnsafeArgument(`a filter's own word: ${show(header)}`)
  return command('filter', `filter ${token(header)} ${filterValue(value)}`)
}

/** @param header `all` removes every filter */
export function filterDelete(header: string, value?: string): Command {
  return command(
    'filter delete',
    `filter delete ${token(header)}${value === undefined ? '' : ' ' + filterValue(value)}`,
  )
}

export function divertEvents(on: boolean): Command {
  return command('divert_events', `divert_events ${on ? 'on' : 'off'}`)
}

/** @param headers in this order; @param body announced by a Content-Length of its own */
export function sendevent(name: string, headers: Readonly<Record<string, string>>, body?: string): Command {
  const lines = Object.entries(headers).map(
    ([header, value]) => [headerName(header), unexpanded(value)] as const,
  )
  if (body === undefined) return command('sendevent', `sendevent ${token(name)}`, lines)
  return command('sendevent', `sendevent ${token(name)}`, [...lines, contentLength(body)], withoutNul(body))
}

export interface ExecuteOptions {
  /** Comes back as Application-UUID of CHANNEL_EXECUTE and CHANNEL_EXECUTE_COMPLETE. */
  readonly eventUuid?: string
  readonly loops?: number
  /** Runs after what was sent before it, instead of interrupting it; a hangup then waits as well. */
  readonly eventLock?: boolean
  /** The channel, when it is not the socket's own. */
  readonly uuid?: string
  /** Sends the argument as a body: it may then be longer than a header line. */
  readonly asBody?: boolean
  /** The argument's `$` are the caller's own, meant to be expanded by FreeSWITCH. Never with outside text in it. */
  readonly expands?: boolean
}

/** Runs a dialplan application. `+OK` means queued: its end is told by CHANNEL_EXECUTE_COMPLETE. */
export function execute(application: string, argument = '', options: ExecuteOptions = {}): Command {
  const headers: Header[] = [
    ['call-command', 'execute'],
    ['execute-app-name', token(application)],
  ]
  const checked = options.expands ? line(argument) : unexpanded(argument)
  if (argument !== '' && !options.asBody) headers.push(['execute-app-arg', checked])
  if (options.eventUuid !== undefined) headers.push(['Event-UUID', token(options.eventUuid)])
  if (options.loops !== undefined) headers.push(['loops', whole(options.loops)])
  if (options.eventLock) headers.push(['event-lock', 'true'])
  const start = sendmsgLine(options.uuid)
  if (argument === '' || !options.asBody) return command(application, start, headers)
  return command(
    application,
    start,
    [...headers, ['content-type', 'text/plain'], contentLength(checked)],
    checked,
  )
}

export function hangup(cause: string, uuid?: string): Command {
  return command('hangup', sendmsgLine(uuid), [
    ['call-command', 'hangup'],
    ['hangup-cause', token(cause)],
  ])
}

/** Takes FreeSWITCH out of the media path, or hands it back to the far end. */
export function nomedia(uuid?: string): Command {
  return command('nomedia', sendmsgLine(uuid), [['call-command', 'nomedia']])
}

/**
 * Runs an API command and answers with its output; blocks the socket, its events included, until then.
 * @param args each a single token: no blanks, no quotes that FreeSWITCH would take apart
 */
export function api(name: string, args: readonly string[] = []): Command {
  return command(name, ['api', token(name), ...args.map(token)].join(' '))
}

/** Runs an API command in the background. @param jobUuid comes back in its BACKGROUND_JOB event */
export function bgapi(name: string, args: readonly string[], jobUuid: string): Command {
  return command(name, ['bgapi', token(name), ...args.map(token)].join(' '), [['Job-UUID', token(jobUuid)]])
}

/** A variable's value as the reply, cut at 511 bytes; an unset one is refused. Prefer what the events carry. */
export function getvar(name: string): Command {
  return command('getvar', `getvar ${token(name)}`)
}

/** @param level 0 (console) to 7 (debug) */
export function log(level: number): Command {
  return command('log', `log ${whole(level)}`)
}

export function nolog(): Command {
  return command('nolog', 'nolog')
}

export function resume(): Command {
  return command('resume', 'resume')
}

/** On a live call this gives it back to the dialplan's next action. */
export function exit(): Command {
  return command('exit', 'exit')
}

const lineBreakers = /[\r\n\0]/
const notAToken = /[\s\0-\x1f\x7f$`'"\\]/
/** In the place of a header's name these make another command of a filter. */
const filterVerbs = /^(?:add|delete)$/i

/** One word: what separates or expands is refused. */
function token(text: string): string {
  if (text === '' || notAToken.test(text)) throw new UnsafeArgument(`not a single plain token: ${show(text)}`)
  return text
}

function tokens(names: readonly string[]): string {
  if (names.length === 0) throw new UnsafeArgument('no names are given')
  return names.map(token).join(' ')
}

/** A header's name; one that told a body's length would make a body of the commands that follow. */
function headerName(name: string): string {
  if (name.includes(':') || /^content-length$/i.test(name)) {
    throw new UnsafeArgument(`not a header's name: ${show(name)}`)
  }
  return token(name)
}

function filterValue(text: string): string {
  if (text.trim() === '') throw new UnsafeArgument('a filter without a value')
  return unexpanded(text)
}

function line(text: string): string {
  if (lineBreakers.test(text)) throw new UnsafeArgument(`CR, LF or NUL in ${show(text)}`)
  return text
}

function unexpanded(text: string): string {
  if (text.includes('$')) throw new UnsafeArgument(`'$' would be expanded in ${show(text)}`)
  return line(text)
}

function withoutNul(text: string): string {
  if (text.includes('\0')) throw new UnsafeArgument(`NUL in ${show(text)}`)
  return text
}

function whole(value: number): string {
  if (!Number.isSafeInteger(value) || value < 0) throw new UnsafeArgument(`not a whole number: ${value}`)
  return String(value)
}

function contentLength(body: string): Header {
  return ['content-length', String(Buffer.byteLength(body))]
}

function sendmsgLine(uuid: string | undefined): string {
  return uuid === undefined ? 'sendmsg' : `sendmsg ${token(uuid)}`
}

/** Quoted and cut, so that a log line stays one line. */
function show(text: string): string {
  return JSON.stringify(text.length > 80 ? text.slice(0, 80) + '…' : text)
}
