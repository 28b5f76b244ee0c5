import type { HeaderValue } from './headers.js'
import type { RecordedFrame } from './recordings.js'

/**
 * What a caller's phone brings along with its acknowledgement of an answer, some 10 to 40 ms later:
 * whether it stands on an event in between differs from one recording to the next.
 */
const acknowledgement = new Set(['sip_to_tag', 'sip_cseq', 'sip_full_via', 'sip_full_to'].map(variable))
/** Present, whatever it says: what the recording dialplan's expressions matched, how much audio went by. */
const onlyPresent = /^variable_(DP_MATCH|rtp_audio_\w+_(count|bytes))$/
/** Numbers whose value is the call's own. */
const measured =
  /-(Time|Timestamp|Sequence|Length)$|_(u?epoch|stamp|m?s|seconds|samples|size|pos|port|ssrc|id)$|m?sec$|duration$/
/** That they are 0 says something, except of whole seconds, which are wrong by up to one. */
const wholeSeconds = /[^mu]sec$|_duration$|_seconds$|_[^u]epoch$/

function variable(name: string): string {
  return `variable_${name}`
}

/** What distinguishes two frames, a line each: kind, replies, presence and form of every header. */
export function differencesOf(recorded: RecordedFrame, actual: RecordedFrame): string[] {
  const kind = kindOf(recorded)
  if (kind !== kindOf(actual)) return [`${kind} was recorded, ${kindOf(actual)} came`]
  const [one, other] = [recorded, actual].map(headersOf)
  const names = new Set([...(one?.keys() ?? []), ...(other?.keys() ?? [])])
  const lines = [...names].flatMap((name) =>
    lineIfDifferent(name, headerForm(name, one?.get(name)), headerForm(name, other?.get(name))),
  )
  if (recorded.event === undefined)
    lines.push(...lineIfDifferent('body', bodyForm(recorded.body), bodyForm(actual.body)))
  return lines.map((line) => `${kind}: ${line}`)
}

/** A name for what kind of frame it is: its content type with the event's name or the disposition. */
export function kindOf({ head, event }: RecordedFrame): string {
  const name = event?.get('Event-Name') ?? head.get('Content-Disposition') ?? ''
  return `${head.get('Content-Type') ?? ''} ${String(name)}`
}

function headersOf({ head, event }: RecordedFrame): ReadonlyMap<string, HeaderValue> {
  return event ?? head
}

function lineIfDifferent(name: string, recorded: string, actual: string): string[] {
  return recorded === actual ? [] : [`${name}: ${recorded} was recorded, ${actual} came`]
}

/** absent, empty, zero, an integer, µs since 1970, or the text itself without ids, times and ports */
function headerForm(name: string, value: HeaderValue | undefined): string {
  if (acknowledgement.has(name)) return ''
  if (value === undefined) return 'absent'
  const text = typeof value === 'string' ? value : value.join('|:')
  if (text === '') return 'empty'
  if (onlyPresent.test(name)) return 'present'
  if (!measured.test(name)) return withoutIds(text)
  if (/^1[78]\d{14}$/.test(text)) return 'µs since 1970'
  if (text === '0' && !wholeSeconds.test(name)) return 'zero'
  return /^\d+$/.test(text) ? 'integer' : withoutIds(text)
}

/** Numbers of tasks are the switch's own. */
function bodyForm(body: string): string {
  return withoutIds(body).replace(/^\+OK Added: \d+/, '+OK Added: <number>')
}

function withoutIds(text: string): string {
  return text
    .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '<uuid>')
    .replace(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, '<date>')
    .replace(/\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT/g, '<date>')
    .replace(/\b1[78]\d{8}:(?=<uuid>)/g, '<second>:')
    .replace(/(127\.0\.0\.1:)\d+(?=[ /])/g, '$1<port>')
    .replace(/^1-\d+@/, '1-<id>@')
    .replace(/\d+(?=SIPpTag)/g, '<id>')
    .replace(/\d+ (?=(year|day|hour|minute|second|millisecond|microsecond)s\b)/g, '<number> ')
    .replace(/^(o=FreeSWITCH) \d+ \d+|^(m=audio) \d+/gm, '$1$2')
}
