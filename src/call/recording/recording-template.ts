import { createHash } from 'node:crypto'
import type { Direction } from '../../numbering/direction.js'
import { localTime } from '../../common/local-time.js'

/** What the name of a recording may tell of its call. */
export interface RecordedCall {
  readonly tenant: string
  /** IANA; the dates are of there. */
  readonly timeZone: string
  readonly direction: Direction
  readonly callUuid: string
  readonly caller: string
  readonly called: string
  /** µs since 1970. */
  readonly startedAt: number
}

const fields = ['tenant', 'direction', 'call_uuid', 'caller', 'called', 'yyyy', 'mm', 'dd', 'hh'] as const
type Field = (typeof fields)[number]

/** What a field's value looks like; texts are reduced to it. */
const looks: Readonly<Record<Field, string>> = {
  tenant: '[A-Za-z0-9_-]{1,63}',
  direction: '(?:inbound|outbound|internal)',
  call_uuid: '[A-Za-z0-9_-]{1,64}',
  caller: '[A-Za-z0-9_+-]{1,32}',
  called: '[A-Za-z0-9_+-]{1,32}',
  yyyy: '[0-9]{4}',
  mm: '[0-9]{2}',
  dd: '[0-9]{2}',
  hh: '[0-9]{2}',
}

/** Between the fields; no folder and no file begins with a dot. */
const literal = /^(?:[A-Za-z0-9_@+=-][A-Za-z0-9_.@+=-]*|\.[A-Za-z0-9_.@+=-]*)$/
const parts = /\{([a-z_]+)\}|([^{}]+)/gy
const longest = 120
const mostSegments = 8
/** Further recordings of the same call. */
const further = '(?:-[0-9]{1,4})?'

type Part = { readonly field: Field } | { readonly text: string }

/**
 * Where recordings are, below their folder: `{tenant}/{yyyy}/{mm}/{dd}/{call_uuid}.wav`. Each has its call's uuid, so
 * that none is written over another: FreeSWITCH empties a file that exists.
 */
export class RecordingTemplate {
  /** Of each folder and of the file. */
  readonly #segments: readonly (readonly Part[])[]
  readonly #patterns: readonly RegExp[]
  /** `.wav` */
  readonly ending: string

  private constructor(segments: readonly (readonly Part[])[], ending: string) {
    this.#segments = segments
    this.ending = ending
    this.#patterns = segments.map((segment, i) => {
      const pattern = segment
        .map((part) => ('field' in part ? looks[part.field] : escaped(part.text)))
        .join('')
      const isFile = i === segments.length - 1
      return new RegExp(`^${pattern}${isFile ? further + escaped(ending) : ''}$`)
    })
  }

  /** @returns undefined for a text that is none */
  static parse(text: string): RecordingTemplate | undefined {
    const [, path, ending] = /^(.+)(\.(?:wav|mp3))$/.exec(text) ?? []
    if (path === undefined || ending === undefined || text.length > longest) return undefined
    const segments = path.split('/').map(parseSegment)
    if (segments.length > mostSegments || !segments.every((segment) => segment !== undefined))
      return undefined
    const names = segments.flat().flatMap((part) => ('field' in part ? [part.field] : []))
    return names.includes('call_uuid') ? new RecordingTemplate(segments, ending) : undefined
  }

  /** Folders above a recording, below the recordings' own. */
  get depth(): number {
    return this.#segments.length - 1
  }

  /** @returns without the ending */
  fill(call: RecordedCall): string {
    const values = valuesOf(call)
    return this.#segments
      .map((segment) => segment.map((part) => ('field' in part ? values[part.field] : part.text)).join(''))
      .join('/')
  }

  /** Whether a folder, or at the full depth a file, can be one of its own. @param depth 0: directly in the recordings' */
  matches(name: string, depth: number): boolean {
    return this.#patterns[depth]?.test(name) ?? false
  }
}

function parseSegment(text: string): Part[] | undefined {
  const found: Part[] = []
  let end = 0
  for (const match of text.matchAll(parts)) {
    const [whole, name, plain] = match
    if (match.index !== end) return undefined
    end += whole.length
    const field = fields.find((each) => each === name)
    if (field !== undefined) found.push({ field })
    else if (plain !== undefined && literal.test(plain)) found.push({ text: plain })
    else return undefined
  }
  const [first] = found
  if (end !== text.length || first === undefined) return undefined
  return 'text' in first && first.text.startsWith('.') ? undefined : found
}

function valuesOf(call: RecordedCall): Record<Field, string> {
  const date = localTime(call.startedAt, call.timeZone)
  return {
    tenant: reduced(call.tenant, 63),
    direction: call.direction,
    call_uuid: distinct(call.callUuid),
    caller: reduced(call.caller, 32),
    called: reduced(call.called, 32),
    yyyy: date.slice(0, 4),
    mm: date.slice(5, 7),
    dd: date.slice(8, 10),
    hh: date.slice(11, 13),
  }
}

/** A path's separators, dots and whatever else means something to a shell, a switch or a URL. */
function reduced(text: string, longestValue: number): string {
  return text.replace(/[^A-Za-z0-9_+-]+/g, '_').slice(0, longestValue) || 'unknown'
}

/** A switch may be told to take the SIP Call-ID, which a caller chooses: two that are reduced to the same differ here. */
function distinct(uuid: string): string {
  if (/^[A-Za-z0-9_-]{1,64}$/.test(uuid)) return uuid
  const hash = createHash('sha256').update(uuid).digest('hex').slice(0, 16)
  return `${uuid.replace(/[^A-Za-z0-9_-]+/g, '_').slice(0, 40)}-${hash}`
}

function escaped(text: string): string {
  return text.replace(/[.+]/g, '\\$&')
}
