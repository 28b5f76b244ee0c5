import { CHECKED_HEADERS } from './checked-headers.js'
import type { HeaderValue } from './headers.js'
import type { RecordedFrame } from './recordings.js'

/**
 * Variables that a caller's phone brings along with its acknowledgement of an answer, some 10 to 40 ms
 * later: whether they stand on an event in between differs from one recording to the next.
 */
const acknowledgement = new Set(['variable_sip_to_tag', 'variable_sip_cseq'])
/** Numbers whose value is the call's own; that they are 0 says something, except in whole seconds. */
const measured =
  /(-Time|-Timestamp|-Sequence|uepoch|msec|mduration|_epoch|billsec|duration|_ms|_seconds|_samples|_size|-Index)$/
const wholeSeconds = /(billsec|variable_duration|_seconds)$/
const isAcknowledged = (name: string): boolean => acknowledgement.has(name)

/** What distinguishes two frames, a line each: kind, replies, and of events every header's presence. */
export function differencesOf(recorded: RecordedFrame, actual: RecordedFrame): string[] {
  const kinds = [recorded, actual].map(kindOf)
  if (kinds[0] !== kinds[1]) return [`${kinds[0] ?? ''} was recorded, ${kinds[1] ?? ''} came`]
  const lines = mapDifferences(recorded.head, actual.head, headForm, recorded.head.keys())
  if (recorded.event === undefined || actual.event === undefined)
    return [...lines, ...lineIfDifferent('body', bodyForm(recorded.body), bodyForm(actual.body))]
  return [
    ...lines,
    ...mapDifferences(recorded.event, actual.event, headerForm, CHECKED_HEADERS),
    ...presenceDifferences(recorded.event, actual.event),
  ].map((line) => `${kinds[0] ?? ''}: ${line}`)
}

/** A name for what kind of frame it is: the event's, or the content type. */
export function kindOf({ head, event }: RecordedFrame): string {
  const name = event?.get('Event-Name')
  if (typeof name === 'string') return `${head.get('Content-Type') ?? ''} ${name}`
  return `${head.get('Content-Type') ?? ''} ${head.get('Content-Disposition') ?? ''}`
}

function mapDifferences(
  recorded: ReadonlyMap<string, HeaderValue>,
  actual: ReadonlyMap<string, HeaderValue>,
  formOf: (name: string, value: HeaderValue | undefined) => string,
  names: Iterable<string>,
): string[] {
  return [...new Set(names)].flatMap((name) =>
    lineIfDifferent(name, formOf(name, recorded.get(name)), formOf(name, actual.get(name))),
  )
}

function presenceDifferences(
  recorded: ReadonlyMap<string, HeaderValue>,
  actual: ReadonlyMap<string, HeaderValue>,
): string[] {
  const missing = [...recorded.keys()].filter((name) => !actual.has(name) && !isAcknowledged(name))
  const surplus = [...actual.keys()].filter((name) => !recorded.has(name) && !isAcknowledged(name))
  return [...missing.map((name) => `${name} is missing`), ...surplus.map((name) => `${name} should not be there`)]
}

function lineIfDifferent(name: string, recorded: string, actual: string): string[] {
  return recorded === actual ? [] : [`${name}: ${recorded} was recorded, ${actual} came`]
}

/** absent, empty, zero, an integer, µs since 1970, or the text itself without ids, times and ports */
function headerForm(name: string, value: HeaderValue | undefined): string {
  if (value === undefined) return 'absent'
  const text = typeof value === 'string' ? value : value.join('|:')
  if (text === '') return 'empty'
  if (!measured.test(name)) return withoutIds(text)
  if (/^1[78]\d{14}$/.test(text)) return 'µs since 1970'
  if (text === '0' && !wholeSeconds.test(name)) return 'zero'
  return /^\d+$/.test(text) ? 'integer' : withoutIds(text)
}

function headForm(name: string, value: HeaderValue | undefined): string {
  return name === 'Content-Length' || typeof value !== 'string' ? '' : withoutIds(value)
}

/** Numbers of tasks are the switch's own. */
function bodyForm(body: string): string {
  return withoutIds(body).replace(/^\+OK Added: \d+/, '+OK Added: <number>')
}

function withoutIds(text: string): string {
  return text
    .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '<uuid>')
    .replace(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, '<date>')
    .replace(/\b1[78]\d{8}:(?=<uuid>)/g, '<second>:')
    .replace(/(127\.0\.0\.1:)\d+(?=[ /])/g, '$1<port>')
    .replace(/^1-\d+@/, '1-<id>@')
}
