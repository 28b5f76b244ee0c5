import { parseAssignments } from './assignments.js'

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

/** `{global=variables}[leg=variables]sofia/gateway/a/1,sofia/gateway/b/1|user/1001@domain` */
export function parseDialString(text: string): DialPlan {
  const { variables, rest } = takeVariables(text.trim(), '{', '}')
  const globals = new Map(variables)
  const groups = splitOutsideBrackets(rest, '|').map((group) =>
    splitOutsideBrackets(group, ',').map((leg) => parseLeg(leg, globals)),
  )
  return { groups, variables: globals }
}

function parseLeg(text: string, globals: ReadonlyMap<string, string>): DialledLeg {
  const { variables, rest } = takeVariables(text.trim(), '[', ']')
  const words = rest.split('/')
  const isGateway = words[0] === 'sofia' && words[1] === 'gateway'
  const target = (isGateway ? words.slice(3) : words.slice(words[0] === 'sofia' ? 2 : 1)).join('/')
  return {
    dialString: rest,
    number: target.split('@')[0] ?? '',
    gateway: isGateway ? words[2] : undefined,
    variables: new Map([...globals, ...variables]),
  }
}

function takeVariables(
  text: string,
  open: string,
  close: string,
): { variables: [string, string][]; rest: string } {
  const variables: [string, string][] = []
  let rest = text
  while (rest.startsWith(open)) {
    const end = closingBracket(rest, close)
    variables.push(...parseAssignments(rest.slice(1, end), ','))
    rest = rest.slice(end + 1)
  }
  return { variables, rest }
}

function closingBracket(text: string, close: string): number {
  let isQuoted = false
  for (let index = 1; index < text.length; index++) {
    if (text[index] === "'") isQuoted = !isQuoted
    else if (text[index] === close && !isQuoted) return index
  }
  return text.length
}

function splitOutsideBrackets(text: string, separator: string): string[] {
  const parts: string[] = []
  let part = ''
  let depth = 0
  for (const character of text) {
    if ('{[<'.includes(character)) depth++
    else if ('}]>'.includes(character)) depth--
    if (character === separator && depth === 0) {
      parts.push(part)
      part = ''
    } else part += character
  }
  return [...parts, part]
}
