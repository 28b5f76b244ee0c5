import { separateString } from './separate-string.js'

/** One leg of a dial string. */
export interface DialledLeg {
  /** As it stands there: `sofia/gateway/carrier1/84901234567`, `user/1001@example.org` */
  readonly dialString: string
  readonly number: string
  /** Of a gateway leg. */
  readonly gateway: string | undefined
  /** The global ones in `{}` and the leg's own in `[]`. */
  readonly variables: ReadonlyMap<string, string>
}

/** Groups are tried in turn, the legs of one at the same time. */
export interface DialPlan {
  readonly groups: readonly (readonly DialledLeg[])[]
  readonly variables: ReadonlyMap<string, string>
}

const nothing: DialPlan = { groups: [], variables: new Map() }
/** What commas within brackets become before the legs are split at the others. */
const quotedComma = '\x01'
const unquotedComma = '\x02'
const mostLegs = 128

/**
 * `{global=variables}[leg=variables]sofia/gateway/a/1,sofia/gateway/b/1|user/1001@domain`, as switch_ivr_originate
 * takes it apart: nothing is dialled of one whose brackets do not close. `:_:` (enterprise originate) is not simulated.
 */
export function parseDialString(text: string): DialPlan {
  if (text.includes(':_:')) throw new Error('a dial string with :_: is not simulated')
  const variables = new Map<string, string>()
  let rest = text.replace(/^ +/, '')
  for (const [open, close] of ['<>', '{}'] as unknown as readonly [string, string][]) {
    while (rest.startsWith(open)) {
      const after = takeBrackets(rest, open, close, ',', variables)
      if (after === undefined) return nothing
      rest = after
    }
  }
  const groups = separateString(rest.replace(/^ +/, ''), '|', mostLegs).map((group) =>
    separateString(withoutCommas(group), ',', mostLegs).map((leg) => parseLeg(leg, variables)),
  )
  const isWhole = (leg: DialledLeg | undefined): leg is DialledLeg => leg !== undefined
  return groups.every((group) => group.every(isWhole))
    ? { groups: groups.map((group) => group.filter(isWhole)), variables }
    : nothing
}

function parseLeg(text: string, globals: ReadonlyMap<string, string>): DialledLeg | undefined {
  const own = new Map<string, string>()
  let rest = text.replace(/^ +/, '')
  while (rest.startsWith('[')) {
    const after = takeBrackets(rest.replaceAll(quotedComma, ','), '[', ']', unquotedComma, own)
    if (after === undefined) return undefined
    rest = after
  }
  const dialString = rest.replace(/^ +/, '')
  const words = dialString.split('/')
  const isGateway = words[0] === 'sofia' && words[1] === 'gateway'
  const target = (isGateway ? words.slice(3) : words.slice(words[0] === 'sofia' ? 2 : 1)).join('/')
  return {
    dialString,
    number: target.split('@')[0] ?? '',
    gateway: isGateway ? words[2] : undefined,
    variables: new Map(
      /^(?:true|yes|on|1)$/i.test(globals.get('local_var_clobber') ?? '')
        ? [...globals, ...own]
        : [...own, ...globals],
    ),
  }
}

/** The brackets' commas are told from those between legs; what is in quotes, or after `[^^`, belongs to a value. */
function withoutCommas(group: string): string {
  let end = -1
  let isQuoted = false
  let hasSeparator = false
  return Array.from({ length: group.length }, (_, index) => {
    const character = group.charAt(index)
    if (end < 0 && character === '[') {
      end = endOfBrackets(group, index, '[', ']') ?? group.length
      hasSeparator = group.startsWith('^^', index + 1)
      isQuoted = false
    }
    if (character === "'") isQuoted = !isQuoted
    const isInside = end >= 0 && index < end
    if (index === end) end = -1
    if (!isInside || character !== ',' || group.charAt(index - 1) === '\\') return character
    return isQuoted || hasSeparator ? quotedComma : unquotedComma
  }).join('')
}

/** switch_event_create_brackets. @returns what comes after; undefined: they do not close */
function takeBrackets(
  text: string,
  open: string,
  close: string,
  separator: string,
  into: Map<string, string>,
): string | undefined {
  const end = endOfBrackets(text, 0, open, close)
  if (end === undefined) return undefined
  const own = /^\^\^([^])/.exec(text.slice(1, end))?.[1]
  const inside = text.slice(own === undefined ? 1 : 4, end)
  for (const part of separateString(inside, own ?? separator, 1024)) {
    const [name, value] = separateString(part, '=', 2)
    if (name !== undefined && value !== undefined) into.set(name, value)
  }
  return text.slice(end + 1)
}

/** switch_find_end_paren: quotes mean nothing to it. */
function endOfBrackets(text: string, from: number, open: string, close: string): number | undefined {
  let depth = 0
  for (let index = from; index < text.length; index++) {
    if (text[index] === open) depth++
    else if (text[index] === close && --depth === 0) return index
  }
  return undefined
}
