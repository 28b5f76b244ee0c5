import type { FiredEvent } from './events.js'
import type { EventFormat } from './headers.js'

/** What `myevents` subscribes to, after mod_event_socket: no CALLSTATE, HOLD, PLAYBACK, RECORD, CUSTOM. */
const myEvents = [
  'CHANNEL_ANSWER',
  'CHANNEL_APPLICATION',
  'CHANNEL_BRIDGE',
  'CHANNEL_CREATE',
  'CHANNEL_DATA',
  'CHANNEL_DESTROY',
  'CHANNEL_EXECUTE',
  'CHANNEL_EXECUTE_COMPLETE',
  'CHANNEL_HANGUP',
  'CHANNEL_HANGUP_COMPLETE',
  'CHANNEL_ORIGINATE',
  'CHANNEL_OUTGOING',
  'CHANNEL_PARK',
  'CHANNEL_PROGRESS',
  'CHANNEL_PROGRESS_MEDIA',
  'CHANNEL_STATE',
  'CHANNEL_UNBRIDGE',
  'CHANNEL_UNPARK',
  'CHANNEL_UUID',
  'CALL_UPDATE',
  'DETECTED_SPEECH',
  'DTMF',
  'NOTALK',
  'TALK',
]

/** All events that FreeSWITCH knows by name and that this switch can be asked for. */
const otherEvents = [
  'ADD_SCHEDULE',
  'API',
  'BACKGROUND_JOB',
  'CALL_DETAIL',
  'CALL_SECURE',
  'CHANNEL_CALLSTATE',
  'CHANNEL_HOLD',
  'CHANNEL_UNHOLD',
  'CODEC',
  'CUSTOM',
  'DEL_SCHEDULE',
  'DETECTED_TONE',
  'EXE_SCHEDULE',
  'GENERAL',
  'HEARTBEAT',
  'LOG',
  'MEDIA_BUG_START',
  'MEDIA_BUG_STOP',
  'MESSAGE',
  'MODULE_LOAD',
  'MODULE_UNLOAD',
  'NOTIFY',
  'PLAYBACK_START',
  'PLAYBACK_STOP',
  'PRESENCE_IN',
  'PRESENCE_OUT',
  'RECORD_START',
  'RECORD_STOP',
  'RECV_INFO',
  'RELOADXML',
  'RE_SCHEDULE',
  'SEND_INFO',
  'SESSION_HEARTBEAT',
  'SHUTDOWN',
  'STARTUP',
  'TRAP',
]
const knownEvents = new Set([...myEvents, ...otherEvents])
const formats = new Set<string>(['plain', 'json', 'xml'])

interface Filter {
  readonly header: string
  readonly value: string
}

/** What one socket wants to hear: event names, format, filters, and whether only of its own channel. */
export class Subscription {
  format: EventFormat = 'plain'
  #isEnabled = false
  #isOwnOnly = false
  readonly #names = new Set<string>()
  readonly #subclasses = new Set<string>()
  #filters: Filter[] = []

  /** Whether events of other calls may reach this socket. */
  get isOpenToAll(): boolean {
    return this.#isEnabled && !this.#isOwnOnly && this.#names.size > 0
  }

  /** @returns the reply, as for every command below */
  myEvents(argument: string): string {
    if (this.#isOwnOnly) return '-ERR aready enabled.'
    for (const name of myEvents) this.#names.add(name)
    this.#isOwnOnly = true
    this.#isEnabled = true
    if (/xml/i.test(argument)) this.format = 'xml'
    if (/json/i.test(argument)) this.format = 'json'
    return '+OK Events Enabled'
  }

  event(words: readonly string[]): string {
    const [first = '', ...rest] = words
    const hasFormat = formats.has(first.toLowerCase())
    if (hasFormat) this.format = first.toLowerCase() as EventFormat
    const { names, subclasses } = eventNames(hasFormat ? rest : words)
    for (const subclass of subclasses) this.#subclasses.add(subclass)
    for (const name of names) for (const each of name === 'ALL' ? knownEvents : [name]) this.#names.add(each)
    if (names.length === 0) return '-ERR no keywords supplied'
    this.#isEnabled = true
    return `+OK event listener enabled ${this.format}`
  }

  nixEvent(words: readonly string[]): string {
    const { names, subclasses } = eventNames(words)
    for (const subclass of subclasses) this.#subclasses.delete(subclass)
    for (const name of names)
      if (name === 'ALL') this.#names.clear()
      else if (name !== 'CUSTOM') this.#names.delete(name)
    if (names.length === 0) return '-ERR no keywords supplied'
    this.#isEnabled = true
    return '+OK events nixed'
  }

  noEvents(): string {
    if (!this.#isEnabled) return '-ERR not listening for events'
    this.#isEnabled = false
    this.#names.clear()
    this.#subclasses.clear()
    return '+OK no longer listening for events'
  }

  /** @param argument what stands behind `filter ` */
  filter(argument: string): string {
    const [first = '', ...rest] = argument.trimStart().split(' ')
    if (first.toLowerCase() === 'delete' && rest.length > 0) {
      const [header = '', ...value] = rest
      this.#filters = this.#filters.filter(
        (filter) =>
          header.toLowerCase() !== 'all' &&
          (filter.header.toLowerCase() !== header.toLowerCase() ||
            (value.length > 0 && filter.value !== value.join(' '))),
      )
      return `+OK filter deleted. [${header}][${value.join(' ')}]`
    }
    const [header = '', ...value] = first.toLowerCase() === 'add' ? rest : [first, ...rest]
    if (value.length === 0) return '-ERR invalid syntax'
    this.#filters.push({ header, value: value.join(' ') })
    return `+OK filter added. [${header}]=[${value.join(' ')}]`
  }

  /** Whether events of this name are asked for at all. */
  hears(name: string): boolean {
    return this.#isEnabled && this.#names.has(name)
  }

  /** @param ownUuid of the channel that the socket belongs to */
  wants(event: FiredEvent, ownUuid: string | undefined): boolean {
    if (!this.hears(event.name)) return false
    if (event.name === 'CUSTOM' && !this.#subclasses.has(event.get('Event-Subclass') ?? '')) return false
    if (this.#filters.length > 0 && !this.#passesFilters(event)) return false
    if (!this.#isOwnOnly) return true
    return event.uuid === ownUuid || (event.uuid === undefined && event.get('Job-Owner-UUID') === ownUuid)
  }

  #passesFilters(event: FiredEvent): boolean {
    let isWanted = false
    for (const { header, value } of this.#filters) {
      const actual = event.get(header)
      if (actual === undefined) continue
      const [, sign = '', pattern = ''] = /^([+\- ]*)(.*)$/s.exec(value) ?? []
      const isMatch = pattern.startsWith('/')
        ? new RegExp(pattern.slice(1, pattern.lastIndexOf('/'))).test(actual)
        : actual.toLowerCase() === pattern.toLowerCase()
      if (!isMatch) continue
      if (sign.includes('-')) return false
      isWanted = true
    }
    return isWanted
  }
}

/** Words that are no event's name are passed over; those behind CUSTOM are subclasses. */
function eventNames(words: readonly string[]): { names: string[]; subclasses: string[] } {
  const custom = words.findIndex((word) => word.toUpperCase() === 'CUSTOM')
  const split = custom < 0 ? words.length : custom + 1
  const names = words
    .slice(0, split)
    .map((word) => word.toUpperCase())
    .filter((word) => word === 'ALL' || knownEvents.has(word))
  return { names, subclasses: words.slice(split) }
}
