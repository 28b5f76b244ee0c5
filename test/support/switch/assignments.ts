/**
 * What `set`, `multiset`, `export` and the braces of a dial string hold.
 *
 * @param text `name=value`, several of them behind `^^` and the character that separates them, else separated by `separator`; a separator in single quotes is none
 */
export function parseAssignments(text: string, separator: string): [name: string, value: string][] {
  const own = /^\^\^(.)/.exec(text)
  const parts = splitOutsideQuotes(own === null ? text : text.slice(3), own?.[1] ?? separator)
  return parts.filter((part) => part.includes('=')).map(parseAssignment)
}

/** One `name=value`, whatever is in the value; quotes around it do not belong to it. */
export function parseAssignment(text: string): [name: string, value: string] {
  const equals = text.indexOf('=')
  if (equals < 0) return [text.trim(), '']
  const value = text.slice(equals + 1)
  const quoted = /^'(.*)'$/s.exec(value)
  return [text.slice(0, equals).trim(), quoted?.[1] ?? value]
}

export function splitOutsideQuotes(text: string, separator: string): string[] {
  const parts: string[] = []
  let part = ''
  let isQuoted = false
  for (const character of text) {
    if (character === "'") isQuoted = !isQuoted
    if (character === separator && !isQuoted) {
      parts.push(part)
      part = ''
    } else part += character
  }
  return [...parts, part]
}
